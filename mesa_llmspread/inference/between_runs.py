"""Differences between runs: a test of whether rates are the same, and intervals if they are not.

Where runs differ, an interval from all decisions together is far too narrow: with rates that
vary by a third it contains the truth one time in five.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2, t

from mesa_llmspread.inference.decisions import Log
from mesa_llmspread.inference.likelihood import one_rate, problems
from mesa_llmspread.inference.maximum import Estimate, Problem, peak_of
from mesa_llmspread.inference.scale import Floats, Scale
from mesa_llmspread.transmission import TransmissionLaw

__all__ = ["Between", "between_runs", "heterogeneity", "mean_interval"]

# Spread below which runs agree exactly.
_EXACT = 1e-12

# Number of rates from which too few decisions fall on each rate of each run to test them all.
_MANY = 4


class Between(NamedTuple):
    """Estimates from runs that may differ, shape (p,).

    NaN, with the bounds as interval, where the runs hold no information.
    """

    values: Floats
    stderr: Floats
    low: Floats
    high: Floats


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
    within = [log.run == run for run in log.runs]
    starts = _split(pooled.peak, whole := problems(law, log))
    if len(whole) >= _MANY:
        runs = [[_factor(law, log, whole, pooled.peak, kept)] for kept in within]
        starts = [np.zeros(1)]
        together = sum(problem.derivatives(starts[0])[0] for (problem,) in runs)
    else:
        runs = [problems(law, log, kept) for kept in within]
        together = pooled.loglik
    gain, freedom = -together, 0
    for start, *apart in zip(starts, *runs, strict=True):
        informed = [problem for problem in apart if problem.derivatives(start)[2].any()]
        gain += sum(peak_of(problem, [start])[1] for problem in informed)
        freedom += len(start) * max(len(informed) - 1, 0)
    return float(chi2.sf(2 * gain, freedom)) if freedom > 0 else float("nan")


def _split(theta: Floats, parts: Sequence[Problem]) -> list[Floats]:
    """Split a point into the points of independent problems."""
    return np.split(theta, np.cumsum([len(part.scale) for part in parts])[:-1])


def _factor(
    law: TransmissionLaw,
    log: Log,
    parts: Sequence[Problem],
    peak: Floats,
    kept: npt.NDArray[np.bool_],
) -> Problem:
    """Return the likelihood of a factor that multiplies all rates in the decisions kept."""
    seen, cell = log.cells(law)
    index, contacts = law.rate_terms(seen) or (np.zeros(len(seen), dtype=int), seen.contacts)
    names, rates = list(law.parameters), np.zeros(len(law.parameters))
    for part, log_rate in zip(parts, peak, strict=True):
        # Where nobody or everybody reposted, runs cannot differ.
        inside = part.scale.lower[0] < log_rate < part.scale.upper[0]
        rates[names.index(part.scale.names[0])] = np.exp(log_rate) if inside else 0.0
    return one_rate(rates[index] * contacts, *log.counts(cell, kept))


def between_runs(law: TransmissionLaw, log: Log, pooled: Estimate, level: float) -> Between:
    """Estimate a law's parameters with intervals that hold where runs differ.

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
        return Between(pooled.values, pooled.stderr, pooled.low, pooled.high)
    whole = problems(law, log)
    scale = Scale.of(law, [name for part in whole for name in part.scale.names])
    if len(whole) < _MANY and law.rate_terms(log.seen[:1]) is not None:
        runs = [problems(law, log, log.run == run, smooth=True) for run in log.runs]
        means = [_random_effects(parts, level) for parts in zip(*runs, strict=True)]
        return _around(scale, *np.array(means).T)
    left_out = np.array(
        [
            np.concatenate(
                [
                    peak_of(part, [start])[0]
                    if part.derivatives(start)[2].any()
                    else start * np.nan
                    for part, start in zip(parts, _split(pooled.peak, whole), strict=True)
                ]
            )
            for parts in (problems(law, log, log.run != run) for run in log.runs)
        ]
    )
    return _jackknife(scale, pooled, left_out, level)


def _random_effects(runs: Sequence[Problem], level: float) -> tuple[float, float, float]:
    """Return the mean of a log rate over the runs, its error, and half the interval."""
    rates, variances = [], []
    for problem in runs:
        peak, _ = peak_of(problem, problem.starts())
        if (information := -problem.derivatives(peak)[2][0, 0]) > 0:
            rates.append(peak[0])
            variances.append(1 / information)
    y, variance = np.array(rates), np.array(variances)
    if len(y) < 2:
        return (float(y[0]) if len(y) else np.nan), np.nan, np.inf
    w = 1 / variance
    q = np.sum(w * (y - np.average(y, weights=w)) ** 2)
    between = max(0.0, (q - (len(y) - 1)) / (w.sum() - np.sum(w**2) / w.sum()))
    w = 1 / (variance + between)
    mean = np.average(y, weights=w)
    scale = np.sum(w * (y - mean) ** 2) / (len(y) - 1)
    # Runs that agree exactly are few and small, not perfect.
    error = np.sqrt((scale if scale > _EXACT else 1.0) / w.sum())
    return float(mean), float(error), float(t.ppf((1 + level) / 2, len(y) - 1) * error)


def _jackknife(scale: Scale, pooled: Estimate, left_out: Floats, level: float) -> Between:
    """Return the interval around an estimate from how it moves when each run is left out."""
    n, peak = len(left_out), pooled.peak
    slope = scale.slope(peak)
    spread = (n - 1) / n * np.sum((left_out - left_out.mean(axis=0)) ** 2, axis=0)
    own = np.divide(pooled.stderr, slope, out=np.full(len(peak), np.nan), where=slope > 0)
    error = np.where(spread > _EXACT, np.sqrt(spread), own)
    half = np.nan_to_num(t.ppf((1 + level) / 2, n - 1) * error, nan=np.inf)
    low, high = scale.to_values(peak - half), scale.to_values(peak + half)
    # On a bound an estimate hardly moves, however little is known.
    bound = np.isnan(pooled.stderr)
    low = np.where(bound, np.minimum(low, pooled.low), low)
    high = np.where(bound, np.maximum(high, pooled.high), high)
    return Between(pooled.values, np.where(bound, np.nan, slope * error), low, high)


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
    return Between(
        scale.to_values(mean),
        scale.slope(mean) * error,
        scale.to_values(low),
        scale.to_values(high),
    )
