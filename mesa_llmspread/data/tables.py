"""The tables of a record: read from a model, or its agents from the decisions that name them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from mesa_llmspread.data.run_info import RunInfo
from mesa_llmspread.data.schema import COUNT_COLUMNS, UNKNOWN, arrow_table, completed
from mesa_llmspread.profiles import Trait, codes, trait_levels

__all__ = ["COLUMNS", "RECORD", "agents_that_decided", "model_tables"]

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


def agents_that_decided(
    exposures: pd.DataFrame,
    info: Mapping[int, RunInfo],
    profiles: Mapping[tuple[int, int], str] | None = None,
    names: Mapping[tuple[int, int], str] | None = None,
) -> pd.DataFrame:
    """List the agents that a record without a table of agents names.

    Parameters
    ----------
    exposures : DataFrame
        The decisions.
    info : mapping of int to RunInfo
        Names the starters of each run.
    profiles, names : mapping of (int, int) to str, optional
        Profile codes of starters, and names of nodes, by run and agent, where they are known.

    Returns
    -------
    DataFrame
        The columns of a record's agents. Trait levels are those of the profile's code; NaN
        where the code is unknown, or may stand for other levels.
    """
    profiles, names = profiles or {}, names or {}
    starters = [
        (run, agent, profiles.get((run, agent), UNKNOWN))
        for run, its in info.items()
        for agent in its.starters or ()
    ]
    columns = ["run", "agent", "profile"]
    agents = pd.concat([exposures[columns], pd.DataFrame(starters, columns=columns)])
    agents = agents.drop_duplicates(["run", "agent"]).sort_values(["run", "agent"])
    binary = agents["run"].map({run: _is_binary(its.population) for run, its in info.items()})
    # The last row is for unknown codes: their index is -1.
    levels = np.vstack([trait_levels(), np.full(5, np.nan)])
    index = pd.Index(codes()).get_indexer(pd.Index(agents["profile"]))
    traits = levels[np.where(binary.to_numpy(dtype=bool), index, -1)]
    agents[[trait.value for trait in Trait]] = traits
    keys = zip(agents["run"], agents["agent"], strict=True)
    return completed("agents", agents.assign(node=[names.get(k, str(k[1])) for k in keys]))


def _is_binary(population: Any) -> bool:
    """Return whether all agents of a population are as high or low as their codes say."""
    return isinstance(population, Mapping) or population in ("uniform", "norms", *codes())
