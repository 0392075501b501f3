"""Do the runs of a design, each kept on disk when it is done, or estimate what they will cost."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import pandas as pd
from tqdm import tqdm

from mesa_llmspread import exceptions
from mesa_llmspread._validation import check_name, checked_int
from mesa_llmspread._words import counted
from mesa_llmspread.deciders import LLMDecider, as_decider
from mesa_llmspread.deciders.llm.cost_estimate import CostEstimate, total
from mesa_llmspread.events import as_event
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError
from mesa_llmspread.model import SpreadModel
from mesa_llmspread.sweep import arguments, language
from mesa_llmspread.sweep.arguments import model_arguments, model_name
from mesa_llmspread.sweep.design import Design
from mesa_llmspread.sweep.engines import Job, compiled_law
from mesa_llmspread.sweep.results import Sweep
from mesa_llmspread.sweep.storage import begin, run_states, save_outcome, tidy
from mesa_llmspread.sweep.workers import workers

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["DryRun", "dry_run", "resume", "run"]

Backend = Literal["loky", "dask", "sequential"]
Engine = Literal["mesa", "compiled"]
OnError = Literal["record", "raise"]
Progress = Literal["auto", "bar", "none"]


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
    may have more values or replicates than before.

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
    engine : {"mesa", "compiled"}, default "mesa"
        ``SpreadModel``, or for laws the compiled engine, which draws other random numbers and
        records counts only.
    n_jobs : int, default -1
        Number of processes; -1 for one per core. A cluster that is there brings its own number.
    on_error : {"record", "raise"}, default "record"
        Whether a run that raises is recorded and the others go on, or all stops.
    steps : int, default 50
        The largest number of steps of a run.
    llm : mapping, optional
        Arguments of :class:`~mesa_llmspread.deciders.LLMDecider` for every cell whose decider
        is ``"llm:MODEL"``, such as ``{"max_cost_usd": 5, "requests_per_minute": 600}``. They
        hold for the sweep as a whole: its runs share one store of calls (by default
        ``calls.sqlite`` in the folder) and so one budget, and each worker has its share of
        what may be sent in a minute or at one time. Limits may change when the sweep goes on.
    client : str or distributed.Client, optional
        With ``backend="dask"``: the scheduler's address, or a client. By default a cluster is
        started on this machine, and stopped at the end.
    progress : {"auto", "bar", "none"}, default "auto"
        A bar on standard error; "auto" shows it on a terminal, and not in CI.

    Returns
    -------
    Sweep
        As :func:`~mesa_llmspread.sweep.load` returns it.

    Raises
    ------
    DesignError
        If the engine cannot do a cell, or a decider cannot answer; no run has started then.
    ArgumentError, ArgumentTypeError
        If the folder holds another sweep, or the model is not a subclass of SpreadModel.
    OutputError
        If the folder holds something else, or a result cannot be written.
    RunError
        If a run failed and ``on_error="raise"``. What was done before is kept.
    SweepBudgetError
        If language models have used up ``max_calls`` or ``max_cost_usd``. Runs that were
        under way are missing then, but their calls are in the store.
    WorkerLostError
        If a worker died, or a cluster lost its scheduler; it names the runs that were under
        way. What was done is kept: :func:`resume`.

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
    check_name("backend", backend, get_args(Backend))
    check_name("engine", engine, get_args(Engine))
    check_name("on_error", on_error, get_args(OnError))
    check_name("progress", progress, get_args(Progress))
    if checked_int("n_jobs", n_jobs, -(2**31)) == 0:
        raise ArgumentError("n_jobs", n_jobs, "be a whole number other than 0")
    out, steps = Path(out), checked_int("steps", steps, 0)
    kind = _checked_model(design, model, engine)
    options = language.checked_options(llm, design.cells)
    _check_deciders(design.cells, engine, language.with_store(options, out), kind)
    asks = bool(language.models_of(design.cells))
    with workers(backend, n_jobs, client, kind, asks) as outcomes_of:
        begin(out, design, model=model_name(kind), engine=engine, steps=steps, llm=options)
        return _finish(Sweep(out), outcomes_of, on_error, progress)


def resume(
    out: str | Path,
    *,
    model: type[SpreadModel] | str | None = None,
    llm: Mapping[str, Any] | None = None,
    **options: Any,
) -> Sweep:
    """Go on with the sweep in a folder: do what is missing or failed.

    Parameters
    ----------
    out : path-like
        Folder of a sweep that was begun; it holds its design, engine and steps.
    model : type of SpreadModel or str, optional
        The sweep's, where it cannot be imported by the name that the folder holds.
    llm : mapping, optional
        Limits of language models that are to be others than before, such as
        ``{"max_calls": 20_000}``.
    **options
        ``backend``, ``n_jobs``, ``on_error``, ``client`` and ``progress``, as for :func:`run`;
        they may be others than before.

    Returns
    -------
    Sweep

    Raises
    ------
    InputFileError
        If the folder holds no sweep, or one of another format.
    ArgumentError, DesignError, OutputError, RunError, SweepBudgetError, WorkerLostError
        As :func:`run`.
    """
    sweep = Sweep(out)
    kept = {name: sweep.manifest[name] for name in ("engine", "steps")}
    llm = {**sweep.manifest["llm"], **(llm or {})}
    return run(sweep.design, out, model=model, llm=llm, **kept, **options)


def _checked_model(
    design: Design, model: type[SpreadModel] | str | None, engine: str
) -> type[SpreadModel]:
    """Return the model of a sweep, which must allow the design's parameters."""
    kind = arguments.as_model(design.model if model is None else model)
    made_for = model_name(design.model)
    if model_name(kind) != made_for:
        if made_for != model_name(SpreadModel):
            raise ArgumentError("model", model_name(kind), f"be the design's, {made_for}")
        if problems := arguments.problems_of(design.cells, kind):
            raise exceptions.DesignError(problems)
    if engine == "compiled" and kind is not SpreadModel:
        allowed = f"be 'mesa' with {kind.__name__}, which is a model of your own"
        raise ArgumentError("engine", engine, allowed)
    return kind


