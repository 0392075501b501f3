"""The law of a run so far, fitted away from the steps in a process of its own.

A fit takes a hundred times as long as a step, and in the same process it would delay every
visitor's clicks. So all visitors share one process that does nothing else, and the
libraries that fits need are loaded there only.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mesa_llmspread._watchdog import end_with
from mesa_llmspread._words import p_words
from mesa_llmspread.exceptions import LLMSpreadError

if TYPE_CHECKING:
    from mesa_llmspread.data import SpreadData
    from mesa_llmspread.networks import Network

__all__ = ["Law", "fit_law", "submit"]

#: A law with more rates (one per profile) is shown without a list of them.
MOST_RATES = 6

# The process ends when it has had nothing to do for this long.
_IDLE_SECONDS = 900


@dataclass(frozen=True)
class Law:
    """The laws fitted to a run so far, as plain values.

    Attributes
    ----------
    step : int
        The last step that was fitted.
    rows : sequence of dict of str to str
        The laws that were fitted, best first, as text under the headings of a table; empty
        where none could be fitted.
    verdict : str
        What the comparison of the laws found, in words.
    warnings : sequence of str
        What may mislead, sentence by sentence.
    best : str
        The best law.
    drawn : str
        The law whose curves these are.
    rates : sequence of mapping
        Its rates: ``name``, ``label`` (what it is the probability of), ``value`` and ``interval``
        (95 %), as text.
    equation : str
        The probability of a post under it, as an equation; "" if it has none here.
    curves : sequence of mapping
        ``name``, ``y`` (agents that have posted, from step 0), ``closure`` (whether it is one
        of the equations' curves) and, for the stochastic model, ``low`` and ``high`` (95 % of its
        runs).
    missing : str
        Which closures have no curve, in a sentence; "" if all have one.
    by_trait, by_profile : mapping
        Repost rates by group ("openness low") and by profile code; of each group that has decided:
        ``decisions``, ``rate``, ``low`` and ``high``.
    """

    step: int = 0
    rows: Sequence[Mapping[str, str]] = ()
    verdict: str = "Nothing is fitted yet: a law needs decisions, so take a step or two."
    warnings: Sequence[str] = ()
    best: str = ""
    drawn: str = ""
    rates: Sequence[Mapping[str, str]] = ()
    equation: str = ""
    curves: Sequence[Mapping[str, Any]] = ()
    missing: str = ""
    by_trait: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    by_profile: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def fit_law(data: SpreadData, network: Network, wanted: str = "") -> Law:
    """Fit the laws to a run and solve one of them.

    Parameters
    ----------
    data : SpreadData
        One run so far.
    network : Network
        Its network.
    wanted : str, optional
        The law to solve; the best one if not given.

    Returns
    -------
    Law
    """
    from mesa_llmspread.analysis.event_analysis import (
        closure_curves,
        stochastic_curve,
        without_curve,
    )
    from mesa_llmspread.inference import compare
    from mesa_llmspread.meanfield.on_network import clustering_note
    from mesa_llmspread.reporting.law_words import formula

    law = Law(
        step=int(data.counts["step"].max()),
        by_trait=_repost_rates(data, "trait"),
        by_profile=_repost_rates(data, "profile"),
    )
    try:
        comparison = compare(data)
    except LLMSpreadError as error:
        # Before the first decision, the law says itself what is missing.
        return replace(law, verdict=f"Nothing is fitted: {error}.") if len(data.exposures) else law
    rows = [
        {
            "law": row["law"],
            "BIC above the best": f"{row['delta_bic']:.0f}",
            "weight": f"{row['weight']:.2f}",
            "goodness of fit": p_words(row["fit_p_value"]),
            "parameters with 95 % intervals": row["parameters"],
        }
        for row in comparison.table.to_dict("records")
    ]
    drawn = comparison.results.get(wanted, comparison.best)
    best = comparison.best.name
    law = replace(
        law,
        rows=rows,
        verdict=comparison.verdict,
        warnings=(*comparison.warnings, *filter(None, [clustering_note(network)])),
        best=best,
        drawn=drawn.name,
    )
    if drawn.law is None:
        return law
    solved = network.n * closure_curves(drawn.law, data).set_index("step")
    curves: list[Mapping[str, Any]] = [
        {"name": name, "y": curve.tolist(), "closure": True} for name, curve in solved.items()
    ]
    runs = stochastic_curve(drawn.law, data, network)
    if runs is not None:
        y, low, high = (network.n * runs[name] for name in ("mean", "low", "high"))
        band = {"y": y.tolist(), "low": low.tolist(), "high": high.tolist(), "closure": False}
        curves.insert(0, {"name": f"fitted law: {drawn.name}", **band})
    labels = drawn.law.labels
    return replace(
        law,
        rates=[
            {
                "name": name,
                "label": labels.get(name, name),
                "value": f"{value:.3g}",
                "interval": "{:.3g} to {:.3g}".format(*drawn.ci[name]),
            }
            for name, value in drawn.params.items()
            if len(drawn.params) <= MOST_RATES
        ],
        equation=formula(drawn),
        curves=curves,
        missing=without_curve(drawn.name, solved.columns),
    )


def _repost_rates(data: SpreadData, by: str) -> dict[Any, dict[str, float]]:
    """Return repost rates with their intervals by group, as plain values."""
    from mesa_llmspread.analysis.descriptive import repost_rates

    columns = ["decisions", "rate", "low", "high"]
    if not len(data.exposures):
        return {}
    rates: dict[Any, dict[str, float]] = (
        repost_rates(data, by).set_index("group")[columns].T.to_dict()
    )
    return rates


def submit(*what: Any) -> Future[Law]:
    """Start a fit in the process that all visitors share.

    Parameters
    ----------
    *what
        As :func:`fit_law` takes them.

    Returns
    -------
    Future of Law
    """
    try:
        return _process().submit(fit_law, *what)
    except RuntimeError:  # it has died
        _process.cache_clear()
        return _process().submit(fit_law, *what)


@functools.cache
def _process() -> Any:
    # Not loky's reusable one, which joblib, and so a sweep in this process, takes for its own.
    from joblib.externals.loky import ProcessPoolExecutor

    return ProcessPoolExecutor(
        1, timeout=_IDLE_SECONDS, initializer=_begin, initargs=(os.getpid(),)
    )


def _begin(server: int) -> None:
    """Leave the processor to steps and pages first, and end when the server does."""
    if hasattr(os, "nice"):
        os.nice(10)
    end_with(server)
