r"""The master equations: exact on large random networks.

A random network of given degrees looks like a tree from any agent. On a tree, as long as an
agent is susceptible, no news can have passed through it from one neighbour to another: the
histories of its neighbours are independent, and do not depend on the agent. So one may
watch a *test agent* that is kept from passing anything on, and follow its neighbours as
independent copies of one random process. Two forms of this idea are here.

The **edge-based** form (:mod:`~mesa_llmspread.meanfield.edge_based`) serves laws whose contacts
act independently: an agent is susceptible if none of its edges has transmitted, so the chance
``theta`` of one edge is all that is needed.

The **cavity** form serves any law: it follows how many neighbours of a susceptible agent are
infected, as approximate master equations do (Gleeson 2013, doi:10.1103/PhysRevX.3.021004),
but takes the hazard of its susceptible neighbours from agents with one edge cut, the *cavity*
at which the test agent sits, which makes it exact here. Where contacts act independently it
gives the same numbers as the edge-based form.

Both are exact as the number of agents grows with the share of starters fixed, on networks
drawn at random with the given degrees (the configuration model; a random regular network
where all degrees are equal). Triangles and other short cycles (clustering), or degrees that
go with those of the neighbours, are beyond them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from math import comb

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from mesa_llmspread.exceptions import UndefinedClosureError
from mesa_llmspread.meanfield.ageing import ageing_map
from mesa_llmspread.meanfield.closure import Closure
from mesa_llmspread.meanfield.edge_based import edge_map, edge_ode
from mesa_llmspread.meanfield.equations import (
    Degrees,
    Floats,
    Kernel,
    Laws,
    System,
    binomial,
    contact_chances,
    decision_kernel,
    rate_kernel,
)
from mesa_llmspread.transmission import TransmissionLaw, Visibility

__all__ = ["Master", "cavity_map", "cavity_ode", "window_map"]


_MOST_STATES = 2000  # of the neighbours of an agent, in one map


class Master(Closure):
    """Independent branches of a tree, followed exactly."""

    name = "master"

    def supports(
        self, law: TransmissionLaw, time: str, visibility: Visibility, network: Degrees
    ) -> str | None:
        """Refuse what only a simulation can follow; see :meth:`Closure.supports`."""
        if visibility.feed is not None or law.independent_contacts:
            return None
        if not visibility.ages and _states(network, visibility) <= _MOST_STATES:
            return None
        return (
            f"be left out for {law} with {visibility}: where contacts act together the equations "
            "need the age of every post in view, here too many states; simulate() follows them"
        )

    def discrete(
        self,
        laws: Laws,
        network: Degrees,
        infected: float,
        visibility: Visibility,
        media_prob: float | None = None,
        failed_share: float = 0.0,
    ) -> System:
        """Return :func:`edge_map` where contacts act independently, else :func:`cavity_map`.

        A decision that fails takes all contacts of its step with it, so that they do not act
        independently. Where posts age, or stay in view for some steps, the equations are those
        of :mod:`~mesa_llmspread.meanfield.ageing`, or :func:`window_map`.
        """
        tabulate = partial(decision_kernel, media_prob=media_prob, failed_share=failed_share)
        if (feed := visibility.feed) is None:
            if not failed_share and all(law.independent_contacts for _, law in laws):
                return ageing_map(laws, network, infected, visibility, media_prob)
            if _states(network, visibility) > _MOST_STATES:
                allowed = f"be 0 with {visibility}, for which there are no equations: simulate()"
                raise UndefinedClosureError("failed_share", failed_share, allowed)
            return window_map(laws, network, infected, visibility.visible_for or 1, tabulate)
        if not failed_share and (chances := contact_chances(laws, media_prob)) is not None:
            return edge_map(chances, network, infected, feed=feed)
        return cavity_map(laws, network, infected, feed=feed, tabulate=tabulate)

    def continuous(
        self, laws: Laws, network: Degrees, infected: float, media_prob: float | None = None
    ) -> System:
        """Return :func:`edge_ode` where contacts act independently, else :func:`cavity_ode`."""
        if (chances := contact_chances(laws, media_prob)) is not None:
            return edge_ode(chances, network, infected)
        return cavity_ode(laws, network, infected, partial(rate_kernel, media_prob=media_prob))


def cavity_map(
    laws: Laws,
    degrees: Degrees,
    infected: float,
    *,
    feed: str,
    tabulate: Callable[..., Kernel] = decision_kernel,
) -> System:
    r"""Return the cavity equations in discrete time.

    Let ``U_n[a, i]`` be the chance that an agent with ``n`` neighbours that did not start
    infected is susceptible, of type ``a``, with ``i`` neighbours infected so far. In one
    step each of its ``n - i`` others is infected with the same chance ``h``, and then it
    decides on the ``m`` it sees:

    .. math:: U_n'(b, i') = \sum_{a, i} U_n(a, i)\, \mathrm{Bin}(i' - i; n - i, h)\,
        K_{ab}(m),

    with ``m = i'`` where posts stay visible and ``m = i' - i`` where only new ones are seen.
    A neighbour of degree ``d``, met with chance ``d p_d / <k>``, is such an agent with
    ``n = d - 1``: the edge back is cut, for a susceptible agent tells it nothing. So the
    chance that a susceptible neighbour becomes infected is what the cavity agents lost,

    .. math:: h' = 1 - \frac{\sum_d d\, p_d \sum U_{d-1}'}{\sum_d d\, p_d \sum U_{d-1}},

    and it starts as the share of starters. Agents are :math:`\sum_d p_d \sum U_d` susceptible.

    Parameters
    ----------
    laws : sequence of (float, TransmissionLaw)
        Share and law of each class.
    degrees, infected, feed
        As for :func:`edge_map`.
    tabulate : callable, default decision_kernel
        Returns the kernel of laws, by contacts and cumulative contacts.

    Returns
    -------
    System
        Its state: the arrays ``U_n``, shape (numbers n, types, largest n + 1), and ``h``.
    """
    sizes, at_agents, at_edges = _cavities(degrees)
    i = np.arange(sizes[-1] + 1)
    now, before = np.broadcast_arrays(i, i[:, None])
    contacts = now if feed == "persistent" else np.maximum(now - before, 0)
    kernel = tabulate(laws, contacts, now)
    # By the neighbours still susceptible (before, after) one table serves every n.
    spared = binomial(before, now)

    def move(state: tuple[Floats, float]) -> tuple[Floats, float]:
        branches, hazard = state
        stay = spared(1.0 - hazard)
        after = np.zeros_like(branches)
        for n, branch, new in zip(sizes, branches, after, strict=True):
            table = kernel.table[..., : n + 1, : n + 1]
            new[:, : n + 1] = np.einsum(
                "ai,ij,abij->bj", branch[:, : n + 1], stay[n::-1, n::-1], table
            )
        left = _total(at_edges, branches)
        return after, 1.0 - _total(at_edges, after) / left if left > 0 else 0.0

    def susceptible(state: tuple[Floats, float]) -> float:
        return (1.0 - infected) * _total(at_agents, state[0])

    unreached = np.outer(kernel.start, i == 0) * np.ones((len(sizes), 1, 1))
    return System((unreached, infected), move, susceptible)


def window_map(
    laws: Laws,
    degrees: Degrees,
    infected: float,
    window: int,
    tabulate: Callable[..., Kernel] = decision_kernel,
) -> System:
    r"""Return the cavity equations in discrete time for posts that are visible for some steps.

    As :func:`cavity_map`, with a state that also tells how many neighbours posted in each of the
    last ``window - 1`` steps: ``U_n[a, s]``, where ``s`` is a list ``(i, j_1, ..., j_{W-1})``. In
    one step ``j`` of the ``n - i`` others are infected, the agent sees ``m = j + j_1 + ... +
    j_{W-1}``, and ``s`` becomes ``(i + j, j, j_1, ..., j_{W-2})``.

    Parameters
    ----------
    laws, degrees, infected, tabulate
        As for :func:`cavity_map`.
    window : int
        For how many steps posts are visible.

    Returns
    -------
    System
        Its state: the arrays ``U_n``, shape (numbers n, types, states s), and ``h``.
    """
    sizes, at_agents, at_edges = _cavities(degrees)
    most = int(sizes[-1])
    states = [s for s in product(range(most + 1), repeat=window) if sum(s[1:]) <= s[0]]
    place = {s: at for at, s in enumerate(states)}
    steps = [(s, j) for s in states for j in range(most - s[0] + 1)]
    total, j = np.array([s[0] for s, _ in steps]), np.array([j for _, j in steps])
    before = np.array([place[s] for s, _ in steps])
    after = np.array([place[s[0] + j, *(j, *s[1:])[: window - 1]] for s, j in steps])
    seen = np.array([j + sum(s[1:]) for s, j in steps])
    kernel = tabulate(laws, seen, total + j)
    chance = [binomial(np.maximum(n - total, 0), np.where(total <= n, j, 1)) for n in sizes]
    lands = csr_array((np.ones(len(steps)), (np.arange(len(steps)), after)))

    def move(state: tuple[Floats, float]) -> tuple[Floats, float]:
        branches, hazard = state
        flows = [
            np.einsum("as,abs->bs", branch[:, before] * arrive(hazard), kernel.table) @ lands
            for branch, arrive in zip(branches, chance, strict=True)
        ]
        left, new = _total(at_edges, branches), np.array(flows)
        return new, 1.0 - _total(at_edges, new) / left if left > 0 else 0.0

    def susceptible(state: tuple[Floats, float]) -> float:
        return (1.0 - infected) * _total(at_agents, state[0])

    unreached = np.outer(kernel.start, np.arange(len(states)) == place[(0,) * window])
    return System((unreached * np.ones((len(sizes), 1, 1)), infected), move, susceptible)


def cavity_ode(
    laws: Laws, degrees: Degrees, infected: float, tabulate: Callable[..., Kernel] = rate_kernel
) -> System:
    r"""Return the cavity equations in continuous time.

    With ``U_n[a, i]`` as in :func:`cavity_map`,

    .. math:: \dot U_n(b, i) = \sum_a U_n(a, i) K_{ab}(i)
        + h\,[(n - i + 1)\, U_n(b, i - 1) - (n - i)\, U_n(b, i)],

    where ``h`` is the rate at which susceptible cavity agents post, the mean over them of
    :math:`-\sum_b K_{ab}(i)`. At the start ``i`` is binomial with the share of starters.

    Parameters
    ----------
    laws, degrees, infected
        As for :func:`cavity_map`.
    tabulate : callable, default rate_kernel
        Returns the kernel of laws, by contacts.

    Returns
    -------
    System
        Its state: the arrays ``U_n``, as for :func:`cavity_map`.
    """
    sizes, at_agents, at_edges = _cavities(degrees)
    i = np.arange(sizes[-1] + 1)
    kernel = tabulate(laws, i)
    fastest = -kernel.table.sum(1).min()
    not_infected = np.maximum(sizes[:, None] - i, 0)[:, None]

    def move(branches: Floats) -> Floats:
        flow = np.einsum("nai,abi->nbi", branches, kernel.table)
        left, lost = _total(at_edges, branches), -_total(at_edges, flow)
        # A mean of rates is at most the fastest; where hardly anybody is left, rounding is not.
        hazard = min(max(lost / left, 0.0), fastest) if left > 0 else 0.0
        infections = hazard * not_infected * branches
        flow -= infections
        flow[..., 1:] += infections[..., :-1]
        return np.asarray(flow)

    def susceptible(branches: Floats) -> float:
        return (1.0 - infected) * _total(at_agents, branches)

    start = kernel.start[:, None] * binomial(sizes[:, None, None], i)(infected)
    return System(start, move, susceptible)


def _states(degrees: Degrees, visibility: Visibility) -> int:
    """Return how many states :func:`window_map` would follow."""
    most = int(degrees.values.max())
    return comb(most + (visibility.visible_for or _MOST_STATES), most)


def _cavities(degrees: Degrees) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
    """Return the numbers of neighbours that matter, and the share of agents and of edges with each.

    Agents of degree ``d`` have ``n = d`` neighbours; at the end of a cut edge, ``d - 1``.
    """
    sizes = np.union1d(degrees.values, np.maximum(degrees.values - 1, 0))
    at_agents, at_edges = np.zeros((2, len(sizes)))
    at_agents[np.searchsorted(sizes, degrees.values)] = degrees.share
    np.add.at(at_edges, np.searchsorted(sizes, degrees.values - 1), degrees.edge_share)
    return sizes, at_agents, at_edges


def _total(weights: Floats, branches: Floats) -> float:
    """Sum over types and infected neighbours, with the weight of each number of neighbours."""
    return float(weights @ branches.sum(axis=(1, 2)))
