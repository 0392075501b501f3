"""Maximise a likelihood of a few parameters, and find its profile-likelihood intervals.

Newton's method with exact derivatives, within bounds. A bound on a log rate stands for a
probability of 0 or 1, and estimates do lie there: an offline rate that adds nothing, a class
of agents that always reposts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtri

from mesa_llmspread.transmission import probability_to_rate, rate_to_probability

__all__ = [
    "HIGHEST_RATE",
    "LOWEST_RATE",
    "WIDEST_LOGIT",
    "Derivatives",
    "Estimate",
    "Floats",
    "Problem",
    "Scale",
    "drop",
    "maximise",
    "peak_of",
]

Floats = npt.NDArray[np.float64]

#: A log-likelihood, its gradient and its Hessian.
Derivatives = tuple[float, Floats, Floats]

#: Rates per contact and step between which estimates are sought: probabilities within 1e-12
#: of 0 and 1.
LOWEST_RATE, HIGHEST_RATE = 1e-12, 30.0

#: The same for the logit of a share.
WIDEST_LOGIT = 20.0

_MOST_STEPS = 200

# Information about a log rate or a logit below which nothing is known of it.
_NO_INFORMATION = 1e-6


@dataclass(frozen=True)
class Estimate:
    """A maximum-likelihood estimate of probabilities.

    Parameters
    ----------
    values : ndarray of float, shape (p,)
        The estimates; NaN where the data say nothing.
    stderr : ndarray of float, shape (p,)
        Standard errors from the observed information; NaN on a bound.
    low, high : ndarray of float, shape (p,)
        Profile-likelihood interval; 0 and 1 where the data say nothing.
    loglik : float
        The log-likelihood there; ``-inf`` where the law cannot produce the decisions.
    success : bool
        Whether the maximum was found, and is in one place.
    peak : ndarray of float, shape (p,), optional
        The estimates as log rates and logits, where they were found together.
    """

    values: Floats
    stderr: Floats
    low: Floats
    high: Floats
    loglik: float
    success: bool = True
    peak: Floats | None = None

    @classmethod
    def unknown(cls, size: int, loglik: float = 0.0) -> Estimate:
        """Say that nothing is known of some parameters."""
        values, stderr = np.full((2, size), np.nan)
        return cls(values, stderr, np.zeros(size), np.ones(size), loglik, success=False)


@dataclass(frozen=True)
class Scale:
    """Parameters as log rates and, last, logits of shares: numbers without narrow limits.

    Parameters
    ----------
    n_rates, n_shares : int
        How many parameters of each kind there are.

    Examples
    --------
    >>> Scale(n_rates=1, n_shares=1).to_probability(np.array([-50.0, 0.0])).tolist()
    [0.0, 0.5]
    """

    n_rates: int
    n_shares: int

    @property
    def lower(self) -> Floats:
        """The smallest value of each parameter."""
        return np.repeat([np.log(LOWEST_RATE), -WIDEST_LOGIT], [self.n_rates, self.n_shares])

    @property
    def upper(self) -> Floats:
        """The largest value of each parameter."""
        return np.repeat([np.log(HIGHEST_RATE), WIDEST_LOGIT], [self.n_rates, self.n_shares])

    def to_probability(self, theta: Floats) -> Floats:
        """Turn log rates and logits into probabilities; a bound, or beyond, is exactly 0 or 1."""
        known = np.clip(theta, self.lower, self.upper)
        rates = rate_to_probability(np.exp(known[: self.n_rates]))
        inside = np.concatenate([rates, expit(known[self.n_rates :])])
        return np.where(theta <= self.lower, 0.0, np.where(theta >= self.upper, 1.0, inside))

    def from_probability(self, values: npt.ArrayLike) -> Floats:
        """Turn probabilities into log rates and logits, within the bounds."""
        chance = np.asarray(values, dtype=float)
        with np.errstate(divide="ignore"):
            log_rates = np.log(probability_to_rate(chance[: self.n_rates]))
        theta = np.concatenate([log_rates, logit(chance[self.n_rates :])])
        return np.clip(theta, self.lower, self.upper)

    def slope(self, theta: Floats) -> Floats:
        """Differentiate the probabilities with respect to the log rates and logits."""
        rates, share = np.exp(theta[: self.n_rates]), expit(theta[self.n_rates :])
        return np.concatenate([rates * np.exp(-rates), share * (1 - share)])


@dataclass(frozen=True)
class Problem(Scale):
    """A log-likelihood of log rates and logits.

    Parameters
    ----------
    n_rates, n_shares : int
        How many parameters of each kind there are.
    derivatives : callable
        Gives the log-likelihood, its gradient and its Hessian at a point.
    starts : sequence of ndarray
        Where to start to climb.
    in_order : callable
        Gives the point in the form in which its labels are in order.
    """

    derivatives: Callable[[Floats], Derivatives]
    starts: Sequence[Floats]
    in_order: Callable[[Floats], Floats] = np.asarray


def drop(level: float) -> float:
    """How far a log-likelihood may fall within an interval: half a chi-square quantile.

    Parameters
    ----------
    level : float
        Coverage of the interval.

    Returns
    -------
    float

    Examples
    --------
    >>> round(drop(0.95), 3)
    1.921
    """
    return float(ndtri((1 + level) / 2) ** 2 / 2)


def maximise(problem: Problem, level: float) -> Estimate:
    """Maximise a likelihood, with profile-likelihood intervals.

    Parameters
    ----------
    problem : Problem
    level : float
        Coverage of the intervals.

    Returns
    -------
    Estimate
    """
    peak, top = peak_of(problem, problem.starts)
    lower, upper = problem.lower, problem.upper
    allowed = drop(level)

    def end_of_interval(i: int, bound: float) -> float:
        """Where the profile of one coordinate has fallen far enough, on the way to a bound."""
        others = np.arange(len(peak)) != i
        near = peak.copy()

        # Remembered, as the climbs depend on where the last one ended.
        @functools.cache
        def fall(value: float) -> float:
            starts = (np.where(others, nearby, value) for nearby in (near, peak))
            climbs = [_climb(problem, start, others) for start in starts]
            near[:], height = max(climbs, key=lambda result: result[1])
            return top - height - allowed

        # Step outwards: a profile of classes has another peak where the two change places.
        inner, stride = float(peak[i]), 0.1
        while inner != bound:
            outer = float(np.clip(inner + np.copysign(stride, bound - inner), lower[i], upper[i]))
            if fall(outer) > 0:
                ends = min(inner, outer), max(inner, outer)
                return float(brentq(fall, *ends, xtol=1e-7, rtol=1e-9))
            inner, stride = outer, 2 * stride
        return bound

    low = np.array([end_of_interval(i, bound) for i, bound in enumerate(lower)])
    high = np.array([end_of_interval(i, bound) for i, bound in enumerate(upper)])
    return Estimate(
        problem.to_probability(peak),
        _standard_errors(problem, peak),
        problem.to_probability(low),
        problem.to_probability(high),
        top,
        success=bool(np.isfinite(top)),
        peak=peak,
    )


def peak_of(problem: Problem, starts: Sequence[Floats]) -> tuple[Floats, float]:
    """Climb from some starts and keep the highest peak.

    Parameters
    ----------
    problem : Problem
    starts : sequence of ndarray
        The first wins a tie.

    Returns
    -------
    peak : ndarray
        Its labels in order.
    loglik : float
    """
    free = np.ones(problem.n_rates + problem.n_shares, dtype=bool)
    climbs = [_climb(problem, start, free) for start in starts]
    peak, top = max(climbs, key=lambda result: result[1])
    return problem.in_order(peak), top


def _climb(problem: Problem, start: Floats, free: npt.NDArray[np.bool_]) -> tuple[Floats, float]:
    """Maximise over the free coordinates by damped Newton steps, within bounds."""
    lower, upper = problem.lower, problem.upper
    theta = np.clip(start, lower, upper)
    value, gradient, hessian = problem.derivatives(theta)
    for _ in range(_MOST_STEPS):
        outward = ((theta <= lower) & (gradient < 0)) | ((theta >= upper) & (gradient > 0))
        moving = free & ~outward
        if not moving.any() or np.abs(gradient[moving]).max() < 1e-9 * (1 + abs(value)):
            break
        # Where the likelihood is not concave, go uphill along every axis all the same.
        curvature, axes = np.linalg.eigh(hessian[np.ix_(moving, moving)])
        step = np.zeros_like(theta)
        step[moving] = axes @ (axes.T @ gradient[moving] / np.maximum(np.abs(curvature), 1e-9))
        step *= min(1.0, 2.0 / np.abs(step).max())
        while np.abs(step).max() > 1e-12:
            trial = np.clip(theta + step, lower, upper)
            found = problem.derivatives(trial)
            if found[0] > value:
                break
            step /= 4
        else:
            break
        theta, (value, gradient, hessian) = trial, found
    return theta, value


def _standard_errors(problem: Problem, peak: Floats) -> Floats:
    """Take standard errors from the observed information; NaN where there is none."""
    result = np.full(len(peak), np.nan)
    hessian = problem.derivatives(peak)[2]
    within = (peak > problem.lower + 1e-6) & (peak < problem.upper - 1e-6)
    known = np.flatnonzero(within & (-np.diag(hessian) > _NO_INFORMATION))
    information = -hessian[np.ix_(known, known)]
    if not len(known) or np.linalg.cond(information) > 1e12:
        return result
    variance = np.diag(np.linalg.inv(information))
    error = np.sqrt(np.where(variance > 0, variance, np.nan))
    result[known] = problem.slope(peak)[known] * error
    return result
