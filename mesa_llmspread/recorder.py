"""What a model writes into Mesa's DataCollector."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mesa.datacollection import DataCollector

from mesa_llmspread.data.collected import COLUMNS, RECORD
from mesa_llmspread.data.schema import EXPOSURE_COLUMNS
from mesa_llmspread.deciders.base import Decision, Exposure

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "REPORTERS",
    "Recorder",
    "log_decisions",
    "with_record",
    "without_record",
]

#: Columns of every model's collector, and the attributes that they report.
REPORTERS = {column: name for name, column in COLUMNS.items()} | {"Step": "clock", RECORD: "record"}

# Columns of the table of decisions; the run is counted by whoever reads several.
_LOGGED = tuple(column for column in EXPOSURE_COLUMNS if column != "run")


class Recorder(DataCollector):
    """Mesa's collector, whose frames leave out what only records and ``batch_run`` read.

    Parameters
    ----------
    model_reporters, agent_reporters : mapping, optional
        What to collect besides.
    """

    def __init__(
        self,
        model_reporters: Mapping[str, Any] | None = None,
        agent_reporters: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(dict(model_reporters or {}), dict(agent_reporters or {}) or None)

    def get_model_vars_dataframe(self) -> pd.DataFrame:
        """Return one row per step: counts, and what was collected besides."""
        return super().get_model_vars_dataframe().drop(columns=["Step", RECORD])


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
        collector._new_table("exposures", _LOGGED)
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
    columns: dict[str, Sequence[Any]] = dict(
        zip(Exposure._fields, zip(*exposures, strict=True), strict=True)
    )
    outcomes, posts, reasons, keys = zip(*decisions, strict=True)
    columns |= {
        "profile": [profile.code for profile in columns["profile"]],
        "event": [event.event_id for event in columns["event"]],
        "outcome": [outcome._value_ for outcome in outcomes],
        "post": posts,
        "reason": reasons,
        "key": keys,
    }
    table = collector.tables["exposures"]
    for name in _LOGGED:
        table[name].extend(columns[name])
