"""The calls and the cost of a sweep's language models, estimated before anything is spent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mesa_llmspread._validation import checked_int
from mesa_llmspread._words import counted
from mesa_llmspread.deciders import LLMDecider
from mesa_llmspread.deciders.llm.cost_estimate import CostEstimate, total
from mesa_llmspread.events import as_event
from mesa_llmspread.exceptions import ArgumentTypeError
from mesa_llmspread.sweep.arguments import arguments_of, as_model, model_arguments
from mesa_llmspread.sweep.design import Design
from mesa_llmspread.sweep.language import checked_options, decider_of, forget_deciders
from mesa_llmspread.sweep.results import Sweep
from mesa_llmspread.sweep.storage import run_states

__all__ = ["DryRun", "dry_run"]


@dataclass(frozen=True)
class DryRun:
    """The expected calls and cost of a sweep's language models, and the most they can be.

    Attributes
    ----------
    cells : DataFrame
        One row per cell in which a language model decides: ``cell``, the design's parameters,
        ``runs``, and for these runs together the fields of ``total``.
    total : CostEstimate
        Of the whole sweep; a cost is None where the price of a model is unknown.
    runs : int
        Runs with a language model.
    """

    cells: pd.DataFrame
    total: CostEstimate
    runs: int

    def __str__(self) -> str:
        if not self.runs:
            return "no language model is asked"
        return f"{counted(self.runs, 'run')} with a language model: {self.total}"


def dry_run(
    design: Design,
    *,
    out: str | Path | None = None,
    steps: int = 50,
    llm: Mapping[str, Any] | None = None,
    **assumptions: Any,
) -> DryRun:
    """Estimate the calls and the cost of a sweep's language models; nothing is asked of them.

    Parameters
    ----------
    design : Design
    out : path-like, optional
        Folder of a sweep that was begun, and that the design is of or grows: only runs that
        are not done count. Its own steps and options hold; ``llm`` changes limits.
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
    All calls of a run are counted; those that a store would answer are free, and are not
    subtracted. The limits of ``llm`` are not applied: a smaller budget ends the sweep before it
    is done.

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
    steps = checked_int("steps", steps, 0)
    table = design.table
    if out is not None:
        sweep = Sweep(out)
        steps, llm = sweep.manifest["steps"], {**sweep.manifest["llm"], **(llm or {})}
        states = run_states(sweep.path, design.added_to(sweep.design).table)
        table = states[states["status"] != "done"]
    model, options = as_model(design.model), checked_options(llm, design.cells)
    rows, estimates = [], []
    for number, runs in table.groupby("cell"):
        cell = {name: runs[name].tolist()[0] for name in design.parameters}
        arguments = {**model_arguments(), **model_arguments(model), **arguments_of(cell, model)}
        decider = decider_of(arguments["decider"], {**options, "store": os.devnull})
        if isinstance(decider, LLMDecider) and steps > 0:
            one = _estimate(decider, arguments, steps, assumptions)
            estimates.append(total([one] * len(runs)))
            rows.append({"cell": number, **cell, "runs": len(runs), **vars(estimates[-1])})
    forget_deciders()
    names = [field.name for field in fields(CostEstimate)]
    cells = pd.DataFrame(rows, columns=["cell", *design.parameters, "runs", *names])
    return DryRun(cells, total(estimates), sum(row["runs"] for row in rows))


def _estimate(
    decider: LLMDecider, arguments: Mapping[str, Any], steps: int, assumptions: Mapping[str, Any]
) -> CostEstimate:
    """Estimate one run of a cell."""
    n, k, regular = arguments["n"], arguments["k"], arguments["network"] == "random_regular"
    given = {
        "event": as_event(arguments["event"]),
        "profiles": n if arguments["population"] == "continuous" else 32,
        **assumptions,
    }
    usual = decider.estimate(n, steps, k=max(1, k), **given)
    # Where degrees differ, the most that an agent can see is more than k.
    worst = usual if regular else decider.estimate(n, steps, k=max(1, n - 1), **given)
    most = {name: value for name, value in vars(worst).items() if name.startswith("most_")}
    return replace(usual, **most)
