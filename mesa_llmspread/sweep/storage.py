"""The folder of a sweep: ``manifest.json``, ``design.parquet``, ``runs/`` and ``failures/``.

Every run is a record of its own, as :meth:`SpreadData.save` writes it. A run is done when its
record is there, whole; nothing else has to be kept in step, so a sweep can be killed at any
moment and started again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import pandas as pd

from mesa_llmspread.data.files import FORMAT, read_info, write_files
from mesa_llmspread.data.run_info import package_versions
from mesa_llmspread.deciders import TableDecider, as_decider
from mesa_llmspread.exceptions import ArgumentError, InputFileError, OutputError
from mesa_llmspread.io import is_free, make_folder, new_folder, write_whole
from mesa_llmspread.sweep.arguments import arguments_of
from mesa_llmspread.sweep.design import Design
from mesa_llmspread.sweep.engines import Outcome
from mesa_llmspread.sweep.language import LIMITS, template_hashes

__all__ = [
    *("begin", "holds_sweep", "read_design", "read_manifest", "run_folder", "run_states"),
    *("save_outcome", "tidy"),
]


def run_folder(path: Path, run: int) -> Path:
    """Return the folder of a run's record."""
    return path / "runs" / f"run-{run:06d}"


def _failure_file(path: Path, run: int) -> Path:
    return path / "failures" / f"run-{run:06d}.json"


def holds_sweep(path: Path) -> bool:
    """Return whether a folder holds a sweep; raise OutputError if it holds something else."""
    if (path / "manifest.json").exists():
        return True
    if not is_free(path):
        raise OutputError(path, "holds something that is not a sweep; name a new or empty folder")
    return False


def read_manifest(path: Path) -> dict[str, Any]:
    """Read how a sweep was begun.

    Parameters
    ----------
    path : Path
        The sweep's folder.

    Returns
    -------
    dict
        How the design was made, model, engine, steps, options of language models, versions,
        git commit.

    Raises
    ------
    InputFileError
        If the folder holds no sweep, or one of another format.
    """
    file = path / "manifest.json"
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputFileError(file, "not found; is this the folder of a sweep?") from error
    except (OSError, ValueError) as error:
        raise InputFileError(file, f"is not the manifest of a sweep: {error}") from error
    if not isinstance(manifest, dict) or not {"design", "engine"} <= manifest.keys():
        raise InputFileError(file, "is not the manifest of a sweep")
    if (found := manifest.get("format")) != FORMAT:
        fix = "do the sweep again in a new folder, with the same design and rng"
        problem = f"has format {found}, and this version reads format {FORMAT} only: {fix}"
        raise InputFileError(file, problem)
    return manifest


def read_design(path: Path, manifest: dict[str, Any]) -> Design:
    """Read the design of a sweep; raise InputFileError if its file is damaged."""
    file, made = path / "design.parquet", manifest["design"]
    try:
        table = pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise InputFileError(file, f"is not a readable Parquet table: {error}") from error
    return Design.from_table(table, made["seed"], made["origin"], manifest["model"])


def begin(path: Path, design: Design, **settings: Any) -> None:
    """Begin a sweep, or go on with the one that is there.

    Parameters
    ----------
    path : Path
    design : Design
        The same as before, or one with more cells or replicates; the runs that are there
        keep their numbers and seeds. If its seed was not given, that of the folder holds.
    **settings
        Name of the ``model``, ``engine``, ``steps``, and options of language models, ``llm``;
        :data:`~mesa_llmspread.sweep.language.LIMITS` among these may change.

    Raises
    ------
    ArgumentError
        If the folder holds another sweep.
    OutputError
        If it holds something else, or cannot be written.
    """
    manifest: dict[str, Any] = {
        "format": FORMAT,
        **settings,
        "templates": template_hashes(design.cells, settings["llm"]),
        "tables": _table_hashes(design.cells),
        "versions": package_versions(),
        "git": _git_commit(),
    }
    if there := holds_sweep(path):
        before = read_manifest(path)
        smaller = read_design(path, before)
        _check_same(path, before, manifest, design.lacks(smaller))
        design = design.added_to(smaller)
    made = {name: getattr(design, name) for name in ("origin", "parameters", "replicates", "seed")}
    manifest["design"] = {**made, "cells": len(design.cells)}
    with contextlib.nullcontext(path) if there else new_folder(path) as folder:
        for name in ("runs", "failures"):
            make_folder(folder / name)
        write_whole(folder / "design.parquet", design.table.to_parquet(index=False))
        write_whole(folder / "manifest.json", json.dumps(manifest, indent=2).encode())


