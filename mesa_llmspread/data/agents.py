"""The agents of a record that has no table of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mesa_llmspread.data.run_info import RunInfo
from mesa_llmspread.data.schema import UNKNOWN, completed
from mesa_llmspread.profiles import Trait, codes, trait_levels

__all__ = ["agents_that_decided"]


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
