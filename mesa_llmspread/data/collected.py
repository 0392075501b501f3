"""Read the tables of a record from a model's data collector."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import pyarrow as pa

from mesa_llmspread.data.schema import COUNT_COLUMNS, arrow_table
from mesa_llmspread.profiles import Trait

__all__ = ["COLUMNS", "RECORD", "model_tables"]

#: Column of a run's record in the rows of Mesa's ``batch_run``.
RECORD = "Record"

#: Columns of ``counts``, and what a model's collector calls them.
COLUMNS = {name: name.title().replace("_", "") for name in COUNT_COLUMNS if name != "run"}


def model_tables(model: Any, run: int = 0) -> dict[str, pa.Table]:
    """Read the tables of a model's run, so far.

    Parameters
    ----------
    model : SpreadModel
        Its ``datacollector``, ``spreaders`` and ``nodes`` are read.
    run : int, default 0
        The run's number.

    Returns
    -------
    dict of str to pyarrow.Table
        ``exposures``, ``counts`` and ``agents``, for the steps that were completed.
    """
    collected = model.datacollector
    counts = {name: collected.model_vars[column] for name, column in COLUMNS.items()}
    # An interrupted step may have filled some columns; a collector of the user's own may have
    # collected a step twice.
    last = {counts["step"][row]: row for row in range(min(map(len, counts.values())))}
    exposures = collected.tables["exposures"]
    whole = min(bisect_left(exposures["step"], len(last)), *map(len, exposures.values()))
    profiles = [agent.profile for agent in model.spreaders]
    levels = zip(*(profile.levels for profile in profiles), strict=True)
    columns: dict[str, dict[str, Any]] = {
        "exposures": {name: values[:whole] for name, values in exposures.items()},
        "counts": {name: [values[row] for row in last.values()] for name, values in counts.items()},
        "agents": {
            "agent": range(len(profiles)),
            "node": map(str, model.nodes),
            "profile": [profile.code for profile in profiles],
            **dict(zip((trait.value for trait in Trait), levels, strict=True)),
        },
    }
    return {name: arrow_table(name, table, run) for name, table in columns.items()}
