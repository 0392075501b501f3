"""What distinguishes laws, besides their likelihoods.

Tests between laws of which one is a special case of the other, the fit to cells of like
decisions, how well a run is predicted from the other runs, and rivals that look like a law
without being one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize
from scipy.special import xlogy
from scipy.stats import chi2

from mesa_llmspread.inference.decisions import Log
from mesa_llmspread.inference.likelihood import common_rate, likelihood
from mesa_llmspread.inference.maximum import peak_of
from mesa_llmspread.inference.result import FitResult
from mesa_llmspread.inference.scale import Floats
from mesa_llmspread.transmission import SI, TransmissionLaw, probability_to_rate

__all__ = [
    "Frailty",
    "GoodnessOfFit",
    "chances",
    "frailty",
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

# Gain in log-likelihood below which there is no frailty.
_NO_GAIN = 1e-6

# Logarithms of the variances of a frailty that are tried first, and the range.
_VARIANCES = (-3.0, 0.0, 2.0)
_VARIANCE_RANGE = (-12.0, 6.0)


def nested_tests(results: Mapping[str, FitResult]) -> pd.DataFrame:
    """Test laws against their special cases, by likelihood ratio.

    Parameters
    ----------
    results : mapping of str to FitResult
        Fits to the same decisions, by name.

    Returns
    -------
    DataFrame
        One row per pair: ``simple, rich, statistic`` (twice the gain in log-likelihood),
        ``freedom`` (degrees of freedom), ``boundary`` (whether the simple law lies on a
        bound, where the statistic is half the time 0 and half the time chi-square with one
        degree: Self & Liang 1987, doi:10.1080/01621459.1987.10478472), ``p_value``.
    """
    rows = []
    # Laws that succeeded have their fitted law.
    laws = {name: result.law for name, result in results.items() if result.law is not None}
    for (simple, law), (rich, larger) in permutations(laws.items(), 2):
        freedom = len(results[rich].params) - len(results[simple].params)
        if freedom >= 1 and _is_case(law, larger):
            # An offline chance of 0 lies on the bound of what it can be.
            boundary = larger.offline and not law.offline
            statistic = max(2 * (results[rich].loglik - results[simple].loglik), 0.0)
            p_value = float(chi2.sf(statistic, freedom))
            if boundary:
                fewer = chi2.sf(statistic, freedom - 1) if freedom > 1 else float(statistic == 0)
                p_value = (p_value + float(fewer)) / 2
            rows.append((simple, rich, statistic, freedom, boundary, p_value))
    columns = ["simple", "rich", "statistic", "freedom", "boundary", "p_value"]
    return pd.DataFrame(rows, columns=columns)


def _is_case(law: TransmissionLaw, larger: TransmissionLaw) -> bool:
    """Return whether one law is a special case of another."""
    ours, theirs = law.online(), larger.online()
    same = ours.name == theirs.name or theirs.name in ours.nested_in
    return same and larger.offline >= law.offline


def chances(law: TransmissionLaw, log: Log) -> Floats:
    """Return the probability of a repost at each decision, given the agent's earlier decisions.

    Parameters
    ----------
    law : TransmissionLaw
        The law with its values.
    log : Log

    Returns
    -------
    ndarray of float, shape (log.n_obs,)
        For latent classes, an agent that has declined is less likely in the high one.
    """
    shares, laws = zip(*law.mixture_components(), strict=True)
    each = np.array([part.checked_prob(log.seen) for part in laws])
    if len(laws) == 1:
        return np.asarray(each[0])
    # The chance that an agent of each class would have declined all that it saw before.
    declined = pd.DataFrame(np.log1p(-np.minimum(each, _SURE)).T)
    order = np.lexsort((log.seen.step, log.agent))
    before = declined.iloc[order].groupby(log.agent[order]).cumsum().sort_index() - declined
    with np.errstate(divide="ignore"):
        weight = np.log(shares)[:, None] + before.to_numpy().T
    weight = np.exp(weight - weight.max(axis=0))
    return np.asarray(np.sum(weight * each, axis=0) / weight.sum(axis=0))


class GoodnessOfFit(NamedTuple):
    """Whether a law fits cells of like decisions as well as chance allows.

    Attributes
    ----------
    deviance : float
    freedom : float
        What the deviance is expected to be: the number of cells, less what the fit has
        absorbed of their differences.
    p_value : float
        NaN if there are too few cells.
    """

    deviance: float
    freedom: float
    p_value: float


def like_decisions(log: Log) -> npt.NDArray[np.int64]:
    """Group decisions into cells of like exposure, contacts and profile.

    Neighbouring cells are joined until each can be expected to hold five reposts and five
    declines, as the chi-square distribution of the deviance needs.

    Parameters
    ----------
    log : Log

    Returns
    -------
    ndarray of int, shape (log.n_obs,)
        The number of each decision's cell, from 0.
    """
    table = log.table
    keys = [table["exposure_count"] > 1, table["direct"], table["contacts"], table["profile"]]
    fine = table.groupby(keys).ngroup().to_numpy()
    rate = table["repost"].mean()
    expected = np.cumsum(np.bincount(fine) * min(rate, 1 - rate))
    cells = np.zeros(len(expected), dtype=np.int64)
    cell, start = 0, 0.0
    for i, until in enumerate(expected):
        cells[i] = cell
        if until - start >= _EXPECTED and expected[-1] - until >= _EXPECTED:
            cell, start = cell + 1, until
    return cells[fine]


def goodness_of_fit(
    law: TransmissionLaw | None, log: Log, cells: npt.NDArray[np.int64]
) -> GoodnessOfFit:
    """Compare reposts in cells of like decisions with what a law expects.

    Parameters
    ----------
    law : TransmissionLaw or None
        The law at the maximum of the likelihood; None if it has none.
    log : Log
        The decisions that it was fitted to.
    cells : ndarray of int
        As :func:`like_decisions` returns them.

    Returns
    -------
    GoodnessOfFit
    """
    if law is None:
        return GoodnessOfFit(np.nan, np.nan, np.nan)
    p = np.clip(chances(law, log), 1e-12, 1 - 1e-12)
    number, reposts, expected, variance = (
        np.bincount(cells, weights) for weights in (None, log.repost, p, p * (1 - p))
    )
    declines = number - reposts
    terms = xlogy(reposts, reposts / expected) + xlogy(declines, declines / (number - expected))
    deviance = max(2 * float(terms.sum()), 0.0)
    scale = expected * (number - expected) / number
    gradient = _gradient(law, log)
    information = (gradient / (p * (1 - p))) @ gradient.T
    slopes = np.array([np.bincount(cells, each) for each in gradient])
    absorbed = np.trace(np.linalg.pinv(information) @ (slopes / scale) @ slopes.T)
    # Bartlett's correction: the deviance of few expected reposts is larger than chi-square.
    excess = np.minimum((1 - scale / number) / (6 * scale), 1.0)
    freedom = float(np.sum(variance / scale + excess) - absorbed)
    p_value = float(chi2.sf(deviance, freedom)) if freedom > _LEAST_FREEDOM else np.nan
    return GoodnessOfFit(deviance, freedom, p_value)


def _gradient(law: TransmissionLaw, log: Log) -> Floats:
    """Differentiate the chance of each decision with respect to each parameter."""
    rows = []
    for name, (lower, upper) in law.parameter_bounds.items():
        value = law.parameters[name]
        ends = max(value - _NUDGE, lower), min(value + _NUDGE, upper)
        low, high = (chances(law.replace({**law.parameters, name: end}), log) for end in ends)
        rows.append((high - low) / (ends[1] - ends[0]))
    return np.array(rows)


def held_out(law: TransmissionLaw, log: Log, result: FitResult) -> float:
    """Predict each run from the others: sum of the log probabilities of its decisions.

    Parameters
    ----------
    law : TransmissionLaw
        Its options matter, its values do not.
    log : Log
    result : FitResult
        Of the fit to all runs.

    Returns
    -------
    float
        Comparable between laws, and with ``loglik``; NaN with a single run, or where the law
        cannot produce the decisions. A rate that would be 0 or 1 from the other runs counts
        half a repost, or half a decline, more.
    """
    if len(log.runs) < 2 or result.likeliest is None:
        return float("nan")
    common, values = common_rate(log), result.likeliest.parameters
    # Half a repost among all contacts.
    least = np.log(0.5 / (log.seen.contacts.sum() + 1))
    score = 0.0
    for run in log.runs:
        inside = log.run == run
        if law.offline and not log.seen.direct[~inside].any():
            return float("nan")
        others = likelihood(law, log, ~inside, smooth=True)
        scale = others.scale
        start = scale.from_values([values[name] for name in scale.names])
        peak, _ = peak_of(others, [start])
        peak = np.where(scale.is_rate & ~others.informed(start), common, peak)
        peak = np.where(scale.is_rate, np.clip(peak, least, np.log(-least)), peak)
        score += likelihood(law, log, inside).derivatives(peak)[0]
    return score


def rate_by_run_bic(log: Log) -> float:
    """Return the BIC of one rate per run: what differences between runs alone explain.

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
    parts = [likelihood(SI.example(), log, log.run == run) for run in log.runs]
    loglik = sum(peak_of(problem, problem.starts())[1] for problem in parts)
    return len(parts) * float(np.log(log.n_obs)) - 2 * loglik


