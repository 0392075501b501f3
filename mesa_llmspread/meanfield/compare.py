"""Which law describes the decisions best, in a table and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import chi2

from mesa_llmspread.data import SpreadData
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.meanfield.fit import FitResult, fit
from mesa_llmspread.meanfield.likelihood import decisions_of
from mesa_llmspread.transmission import Structure

__all__ = ["Comparison", "compare"]

# Differences in BIC that count as decisive (Kass & Raftery 1995, doi:10.2307/2291091).
_DECISIVE = 10.0

_NOUNS = {
    "alpha": "offline",
    "beta": "online",
    "beta_first": "first",
    "beta_repeat": "repeat",
    "beta_single": "one neighbour",
    "beta_multiple": "several",
    "beta_low": "low",
    "beta_high": "high",
    "share_high": "share of high",
}


@dataclass(frozen=True)
class Comparison:
    """Several laws fitted to the same decisions.

    Attributes
    ----------
    table : DataFrame
        One row a law, best first: ``structure, parameters`` (with intervals), ``n_params,
        loglik, aic, bic, delta_bic`` (to the best), ``weight`` (of evidence, from BIC).
    results : dict of str to FitResult
        The fits, by name.
    best : FitResult
        The one with the lowest BIC.
    verdict : str
        What the table says, in a sentence or two.
    """

    table: pd.DataFrame
    results: dict[str, FitResult]
    best: FitResult
    verdict: str


def candidates(data: SpreadData) -> list[str]:
    """List the laws that the decisions can tell apart.

    Latent classes and a rate a profile are always among them: without them, hidden
    differences between agents pass for social reinforcement.

    Parameters
    ----------
    data : SpreadData

    Returns
    -------
    list of str
    """
    decisions = decisions_of(data.exposures)
    names = ["SI", "FirstRepeat", "FirstRepeatStep", "SingleMultiple", "TwoClass"]
    if (decisions["cumulative"] != decisions["contacts"]).any():
        names.append("SingleMultipleCumulative")
    if decisions["profile"].nunique() > 1:
        names.append("ByProfile")
    if decisions["direct"].any():
        names.append("OnlineOffline")
    return names


def compare(
    data: SpreadData,
    structures: Sequence[str | type[Structure] | Structure] | None = None,
    *,
    level: float = 0.95,
) -> Comparison:
    """Fit several laws and rank them by BIC.

    Parameters
    ----------
    data : SpreadData
        One run or several.
    structures : sequence, optional
        The laws, as :func:`fit` takes them; by default all that the data can tell apart.
    level : float, default 0.95
        Coverage of the intervals.

    Returns
    -------
    Comparison

    Raises
    ------
    ArgumentError
        If there is no law to compare, or none that can produce the decisions.

    Notes
    -----
    BIC counts exposed decisions. Weights are ``exp(-delta / 2)``, made to sum to 1.

    Examples
    --------
    >>> from mesa_llmspread import SpreadData, SpreadModel
    >>> model = SpreadModel(n=400, decider="FirstRepeat(0.2, 0.04)", rng=1).run(60)
    >>> compare(SpreadData.from_model(model), ["SI", "FirstRepeat"]).best.structure
    'FirstRepeat'
    """
    wanted = candidates(data) if structures is None else list(structures)
    if not wanted:
        raise ArgumentError("structures", structures, "hold at least one law")
    fits = [fit(data, structure, level=level) for structure in wanted]
    results = {result.structure: result for result in sorted(fits, key=_rank)}
    best = next(iter(results.values()))
    if not best.success:
        raise ArgumentError(
            "structures", list(results), f"hold a law that can produce the data: {best.message}"
        )
    delta = np.array([result.bic - best.bic for result in results.values()])
    weight = np.exp(-delta / 2)
    table = pd.DataFrame(
        {
            "structure": list(results),
            "parameters": [result.describe() for result in results.values()],
            "n_params": [len(result.params) for result in results.values()],
            "loglik": [result.loglik for result in results.values()],
            "aic": [result.aic for result in results.values()],
            "bic": [result.bic for result in results.values()],
            "delta_bic": delta,
            "weight": weight / weight.sum(),
        }
    )
    return Comparison(table, results, best, _verdict(best, results))


def _rank(result: FitResult) -> tuple[bool, float]:
    """Put fits in order: those that worked, by BIC."""
    return not result.success, result.bic


def _verdict(best: FitResult, results: dict[str, FitResult]) -> str:
    """Say what the comparison found."""
    values = ", ".join(
        f"{_NOUNS[name]} {value:.3g} [{best.ci[name][0]:.3g}, {best.ci[name][1]:.3g}]"
        for name, value in best.params.items()
        if name in _NOUNS
    )
    if best.structure == "SI":
        opening = f"One rate is enough: {values.removeprefix('online ')}"
    elif best.structure == "ByProfile":
        opening = f"Personality matters: {best.describe()}"
    else:
        opening = f"Two rates are needed ({best.structure}): {values}"
    parts = [opening]
    simple = results.get("SI")
    if simple is not None and simple is not best and simple.success:
        gain = 2 * (best.loglik - simple.loglik)
        freedom = len(best.params) - len(simple.params)
        difference = simple.bic - best.bic
        word = "rejected" if difference > _DECISIVE else "less likely"
        # FirstRepeat per contact, classes and profiles contain SI; the per-step laws do not.
        nested = best.structure in ("FirstRepeat", "OnlineOffline", "ByProfile", "TwoClassKnown")
        p_value = max(float(chi2.sf(gain, freedom)), 1e-300)
        test = f", p {'<' if p_value <= 1e-300 else '='} {p_value:.2g}" if nested else ""
        parts.append(f"SI is {word} (BIC {difference:.0f} higher{test})")
    elif simple is not None and simple is not best:
        parts.append("SI is impossible")
    close = [
        result.structure
        for result in results.values()
        if result is not best and result.success and result.bic - best.bic < _DECISIVE
    ]
    if close:
        parts.append(f"{' and '.join(close)} cannot be ruled out")
    elif len(results) > 1:
        parts.append("no other law comes within 10 of its BIC")
    return "; ".join(parts) + "."
