"""The complementary log-log regression, ``p = 1 - exp(-exp(x b))``, of decisions on terms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.linalg import block_diag, null_space, qr
from scipy.optimize import linprog
from scipy.special import xlogy

from mesa_llmspread.data import SpreadData
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.inference.decisions import Integers, levels_of, profile_indices
from mesa_llmspread.inference.maximum import Derivatives, Problem, peak_of
from mesa_llmspread.inference.scale import Floats, Scale
from mesa_llmspread.profiles import Trait, trait_levels

__all__ = ["Regression", "cloglog", "coefficients_of", "dependent", "regress", "terms_of"]

_INTERCEPT = "intercept"
_SEPARATED = "goes with always reposting, or never, so its estimate is infinite"


def cloglog(
    design: Floats,
    reposts: Floats,
    declines: Floats,
    start: Floats,
    *,
    contacts: Floats | float = 1.0,
    precision: Floats | float = 0.0,
    direct: Floats | None = None,
) -> Problem:
    """Return the likelihood of ``p = 1 - exp(-contacts * exp(design @ b))``, which is concave.

    With ``direct`` another hazard is added, ``direct * exp(a)``; ``a`` is the first parameter then.

    Parameters
    ----------
    design : ndarray of float, shape (cells, terms)
    reposts, declines : ndarray of float, shape (cells,)
        Number of decisions of each kind.
    start : ndarray of float, shape (terms,)
        Coefficients from which the maximum is searched.
    contacts : ndarray of float, default 1
        Contacts that act independently.
    precision : ndarray of float, default 0
        Of a normal prior around 0 that each coefficient has.
    direct : ndarray of float, shape (cells,), optional
        1 where the other hazard acts, else 0.

    Returns
    -------
    Problem
    """
    number = len(start)
    aside = 0 if direct is None else 1

    def derivatives(b: Floats) -> Derivatives:
        online = np.exp(np.clip(design @ b[aside:], -100, 100)) * contacts
        offline = 0.0 if direct is None else direct * np.exp(b[0])
        hazard = online + offline
        # With respect to the hazard: of log p, and of the log-likelihood, once and twice.
        gain = 1 / np.expm1(np.minimum(hazard, 600))
        slope, bend = reposts * gain - declines, -reposts * gain * (1 + gain)
        moves = online[:, None] * design
        loglik = np.sum(xlogy(reposts, -np.expm1(-hazard)) - declines * hazard)
        hessian = (design.T * (slope * online)) @ design
        if direct is not None:
            moves = np.column_stack([offline, moves])
            hessian = block_diag(np.sum(slope * offline), hessian)
        return (
            float(loglik - np.sum(precision * b**2) / 2),
            moves.T @ slope - precision * b,
            hessian + (moves.T * bend) @ moves - np.diag(precision * np.ones(number)),
        )

    scale = Scale([""] * number, [(-np.inf, np.inf)] * number)
    return Problem(scale, derivatives, lambda: [start])


def terms_of(decisions: pd.DataFrame, data: SpreadData) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what each decision is regressed on.

    Parameters
    ----------
    decisions : DataFrame
        As :func:`~mesa_llmspread.inference.decisions.decisions_of` returns them.
    data : SpreadData
        Their record.

    Returns
    -------
    terms : DataFrame of float
        ``first`` (exposure), ``contacts`` (logarithm, 0 without), ``direct``, ``alone``
        (direct, without contacts), the five trait levels (those of the profile's code where the
        record has none), ``fatalities`` (``log10(1 + number)``), ``civilians``.
    types : DataFrame of float
        One indicator per event type, by name.

    Raises
    ------
    ArgumentError
        If an agent's levels and profile are unknown.
    """
    levels = levels_of(decisions, data)
    if (unknown := np.isnan(levels).any(axis=1)).any():
        levels[unknown] = trait_levels()[profile_indices(decisions.iloc[np.flatnonzero(unknown)])]
    events = pd.DataFrame({run: info.event.to_dict() for run, info in data.info.items()}).T
    event = events.loc[decisions["run"]].set_index(decisions.index)
    columns = {
        "first": decisions["exposure_count"] == 1,
        "contacts": np.log(np.maximum(decisions["contacts"], 1)),
        "direct": decisions["direct"],
        "alone": decisions["contacts"] == 0,
        **{trait.value: levels[:, place] for place, trait in enumerate(Trait)},
        "fatalities": np.log10(1 + event["fatalities"].astype(float)),
        "civilians": event["civilian_targeting"],
    }
    return pd.DataFrame(columns).astype(float), pd.get_dummies(event["event_type"], dtype=float)


