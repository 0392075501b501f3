"""Read what a model's data collector holds as the tables of a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from mesa_llmspread.data.spread_data import AGENT_COLUMNS, COUNT_COLUMNS, EXPOSURE_COLUMNS

__all__ = ["model_tables"]

# What the model's collector calls the columns of ``counts``.
_SERIES = {
    "step": "Step",
    "susceptible": "Susceptible",
    "infected": "Infected",
    "new_infected": "NewInfected",
    "exposures": "Exposures",
    "failed": "Failed",
}


_COUNTS = dict.fromkeys(COUNT_COLUMNS, "int64")

_TYPES = {
    "int64": pa.int64(),
    "float64": pa.float64(),
    "str": pa.string(),
    "bool": pa.bool_(),
}


def model_tables(model: Any) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Read the tables of a model's run, so far.

    Parameters
    ----------
    model : SpreadModel

    Returns
    -------
    exposures, counts, agents : DataFrame
        Of run 0, for the steps that were completed.
    """
    collected = model.datacollector.model_vars
    # A run that was interrupted may have collected a part of its last step; a collector of the
    # user's own may have collected one twice.
    series = {name: collected[_SERIES[name]] for name in COUNT_COLUMNS[1:]}
    whole = min(map(len, series.values()))
    counts = _frame({name: values[:whole] for name, values in series.items()}, _COUNTS)
    counts = counts.drop_duplicates("step", keep="last", ignore_index=True)
    logged = model.datacollector.tables["exposures"]
    rows = min(map(len, logged.values()))
    exposures = _frame({name: column[:rows] for name, column in logged.items()}, EXPOSURE_COLUMNS)
    exposures = exposures[exposures["step"] < len(counts)]
    profiles = [agent.profile for agent in model.spreaders]
    levels = zip(*(profile.levels for profile in profiles), strict=True)
    columns = {
        "agent": range(len(profiles)),
        "node": list(map(str, model.manifest.get("nodes", range(model.n)))),
        "profile": [profile.code for profile in profiles],
        **dict(zip(list(AGENT_COLUMNS)[-5:], levels, strict=True)),
    }
    return exposures, counts, _frame(columns, AGENT_COLUMNS)


def _frame(columns: Mapping[str, Sequence[Any]], kinds: Mapping[str, str]) -> pd.DataFrame:
    """Build a table of run 0, by way of Arrow: it reads lists of text faster than pandas."""
    arrays = {
        name: pa.array(columns[name], _TYPES[kind]) for name, kind in kinds.items() if name != "run"
    }
    table = pa.table({"run": pa.repeat(0, len(next(iter(arrays.values())))), **arrays})
    return table.to_pandas(use_threads=False)
