"""A complementary log-log regression that returns only what the data identify."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.linalg import null_space, qr
from scipy.optimize import linprog

from mesa_llmspread.exceptions import ArgumentError

__all__ = ["Regression", "regress"]

Floats = npt.NDArray[np.float64]

_INTERCEPT = "intercept"
_SEPARATED = "goes with always reposting, or never, so its estimate is infinite"


@dataclass(frozen=True)
class Regression:
    """Coefficients and their covariance.

    Attributes
    ----------
    coefficients : Series
        By term, the intercept first.
    covariance : ndarray of float, shape (terms, terms)
        Of the coefficients.
    freedom : float
        Clusters less one; infinite where the covariance is the model's.
    dropped : dict of str to str
        Terms without an estimate, and why.
    """

    coefficients: pd.Series
    covariance: Floats
    freedom: float
    dropped: dict[str, str]

    def picks(self, terms: Sequence[str]) -> Floats:
        """Return one row per term that has an estimate, which picks its coefficient."""
        index = self.coefficients.index
        return np.array([index == term for term in terms if term in index], dtype=float).reshape(
            -1, len(index)
        )


def regress(terms: pd.DataFrame, cells: pd.DataFrame, unit: Sequence[str]) -> Regression:
    """Regress counted decisions on terms, without those that the data do not identify.

    Parameters
    ----------
    terms : DataFrame, one row per cell
        Values of each term, without an intercept.
    cells : DataFrame, one row per cell
        ``reposts`` and ``declines``, and the columns of ``unit``.
    unit : sequence of str
        Columns that name the cluster of a cell; none to trust the model.

    Returns
    -------
    Regression

    Raises
    ------
    ArgumentError
        If the terms predict every decision perfectly, or no maximum is found.
    """
    design = pd.concat([pd.Series(1.0, terms.index, name=_INTERCEPT), terms], axis=1)
    dropped = _dependent(design)
    design = design.drop(columns=list(dropped))
    while True:
        separated = _separated(design, cells)
        if not separated.any():
            break
        design, cells = design[~separated], cells[~separated]
        if design.empty:
            raise ArgumentError(
                "data", list(terms.columns), "not have terms that predict every decision perfectly"
            )
        dependent = _dependent(design)
        dropped |= dict.fromkeys(dependent, _SEPARATED)
        design = design.drop(columns=list(dependent))
    return _maximise(design, cells, unit, dropped)


def _dependent(design: pd.DataFrame) -> dict[str, str]:
    """Return the columns that follow from those before them, and from which."""
    # The triangle of a QR decomposition has the same dependencies, in few rows.
    values = qr(design.drop_duplicates().to_numpy(), mode="r")[0]
    kept: list[int] = []
    found: dict[str, str] = {}
    for place, name in enumerate(design.columns):
        column: Floats = values[:, place]
        weights = np.linalg.lstsq(values[:, kept], column)[0] if kept else np.empty(0)
        rest = float(np.linalg.norm(column - values[:, kept] @ weights))
        if rest > 1e-9 * max(float(np.linalg.norm(column)), 1.0):
            kept.append(place)
            continue
        others = [
            str(design.columns[earlier])
            for earlier, weight in zip(kept, weights, strict=True)
            if abs(weight) > 1e-9 and design.columns[earlier] != _INTERCEPT
        ]
        found[str(name)] = f"cannot be told from {', '.join(others)}" if others else "constant"
    return found


def _separated(design: pd.DataFrame, cells: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return the cells that some combination of terms predicts perfectly.

    There is one exactly where a direction exists along which every repost lies on or above
    zero and every decline on or below, and not all on it (Albert & Anderson 1984,
    doi:10.1093/biomet/71.1.1); a linear programme finds it (Konis 2007). Patterns with both
    outcomes must lie on zero, which mostly leaves no direction at all.
    """
    of_cell = design.groupby(list(design.columns), sort=False).ngroup().to_numpy()
    patterns = design.drop_duplicates().to_numpy()
    reposts = np.bincount(of_cell, cells["reposts"])
    declines = np.bincount(of_cell, cells["declines"])
    mixed = (reposts > 0) & (declines > 0)
    free = null_space(qr(patterns[mixed], mode="r")[0]) if mixed.any() else np.eye(len(patterns.T))
    if not free.shape[1]:
        return np.zeros(len(design), dtype=bool)
    sign = np.where(mixed, 0.0, np.where(reposts > 0, 1.0, -1.0))
    scores = sign[:, None] * (patterns @ free)
    # What is left of zeros after the rounding of the null space.
    scores[np.abs(scores) < 1e-9] = 0.0
    found = linprog(-scores.sum(axis=0), A_ub=-scores, b_ub=np.zeros(len(scores)), bounds=(-1, 1))
    return np.asarray(scores @ np.asarray(found.x) > 1e-7)[of_cell]


def _maximise(
    design: pd.DataFrame, cells: pd.DataFrame, unit: Sequence[str], dropped: dict[str, str]
) -> Regression:
    """Maximise the likelihood; it has one finite maximum."""
    import statsmodels.api as sm

    counts = cells[["reposts", "declines"]].to_numpy(dtype=float)
    family = sm.families.Binomial(link=sm.families.links.CLogLog())
    clusters = cells.groupby(list(unit)).ngroup().to_numpy() if unit else None
    how: dict[str, Any] = {}
    if clusters is not None:
        groups = {"groups": clusters, "use_correction": False}
        how = {"cov_type": "cluster", "cov_kwds": groups}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # Whether the search failed is asked below, and once.
        warnings.simplefilter("ignore")
        result = sm.GLM(counts, design.to_numpy(), family=family).fit(
            tol=1e-10, wls_method="qr", **how
        )
        covariance = np.asarray(result.cov_params())
    if not (
        result.converged and np.isfinite(result.params).all() and np.isfinite(covariance).all()
    ):
        raise ArgumentError(
            "data", f"{counts.sum():.0f} decisions", "let the regression find a maximum"
        )
    number = np.inf if clusters is None else len(np.unique(clusters))
    # The usual correction for a finite number of clusters.
    covariance = covariance if clusters is None else covariance * number / (number - 1)
    coefficients = pd.Series(result.params, design.columns)
    return Regression(coefficients, covariance, number - 1, dropped)
