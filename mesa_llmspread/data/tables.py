"""The tables of a record: read from a model, or its agents from the decisions that name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mesa_llmspread.data.run_info import RunInfo
from mesa_llmspread.data.schema import AGENT_COLUMNS, COUNT_COLUMNS, UNKNOWN, completed
from mesa_llmspread.profiles import Trait, codes, trait_levels

__all__ = ["COLUMNS", "RECORD", "agents_that_decided", "model_tables"]

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
