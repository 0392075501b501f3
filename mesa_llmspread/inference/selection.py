"""What tells laws apart, besides their likelihoods.

Tests between laws of which one is a special case of the other, the fit to cells of like
decisions, how well a run is predicted from the other runs, and rivals that look like a law
without being one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import xlogy
from scipy.stats import chi2

from mesa_llmspread.inference.joint import problem_of
from mesa_llmspread.inference.likelihood import Log, arrays_of, split
from mesa_llmspread.inference.maximise import peak_of
from mesa_llmspread.inference.result import FitResult
from mesa_llmspread.inference.scale import Floats
from mesa_llmspread.inference.trials import Trials, peak_rate
from mesa_llmspread.transmission import TransmissionLaw

__all__ = [
    "GoodnessOfFit",
    "chances",
    "goodness_of_fit",
    "held_out",
    "like_decisions",
    "nested_tests",
    "rate_by_run_bic",
]

# Reposts and declines to be expected in a cell of like decisions.
_EXPECTED = 5.0

# Degrees of freedom from which a deviance is judged.
_LEAST_FREEDOM = 0.5

# Step of numerical derivatives with respect to probabilities.
_NUDGE = 1e-5

# A probability that is nearly one, so that a decline is not impossible.
_SURE = 1 - 1e-15


def nested_tests(results: Mapping[str, FitResult]) -> pd.DataFrame:
    """Test laws against their special cases, by likelihood ratio.

    Parameters
    ----------
    results : mapping of str to FitResult
        Fits to the same decisions, by name.

    Returns
    -------
    DataFrame
        One row a pair: ``simple, rich, statistic`` (twice the gain in log-likelihood),
        ``freedom`` (degrees of freedom), ``boundary`` (whether the simple law lies on a
        bound, where the statistic is half the time 0 and half the time chi-square with one
        degree: Self & Liang 1987, doi:10.1080/01621459.1987.10478472), ``p_value``.
    """
    rows = []
    for simple_name, simple in results.items():
        for rich_name, rich in results.items():
            freedom = len(rich.params) - len(simple.params)
            if not (simple.success and rich.success) or freedom < 1:
                continue
            # Laws that succeeded have their fitted law.
            if simple.law is None or rich_name not in simple.law.nested_in:
                continue
            # An offline chance of 0 lies on the bound of what it can be.
            boundary = rich.law is not None and rich.law.offline and not simple.law.offline
            statistic = max(2 * (rich.loglik - simple.loglik), 0.0)
            p_value = float(chi2.sf(statistic, freedom))
            if boundary:
                p_value = p_value / 2 if statistic > 0 else 1.0
            rows.append((simple_name, rich_name, statistic, freedom, boundary, p_value))
    columns = ["simple", "rich", "statistic", "freedom", "boundary", "p_value"]
    return pd.DataFrame(rows, columns=columns)


def chances(law: TransmissionLaw, decisions: pd.DataFrame) -> Floats:
    """Probability of a repost at each decision, given all that went before.

    Parameters
    ----------
    law : TransmissionLaw
        The law with its values.
    decisions : DataFrame
        As :func:`~mesa_llmspread.inference.likelihood.decisions_of` gives them.

    Returns
    -------
    ndarray of float, shape (len(decisions),)
        For latent classes, an agent that has declined is less likely in the high one.
    """
    seen = arrays_of(decisions)
    shares, laws = zip(*law.mixture_components(), strict=True)
    each = np.array([part.checked_prob(seen) for part in laws])
    if len(laws) == 1:
        return np.asarray(each[0])
    # The chance that an agent of each class would have declined all that it saw before.
    order = np.lexsort((seen.step, seen.agent, decisions["run"]))
    agent = decisions.groupby(["run", "agent"]).ngroup().to_numpy()[order]
    first = np.flatnonzero(np.diff(agent, prepend=-1))
    with np.errstate(divide="ignore"):
        declined = np.cumsum(np.log1p(-np.minimum(each[:, order], _SURE)), axis=1)
    before = declined - np.log1p(-np.minimum(each[:, order], _SURE))
    before -= np.repeat(before[:, first], np.diff(np.append(first, len(agent))), axis=1)
    weight = np.log(shares)[:, None] + before
    weight = np.exp(weight - weight.max(axis=0))
    result = np.empty(len(order))
    result[order] = np.sum(weight * each[:, order], axis=0) / weight.sum(axis=0)
    return result


class GoodnessOfFit(NamedTuple):
    """Whether a law fits cells of like decisions as well as chance allows.

    Attributes
    ----------
    deviance : float
    freedom : float
        What the deviance is expected to be: the number of cells, less what the fit has
        taken of their differences.
    p_value : float
        NaN if there are too few cells.
    """

    deviance: float
    freedom: float
    p_value: float


def like_decisions(decisions: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Put decisions into cells of like exposure, contacts and profile.

    Neighbouring cells are put together until each can be expected to hold five reposts and
    five declines, as the chi-square distribution of the deviance needs.

    Parameters
    ----------
    decisions : DataFrame
        As :func:`~mesa_llmspread.inference.likelihood.decisions_of` gives them.

    Returns
    -------
    ndarray of int, shape (len(decisions),)
        The number of each decision's cell, from 0.
    """
    keys = [decisions["exposure_count"] > 1, decisions["direct"], decisions["contacts"]]
    fine = decisions.groupby([*keys, decisions["profile"]], sort=True).ngroup().to_numpy()
    rate = decisions["repost"].mean()
    scarcer = min(rate, 1 - rate)
    expected = np.cumsum(np.bincount(fine) * scarcer)
    cells = np.zeros(len(expected), dtype=np.int64)
    cell, start = 0, 0.0
    for i, until in enumerate(expected):
        cells[i] = cell
        if until - start >= _EXPECTED and expected[-1] - until >= _EXPECTED:
            cell, start = cell + 1, until
    return cells[fine]


