"""Maximum-likelihood estimates with profile-likelihood intervals, for any likelihood.

Newton's method within bounds finds the maximum. An interval of a parameter ends where the
likelihood, maximised over the other parameters, has fallen by half a chi-square quantile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtri

from mesa_llmspread.inference.scale import Floats, Scale

__all__ = ["STEP", "Derivatives", "Estimate", "Problem", "maximise", "peak_of"]

#: A log-likelihood, its gradient, and its Hessian or an approximation to it.
Derivatives = tuple[float, Floats, Floats]

#: Step of numerical derivatives, on the scale of the parameters.
STEP = 1e-4

_MOST_STEPS = 200

# A search ends where another step would add less than half of this to the log-likelihood.
_SETTLED = 1e-10

# Differences in log-likelihood that do not count: between two maxima, and of a bound.
_TIE, _FREE = 1e-6, 1e-7

# Information about a number on the scale below which it is unknown, and the smallest
# eigenvalue (all parameters scaled alike) above which parameters can be distinguished.
_NO_INFORMATION, _ALIKE = 1e-6, 1e-5


@dataclass(frozen=True)
class Estimate:
    """A maximum-likelihood estimate of parameters.

    Parameters
    ----------
    values : ndarray of float, shape (p,)
        The estimates; NaN where the data contain no information.
    covar : ndarray of float, shape (p, p)
        Covariance from the observed information; NaN for a parameter on a bound.
    low, high : ndarray of float, shape (p,)
        Profile-likelihood interval; the parameter's bounds where there is no information.
    loglik : float
        The largest log-likelihood; ``-inf`` where the law cannot produce the decisions.
    nfev : int
        How often the likelihood was computed.
    peak : ndarray of float, shape (p,)
        The estimates on the scale of the parameters.
    """

    values: Floats
    covar: Floats
    low: Floats
    high: Floats
    loglik: float
    nfev: int
    peak: Floats

    @property
    def interval(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Values, standard errors (NaN on a bound), and both ends of the intervals."""
        return self.values, np.sqrt(np.diag(self.covar)), self.low, self.high

    @classmethod
    def unknown(cls, scale: Scale, loglik: float = 0.0) -> Estimate:
        """Return the estimate of parameters about which there is no information."""
        size = len(scale)
        low, high = np.array(scale.bounds, dtype=float).reshape(-1, 2).T
        nothing = np.full(size, np.nan)
        return cls(nothing, np.full((size, size), np.nan), low, high, loglik, 0, nothing)


@dataclass(frozen=True)
class Problem:
    """A log-likelihood of parameters on a scale.

    Parameters
    ----------
    scale : Scale
    derivatives : callable
        From a point, the log-likelihood, its gradient and (about) its Hessian.
    starts : callable
        Returns the points where Newton's method starts.
    separate : bool, default False
        Whether the log-likelihood is a sum of functions of one parameter each.
    """

    scale: Scale
    derivatives: Callable[[Floats], Derivatives]
    starts: Callable[[], Sequence[Floats]]
    separate: bool = False

    def informed(self, theta: Floats) -> npt.NDArray[np.bool_]:
        """Return about which parameters there is information at a point, shape (p,)."""
        return np.asarray(self.derivatives(theta)[2].any(axis=0))


def maximise(problem: Problem, level: float) -> Estimate:
    """Return the maximum-likelihood estimate with profile-likelihood intervals.

    Parameters
    ----------
    problem : Problem
    level : float
        Coverage of the intervals.

    Returns
    -------
    Estimate
    """
    evaluations = [0]

    def derivatives(theta: Floats) -> Derivatives:
        evaluations[0] += 1
        return problem.derivatives(theta)

    scale = problem.scale
    counting = replace(problem, derivatives=derivatives)
    peak, top = peak_of(counting, problem.starts())
    peak, top, unknown = _at_bounds(counting, peak, top)
    variance, alike = _covariance(counting, peak, ~unknown)
    # Where the share of classes is unknown, that is why the others cannot be distinguished.
    unknown = unknown if unknown.any() else alike
    reach = float(ndtri((1 + level) / 2))
    strides = np.nan_to_num(reach * np.sqrt(np.diag(variance)), nan=0.1)

    def end(i: int, bound: float) -> float:
        if unknown[i]:
            return bound
        return _end_of_interval(counting, peak, top, i, bound, reach, strides[i])

    low = [end(i, bound) for i, bound in enumerate(scale.lower)]
    high = [end(i, bound) for i, bound in enumerate(scale.upper)]
    first, last = np.sort(scale.to_values([low, high], unlimited=True), axis=0)
    values = np.where(unknown, np.nan, scale.to_values(peak))
    slopes = scale.slope(peak)
    covar = variance * np.outer(slopes, slopes)
    return Estimate(values, covar, first, last, top, evaluations[0], peak)


