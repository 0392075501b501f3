"""The folder of a sweep: ``manifest.json``, ``design.parquet``, ``runs/`` and ``failures/``.

A run is done when its file is there, whole; nothing else has to be kept in step, so a sweep
can be killed at any moment and started again.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd

from mesa_llmspread.exceptions import ArgumentError, InputFileError
from mesa_llmspread.files import make_folder, write_whole
from mesa_llmspread.sweep.design import Design
from mesa_llmspread.sweep.engines import Outcome, versions
from mesa_llmspread.sweep.language import LIMITS, template_hashes
from mesa_llmspread.sweep.runfile import read_manifest

__all__ = ["Folder"]


class Folder:
    """A sweep on disk.

    Parameters
    ----------
    path : path-like
        The folder; it has to hold a sweep. :meth:`create` makes one.

    Attributes
    ----------
    path : Path
    design : Design
    manifest : dict
        How the design was made, engine, steps, options of language models, versions, git
        commit.

    Raises
    ------
    InputFileError
        If the folder holds no sweep.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.manifest = self._read_manifest()
        made = self.manifest["design"]
        try:
            table = pd.read_parquet(self.path / "design.parquet")
        except (OSError, ValueError) as error:
            raise InputFileError(
                self.path / "design.parquet", f"no readable Parquet table: {error}"
            ) from error
        cells = table.loc[table["replicate"] == 0, made["parameters"]]
        self.design = Design.trusted(cells, made["replicates"], made["seed"], made["origin"])

    @classmethod
    def create(
        cls, path: str | Path, design: Design, engine: str, steps: int, llm: dict[str, Any]
    ) -> Folder:
        """Begin a sweep, or go on with the one that is there.

        Parameters
        ----------
        path : path-like
        design : Design
            With more replicates than before, or the same.
        engine : str
        steps : int
        llm : dict
            Options of language models; :data:`~mesa_llmspread.sweep.language.LIMITS` among
            them may be others than before.

        Returns
        -------
        Folder

        Raises
        ------
        ArgumentError
            If the folder holds another sweep.
        OutputError
            If it cannot be written.
        """
        path = Path(path)
        for folder in (path, path / "runs", path / "failures"):
            make_folder(folder)
        manifest = {
            "design": {
                "origin": design.origin,
                "parameters": design.parameters,
                "cells": len(design.cells),
                "replicates": design.replicates,
                "seed": design.seed,
            },
            "engine": engine,
            "steps": steps,
            "llm": llm,
            "templates": template_hashes(design.cells, llm),
            "versions": versions(),
            "git": _git_commit(),
        }
        if (path / "manifest.json").exists():
            _check_same(cls(path), design, manifest)
        write_whole(path / "design.parquet", design.table.to_parquet(index=False))
        write_whole(path / "manifest.json", json.dumps(manifest, indent=2).encode())
        return cls(path)

    def _read_manifest(self) -> dict[str, Any]:
        path = self.path / "manifest.json"
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            missing = {"design", "engine", "steps", "llm", "templates"} - set(manifest)
        except FileNotFoundError as error:
            raise InputFileError(path, "not found; is this the folder of a sweep?") from error
        except (OSError, ValueError) as error:
            raise InputFileError(path, f"is not the manifest of a sweep: {error}") from error
        if missing:
            raise InputFileError(path, f"is not the manifest of a sweep: no {sorted(missing)}")
        return dict(manifest)

    def run_path(self, run: int) -> Path:
        """Name the file of a run."""
        return self.path / "runs" / f"run-{run:06d}.parquet"

    def failure_path(self, run: int) -> Path:
        """Name the file that says why a run failed."""
        return self.path / "failures" / f"run-{run:06d}.json"

    def status(self) -> pd.DataFrame:
        """Say what has become of each run.

        Returns
        -------
        DataFrame
            The design's table, with ``status`` (``"done"``, ``"failed"``, ``"missing"``, or
            ``"damaged"`` if its file is not whole) and ``error`` ("" if there was none).
        """
        table = self.design.table
        found = [
            self._status(run, rng) for run, rng in zip(table["run"], table["rng"], strict=True)
        ]
        return table.assign(
            status=[status for status, _ in found], error=[error for _, error in found]
        )

    def _status(self, run: int, rng: int) -> tuple[str, str]:
        path = self.run_path(run)
        if path.exists():
            try:
                same = read_manifest(path)["rng"] == rng
            except InputFileError as error:
                return "damaged", str(error)
            return ("done", "") if same else ("damaged", f"{path}: is of a run with another seed")
        path = self.failure_path(run)
        if path.exists():
            return "failed", json.loads(path.read_text(encoding="utf-8"))["error"]
        return "missing", ""

    def save(self, outcome: Outcome) -> None:
        """Write what came of a run.

        Parameters
        ----------
        outcome : Outcome

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        if outcome.content is not None:
            write_whole(self.run_path(outcome.run), outcome.content)
            self.failure_path(outcome.run).unlink(missing_ok=True)
        elif outcome.failure is not None:
            text = json.dumps({"run": outcome.run, **outcome.failure._asdict()}, indent=2)
            write_whole(self.failure_path(outcome.run), text.encode())

    def tidy(self) -> None:
        """Remove what a killed sweep was writing when it was killed."""
        for folder in ("runs", "failures"):
            for left in (self.path / folder).glob(".run-*"):
                left.unlink()


def _check_same(there: Folder, design: Design, manifest: dict[str, Any]) -> None:
    """See that a folder's sweep is the one that is to go on."""
    old, new = there.manifest, manifest
    differences = [
        f"{name} is {old[name]!r} there and {new[name]!r} here"
        for name in ("engine", "steps")
        if old[name] != new[name]
    ]
    differences += [
        f"the words of {decider}'s prompts were others there"
        for decider, words in new["templates"].items()
        if words != old["templates"].get(decider, words)
    ]
    differences += [
        f"llm has {name!r} {there_has!r} there and {here_has!r} here"
        for name in sorted({*old["llm"], *new["llm"]} - set(LIMITS))
        if (there_has := old["llm"].get(name)) != (here_has := new["llm"].get(name))
    ]
    if there.design.seed != design.seed:
        differences.append(f"rng is {there.design.seed} there and {design.seed} here")
    if there.design.cells.to_dict("records") != design.cells.to_dict("records"):
        differences.append("the design has other cells there")
    elif there.design.replicates > design.replicates:
        differences.append(f"it has {there.design.replicates} replicates there")
    if differences:
        raise ArgumentError(
            "out", str(there.path), f"hold no other sweep: {'; '.join(differences)}"
        )


def _git_commit() -> str | None:
    """Name the commit of the folder that the sweep is started in, if there is one."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None
