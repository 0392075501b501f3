"""Automated accounts among people: who decides, and what it does to the spread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from mesa_llmspread.data import SpreadData, concat
from mesa_llmspread.deciders import Decider, Decision, Exposure, MixedDecider, Outcome
from mesa_llmspread.model import SpreadModel

__all__ = ["Amplifier", "reach", "simulate_shares"]


class Amplifier(Decider):
    """An automated account: it reposts whatever it sees, at once."""

    name = "amplifier"

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        """Repost at every exposure; see :meth:`Decider.decide`."""
        return [Decision(Outcome.REPOST, reason="automated")] * len(exposures)


def simulate_shares(
    people: str, shares: Sequence[float], runs: int, steps: int, n: int, rng: int
) -> Iterator[tuple[float, SpreadData]]:
    """Simulate populations with different shares of automated accounts.

    Parameters
    ----------
    people : str
        Who decides for the others, as ``SpreadModel`` takes it.
    shares : sequence of float
        Shares of automated accounts, from 0 to 1.
    runs, steps, n : int
        Runs per share, steps per run, and agents.
    rng : int
        Seed of the first run.

    Yields
    ------
    float, SpreadData
        A share, and the record of its runs.
    """
    for share in shares:
        decider = MixedDecider([(1 - share, people), (share, Amplifier())])
        models = (
            SpreadModel(n=n, decider=decider, initial_infected=max(n // 100, 1), rng=rng + run)
            for run in range(runs)
        )
        yield share, concat([SpreadData.from_model(model.run(steps)) for model in models])


def reach(data: SpreadData, n: int, people_only: bool = True) -> pd.DataFrame:
    """Count who has posted, step by step, as a share of all agents.

    Parameters
    ----------
    data : SpreadData
        Runs of one population.
    n : int
        Number of agents.
    people_only : bool, default True
        Whether to leave out the posts of automated accounts.

    Returns
    -------
    DataFrame
        One row per step: ``mean``, ``low`` and ``high`` (the range of the runs).
    """
    posts = data.exposures[data.exposures["outcome"] == "repost"]
    if people_only:
        posts = posts[posts["reason"] != "automated"]
    steps = range(int(data.counts["step"].max()) + 1)
    counted = posts.groupby(["run", "step"]).size().unstack(fill_value=0)
    each = counted.reindex(index=data.runs, columns=steps, fill_value=0).cumsum(axis=1) / n
    return pd.DataFrame({"mean": each.mean(), "low": each.min(), "high": each.max()})
