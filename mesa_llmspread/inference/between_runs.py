"""What runs say apart: whether they have the same rates, and intervals if they do not.

Runs that differ make an interval from all decisions together far too narrow: with rates
that vary by a third it holds the truth one time in five.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, t

from mesa_llmspread.inference.joint import problem_of
from mesa_llmspread.inference.likelihood import Log, split
from mesa_llmspread.inference.maximise import Estimate, peak_of
from mesa_llmspread.inference.scale import Floats, Scale
from mesa_llmspread.inference.trials import Trials, peak_rate
from mesa_llmspread.transmission import TransmissionLaw, rate_to_probability

__all__ = ["Between", "between_runs", "heterogeneity", "mean_interval"]

# A log rate of which the probability is 1, and the rate still a number.
_LARGE = 700.0

# Spread below which runs agree exactly.
_EXACT = 1e-12

# Number of rates from which too few decisions fall on each rate of each run to test them all.
_MANY = 4


@dataclass(frozen=True)
class Between:
    """Estimates from runs that may differ.

    Parameters
    ----------
    values, stderr, low, high : ndarray of float, shape (p,)
        Probabilities; NaN, 0 and 1 where the runs say nothing.
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
        With many rates (one a profile) runs are allowed to differ by a factor only.
    """
    if len(log.runs) < 2 or not np.isfinite(pooled.loglik):
        return float("nan")
    cells = log.cells(law)
    parts = split(law, cells)
    if parts is None:
        if pooled.peak is None:
            return float("nan")
        peaks = [peak_of(problem_of(law, log.only(run)), [pooled.peak])[1] for run in log.runs]
        gain, freedom = sum(peaks) - pooled.loglik, len(pooled.peak) * (len(log.runs) - 1)
        return float(chi2.sf(2 * gain, freedom))
    runs = [split(law, cells.where(cells.run == run)) or {} for run in log.runs]
    if len(parts) >= _MANY:
        rates = {name: peak_rate(part)[0] for name, part in parts.items()}
        parts, *runs = ({"factor": _relative(rates, trials)} for trials in (parts, *runs))
    gain, freedom = 0.0, 0
    for name, part in parts.items():
        apart = [peak_rate(run[name]) for run in runs if name in run]
        logliks = [loglik for rate, loglik in apart if not np.isnan(rate)]
        gain += sum(logliks) - peak_rate(part)[1]
        freedom += max(len(logliks) - 1, 0)
    return float(chi2.sf(2 * gain, freedom)) if freedom > 0 else float("nan")


def _relative(rates: Mapping[str, float], run: Mapping[str, Trials]) -> Trials:
    """Put a run's trials at all rates together, with contacts weighted by the common rates."""
    # Where nobody or everybody reposted, runs cannot differ.
    kept = [name for name in run if 0 < rates[name] < np.inf]
    trials = [run[name].acting() for name in kept]
    weights = [rates[name] * part.contacts for name, part in zip(kept, trials, strict=True)]
    return Trials(
        np.concatenate([np.empty(0), *weights]),
        np.concatenate([np.empty(0), *(part.declines for part in trials)]),
        np.concatenate([np.empty(0), *(part.reposts for part in trials)]),
    )


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
    cells = log.cells(law)
    parts = split(law, cells)
    if parts is None:
        if pooled.peak is None:
            return Between(pooled.values, pooled.stderr, pooled.low, pooled.high)
        others = [problem_of(law, log.without(run)) for run in log.runs]
        left_out = np.array([peak_of(problem, [pooled.peak])[0] for problem in others])
        return _jackknife(others[0].scale, pooled.peak, pooled, left_out, level)
    if len(parts) < _MANY:
        runs = [split(law, cells.where(cells.run == run)) or {} for run in log.runs]
        return _average(runs, list(parts), level)
    scale = Scale.of(law, list(parts))
    rest = [split(law, cells.where(cells.run != run)) or {} for run in log.runs]
    rates = [[peak_rate(one[name])[0] if name in one else np.nan for name in parts] for one in rest]
    left_out = np.array([scale.from_values(rate_to_probability(row)) for row in rates])
    peak = scale.from_values(pooled.values)
    return _jackknife(scale, peak, pooled, left_out, level)


def _average(runs: Sequence[Mapping[str, Trials]], names: Sequence[str], level: float) -> Between:
    """Average log rates over runs, name by name."""
    rows = []
    for name in names:
        found = [_log_rate(parts[name]) for parts in runs if name in parts]
        known = np.array([pair for pair in found if pair is not None])
        if not len(known):
            rows.append((np.nan, np.nan, 0.0, 1.0))
            continue
        mean, error, low, high = _random_effects(known[:, 0], known[:, 1], level)
        value, low, high = rate_to_probability(np.exp(np.minimum([mean, low, high], _LARGE)))
        rows.append((value, np.exp(mean) * (1 - value) * error, low, high))
    return Between(*np.array(rows).T)


def _log_rate(trials: Trials) -> tuple[float, float] | None:
    """Estimate one run's log rate and its variance; None without trials."""
    trials = trials.off_bounds()
    rate, _ = peak_rate(trials)
    return None if np.isnan(rate) else (float(np.log(rate)), 1 / trials.information(rate))


def _random_effects(y: Floats, variance: Floats, level: float) -> tuple[float, float, float, float]:
    """Mean of estimates that differ by more than their variances, its error and interval."""
    if len(y) < 2:
        return float(y[0]), np.nan, -np.inf, np.inf
    w = 1 / variance
    q = np.sum(w * (y - np.average(y, weights=w)) ** 2)
    between = max(0.0, (q - (len(y) - 1)) / (w.sum() - np.sum(w**2) / w.sum()))
    w = 1 / (variance + between)
    mean = np.average(y, weights=w)
    scale = np.sum(w * (y - mean) ** 2) / (len(y) - 1)
    # Runs that agree exactly are few and small, not perfect.
    error = np.sqrt((scale if scale > _EXACT else 1.0) / w.sum())
    half = t.ppf((1 + level) / 2, len(y) - 1) * error
    return float(mean), float(error), float(mean - half), float(mean + half)


def _jackknife(
    scale: Scale, peak: Floats, pooled: Estimate, left_out: Floats, level: float
) -> Between:
    """Interval around an estimate from how it moves when each run is left out."""
    n = len(left_out)
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
    """Average one estimate a run, with the t interval of the mean.

    Parameters
    ----------
    y : ndarray of float, shape (runs, p)
        Log rates and logits.
    scale : Scale
        Which are which.
    level : float
        Coverage of the intervals.

    Returns
    -------
    Between
        With one run the errors are NaN and the intervals from 0 to 1.
    """
    mean = y.mean(axis=0)
    error, half = np.full_like(mean, np.nan), np.full_like(mean, np.inf)
    if len(y) > 1:
        error = y.std(axis=0, ddof=1) / np.sqrt(len(y))
        half = t.ppf((1 + level) / 2, len(y) - 1) * error
    return Between(
        scale.to_values(mean),
        scale.slope(mean) * error,
        scale.to_values(mean - half),
        scale.to_values(mean + half),
    )
