"""Read a sweep: its runs, counts and exposures as tables that carry the design's columns.

Nothing is read before it is asked for, and of the files only the columns and rows that are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc
import pyarrow.dataset as ds

from mesa_llmspread._validation import checked_int
from mesa_llmspread.data import SpreadData
from mesa_llmspread.data.schema import AGENT_COLUMNS, EXPOSURE_COLUMNS
from mesa_llmspread.exceptions import ArgumentError, UnknownNameError
from mesa_llmspread.sweep.design import Design
from mesa_llmspread.sweep.runfile import SCHEMA, TABLES, read_info
from mesa_llmspread.sweep.storage import Folder

__all__ = ["Sweep", "load", "read_record"]


class Sweep:
    """The results of a sweep, on disk.

    Parameters
    ----------
    folder : Folder

    Attributes
    ----------
    path : Path
        The folder.
    design : Design
    manifest : dict
        How the design was made, engine, steps, versions, git commit.
    runs : DataFrame
        The design's table, one row a run, with ``status`` (``"done"``, ``"failed"``,
        ``"missing"``, ``"damaged"``) and ``error``, as it was when the sweep was loaded.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.path: Path = folder.path
        self.design: Design = folder.design
        self.manifest: dict[str, Any] = folder.manifest
        self.runs: pd.DataFrame = folder.status()

    def __repr__(self) -> str:
        states = ", ".join(f"{n} {name}" for name, n in self.runs["status"].value_counts().items())
        return f"Sweep({str(self.path)!r}: {states})"

    @property
    def done(self) -> list[int]:
        """Numbers of the runs that are done."""
        return [int(run) for run in self.runs.loc[self.runs["status"] == "done", "run"]]

    @property
    def dataset(self) -> ds.Dataset:
        """All runs that are done as one ``pyarrow.dataset``, for queries of your own.

        Its column ``table`` tells rows of ``"counts"`` from rows of ``"exposures"``.
        """
        return _dataset([self.file(run) for run in self.done])

    @property
    def counts(self) -> pd.DataFrame:
        """One row a run and step: the columns of ``SpreadData.counts``, and the design's."""
        return self._with_design(self._read("counts", self.done))

    @property
    def exposures(self) -> pd.DataFrame:
        """One row a decision: the columns of ``SpreadData.exposures``, and the design's."""
        return self._with_design(self._read("exposures", self.done))

    def frame(self) -> pd.DataFrame:
        """Give everything as one table.

        Returns
        -------
        DataFrame
            Counts, exposures and agents below each other, told apart by the column ``table``,
            with the design's columns; empty where a column belongs to another table.
        """
        return self._with_design(self.dataset.to_table().to_pandas())

    def chunks(
        self, table: str = "exposures", columns: Sequence[str] | None = None, runs: int = 100
    ) -> Iterator[pd.DataFrame]:
        """Go through a table that may be larger than memory, some runs at a time.

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
        if table not in TABLES:
            raise UnknownNameError("table", table, TABLES)
        wanted = TABLES[table] if columns is None else list(columns)
        for column in wanted:
            if column not in TABLES[table]:
                raise UnknownNameError("columns", column, TABLES[table])
        size, done = checked_int("runs", runs, 1), self.done
        for start in range(0, len(done), size):
            yield self._with_design(self._read(table, done[start : start + size], wanted))

    def outcomes(self) -> pd.DataFrame:
        """Sum up each run that is done.

        Returns
        -------
        DataFrame
            The design's table with ``final`` (share of agents that have posted at the end),
            ``half`` (the first step with half of the agents; NaN if there is none) and
            ``length`` (the last step).
        """
        counts = self._read("counts", self.done)
        counts["share"] = counts["infected"] / (counts["infected"] + counts["susceptible"])
        by_run = counts.groupby("run")
        found = pd.DataFrame(
            {
                "final": by_run["share"].last(),
                "half": counts[counts["share"] >= 0.5].groupby("run")["step"].min(),
                "length": by_run["step"].max(),
            }
        )
        table = self.design.table
        return table[table["run"].isin(found.index)].merge(found, left_on="run", right_index=True)

    def data(self, runs: Sequence[int] | None = None) -> SpreadData:
        """Take runs as the record that fits and reports read.

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
        if self.manifest["engine"] != "mesa":
            raise ArgumentError("engine", self.manifest["engine"], "be 'mesa' to record decisions")
        done = self.done
        wanted = done if runs is None else sorted(runs)
        for run in wanted:
            if run not in done:
                raise ArgumentError("runs", run, "be among the runs that are done")
        return read_record([self.file(run) for run in wanted])

    def file(self, run: int) -> Path:
        """Name the file of a run."""
        return self._folder.run_path(run)

    def _read(
        self, table: str, runs: Sequence[int], columns: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Read one of the tables of some runs, in order of run."""
        wanted = list(TABLES[table] if columns is None else columns)
        wanted = wanted if "run" in wanted else ["run", *wanted]
        return _read(table, [self.file(run) for run in runs], wanted)

    def _with_design(self, table: pd.DataFrame) -> pd.DataFrame:
        """Add the design's columns."""
        design = self.design.table
        new = [name for name in design if name == "run" or name not in table.columns]
        return table.merge(design[new], on="run", how="left")


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
        If the folder holds no sweep.
    """
    return Sweep(Folder(out))


def read_record(files: Sequence[Path]) -> SpreadData:
    """Read the files of some runs as one record.

    Parameters
    ----------
    files : sequence of Path
        At least one, in the order of their runs, with decisions.

    Returns
    -------
    SpreadData
        The runs keep their numbers.
    """
    exposures = _read("exposures", files, TABLES["exposures"])
    counts = _read("counts", files, TABLES["counts"])
    exposures = exposures.fillna({"post": "", "reason": ""}).astype(EXPOSURE_COLUMNS)
    numbers = counts["run"].unique().tolist()
    agents = _read("agents", files, TABLES["agents"]).astype(AGENT_COLUMNS)
    info = dict(zip(numbers, map(read_info, files), strict=True))
    return SpreadData(exposures, counts, info, agents)


def _dataset(files: Sequence[Path]) -> ds.Dataset:
    return ds.dataset([str(file) for file in files], schema=SCHEMA, format="parquet")


def _read(table: str, files: Sequence[Path], columns: Sequence[str]) -> pd.DataFrame:
    """Read one of the tables of some runs, in order of file."""
    if not files:
        return pd.DataFrame({name: [] for name in columns})
    rows = pc.field("table") == table
    return _dataset(files).to_table(columns=list(columns), filter=rows).to_pandas()
