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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mesa_llmspread._watchdog import end_with
from mesa_llmspread._words import p_words
from mesa_llmspread.exceptions import LLMSpreadError

if TYPE_CHECKING:
    from mesa_llmspread.data import SpreadData
    from mesa_llmspread.networks import Network

__all__ = ["Law", "fit_law", "submit"]

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
    drawn : str
        The law whose curves these are.
    curves : sequence of mapping
        ``name``, ``y`` (agents that have posted, from step 0) and, for the stochastic model,
        ``low`` and ``high`` (95 % of its runs).
    missing : str
        Which closures have no curve, in a sentence; "" if all have one.
    """

    step: int = 0
    rows: Sequence[Mapping[str, str]] = ()
    verdict: str = "Nothing is fitted yet: a law needs decisions, so take a step or two."
    warnings: Sequence[str] = ()
    drawn: str = ""
    curves: Sequence[Mapping[str, Any]] = ()
    missing: str = ""


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

    step = int(data.counts["step"].max())
    try:
        comparison = compare(data)
    except LLMSpreadError:
        return Law(step)
    rows = [
        {
            "law": row["law"],
            "rates with 95 % intervals (probability per contact or decision)": row["parameters"],
            "BIC above the best": f"{row['delta_bic']:.0f}",
            "weight": f"{row['weight']:.2f}",
            "goodness of fit": p_words(row["fit_p_value"]),
        }
        for row in comparison.table.to_dict("records")
    ]
    drawn = comparison.results.get(wanted, comparison.best)
    notes = (*comparison.warnings, *filter(None, [clustering_note(network)]))
    law = Law(step, rows, comparison.verdict, notes, drawn.name)
    if drawn.law is None:
        return law
    solved = network.n * closure_curves(drawn.law, data).set_index("step")
    curves: list[Mapping[str, Any]] = [
        {"name": name, "y": curve.tolist()} for name, curve in solved.items()
    ]
    runs = stochastic_curve(drawn.law, data, network)
    if runs is not None:
        y, low, high = (network.n * runs[name] for name in ("mean", "low", "high"))
        band = {"y": y.tolist(), "low": low.tolist(), "high": high.tolist()}
        curves.append({"name": "fitted model, 95 % of runs", **band})
    return replace(law, curves=curves, missing=without_curve(drawn.name, solved.columns))


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
