"""Read what a model's data collector holds as the tables of a record."""

from __future__ import annotations

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


_TYPES = {"int64": pa.int64(), "str": pa.string(), "bool": pa.bool_()}


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
    counts = pd.DataFrame({name: values[:whole] for name, values in series.items()})
    counts = counts.drop_duplicates("step", keep="last", ignore_index=True)
    counts.insert(0, "run", 0)
    logged = model.datacollector.tables["exposures"]
    rows = min(map(len, logged.values()))
    # By way of Arrow, which reads lists of text several times faster than pandas.
    columns = {
        name: pa.array(logged[name][:rows], _TYPES[kind])
        for name, kind in EXPOSURE_COLUMNS.items()
        if name != "run"
    }
    exposures = pa.table(columns).to_pandas(use_threads=False)
    exposures.insert(0, "run", 0)
    exposures = exposures[exposures["step"] < len(counts)]
    nodes = model.manifest.get("nodes", range(model.n))
    agents = pd.DataFrame(
        [
            (0, agent.index, str(node), agent.profile.code, *agent.profile.levels)
            for agent, node in zip(model.spreaders, nodes, strict=True)
        ],
        columns=list(AGENT_COLUMNS),
    ).astype(AGENT_COLUMNS)
    return exposures, counts, agents
