"""From a run so far to its law: what the fits' own process does."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from mesa_llmspread._words import p_words
from mesa_llmspread.analysis.event_analysis import (
    CLOSURES,
    closure_curves,
    stochastic_curve,
    without_curve,
)
from mesa_llmspread.app.law import Curve, Law
from mesa_llmspread.data import SpreadData
from mesa_llmspread.exceptions import LLMSpreadError
from mesa_llmspread.inference import FitResult, compare, fit
from mesa_llmspread.inference.compare import candidates
from mesa_llmspread.inference.decisions import decisions_of
from mesa_llmspread.inference.diagnostics import goodness_of_fit, like_decisions
from mesa_llmspread.inference.findings import misfit
from mesa_llmspread.networks import Network
from mesa_llmspread.transmission import TransmissionLaw

__all__ = ["fit_law"]

# Its likelihood takes seconds where the others' take milliseconds.
_SLOW = "TwoClass"


def fit_law(data: SpreadData, network: Network, wanted: str = "", complete: bool = True) -> Law:
    """Fit the laws to a run and solve one of them.

    Parameters
    ----------
    data : SpreadData
        One run so far.
    network : Network
        Its network.
    wanted : str, optional
        The law to solve; the best one if not given.
    complete : bool, default True
        Whether to fit the laws, and make the checks, that take seconds.

    Returns
    -------
    Law
    """
    step = int(data.counts["step"].max())
    law, results = _compared(data) if complete else _ranked(data)
    if not results:
        return Law(step)
    chosen = results.get(wanted, next(iter(results.values())))
    law = replace(law, step=step, drawn=chosen.name, complete=complete)
    if chosen.law is None:
        return law
    curves = _curves(chosen.law, data, network)
    missing = without_curve(chosen.name, [curve.name for curve in curves])
    return replace(law, curves=tuple(curves), missing=missing)


def _compared(data: SpreadData) -> tuple[Law, Mapping[str, FitResult]]:
    """Compare all laws."""
    try:
        comparison = compare(data)
    except LLMSpreadError:
        return Law(), {}
    fits = dict(zip(comparison.results, comparison.table["fit_p_value"], strict=True))
    law = Law(
        rows=_rows(comparison.results, fits),
        verdict=comparison.verdict,
        warnings=comparison.warnings,
    )
    return law, comparison.results


def _ranked(data: SpreadData) -> tuple[Law, Mapping[str, FitResult]]:
    """Fit the laws that take no time, and put them in order."""
    results = []
    for name in candidates(data) if len(data.exposures) else ():
        # A law of which the decisions say nothing yet has no place in the order.
        with contextlib.suppress(LLMSpreadError):
            if name != _SLOW and (result := fit(data, name)).success:
                results.append(result)
    if not results:
        return Law(), {}
    results.sort(key=lambda result: result.bic)
    decisions = decisions_of(data.exposures)
    cells = like_decisions(decisions)
    fits = {each.name: goodness_of_fit(each, decisions, cells).p_value for each in results}
    best = results[0]
    wrong = misfit(best.name, fits)
    words = f"{wrong}; its estimates" if wrong else f"{best.name} describes it best"
    found = {result.name: result for result in results}
    return Law(verdict=f"{words}: {best.describe()}.", rows=_rows(found, fits)), found


def _curves(law: TransmissionLaw, data: SpreadData, network: Network) -> list[Curve]:
    """Solve and simulate a law."""
    n = network.n
    solved = closure_curves(law, data)
    curves = [Curve(name, (n * solved[name]).tolist()) for name in CLOSURES if name in solved]
    runs = stochastic_curve(law, data, network)
    if runs is not None:
        curves.append(_scaled("fitted model, 95 % of runs", runs, n))
    return curves


def _scaled(name: str, runs: pd.DataFrame, n: int) -> Curve:
    return Curve(name, *((n * runs[column]).tolist() for column in ("mean", "low", "high")))


def _rows(
    results: Mapping[str, FitResult], fit_p_values: Mapping[str, float]
) -> tuple[dict[str, str], ...]:
    """Put the laws, best first, into a table of text."""
    best = next(iter(results.values())).bic
    evidence = {name: np.exp((best - fit.bic) / 2) for name, fit in results.items()}
    return tuple(
        {
            "law": name,
            "rates": result.describe(),
            "dBIC": f"{result.bic - best:.0f}",
            "weight": f"{evidence[name] / sum(evidence.values()):.2f}",
            "fit": p_words(fit_p_values[name]),
        }
        for name, result in results.items()
    )
