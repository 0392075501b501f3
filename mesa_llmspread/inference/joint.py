"""Laws whose parameters have to be estimated together, and frailty.

An offline rate beside the online one: either may be behind a repost of an agent that saw
both. Latent classes: which one an agent is in shows in all its decisions together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit, xlogy
from scipy.stats import chi2

from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.inference.generic import generic_problem
from mesa_llmspread.inference.likelihood import Cells, Histories, Log
from mesa_llmspread.inference.maximise import Derivatives, Estimate, Problem, maximise
from mesa_llmspread.inference.scale import HIGHEST_RATE, LOWEST_RATE, Floats, Scale
from mesa_llmspread.inference.trials import Trials, one_rate, peak_rate
from mesa_llmspread.transmission import OnlineOffline, TransmissionLaw, TwoClass

__all__ = [
    "Frailty",
    "estimate_together",
    "frailty",
    "low_class_first",
    "problem_of",
]

# Gain in log-likelihood below which two classes are one.
_NO_GAIN = 1e-6

# Logarithms of the variances of a frailty that are tried first, and the range.
_VARIANCES = (-3.0, 0.0, 2.0)
_VARIANCE_RANGE = (-12.0, 6.0)


def problem_of(law: TransmissionLaw, log: Log) -> Problem:
    """Set up the likelihood of a law whose parameters are estimated together.

    Parameters
    ----------
    law : TransmissionLaw
    log : Log

    Returns
    -------
    Problem
        In closed form for the laws of this package that have one.
    """
    closed = _CLOSED_FORMS.get(type(law))
    return generic_problem(law, log) if closed is None else closed(log)


def estimate_together(law: TransmissionLaw, log: Log, level: float = 0.95) -> Estimate:
    """Estimate a law's parameters together.

    Parameters
    ----------
    law : TransmissionLaw
    log : Log
    level : float, default 0.95
        Coverage of the intervals.

    Returns
    -------
    Estimate

    Raises
    ------
    ArgumentError
        If nobody saw the event itself, which leaves alpha without any data.
    """
    cells = log.cells_by()
    if law.offline and not cells.seen.direct.any():
        raise ArgumentError(
            "law",
            law.name,
            "be fitted to decisions of which some saw the event itself (media_prob > 0)",
        )
    if type(law) is OnlineOffline:
        return _joint_rates(cells, level)
    if type(law) is TwoClass:
        return _latent_classes(log, level)
    if not cells.seen.contacts.any():
        return Estimate.unknown(len(law.parameters))
    return maximise(problem_of(law, log), level)


def _joint_rates(cells: Cells, level: float) -> Estimate:
    """Estimate an offline and an online rate, ``p = 1 - exp(-(a d + b m))``: concave in both."""
    direct, contacts = cells.seen.direct, cells.seen.contacts
    if np.linalg.matrix_rank(np.column_stack([direct, contacts])) == 2:
        return maximise(_offline_online(cells), level)
    alone = one_rate(Trials.count(direct, cells.reposts, cells.declines), level)
    found = Estimate.unknown(2, alone.loglik)
    if not contacts.any():
        # Nobody posted: only the offline rate shows.
        for name in ("values", "low", "high"):
            getattr(found, name)[0] = getattr(alone, name)[0]
        found.covar[0, 0] = alone.covar[0, 0]
    return found


def _offline_online(cells: Cells) -> Problem:
    seen, inverse = np.unique(
        np.column_stack([cells.seen.direct, cells.seen.contacts]), axis=0, return_inverse=True
    )
    seen = seen.astype(float)
    declines, reposts = (
        np.bincount(inverse.ravel(), weights=number, minlength=len(seen))
        for number in (cells.declines, cells.reposts)
    )

    def derivatives(log_rates: Floats) -> Derivatives:
        parts = seen * np.exp(log_rates)
        hazard = parts.sum(axis=1)
        odds = np.exp(-hazard) / -np.expm1(-hazard)
        slope = reposts * odds - declines
        bend = -reposts * odds * (1 + odds)
        gradient = parts.T @ slope
        hessian = (parts.T * bend) @ parts + np.diag(gradient)
        loglik = np.sum(xlogy(reposts, -np.expm1(-hazard)) - declines * hazard)
        return float(loglik), gradient, hessian

    start = reposts.sum() / max(float(seen.sum(axis=1) @ (reposts + declines)), 1.0)
    middle = np.log(np.clip(start, LOWEST_RATE, HIGHEST_RATE))
    none, sure = np.log(LOWEST_RATE), np.log(HIGHEST_RATE)
    # From the bounds too: the likelihood is flat near them and a climb would stop short.
    starts = [(none, middle), (middle, none), (sure, middle), (middle, sure), (sure, sure)]
    starts += [(middle, middle), (middle - 3, middle)]
    scale = Scale.of(OnlineOffline.example())
    return Problem(scale, derivatives, [np.array(start) for start in starts])


def _latent_classes(log: Log, level: float) -> Estimate:
    """Estimate two latent classes of agents: a low rate, a high rate, and the high share.

    An agent that declined M contacts in all and then posted at m of them (or never)
    has likelihood ``sum_c share_c exp(-rate_c M) (1 - exp(-rate_c m))`` (or without the
    last factor). The classes are ordered by rate; where both have the same, the share is NaN.
    """
    if log.unseen_reposts:
        return Estimate.unknown(3, -np.inf)
    trials = log.histories.trials()
    rate, loglik = peak_rate(trials)
    if np.isnan(rate):
        return Estimate.unknown(3)
    if rate in (0, np.inf):
        one = 1.0 if rate else 0.0
        nan = np.full((3, 3), np.nan)
        return Estimate(np.array([one, one, np.nan]), nan, np.zeros(3), np.ones(3), loglik)
    found = maximise(_two_classes(log.histories), level)
    if found.loglik - loglik > _NO_GAIN:
        return found
    alone = one_rate(trials, level)
    return replace(
        found,
        values=np.array([alone.values[0], alone.values[0], np.nan]),
        covar=np.full((3, 3), np.nan),
        low=np.array([found.low[0], alone.low[0], 0.0]),
        high=np.array([alone.high[0], found.high[1], 1.0]),
        loglik=loglik,
    )


def _two_classes(histories: Histories) -> Problem:
    declined, posted, count = histories.declined, histories.posted, histories.count

    def derivatives(theta: Floats) -> Derivatives:
        share = expit(theta[2])
        rates = np.exp(theta[:2])[:, None]
        reposted = rates * posted
        odds = np.where(posted > 0, np.exp(-reposted) / -np.expm1(-np.maximum(reposted, 1e-300)), 0)
        with np.errstate(divide="ignore"):
            ended = np.where(posted > 0, np.log(-np.expm1(-reposted)), 0.0)
            weighted = np.log([[1 - share], [share]]) - rates * declined + ended
        total = np.logaddexp(*weighted)
        is_class = np.exp(weighted - total)
        slope = reposted * odds - rates * declined
        bend = slope - reposted**2 * odds * (1 + odds)
        is_high = is_class[1]
        pull = is_class * slope
        gradient = np.array([*(pull @ count), count @ (is_high - share)])
        hessian = np.empty((3, 3))
        hessian[:2, :2] = np.diag((is_class * (slope**2 + bend)) @ count) - (pull * count) @ pull.T
        hessian[2, 2] = count @ (is_high * (1 - is_high) - share * (1 - share))
        hessian[:2, 2] = [-(pull[0] * is_high) @ count, (pull[1] * is_class[0]) @ count]
        hessian[2, :2] = hessian[:2, 2]
        return float(count @ total), gradient, hessian

    middle = np.log(np.clip(peak_rate(histories.trials())[0], 1e-6, 5.0))
    none, sure = np.log(LOWEST_RATE), np.log(HIGHEST_RATE)
    spreads = ((0, 0, 0.5), (-0.7, 0.7, 0.5), (-0.2, 2.3, 0.2), (-2.3, 0.3, 0.8), (-0.1, 3.0, 0.1))
    starts = [np.array([middle + low, middle + high, logit(share)]) for low, high, share in spreads]
    starts += [np.array([none, middle + 0.5, 1.0]), np.array([middle - 0.3, sure, -2.0])]
    return Problem(Scale.of(TwoClass.example()), derivatives, starts, in_order=low_class_first)


def low_class_first(theta: Floats) -> Floats:
    """Let two classes change places if the first has the higher rate.

    Parameters
    ----------
    theta : ndarray of float, shape (3,)
        Two log rates, and the logit of the second class's share.

    Returns
    -------
    ndarray of float, shape (3,)

    Examples
    --------
    >>> low_class_first(np.array([2.0, 1.0, 0.5])).tolist()
    [1.0, 2.0, -0.5]
    """
    return theta if theta[0] <= theta[1] else theta[[1, 0, 2]] * [1, 1, -1]


# Shortcuts: laws of this package whose likelihood is known in closed form, with exact
# derivatives. A subclass may change prob(), so it goes the general way.
_CLOSED_FORMS: dict[type[TransmissionLaw], Callable[[Log], Problem]] = {
    OnlineOffline: lambda log: _offline_online(log.cells_by()),
    TwoClass: lambda log: _two_classes(log.histories),
}


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
    histories = log.histories
    rate, alone = peak_rate(histories.trials())
    penalty = 2 * float(np.log(log.n_obs))
    if log.unseen_reposts:
        return Frailty(np.nan, np.nan, -np.inf, np.inf, np.nan)
    if not 0 < rate < np.inf:
        return Frailty(rate, 0.0, alone, penalty - 2 * alone, 1.0)

    def declines(theta: Floats, contacts: Floats) -> Floats:
        variance = np.exp(theta[1])
        return np.asarray(-np.log1p(variance * np.exp(theta[0]) * contacts) / variance)

    def badness(theta: Floats) -> float:
        kept = declines(theta, histories.declined)
        gone = declines(theta, histories.declined + histories.posted)
        posted = histories.posted > 0
        chance = kept.copy()
        chance[posted] += np.log(-np.expm1(np.minimum(gone[posted] - kept[posted], -1e-300)))
        return -float(histories.count @ chance)

    bounds = [(np.log(rate) - 5, np.log(rate) + 5), _VARIANCE_RANGE]
    found = min(
        (
            minimize(badness, [np.log(rate), start], bounds=bounds, method="L-BFGS-B")
            for start in _VARIANCES
        ),
        key=lambda result: float(result.fun),
    )
    loglik = -float(found.fun)
    if loglik <= alone + _NO_GAIN:
        return Frailty(rate, 0.0, alone, penalty - 2 * alone, 1.0)
    p_value = 0.5 * float(chi2.sf(2 * (loglik - alone), 1))
    mean, variance = np.exp(found.x)
    return Frailty(float(mean), float(variance), loglik, penalty - 2 * loglik, p_value)