def goodness_of_fit(
    result: FitResult, decisions: pd.DataFrame, cells: npt.NDArray[np.int64]
) -> GoodnessOfFit:
    """Compare reposts in cells of like decisions with what a law expects.

    Parameters
    ----------
    result : FitResult
        Of a fit to these decisions.
    decisions : DataFrame
        As :func:`~mesa_llmspread.inference.likelihood.decisions_of` gives them.
    cells : ndarray of int
        As :func:`like_decisions` gives them.

    Returns
    -------
    GoodnessOfFit
    """
    if result.likeliest is None:
        return GoodnessOfFit(np.nan, np.nan, np.nan)
    p = np.clip(chances(result.likeliest, decisions), 1e-12, 1 - 1e-12)
    number = np.bincount(cells)
    reposts = np.bincount(cells, weights=decisions["repost"])
    expected = np.bincount(cells, weights=p)
    declines = number - reposts
    terms = xlogy(reposts, reposts / expected) + xlogy(declines, declines / (number - expected))
    deviance = max(2 * float(terms.sum()), 0.0)
    scale = expected * (number - expected) / number
    slopes, information = _sensitivity(result.likeliest, decisions, cells, p)
    taken = np.trace(np.linalg.pinv(information) @ (slopes.T / scale) @ slopes)
    each = np.bincount(cells, weights=p * (1 - p)) / scale
    # Bartlett's correction: the deviance of few expected reposts is larger than chi-square.
    excess = (1 - scale / number) / (6 * scale)
    freedom = float(np.sum(each + np.minimum(excess, 1.0)) - taken)
    p_value = float(chi2.sf(deviance, freedom)) if freedom > _LEAST_FREEDOM else np.nan
    return GoodnessOfFit(deviance, freedom, p_value)