@dataclass(frozen=True)
class Frailty:
    """One common rate, times a gamma-distributed factor of each agent's own.

    Not a law of the family, but a rival of every law in which earlier or other contacts
    matter: agents that react readily leave first, so later contacts seem to work less.

    Parameters
    ----------
    rate : float
        Mean rate per contact and step.
    variance : float
        Variance of the factor, whose mean is 1; 0 means no frailty.
    loglik, bic : float
    p_value : float
        Of the likelihood-ratio test that the variance is 0, a value on the bound of what it
        can be: half chi-square with no degree of freedom, half with one.
    """

    rate: float
    variance: float
    loglik: float
    bic: float
    p_value: float


def frailty(log: Log) -> Frailty:
    """Fit one rate with gamma frailty between agents.

    An agent declines contacts ``M`` with probability ``(1 + v r M)**(-1 / v)``, where ``r``
    is the mean rate and ``v`` the variance.

    Parameters
    ----------
    log : Log

    Returns
    -------
    Frailty
        With log-likelihood ``-inf`` where contacts cannot explain the reposts.
    """
    if log.unseen_reposts:
        return Frailty(np.nan, np.nan, -np.inf, np.inf, np.nan)
    penalty, problem = 2 * float(np.log(log.n_obs)), likelihood(SI.example(), log)
    (log_rate,), alone = peak_of(problem, problem.starts())
    rate = float(probability_to_rate(problem.scale.to_values([log_rate]))[0])
    none = Frailty(rate, 0.0, alone, penalty - 2 * alone, 1.0)
    if not 0 < rate < np.inf:
        return none
    # Contacts that an agent declined, and those at which it reposted.
    declined, posted = (
        np.bincount(log.agent, log.seen.contacts * chosen).astype(float)
        for chosen in (1 - log.repost, log.repost)
    )

    def badness(theta: Floats) -> float:
        rate, variance = np.exp(theta)
        # Logarithms of the chances that an agent declines these contacts.
        stays, leaves = (
            -np.log1p(variance * rate * contacts) / variance
            for contacts in (declined, declined + posted)
        )
        gone = np.log(-np.expm1(np.minimum(leaves - stays, -1e-300)))
        return -float(np.sum(stays + np.where(posted > 0, gone, 0.0)))

    bounds = [(log_rate - 5, log_rate + 5), _VARIANCE_RANGE]
    tried = [
        minimize(badness, [log_rate, start], bounds=bounds, method="L-BFGS-B")
        for start in _VARIANCES
    ]
    found = min(tried, key=lambda result: float(result.fun))
    loglik = -float(found.fun)
    if loglik <= alone + _NO_GAIN:
        return none
    mean, variance = np.exp(found.x).tolist()
    p_value = 0.5 * float(chi2.sf(2 * (loglik - alone), 1))
    return Frailty(mean, variance, loglik, penalty - 2 * loglik, p_value)
