"""The folder of a sweep: ``manifest.json``, ``design.parquet``, ``runs/`` and ``failures/``.

A run is done when its file is there, whole; nothing else has to be kept in step, so a sweep
can be killed at any moment and started again.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mesa_llmspread.exceptions import ArgumentError, InputFileError, OutputError
from mesa_llmspread.io import is_free, make_folder, new_folder, write_whole
from mesa_llmspread.sweep.design import Design
from mesa_llmspread.sweep.engines import Outcome, versions
from mesa_llmspread.sweep.language import LIMITS, template_hashes
from mesa_llmspread.sweep.models import PLAIN, model_name
from mesa_llmspread.sweep.runfile import read_info

if TYPE_CHECKING:
    from mesa_llmspread.model import SpreadModel

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
        How the design was made, model, engine, steps, options of language models, versions, git
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
        self.design = Design.trusted(
            table, made["parameters"], made["seed"], made["origin"], self.manifest["model"]
        )

    @classmethod
    def create(
        cls,
        path: str | Path,
        design: Design,
        model: type[SpreadModel],
        engine: str,
        steps: int,
        llm: dict[str, Any],
    ) -> Folder:
        """Begin a sweep, or go on with the one that is there.

        Parameters
        ----------
        path : path-like
        design : Design
            The same as before, or one with more cells or replicates; the runs that are there
            keep their numbers and seeds. If its seed was not given, that of the folder holds.
        model : type of SpreadModel
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
            If it holds something else, or cannot be written.
        """
        path = Path(path)
        there = cls.there(path)
        templates = template_hashes(design.cells, llm)
        if there is not None:
            _check_same(there, design, model_name(model), engine, steps, llm, templates)
            design = design.added_to(there.design)
        manifest = {
            "design": {
                "origin": design.origin,
                "parameters": design.parameters,
                "cells": len(design.cells),
                "replicates": design.replicates,
                "seed": design.seed,
            },
            "model": model_name(model),
            "engine": engine,
            "steps": steps,
            "llm": llm,
            "templates": templates,
            "versions": versions(),
            "git": _git_commit(),
        }
        with new_folder(path) if there is None else contextlib.nullcontext(path) as folder:
            for name in ("runs", "failures"):
                make_folder(folder / name)
            write_whole(folder / "design.parquet", design.table.to_parquet(index=False))
            write_whole(folder / "manifest.json", json.dumps(manifest, indent=2).encode())
        return cls(path)

    @classmethod
    def there(cls, path: str | Path) -> Folder | None:
        """Open the sweep that a folder holds.

        Parameters
        ----------
        path : path-like

        Returns
        -------
        Folder or None
            None where the folder is missing or empty.

        Raises
        ------
        OutputError, InputFileError
            If it holds something other than a sweep.
        """
        path = Path(path)
        if (path / "manifest.json").exists():
            return cls(path)
        if not is_free(path):
            raise OutputError(path, "holds something that is no sweep; name a new or empty folder")
        return None

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
        return {"model": PLAIN, **manifest}

    def run_path(self, run: int) -> Path:
        """Name the file of a run."""
        return self.path / "runs" / f"run-{run:06d}.parquet"

    def failure_path(self, run: int) -> Path:
        """Name the file that says why a run failed."""
        return self.path / "failures" / f"run-{run:06d}.json"

    def status(self, design: Design | None = None) -> pd.DataFrame:
        """Say what has become of each run.

        Parameters
        ----------
        design : Design, optional
            A design that the folder's is to become; the folder's own by default.

        Returns
        -------
        DataFrame
            The design's table, with ``status`` (``"done"``, ``"failed"``, ``"missing"``, or
            ``"damaged"`` if its file is not whole) and ``error`` ("" if there was none).
        """
        table = (design or self.design).table
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
                same = read_info(path).rng == rng
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


def _check_same(
    there: Folder,
    design: Design,
    model: str,
    engine: str,
    steps: int,
    llm: dict[str, Any],
    templates: dict[str, str],
) -> None:
    """See that a folder's sweep is the one that is to go on."""
    old, new = there.manifest, {"model": model, "engine": engine, "steps": steps, "llm": llm}
    differences = [
        f"{name} is {old[name]!r} there and {new[name]!r} here"
        for name in ("model", "engine", "steps")
        if old[name] != new[name]
    ]
    differences += [
        f"the words of {decider}'s prompts were others there"
        for decider, words in templates.items()
        if words != old["templates"].get(decider, words)
    ]
    differences += [
        f"llm has {name!r} {there_has!r} there and {here_has!r} here"
        for name in sorted({*old["llm"], *llm} - set(LIMITS))
        if (there_has := old["llm"].get(name)) != (here_has := llm.get(name))
    ]
    differences += design.lacks(there.design)
    if differences:
        raise ArgumentError(
            "out",
            str(there.path),
            f"hold no other sweep: {'; '.join(differences)}. A sweep can only grow; name another "
            "folder, or go on with what is there by resume (--resume)",
        )


def _git_commit() -> str | None:
    """Name the commit of the folder that the sweep is started in, if there is one."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None
