"""What a model writes into Mesa's DataCollector, and its record in rows of ``batch_run``."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from mesa.datacollection import DataCollector

from mesa_llmspread.data import SpreadData
from mesa_llmspread.data.schema import EXPOSURE_COLUMNS
from mesa_llmspread.data.tables import COLUMNS, RECORD
from mesa_llmspread.deciders.base import Decision, Exposure

if TYPE_CHECKING:
    import pandas as pd

    from mesa_llmspread.model import SpreadModel

__all__ = [
    "REPORTERS",
    "Recorder",
    "RunRecord",
    "log_decisions",
    "with_record",
    "without_record",
]

#: Columns of every model's collector, and the attributes that they report.
REPORTERS = {column: name for name, column in COLUMNS.items()} | {"Step": "clock", RECORD: "record"}

# Columns of the table of decisions; a run gets its number when records are joined.
_LOGGED = tuple(column for column in EXPOSURE_COLUMNS if column != "run")

_ATTRIBUTES = {"profile": "profile.code", "event": "event.event_id", "outcome": "outcome._value_"}


class Recorder(DataCollector):
    """Mesa's collector, whose frames leave out what only records and ``batch_run`` read."""

    def get_model_vars_dataframe(self) -> pd.DataFrame:
        """Return one row per step: counts, and what else was collected."""
        return super().get_model_vars_dataframe().drop(columns=["Step", RECORD])


class RunRecord:
    """The record of a run, as it stands in every row that Mesa's ``batch_run`` makes of it.

    All rows share one record, which crosses to another process once. It holds the whole
    run, because ``batch_run`` of Mesa 3.3 leaves out what a run's last step collected.

    Parameters
    ----------
    source : SpreadModel or SpreadData
        The model, while it is in this process.
    """

    def __init__(self, source: SpreadModel | SpreadData) -> None:
        self._source = source

    def data(self) -> SpreadData:
        """Return the record so far, as :meth:`SpreadData.from_model` does."""
        source = self._source
        return source if isinstance(source, SpreadData) else SpreadData.from_model(source)

    def __deepcopy__(self, memo: dict[int, Any]) -> RunRecord:
        # The collector copies what it collects, at every step.
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return RunRecord, (self.data(),)


def with_record(collector: DataCollector) -> DataCollector:
    """Add the columns and the table of a run's record to a collector, where it lacks them.

    Parameters
    ----------
    collector : mesa.datacollection.DataCollector

    Returns
    -------
    DataCollector
        The collector itself.
    """
    own = {name: values for name, values in collector.model_vars.items() if name not in REPORTERS}
    reporters = {name: collector.model_reporters[name] for name in own}
    collector.model_reporters = {**REPORTERS, **reporters}
    collector.model_vars = {**{name: [] for name in REPORTERS}, **own}
    if "exposures" not in collector.tables:
        collector.tables["exposures"] = {name: [] for name in _LOGGED}
    return collector


def without_record(collector: DataCollector) -> DataCollector:
    """Return a shallow copy of a collector whose column of records is empty.

    Parameters
    ----------
    collector : mesa.datacollection.DataCollector

    Returns
    -------
    DataCollector
    """
    bare = copy.copy(collector)
    bare.model_vars = {**collector.model_vars, RECORD: []}
    return bare


def log_decisions(
    collector: DataCollector, exposures: Sequence[Exposure], decisions: Sequence[Decision]
) -> None:
    """Write a step's decisions into a collector's table, column by column.

    Parameters
    ----------
    collector : mesa.datacollection.DataCollector
    exposures : sequence of Exposure
        What the agents saw.
    decisions : sequence of Decision
        What was decided, in the same order.
    """
    if not exposures:
        return
    table = collector.tables["exposures"]
    # Column by column: zip(*exposures) makes one iterator per decision, which the garbage
    # collector then searches again and again.
    for name in _LOGGED:
        source = exposures if name in Exposure._fields else decisions
        values = map(attrgetter(_ATTRIBUTES.get(name, name)), source)
        table[name].extend(values)
