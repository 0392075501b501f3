"""Read what a model's data collector holds as the tables of a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from mesa_llmspread.data.spread_data import AGENT_COLUMNS, COUNT_COLUMNS, EXPOSURE_COLUMNS
from mesa_llmspread.profiles import Trait

__all__ = ["RECORD", "agents_of", "model_tables"]

#: Column of a run's record in the rows of Mesa's ``batch_run``.
RECORD = "Record"

# What the model's collector calls the columns of ``counts``.
_SERIES = {
    "step": "Step",
    "susceptible": "Susceptible",
    "infected": "Infected",
    "new_infected": "NewInfected",
    "exposures": "Exposures",
    "failed": "Failed",
}


def model_tables(model: Any) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Read the tables of a model's run, so far.

    Parameters
    ----------
    model : SpreadModel
        Its ``datacollector``, ``spreaders`` and ``nodes`` are read.

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
    counts = pd.DataFrame({name: values[:whole] for name, values in series.items()})
    counts = counts.drop_duplicates("step", keep="last", ignore_index=True)
    counts.insert(0, "run", 0)
    logged = model.datacollector.tables["exposures"]
    rows = min(map(len, logged.values()))
    exposures = pd.DataFrame({name: column[:rows] for name, column in logged.items()})
    exposures.insert(0, "run", 0)
    exposures = exposures[exposures["step"] < len(counts)].astype(EXPOSURE_COLUMNS)
    agents = pd.DataFrame({"run": 0, **agents_of(model)}).astype(AGENT_COLUMNS)
    return exposures, counts, agents


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
