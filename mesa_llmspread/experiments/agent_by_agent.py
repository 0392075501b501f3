"""A run in which a language model decides agent by agent, against what its table predicts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mesa_llmspread.data import SpreadData, check_data
from mesa_llmspread.deciders.table import TableDecider
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.inference.decisions import Log, profile_indices
from mesa_llmspread.inference.setting import failed_share
from mesa_llmspread.simulation.rebuild import network_of
from mesa_llmspread.tables import ResponseTable

__all__ = ["Agreement", "against_table"]


@dataclass(frozen=True)
class Agreement:
    """One run beside what a response table predicts for it.

    Attributes
    ----------
    band : DataFrame
        ``step, observed, low, median, high`` (shares of agents that have posted, 95 % of the runs
        that the table decides on the same network, from the same starters, with the same
        personalities) and ``inside`` (bool), from step 1.
    decisions : DataFrame
        One row per kind of exposure (first, later, all): ``decisions, reposts, expected`` (sum of
        the table's probabilities at what was seen) and ``z``, their distance in standard errors of
        independent decisions: standard normal if the table is right.
    """

    band: pd.DataFrame
    decisions: pd.DataFrame

    def __str__(self) -> str:
        lines = [
            f"{name}: {row.reposts:.0f} reposts in {row.decisions:.0f} decisions, where the table "
            f"expects {row.expected:.1f} (z = {row.z:+.1f})"
            for name, row in self.decisions.iterrows()
        ]
        inside, steps = int(self.band["inside"].sum()), len(self.band)
        return "\n".join([*lines, f"{inside} of {steps} steps lie within the table's 95 % band"])


def against_table(
    data: SpreadData, table: ResponseTable | str, replicates: int = 1000, rng: int = 0
) -> Agreement:
    """Compare one run with the band that a response table predicts for it.

    Parameters
    ----------
    data : SpreadData
        One run of the model about one event of the table, on a named network. Agents with other
        trait levels than the 32 profiles have count as the profile of their code.
    table : ResponseTable or str
        The table, or the name or folder of one.
    replicates : int, default 1000
        Simulated runs behind the band.
    rng : int, default 0
        Seed of the simulated runs.

    Returns
    -------
    Agreement

    Raises
    ------
    ArgumentError
        If there are several runs, the network was given as a graph, or the starters or profiles
        are unknown.
    """
    from mesa_llmspread.simulation.ensemble import simulate

    check_data(data)
    if len(data.runs) != 1:
        raise ArgumentError("data", f"runs {data.runs}", "hold one run: use data.select")
    (run,) = data.runs
    info = data.info[run]
    network = network_of(info)
    if network is None or info.starters is None:
        raise ArgumentError("data", info.network, "be a run of the model on a named network")
    law = TableDecider(table, events="strict").law(info.event)
    observed = data.counts_of(run)["infected"].to_numpy() / network.n
    agents = data.agents.sort_values("agent")
    share = (
        simulate(
            law,
            network,
            initial_infected=list(info.starters),
            steps=len(observed) - 1,
            visibility=info.seen,
            media_prob=info.media_prob,
            failed_share=failed_share(data, run),
            profiles=profile_indices(agents),
            replicates=replicates,
            rng=rng,
        ).infected
        / network.n
    )
    low, median, high = np.quantile(share, (0.025, 0.5, 0.975), axis=0)
    band = pd.DataFrame(
        {"step": range(len(observed)), "observed": observed}
        | {"low": low, "median": median, "high": high}
        | {"inside": (low <= observed) & (observed <= high)}
    )
    log = Log(data)
    p, first = law.prob(log.seen), log.seen.exposure_count == 1
    kinds = {"first exposures": first, "later exposures": ~first, "all exposures": first | ~first}
    rows = [
        {
            "decisions": int(of.sum()),
            "reposts": log.repost[of].sum(),
            "expected": p[of].sum(),
            "z": (log.repost - p)[of].sum() / np.sqrt(max((p * (1 - p))[of].sum(), 1e-12)),
        }
        for of in kinds.values()
    ]
    return Agreement(band.iloc[1:], pd.DataFrame(rows, index=list(kinds)))
