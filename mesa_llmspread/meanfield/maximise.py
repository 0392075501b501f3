"""Maximise a likelihood of a few parameters, and find its profile-likelihood intervals.

Newton's method with exact derivatives, within bounds. A bound on a log rate stands for a
probability of 0 or 1, and estimates do lie there: an offline rate that adds nothing, a class
of agents that always reposts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtri

from mesa_llmspread.transmission import (
    TransmissionLaw,
    probability_to_rate,
    rate_to_probability,
)

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

# The same for logarithms, and for numbers without limits.
_WIDEST_LOG, _WIDEST = 20.0, 1e6

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
class Scale:
    """Parameters as numbers that a search may move freely.

    Rates (probabilities of posting) go as log rates per contact, ``log(-log(1 - p))``; shares
    and other numbers between two limits as logits; numbers with one limit as logarithms. The
    ends of the scale stand for the limits themselves, exactly.

    Parameters
    ----------
    bounds : sequence of (float, float)
        The smallest and largest value of each parameter.
    is_rate : sequence of bool
        Which of them are probabilities of posting.

    Examples
    --------
    >>> scale = Scale([(0, 1), (0, 1)], [True, False])
    >>> scale.to_values(np.array([-50.0, 0.0])).tolist()
    [0.0, 0.5]
    """

    bounds: Sequence[tuple[float, float]]
    is_rate: Sequence[bool]

    @classmethod
    def of(cls, law: TransmissionLaw, names: Sequence[str] | None = None) -> Scale:
        """Set up the scale of a law's parameters, or of some of them.

        Parameters
        ----------
        law : TransmissionLaw
        names : sequence of str, optional

        Returns
        -------
        Scale
            Parameters between 0 and 1 are rates, unless their name begins with ``share``.
        """
        limits = law.parameter_bounds
        chosen = list(limits) if names is None else names
        return cls(
            [limits[name] for name in chosen],
            [limits[name] == (0.0, 1.0) and not name.startswith("share") for name in chosen],
        )

    def __len__(self) -> int:
        return len(self.bounds)

    @cached_property
    def lower(self) -> Floats:
        """The smallest value of each parameter, on this scale."""
        return np.array([ends[0] for ends in self._ends])

    @cached_property
    def upper(self) -> Floats:
        """The largest value of each parameter, on this scale."""
        return np.array([ends[1] for ends in self._ends])

    @property
    def _ends(self) -> list[tuple[float, float]]:
        of_kind = {
            "rate": (np.log(LOWEST_RATE), np.log(HIGHEST_RATE)),
            "between": (-WIDEST_LOGIT, WIDEST_LOGIT),
            "above": (-_WIDEST_LOG, _WIDEST_LOG),
            "below": (-_WIDEST_LOG, _WIDEST_LOG),
            "free": (-_WIDEST, _WIDEST),
        }
        return [of_kind[kind] for kind in self._kinds]

    @cached_property
    def _kinds(self) -> list[str]:
        kinds = []
        for (low, high), rate in zip(self.bounds, self.is_rate, strict=True):
            limits = np.isfinite(low), np.isfinite(high)
            names = {(True, True): "between", (True, False): "above", (False, True): "below"}
            kinds.append("rate" if rate else names.get(limits, "free"))
        return kinds

    def to_values(self, theta: npt.ArrayLike) -> Floats:
        """Turn numbers on this scale into the parameters' values; an end is exactly a limit."""
        given = np.asarray(theta, dtype=float)
        known = np.clip(given, self.lower, self.upper)
        values = np.empty_like(known)
        for i, (kind, (low, high)) in enumerate(zip(self._kinds, self.bounds, strict=True)):
            x = known[..., i]
            if kind == "rate":
                values[..., i] = rate_to_probability(np.exp(x))
            elif kind == "between":
                values[..., i] = low + (high - low) * expit(x)
            elif kind == "free":
                values[..., i] = x
            else:
                values[..., i] = low + np.exp(x) if kind == "above" else high - np.exp(x)
            if kind != "free":
                first, last = (high, low) if kind == "below" else (low, high)
                values[..., i] = np.where(given[..., i] <= self.lower[i], first, values[..., i])
                if np.isfinite(last):
                    values[..., i] = np.where(given[..., i] >= self.upper[i], last, values[..., i])
        return values

    def from_values(self, values: npt.ArrayLike) -> Floats:
        """Turn parameters' values into numbers on this scale."""
        given = np.asarray(values, dtype=float)
        theta = np.empty_like(given)
        with np.errstate(divide="ignore"):
            for i, (kind, (low, high)) in enumerate(zip(self._kinds, self.bounds, strict=True)):
                x = given[..., i]
                if kind == "rate":
                    theta[..., i] = np.log(probability_to_rate(x))
                elif kind == "between":
                    theta[..., i] = logit((x - low) / (high - low))
                elif kind == "free":
                    theta[..., i] = x
                else:
                    theta[..., i] = np.log(x - low if kind == "above" else high - x)
        return np.clip(theta, self.lower, self.upper)

    def slope(self, theta: npt.ArrayLike) -> Floats:
        """Differentiate the parameters' values with respect to the numbers on this scale."""
        given = np.asarray(theta, dtype=float)
        slopes = np.ones_like(given)
        for i, (kind, (low, high)) in enumerate(zip(self._kinds, self.bounds, strict=True)):
            x = given[..., i]
            if kind == "rate":
                slopes[..., i] = np.exp(x - np.exp(x))
            elif kind == "between":
                slopes[..., i] = (high - low) * expit(x) * expit(-x)
            elif kind in ("above", "below"):
                slopes[..., i] = np.exp(x) if kind == "above" else -np.exp(x)
        return slopes


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
    """Take the covariance from the observed information; NaN where there is none."""
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