def coefficients_of(
    terms: pd.DataFrame, repost: pd.Series[bool], prior_sd: float
) -> pd.Series[float]:
    """Return the coefficients of the highest posterior density, the intercept first.

    Parameters
    ----------
    terms : DataFrame, one row per decision
        Values of each term, without an intercept.
    repost : Series of bool
        The decisions.
    prior_sd : float
        Standard deviation of the normal prior of every coefficient but the intercept.

    Returns
    -------
    Series of float
    """
    design, cells, _ = _cells_of(terms, repost)
    precision = np.r_[0.0, np.full(terms.shape[1], prior_sd**-2)]
    return pd.Series(_peak(design, cells, precision)[0], design.columns)


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
    score, information : ndarray of float, shape (decisions,)
        Derivative of each decision's log-likelihood by the logarithm of its hazard, and the
        expected square of that; 0 where the terms predict the decision perfectly.
    """

    coefficients: pd.Series[float]
    covariance: Floats
    freedom: float
    dropped: dict[str, str]
    score: Floats
    information: Floats


def regress(
    terms: pd.DataFrame, repost: pd.Series[bool], cluster: pd.Series[int] | None
) -> Regression:
    """Regress decisions on terms, without those that the decisions do not identify.

    Parameters
    ----------
    terms : DataFrame, one row per decision
        Values of each term, without an intercept.
    repost : Series of bool
        The decisions.
    cluster : Series of int or None
        The cluster of each decision, for errors robust to dependence within clusters; None to
        trust the model.

    Returns
    -------
    Regression

    Raises
    ------
    ArgumentError
        If the terms predict every decision perfectly.
    """
    design, cells, cell = _cells_of(terms, repost, 0 if cluster is None else cluster)
    dropped = dependent(design)
    design = design.drop(columns=list(dropped))
    while (separated := _separated(design, cells)).any():
        design, cells = design[~separated], cells[~separated]
        if design.empty:
            raise ArgumentError(
                "data", list(terms.columns), "not have terms that predict every decision perfectly"
            )
        infinite = dependent(design)
        dropped |= dict.fromkeys(infinite, _SEPARATED)
        design = design.drop(columns=list(infinite))
    (coefficients, hessian), x = _peak(design, cells), design.to_numpy()
    reposts, declines = cells["reposts"].to_numpy(), cells["declines"].to_numpy()
    hazard = np.exp(x @ coefficients)
    # Of log p by the logarithm of the hazard; above 600 it is 0, and the exponential overflows.
    change = hazard / np.expm1(np.minimum(hazard, 600))
    if cluster is None:
        number = np.inf
        covariance = np.linalg.inv((x.T * ((reposts + declines) * hazard * change)) @ x)
    else:
        slope = reposts * change - declines * hazard
        scores = design.mul(slope, axis=0).groupby(cells["cluster"]).sum().to_numpy()
        number, bread = len(scores), np.linalg.inv(hessian)
        # With the usual correction for a finite number of clusters.
        covariance = bread @ scores.T @ scores @ bread * number / (number - 1)
    of_cell = np.zeros((3, cell.max() + 1))
    of_cell[:, design.index] = change, -hazard, hazard * change
    of_repost, of_decline, information = of_cell[:, cell]
    score = np.where(repost, of_repost, of_decline)
    estimates = pd.Series(coefficients, design.columns)
    return Regression(estimates, covariance, number - 1, dropped, score, information)


def _cells_of(
    terms: pd.DataFrame, repost: pd.Series[bool], cluster: pd.Series[int] | int = 0
) -> tuple[pd.DataFrame, pd.DataFrame, Integers]:
    """Count equal decisions; return cells' terms, what was counted, and each decision's cell."""
    rows = terms.assign(cluster=cluster)
    groups = rows.assign(reposts=repost, declines=~repost).groupby(list(rows.columns))
    cells = groups.sum().reset_index()
    design = cells[list(terms.columns)]
    design.insert(0, _INTERCEPT, 1.0)
    number = groups.ngroup().to_numpy().astype(np.int64)
    return design, cells[["reposts", "declines", "cluster"]], number


def _peak(
    design: pd.DataFrame, cells: pd.DataFrame, precision: Floats | float = 0.0
) -> tuple[Floats, Floats]:
    """Return the coefficients at the maximum, and the Hessian there."""
    reposts, declines = cells[["reposts", "declines"]].to_numpy(dtype=float).T
    start = np.zeros(design.shape[1])
    start[0] = np.log(max(reposts.sum(), 0.5) / (reposts + declines).sum())
    problem = cloglog(design.to_numpy(), reposts, declines, start, precision=precision)
    peak, _ = peak_of(problem, [start])
    for _ in range(2):
        _, gradient, hessian = problem.derivatives(peak)
        peak = peak - np.linalg.solve(hessian, gradient)
    return peak, hessian


def dependent(design: pd.DataFrame) -> dict[str, str]:
    """Return the columns that follow from those before them, and from which.

    Parameters
    ----------
    design : DataFrame of float

    Returns
    -------
    dict of str to str
        Why a column has no coefficient of its own, by its name.
    """
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
        others = design.columns[kept][np.abs(weights) > 1e-9].drop(_INTERCEPT, errors="ignore")
        found[name] = f"cannot be told from {', '.join(others)}" if len(others) else "constant"
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
    reposts, declines = (np.bincount(of_cell, cells[name]) for name in ("reposts", "declines"))
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
