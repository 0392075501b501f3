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
from scipy.optimize import brentq, minimize
from scipy.special import xlogy
from scipy.stats import chi2

from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.profiles import codes
from mesa_llmspread.transmission import (
    SI,
    ByProfile,
    FirstRepeat,
    Form,
    SingleMultiple,
    TwoClass,
    probability_to_rate,
    rate_to_probability,
)

__all__ = ["Estimate", "Trials", "decisions_of", "joint_rates", "latent_classes", "one_rate", "split"]

Floats = npt.NDArray[np.float64]

# Rates per contact and step between which estimates are sought: probabilities within 1e-12
# of 0 and 1.
_LOWEST_RATE, _HIGHEST_RATE = 1e-12, 30.0


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
        """Derivative of the log-likelihood with respect to the rate; it falls with the rate."""
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
    reposts, declines = trials.reposts.sum(), trials.declines.sum()
    drop = chi2.ppf(level, 1) / 2
    if reposts + declines == 0:
        nan = np.array([np.nan])
        return Estimate(nan, nan, np.array([0.0]), np.array([1.0]), 0.0, success=False)
    if reposts == 0:
        rate, loglik, stderr = 0.0, 0.0, np.nan
    elif declines == 0:
        rate, loglik, stderr = np.inf, 0.0, np.nan
    else:
        rate = brentq(trials.score, _LOWEST_RATE, _HIGHEST_RATE, xtol=1e-14, rtol=1e-12)
        loglik = trials.loglik(rate)
        # Delta method: d(1 - exp(-rate)) = exp(-rate) * rate * d(log rate).
        stderr = rate * np.exp(-rate) / np.sqrt(trials.information(rate))

    def fall(log_rate: float) -> float:
        return loglik - trials.loglik(np.exp(log_rate)) - drop

    low, high = 0.0, np.inf
    if rate > 0:
        top = np.log(min(rate, _HIGHEST_RATE))
        low = np.exp(brentq(fall, np.log(_LOWEST_RATE), top)) if fall(top) < 0 else 0.0
    if rate < np.inf:
        bottom = np.log(max(rate, _LOWEST_RATE))
        high = np.exp(brentq(fall, bottom, np.log(_HIGHEST_RATE)))
    value, lower, upper = rate_to_probability([rate, low, high])
    return Estimate(
        np.array([value]),
        np.array([stderr]),
        np.array([lower]),
        np.array([upper]),
        -np.inf if impossible else loglik,
    )


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

    def loglik(rates: Floats) -> float:
        hazard = seen @ rates
        return float(np.sum(xlogy(reposts, -np.expm1(-hazard)) - declines * hazard))

    start = reposts.sum() / max(float(seen.sum(axis=1) @ (reposts + declines)), 1.0)
    return _maximise(
        loglik,
        starts=[np.array([start, start]), np.array([start / 100, start])],
        to_probability=rate_to_probability,
        lower=np.zeros(2),
        upper=np.full(2, _HIGHEST_RATE),
        level=level,
    )


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

    def loglik(theta: Floats) -> float:
        share = np.array([1.0 - theta[2], theta[2]])
        rates = np.exp(theta[:2])[:, None]
        with np.errstate(divide="ignore"):
            ended = np.where(posted > 0, np.log(-np.expm1(-rates * posted)), 0.0)
            total = np.logaddexp.reduce(np.log(share)[:, None] - rates * declined + ended, axis=0)
        return float(count @ total)

    def to_probability(theta: npt.ArrayLike) -> Floats:
        theta = np.asarray(theta, dtype=float)
        return np.concatenate([rate_to_probability(np.exp(theta[..., :2])), theta[..., 2:]], -1)

    contacts = Trials.count(decisions["contacts"], decisions["repost"])
    middle = float(probability_to_rate(np.clip(one_rate(contacts).values[0], 1e-6, 1 - 1e-6)))
    starts = [
        np.array([np.log(middle * low), np.log(min(middle * high, 20.0)), share])
        for low, high, share in ((0.5, 2.0, 0.5), (0.8, 10.0, 0.2), (0.1, 1.3, 0.8), (0.9, 40, 0.1))
    ]
    found = _maximise(
        loglik,
        starts=starts,
        to_probability=to_probability,
        lower=np.array([np.log(_LOWEST_RATE)] * 2 + [0.0]),
        upper=np.array([np.log(_HIGHEST_RATE)] * 2 + [1.0]),
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
    loglik: Callable[[Floats], float],
    *,
    starts: Sequence[Floats],
    to_probability: Callable[[npt.ArrayLike], Floats],
    lower: Floats,
    upper: Floats,
    level: float,
) -> Estimate:
    """Maximise a likelihood of a few parameters, with profile-likelihood intervals."""

    def climb(start: Floats, fixed: int | None = None, value: float = 0.0) -> tuple[Floats, float]:
        """Maximise from a start, with one coordinate held if asked."""
        free = [i for i in range(len(start)) if i != fixed]

        def cost(theta: Floats) -> float:
            full = np.array(start)
            full[free] = theta
            if fixed is not None:
                full[fixed] = value
            result = -loglik(full)
            return result if np.isfinite(result) else 1e12

        bounds = list(zip(lower[free], upper[free], strict=True))
        options = {"ftol": 1e-13, "gtol": 1e-7, "maxiter": 500}
        best = minimize(cost, start[free], method="L-BFGS-B", bounds=bounds, options=options)
        polish = {"xatol": 1e-9, "fatol": 1e-9, "maxiter": 2000}
        if fixed is None:
            best = minimize(cost, best.x, method="Nelder-Mead", bounds=bounds, options=polish)
        full = np.array(start)
        full[free] = best.x
        if fixed is not None:
            full[fixed] = value
        return full, -float(best.fun)

    peak, top = max((climb(start) for start in starts), key=lambda result: result[1])
    drop = chi2.ppf(level, 1) / 2
    low, high = np.array(peak), np.array(peak)
    for i in range(len(peak)):

        def fall(value: float, i: int = i) -> float:
            return top - climb(peak, i, value)[1] - drop

        for ends, bound in ((low, lower[i]), (high, upper[i])):
            if fall(bound) <= 0:
                ends[i] = bound
            else:
                ends[i] = brentq(fall, *sorted((bound, peak[i])), xtol=1e-6, rtol=1e-5)
    return Estimate(
        to_probability(peak),
        _standard_errors(loglik, peak, to_probability, lower, upper),
        to_probability(low),
        to_probability(high),
        top,
        success=bool(np.isfinite(top)),
    )


