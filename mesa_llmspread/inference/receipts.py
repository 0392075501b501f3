"""When the posts came that agents saw: what fits need where posts leave view, or fade."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.inference.scale import Floats
from mesa_llmspread.transmission import Visibility

__all__ = ["Receipts", "receipts_of"]

Integers = npt.NDArray[np.int64]

# What an agent has seen is of one event.
_OF_AGENT = ["run", "agent", "event"]


@dataclass(frozen=True)
class Receipts:
    """The posts that were in view, or had been, at each decision: one entry per decision and step.

    Attributes
    ----------
    decision : ndarray of int, shape (entries,)
        Which decision.
    age : ndarray of int, shape (entries,)
        Age of the posts that came at the step.
    number : ndarray of float, shape (entries,)
        How many came.
    step : ndarray of int, shape (decisions,)
        The step of each decision.
    """

    decision: Integers
    age: Integers
    number: Floats
    step: Integers

    def weight(self, seen: Visibility) -> Floats:
        """Return what all posts in view weigh at each decision."""
        last = int(self.step.max(initial=1))
        weights = seen.weights(last)[self.age] * self.number
        total = np.bincount(self.decision, weights, minlength=len(self.step))
        return total * seen.event_weights(last)[self.step - 1]


def receipts_of(
    exposures: pd.DataFrame, kept: pd.Index[int], windows: Mapping[int, float]
) -> Receipts:
    """Return when the posts came that some decisions saw.

    An agent that sees a new post decides at that step, so that the numbers of neighbours who have
    posted so far, at all its decisions, say when each post came.

    Parameters
    ----------
    exposures : DataFrame
        The table of :class:`~mesa_llmspread.data.SpreadData`.
    kept : Index
        Its rows to return.
    windows : mapping of int to float
        For how many steps posts were in view in each run.

    Returns
    -------
    Receipts

    Raises
    ------
    ArgumentError
        If the number falls from one decision of an agent to a later one, decisions are missing
        between them, or an agent saw another number of posts than came.
    """
    table = exposures[[*_OF_AGENT, "step", "cumulative"]].sort_values([*_OF_AGENT, "step"])
    by_agent = table.groupby(_OF_AGENT)
    of_agent = by_agent["cumulative"]
    new = table["cumulative"] - of_agent.shift(fill_value=0)
    if (new < 0).any():
        first = table[new < 0].iloc[0]
        value = "{cumulative} for agent {agent} at step {step} of run {run}".format(**first)
        raise ArgumentError("data.exposures['cumulative']", value, "not fall from step to step")
    # While an agent has posts in view it decides at every step.
    missing = (of_agent.shift(fill_value=0) > 0) & (table["run"].map(windows) == np.inf)
    missing &= (new > 0) & (by_agent["step"].diff() > 1)
    if missing.any():
        value = "agent {agent} before step {step} of run {run}".format(**table[missing].iloc[0])
        raise ArgumentError("data.exposures", value, "hold all decisions, where posts age")
    came = table.assign(number=new)[new > 0].rename(columns={"step": "came"})
    rows = exposures.loc[kept, [*_OF_AGENT, "step"]].assign(decision=np.arange(len(kept)))
    pairs = rows.merge(came, on=_OF_AGENT)
    pairs = pairs[pairs["came"] <= pairs["step"]]
    decision, number = pairs["decision"].to_numpy(), pairs["number"].to_numpy(dtype=float)
    age = (pairs["step"] - pairs["came"]).to_numpy()
    in_view = age < pairs["run"].map(windows).to_numpy()
    contacts = np.bincount(decision, number * in_view, minlength=len(rows))
    if (wrong := contacts != exposures.loc[kept, "contacts"].to_numpy()).any():
        first = exposures.loc[kept[wrong][0], ["contacts", "agent", "step", "run"]]
        value = "{contacts} for agent {agent} at step {step} of run {run}".format(**first)
        wanted = f"be the {contacts[wrong][0]:.0f} that came by 'cumulative', where posts age"
        raise ArgumentError("data.exposures['contacts']", value, wanted)
    return Receipts(decision, age, number, rows["step"].to_numpy())
