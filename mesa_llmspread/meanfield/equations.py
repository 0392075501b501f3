"""What the equations of every closure are made of.

A susceptible agent is of a *type*: the class it belongs to (a profile, a latent class) and,
where the law tells a first exposure from later ones, whether it has been exposed before.
Seeing ``m`` posting neighbours it posts, or stays susceptible as the same or another type.
That choice is the *kernel*, and it is all the equations know of a law:

- in discrete time (:func:`decision_kernel`) ``K[a, b, m]`` is the probability that a
  susceptible agent of type ``a`` that sees ``m`` is a susceptible one of type ``b`` after
  the step; what is missing to one over ``b`` has posted;
- in continuous time (:func:`rate_kernel`) ``K[a, b, m]`` is the derivative of that
  probability, a generator whose rows sum to minus the rate of posting.

What remains is to say how many infected neighbours a susceptible agent has. Nobody but the
closures answers that, each in its own way: :mod:`~mesa_llmspread.meanfield.mean_field`,
:mod:`~mesa_llmspread.meanfield.pair`, :mod:`~mesa_llmspread.meanfield.master`. Each answer
is a :class:`System`: a one-step map or the right-hand side of an ordinary differential
equation, in shares of all agents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, xlog1py, xlogy

from mesa_llmspread._validation import checked_int, checked_shares
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError
from mesa_llmspread.transmission import TransmissionLaw, probability_to_rate

__all__ = [
    "Degrees",
    "DegreesLike",
    "Floats",
    "Kernel",
    "Laws",
    "System",
    "binomial",
    "contact_chances",
    "decision_kernel",
    "rate_kernel",
    "seen_directly",
]

Floats = npt.NDArray[np.float64]
DegreesLike = int | Mapping[int, float] | Sequence[int] | npt.NDArray[Any]
Laws = Sequence[tuple[float, TransmissionLaw]]


@dataclass(frozen=True)
class System:
    """A set of equations, ready to run from its start.

    Parameters
    ----------
    start : object
        The state at step 0; an array where the equations are differential.
    move : callable
        From a state, the state one step later (a map) or its time derivative.
    susceptible : callable
        From a state, the share of all agents that are susceptible.
    """

    start: Any
    move: Callable[[Any], Any]
    susceptible: Callable[[Any], float]


@dataclass(frozen=True)
class Degrees:
    """How many neighbours agents have: a degree distribution.

    Parameters
    ----------
    values : ndarray of int, shape (d,)
        The degrees that occur.
    share : ndarray of float, shape (d,)
        Share of agents with each.

    Examples
    --------
    >>> friends = Degrees(np.array([1, 3]), np.array([0.5, 0.5]))
    >>> friends.edge_share
    array([0.25, 0.75])
    """

    values: npt.NDArray[np.int64]
    share: Floats

    @classmethod
    def of(cls, k: Any, n: int | None = None) -> Self:
        """Return the distribution of one degree, shares of degrees, or the degrees of all agents.

        Parameters
        ----------
        k : int, mapping of int to float, or sequence of int
        n : int, optional
            Number of agents.

        Raises
        ------
        ArgumentError, ArgumentTypeError
            If it is not a distribution of degrees from 0 to n - 1.
        """
        if isinstance(k, Mapping):
            values, shares = np.array(list(k)), np.array([k[degree] for degree in k], dtype=float)
        elif np.ndim(k) == 0:
            values, shares = np.array([checked_int("k", k, 0)]), np.ones(1)
        else:
            values, counts = np.unique(np.asarray(k), return_counts=True)
            if n is not None and counts.sum() != n:
                allowed = f"hold the degrees of all n={n} agents, not of {counts.sum()}"
                raise ArgumentError("k", k, allowed)
            shares = counts / counts.sum()
        if not len(values) or not np.issubdtype(values.dtype, np.integer):
            raise ArgumentTypeError("k", k, "a whole number, or whole numbers as degrees")
        if values.min() < 0 or (n is not None and values.max() > n - 1):
            most = "" if n is None else f" and n - 1 = {n - 1}"
            raise ArgumentError("k", k, f"have degrees from 0{most}")
        return cls(values, checked_shares("k", k, shares))

    @property
    def edge_share(self) -> Floats:
        """Share of edge ends at agents of each degree: who one's neighbours are; 0 without edges.

        An agent of degree ``d`` is ``d`` times somebody's neighbour, so neighbours have
        more neighbours than agents do.
        """
        ends: Floats = self.values * self.share
        return ends / (float(ends.sum()) or 1.0)

    def node(self, x: Floats) -> Floats:
        """``sum(share * x**degree)``: chance that something of chance x holds on every edge."""
        return np.asarray(x[..., None] ** self.values @ self.share)

    def edge(self, x: Floats) -> Floats:
        """Return the same chance for a neighbour and its other edges, one fewer than its degree."""
        return np.asarray(x[..., None] ** np.maximum(self.values - 1, 0) @ self.edge_share)


class Kernel(NamedTuple):
    """What susceptible agents of each type become, by what they see.

    Attributes
    ----------
    start : ndarray of float, shape (types,)
        Share of the susceptible agents that begin as each type.
    table : ndarray of float, shape (types, types, ...)
        Chance, or rate, from a type (first axis) to a type (second), for everything that
        can be seen (the other axes).
    """

    start: Floats
    table: Floats


def contact_chances(laws: Laws, media_prob: float | None = None) -> Floats | None:
    """Return the chances of laws whose contacts act independently.

    They post with ``p = 1 - (1 - alpha) * (1 - beta)**m``.

    Parameters
    ----------
    laws : sequence of (float, TransmissionLaw)
        Share and law of each class.
    media_prob : float, optional
        Probability per step that an agent sees the event itself; 1 if not given.

    Returns
    -------
    ndarray of float, shape (3, classes), or None
        Share, ``alpha`` and ``beta`` of each class: chance per step that the event itself, and
        that one contact, makes an agent post. None if the contacts of a law act together.
    """
    rows = []
    for share, law in laws:
        if not law.independent_contacts or law.memory != "none":
            return None
        rows.append((share, law.alpha * _direct(law, media_prob), float(law.evaluate(1))))
    return np.array(rows).T


def decision_kernel(
    laws: Laws,
    contacts: npt.NDArray[Any],
    cumulative: npt.NDArray[Any] | None = None,
    media_prob: float | None = None,
    failed_share: float = 0.0,
) -> Kernel:
    """Return the table of a step's decisions: discrete time.

    ``K[a, b] = 1 - p`` for the type ``b`` that an agent of type ``a`` is after the step. A
    decision that fails leaves the agent as it is.

    Parameters
    ----------
    laws : sequence of (float, TransmissionLaw)
        Share and law of each class.
    contacts : ndarray of int, any shape
        Visible posting neighbours, m.
    cumulative : ndarray of int, the same shape, optional
        Neighbours who have posted so far; ``contacts`` if not given.
    media_prob : float, optional
        Probability per step that an agent sees the event itself, which is an occasion too for
        laws with memory of them; 1 for laws with an offline part, else 0, if not given.
    failed_share : float, default 0
        Share of decisions that fail.

    Returns
    -------
    Kernel
        With a table of shape (types, types), then that of ``contacts``.

    Examples
    --------
    >>> from mesa_llmspread import SI
    >>> decision_kernel([(1.0, SI(0.5))], np.array([0, 1, 2])).table
    array([[[1.  , 0.5 , 0.25]]])
    """

    def block(law: TransmissionLaw) -> Floats:
        direct = _direct(law, media_prob)
        spared = 1.0 - law.alpha * direct
        first = spared * (1.0 - law.evaluate(contacts, 1, cumulative=cumulative))
        if law.memory != "first_repeat":
            return np.array([[first]])
        again = spared * (1.0 - law.evaluate(contacts, 2, cumulative=cumulative))
        unexposed = np.where(contacts > 0, 0.0, 1.0 - direct)
        return np.array([[unexposed, first - unexposed], [np.zeros_like(again), again]])

    start, table = _assemble([(share, block(law)) for share, law in laws])
    same = np.eye(len(start)).reshape(table.shape[:2] + (1,) * contacts.ndim)
    return Kernel(start, failed_share * same + (1.0 - failed_share) * table)


def rate_kernel(laws: Laws, contacts: npt.NDArray[Any], media_prob: float | None = None) -> Kernel:
    """Return the table of rates per step: continuous time.

    A law is carried over by its hazard: with the contacts held fixed for one step, the
    chance to be susceptible at its end is that of the discrete law. A chance ``p`` per step
    becomes the rate ``-log(1 - p)``; independent contacts ``beta`` become ``m`` times
    ``-log(1 - beta)``.

    FirstRepeat needs single exposures to tell the first from the later ones. Here each
    infected neighbour delivers them at the times of a Poisson process of rate one per step,
    and each succeeds with ``beta_first`` or ``beta_repeat``: an agent not yet exposed stops
    being so at rate ``m`` and posts with chance ``beta_first`` at that moment; an exposed
    one posts at rate ``beta_repeat * m``. Equal chances ``b`` then give SI with the rate
    ``b`` per contact, a little less than the hazard-matched ``-log(1 - b)``.

    Parameters
    ----------
    laws : sequence of (float, TransmissionLaw)
        Share and law of each class; a probability of one has no finite rate.
    contacts : ndarray of int, any shape
        Infected neighbours, m.
    media_prob : float, optional
        Probability per step that an agent sees the event itself; 1 if not given.

    Returns
    -------
    Kernel
        With a table of shape (types, types), then that of ``contacts``, in 1 / step.

    Examples
    --------
    >>> from mesa_llmspread import FirstRepeat
    >>> rate_kernel([(1.0, FirstRepeat(0.25, 0.125))], np.array([2])).table[..., 0]
    array([[-2.  ,  1.5 ],
           [ 0.  , -0.25]])
    """
    m = contacts.astype(float)

    def block(law: TransmissionLaw) -> Floats:
        if law.memory == "first_repeat":
            first, again = law.evaluate(1, exposure_count=[1, 2])
            nothing = np.zeros_like(m)
            return np.array([[-m, (1.0 - first) * m], [nothing, -again * m]])
        rate = probability_to_rate(law.alpha * _direct(law, media_prob))
        if law.independent_contacts:
            # Not through the probability, which rounds to one for many contacts.
            rate = rate + probability_to_rate(law.evaluate(1)) * m
        else:
            rate = rate + probability_to_rate(law.evaluate(contacts))
        return np.array([[-rate]])

    return _assemble([(share, block(law)) for share, law in laws])


def seen_directly(laws: Laws, media_prob: float | None) -> Floats:
    """Return the probability per step that an agent of each class sees the event itself."""
    return np.array([_direct(law, media_prob) for _, law in laws])


def _direct(law: TransmissionLaw, media_prob: float | None) -> float:
    """Return the probability per step that an agent sees the event itself."""
    return float(law.offline) if media_prob is None else media_prob


def _assemble(blocks: Sequence[tuple[float, Floats]]) -> Kernel:
    """Join the classes' blocks on the diagonal; agents begin as the first type of their class."""
    types = sum(len(block) for _, block in blocks)
    start = np.zeros(types)
    table = np.zeros((types, types, *blocks[0][1].shape[2:]))
    at = 0
    for share, block in blocks:
        here = slice(at, at + len(block))
        start[at] = share
        table[here, here] = block
        at += len(block)
    return Kernel(start, table)


def binomial(
    trials: npt.NDArray[Any], successes: npt.NDArray[Any]
) -> Callable[[float | Floats], Floats]:
    """Return a function for the probabilities of numbers of successes in independent trials.

    Parameters
    ----------
    trials, successes : ndarray of int
        Numbers of trials and of successes; they broadcast, and more successes than trials
        have probability 0.

    Returns
    -------
    callable
        From the chance of one success (broadcast against the above) to the probabilities.

    Examples
    --------
    >>> binomial(np.array(2), np.arange(4))(0.5).round(12)
    array([0.25, 0.5 , 0.25, 0.  ])
    """
    failures = np.maximum(trials - successes, 0)
    log_ways = gammaln(trials + 1) - gammaln(successes + 1) - gammaln(trials - successes + 1)

    def probabilities(chance: float | Floats) -> Floats:
        # Rounding, and an integrator's trial steps, leave [0, 1] by a hair.
        p = np.clip(chance, 0.0, 1.0)
        return np.asarray(np.exp(log_ways + xlogy(successes, p) + xlog1py(failures, -p)))

    return probabilities
