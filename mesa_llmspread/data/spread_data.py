"""What a run leaves behind: plain tables, which know neither Mesa nor a language model.

Everything that learns from runs (fits, plots, reports) reads this and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mesa_llmspread._words import html_table
from mesa_llmspread.data.run_info import RunInfo
from mesa_llmspread.events import OfflineEvent
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError
from mesa_llmspread.profiles import Trait

__all__ = [
    "AGENT_COLUMNS",
    "COUNT_COLUMNS",
    "EXPOSURE_COLUMNS",
    "OUTCOMES",
    "UNKNOWN",
    "RunInfo",
    "SpreadData",
    "concat",
]

#: Columns of ``exposures`` and their types.
EXPOSURE_COLUMNS = {
    "run": "int64",
    "step": "int64",
    "agent": "int64",
    "profile": "str",
    "event": "str",
    "contacts": "int64",
    "cumulative": "int64",
    "exposure_count": "int64",
    "direct": "bool",
    "outcome": "str",
    "post": "str",
    "reason": "str",
    "key": "str",
}

#: Columns of ``counts``: all whole numbers.
COUNT_COLUMNS = ("run", "step", "susceptible", "infected", "new_infected", "exposures", "failed")

#: Columns of ``agents`` and their types.
AGENT_COLUMNS = {
    "run": "int64",
    "agent": "int64",
    "node": "str",
    "profile": "str",
    **{trait.value: "float64" for trait in Trait},
}

#: Where no profile is known.
UNKNOWN = "unknown"

#: How a decision can end.
OUTCOMES = ("repost", "decline", "failed")


@dataclass(frozen=True)
class SpreadData:
    """The record of one run or several.

    Parameters
    ----------
    exposures : DataFrame
        One row per decision: ``run, step, agent, profile`` (code, or ``"unknown"``), ``event``
        (id), ``contacts`` (posting neighbours in view), ``cumulative`` (neighbours who have
        posted so far), ``exposure_count`` (1 on the agent's first occasion), ``direct`` (saw the
        event itself), ``outcome`` (``"repost"``, ``"decline"``, ``"failed"``), ``post`` and
        ``reason`` (what a language model wrote), ``key``.
    counts : DataFrame
        One row per step, from step 0: ``run, step, susceptible, infected, new_infected,
        exposures, failed``, in agents and decisions. Empty for decisions without curves.
    info : mapping of int to RunInfo
        What is known of each run, by its number.
    agents : DataFrame, optional
        One row per agent: ``run, agent, node`` (its name in the network), ``profile`` (code, or
        ``"unknown"``) and the five trait levels (NaN if unknown). By default the agents that
        decided.

    Raises
    ------
    ArgumentError
        If a table lacks a column, holds an unknown outcome, or a run without info.
    """

    exposures: pd.DataFrame
    counts: pd.DataFrame
    info: Mapping[int, RunInfo]
    agents: pd.DataFrame = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        _check_columns("exposures", self.exposures, EXPOSURE_COLUMNS)
        _check_columns("counts", self.counts, COUNT_COLUMNS)
        strange = set(self.exposures["outcome"].unique()) - set(OUTCOMES)
        if strange:
            raise ArgumentError(
                "exposures['outcome']", sorted(strange), "be repost, decline or failed"
            )
        if not isinstance(self.info, Mapping):
            raise ArgumentTypeError("info", self.info, "a mapping of run to RunInfo")
        for run, known in self.info.items():
            if not isinstance(known, RunInfo):
                raise ArgumentTypeError(f"info[{run}]", known, "a RunInfo")
        object.__setattr__(self, "info", {int(run): self.info[run] for run in sorted(self.info)})
        if self.agents is None:
            from mesa_llmspread.data.tables import agents_that_decided

            object.__setattr__(self, "agents", agents_that_decided(self.exposures, self.info))
        _check_columns("agents", self.agents, AGENT_COLUMNS)
        for name in ("exposures", "counts", "agents"):
            unknown = set(getattr(self, name)["run"].unique()) - set(self.info)
            if unknown:
                raise ArgumentError("info", self.runs, f"have run {min(unknown)} of {name}")

    @classmethod
    def from_model(cls, model: Any) -> SpreadData:
        """Read the record of a model's run, so far.

        Parameters
        ----------
        model : SpreadModel

        Returns
        -------
        SpreadData
            With one run, number 0, of the steps that were completed.

        Raises
        ------
        ArgumentTypeError
            If it is not a SpreadModel.
        """
        from mesa_llmspread.data.collected import model_tables

        collected = getattr(model, "datacollector", None)
        if "exposures" not in getattr(collected, "tables", ()) or not hasattr(model, "info"):
            raise ArgumentTypeError("model", model, "a SpreadModel")
        exposures, counts, agents = model_tables(model)
        return cls(exposures, counts, {0: model.info}, agents)

    @classmethod
    def from_batch_run(cls, rows: Sequence[Mapping[str, Any]]) -> SpreadData:
        """Read the records of all runs from what Mesa's ``batch_run`` returns.

        Parameters
        ----------
        rows : sequence of mapping
            From one process or several, whatever the ``data_collection_period``.

        Returns
        -------
        SpreadData
            With runs 0, 1, ... in the order of ``RunId``.

        Raises
        ------
        ArgumentError
            If there is no row, or a row has no record: it is not from a SpreadModel, or went
            through a text file.
        ArgumentTypeError
            If ``rows`` is not a list of rows.

        Examples
        --------
        >>> from mesa.batchrunner import batch_run
        >>> from mesa_llmspread import SpreadModel
        >>> rows = batch_run(SpreadModel, {"k": [4, 8], "rng": 1}, display_progress=False)
        >>> SpreadData.from_batch_run(rows).runs
        [0, 1]
        """
        from mesa_llmspread.data.collected import RECORD

        if isinstance(rows, str) or not isinstance(rows, Iterable):
            raise ArgumentTypeError("rows", rows, "the rows that batch_run returns")
        records = {}
        for i, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise ArgumentTypeError(f"rows[{i}]", row, "a row that batch_run returns")
            if not hasattr(row.get(RECORD), "data"):
                raise ArgumentError(
                    f"rows[{i}]", row, f"have a {RECORD!r}, as batch_run writes for a SpreadModel"
                )
            records[row["RunId"]] = row[RECORD]
        return concat([records[run].data() for run in sorted(records)])

    @classmethod
    def from_tables(
        cls,
        exposures: pd.DataFrame,
        counts: pd.DataFrame | None = None,
        info: RunInfo | Mapping[str, Any] | None = None,
    ) -> SpreadData:
        """Take decisions from elsewhere: a survey, an experiment with people, another program.

        Parameters
        ----------
        exposures : DataFrame
            One row per decision, with ``run, step, agent, contacts`` and ``outcome``. Of the
            other columns of a record those that are missing are filled in: ``exposure_count``
            by counting the agent's occasions with an event in order of ``step``, without
            those that failed; ``cumulative`` with ``contacts``; ``direct`` with False;
            ``profile`` with ``"unknown"``. Columns that no record has are left out.
        counts : DataFrame, optional
            One row per run and step. Without it, whatever needs curves is refused.
        info : RunInfo or mapping of its fields, optional
            What is known of the runs, the same for all.

        Returns
        -------
        SpreadData

        Raises
        ------
        ArgumentError, ArgumentTypeError
            If a column is missing or holds something else than it should, an agent decides
            twice in a step, or a key of ``info`` is unknown.

        Examples
        --------
        >>> rows = {"run": 0, "step": [1, 2], "agent": 7, "contacts": [1, 3]}
        >>> seen = pd.DataFrame({**rows, "outcome": ["decline", "repost"]})
        >>> SpreadData.from_tables(seen, info={"n": 200, "k": 8})
        SpreadData(1 run of 200 agents, 2 decisions)
        """
        from mesa_llmspread.data.tables import complete_counts, complete_exposures

        known = info if isinstance(info, RunInfo) else RunInfo.from_dict(info or {})
        whole = complete_exposures(exposures, known)
        series = complete_counts(counts)
        runs = set(whole["run"].unique()) | set(series["run"].unique())
        return cls(whole, series, dict.fromkeys(map(int, runs), known))

    def __getattr__(self, name: str) -> Any:
        if name in ("manifest", "manifest_of"):
            raise AttributeError(f"SpreadData has no {name} any more: data.info[run] is a RunInfo")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        from mesa_llmspread.data.tables import in_short

        return f"SpreadData({', '.join(in_short(self.exposures, self.info).values())})"

    def _repr_html_(self) -> str:
        from mesa_llmspread.data.tables import in_short

        return html_table("SpreadData", in_short(self.exposures, self.info))

    @property
    def runs(self) -> list[int]:
        """The runs' numbers, in order."""
        return list(self.info)

    def counts_of(self, run: int) -> pd.DataFrame:
        """Return the counts of one run, in order of step.

        Parameters
        ----------
        run : int

        Returns
        -------
        DataFrame

        Raises
        ------
        ArgumentError
            If there is no such run, or no counts of it.
        """
        counts = self._part("counts", [run])
        if counts.empty:
            raise ArgumentError("data", f"run {run}", "have counts for this: it has none")
        return counts.sort_values("step", ignore_index=True)

    def select(self, runs: Sequence[int]) -> SpreadData:
        """Keep some runs, under the numbers they have.

        Parameters
        ----------
        runs : sequence of int

        Returns
        -------
        SpreadData

        Raises
        ------
        ArgumentError
            If there is no such run.
        """
        exposures, counts, agents = (
            self._part(name, runs) for name in ("exposures", "counts", "agents")
        )
        return SpreadData(exposures, counts, {run: self.info[run] for run in runs}, agents)

    def _part(self, table: str, runs: Sequence[int]) -> pd.DataFrame:
        """Take the rows of some runs, in the order they have."""
        for run in runs:
            if run not in self.info:
                raise ArgumentError("runs", run, f"be among the runs {self.runs}")
        rows = [self._rows[table][run] for run in set(runs) if run in self._rows[table]]
        places = np.sort(np.concatenate([np.empty(0, dtype=np.intp), *rows]))
        part: pd.DataFrame = getattr(self, table).iloc[places]
        return part.reset_index(drop=True)

    @cached_property
    def _rows(self) -> dict[str, dict[int, npt.NDArray[np.intp]]]:
        """Where the rows of each run are, found once for all runs."""
        return {
            name: getattr(self, name).groupby("run").indices
            for name in ("exposures", "counts", "agents")
        }

    def by_event(self) -> Iterator[tuple[OfflineEvent, SpreadData]]:
        """Go through the events: each, and the runs about it.

        Raises
        ------
        ArgumentError
            If a run was about no known event, or about several.
        """
        runs: dict[str, list[int]] = {}
        events = {}
        for run, info in self.info.items():
            events[info.event.event_id] = info.event
            runs.setdefault(info.event.event_id, []).append(run)
        for event_id, event in events.items():
            yield event, self.select(runs[event_id])

    def save(self, folder: str | Path, force: bool = False) -> Path:
        """Write the tables (Parquet) and what is known of the runs (JSON) into a new folder.

        The folder appears whole or not at all.

        Parameters
        ----------
        folder : path-like
            Missing or empty.
        force : bool, default False
            Replace the record that is there, and all that is beside it in the folder.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OutputError
            If the folder is not empty, with ``force`` if it holds something other than the
            record of a run, or if it cannot be written.
        """
        from mesa_llmspread.data.files import write_record

        return write_record(self, Path(folder), force)

    @classmethod
    def load(cls, folder: str | Path) -> SpreadData:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        folder : path-like

        Returns
        -------
        SpreadData

        Raises
        ------
        InputFileError
            If a file is missing, damaged, of a newer format, or does not belong to the others;
            or if the folder holds a sweep.

        Warns
        -----
        OldFormatWarning
            If the record was saved by the first edition: what it lacks is filled in.
        """
        from mesa_llmspread.data.files import read_record

        return read_record(Path(folder))


def _check_columns(name: str, table: Any, columns: Iterable[str]) -> None:
    """Check that a table has its columns."""
    if not isinstance(table, pd.DataFrame):
        raise ArgumentTypeError(name, table, "a DataFrame")
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ArgumentError(name, list(table.columns), f"have columns {', '.join(missing)}")


def concat(data: Sequence[SpreadData]) -> SpreadData:
    """Put several records together, as runs 0, 1, ... in their order.

    Parameters
    ----------
    data : sequence of SpreadData
        At least one.

    Returns
    -------
    SpreadData

    Raises
    ------
    ArgumentError
        If there is nothing to put together.
    ArgumentTypeError
        If ``data`` is not a sequence of records.
    """
    if isinstance(data, str | SpreadData) or not isinstance(data, Iterable):
        raise ArgumentTypeError("data", data, "a list of SpreadData")
    data = list(data)
    for i, part in enumerate(data):
        if not isinstance(part, SpreadData):
            raise ArgumentTypeError(f"data[{i}]", part, "a SpreadData")
    if not data:
        raise ArgumentError("data", data, "hold at least one record")
    info = dict(enumerate(known for part in data for known in part.info.values()))
    exposures, counts, agents = (
        _renumbered(data, name) for name in ("exposures", "counts", "agents")
    )
    return SpreadData(
        exposures.astype(EXPOSURE_COLUMNS),
        counts.astype(dict.fromkeys(COUNT_COLUMNS, "int64")),
        info,
        agents.astype(AGENT_COLUMNS),
    )


def _renumbered(data: Sequence[SpreadData], name: str) -> pd.DataFrame:
    """Put one table of several records together, with the runs numbered on."""
    parts = [getattr(part, name) for part in data]
    before = np.cumsum([0, *(len(part.info) for part in data)])
    runs = [
        start + np.searchsorted(part.runs, table["run"].to_numpy())
        for start, part, table in zip(before[:-1], data, parts, strict=True)
    ]
    return pd.concat(parts, ignore_index=True).assign(run=np.concatenate(runs))
