"""Read the tables of a record from a model's data collector."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mesa_llmspread.data.schema import AGENT_COLUMNS, COUNT_COLUMNS, completed

__all__ = ["COLUMNS", "RECORD", "model_tables"]

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
    agents = [
        (0, agent, str(node), spreader.profile.code, *spreader.profile.levels)
        for agent, (node, spreader) in enumerate(zip(model.nodes, model.spreaders, strict=True))
    ]
    return {
        "exposures": completed("exposures", exposures[exposures["step"] < len(counts)], run=0),
        "counts": completed("counts", counts, run=0),
        "agents": completed("agents", pd.DataFrame(agents, columns=list(AGENT_COLUMNS))),
    }


def _frame(columns: dict[str, list[Any]]) -> pd.DataFrame:
    """Build a table of the rows that are whole: a run may have been interrupted."""
    rows = min(map(len, columns.values()))
    return pd.DataFrame({name: values[:rows] for name, values in columns.items()})
