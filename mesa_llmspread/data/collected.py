"""Read the tables of a record from a model's data collector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from mesa_llmspread.data.schema import COUNT_COLUMNS, completed
from mesa_llmspread.profiles import Trait

__all__ = ["COLUMNS", "RECORD", "agents_of", "model_tables"]

#: Column of a run's record in the rows of Mesa's ``batch_run``.
RECORD = "Record"

#: Columns of ``counts``, and what a model's collector calls them.
COLUMNS = {name: name.title().replace("_", "") for name in COUNT_COLUMNS if name != "run"}


def model_tables(model: Any) -> dict[str, pd.DataFrame]:
    """Read the tables of a model's run, so far.

    Parameters
    ----------
    model : SpreadModel
        Its ``datacollector``, ``spreaders`` and ``nodes`` are read.

    Returns
    -------
    dict of str to DataFrame
        ``exposures``, ``counts`` and ``agents`` of run 0, for the steps that were completed.
    """
    collected = model.datacollector
    series = {name: collected.model_vars[column] for name, column in COLUMNS.items()}
    # A collector of the user's own may have collected a step twice.
    counts = _frame(series).drop_duplicates("step", keep="last")
    exposures = _frame(collected.tables["exposures"])
    return {
        "exposures": completed("exposures", exposures[exposures["step"] < len(counts)], run=0),
        "counts": completed("counts", counts, run=0),
        "agents": completed("agents", pd.DataFrame(agents_of(model)), run=0),
    }


def agents_of(model: Any) -> dict[str, Sequence[Any]]:
    """Return the columns of ``agents`` for a model, without ``run``."""
    profiles = [agent.profile for agent in model.spreaders]
    levels = zip(*(profile.levels for profile in profiles), strict=True)
    return {
        "agent": range(len(profiles)),
        "node": [str(node) for node in model.nodes],
        "profile": [profile.code for profile in profiles],
        **dict(zip((trait.value for trait in Trait), levels, strict=True)),
    }


def _frame(columns: dict[str, list[Any]]) -> pd.DataFrame:
    """Build a table of the rows that are whole: a run may have been interrupted."""
    rows = min(map(len, columns.values()))
    return pd.DataFrame({name: values[:rows] for name, values in columns.items()})
