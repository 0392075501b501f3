"""Differences between runs: a test of whether rates are the same, and intervals if they are not.

Where runs differ, an interval from all decisions together is far too narrow: with rates that
vary by a third it contains the truth one time in five.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2, t

from mesa_llmspread.inference.decisions import Log
from mesa_llmspread.inference.likelihood import likelihood, rates_likelihood
from mesa_llmspread.inference.maximum import Estimate, Problem, peak_of
from mesa_llmspread.inference.scale import Floats, Scale
from mesa_llmspread.transmission import TransmissionLaw

__all__ = ["DIFFERS", "Between", "between_runs", "heterogeneity", "mean_interval"]

#: Below this p-value of :func:`heterogeneity` runs are taken to differ.
DIFFERS = 0.05

# Spread below which runs agree exactly.
_EXACT = 1e-12

# Number of rates from which too few decisions fall on each rate of each run to test them all.
_MANY = 4


#: Values, standard errors, and both ends of the intervals, shape (p,) each. NaN, with the bounds as
#: interval, where the runs contain no information.
Between = tuple[Floats, Floats, Floats, Floats]


def heterogeneity(law: TransmissionLaw, log: Log, pooled: Estimate) -> float:
    """Test that all runs have the same rates.

    Parameters
    ----------
    law : TransmissionLaw
    log : Log
    pooled : Estimate
        From all runs together.

    Returns
    -------
    float
        p-value of the likelihood ratio; NaN with one run, or where the law does not fit.
        With many rates (one per profile) runs are allowed to differ by a factor only.
    """
    if len(log.runs) < 2 or not np.isfinite(pooled.loglik):
        return float("nan")
    within, start = [log.run == run for run in log.runs], pooled.peak
    whole = likelihood(law, log)
    if whole.separate and len(whole.scale) >= _MANY:
        runs = [_factor(law, log, whole.scale, start, kept) for kept in within]
        start = np.zeros(1)
        together = sum(problem.derivatives(start)[0] for problem in runs)
    else:
        runs = [likelihood(law, log, kept) for kept in within]
        together = pooled.loglik
    gain = sum(peak_of(problem, [start])[1] for problem in runs) - together
    informed = np.sum([problem.informed(start) for problem in runs], axis=0)
    freedom = np.maximum(informed - 1, 0).sum()
    return float(chi2.sf(2 * gain, freedom)) if freedom > 0 else float("nan")


def _factor(
    law: TransmissionLaw, log: Log, scale: Scale, peak: Floats, kept: npt.NDArray[np.bool_]
) -> Problem:
    """Return the likelihood of a factor that multiplies all rates in the decisions kept."""
    seen, cell = log.cells(law)
    index, contacts = law.rate_terms(seen) or (np.zeros(len(seen), dtype=int), seen.contacts)
    # Where nobody or everybody reposted, runs cannot differ.
    inside = (scale.lower < peak) & (peak < scale.upper)
    rates = dict.fromkeys(law.parameters, 0.0) | dict(
        zip(scale.names, np.where(inside, np.exp(peak), 0.0).tolist(), strict=True)
    )
    hazard = np.array(list(rates.values()))[index] * contacts
    counts = log.counts(cell, kept)[:, hazard > 0]
    hazard = hazard[hazard > 0]
    return rates_likelihood(Scale(["factor"], [(0, 1)]), np.ones((len(hazard), 1)), hazard, *counts)


def between_runs(law: TransmissionLaw, log: Log, pooled: Estimate, level: float) -> Between:
    """Estimate a law's parameters with intervals that are right where runs differ.

    A few rates that can be estimated one by one are averaged over the runs on the log scale
    (random effects with the Hartung-Knapp interval). Parameters that are estimated together,
    and rates so many that few decisions of a run fall on each, keep the estimate from all
    runs; its error is that of leaving each run out in turn (jackknife), with t quantiles.

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
    if whole.separate and len(whole.scale) < _MANY:
        runs = [likelihood(law, log, log.run == run, smooth=True) for run in log.runs]
        peaks = [peak_of(problem, problem.starts())[0] for problem in runs]
        information = [
            -np.diag(problem.derivatives(peak)[2])
            for problem, peak in zip(runs, peaks, strict=True)
        ]
        means = [
            _random_effects(*rate, level)
            for rate in zip(np.transpose(peaks), np.transpose(information), strict=True)
        ]
        return _around(whole.scale, *np.transpose(means))
    left_out = []
    for run in log.runs:
        others = likelihood(law, log, log.run != run)
        peak, _ = peak_of(others, [pooled.peak])
        left_out.append(np.where(others.informed(pooled.peak), peak, np.nan))
    return _jackknife(whole.scale, pooled, np.array(left_out), level)


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


def _jackknife(scale: Scale, pooled: Estimate, left_out: Floats, level: float) -> Between:
    """Return the interval around an estimate from how it moves when each run is left out."""
    n, peak = len(left_out), pooled.peak
    values, stderr, lowest, highest = pooled.interval
    slope = scale.slope(peak)
    spread = (n - 1) / n * np.sum((left_out - left_out.mean(axis=0)) ** 2, axis=0)
    own = np.divide(stderr, slope, out=np.full(len(peak), np.nan), where=slope > 0)
    error = np.where(spread > _EXACT, np.sqrt(spread), own)
    _, _, low, high = _around(
        scale, peak, error, np.nan_to_num(t.ppf((1 + level) / 2, n - 1) * error, nan=np.inf)
    )
    # On a bound an estimate hardly moves, however little is known.
    bound = np.isnan(stderr)
    low = np.where(bound, np.minimum(low, lowest), low)
    high = np.where(bound, np.maximum(high, highest), high)
    return values, np.where(bound, np.nan, slope * error), low, high


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
        With one run the errors are NaN and the intervals are the bounds.
    """
    mean = y.mean(axis=0)
    error, half = np.full_like(mean, np.nan), np.full_like(mean, np.inf)
    if len(y) > 1:
        error = y.std(axis=0, ddof=1) / np.sqrt(len(y))
        half = t.ppf((1 + level) / 2, len(y) - 1) * error
    return _around(scale, mean, error, half)


def _around(scale: Scale, mean: Floats, error: Floats, half: Floats) -> Between:
    """Return means on a scale as values, with their errors and intervals."""
    low, high = (np.where(np.isnan(mean), way * np.inf, mean + way * half) for way in (-1, 1))
    values, low, high = (scale.to_values(each) for each in (mean, low, high))
    return values, scale.slope(mean) * error, low, high
