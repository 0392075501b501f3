r"""The master equations where posts stay in view for some steps, or fade with age.

As in :mod:`~mesa_llmspread.meanfield.master`, a test agent's neighbours are independent. A post of
age ``a`` acts at step ``t`` with the hazard ``rate * h(t) * g(a)``
((:class:`~mesa_llmspread.Visibility`), so the edges to it have to be told apart by the age of the
post at their other end: of each class ``c`` of agents, ``theta`` is the chance that an edge has not
transmitted, and ``phi[a]`` that it has not although a post of age ``a`` is at its end,

.. math:: \theta' = \theta - \sum_a b_a \phi_a, \qquad \phi_{a+1}' = (1 - b_a) \phi_a,
    \qquad b_a = 1 - e^{-\lambda h g_a},

where ``phi[0]`` is the loss of susceptible neighbours in the step. FirstRepeat has another exact
form, by the step of the first occasion. Both take ``O(T^2)`` for ``T`` steps, whatever the degrees.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.special import zeta

from mesa_llmspread._validation import checked_number
from mesa_llmspread.exceptions import ArgumentError, UndefinedClosureError
from mesa_llmspread.meanfield.equations import (
    Degrees,
    DegreesLike,
    Floats,
    Laws,
    System,
    contact_chances,
    seen_directly,
)
from mesa_llmspread.transmission import (
    Exponential,
    PowerLaw,
    TransmissionLaw,
    Visibility,
    as_visibility,
    probability_to_rate,
)

__all__ = [
    "ageing_map",
    "final_size",
    "first_repeat_map",
    "reproduction_number",
    "transmissibility",
]

_State = tuple[int, Floats, Floats, Floats, float]


def ageing_map(
    laws: Laws,
    degrees: Degrees,
    infected: float,
    visibility: Visibility,
    media_prob: float | None = None,
) -> System:
    """Return the master equations for laws whose contacts act independently.

    Parameters
    ----------
    laws : sequence of (float, TransmissionLaw)
        Share and law of each class.
    degrees : Degrees
        The degree distribution.
    infected : float
        Share of agents infected at step 0.
    visibility : Visibility
    media_prob : float, optional
        Probability per step that an agent sees the event itself.

    Returns
    -------
    System
        Its state: the step, ``theta`` and ``o`` of each class, ``phi`` by class and age, and the
        chance that a neighbour is susceptible.

    Raises
    ------
    UndefinedClosureError
        If classes of agents tell first from later exposures.
    """
    chances = contact_chances(laws, media_prob)
    if chances is None:
        if len(laws) > 1:
            raise UndefinedClosureError(
                "visibility", str(visibility), "be 'persistent' or 'new' for classes with memory"
            )
        return first_repeat_map(laws[0][1], degrees, infected, visibility, media_prob)
    share, direct, beta = chances[0], seen_directly(laws, media_prob), chances[2]
    rate, weight = _finite_rate(beta), (1.0 - infected) * share
    spared = 1.0 - np.array([law.alpha for _, law in laws])

    def move(state: _State) -> _State:
        step, theta, offline, phi, susceptible = state
        ages = visibility.weights(phi.shape[1])
        news = np.exp(-visibility.event_ageing * step)
        hit = -np.expm1(-news * np.outer(rate, ages)) * phi
        theta = theta - hit.sum(axis=1)
        offline = offline * (1.0 - direct * (1.0 - spared**news))
        left = float(weight @ (offline * degrees.edge(theta)))
        fresh = np.full((len(rate), 1), susceptible - left)
        return step + 1, theta, offline, np.hstack([fresh, phi - hit]), left

    def susceptible(state: _State) -> float:
        return float(weight @ (state[2] * degrees.node(state[1])))

    one = np.ones(len(rate))
    return System((0, one, one, infected * one[:, None], 1.0 - infected), move, susceptible)


def first_repeat_map(
    law: TransmissionLaw,
    degrees: Degrees,
    infected: float,
    visibility: Visibility,
    media_prob: float | None = None,
) -> System:
    r"""Return the master equations of FirstRepeat.

    Let ``f(s)`` be the chance that a neighbour posts at step ``s``, without what it could have had
    from the test agent, and :math:`R = 1 - \sum f` that it has not. If the first occasion of an
    agent is at step ``tau + 1``, no neighbour has posted before ``tau``; those that posted at
    ``tau`` meet the first chance once and the later one after it, those that posted later only the
    later one. The chance to be susceptible is a sum over ``tau``, with the generating function of
    the degrees. Where agents see the event itself with chance ``c`` per step, which makes them post
    with ``alpha``, the first occasion may be that.

    Parameters
    ----------
    law : TransmissionLaw
        With ``memory = "first_repeat"`` and contacts that act independently.
    degrees, infected, visibility, media_prob
        As for :func:`ageing_map`.

    Returns
    -------
    System
        Its state: ``f`` by step, the hazard that posts of each step have added up to, and the
        chances of neighbours and of agents to be susceptible.
    """
    first, later = _finite_rate(law.evaluate(1, [1, 2]))
    (c,) = seen_directly([(1.0, law)], media_prob)

    def move(state: tuple[Floats, Floats, float, float]) -> tuple[Floats, Floats, float, float]:
        f, total, left, _ = state
        t = len(f)
        news = visibility.event_weights(t)
        # By step tau of the post, 0 to t - 1: its hazard so far, and that of its first step.
        total = np.append(total, 0.0) + news[-1] * visibility.weights(t)[::-1]
        met_later = f * np.exp(-later * total)
        met_first = f * np.exp(-first * news - later * (total - news))
        # Nobody has posted up to tau, and those after it have not made the agent post.
        after = 1.0 - f.sum() + np.append(np.cumsum(met_later[::-1])[::-1][1:], 0.0)
        tau = np.arange(t)
        # The event itself has not made the agent post after its first occasion, nor at it.
        passed = (1.0 - law.alpha) ** news
        spared = np.cumprod(np.append(1.0, (1.0 - c * (1.0 - passed))[:0:-1]))[::-1]
        weight = (1.0 - c) ** tau * spared

        def susceptible(chance: Callable[[Floats], Floats]) -> float:
            """Chance that an agent is susceptible, from that of something on all its edges."""
            by_posts = chance(after + met_first) - chance(after)
            # Or the event itself, which has failed to make the agent post.
            both = (1.0 - c) * by_posts + c * passed * chance(after + met_first)
            return float(weight @ both + (1.0 - c) ** t * chance(np.array(1.0 - f.sum())))

        at_edges = susceptible(degrees.edge)
        fresh = (1.0 - infected) * (left - at_edges)
        return np.append(f, fresh), total, at_edges, susceptible(degrees.node)

    return System(
        (np.array([infected]), np.empty(0), 1.0, 1.0),
        move,
        lambda state: (1.0 - infected) * state[3],
    )


def _finite_rate(chance: Floats) -> Floats:
    """Return rates; that of a chance of 1 is so large that it acts, but has no effect times 0."""
    return np.minimum(probability_to_rate(chance), 1e300)


def transmissibility(beta: float, visibility: Visibility) -> float:
    """Return the chance that a post, once visible to an agent, sooner or later makes it post.

    Parameters
    ----------
    beta : float
        Chance per contact and step at age 0, of a law whose contacts act independently.
    visibility : Visibility
        Without ageing of the event, for which there is no closed form.

    Returns
    -------
    float
        1 where the weights of all ages have no finite sum: posts in view for good that do not fade,
        or fade by a power law of exponent 1 or less.

    Raises
    ------
    ArgumentError
        If the event ages.

    Examples
    --------
    >>> round(transmissibility(0.1, Visibility(ageing=Exponential(0.5))), 4)
    0.2349
    """
    if visibility.event_ageing > 0:
        allowed = "have event_ageing=0: where the event ages there is no closed form; use solve()"
        raise ArgumentError("visibility", str(visibility), allowed)
    if visibility.visible_for is not None:
        total = visibility.weights(visibility.visible_for).sum()
    elif isinstance(visibility.ageing, Exponential) and visibility.ageing.delta > 0:
        total = -1.0 / np.expm1(-visibility.ageing.delta)
    elif isinstance(visibility.ageing, PowerLaw) and visibility.ageing.gamma > 1:
        total = zeta(visibility.ageing.gamma)
    else:
        return 1.0 if beta > 0 else 0.0
    return float(1.0 - (1.0 - beta) ** total)


def reproduction_number(
    law: TransmissionLaw, k: DegreesLike, visibility: Visibility | str | None = None
) -> float:
    r"""Return how many agents a post leads to, far from the starters and early in the spread.

    One contact transmits sooner or later with chance
    :math:`T = 1 - (1 - \beta)^{\sum_a g(a)}`, averaged over the classes of a law. A few starters
    can reach a finite share of a large network only if :math:`T \langle k (k - 1) \rangle / \langle
    k \rangle`, which is returned, is above 1.

    Parameters
    ----------
    law : TransmissionLaw
        A law without memory, whose contacts act independently, and without an offline part.
    k : int, mapping of int to float, or sequence of int
        Neighbours of every agent, or a degree distribution, as for :func:`solve`.
    visibility : Visibility or str, optional
        How long posts are visible, and what they weigh as they age; the event does not age.

    Returns
    -------
    float

    Raises
    ------
    ArgumentError
        If there is no closed form: simulate, or solve for many steps.

    Examples
    --------
    >>> from mesa_llmspread import SI, Exponential, Visibility
    >>> round(reproduction_number(SI(0.1), 6, Visibility(ageing=Exponential(0.5))), 3)
    1.175
    """
    shares, reach = _reach(law, visibility)
    degrees = Degrees.of(k)
    others = float(degrees.edge_share @ (degrees.values - 1))
    return float(shares @ reach) * others


def final_size(
    law: TransmissionLaw,
    k: DegreesLike,
    initial_share: float,
    visibility: Visibility | str | None = None,
) -> float:
    r"""Return the share of agents that have posted in the end, of a large random network.

    A contact transmits sooner or later with chance ``T`` (:func:`reproduction_number`), so that
    posts that age or leave view are bond percolation:
    :math:`\theta_c = 1 - T_c (1 - \phi)`, :math:`\phi = s_0 \sum_c \pi_c \psi_1(\theta_c)`, and
    :math:`1 - s_0 \sum_c \pi_c \psi(\theta_c)` have posted (Newman 2002,
    doi:10.1103/PhysRevE.66.016128). Where the weights of a post have no finite sum (no ageing, or
    a power law with ``gamma <= 1``) ``T`` is 1: everybody whom a path leads to posts sooner or
    later, which may take very long.

    Parameters
    ----------
    law, k, visibility
        As for :func:`reproduction_number`.
    initial_share : float
        Share of the agents that start infected, above 0.

    Returns
    -------
    float

    Raises
    ------
    ArgumentError
        If there is no closed form.

    Examples
    --------
    >>> from mesa_llmspread import SI, Exponential, Visibility
    >>> round(final_size(SI(0.1), 6, 0.01, Visibility(ageing=Exponential(0.2))), 3)
    0.958
    """
    shares, reach = _reach(law, visibility)
    start = 1.0 - checked_number("initial_share", initial_share, 0, 1)
    if start == 1.0:
        raise ArgumentError("initial_share", initial_share, "be above 0")
    degrees = Degrees.of(k)

    def susceptible(phi: float, generating: Callable[[Floats], Floats]) -> float:
        return start * float(shares @ generating(1.0 - reach * (1.0 - phi)))

    # Convex, not negative at 0, below 1 at 1: it is its argument at one point.
    phi = brentq(lambda phi: susceptible(phi, degrees.edge) - phi, 0.0, 1.0, xtol=1e-14)
    return 1.0 - susceptible(float(phi), degrees.node)


def _reach(law: TransmissionLaw, visibility: Visibility | str | None) -> tuple[Floats, Floats]:
    """Return the share of each class, and the chance that a contact transmits to it at last."""
    chances = contact_chances(law.classes())
    if chances is None or law.offline:
        allowed = (
            "have contacts that act independently, no memory and no offline part for a closed "
            "form; else use solve() or simulate() with many steps"
        )
        raise ArgumentError("law", law.name, allowed)
    seen = as_visibility(visibility)
    return chances[0], np.array([transmissibility(beta, seen) for beta in chances[2]])
