"""How small an effect of a trait a design can find."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from mesa_llmspread._validation import checked_level, checked_number

__all__ = ["information_left", "smallest_ratio"]


def information_left(levels: npt.NDArray[np.float64]) -> float:
    """Return what part of a repost's information about a trait the agents' levels leave.

    Parameters
    ----------
    levels : ndarray of float, shape (agents, traits)
        In standard deviations.

    Returns
    -------
    float
        Of the trait about which there is least: its variance that the other traits do not
        explain. 1 where all vary by 1 and apart from each other; 0 where some do not.

    Examples
    --------
    >>> information_left(np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]))
    1.0
    >>> information_left(np.array([[1.0, 1.0], [-1.0, -1.0]]))
    0.0
    """
    covariance = np.atleast_2d(np.cov(levels, rowvar=False, bias=True))
    if np.linalg.matrix_rank(covariance) < levels.shape[1]:
        return 0.0
    return float(1 / np.diag(np.linalg.inv(covariance)).max())


def smallest_ratio(reposts: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the smallest hazard ratio per standard deviation of a trait that a test finds.

    The standard error of the logarithm of the ratio is about ``1 / sqrt(reposts)``: declines add
    little, as the effect of a trait on the hazard is seen in who reposts (Schoenfeld 1983,
    doi:10.2307/2531021).

    Parameters
    ----------
    reposts : float
        Number of reposts in all runs, above 0. A run of ``n`` agents that reaches a share ``s``
        has about ``s * n``.
    alpha : float, default 0.05
        Size of the two-sided test; for the first of ``m`` tests in Holm's procedure, 0.05 / m.
    power : float, default 0.8
        Probability of finding the effect.

    Returns
    -------
    float
        Above 1; an effect below 1 is found from the reciprocal on.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If reposts <= 0, or alpha or power is not between 0 and 1.

    Examples
    --------
    >>> round(smallest_ratio(1290, alpha=0.01), 3)
    1.1
    """
    checked_number("reposts", reposts, np.nextafter(0, 1), np.inf)
    for name, value in (("alpha", alpha), ("power", power)):
        checked_level(value, name)
    return float(np.exp((norm.isf(alpha / 2) + norm.ppf(power)) / np.sqrt(reposts)))
