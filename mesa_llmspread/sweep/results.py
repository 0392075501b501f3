"""The results of a sweep: its runs, counts and exposures as tables with the design's columns.

Nothing is read before it is asked for, and of the files only the columns that are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.dataset as ds

from mesa_llmspread._validation import check_kind, check_name, checked_int
from mesa_llmspread.data import SpreadData
from mesa_llmspread.data.files import read_info
from mesa_llmspread.data.schema import SCHEMA
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.sweep.design import Design
from mesa_llmspread.sweep.storage import read_design, read_manifest, run_folder, run_states

__all__ = ["Sweep", "load", "read_records"]

_COLUMNS = {name: [column.name for column in columns] for name, columns in SCHEMA.items()}


class Sweep:
    """The results of a sweep, on disk.

    Parameters
    ----------
    path : path-like
        The sweep's folder.

    Attributes
    ----------
    path : Path
    design : Design
    manifest : dict
        How the design was made, model, engine, steps, options of language models, versions, git
        commit.
    runs : DataFrame
        The design's table, one row per run, with ``status`` (``"done"``, ``"failed"``,
        ``"missing"``, ``"damaged"``) and ``error``, as it was when the sweep was loaded.

    Raises
    ------
    InputFileError
        If the folder holds no sweep, or one of another format.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.manifest: dict[str, Any] = read_manifest(self.path)
        self.design: Design = read_design(self.path, self.manifest)
        self.runs: pd.DataFrame = run_states(self.path, self.design.table)

    def __repr__(self) -> str:
        states = ", ".join(f"{n} {name}" for name, n in self.runs["status"].value_counts().items())
        return f"Sweep({str(self.path)!r}: {states})"

    @property
    def done(self) -> list[int]:
        """Numbers of the runs that are done."""
        return [int(run) for run in self.runs.loc[self.runs["status"] == "done", "run"]]

    @property
    def dataset(self) -> ds.Dataset:
        """The decisions of all runs as one ``pyarrow.dataset``, for queries of your own."""
        return _dataset("exposures", [self.file(run) for run in self.done])

    @property
    def counts(self) -> pd.DataFrame:
        """One row per run and step: the columns of ``SpreadData.counts``, and the design's."""
        return self._read("counts", self.done)

    @property
    def exposures(self) -> pd.DataFrame:
        """One row per decision: the columns of ``SpreadData.exposures``, and the design's."""
        return self._read("exposures", self.done)

    def frame(self) -> pd.DataFrame:
        """Return counts and exposures as one table.

        Returns
        -------
        DataFrame
            Counts and exposures below each other, told apart by the column ``table``, with
            the design's columns; empty where a column belongs to the other table.
        """
        tables = [self._read(name, self.done, table=name) for name in ("counts", "exposures")]
        return pd.concat(tables, ignore_index=True)

    def chunks(
        self, table: str = "exposures", columns: Sequence[str] | None = None, runs: int = 100
    ) -> Iterator[pd.DataFrame]:
        """Read a table that may be larger than memory, some runs at a time.

        Parameters
        ----------
        table : {"exposures", "counts", "agents"}
        columns : sequence of str, optional
            Which of the table's columns; all by default. The design's are always there.
        runs : int, default 100
            How many runs at a time.

        Yields
        ------
        DataFrame
        """
        check_name("table", table, _COLUMNS)
        for column in columns or ():
            check_name("columns", column, _COLUMNS[table])
        size, done = checked_int("runs", runs, 1), self.done
        for start in range(0, len(done), size):
            yield self._read(table, done[start : start + size], columns)

    def outcomes(self) -> pd.DataFrame:
        """Return one row per run that is done.

        Returns
        -------
        DataFrame
            The design's table with ``final`` (share of agents that have posted at the end),
            ``half`` (the first step with half of the agents; NaN if it was never reached) and
            ``length`` (the last step).
        """
        counts = _read("counts", [self.file(run) for run in self.done])
        counts["share"] = counts["infected"] / (counts["infected"] + counts["susceptible"])
        by_run = counts.groupby("run")
        half = counts[counts["share"] >= 0.5].groupby("run")["step"].min()
        found = by_run.agg(final=("share", "last"), length=("step", "max"))
        found.insert(1, "half", half)
        return self.design.table.merge(found, left_on="run", right_index=True)

    def data(self, runs: Sequence[int] | None = None) -> SpreadData:
        """Return runs as the record that fits and reports read.

        Parameters
        ----------
        runs : sequence of int, optional
            Numbers of runs that are done; all by default.

        Returns
        -------
        SpreadData

        Raises
        ------
        ArgumentError
            If a run is not done, or the sweep recorded no decisions.
        """
        self.check_decisions()
        done = self.done
        if runs is not None:
            check_kind("runs", runs, Iterable, "a list of runs")
        wanted = done if runs is None else sorted(runs)
        for run in wanted:
            if run not in done:
                raise ArgumentError("runs", run, "be among the runs that are done")
        return read_records([self.file(run) for run in wanted])

    def check_decisions(self) -> None:
        """Raise ArgumentError if the sweep recorded no decisions."""
        if self.manifest["engine"] != "mesa":
            raise ArgumentError("engine", self.manifest["engine"], "be 'mesa' to record decisions")

    def file(self, run: int) -> Path:
        """Return the folder of a run's record; :meth:`SpreadData.load` reads it if Mesa ran it."""
        return run_folder(self.path, run)

    def _read(
        self, name: str, runs: Sequence[int], columns: Sequence[str] | None = None, **more: Any
    ) -> pd.DataFrame:
        """Read a table of some runs, in order of run, with more columns and the design's."""
        table = _read(name, [self.file(run) for run in runs], columns).assign(**more)
        new = [name for name in self.design.table if name == "run" or name not in table]
        return table.merge(self.design.table[new], on="run", how="left")


def load(out: str | Path) -> Sweep:
    """Open the folder of a sweep, finished or not.

    Parameters
    ----------
    out : path-like
        What :func:`~mesa_llmspread.sweep.run` wrote.

    Returns
    -------
    Sweep

    Raises
    ------
    InputFileError
        If the folder holds no sweep, or one of another format.
    """
    return Sweep(out)


def read_records(folders: Sequence[Path]) -> SpreadData:
    """Read the records of some runs as one.

    Parameters
    ----------
    folders : sequence of Path
        At least one, in the order of their runs.

    Returns
    -------
    SpreadData
        The runs keep their numbers.
    """
    tables = {name: _read(name, folders) for name in _COLUMNS}
    info = {run: known for folder in folders for run, known in read_info(folder).items()}
    return SpreadData(**tables, info=info)


def _dataset(table: str, folders: Sequence[Path]) -> ds.Dataset:
    return ds.dataset([f"{folder}/{table}.parquet" for folder in folders], format="parquet")


def _read(
    table: str, folders: Sequence[Path], columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Read a table of some records, in order of folder: the run, and some columns or all."""
    wanted = _COLUMNS[table] if columns is None else list(dict.fromkeys(["run", *columns]))
    if not folders:
        return pd.DataFrame({name: [] for name in wanted})
    return _dataset(table, folders).to_table(columns=wanted).to_pandas()
