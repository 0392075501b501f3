"""What distinguishes laws, besides their likelihoods.

Tests between laws of which one is a special case of the other, the fit to cells of like
decisions, what is left over by contacts, occasion and step, and how well a run is predicted from
the other runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import xlogy
from scipy.stats import chi2

from mesa_llmspread.inference.decisions import Bools, Log
from mesa_llmspread.inference.likelihood import by_contacts, common_rate, likelihood
from mesa_llmspread.inference.maximum import peak_of
from mesa_llmspread.inference.result import Criteria, FitResult
from mesa_llmspread.inference.scale import Floats
from mesa_llmspread.transmission import ExposureArrays, TransmissionLaw

__all__ = [
    "GoodnessOfFit",
    "Laws",
    "chances",
    "goodness_of_fit",
    "held_out",
    "like_decisions",
    "nested_tests",
    "residuals",
]

#: The law of each run, by number; the same one where runs do not differ.
Laws = Mapping[int, TransmissionLaw]

# Reposts and declines to be expected in a cell of like decisions.
_EXPECTED = 5.0

# Degrees of freedom from which a deviance is judged.
_LEAST_FREEDOM = 0.5

# Step of numerical derivatives with respect to probabilities.
_NUDGE = 1e-5

# A probability that is nearly one, so that a decline is not impossible.
_SURE = 1 - 1e-15

# Number of groups into which decisions are split by what was seen, at most.
_GROUPS = 12


def nested_tests(
    results: Mapping[str, FitResult], criteria: Mapping[str, Criteria] | None = None
) -> pd.DataFrame:
    """Test laws against their special cases, by likelihood ratio.

    Parameters
    ----------
    results : mapping of str to FitResult
        Fits to the same decisions, by name.
    criteria : mapping of str to Criteria, optional
        Their log-likelihoods and numbers of parameters, if not those of the fits: where every run
        has a factor of its own.

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
    found = criteria or {name: result.criteria for name, result in results.items()}
    for (simple, law), (rich, larger) in permutations(laws.items(), 2):
        freedom = found[rich].n_params - found[simple].n_params
        if freedom >= 1 and _is_case(law, larger):
            # An offline chance of 0 lies on the bound of what it can be, as does a variance.
            boundary = (larger.offline and not law.offline) or _is_latent(larger) > _is_latent(law)
            statistic = max(2 * (found[rich].loglik - found[simple].loglik), 0.0)
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


def _is_latent(law: TransmissionLaw) -> bool:
    """Return whether a law has latent classes."""
    return len(law.mixture_components()) > 1


def chances(law: TransmissionLaw, log: Log, kept: Bools | None = None) -> Floats:
    """Return the probability of a repost at each decision, given the agent's earlier decisions.

    Parameters
    ----------
    law : TransmissionLaw
        The law with its values.
    log : Log
    kept : ndarray of bool, optional
        The decisions wanted, such as those of one run; all if not given.

    Returns
    -------
    ndarray of float, one per decision
        For latent classes, an agent that has declined is less likely in the high one.
    """
    seen, agent = (log.seen, log.agent) if kept is None else (log.seen[kept], log.agent[kept])
    if not _is_latent(law):
        return law.checked_prob(seen)
    order = np.lexsort((seen.step, agent))

    def before(columns: Floats) -> Floats:
        """Sum over what an agent decided before, in each column."""
        table = pd.DataFrame(columns)
        sums = table.iloc[order].groupby(agent[order]).cumsum().sort_index() - table
        return sums.to_numpy()

    repost = (log.repost if kept is None else log.repost[kept])[:, None]
    if by_contacts(law) and not before(repost).any():
        declined = before(seen.weight).ravel().clip(min=0.0)
        stays = 1.0 - law.prob(ExposureArrays(declined))
        leaves = 1.0 - law.prob(ExposureArrays(declined + seen.weight))
        return 1.0 - (1.0 - seen.offline_prob(law.alpha)) * leaves / np.maximum(stays, 1e-300)
    shares, laws = zip(*law.mixture_components(), strict=True)
    each = np.array([part.checked_prob(seen) for part in laws])
    # The chance that an agent of each class would have decided as it did before.
    likely = each.clip(1 - _SURE, _SURE).T
    with np.errstate(divide="ignore"):
        made = np.where(repost, np.log(likely), np.log1p(-likely))
        weight = np.log(shares)[:, None] + before(made).T
    weight = np.exp(weight - weight.max(axis=0))
    return np.asarray(np.sum(weight * each, axis=0) / weight.sum(axis=0))


def _of_runs(laws: Laws, log: Log) -> list[tuple[TransmissionLaw, Bools]]:
    """Return each law with the decisions of the runs that have it."""
    apart: list[tuple[TransmissionLaw, Bools]] = []
    for run, law in laws.items():
        if apart and apart[-1][0] is law:
            apart[-1] = law, apart[-1][1] | (log.run == run)
        else:
            apart.append((law, log.run == run))
    return apart


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
    return _joined(fine, log.repost.mean(), _EXPECTED)


