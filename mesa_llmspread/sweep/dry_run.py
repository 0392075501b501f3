"""What the language models of a sweep will take, before anything is spent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mesa_llmspread._validation import checked_int
from mesa_llmspread.deciders.llm.cost_estimate import CostEstimate as Estimate
from mesa_llmspread.deciders.llm.cost_estimate import total
from mesa_llmspread.exceptions import ArgumentTypeError
from mesa_llmspread.sweep.checks import arguments_of
from mesa_llmspread.sweep.design import Design
from mesa_llmspread.sweep.language import checked_options, decider_of, forget_deciders
from mesa_llmspread.sweep.models import as_model, model_arguments
from mesa_llmspread.sweep.storage import Folder

if TYPE_CHECKING:
    from mesa_llmspread.deciders import LLMDecider

__all__ = ["DryRun", "dry_run", "dry_run_of_rest"]


@dataclass(frozen=True)
class DryRun:
    """What a sweep's language models are expected to take, and the most they can take.

    Attributes
    ----------
    cells : DataFrame
        One row a cell in which a language model decides: ``cell``, the design's parameters,
        ``runs``, and for these runs together the fields of ``total``.
    total : Estimate
        Of the whole sweep; a cost is None where the price of a model is unknown.
    runs : int
        Runs with a language model.
    """

    cells: pd.DataFrame
    total: Estimate
    runs: int

    def __str__(self) -> str:
        if not self.runs:
            return "no language model is asked"
        return f"{self.runs:,} runs with a language model: {self.total}"


def dry_run(
    design: Design, *, steps: int = 50, llm: Mapping[str, Any] | None = None, **assumptions: Any
) -> DryRun:
    """Say what a sweep's language models will take; nothing is asked of them.

    Parameters
    ----------
    design : Design
    steps, llm
        As for :func:`~mesa_llmspread.sweep.run`.
    **assumptions
        ``chance``: see :func:`mesa_llmspread.deciders.llm.cost_estimate.estimate`.

    Returns
    -------
    DryRun

    Raises
    ------
    ArgumentError
        If an option is not allowed.

    Notes
    -----
    All runs of the design are counted, and all of their calls: those that a store would answer
    are free, and there are so many fewer to pay. The limits of ``llm`` are not applied: a
    budget smaller than this ends the sweep before it is done.

    Examples
    --------
    >>> from mesa_llmspread.sweep import Design
    >>> design = Design({"n": 100, "decider": ["llm:openai/tiny", "SI(0.1)"]}, replicates=3)
    >>> found = dry_run(design, steps=10)
    >>> found.runs, found.total.calls, found.total.most_calls
    (3, 1953, 15000)
    """
    if not isinstance(design, Design):
        raise ArgumentTypeError("design", design, "a Design")
    options = checked_options(llm, design.cells)
    return _dry_run(design, design.table, steps, options, assumptions)


def dry_run_of_rest(
    out: str | Path, llm: Mapping[str, Any] | None = None, design: Design | None = None
) -> DryRun:
    """Say what is left to take for the sweep in a folder; see :func:`dry_run`.

    Parameters
    ----------
    out : path-like
        Folder of a sweep that was begun.
    llm : mapping, optional
        As for :func:`~mesa_llmspread.sweep.resume`.
    design : Design, optional
        What the sweep's design is to become, if it grows.

    Returns
    -------
    DryRun
        Runs that are done do not count. Of the others all calls do, as above.
    """
    folder = Folder(out)
    whole = folder.design if design is None else design.added_to(folder.design)
    status = folder.status(whole)
    options = checked_options({**folder.manifest["llm"], **(llm or {})}, whole.cells)
    left = status[status["status"] != "done"]
    return _dry_run(whole, left, folder.manifest["steps"], options, {})


def _dry_run(
    design: Design,
    table: pd.DataFrame,
    steps: int,
    options: Mapping[str, Any],
    assumptions: Mapping[str, Any],
) -> DryRun:
    """Say what some runs, as rows of a design's table, will take."""
    from mesa_llmspread.deciders import LLMDecider

    parameters, model = design.parameters, as_model(design.model)
    steps = checked_int("steps", steps, 0)
    names = [field.name for field in fields(Estimate)]
    rows, estimates = [], []
    for number, runs in table.groupby("cell"):
        cell = {name: runs[name].tolist()[0] for name in parameters}
        arguments = {**model_arguments(), **model_arguments(model), **arguments_of(cell, model)}
        decider = decider_of(arguments["decider"], {**options, "store": os.devnull})
        if isinstance(decider, LLMDecider):
            one = _estimate(decider, arguments, steps, assumptions)
            estimates.append(total([one] * len(runs)))
            rows.append({"cell": number, **cell, "runs": len(runs), **vars(estimates[-1])})
    forget_deciders()
    cells = pd.DataFrame(rows, columns=["cell", *parameters, "runs", *names])
    return DryRun(cells, total(estimates), sum(row["runs"] for row in rows))


def _estimate(
    decider: LLMDecider, arguments: Mapping[str, Any], steps: int, assumptions: Mapping[str, Any]
) -> Estimate:
    """Estimate one run of a cell."""
    from mesa_llmspread.events import bundled_events, get_event

    if steps == 0:
        return Estimate(0, 0, 0, 0, 0, 0, 0.0, 0.0)
    n, event = arguments["n"], arguments["event"]
    given = {
        "event": bundled_events()[0] if event is None else get_event(event),
        "profiles": n if arguments["population"] == "continuous" else 32,
        **assumptions,
    }
    usual = decider.estimate(n, steps, k=max(1, arguments["k"]), **given)
    # Where degrees differ, the most that an agent can see is more than k.
    regular = arguments["network"] == "random_regular"
    worst = usual if regular else decider.estimate(n, steps, k=max(1, n - 1), **given)
    most = {name: getattr(worst, name) for name in vars(worst) if name.startswith("most_")}
    return Estimate(**{**vars(usual), **most})