def _check_deciders(
    cells: pd.DataFrame, engine: str, llm: Mapping[str, Any], model: type[SpreadModel]
) -> None:
    """Validate that the engine has every cell's law, or that every decider can answer."""
    known = model_arguments(model)
    if "decider" not in cells:
        if "decider" not in known:
            return
        cells = cells.assign(decider=known["decider"])

    def check(given: dict[str, Any]) -> None:
        if engine == "compiled":
            compiled_law(given)
        else:
            as_decider(language.decider_of(given["decider"], llm)).check()

    columns = ["decider", "media_prob", *(str(name) for name in cells if name not in known)]
    problems = arguments.failing(cells, columns, check)
    language.forget_deciders()
    if problems:
        raise exceptions.DesignError(problems)


def _finish(sweep: Sweep, outcomes_of: Any, on_error: str, progress: str) -> Sweep:
    """Do what is missing or failed in a sweep."""
    runs, manifest = sweep.runs, sweep.manifest
    tidy(sweep.path, runs.loc[runs["status"] == "damaged", "run"].tolist())
    jobs = {}
    for row in runs[runs["status"] != "done"].to_dict("records"):
        cell = {name: row[name] for name in sweep.design.parameters}
        jobs[row["run"]] = Job(row["run"], cell, row["rng"], manifest["steps"], manifest["engine"])
    # None: the bar is shown on a terminal only.
    hidden = {"none": True, "bar": False, "auto": bool(os.environ.get("CI")) or None}[progress]
    llm = language.with_store(manifest["llm"], sweep.path)
    llm = language.with_servers(llm, language.models_of(sweep.design.cells))
    outcomes = outcomes_of(list(jobs.values()), llm)
    failed, halt = 0, None
    with (
        tqdm(total=len(jobs), desc="runs", unit="run", disable=hidden, file=sys.stderr) as bar,
        contextlib.closing(outcomes),
    ):
        for outcome in outcomes:
            if outcome.halt is not None:
                halt = outcome.halt
                continue
            save_outcome(sweep.path, outcome)
            bar.update()
            if outcome.error:
                failed += 1
                bar.set_postfix(failed=failed)
                if on_error == "raise":
                    raise exceptions.RunError(outcome.run, jobs[outcome.run].cell, outcome.error)
    sweep = Sweep(sweep.path)
    if halt is not None:
        raise exceptions.SweepBudgetError(halt, sweep.path, len(sweep.done), len(sweep.runs))
    return sweep


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
    model, options = arguments.as_model(design.model), language.checked_options(llm, design.cells)
    rows, estimates = [], []
    for number, runs in table.groupby("cell"):
        cell = {name: runs[name].tolist()[0] for name in design.parameters}
        given = {**model_arguments(), **model_arguments(model)}
        given |= arguments.arguments_of(cell, model)
        decider = language.decider_of(given["decider"], {**options, "store": os.devnull})
        if isinstance(decider, LLMDecider) and steps > 0:
            one = _estimate(decider, given, steps, assumptions)
            estimates.append(total([one] * len(runs)))
            rows.append({"cell": number, **cell, "runs": len(runs), **vars(estimates[-1])})
    language.forget_deciders()
    names = [field.name for field in fields(CostEstimate)]
    cells = pd.DataFrame(rows, columns=["cell", *design.parameters, "runs", *names])
    return DryRun(cells, total(estimates), sum(row["runs"] for row in rows))


def _estimate(
    decider: LLMDecider, given: Mapping[str, Any], steps: int, assumptions: Mapping[str, Any]
) -> CostEstimate:
    """Estimate one run of a cell, from the arguments of its model."""
    n, k, regular = given["n"], given["k"], given["network"] == "random_regular"
    options = {
        "event": as_event(given["event"]),
        "profiles": n if given["population"] == "continuous" else 32,
        **assumptions,
    }
    usual = decider.estimate(n, steps, k=max(1, k), **options)
    # Where degrees differ, the most that an agent can see is more than k.
    worst = usual if regular else decider.estimate(n, steps, k=max(1, n - 1), **options)
    most = {name: value for name, value in vars(worst).items() if name.startswith("most_")}
    return replace(usual, **most)