def _joined(fine: npt.NDArray[np.integer[Any]], rate: float, least: float) -> npt.NDArray[np.int64]:
    """Join neighbouring cells until each can be expected to hold enough reposts and declines."""
    expected = np.cumsum(np.bincount(fine) * min(rate, 1 - rate))
    cells = np.zeros(len(expected), dtype=np.int64)
    cell, start = 0, 0.0
    for i, until in enumerate(expected):
        cells[i] = cell
        if until - start >= least and expected[-1] - until >= least:
            cell, start = cell + 1, until
    return cells[fine]


def residuals(laws: Laws, log: Log) -> pd.DataFrame:
    """Compare reposts with what a law expects, by what the agents saw and when.

    Parameters
    ----------
    laws : mapping of int to TransmissionLaw
        The law of each run, at the maximum of the likelihood.
    log : Log

    Returns
    -------
    DataFrame
        ``by`` ("contacts", "occasion" or "step"), ``low, high`` (ends of the group), ``decisions,
        observed`` (reposts), ``expected`` (reposts), ``error`` (standard deviation of the
        observed number by chance, binomial) and ``z`` = (observed - expected) / error. Groups of
        few decisions are joined. As the law was fitted to the same decisions, ``z`` varies a
        little less than a standard normal number where the law is right.
    """
    p = np.empty(log.n_obs)
    for law, kept in _of_runs(laws, log):
        p[kept] = chances(law, log, kept)
    columns = {
        "contacts": log.seen.contacts,
        "occasion": log.seen.exposure_count,
        "step": log.seen.step,
    }
    rate, parts = log.repost.mean(), []
    least = max(_EXPECTED, min(rate, 1 - rate) * log.n_obs / _GROUPS)
    for by, value in columns.items():
        group = _joined(np.unique_inverse(value).inverse_indices, rate, least)
        sums = pd.DataFrame({"observed": log.repost, "expected": p, "variance": p * (1 - p)})
        in_group = pd.Series(value).groupby(group)
        ends = {"low": in_group.min(), "high": in_group.max(), "decisions": in_group.size()}
        parts.append(pd.DataFrame({"by": by, **ends}).join(sums.groupby(group).sum()))
    found = pd.concat(parts, ignore_index=True)
    found["error"] = np.sqrt(found.pop("variance"))
    found["z"] = (found["observed"] - found["expected"]) / found["error"].where(found["error"] > 0)
    return found


def goodness_of_fit(laws: Laws, log: Log, cells: npt.NDArray[np.int64]) -> GoodnessOfFit:
    """Compare reposts in cells of like decisions with what a law expects.

    Parameters
    ----------
    laws : mapping of int to TransmissionLaw
        The law of each run, at the maximum of the likelihood; empty if missing. Laws of
        different runs differ by a factor of all rates.
    log : Log
        The decisions that it was fitted to.
    cells : ndarray of int
        As :func:`like_decisions` returns them.

    Returns
    -------
    GoodnessOfFit
    """
    if not laws:
        return GoodnessOfFit(np.nan, np.nan, np.nan)
    parts = _of_runs(laws, log)
    p, gradient = np.empty(log.n_obs), np.empty((len(parts[0][0].parameters), log.n_obs))
    for law, kept in parts:
        p[kept], gradient[:, kept] = chances(law, log, kept), _gradient(law, log, kept)
    p = np.clip(p, 1e-12, 1 - 1e-12)
    if len(parts) > 1:
        factors = np.array([kept * (p - 1) * np.log1p(-p) for _, kept in parts])
        gradient = np.concatenate([gradient, factors])
    number, reposts, expected, variance = (
        np.bincount(cells, weights) for weights in (None, log.repost, p, p * (1 - p))
    )
    declines = number - reposts
    terms = xlogy(reposts, reposts / expected) + xlogy(declines, declines / (number - expected))
    deviance = max(2 * float(terms.sum()), 0.0)
    scale = expected * (number - expected) / number
    information = (gradient / (p * (1 - p))) @ gradient.T
    slopes = np.array([np.bincount(cells, each) for each in gradient])
    absorbed = np.trace(np.linalg.pinv(information) @ (slopes / scale) @ slopes.T)
    # Bartlett's correction: the deviance of few expected reposts is larger than chi-square.
    excess = np.minimum((1 - scale / number) / (6 * scale), 1.0)
    freedom = float(np.sum(variance / scale + excess) - absorbed)
    p_value = float(chi2.sf(deviance, freedom)) if freedom > _LEAST_FREEDOM else np.nan
    return GoodnessOfFit(deviance, freedom, p_value)


def _gradient(law: TransmissionLaw, log: Log, kept: Bools) -> Floats:
    """Differentiate the chance of each decision with respect to each parameter."""
    rows = []
    for name, (lower, upper) in law.parameter_bounds.items():
        value = law.parameters[name]
        ends = max(value - _NUDGE, lower), min(value + _NUDGE, upper)
        low, high = (chances(law.replace({**law.parameters, name: end}), log, kept) for end in ends)
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
