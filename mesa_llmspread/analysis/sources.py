"""From whom an agent that posted may have had the news, and how likely each source is."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mesa_llmspread.analysis.trees import NOBODY, Ints
from mesa_llmspread.data import SpreadData
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.inference.decisions import Log
from mesa_llmspread.inference.fit import fit_log
from mesa_llmspread.networks import Network
from mesa_llmspread.transmission import (
    OnlineOffline,
    TransmissionLaw,
    Visibility,
    probability_to_rate,
)

__all__ = ["check_network", "media_shares", "possible_sources"]

# A rate that is as good as infinite.
_CERTAIN = 1e9


def media_shares(
    data: SpreadData, log: pd.DataFrame, law: TransmissionLaw | None
) -> pd.Series[float]:
    """Return how likely each repost at which the event itself was seen came of it, by agent."""
    saw_both = log[(log["outcome"] == "repost") & log["direct"] & (log["contacts"] > 0)]
    shares = log.loc[(log["outcome"] == "repost") & log["direct"]].set_index("agent")["contacts"]
    # Without another source the media are the only one.
    shares = (shares == 0).astype(float)
    if saw_both.empty:
        return shares
    decisions = Log(data)
    if law is None:
        law = fit_log(decisions, OnlineOffline.example()).likeliest or OnlineOffline(0.0, 0.0)
    seen = decisions.seen[decisions.table.index.get_indexer(saw_both.index)]
    chances = law.online().checked_prob(seen), seen.offline_prob(law.alpha)
    # Of two that are certain each may be the source.
    online, offline = (np.minimum(probability_to_rate(each), _CERTAIN) for each in chances)
    total = offline + online
    shares[saw_both["agent"]] = np.divide(
        offline, total, out=1 / (1 + saw_both["contacts"].to_numpy()), where=total > 0
    )
    return shares


def check_network(log: pd.DataFrame, network: Network, posted_at: Ints, seen: Visibility) -> None:
    """Raise ArgumentError unless agents saw as many posts on this network as recorded."""
    for _, rows in log.groupby("step"):
        step = int(rows["step"].iloc[0])
        visible = (posted_at < step) & (posted_at >= step - (seen.visible_for or step))
        total = np.concatenate([[0], np.cumsum(visible[network.indices])])
        contacts = np.diff(total[network.indptr])[rows["agent"]]
        wrong = np.flatnonzero(contacts != rows["contacts"])
        if len(wrong):
            first = rows.iloc[wrong[0]]
            raise ArgumentError(
                "network",
                f"{contacts[wrong[0]]} posting neighbours of agent {first['agent']} at step {step}",
                f"be the one of the run, in which it saw {first['contacts']}",
            )


def possible_sources(
    log: pd.DataFrame,
    spreaders: pd.DataFrame,
    network: Network,
    posted_at: Ints,
    seen: Visibility,
    media: pd.Series[float],
) -> pd.DataFrame:
    """Return the possible sources of each spreader; raise ArgumentError if one has none."""
    row = np.full(network.n, NOBODY, dtype=np.int64)
    row[spreaders["agent"]] = np.arange(len(spreaders))
    child, parent = np.repeat(np.arange(network.n), network.degrees), network.indices
    age = posted_at[child] - 1 - posted_at[parent]
    edges = (row[child] != NOBODY) & (age >= 0) & (age < (seen.visible_for or np.inf))
    children, parents = row[child[edges]], row[parent[edges]]
    weight = seen.weights(int(spreaders["step"].max()) + 1)[age[edges]]
    # From the media, and of the starters.
    roots = np.concatenate([np.flatnonzero(spreaders["step"] == 0), row[media.index]])
    of_roots = np.concatenate([np.ones((spreaders["step"] == 0).sum()), media])
    left = np.ones(len(spreaders))
    left[roots] -= of_roots
    total = np.bincount(children, weight, minlength=len(spreaders))
    probability = weight * (left / np.where(total > 0, total, 1.0))[children]
    found = pd.DataFrame(
        {
            "child": np.concatenate([children, roots]),
            "parent": np.concatenate([parents, np.full(len(roots), NOBODY)]),
            "probability": np.concatenate([probability, of_roots]),
        }
    )
    number = np.bincount(found["child"], minlength=len(spreaders))
    if not number.all():
        agent, step = spreaders.loc[number.argmin(), ["agent", "step"]]
        value = f"repost of agent {agent} at step {step}"
        raise ArgumentError("data", value, "come after seeing something")
    return found.sort_values("child", kind="stable", ignore_index=True)
