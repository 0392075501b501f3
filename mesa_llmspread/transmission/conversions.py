"""Conversions between a probability per step and a rate per unit time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["probability_to_rate", "rate_to_probability"]

Numbers = npt.ArrayLike
Floats = npt.NDArray[np.float64]


def rate_to_probability(rate: Numbers, dt: float = 1.0) -> Floats:
    """Return the probability of an event with a constant rate: ``1 - exp(-rate dt)``.

    Parameters
    ----------
    rate : array_like
        Rates per unit time, at least 0.
    dt : float, default 1
        Length of the time, in steps.

    Returns
    -------
    ndarray of float

    Examples
    --------
    >>> float(rate_to_probability(0.5).round(4))
    0.3935
    """
    return -np.expm1(-np.asarray(rate, dtype=float) * dt)


def probability_to_rate(probability: Numbers, dt: float = 1.0) -> Floats:
    """Return the constant rate of an event with a probability: ``-log(1 - p) / dt``.

    Parameters
    ----------
    probability : array_like
        Probabilities within ``dt``, 0 to 1 (1 gives an infinite rate).
    dt : float, default 1
        Length of the time, in steps.

    Returns
    -------
    ndarray of float
    """
    with np.errstate(divide="ignore"):
        return -np.log1p(-np.asarray(probability, dtype=float)) / dt