def run_states(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """Return the state of each run.

    Parameters
    ----------
    path : Path
    table : DataFrame
        The table of a design.

    Returns
    -------
    DataFrame
        The same with ``status`` (``"done"``, ``"failed"``, ``"missing"``, or ``"damaged"`` if
        its record is not complete) and ``error`` ("" without an error).
    """
    states = [_state(path, run, rng) for run, rng in zip(table["run"], table["rng"], strict=True)]
    status, error = zip(*states, strict=True)
    return table.assign(status=status, error=error)


def _state(path: Path, run: int, rng: int) -> tuple[str, str]:
    """Return the status of one run, and its error."""
    folder, failure = run_folder(path, run), _failure_file(path, run)
    if folder.exists():
        try:
            info = read_info(folder)
        except InputFileError as error:
            return "damaged", str(error)
        if list(info) == [run] and info[run].rng == rng:
            return "done", ""
        return "damaged", f"{folder}: is the record of another run"
    if failure.exists():
        return "failed", json.loads(failure.read_text(encoding="utf-8"))["error"]
    return "missing", ""


def save_outcome(path: Path, outcome: Outcome) -> None:
    """Write the record of a run, or why it failed; raise OutputError if that is impossible."""
    failure = _failure_file(path, outcome.run)
    if outcome.files is not None:
        write_files(outcome.files, run_folder(path, outcome.run))
        failure.unlink(missing_ok=True)
    else:
        why = {"run": outcome.run, "error": outcome.error, "traceback": outcome.traceback}
        write_whole(failure, json.dumps(why, indent=2).encode())


def tidy(path: Path, damaged: list[int]) -> None:
    """Remove records that are damaged, and what a killed sweep was writing when it was killed."""
    for left in (*path.glob("*/.run-*"), *(run_folder(path, run) for run in damaged)):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()


def _check_same(path: Path, before: dict[str, Any], now: dict[str, Any], lacks: list[str]) -> None:
    """Validate that a folder's sweep is the one that is to go on."""
    old, new = ({**sweep, **sweep["llm"]} for sweep in (before, now))
    fixed = sorted({"model", "engine", "steps", *before["llm"], *now["llm"]} - {*LIMITS})
    differences = [
        f"{name} is {old.get(name)!r} there and {new.get(name)!r} here"
        for name in fixed
        if old.get(name) != new.get(name)
    ]
    for kind, what in (("templates", "had another template"), ("tables", "was another table")):
        differences += [
            f"{decider} {what} there"
            for decider, hashed in now[kind].items()
            if hashed != before.get(kind, {}).get(decider, hashed)
        ]
    if found := "; ".join(differences + lacks):
        fix = "name another folder, or go on with the sweep that is there by resume (--resume)"
        allowed = f"hold no other sweep: {found}. A sweep can only grow; {fix}"
        raise ArgumentError("out", str(path), allowed)


def _table_hashes(cells: pd.DataFrame) -> dict[str, str]:
    """Return the hash of every response table that decides, by decider."""
    rows: list[Any] = cells.to_dict("records")
    texts = {str(arguments_of(cell).get("decider")) for cell in rows}
    frames = {
        text: cast(TableDecider, as_decider(text)).table.frame
        for text in sorted(texts)
        if text.startswith("table(")
    }
    hashes = {text: hashlib.sha256(frame.to_csv().encode()) for text, frame in frames.items()}
    return {text: each.hexdigest() for text, each in hashes.items()}


def _git_commit() -> str | None:
    """Return the commit of the working folder, None outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
