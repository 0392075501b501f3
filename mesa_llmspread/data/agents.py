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
    exposures: pd.DataFrame, info: Mapping[int, RunInfo], others: pd.DataFrame | None = None
) -> pd.DataFrame:
    """List the agents that a record without a table of agents knows.

    Parameters
    ----------
    exposures : DataFrame
        The decisions.
    info : mapping of int to RunInfo
        Names the starters of each run.
    others : DataFrame, optional
        Agents besides those that decided: ``run, agent, node, profile``. By default the
        starters.

    Returns
    -------
    DataFrame
        The columns of a record's agents. Trait levels are those of the profile's code; NaN
        where the code is unknown, or may stand for other levels.
    """
    if others is None:
        starters = [(run, i) for run, known in info.items() for i in known.starters or ()]
        others = pd.DataFrame(starters, columns=["run", "agent"], dtype="int64")
        others = others.assign(node=others["agent"].astype("str"), profile=UNKNOWN)
    decided = exposures[["run", "agent", "profile"]].drop_duplicates(["run", "agent"])
    agents = decided.merge(others, "outer", on=["run", "agent"], suffixes=("", "_other"))
    agents["profile"] = agents["profile"].fillna(agents["profile_other"])
    agents["node"] = agents["node"].fillna(agents["agent"].astype("str"))
    binary = agents["run"].map({run: _is_binary(known.population) for run, known in info.items()})
    # The last row is for unknown codes: their index is -1.
    levels = np.vstack([trait_levels(), np.full(5, np.nan)])
    index = pd.Index(codes()).get_indexer(pd.Index(agents["profile"]))
    traits = levels[np.where(binary.to_numpy(dtype=bool), index, -1)]
    agents[[trait.value for trait in Trait]] = traits
    return completed("agents", agents)


def _is_binary(population: Any) -> bool:
    """Return whether all agents of a population are as high or low as their codes say."""
    return isinstance(population, Mapping) or population in ("uniform", "norms", *codes())
