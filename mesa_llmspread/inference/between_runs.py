"""Differences between runs: a test of whether rates are the same, and intervals if they are not.

Where runs differ, an interval from all decisions together is far too narrow: with rates that
vary by a third it contains the truth one time in five.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2, t

from mesa_llmspread.inference.decisions import Log
from mesa_llmspread.inference.likelihood import likelihood
from mesa_llmspread.inference.maximum import Derivatives, Estimate, Problem, peak_of
from mesa_llmspread.inference.result import Criteria, FitResult
from mesa_llmspread.inference.scale import Floats, Scale
from mesa_llmspread.transmission import TransmissionLaw

__all__ = ["DIFFERS", "Between", "between_runs", "differences", "mean_interval", "run_factors"]

#: p-value of :func:`differences` below which runs are taken to differ.
DIFFERS = 0.05

# Spread below which runs agree exactly.
_EXACT = 1e-12

# Reposts to expect of a rate in every run (declines, if rarer), for its logarithms to be averaged.
_ENOUGH = 5.0

# Number of rates from which too few decisions fall on each rate of each run to test them all.
_MANY = 4

# Smallest eigenvalue of the information of a run above which its parameters are distinguished.
_ALIKE = 1e-3


#: Values, standard errors, and both ends of the intervals, shape (p,) each. NaN, with the bounds as
#: interval, where the runs contain no information.
Between = tuple[Floats, Floats, Floats, Floats]


def differences(law: TransmissionLaw, log: Log, pooled: Estimate) -> tuple[float, Floats]:
    """Test that all runs have the same rates, and estimate how far they differ.

    Parameters
    ----------
    law : TransmissionLaw
    log : Log
    pooled : Estimate
        From all runs together.

    Returns
    -------
    p_value : float
        Of the likelihood ratio; NaN with one run, or where the law does not fit.
    covar : ndarray of float, shape (p, p)
        Covariance of the parameters between runs, on the scale of the fit. A few rates that can be
        estimated one by one differ each by itself; others by a factor that multiplies all rates.
    """
    start, size = pooled.peak, len(pooled.peak)
    if len(log.runs) < 2 or not np.isfinite(pooled.loglik):
        return float("nan"), np.zeros((size, size))
    whole = likelihood(law, log)
    runs = [likelihood(law, log, log.run == run) for run in log.runs]
    acts = np.eye(size)
    if not (whole.separate and size < _MANY):
        acts = _common_factor(law, log, whole.scale)[:, None]
    moved = [_moved(problem, start, acts) for problem in runs]
    centre = np.zeros(acts.shape[1])
    found = [peak_of(problem, [centre]) for problem in moved]
    gain = sum(height for _, height in found) - pooled.loglik
    informed = np.array([problem.informed(centre) for problem in moved])
    freedom = np.maximum(informed.sum(axis=0) - 1, 0).sum()
    covars = [
        _inverse(-problem.derivatives(peak)[2], known)
        for problem, (peak, _), known in zip(moved, found, informed, strict=True)
    ]
    spread = _spread(np.array([peak for peak, _ in found]), np.array(covars))
    p_value = float(chi2.sf(2 * gain, freedom)) if freedom > 0 else float("nan")
    return p_value, acts @ spread @ acts.T


def run_factors(
    law: TransmissionLaw, log: Log, result: FitResult
) -> tuple[Criteria, dict[int, TransmissionLaw]]:
    """Fit a law whose rates are multiplied by a factor of each run's own.

    Parameters
    ----------
    law : TransmissionLaw
    log : Log
    result : FitResult
        Of the fit to all runs.

    Returns
    -------
    criteria : Criteria
    laws : dict of int to TransmissionLaw
        The law of each run.
    """
    runs, best = [likelihood(law, log, log.run == run) for run in log.runs], result.likeliest
    if best is None:
        return result.criteria, {}
    scale, number = runs[0].scale, len(runs)
    size, factor = len(scale), _common_factor(law, log, scale)
    # The parameters of a run from those of all: the shared ones, and the runs' factors but one.
    maps = np.zeros((number, size, size + number - 1))
    maps[:, :, :size] = np.eye(size)
    maps[np.arange(1, number), :, size + np.arange(number - 1)] = factor

    def derivatives(theta: Floats) -> Derivatives:
        each = zip(runs, maps @ theta, strict=True)
        parts = [problem.derivatives(point) for problem, point in each]
        loglik, gradient, hessian = zip(*parts, strict=True)
        return (
            float(sum(loglik)),
            np.einsum("rpq,rp->q", maps, gradient),
            np.einsum("rpq,rps,rst->qt", maps, hessian, maps, optimize=True),
        )

    start = scale.from_values([best.parameters[name] for name in scale.names])
    factors = number - 1
    free = ["factor"] * factors, [(-np.inf, np.inf)] * factors
    joint = Scale([*scale.names, *free[0]], [*scale.bounds, *free[1]])
    problem = Problem(joint, derivatives, lambda: [])
    peak, loglik = peak_of(problem, [np.r_[start, np.zeros(factors)]])
    # Factors of runs count alike beside every law, whatever its own parameters count.
    own = Criteria.of(size, loglik, result.n_bic)
    aic, bic = own.aic + 2 * factors, own.bic + factors * float(np.log(log.n_obs))
    laws = dict(zip(log.runs, scale.laws(best, maps @ peak), strict=True))
    return Criteria(size + factors, loglik, aic, bic), laws


def _common_factor(law: TransmissionLaw, log: Log, scale: Scale) -> Floats:
    """Return how a factor that multiplies all rates moves each parameter on its scale."""
    terms = law.log_rates(log.cells(law)[0])
    if terms is None:
        return scale.is_rate.astype(float)
    names = [name for name in law.parameters if name != "alpha"]
    online = np.linalg.lstsq(terms[0], np.ones(len(terms[0])))[0]
    moves = dict(zip(names, online.tolist(), strict=True))
    return np.array([moves.get(name, 1.0) for name in scale.names])


def _moved(problem: Problem, start: Floats, acts: Floats) -> Problem:
    """Return a likelihood as a function of how far the parameters move along some directions."""

    def derivatives(move: Floats) -> Derivatives:
        loglik, gradient, hessian = problem.derivatives(start + acts @ move)
        return loglik, gradient @ acts, acts.T @ hessian @ acts

    number = acts.shape[1]
    scale = Scale(["move"] * number, [(-np.inf, np.inf)] * number)
    return Problem(scale, derivatives, lambda: [])


def _inverse(information: Floats, known: npt.NDArray[np.bool_]) -> Floats:
    """Return the covariance of the parameters that are known; NaN for the others, or for all."""
    covar = np.full_like(information, np.nan)
    part = information[np.ix_(known, known)]
    if known.any() and np.linalg.eigvalsh(part)[0] > _ALIKE:
        covar[np.ix_(known, known)] = np.linalg.inv(part)
    return covar


def _spread(y: Floats, covars: Floats) -> Floats:
    """Return the covariance of estimates between runs beyond their own, by the method of moments.

    As DerSimonian & Laird (1986) for each parameter, and likewise for each pair.
    """
    variance = np.diagonal(covars, axis1=1, axis2=2)
    weight = np.nan_to_num(1 / np.sqrt(variance[:, :, None] * variance[:, None, :]))
    total, squares = weight.sum(axis=0), (weight**2).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (weight * y[:, :, None]).sum(axis=0) / total
        apart = y[:, :, None] - mean
        own = weight * (1 - weight / total) * np.nan_to_num(covars)
        moment = np.sum(weight * apart * apart.transpose(0, 2, 1) - own, axis=0)
        between = np.nan_to_num(moment / (total - squares / total), posinf=0.0, neginf=0.0)
    between[:, np.diag(between) <= 0] = 0.0
    eigenvalues, axes = np.linalg.eigh((between + between.T) / 2)
    return np.asarray((axes * np.maximum(eigenvalues, 0.0)) @ axes.T)


def between_runs(law: TransmissionLaw, log: Log, pooled: Estimate, level: float) -> Between:
    """Estimate a law's parameters with intervals that are right where runs differ.

    A few rates that can be estimated one by one are averaged over the runs on the log scale
    (random effects with the Hartung-Knapp interval). Parameters that are estimated together,
    rates so many that few decisions of a run fall on each, and rare reposts keep the estimate
    from all runs; its error is that of leaving each run out in turn (jackknife), with t
    quantiles. Where reposts are rare, or the profile likelihood allows a bound, the interval
    contains that of the profile likelihood.

    Parameters
    ----------
    law : TransmissionLaw
    log : Log
        With at least two runs.
    pooled : Estimate
        From all runs together.
    level : float
        Coverage of the intervals.

    Returns
    -------
    Between
    """
    if not np.isfinite(pooled.loglik):
        return pooled.interval
    whole = likelihood(law, log)
    rare: npt.NDArray[np.bool_] = np.full(len(whole.scale), False)
    averaged = None
    if whole.separate and len(whole.scale) < _MANY:
        runs = [likelihood(law, log, log.run == run, smooth=True) for run in log.runs]
        expected = np.array([-np.diag(problem.derivatives(pooled.peak)[2]) for problem in runs])
        rare = np.asarray(((expected > 0) & (expected < _ENOUGH)).any(axis=0))
        averaged = _averaged(whole.scale, runs, level)
        if not rare.any():
            return averaged
    left_out = []
    for run in log.runs:
        others = likelihood(law, log, log.run != run)
        peak, _ = peak_of(others, [pooled.peak])
        left_out.append(np.where(others.informed(pooled.peak), peak, np.nan))
    found = _jackknife(whole.scale, pooled, np.array(left_out), rare, level)
    return found if averaged is None else tuple(np.where(rare, found, averaged))


def _averaged(scale: Scale, runs: Sequence[Problem], level: float) -> Between:
    """Return rates averaged over the runs, each by itself."""
    peaks = [peak_of(problem, problem.starts())[0] for problem in runs]
    pairs = zip(runs, peaks, strict=True)
    information = [-np.diag(problem.derivatives(peak)[2]) for problem, peak in pairs]
    rates = zip(np.transpose(peaks), np.transpose(information), strict=True)
    return _around(scale, *np.transpose([_random_effects(*rate, level) for rate in rates]))


def _random_effects(y: Floats, information: Floats, level: float) -> tuple[float, float, float]:
    """Return the mean of a log rate over the runs, its error, and half the interval."""
    y, w = y[information > 0], information[information > 0]
    if len(y) < 2:
        return (float(y[0]) if len(y) else np.nan), np.nan, np.inf
    q = np.sum(w * (y - np.average(y, weights=w)) ** 2)
    between = max(0.0, (q - (len(y) - 1)) / (w.sum() - np.sum(w**2) / w.sum()))
    w = 1 / (1 / w + between)
    mean = np.average(y, weights=w)
    scale = np.sum(w * (y - mean) ** 2) / (len(y) - 1)
    # Runs that agree exactly are few and small, not perfect.
    error = np.sqrt((scale if scale > _EXACT else 1.0) / w.sum())
    return float(mean), float(error), float(t.ppf((1 + level) / 2, len(y) - 1) * error)


def _jackknife(
    scale: Scale, pooled: Estimate, left_out: Floats, rare: npt.NDArray[np.bool_], level: float
) -> Between:
    """Return the interval around an estimate from how it moves when each run is left out.

    It moves in value, as a run less can put it on a bound, which the scale has at infinity.
    """
    n, (values, stderr, lowest, highest) = len(left_out), pooled.interval
    moved = scale.to_values(left_out)
    spread = np.sqrt((n - 1) / n * np.sum((moved - moved.mean(axis=0)) ** 2, axis=0))
    # Not a number where one run alone informs a parameter: it says nothing about others.
    error = np.where(spread <= _EXACT, np.nan_to_num(stderr), spread)
    reach = np.nan_to_num(t.ppf((1 + level) / 2, n - 1) * error, nan=np.inf)
    slope, bound = scale.slope(pooled.peak), np.isnan(stderr)
    half = np.divide(reach, slope, out=np.full(len(reach), np.inf), where=slope > 0)
    _, _, low, high = _around(scale, pooled.peak, error, half)
    first, last = np.transpose(scale.bounds)
    low = np.where(bound, np.maximum(values - reach, first), low)
    high = np.where(bound, np.minimum(values + reach, last), high)
    wide = bound | rare | (lowest == first) | (highest == last)
    low, high = np.where(wide, [np.fmin(low, lowest), np.fmax(high, highest)], [low, high])
    return values, np.where(bound, np.nan, error), low, high


def mean_interval(y: Floats, scale: Scale, level: float) -> Between:
    """Return the mean of one estimate per run, with its t interval.

    Parameters
    ----------
    y : ndarray of float, shape (runs, p)
        Estimates on a scale.
    scale : Scale
    level : float
        Coverage of the intervals.

    Returns
    -------
    Between
        With one run, or where runs agree exactly, the errors are NaN and the intervals are the
        bounds.
    """
    n, spread = len(y), y.std(axis=0)
    error = np.where(spread > _EXACT, spread / np.sqrt(max(n - 1, 1)), np.nan)
    half = np.nan_to_num(t.ppf((1 + level) / 2, n - 1) * error, nan=np.inf)
    return _around(scale, y.mean(axis=0), error, half)


def _around(scale: Scale, mean: Floats, error: Floats, half: Floats) -> Between:
    """Return means on a scale as values, with their errors and intervals."""
    ends = [np.where(np.isnan(mean), way * np.inf, mean + way * half) for way in (-1, 1)]
    low, high = scale.to_values(ends, unlimited=True)
    return scale.to_values(mean), scale.slope(mean) * error, low, high