def peak_of(problem: Problem, starts: Sequence[Floats]) -> tuple[Floats, float]:
    """Return the highest maximum that is found from some starts.

    Parameters
    ----------
    problem : Problem
    starts : sequence of ndarray
        The maximum of an earlier start wins a tie.

    Returns
    -------
    peak : ndarray of float
        With the low class first.
    loglik : float
    """
    climbs = [_climb(problem, start) for start in starts]
    best = max(height for _, height in climbs)
    peak, top = next(climb for climb in climbs if not climb[1] < best - _TIE)
    return problem.scale.in_order(peak), top


def _climb(
    problem: Problem, start: Floats, free: npt.NDArray[np.bool_] | None = None
) -> tuple[Floats, float]:
    """Maximise over the free parameters by damped Newton steps within bounds."""
    lower, upper = problem.scale.lower, problem.scale.upper
    theta = np.clip(start, lower, upper)
    value, gradient, hessian = problem.derivatives(theta)
    for _ in range(_MOST_STEPS):
        outward = ((theta <= lower) & (gradient < 0)) | ((theta >= upper) & (gradient > 0))
        moving = ~outward if free is None else free & ~outward
        if not moving.any():
            break
        # Where the likelihood is not concave, go uphill along every axis all the same.
        curvature, axes = np.linalg.eigh(hessian[np.ix_(moving, moving)])
        step = np.zeros_like(theta)
        step[moving] = axes @ (axes.T @ gradient[moving] / np.maximum(np.abs(curvature), 1e-9))
        if gradient @ step < _SETTLED:
            break
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


def _at_bounds(
    problem: Problem, peak: Floats, top: float
) -> tuple[Floats, float, npt.NDArray[np.bool_]]:
    """Move parameters to a bound where the likelihood stays; without effect, they are unknown."""
    unknown, free = np.zeros(len(peak), dtype=bool), np.ones(len(peak), dtype=bool)
    for i, ends in enumerate(zip(problem.scale.lower, problem.scale.upper, strict=True)):
        points = [np.where(np.arange(len(peak)) == i, end, peak) for end in ends]
        costless = [problem.derivatives(point)[0] > top - _FREE for point in points]
        if all(costless):
            unknown[i] = True
        elif any(costless):
            peak, free[i] = points[costless.index(True)], False
    return (*_climb(problem, peak, free), unknown)


def _end_of_interval(
    problem: Problem, peak: Floats, top: float, i: int, bound: float, reach: float, stride: float
) -> float:
    """Return where the profile of one parameter has fallen far enough, on the way to a bound."""
    scale, others = problem.scale, np.arange(len(peak)) != i
    free = others & (not problem.separate)
    near = peak.copy()

    def beyond(value: float) -> float:
        """Return the distance beyond the end, in standard errors as the profile measures it."""
        # A profile of classes has another peak where the two change places, so the last climb
        # may have led away from the first.
        starts = [near] if problem.separate else [near, peak]
        climbs = [_climb(problem, np.where(others, start, value), free) for start in starts]
        near[:], height = max(climbs, key=lambda climb: climb[1])
        return float(np.sqrt(2 * max(top - height, 0.0)) - reach)

    inner, ends = float(peak[i]), {float(peak[i]): -reach}
    while inner != bound:
        step = np.copysign(stride, bound - inner)
        outer = float(np.clip(inner + step, scale.lower[i], scale.upper[i]))
        ends[outer] = beyond(outer)
        if ends[outer] > 0:
            first, last = sorted((inner, outer))

            def crossing(value: float) -> float:
                return ends[value] if value in ends else beyond(value)

            return float(brentq(crossing, first, last, xtol=1e-7, rtol=1e-9))
        inner, stride = outer, 2 * stride
    return bound


def _covariance(
    problem: Problem, peak: Floats, known: npt.NDArray[np.bool_]
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the covariance on the scale, and which parameters cannot be distinguished.

    It is the inverse of the observed information; NaN on a bound or without information.
    """
    scale = problem.scale
    covar, alike = np.full((len(peak), len(peak)), np.nan), np.zeros(len(peak), dtype=bool)
    rises = [
        problem.derivatives(peak + step)[1] - problem.derivatives(peak - step)[1]
        for step in STEP * np.eye(len(peak))
    ]
    hessian = np.array(rises) / (2 * STEP)
    within = known & (peak > scale.lower + 1e-6) & (peak < scale.upper - 1e-6)
    kept = np.flatnonzero(within & (-np.diag(hessian) > _NO_INFORMATION))
    information = -(hessian + hessian.T)[np.ix_(kept, kept)] / 2
    if len(kept):
        size = np.sqrt(np.diag(information))
        eigenvalues, axes = np.linalg.eigh(information / np.outer(size, size))
        alike[kept] = (np.abs(axes[:, np.abs(eigenvalues) < _ALIKE]) > 0.1).any(axis=1)
        if eigenvalues[0] > _ALIKE:
            covar[np.ix_(kept, kept)] = np.linalg.inv(information)
    return covar, alike
