"""The scale on which parameters are estimated: numbers that may move freely."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit
from scipy.stats import qmc

from mesa_llmspread.transmission import TransmissionLaw, probability_to_rate, rate_to_probability

__all__ = ["Floats", "Scale"]

Floats = npt.NDArray[np.float64]


class _Kind(NamedTuple):
    """A kind of parameter: how the number x on the scale becomes a standard value, and back.

    ``ends`` are the numbers between which estimates are searched. Numbers beyond them are taken
    as ``beyond``: an infinite number stands for a limit exactly.
    """

    value: Callable[[Floats], Floats]
    number: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]
    ends: tuple[float, float]
    beyond: tuple[float, float]


_KINDS = {
    # Probabilities within 1e-12 of 0 and 1.
    "rate": _Kind(
        value=lambda x: rate_to_probability(np.exp(x)),
        number=lambda value: np.log(probability_to_rate(value)),
        slope=lambda x: np.exp(x - np.exp(x)),
        ends=(float(np.log(1e-12)), float(np.log(30.0))),
        beyond=(-np.inf, np.inf),
    ),
    "between": _Kind(
        expit, logit, lambda x: expit(x) * expit(-x), (-20.0, 20.0), (-np.inf, np.inf)
    ),
    "one limit": _Kind(np.exp, np.log, np.exp, (-20.0, 20.0), (-np.inf, 20.0)),
    "free": _Kind(np.asarray, np.asarray, np.ones_like, (-1e6, 1e6), (-1e6, 1e6)),
}


@dataclass(frozen=True)
class Scale:
    """Parameters as numbers that an optimiser may move freely.

    Rates (probabilities of posting) are log rates per contact, ``log(-log(1 - p))``; shares and
    other numbers between two limits are logits; numbers with one limit are logarithms. The ends
    of the scale stand for the limits themselves, exactly, where there are limits.

    Parameters
    ----------
    names : sequence of str
        The parameters.
    bounds : sequence of (float, float)
        The smallest and largest value of each parameter. Parameters between 0 and 1 are rates,
        unless their name begins with ``share``.

    Examples
    --------
    >>> scale = Scale(["beta", "share"], [(0, 1), (0, 1)])
    >>> scale.to_values(np.array([-50.0, 0.0])).tolist()
    [0.0, 0.5]
    """

    names: Sequence[str]
    bounds: Sequence[tuple[float, float]]

    @classmethod
    def of(cls, law: TransmissionLaw, names: Sequence[str] | None = None) -> Scale:
        """Return the scale of a law's parameters, or of some of them."""
        limits = law.parameter_bounds
        chosen = list(limits) if names is None else list(names)
        return cls(chosen, [limits[name] for name in chosen])

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def is_rate(self) -> npt.NDArray[np.bool_]:
        """Which parameters are probabilities of posting."""
        return np.array([kind is _KINDS["rate"] for kind, *_ in self._axes], dtype=bool)

    @cached_property
    def lower(self) -> Floats:
        """The smallest value of each parameter, on this scale."""
        return np.array([kind.ends[0] for kind, *_ in self._axes])

    @cached_property
    def upper(self) -> Floats:
        """The largest value of each parameter, on this scale."""
        return np.array([kind.ends[1] for kind, *_ in self._axes])

    @cached_property
    def _axes(self) -> list[tuple[_Kind, float, float]]:
        """The kind of each parameter, and its value where the standard value is 0 and 1."""
        axes = []
        for name, (low, high) in zip(self.names, self.bounds, strict=True):
            finite = np.isfinite(low), np.isfinite(high)
            if (low, high) == (0, 1) and not name.startswith("share"):
                axes.append((_KINDS["rate"], 0.0, 1.0))
            elif all(finite):
                axes.append((_KINDS["between"], low, high))
            elif any(finite):
                zero, one = (low, low + 1) if finite[0] else (high, high - 1)
                axes.append((_KINDS["one limit"], zero, one))
            else:
                axes.append((_KINDS["free"], 0.0, 1.0))
        return axes

    def to_values(self, theta: npt.ArrayLike, unlimited: bool = False) -> Floats:
        """Return the parameters' values; an end of the scale is exactly a limit.

        Laws take finite numbers: where there is no limit, the end is a large one, or infinite in
        an interval (``unlimited``).
        """
        values = np.array(theta, dtype=float)
        for i, (kind, zero, one) in enumerate(self._axes):
            x, (lowest, highest) = values[..., i], kind.ends
            beyond = (-np.inf, np.inf) if unlimited else kind.beyond
            x = np.select([x <= lowest, x >= highest], beyond, x)
            values[..., i] = zero + (one - zero) * kind.value(x)
        return values

    def laws(self, law: TransmissionLaw, points: npt.ArrayLike) -> list[TransmissionLaw]:
        """Return a law with the values that each of several points on this scale stands for."""
        values = self.to_values(points).tolist()
        return [law.replace(dict(zip(self.names, each, strict=True))) for each in values]

    def around(self, middle: Floats, width: float, number: int) -> Floats:
        """Return points spread evenly around one, shape (number, p)."""
        cube = qmc.Sobol(len(self), rng=0).random(number)
        return np.asarray(middle + width * (2 * cube - 1))

    def from_values(self, values: npt.ArrayLike) -> Floats:
        """Return the numbers on this scale that stand for values of the parameters."""
        theta = np.array(values, dtype=float)
        with np.errstate(divide="ignore"):
            for i, (kind, zero, one) in enumerate(self._axes):
                theta[..., i] = kind.number((theta[..., i] - zero) / (one - zero))
        return np.clip(theta, self.lower, self.upper)

    def slope(self, theta: npt.ArrayLike) -> Floats:
        """Return the derivatives of the values with respect to the numbers on this scale."""
        slopes = np.array(theta, dtype=float)
        for i, (kind, zero, one) in enumerate(self._axes):
            slopes[..., i] = (one - zero) * kind.slope(slopes[..., i])
        return slopes

    def in_order(self, theta: Floats) -> Floats:
        """Return the same point with the low class first, where two classes changed places.

        Examples
        --------
        >>> names = ["beta_low", "beta_high", "share_high"]
        >>> Scale(names, [(0, 1)] * 3).in_order(np.array([2.0, 1.0, 0.5])).tolist()
        [1.0, 2.0, -0.5]
        """
        classes = list(self.names[-3:]) == ["beta_low", "beta_high", "share_high"]
        if not classes or theta[-3] <= theta[-2]:
            return theta
        return np.array([*theta[:-3], theta[-2], theta[-3], -theta[-1]])
