"""The scale on which a law's parameters are sought: numbers that may move freely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from mesa_llmspread.transmission import (
    TransmissionLaw,
    probability_to_rate,
    rate_to_probability,
)

__all__ = ["HIGHEST_RATE", "LOWEST_RATE", "WIDEST_LOGIT", "Floats", "Scale"]

Floats = npt.NDArray[np.float64]

#: Rates per contact and step between which estimates are sought: probabilities within 1e-12
#: of 0 and 1.
LOWEST_RATE, HIGHEST_RATE = 1e-12, 30.0

#: The same for the logit of a share.
WIDEST_LOGIT = 20.0

# The same for logarithms, and for numbers without limits.
_WIDEST_LOG, _WIDEST = 20.0, 1e6


@dataclass(frozen=True)
class Scale:
    """Parameters as numbers that a search may move freely.

    Rates (probabilities of posting) go as log rates per contact, ``log(-log(1 - p))``; shares
    and other numbers between two limits as logits; numbers with one limit as logarithms. The
    ends of the scale stand for the limits themselves, exactly.

    Parameters
    ----------
    bounds : sequence of (float, float)
        The smallest and largest value of each parameter.
    is_rate : sequence of bool
        Which of them are probabilities of posting.

    Examples
    --------
    >>> scale = Scale([(0, 1), (0, 1)], [True, False])
    >>> scale.to_values(np.array([-50.0, 0.0])).tolist()
    [0.0, 0.5]
    """

    bounds: Sequence[tuple[float, float]]
    is_rate: Sequence[bool]

    @classmethod
    def of(cls, law: TransmissionLaw, names: Sequence[str] | None = None) -> Scale:
        """Set up the scale of a law's parameters, or of some of them.

        Parameters
        ----------
        law : TransmissionLaw
        names : sequence of str, optional

        Returns
        -------
        Scale
            Parameters between 0 and 1 are rates, unless their name begins with ``share``.
        """
        limits = law.parameter_bounds
        chosen = list(limits) if names is None else names
        return cls(
            [limits[name] for name in chosen],
            [limits[name] == (0.0, 1.0) and not name.startswith("share") for name in chosen],
        )

    def __len__(self) -> int:
        return len(self.bounds)

    @cached_property
    def lower(self) -> Floats:
        """The smallest value of each parameter, on this scale."""
        return np.array([ends[0] for ends in self._ends])

    @cached_property
    def upper(self) -> Floats:
        """The largest value of each parameter, on this scale."""
        return np.array([ends[1] for ends in self._ends])

    @property
    def _ends(self) -> list[tuple[float, float]]:
        of_kind = {
            "rate": (np.log(LOWEST_RATE), np.log(HIGHEST_RATE)),
            "between": (-WIDEST_LOGIT, WIDEST_LOGIT),
            "above": (-_WIDEST_LOG, _WIDEST_LOG),
            "below": (-_WIDEST_LOG, _WIDEST_LOG),
            "free": (-_WIDEST, _WIDEST),
        }
        return [of_kind[kind] for kind in self._kinds]

    @cached_property
    def _kinds(self) -> list[str]:
        kinds = []
        for (low, high), rate in zip(self.bounds, self.is_rate, strict=True):
            limits = np.isfinite(low), np.isfinite(high)
            names = {(True, True): "between", (True, False): "above", (False, True): "below"}
            kinds.append("rate" if rate else names.get(limits, "free"))
        return kinds

    def to_values(self, theta: npt.ArrayLike) -> Floats:
        """Turn numbers on this scale into the parameters' values; an end is exactly a limit."""
        given = np.asarray(theta, dtype=float)
        known = np.clip(given, self.lower, self.upper)
        values = np.empty_like(known)
        for i, (kind, (low, high)) in enumerate(zip(self._kinds, self.bounds, strict=True)):
            x = known[..., i]
            if kind == "rate":
                values[..., i] = rate_to_probability(np.exp(x))
            elif kind == "between":
                values[..., i] = low + (high - low) * expit(x)
            elif kind == "free":
                values[..., i] = x
            else:
                values[..., i] = low + np.exp(x) if kind == "above" else high - np.exp(x)
            if kind != "free":
                first, last = (high, low) if kind == "below" else (low, high)
                values[..., i] = np.where(given[..., i] <= self.lower[i], first, values[..., i])
                if np.isfinite(last):
                    values[..., i] = np.where(given[..., i] >= self.upper[i], last, values[..., i])
        return values

    def from_values(self, values: npt.ArrayLike) -> Floats:
        """Turn parameters' values into numbers on this scale."""
        given = np.asarray(values, dtype=float)
        theta = np.empty_like(given)
        with np.errstate(divide="ignore"):
            for i, (kind, (low, high)) in enumerate(zip(self._kinds, self.bounds, strict=True)):
                x = given[..., i]
                if kind == "rate":
                    theta[..., i] = np.log(probability_to_rate(x))
                elif kind == "between":
                    theta[..., i] = logit((x - low) / (high - low))
                elif kind == "free":
                    theta[..., i] = x
                else:
                    theta[..., i] = np.log(x - low if kind == "above" else high - x)
        return np.clip(theta, self.lower, self.upper)

    def slope(self, theta: npt.ArrayLike) -> Floats:
        """Differentiate the parameters' values with respect to the numbers on this scale."""
        given = np.asarray(theta, dtype=float)
        slopes = np.ones_like(given)
        for i, (kind, (low, high)) in enumerate(zip(self._kinds, self.bounds, strict=True)):
            x = given[..., i]
            if kind == "rate":
                slopes[..., i] = np.exp(x - np.exp(x))
            elif kind == "between":
                slopes[..., i] = (high - low) * expit(x) * expit(-x)
            elif kind in ("above", "below"):
                slopes[..., i] = np.exp(x) if kind == "above" else -np.exp(x)
        return slopes
