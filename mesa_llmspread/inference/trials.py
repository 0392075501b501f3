"""One rate from trials: contacts that act independently, and whether one of them succeeded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import xlogy

from mesa_llmspread.inference.maximise import Estimate, drop
from mesa_llmspread.inference.scale import HIGHEST_RATE, LOWEST_RATE, Floats
from mesa_llmspread.transmission import rate_to_probability

__all__ = ["Trials", "one_rate", "peak_rate"]


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
    def count(
        cls,
        contacts: npt.ArrayLike,
        repost: npt.ArrayLike,
        decline: npt.ArrayLike | None = None,
    ) -> Trials:
        """Count trials that are listed one by one, or sum them where they are counted already."""
        reposts = np.asarray(repost, dtype=float)
        declines = 1 - reposts if decline is None else np.asarray(decline, dtype=float)
        values, cell = np.unique(np.asarray(contacts), return_inverse=True)
        sums = [
            np.bincount(cell, weights=number, minlength=len(values)).astype(float)
            for number in (declines, reposts)
        ]
        return cls(values.astype(float), *sums)

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
        # exp(-h) / expm1(-h)**2, which does not overflow where contacts are many.
        weight = 1 / (4 * np.sinh(np.minimum(hazard, 600) / 2) ** 2)
        return float(np.sum(self.reposts[acting] * hazard**2 * weight))

    def acting(self) -> Trials:
        """Drop the trials on which no contact acts: their declines say nothing about a rate."""
        seen = self.contacts > 0
        return Trials(self.contacts[seen], self.declines[seen], self.reposts[seen])

    def off_bounds(self) -> Trials:
        """Add half a repost and half a decline where nobody or everybody reposted.

        The estimate is then neither 0 nor 1, has a logarithm, and makes nothing impossible.
        """
        acting = self.acting()
        reposts, declines = acting.reposts.sum(), acting.declines.sum()
        if (reposts == 0) == (declines == 0):
            return acting
        extra = 0.5 * (acting.reposts + acting.declines) / (reposts + declines)
        return Trials(acting.contacts, acting.declines + extra, acting.reposts + extra)


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
        and the interval is one-sided; without trials it is NaN.
    """
    impossible = trials.reposts[trials.contacts == 0].sum() > 0
    trials = trials.acting()
    rate, loglik = peak_rate(trials)
    if np.isnan(rate):
        return Estimate.unknown(1, -np.inf if impossible else 0.0)
    allowed = drop(level)

    def fall(log_rate: float) -> float:
        return loglik - trials.loglik(np.exp(log_rate)) - allowed

    low, high, stderr = 0.0, np.inf, np.nan
    if rate > 0:
        top = np.log(min(rate, HIGHEST_RATE))
        low = np.exp(brentq(fall, np.log(LOWEST_RATE), top))
    if rate < np.inf:
        bottom = np.log(max(rate, LOWEST_RATE))
        high = np.exp(brentq(fall, bottom, np.log(HIGHEST_RATE)))
    if 0 < rate < np.inf:
        # Delta method: d(1 - exp(-rate)) = exp(-rate) * rate * d(log rate).
        stderr = rate * np.exp(-rate) / np.sqrt(trials.information(rate))
    value, lower, upper = rate_to_probability([rate, low, high])
    return Estimate(
        np.array([value]),
        np.array([[stderr**2]]),
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
    trials = trials.acting()
    reposts, declines = trials.reposts.sum(), trials.declines.sum()
    if reposts == 0 or declines == 0:
        rate = np.nan if reposts == declines else (0.0 if reposts == 0 else np.inf)
        return rate, 0.0
    rate = brentq(trials.score, LOWEST_RATE, HIGHEST_RATE, xtol=1e-14, rtol=1e-12)
    return rate, trials.loglik(rate)
