"""Do the runs of a design, and keep each on disk as soon as it is done."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import pandas as pd

from mesa_llmspread._validation import checked_int
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    BudgetExceededError,
    DesignError,
    RunError,
    SweepBudgetError,
    UnknownNameError,
)
from mesa_llmspread.sweep.checks import Problem, failing, problems_of
from mesa_llmspread.sweep.design import Design
from mesa_llmspread.sweep.engines import Job, engine_law
from mesa_llmspread.sweep.language import (
    checked_options,
    decider_of,
    forget_deciders,
    has_models,
    with_store,
)
from mesa_llmspread.sweep.models import PLAIN, as_model, model_arguments, model_name
from mesa_llmspread.sweep.results import Sweep, load
from mesa_llmspread.sweep.storage import Folder
from mesa_llmspread.sweep.workers import outcomes_of

if TYPE_CHECKING:
    from distributed import Client

    from mesa_llmspread.model import SpreadModel

__all__ = [
    "Backend",
    "Engine",
    "OnError",
    "Progress",
    "resume",
    "run",
]

Backend = Literal["loky", "dask", "sequential"]
Engine = Literal["mesa", "ensemble"]
OnError = Literal["record", "raise"]
Progress = Literal["auto", "bar", "none"]


def run(
    design: Design,
    out: str | Path,
    *,
    model: type[SpreadModel] | str | None = None,
    backend: Backend = "loky",
    engine: Engine = "mesa",
    n_jobs: int = -1,
    on_error: OnError = "record",
    steps: int = 50,
    llm: Mapping[str, Any] | None = None,
    client: str | Client | None = None,
    progress: Progress = "auto",
) -> Sweep:
    """Do all runs of a design, and keep each on disk as soon as it is done.

    If the folder holds this sweep already, only what is missing or failed is done; the design
    may have got more values or replicates.

    Parameters
    ----------
    design : Design
    out : path-like
        Folder for the results: missing, empty, or that of this sweep.
    model : type of SpreadModel or str, optional
        A subclass of your own, or ``package.module:MyModel``; by default the design's. Parameters
        that only it has are allowed in a design that is made with it: ``Design(...,
        model=MyModel)``. What it shares with SpreadModel is recorded.
    backend : {"loky", "dask", "sequential"}, default "loky"
        Processes of this machine, a Dask cluster, or this process. The results are the same.
    engine : {"mesa", "ensemble"}, default "mesa"
        ``SpreadModel``, or for laws the compiled engine, which draws other random numbers and
        records counts only.
    n_jobs : int, default -1
        Number of processes; -1 for one a core. A cluster that is there brings its own number.
    on_error : {"record", "raise"}, default "record"
        Whether a run that raises is recorded and the others go on, or all stops.
    steps : int, default 50
        The largest number of steps of a run.
    llm : mapping, optional
        Arguments of :class:`~mesa_llmspread.deciders.LLMDecider` for every cell whose decider
        is ``"llm:MODEL"``, such as ``{"max_cost_usd": 5, "requests_per_minute": 600}``. They
        hold for the sweep as a whole: its runs share one store of calls (by default
        ``calls.sqlite`` in the folder) and so one budget, and each worker gets its part of
        what may be sent in a minute or at one time. Limits may change when the sweep goes on.
    client : str or distributed.Client, optional
        With ``backend="dask"``: the scheduler's address, or a client. By default a cluster is
        started on this machine, and stopped at the end.
    progress : {"auto", "bar", "none"}, default "auto"
        A bar on standard error; "auto" shows it on a terminal, and not in CI.

    Returns
    -------
    Sweep
        As :func:`~mesa_llmspread.sweep.load` gives it.

    Raises
    ------
    DesignError
        If the engine cannot do a cell, or a decider cannot answer; no run has started then.
    ArgumentError, ArgumentTypeError
        If the folder holds another sweep, or the model is no subclass of SpreadModel.
    OutputError
        If the folder holds something else, or a result cannot be written.
    RunError
        If a run failed and ``on_error="raise"``. What was done before is kept.
    SweepBudgetError
        If language models have used up ``max_calls`` or ``max_cost_usd``. Runs that were
        under way are missing then, but their calls are in the store.
    WorkerLostError
        If workers died again and again under the same run, or a cluster lost its scheduler.
        What was done is kept: start it again.

    Examples
    --------
    >>> import tempfile
    >>> design = Design({"n": 100, "decider": ["SI(0.05)", "SI(0.2)"]}, replicates=3, rng=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sweep = run(design, folder, backend="sequential")
    ...     sweep.runs["status"].tolist()
    ['done', 'done', 'done', 'done', 'done', 'done']
    """
    if not isinstance(design, Design):
        raise ArgumentTypeError("design", design, "a Design")
    _check_choices(backend=backend, engine=engine, on_error=on_error, progress=progress)
    _check_jobs(n_jobs)
    steps = checked_int("steps", steps, 0)
    kind = _checked_model(design, model, engine)
    options = checked_options(llm, design.cells)
    begun = Folder.there(out) is not None
    place = Path(out).resolve()
    existed = place.is_dir()
    _check_answerable(design.cells, engine, with_store(options, Path(out)), kind)
    folder = Folder.create(out, design, kind, engine, steps, options)
    try:
        return _finish(folder, kind, backend, n_jobs, on_error, client, progress)
    except ArgumentError:  # of the backend, before the first run
        if not begun and not any(place.glob("*/run-*")):
            shutil.rmtree(place)
            if existed:
                place.mkdir()
        raise


def resume(
    out: str | Path,
    *,
    model: type[SpreadModel] | str | None = None,
    backend: Backend = "loky",
    n_jobs: int = -1,
    on_error: OnError = "record",
    llm: Mapping[str, Any] | None = None,
    client: str | Client | None = None,
    progress: Progress = "auto",
) -> Sweep:
    """Go on with the sweep in a folder: do what is missing or failed.

    Parameters
    ----------
    out : path-like
        Folder of a sweep that was begun; it knows its design, engine and steps.
    model : type of SpreadModel or str, optional
        The sweep's, where it cannot be imported by the name that the folder keeps.
    backend, n_jobs, on_error, client, progress
        As for :func:`run`; they may be others than before.
    llm : mapping, optional
        Limits of language models that are to be others than before, such as
        ``{"max_calls": 20_000}``.

    Returns
    -------
    Sweep

    Raises
    ------
    InputFileError
        If the folder holds no sweep.
    ArgumentError, DesignError, OutputError, RunError, SweepBudgetError, WorkerLostError
        As :func:`run`.
    """
    _check_choices(backend=backend, on_error=on_error, progress=progress)
    _check_jobs(n_jobs)
    folder = Folder(out)
    design, engine, steps = folder.design, folder.manifest["engine"], folder.manifest["steps"]
    kind = as_model(design.model if model is None else model)
    if model_name(kind) != design.model:
        raise ArgumentError("model", model_name(kind), f"be {design.model}, as in {out}")
    options = checked_options({**folder.manifest["llm"], **(llm or {})}, design.cells)
    if (folder.status()["status"] != "done").any():
        _check_answerable(design.cells, engine, with_store(options, folder.path), kind)
    if has_models(design.cells):
        folder = Folder.create(out, design, kind, engine, steps, options)
    return _finish(folder, kind, backend, n_jobs, on_error, client, progress)


def _check_choices(**given: str) -> None:
    """See that each argument is one of its choices."""
    choices = {"backend": Backend, "engine": Engine, "on_error": OnError, "progress": Progress}
    for name, value in given.items():
        if value not in get_args(choices[name]):
            raise UnknownNameError(name, value, get_args(choices[name]))


def _check_jobs(n_jobs: Any) -> None:
    """See that a number of processes is one."""
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, Integral) or n_jobs == 0:
        raise ArgumentError("n_jobs", n_jobs, "be a whole number other than 0")


def _checked_model(
    design: Design, model: type[SpreadModel] | str | None, engine: str
) -> type[SpreadModel]:
    """Find the model of a sweep, and see that it takes the design's parameters."""
    kind = as_model(design.model if model is None else model)
    made_for = model_name(design.model)
    if model_name(kind) != made_for:
        if made_for != PLAIN:
            raise ArgumentError("model", model_name(kind), f"be the design's, {made_for}")
        if problems := problems_of(design.cells, kind):
            raise DesignError(problems)
    if engine == "ensemble" and model_name(kind) != PLAIN:
        raise ArgumentError(
            "engine", engine, f"be 'mesa' with {kind.__name__}: it is a model of your own"
        )
    return kind


def _check_answerable(
    cells: pd.DataFrame, engine: str, llm: Mapping[str, Any], model: type[SpreadModel]
) -> None:
    """See that the engine knows every cell's law, or that every decider can answer."""
    from mesa_llmspread.deciders import as_decider

    rates = [name for name in map(str, cells.columns) if name not in model_arguments(model)]
    problems = []
    if engine == "mesa":

        def check(arguments: dict[str, Any]) -> None:
            as_decider(decider_of(arguments["decider"], llm)).check()

        if "decider" in cells:
            problems = failing(cells, ["decider", *rates], check)
        forget_deciders()
    elif "decider" in cells:
        problems = failing(cells, ["decider", "media_prob", *rates], engine_law)
    else:
        problems = [Problem("decider", "must be given, as a law, for engine='ensemble'")]
    if problems:
        raise DesignError(problems)


def _finish(
    folder: Folder,
    model: type[SpreadModel],
    backend: str,
    n_jobs: int,
    on_error: str,
    client: Any,
    progress: str,
) -> Sweep:
    """Do what is missing or failed in a folder."""
    from tqdm import tqdm

    folder.tidy()
    status = folder.status()
    todo = status[status["status"] != "done"]
    names, engine, steps = (
        folder.design.parameters,
        folder.manifest["engine"],
        folder.manifest["steps"],
    )
    jobs = (
        Job(int(row["run"]), {name: row[name] for name in names}, int(row["rng"]), steps, engine)
        for row in todo.to_dict("records")
    )
    models = has_models(folder.design.cells)
    llm = with_store(folder.manifest["llm"], folder.path) if models else None
    quiet = progress == "none" or (
        progress == "auto" and (bool(os.environ.get("CI")) or not sys.stderr.isatty())
    )
    bar = tqdm(total=len(todo), desc="runs", unit="run", disable=quiet, file=sys.stderr)
    failed = 0
    halt: BudgetExceededError | None = None
    with (
        bar,
        contextlib.closing(outcomes_of(jobs, backend, n_jobs, client, llm, model)) as outcomes,
    ):
        for outcome in outcomes:
            if outcome.halt is not None:
                halt = outcome.halt
                continue
            folder.save(outcome)
            bar.update()
            if outcome.failure is not None:
                failed += 1
                bar.set_postfix(failed=failed)
                if on_error == "raise":
                    row = status.iloc[[outcome.run]].to_dict("records")[0]
                    cell = {name: row[name] for name in names}
                    raise RunError(outcome.run, cell, outcome.failure.error)
    sweep = load(folder.path)
    if halt is not None:
        raise SweepBudgetError(halt, folder.path, len(sweep.done), len(sweep.runs))
    return sweep
