"""Likelihoods of the laws, given every decision that was made.

Given what an agent saw, its decision is a coin with the law's probability, so the
likelihood of a log is a product over decisions, and equal decisions can be counted instead
of listed. Most laws fall apart into rates that can be estimated one by one; the two that do
not (an offline rate beside the online one; latent classes) are maximised together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtri, xlogy

from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.profiles import codes
from mesa_llmspread.transmission import (
    SI,
    ByProfile,
    FirstRepeat,
    Form,
    SingleMultiple,
    TwoClass,
    rate_to_probability,
)

__all__ = [
    "Estimate",
    "Trials",
    "decisions_of",
    "joint_rates",
    "latent_classes",
    "one_rate",
    "peak_rate",
    "split",
]

Floats = npt.NDArray[np.float64]

#: A log-likelihood, its gradient and its Hessian.
Derivatives = tuple[float, Floats, Floats]

# Rates per contact and step between which estimates are sought: probabilities within 1e-12
# of 0 and 1.
_LOWEST_RATE, _HIGHEST_RATE = 1e-12, 30.0
_WIDEST_LOGIT = 20.0

_MOST_STEPS = 200


def decisions_of(exposures: pd.DataFrame) -> pd.DataFrame:
    """Keep the decisions that can be fitted: made by an agent that saw something, and not failed.

    Parameters
    ----------
    exposures : DataFrame
        The table of :class:`~mesa_llmspread.data.SpreadData`.

    Returns
    -------
    DataFrame
        Rows with at least one posting neighbour in view or the event itself, that ended in
        a repost or a decline, with a column ``repost`` (bool) added.
    """
    saw = (exposures["contacts"] > 0) | exposures["direct"]
    kept = exposures[saw & (exposures["outcome"] != "failed")]
    return kept.assign(repost=kept["outcome"] == "repost")


@dataclass(frozen=True)
class Trials:
    """Decisions counted by how many contacts acted on them.

    Parameters
    ----------
    contacts : ndarray of float
        Contacts that act independently in one trial; 1 where a law has one decision a step.
    declines, reposts : ndarray of float
        How many trials with that number of contacts ended so.
    """

    contacts: Floats
    declines: Floats
    reposts: Floats

    @classmethod
    def count(cls, contacts: npt.ArrayLike, repost: npt.ArrayLike) -> Trials:
        """Count trials that are listed one by one."""
        values, cell = np.unique(np.asarray(contacts), return_inverse=True)
        reposts = np.bincount(cell, weights=np.asarray(repost, dtype=float), minlength=len(values))
        total = np.bincount(cell, minlength=len(values))
        return cls(values.astype(float), total - reposts, reposts)

    def loglik(self, rate: float) -> float:
        """Log-likelihood of a rate per contact and step."""
        hazard = rate * self.contacts
        return float(np.sum(xlogy(self.reposts, -np.expm1(-hazard)) - self.declines * hazard))

    def score(self, rate: float) -> float:
        """Differentiate the log-likelihood with respect to the rate; it falls with the rate."""
        acting = self.contacts > 0
        m = self.contacts[acting]
        odds = np.exp(-rate * m) / -np.expm1(-rate * m)
        return float(np.sum(m * (self.reposts[acting] * odds - self.declines[acting])))

    def information(self, rate: float) -> float:
        """Observed information about the logarithm of the rate, at its estimate."""
        acting = self.contacts > 0
        hazard = rate * self.contacts[acting]
        weight = np.exp(-hazard) / np.expm1(-hazard) ** 2
        return float(np.sum(self.reposts[acting] * hazard**2 * weight))


@dataclass(frozen=True)
class Estimate:
    """A maximum-likelihood estimate of probabilities.

    Parameters
    ----------
    values : ndarray of float, shape (p,)
        The estimates.
    stderr : ndarray of float, shape (p,)
        Standard errors from the observed information; NaN on a bound.
    low, high : ndarray of float, shape (p,)
        Profile-likelihood interval.
    loglik : float
        The log-likelihood there; ``-inf`` where the law cannot produce the decisions.
    success : bool
        Whether the maximum was found.
    """

    values: Floats
    stderr: Floats
    low: Floats
    high: Floats
    loglik: float
    success: bool = True


def one_rate(trials: Trials, level: float = 0.95) -> Estimate:
    """Estimate one rate, ``p = 1 - exp(-rate * contacts)``.

    Concave in the rate, so the score has one root (a complementary log-log model with
    offset log m).

    Parameters
    ----------
    trials : Trials
    level : float, default 0.95
        Coverage of the interval.

    Returns
    -------
    Estimate
        Of the probability per contact and step. With no repost it is 0, with no decline 1,
        and the interval is one-sided.
    """
    impossible = trials.reposts[trials.contacts == 0].sum() > 0
    trials = _acting(trials)
    rate, loglik = peak_rate(trials)
    if np.isnan(rate):
        nan = np.array([np.nan])
        return Estimate(nan, nan, np.array([0.0]), np.array([1.0]), 0.0, success=False)
    drop = _drop(level)

    def fall(log_rate: float) -> float:
        return loglik - trials.loglik(np.exp(log_rate)) - drop

    low, high, stderr = 0.0, np.inf, np.nan
    if rate > 0:
        top = np.log(min(rate, _HIGHEST_RATE))
        low = np.exp(brentq(fall, np.log(_LOWEST_RATE), top))
    if rate < np.inf:
        bottom = np.log(max(rate, _LOWEST_RATE))
        high = np.exp(brentq(fall, bottom, np.log(_HIGHEST_RATE)))
    if 0 < rate < np.inf:
        # Delta method: d(1 - exp(-rate)) = exp(-rate) * rate * d(log rate).
        stderr = rate * np.exp(-rate) / np.sqrt(trials.information(rate))
    value, lower, upper = rate_to_probability([rate, low, high])
    return Estimate(
        np.array([value]),
        np.array([stderr]),
        np.array([lower]),
        np.array([upper]),
        -np.inf if impossible else loglik,
    )


def peak_rate(trials: Trials) -> tuple[float, float]:
    """Find the rate per contact and step that makes trials likeliest.

    Parameters
    ----------
    trials : Trials

    Returns
    -------
    rate, loglik : float
        The rate is 0 if nobody reposted, infinite if everybody did, NaN without trials.
    """
    trials = _acting(trials)
    reposts, declines = trials.reposts.sum(), trials.declines.sum()
    if reposts == 0 or declines == 0:
        rate = np.nan if reposts == declines else (0.0 if reposts == 0 else np.inf)
        return rate, 0.0
    rate = brentq(trials.score, _LOWEST_RATE, _HIGHEST_RATE, xtol=1e-14, rtol=1e-12)
    return rate, trials.loglik(rate)


def _drop(level: float) -> float:
    """Half the chi-square quantile (one degree of freedom): how far a log-likelihood may fall."""
    return float(ndtri((1 + level) / 2) ** 2 / 2)


def _acting(trials: Trials) -> Trials:
    """Drop the trials on which no contact acts: their declines say nothing about a rate."""
    seen = trials.contacts > 0
    return Trials(trials.contacts[seen], trials.declines[seen], trials.reposts[seen])


def split(form: Form, decisions: pd.DataFrame) -> dict[str, Trials] | None:
    """Split a log into the trials that each of a law's rates acts on.

    Parameters
    ----------
    form : Form
    decisions : DataFrame
        As :func:`decisions_of` gives them.

    Returns
    -------
    dict of str to Trials, or None
        By parameter name (by code for the 32 profiles, of those who decided); None for the
        laws whose parameters cannot be estimated one by one.
    """
    contacts, repost = decisions["contacts"].to_numpy(), decisions["repost"].to_numpy()
    step = np.minimum(contacts, 1)

    def two(second: npt.NDArray[np.bool_], acting: npt.NDArray[np.int64]) -> dict[str, Trials]:
        names = list(form.kind.words)
        parts = (~second, second)
        return {
            name: Trials.count(acting[part], repost[part])
            for name, part in zip(names, parts, strict=False)
        }

    if form.kind is SI:
        return {"beta": Trials.count(contacts, repost)}
    if form.kind is FirstRepeat:
        acting = step if form.options.get("per") == "step" else contacts
        return two(decisions["exposure"].to_numpy() > 1, acting)
    if form.kind is SingleMultiple:
        cumulative = form.options.get("count") == "cumulative"
        counted = decisions["cumulative"].to_numpy() if cumulative else contacts
        return two(counted > 1, step)
    if form.kind is TwoClass and form.options.get("high") is not None:
        return two(decisions["profile"].isin(list(form.options["high"])).to_numpy(), contacts)
    if form.kind is ByProfile:
        profile = decisions["profile"].to_numpy()
        present = [code for code in codes() if code in set(profile)]
        return {
            code: Trials.count(contacts[profile == code], repost[profile == code])
            for code in present
        }
    return None


def joint_rates(decisions: pd.DataFrame, level: float = 0.95) -> Estimate:
    """Estimate an offline and an online rate together, ``p = 1 - exp(-(a d + b m))``.

    The log-likelihood is concave in both rates.

    Parameters
    ----------
    decisions : DataFrame
        As :func:`decisions_of` gives them.
    level : float, default 0.95
        Coverage of the intervals.

    Returns
    -------
    Estimate
        Of the probabilities (alpha, beta).

    Raises
    ------
    ArgumentError
        If nobody saw the event itself, which leaves alpha without any data.
    """
    if not decisions["direct"].any():
        raise ArgumentError(
            "structure",
            "OnlineOffline",
            "be fitted to decisions of which some saw the event itself (broadcast > 0)",
        )
    cells = decisions.groupby(["direct", "contacts"])["repost"].agg(["size", "sum"]).reset_index()
    seen = cells[["direct", "contacts"]].to_numpy(dtype=float)
    reposts = cells["sum"].to_numpy(dtype=float)
    declines = cells["size"].to_numpy(dtype=float) - reposts

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
    rate = np.log(np.clip(start, _LOWEST_RATE, _HIGHEST_RATE))
    return _maximise(
        derivatives,
        starts=[np.array([rate, rate]), np.array([rate - 3, rate])],
        to_probability=_from_log_rates,
        lower=np.full(2, np.log(_LOWEST_RATE)),
        upper=np.full(2, np.log(_HIGHEST_RATE)),
        level=level,
    )


def _from_log_rates(log_rates: Floats) -> Floats:
    """Turn log rates into probabilities; a rate on its lower bound is none."""
    return np.where(log_rates <= np.log(_LOWEST_RATE), 0.0, rate_to_probability(np.exp(log_rates)))


def latent_classes(decisions: pd.DataFrame, level: float = 0.95) -> Estimate:
    """Estimate two latent classes of agents: a low rate, a high rate, and the high share.

    An agent that declined M contacts in all and then posted at m of them (or never)
    has likelihood ``sum_c share_c exp(-rate_c M) (1 - exp(-rate_c m))`` (or without the
    last factor).

    Parameters
    ----------
    decisions : DataFrame
        As :func:`decisions_of` gives them.
    level : float, default 0.95
        Coverage of the intervals.

    Returns
    -------
    Estimate
        Of (beta_low, beta_high, share_high); the classes are ordered by rate.
    """
    if (decisions["repost"] & (decisions["contacts"] == 0)).any():
        nan = np.full(3, np.nan)
        return Estimate(nan, nan, np.zeros(3), np.ones(3), -np.inf, success=False)
    frame = pd.DataFrame(
        {
            "run": decisions["run"],
            "agent": decisions["agent"],
            "declined": decisions["contacts"].where(~decisions["repost"], 0),
            "posted": decisions["contacts"].where(decisions["repost"], 0),
        }
    )
    agents = frame.groupby(["run", "agent"])[["declined", "posted"]].sum()
    cells = agents.value_counts().reset_index()
    declined, posted, count = (
        cells[column].to_numpy(dtype=float) for column in ("declined", "posted", "count")
    )

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

    def to_probability(theta: Floats) -> Floats:
        return np.array([*_from_log_rates(theta[:2]), expit(theta[2])])

    contacts = Trials.count(decisions["contacts"], decisions["repost"])
    middle = np.log(np.clip(peak_rate(contacts)[0], 1e-6, 5.0))
    spreads = ((-0.7, 0.7, 0.5), (-0.2, 2.3, 0.2), (-2.3, 0.3, 0.8), (-0.1, 3.0, 0.1))
    starts = [np.array([middle + low, middle + high, logit(share)]) for low, high, share in spreads]
    found = _maximise(
        derivatives,
        starts=starts,
        to_probability=to_probability,
        lower=np.array([np.log(_LOWEST_RATE)] * 2 + [-_WIDEST_LOGIT]),
        upper=np.array([np.log(_HIGHEST_RATE)] * 2 + [_WIDEST_LOGIT]),
        level=level,
    )
    if found.values[0] <= found.values[1]:
        return found
    swap = [1, 0, 2]
    flip = np.array([0.0, 0.0, 1.0])
    sign = np.array([1.0, 1.0, -1.0])
    low, high = flip + sign * found.low[swap], flip + sign * found.high[swap]
    return Estimate(
        flip + sign * found.values[swap],
        found.stderr[swap],
        np.minimum(low, high),
        np.maximum(low, high),
        found.loglik,
        found.success,
    )


def _maximise(
    derivatives: Callable[[Floats], Derivatives],
    *,
    starts: Sequence[Floats],
    to_probability: Callable[[Floats], Floats],
    lower: Floats,
    upper: Floats,
    level: float,
) -> Estimate:
    """Maximise a likelihood of a few parameters, with profile-likelihood intervals."""
    free = np.ones(len(lower), dtype=bool)
    peak, top = max(
        (_climb(derivatives, start, free, lower, upper) for start in starts),
        key=lambda result: result[1],
    )
    drop = _drop(level)

    def end_of_interval(i: int, bound: float) -> float:
        """Where the profile of one coordinate has fallen far enough, on the way to a bound."""
        others = np.arange(len(peak)) != i
        near = peak.copy()

        def fall(value: float) -> float:
            starts = (np.where(others, nearby, value) for nearby in (near, peak))
            climbs = [_climb(derivatives, start, others, lower, upper) for start in starts]
            near[:], height = max(climbs, key=lambda result: result[1])
            return top - height - drop

        # Step outwards: a profile of classes has another peak where the two change places.
        inner, stride = peak[i], 0.1
        while inner != bound:
            outer = np.clip(inner + np.copysign(stride, bound - inner), lower[i], upper[i])
            if fall(outer) > 0:
                return float(brentq(fall, *sorted((inner, outer)), xtol=1e-7, rtol=1e-9))
            inner, stride = outer, 2 * stride
        return bound

    low = np.array([end_of_interval(i, bound) for i, bound in enumerate(lower)])
    high = np.array([end_of_interval(i, bound) for i, bound in enumerate(upper)])
    return Estimate(
        to_probability(peak),
        _standard_errors(derivatives(peak)[2], peak, to_probability, lower, upper),
        to_probability(low),
        to_probability(high),
        top,
        success=bool(np.isfinite(top)),
    )


def _climb(
    derivatives: Callable[[Floats], Derivatives],
    start: Floats,
    free: npt.NDArray[np.bool_],
    lower: Floats,
    upper: Floats,
) -> tuple[Floats, float]:
    """Maximise over the free coordinates by damped Newton steps, within bounds."""
    theta = np.clip(start, lower, upper)
    value, gradient, hessian = derivatives(theta)
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
            found = derivatives(trial)
            if found[0] > value:
                break
            step /= 4
        else:
            break
        theta, (value, gradient, hessian) = trial, found
    return theta, value


def _standard_errors(
    hessian: Floats,
    peak: Floats,
    to_probability: Callable[[Floats], Floats],
    lower: Floats,
    upper: Floats,
) -> Floats:
    """Take standard errors from the observed information; NaN on a bound."""
    result = np.full(len(peak), np.nan)
    inside = np.flatnonzero((peak > lower + 1e-6) & (peak < upper - 1e-6))
    information = -hessian[np.ix_(inside, inside)]
    if not len(inside) or np.linalg.cond(information) > 1e12:
        return result
    variance = np.diag(np.linalg.inv(information))
    nudge = 1e-5 * np.eye(len(peak))
    slope = [
        (to_probability(peak + nudge[i])[i] - to_probability(peak - nudge[i])[i]) / 2e-5
        for i in inside
    ]
    result[inside] = np.where(variance > 0, np.abs(slope) * np.sqrt(np.abs(variance)), np.nan)
    return result
