"""The record of runs: plain tables, which know neither Mesa nor a language model.

Everything that learns from runs (fits, plots, reports) reads this and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mesa_llmspread._figures import axes_for
from mesa_llmspread._validation import check_kind, checked_int
from mesa_llmspread._words import counted, html_table
from mesa_llmspread.data import schema
from mesa_llmspread.data.files import as_path, read_record, write_record
from mesa_llmspread.data.run_info import RunInfo
from mesa_llmspread.data.schema import SCHEMA, UNKNOWN
from mesa_llmspread.data.tables import RECORD, agents_that_decided, model_tables
from mesa_llmspread.events import OfflineEvent
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["SpreadData", "check_data"]

_NONE = np.empty(0, dtype=np.intp)


@dataclass(frozen=True)
class SpreadData:
    """The record of one run or several.

    Parameters
    ----------
    exposures : DataFrame
        One row per decision.
        {exposures}
    counts : DataFrame
        One row per run and step. Empty for decisions without curves.
        {counts}
    info : mapping of int to RunInfo
        What is known of each run, by its number.
    agents : DataFrame, optional
        One row per agent; by default the agents that decided.
        {agents}

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If a table lacks a column, holds an unknown outcome, or a run without info.

    Examples
    --------
    >>> from mesa_llmspread import SpreadModel
    >>> data = SpreadData.from_model(SpreadModel(n=50, k=4, decider="SI(0.1)", rng=1).run(3))
    >>> data.counts["step"].tolist()
    [0, 1, 2, 3]
    """

    exposures: pd.DataFrame
    counts: pd.DataFrame
    info: Mapping[int, RunInfo]
    agents: pd.DataFrame = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        schema.check_table("exposures", self.exposures, values=False)
        schema.check_table("counts", self.counts, values=False)
        strange = set(self.exposures["outcome"].unique()) - set(schema.OUTCOMES)
        if strange:
            allowed = f"be one of {', '.join(schema.OUTCOMES)}"
            raise ArgumentError("exposures['outcome']", sorted(strange, key=str), allowed)
        check_kind("info", self.info, Mapping, "a mapping of run to RunInfo")
        for run, known in self.info.items():
            check_kind(f"info[{run}]", known, RunInfo, "a RunInfo")
        object.__setattr__(self, "info", {int(run): self.info[run] for run in sorted(self.info)})
        if self.agents is None:
            object.__setattr__(self, "agents", agents_that_decided(self.exposures, self.info))
        schema.check_table("agents", self.agents, values=False)
        for name in SCHEMA:
            table = getattr(self, name).reset_index(drop=True)
            object.__setattr__(self, name, table)
            if unknown := set(table["run"].unique()) - set(self.info):
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
        collected = getattr(model, "datacollector", None)
        if "exposures" not in getattr(collected, "tables", ()) or not hasattr(model, "info"):
            raise ArgumentTypeError("model", model, "a SpreadModel")
        tables = {name: table.to_pandas() for name, table in model_tables(model).items()}
        return cls(**tables, info={0: model.info})

    @classmethod
    def from_batch_run(cls, rows: Sequence[Mapping[str, Any]]) -> SpreadData:
        """Read the records of all runs from what Mesa's ``batch_run`` returns.

        Parameters
        ----------
        rows : sequence of mapping
            From one process or several, with any ``data_collection_period``.

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
        if isinstance(rows, str) or not isinstance(rows, Iterable):
            raise ArgumentTypeError("rows", rows, "the rows that batch_run returns")
        records = {}
        for i, row in enumerate(rows):
            check_kind(f"rows[{i}]", row, Mapping, "a row that batch_run returns")
            if not hasattr(row.get(RECORD), "data"):
                raise ArgumentError(
                    f"rows[{i}]", row, f"have a {RECORD!r}, as batch_run writes for a SpreadModel"
                )
            records[row["RunId"]] = row[RECORD]
        from mesa_llmspread.data.concat import concat

        return concat([records[run].data() for run in sorted(records)])

    @classmethod
    def from_tables(
        cls,
        exposures: pd.DataFrame,
        counts: pd.DataFrame | None = None,
        info: RunInfo | Mapping[str, Any] | None = None,
    ) -> SpreadData:
        """Build a record of decisions from elsewhere, such as a survey or an experiment.

        Parameters
        ----------
        exposures : DataFrame
            One row per decision, with ``run, step, agent, contacts`` and ``outcome``. Of the
            other columns of a record those that are missing are filled in: ``exposure_count``
            by counting the agent's occasions with an event in order of ``step``, without
            those that failed; ``cumulative`` with ``contacts``; ``direct`` with False;
            ``profile`` with ``"unknown"``, as a missing text is. Other columns are dropped.
        counts : DataFrame, optional
            One row per run and step. Methods that need curves refuse a record without it.
        info : RunInfo or mapping of its fields, optional
            What is known of the runs, the same for all.

        Returns
        -------
        SpreadData

        Raises
        ------
        ArgumentError, ArgumentTypeError
            If a column is missing or holds something else than it should, numbers contradict
            each other, an agent decides twice in a step, or a key of ``info`` is unknown.

        Examples
        --------
        >>> rows = {"run": 0, "step": [1, 2], "agent": 7, "contacts": [1, 3]}
        >>> seen = pd.DataFrame({**rows, "outcome": ["decline", "repost"]})
        >>> SpreadData.from_tables(seen, info={"n": 200, "k": 8})
        SpreadData(1 run of 200 agents, 2 decisions)
        """
        known = info if isinstance(info, RunInfo) else RunInfo.from_dict(info or {})
        event = known.events[0].event_id if len(known.events) == 1 else UNKNOWN
        series = pd.DataFrame(columns=list(schema.COUNT_COLUMNS)) if counts is None else counts
        schema.check_table("exposures", exposures, filled=True)
        schema.check_table("counts", series)
        whole = schema.completed("exposures", exposures, event=event)
        series = schema.completed("counts", series).sort_values(["run", "step"])
        schema.check_sense(whole, series, known.n)
        runs = set(whole["run"].unique()) | set(series["run"].unique())
        return cls(whole, series, dict.fromkeys(map(int, runs), known))

    def __getattr__(self, name: str) -> Any:
        if name in ("manifest", "manifest_of"):
            raise AttributeError(f"SpreadData has no {name} any more: data.info[run] is a RunInfo")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"SpreadData({', '.join(self._in_short().values())})"

    def _repr_html_(self) -> str:
        return html_table("SpreadData", self._in_short())

    def _in_short(self) -> dict[str, str]:
        """Describe the record in a few words, without what is unknown."""
        infos = self.info.values()
        sizes = {known.n or 0 for known in infos}
        failed = int((self.exposures["outcome"] == "failed").sum())
        events = {event.event_id for known in infos for event in known.events}
        shown = {
            "runs": counted(len(infos), "run"),
            "decisions": counted(len(self.exposures), "decision"),
            "events": counted(len(events), "event") if len(events) > 1 else "".join(events),
            "decided by": " and ".join(sorted({known.decider for known in infos} - {UNKNOWN})),
        }
        if len(sizes) == 1 and any(sizes):
            shown["runs"] += f" of {counted(sizes.pop(), 'agent')}"
        if failed:
            shown["decisions"] += f" ({failed:,} failed)"
        return {name: text for name, text in shown.items() if text}

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

    def plot(self, ax: Axes | None = None) -> Figure:
        """Draw the share of agents that have posted, step by step, one line per run.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure if not given.

        Returns
        -------
        matplotlib.figure.Figure
        """
        figure, axes = axes_for(ax)
        for run in self.runs:
            counts = self.counts_of(run)
            share = counts["infected"] / (counts["susceptible"] + counts["infected"])
            axes.plot(counts["step"], share, label=f"run {run}")
        axes.set(xlabel="step", ylabel="share that has posted", ylim=(0, 1.02))
        return figure

    def select(self, runs: Sequence[int]) -> SpreadData:
        """Return some of the runs, under the same numbers.

        Parameters
        ----------
        runs : sequence of int

        Returns
        -------
        SpreadData

        Raises
        ------
        ArgumentError, ArgumentTypeError
            If there is no such run, or ``runs`` is not a list.
        """
        check_kind("runs", runs, Iterable, "a list of runs")
        tables = {name: self._part(name, runs) for name in SCHEMA}
        return SpreadData(**tables, info={run: self.info[run] for run in runs})

    def _part(self, table: str, runs: Sequence[int]) -> pd.DataFrame:
        """Return the rows of some runs, in their order."""
        chosen = {checked_int("runs", run, 0) for run in runs}
        if unknown := chosen - set(self.info):
            raise ArgumentError("runs", min(unknown), f"be among the runs {self.runs}")
        rows = [self._rows[table].get(run, _NONE) for run in chosen]
        places = np.sort(np.concatenate([_NONE, *rows]))
        return pd.DataFrame(getattr(self, table).iloc[places])

    @cached_property
    def _rows(self) -> dict[str, dict[int, npt.NDArray[np.intp]]]:
        """Where the rows of each run are, found once for all runs."""
        return {name: getattr(self, name).groupby("run").indices for name in SCHEMA}

    def by_event(self) -> Iterator[tuple[OfflineEvent, SpreadData]]:
        """Iterate over the events, each with the runs about it.

        Raises
        ------
        ArgumentError
            If a run was about no known event, or about several, or two events share an id.
        """
        events = {run: info.event for run, info in self.info.items()}
        different = dict.fromkeys(events.values())
        ids = [event.event_id for event in different]
        if len(set(ids)) < len(ids):
            raise ArgumentError("data", f"events {ids}", "have one id per event")
        for event in different:
            yield event, self.select([run for run in events if events[run] == event])

    def save(self, folder: str | Path, force: bool = False) -> Path:
        """Write the tables (Parquet) and what is known of the runs (JSON) into a new folder.

        The folder is written atomically: all of it, or nothing.

        Parameters
        ----------
        folder : path-like
            Missing or empty.
        force : bool, default False
            Replace the record in the folder, and all other files in it.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OutputError
            If the folder is not empty, with ``force`` if it holds something other than the
            record of a run, or if it cannot be written.
        ArgumentError
            If a table holds what :meth:`load` would refuse.
        """
        return write_record(self, as_path(folder), force)

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
            If the record was saved by an earlier version: what it lacks is filled in.
        """
        return cls(**read_record(as_path(folder)))


SpreadData.__doc__ = str(SpreadData.__doc__).format_map(
    {name: schema.columns_text(name) for name in SCHEMA}
)


def check_data(data: Any) -> None:
    """Raise ArgumentTypeError unless ``data`` is a SpreadData."""
    check_kind("data", data, SpreadData, "a SpreadData")
