"""The law fitted to a run so far, and its curve under every closure."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from mesa_llmspread.analysis import CLOSURES, closure_curves, stochastic_curve
from mesa_llmspread.data import SpreadData
from mesa_llmspread.exceptions import LLMSpreadError
from mesa_llmspread.meanfield import FitResult, compare, fit
from mesa_llmspread.meanfield.compare import candidates
from mesa_llmspread.networks import Network
from mesa_llmspread.transmission import Structure

__all__ = ["Curve", "Law", "fit_law", "rows"]

# Its likelihood takes seconds where the others' take milliseconds.
_SLOW = "TwoClass"


@dataclass(frozen=True)
class Curve:
    """Agents that have posted, step by step, as a law has it.

    Attributes
    ----------
    name : str
        The closure, or the stochastic model.
    infected : list of float
        Agents, from step 0.
    low, high : list of float
        95 % of the stochastic model's runs; empty for a closure.
    """

    name: str
    infected: list[float]
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Law:
    """What has been fitted.

    Attributes
    ----------
    step : int
        The last step it knows of.
    results : dict of str to FitResult
        The laws that were fitted, best first; empty where none could be.
    verdict : str
        What they say, in words.
    warnings : tuple of str
        What may have misled them, sentence by sentence.
    drawn : str
        The law whose curves these are.
    curves : tuple of Curve
        Its curves.
    complete : bool
        Whether every law took part, and every check.
    """

    step: int = 0
    results: Mapping[str, FitResult] = field(default_factory=dict)
    verdict: str = "Nothing is fitted yet: a law needs decisions, so take a step or two."
    warnings: tuple[str, ...] = ()
    drawn: str = ""
    curves: tuple[Curve, ...] = ()
    complete: bool = False


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
    law = _compared(data) if complete else _ranked(data)
    if not law.results:
        return Law(step)
    chosen = law.results.get(wanted, next(iter(law.results.values())))
    curves = () if chosen.fitted is None else tuple(_curves(chosen.fitted, data, network))
    return replace(law, step=step, drawn=chosen.structure, curves=curves, complete=complete)


def _compared(data: SpreadData) -> Law:
    """Compare all laws."""
    try:
        comparison = compare(data)
    except LLMSpreadError:
        return Law()
    return Law(results=comparison.results, verdict=comparison.verdict, warnings=comparison.warnings)


def _ranked(data: SpreadData) -> Law:
    """Fit the laws that take no time, and put them in order."""
    results = []
    for name in candidates(data) if len(data.exposures) else ():
        # A law of which the decisions say nothing yet has no place in the order.
        with contextlib.suppress(LLMSpreadError):
            if name != _SLOW and (result := fit(data, name)).success:
                results.append(result)
    if not results:
        return Law()
    results.sort(key=lambda result: result.bic)
    verdict = f"{results[0].structure} describes it best: {results[0].describe()}."
    return Law(results={result.structure: result for result in results}, verdict=verdict)


def _curves(structure: Structure, data: SpreadData, network: Network) -> list[Curve]:
    """Solve and simulate a law."""
    n = network.n
    solved = closure_curves(structure, data)
    curves = [Curve(name, (n * solved[name]).tolist()) for name in CLOSURES if name in solved]
    runs = stochastic_curve(structure, data, network)
    if runs is not None:
        curves.append(_scaled("fitted model, 95 % of runs", runs, n))
    return curves


def _scaled(name: str, runs: pd.DataFrame, n: int) -> Curve:
    return Curve(name, *((n * runs[column]).tolist() for column in ("mean", "low", "high")))


def rows(law: Law) -> list[dict[str, str]]:
    """Give the table of laws as text, best first.

    Parameters
    ----------
    law : Law

    Returns
    -------
    list of dict
        ``law``, ``rates``, ``dBIC`` (to the best) and ``weight`` (of evidence, from BIC).
    """
    best = next(iter(law.results.values())).bic
    evidence = {name: np.exp((best - fit.bic) / 2) for name, fit in law.results.items()}
    return [
        {
            "law": name,
            "rates": result.describe(),
            "dBIC": f"{result.bic - best:.0f}",
            "weight": f"{evidence[name] / sum(evidence.values()):.2f}",
        }
        for name, result in law.results.items()
    ]