def _sensitivity(
    law: TransmissionLaw, decisions: pd.DataFrame, cells: npt.NDArray[np.int64], p: Floats
) -> tuple[Floats, Floats]:
    """Differentiate the reposts expected in each cell; and the information on the parameters."""
    names = list(law.parameters)
    values = np.array(list(law.parameters.values()))
    limits = np.array(list(law.parameter_bounds.values()))
    up, down = np.minimum(values + _NUDGE, limits[:, 1]), np.maximum(values - _NUDGE, limits[:, 0])

    def at(numbers: Floats) -> TransmissionLaw:
        return law.replace(dict(zip(names, numbers.tolist(), strict=True)))

    if (terms := law.rate_terms(arrays_of(decisions))) is not None:
        # Each decision depends on one of the rates.
        index = terms[0]
        slope = (chances(at(up), decisions) - chances(at(down), decisions)) / (up - down)[index]
        slopes = np.zeros((cells.max() + 1, len(values)))
        np.add.at(slopes, (cells, index), slope)
        return slopes, np.diag(np.bincount(index, slope**2 / (p * (1 - p)), len(values)))
    changes = []
    for i in range(len(values)):
        ends = [np.where(np.arange(len(values)) == i, end, values) for end in (up, down)]
        high, low = (chances(at(end), decisions) for end in ends)
        changes.append((high - low) / (up[i] - down[i]))
    gradient = np.array(changes)
    slopes = np.array([np.bincount(cells, weights=row) for row in gradient]).T
    return slopes, (gradient / (p * (1 - p))) @ gradient.T


def held_out(law: TransmissionLaw, log: Log, result: FitResult) -> float:
    """Predict each run from the others: sum of the log probabilities of its decisions.

    Parameters
    ----------
    law : TransmissionLaw
        Its options count, its values do not.
    log : Log
    result : FitResult
        Of the fit to all runs.

    Returns
    -------
    float
        Comparable between laws, and with ``loglik``; NaN with a single run, or where the law
        cannot produce the decisions. A rate that would be 0 or 1 from the other runs is
        taken from half a repost, or half a decline, more.
    """
    if len(log.runs) < 2 or result.likeliest is None:
        return float("nan")
    cells = log.cells(law)
    parts = split(law, cells)
    if parts is None:
        return _held_out_together(law, log, list(result.likeliest.parameters.values()))
    every = Trials.count(cells.seen.contacts, cells.reposts, cells.declines)
    common = peak_rate(every.off_bounds())[0]
    score = 0.0
    for run in log.runs:
        inside = cells.run == run
        known = split(law, cells.where(~inside)) or {}
        for name, trials in (split(law, cells.where(inside)) or {}).items():
            rate = peak_rate(known[name].off_bounds())[0] if name in known else np.nan
            score += trials.loglik(common if np.isnan(rate) else rate)
    return score


def _held_out_together(law: TransmissionLaw, log: Log, values: list[float]) -> float:
    """Predict runs by a law whose parameters, here from all runs, are estimated together."""
    cells = log.cells_by()
    least = 0.5 / (cells.seen.contacts @ (cells.declines + cells.reposts) + 1)
    score = 0.0
    for run in log.runs:
        known = log.without(run)
        if law.offline and not known.decisions.seen.direct.any():
            return float("nan")
        problem = problem_of(law, known)
        peak, _ = peak_of(problem, [problem.scale.from_values(values)])
        rates = np.array(problem.scale.is_rate)
        peak[rates] = np.clip(peak[rates], np.log(least), -np.log(least))
        score += problem_of(law, log.only(run)).derivatives(peak)[0]
    return score


def rate_by_run_bic(log: Log) -> float:
    """BIC of one rate a run: what differences between runs alone explain.

    Parameters
    ----------
    log : Log

    Returns
    -------
    float
        Infinite with a single run, and where contacts cannot explain the reposts.
    """
    if log.unseen_reposts or len(log.runs) < 2:
        return float("inf")
    cells = log.cells_by()
    peaks = [
        peak_rate(Trials.count(part.seen.contacts, part.reposts, part.declines))[1]
        for part in (cells.where(cells.run == run) for run in log.runs)
    ]
    return len(peaks) * float(np.log(log.n_obs)) - 2 * sum(peaks)
