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


def reach(data: SpreadData, steps: int) -> pd.DataFrame:
    """Count which share of the people has posted, run by run and step by step.

    Parameters
    ----------
    data : SpreadData
        Runs of one population.
    steps : int
        The last step. Where a run ended before, nobody could post any more.

    Returns
    -------
    DataFrame
        One row per run, one column per step. People are the agents that decided at least once and
        are not automated.
    """
    theirs = data.exposures[data.exposures["reason"] != "automated"]
    posts = theirs[theirs["outcome"] == "repost"].groupby(["run", "step"]).size()
    counted = posts.unstack(fill_value=0)
    counted = counted.reindex(index=data.runs, columns=range(steps + 1), fill_value=0)
    return counted.cumsum(axis=1).div(theirs.groupby("run")["agent"].nunique(), axis=0)
