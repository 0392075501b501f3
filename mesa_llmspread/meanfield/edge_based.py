r"""The edge-based form of the master equations, for laws whose contacts act independently.

An agent is susceptible if none of its edges has transmitted, so the chance ``theta`` of one edge is
all that is needed (Miller, Slim & Volz 2012, doi:10.1098/rsif.2011.0403).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mesa_llmspread.meanfield.equations import Degrees, Floats, System
from mesa_llmspread.transmission import probability_to_rate

__all__ = ["edge_map", "edge_ode"]


def edge_map(chances: Floats, degrees: Degrees, infected: float, *, feed: str) -> System:
    r"""Return the edge-based equations in discrete time.

    For a test agent of class ``c``, let ``theta[c]`` be the chance that an edge to it has
    not transmitted yet, and ``o[c]`` that the event itself has not made it post. With the
    generating functions of the degrees of agents, :math:`\psi(x) = \sum_d p_d x^d`, and of
    the other edges of a neighbour, :math:`\psi_1(x) = \psi'(x) / \psi'(1)`, a neighbour is
    still susceptible with chance

    .. math:: \phi = s_0 \sum_c \pi_c\, o_c\, \psi_1(\theta_c),

    where ``s_0`` is the share of agents that did not start infected. An edge that has not
    transmitted although its neighbour is infected (chance ``theta - phi``) does so now with
    chance ``beta``:

    .. math:: \theta_c' = \theta_c - \beta_c (\theta_c - \phi), \qquad
        o_c' = (1 - \alpha_c)\, o_c.

    Where only new posts are seen an edge has one chance, so that it transmits sooner or
    later with chance ``beta`` or never: :math:`\theta_c' = 1 - \beta_c (1 - \phi)`, bond
    percolation. The share susceptible is :math:`s_0 \sum_c \pi_c o_c \psi(\theta_c)`.

    Parameters
    ----------
    chances : ndarray of float, shape (3, classes)
        Share, ``alpha`` and ``beta`` of each class.
    degrees : Degrees
        The degree distribution.
    infected : float
        Share of agents infected at step 0.
    feed : {"persistent", "new"}
        Which posts are seen.

    Returns
    -------
    System
        Its state: ``theta`` and ``o``, shape (2, classes).
    """
    _, alpha, beta = chances

    def move(theta: Floats, offline: Floats, phi: Floats) -> tuple[Floats, Floats]:
        quiet = theta - beta * (theta - phi) if feed == "persistent" else 1.0 - beta * (1.0 - phi)
        return quiet, offline * (1.0 - alpha)

    return _edge_system(chances, degrees, infected, move)


def edge_ode(chances: Floats, degrees: Degrees, infected: float) -> System:
    r"""Return the edge-based equations in continuous time.

    As :func:`edge_map`, with rates :math:`\lambda = -\log(1 - \beta)` and
    :math:`a = -\log(1 - \alpha)`:

    .. math:: \dot\theta_c = -\lambda_c (\theta_c - \phi), \qquad \dot o_c = -a_c\, o_c.

    For SI on a k-regular network they solve to
    :math:`1 - s_0 (s_0 + (1 - s_0) e^{(k-2) \lambda t})^{-k/(k-2)}` infected: early growth at
    rate :math:`(k - 2) \lambda`, not the mean field's :math:`k \lambda`.

    Parameters
    ----------
    chances, degrees, infected
        As for :func:`edge_map`.

    Returns
    -------
    System
        Its state: ``theta`` and ``o``, shape (2, classes).
    """
    offline_rate, contact_rate = probability_to_rate(chances[1:])

    def move(theta: Floats, offline: Floats, phi: Floats) -> tuple[Floats, Floats]:
        return contact_rate * (phi - theta), -offline_rate * offline

    return _edge_system(chances, degrees, infected, move)


def _edge_system(
    chances: Floats,
    degrees: Degrees,
    infected: float,
    change: Callable[[Floats, Floats, Floats], tuple[Floats, Floats]],
) -> System:
    """Return the equations of ``theta`` and ``o`` that follow from how they change with phi."""
    weight = (1.0 - infected) * chances[0]

    def move(state: Floats) -> Floats:
        theta, offline = state
        return np.array(change(theta, offline, weight @ (offline * degrees.edge(theta))))

    def susceptible(state: Floats) -> float:
        theta, offline = state
        return float(weight @ (offline * degrees.node(theta)))

    return System(np.ones((2, len(weight))), move, susceptible)
