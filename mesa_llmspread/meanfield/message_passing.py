"""Dynamic message passing: how probable it is that each node of a given network posts, and when.

The master equations with one probability per directed edge instead of one for all edges (Karrer
& Newman 2010, doi:10.1103/PhysRevE.82.016101; Lokhov, Mezard & Zdeborova 2015,
doi:10.1103/PhysRevE.91.012811). Exact on trees, close where loops are long; on clustered networks
the probabilities are too high, while the order of the nodes stays right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mesa_llmspread._validation import check_contacts, check_name, checked_int
from mesa_llmspread.exceptions import ArgumentError, UndefinedClosureError
from mesa_llmspread.meanfield.equations import Floats
from mesa_llmspread.networks import Network, as_network, node_names
from mesa_llmspread.profiles import trait_levels
from mesa_llmspread.simulation.ensemble import people_of, starters_of
from mesa_llmspread.transmission import TransmissionLaw, law_of

__all__ = ["node_risk"]


def node_risk(
    law: TransmissionLaw | str,
    network: Any,
    initial_infected: int | npt.ArrayLike,
    steps: int,
    *,
    feed: str = "persistent",
    profiles: npt.ArrayLike | None = None,
) -> pd.DataFrame:
    """Return the probability that each node posts, and the step in which it does.

    Parameters
    ----------
    law : TransmissionLaw or str
        A law of independent contacts without memory, such as ``SI``, ``OnlineOffline``,
        ``TwoClass``, ``ByProfile`` or ``ByTraits``. With ``alpha > 0`` the event itself is seen
        in every step.
    network : Network, networkx.Graph, EdgeList or pair of array_like (indptr, indices)
        Who sees whose posts.
    initial_infected : int or sequence of int
        How many agents have posted at the start, each as likely as any other; or which ones,
        by their place in the network.
    steps : int
        Number of steps, at least 0.
    feed : {"persistent", "new"}, default "persistent"
        Whether posts stay visible, or are seen in one step only.
    profiles : sequence of int, shape (n,), or of float, shape (n, 5), optional
        Index of each agent's profile in ``all_profiles()``, or its five trait levels. If not
        given, each agent has any profile with the same probability.

    Returns
    -------
    DataFrame
        One row per node: ``node`` (its name), ``probability`` of having posted by the last step,
        and ``expected_step``, the mean step in which it posts if it does (0 for starters; NaN
        where it cannot).

    Raises
    ------
    UndefinedClosureError
        If the contacts of the law do not act independently, or it has a memory.
    ArgumentError, ArgumentTypeError
        If an argument is not allowed.

    Notes
    -----
    Per step the work is proportional to the number of edges, times that of classes.

    Examples
    --------
    >>> from mesa_llmspread import SI
    >>> import networkx as nx
    >>> node_risk(SI(0.5), nx.path_graph(3), [0], steps=2)
       node  probability  expected_step
    0     0         1.00       0.000000
    1     1         0.75       1.333333
    2     2         0.25       2.000000
    """
    law = law_of(law)
    graph = as_network(network)
    check_contacts("network", network, int(graph.degrees.max()), "alpha", law.alpha)
    check_name("feed", feed, ("persistent", "new"))
    steps = checked_int("steps", steps, 0)
    starters, number = starters_of(initial_infected, graph.n, law.alpha)
    susceptible = np.full(graph.n, 1.0 if len(starters) else 1 - number / graph.n)
    susceptible[starters] = 0.0
    share, contact, direct = _classes(law, graph.n, profiles)
    never = _spread(graph, susceptible, share, contact, direct, steps, feed == "persistent")
    probability = 1 - never[-1]
    posted = -np.diff(never, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.arange(1, steps + 1) @ posted / probability
    names = list(node_names(network, graph.n))
    return pd.DataFrame({"node": names, "probability": probability, "expected_step": expected})


def _classes(
    law: TransmissionLaw, n: int, profiles: npt.ArrayLike | None
) -> tuple[Floats, Floats, Floats]:
    """Return the share of each class, and its chances of one contact and of the event per node."""
    parts = law.classes()
    for _, part in parts:
        if part.memory != "none" or not part.independent_contacts:
            reason = "have contacts that act independently, and no memory, to be followed by node"
            raise UndefinedClosureError("law", law, reason)
    share, laws = [weight for weight, _ in parts], [part for _, part in parts]
    levels, index = trait_levels()[:1], np.zeros(n, dtype=np.int64)
    if profiles is not None and law.uses_profile:
        if len(law.mixture_components()) > 1:
            raise ArgumentError("profiles", profiles, f"be left out for {law}, of latent classes")
        share, laws = [1.0], [law]
        index, levels = people_of(profiles, n)
    ones, profile = np.ones(len(levels), dtype=np.int64), (levels > 0) @ [16, 8, 4, 2, 1]
    contact = np.array([part.evaluate(ones, profile=profile, levels=levels) for part in laws])
    direct = np.array(
        [float(part.evaluate(0, direct=True)) if part.offline else 0.0 for part in laws]
    )
    return np.array(share)[:, None], contact[:, index], direct[:, None]


def _spread(
    network: Network,
    susceptible: Floats,
    share: Floats,
    contact: Floats,
    direct: Floats,
    steps: int,
    persistent: bool,
) -> Floats:
    """Return the probability that each node has not posted, shape (steps + 1, n)."""
    from scipy.sparse import csr_array

    size = len(network.indices)
    receiver, sender = np.repeat(np.arange(network.n), network.degrees), network.indices
    # The same edge the other way round.
    back = np.lexsort((receiver, sender))
    ends = csr_array((np.ones(size), np.arange(size), network.indptr), (network.n, size))

    def spared(theta: Floats, seen: int) -> tuple[Floats, Floats]:
        """Return the probability that a node, and a sender without its receiver, has not posted."""
        # Sums of logarithms, from which one edge can be taken away; zeros are counted instead.
        zero = theta <= 0
        logs = np.log(np.where(zero, 1.0, theta))
        total, zeros = (ends @ logs.T).T, (ends @ zero.T.astype(float)).T
        alone = share * (1 - direct) ** seen
        whole = np.sum(alone * np.exp(total) * (zeros == 0), axis=0)
        others = np.exp(total[:, sender] - logs[:, back]) * (zeros[:, sender] == zero[:, back])
        return susceptible * whole, susceptible[sender] * np.sum(alone * others, axis=0)

    # Per class of the receiver and edge: nothing has passed yet, and it may pass in this step.
    theta = np.ones((len(share), size))
    visible = np.tile(1 - susceptible[sender], (len(share), 1))
    chance, before = contact[:, receiver], susceptible[sender]
    never = [susceptible]
    for step in range(1, steps + 1):
        passed = chance * visible
        theta = np.maximum(theta - passed, 0.0)
        node, after = spared(theta, step)
        visible = (visible - passed if persistent else 0.0) + (before - after)
        before = after
        never.append(node)
    return np.minimum.accumulate(never, axis=0)