def _standard_errors(
    loglik: Callable[[Floats], float],
    peak: Floats,
    to_probability: Callable[[npt.ArrayLike], Floats],
    lower: Floats,
    upper: Floats,
) -> Floats:
    """Standard errors from the observed information by central differences, on probabilities."""
    p = len(peak)
    width = 1e-4 * np.maximum(np.abs(peak), 1e-3)
    inside = (peak - 2 * width > lower) & (peak + 2 * width < upper)
    result = np.full(p, np.nan)
    free = np.flatnonzero(inside)
    if not len(free):
        return result
    offsets = np.diag(width)
    information = np.array(
        [
            [
                -(
                    loglik(peak + offsets[i] + offsets[j])
                    - loglik(peak + offsets[i] - offsets[j])
                    - loglik(peak - offsets[i] + offsets[j])
                    + loglik(peak - offsets[i] - offsets[j])
                )
                / (4 * width[i] * width[j])
                for j in free
            ]
            for i in free
        ]
    )
    try:
        variance = np.diag(np.linalg.inv(information))
    except np.linalg.LinAlgError:
        return result
    slopes = np.array(
        [
            (to_probability(peak + offsets[i])[i] - to_probability(peak - offsets[i])[i])
            / (2 * width[i])
            for i in free
        ]
    )
    with np.errstate(invalid="ignore"):
        result[free] = np.abs(slopes) * np.sqrt(variance)
    return result
