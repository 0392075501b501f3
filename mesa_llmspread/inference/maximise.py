"""Maximise a likelihood of a few parameters, and find its profile-likelihood intervals.

Newton's method with exact derivatives, within bounds. A bound on a log rate stands for a
probability of 0 or 1, and estimates do lie there: an offline rate that adds nothing, a class
of agents that always reposts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtri

from mesa_llmspread.inference.scale import Floats, Scale

__all__ = ["Derivatives", "Estimate", "Problem", "drop", "maximise", "peak_of"]

#: A log-likelihood, its gradient and its Hessian.
Derivatives = tuple[float, Floats, Floats]

_MOST_STEPS = 200

# Information about a log rate or a logit below which nothing is known of it.
_NO_INFORMATION = 1e-6


@dataclass(frozen=True)
class Estimate:
    """A maximum-likelihood estimate of a law's parameters.

    Parameters
    ----------
    values : ndarray of float, shape (p,)
        The estimates; NaN where the data say nothing.
    covar : ndarray of float, shape (p, p)
        Covariance from the observed information; NaN for a parameter on a bound.
    low, high : ndarray of float, shape (p,)
        Profile-likelihood interval; the bounds where the data say nothing.
    loglik : float
        The log-likelihood there; ``-inf`` where the law cannot produce the decisions.
    success : bool
        Whether the maximum was found, and is in one place.
    nfev : int
        How often the likelihood was computed.
    peak : ndarray of float, shape (p,), optional
        The estimates on the scale of the search, where they were found together.
    """

    values: Floats
    covar: Floats
    low: Floats
    high: Floats
    loglik: float
    success: bool = True
    nfev: int = 0
    peak: Floats | None = None

    @property
    def stderr(self) -> Floats:
        """Standard errors, shape (p,); NaN on a bound."""
        return np.sqrt(np.diag(self.covar))

    @classmethod
    def unknown(cls, size: int, loglik: float = 0.0) -> Estimate:
        """Say that nothing is known of some probabilities."""
        nothing = np.full((size, size), np.nan)
        return cls(
            np.full(size, np.nan), nothing, np.zeros(size), np.ones(size), loglik, success=False
        )


@dataclass(frozen=True)
class Problem:
    """A log-likelihood of parameters on a scale.

    Parameters
    ----------
    scale : Scale
    derivatives : callable
        Gives the log-likelihood, its gradient and its Hessian (or one that serves to climb) at
        a point.
    starts : sequence of ndarray
        Where to start to climb.
    in_order : callable
        Gives the point in the form in which its labels are in order.
    hessian : callable, optional
        Gives the Hessian itself, where ``derivatives`` gives another matrix.
    """

    scale: Scale
    derivatives: Callable[[Floats], Derivatives]
    starts: Sequence[Floats]
    in_order: Callable[[Floats], Floats] = np.asarray
    hessian: Callable[[Floats], Floats] | None = None


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
    problem, counted = _counting(problem)
    peak, top = peak_of(problem, problem.starts)
    scale = problem.scale
    lower, upper = scale.lower, scale.upper
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
    first, last = np.sort([scale.to_values(low), scale.to_values(high)], axis=0)
    return Estimate(
        scale.to_values(peak),
        _covariance(problem, peak),
        first,
        last,
        top,
        success=bool(np.isfinite(top)),
        nfev=counted[0],
        peak=peak,
    )


def _counting(problem: Problem) -> tuple[Problem, list[int]]:
    """Count how often a likelihood is computed."""
    counted = [0]

    def derivatives(theta: Floats) -> Derivatives:
        counted[0] += 1
        return problem.derivatives(theta)

    return replace(problem, derivatives=derivatives), counted


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
    free = np.ones(len(problem.scale), dtype=bool)
    climbs = [_climb(problem, start, free) for start in starts]
    peak, top = max(climbs, key=lambda result: result[1])
    return problem.in_order(peak), top


def _climb(problem: Problem, start: Floats, free: npt.NDArray[np.bool_]) -> tuple[Floats, float]:
    """Maximise over the free coordinates by damped Newton steps, within bounds."""
    lower, upper = problem.scale.lower, problem.scale.upper
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


def _covariance(problem: Problem, peak: Floats) -> Floats:
    """Take the covariance from the observed information; NaN where nothing is known."""
    result = np.full((len(peak), len(peak)), np.nan)
    hessian = problem.derivatives(peak)[2] if problem.hessian is None else problem.hessian(peak)
    scale = problem.scale
    within = (peak > scale.lower + 1e-6) & (peak < scale.upper - 1e-6)
    known = np.flatnonzero(within & (-np.diag(hessian) > _NO_INFORMATION))
    information = -hessian[np.ix_(known, known)]
    if not len(known) or np.linalg.cond(information) > 1e12:
        return result
    variance = np.linalg.inv(information)
    slopes = scale.slope(peak)[known]
    if (np.diag(variance) > 0).all():
        result[np.ix_(known, known)] = variance * np.outer(slopes, slopes)
    return result
