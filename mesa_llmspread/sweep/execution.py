"""Do the runs of a design: in this process, on all cores, or on a Dask cluster.

joblib carries the runs out to workers and their results come back as finished files, which
only this process writes; so workers need no common disk, and nothing is kept in memory.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import pandas as pd

from mesa_llmspread._checks import checked_int
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    LLMSpreadError,
    UnknownNameError,
)
from mesa_llmspread.sweep.checks import DesignError, Problem, failing, model_arguments
from mesa_llmspread.sweep.design import Design
from mesa_llmspread.sweep.engines import Job, Outcome, check_law, perform, unsettle
from mesa_llmspread.sweep.results import Sweep, load
from mesa_llmspread.sweep.storage import Folder

if TYPE_CHECKING:
    from distributed import Client

__all__ = [
    "Backend",
    "Engine",
    "OnError",
    "Progress",
    "RunError",
    "WorkerLostError",
    "resume",
    "run",
]

# How long a Dask scheduler may take to answer.
_CONNECT_SECONDS = 15

Backend = Literal["loky", "dask", "sequential"]
Engine = Literal["mesa", "ensemble"]
OnError = Literal["record", "raise"]
Progress = Literal["auto", "bar", "none"]


class RunError(LLMSpreadError, RuntimeError):
    """A run of a sweep failed, and the sweep was to stop at that.

    Parameters
    ----------
    run : int
        Its number.
    cell : mapping
        Its values by parameter.
    error : str
        What it raised.
    """

    def __init__(self, run: int, cell: Mapping[str, Any], error: str) -> None:
        self.run = run
        self.cell = dict(cell)
        self.error = error
        values = ", ".join(f"{name}={value!r}" for name, value in cell.items())
        super().__init__(f"run {run} ({values}): {error}")


class WorkerLostError(LLMSpreadError, RuntimeError):
    """Worker processes died under a sweep, so that it cannot go on by itself."""


def run(
    design: Design,
    out: str | Path,
    *,
    backend: Backend = "loky",
    engine: Engine = "mesa",
    n_jobs: int = -1,
    on_error: OnError = "record",
    steps: int = 50,
    client: str | Client | None = None,
    progress: Progress = "auto",
) -> Sweep:
    """Do all runs of a design, and keep each on disk as soon as it is done.

    If the folder holds this sweep already, only what is missing or failed is done; the design
    may have got more replicates.

    Parameters
    ----------
    design : Design
    out : path-like
        Folder for the results.
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
    ArgumentError
        If the folder holds another sweep.
    OutputError
        If a result cannot be written.
    RunError
        If a run failed and ``on_error="raise"``. What was done before is kept.
    WorkerLostError
        If workers died. What was done is kept: start it again.

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
    _check_answerable(design.cells, engine)
    folder = Folder.create(out, design, engine, steps)
    return _finish(folder, backend, n_jobs, on_error, client, progress)


def resume(
    out: str | Path,
    *,
    backend: Backend = "loky",
    n_jobs: int = -1,
    on_error: OnError = "record",
    client: str | Client | None = None,
    progress: Progress = "auto",
) -> Sweep:
    """Go on with the sweep in a folder: do what is missing or failed.

    Parameters
    ----------
    out : path-like
        Folder of a sweep that was begun; it knows its design, engine and steps.
    backend, n_jobs, on_error, client, progress
        As for :func:`run`; they may be others than before.

    Returns
    -------
    Sweep

    Raises
    ------
    InputFileError
        If the folder holds no sweep.
    OutputError, RunError, WorkerLostError
        As :func:`run`.
    """
    _check_choices(backend=backend, on_error=on_error, progress=progress)
    _check_jobs(n_jobs)
    return _finish(Folder(out), backend, n_jobs, on_error, client, progress)


def _check_choices(**given: str) -> None:
    """See that each argument is one of its choices."""
    choices = {"backend": Backend, "engine": Engine, "on_error": OnError, "progress": Progress}
    for name, value in given.items():
        if value not in get_args(choices[name]):
            raise UnknownNameError(name, value, get_args(choices[name]))


def _check_jobs(n_jobs: Any) -> None:
    """See that a number of processes is one."""
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0:
        raise ArgumentError("n_jobs", n_jobs, "be a whole number other than 0")


def _check_answerable(cells: pd.DataFrame, engine: str) -> None:
    """See that the engine knows every cell's law, or that every decider can answer."""
    from mesa_llmspread.deciders import as_decider

    defaults = model_arguments()
    rates = [name for name in map(str, cells.columns) if name not in defaults]
    if engine == "mesa":
        problems = failing(
            cells,
            ["decider", *rates],
            lambda arguments: as_decider(arguments.get("decider", defaults["decider"])).check(),
        )
    elif "decider" in cells:
        problems = failing(cells, ["decider", "broadcast", *rates], check_law)
    else:
        problems = [Problem("decider", "must be given, as a law, for engine='ensemble'")]
    if problems:
        raise DesignError(problems)


def _finish(
    folder: Folder,
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
    quiet = progress == "none" or (
        progress == "auto" and (bool(os.environ.get("CI")) or not sys.stderr.isatty())
    )
    bar = tqdm(total=len(todo), desc="runs", unit="run", disable=quiet, file=sys.stderr)
    failed = 0
    with bar, _outcomes(jobs, backend, n_jobs, client) as outcomes:
        for outcome in outcomes:
            folder.save(outcome)
            bar.update()
            if outcome.failure is not None:
                failed += 1
                bar.set_postfix(failed=failed)
                if on_error == "raise":
                    row = status.iloc[[outcome.run]].to_dict("records")[0]
                    cell = {name: row[name] for name in names}
                    raise RunError(outcome.run, cell, outcome.failure.error)
    return load(folder.path)


@contextlib.contextmanager
def _outcomes(
    jobs: Iterator[Job], backend: str, n_jobs: int, client: Any
) -> Iterator[Iterator[Outcome]]:
    """Carry jobs out to workers; results come in the order in which they are done."""
    from joblib import Parallel, delayed, parallel_config

    with contextlib.ExitStack() as stack:
        options: dict[str, Any] = {"backend": backend, "n_jobs": n_jobs}
        lost: tuple[type[BaseException], ...] = (BrokenProcessPool, CancelledError)
        if backend == "dask":
            options |= {"client": stack.enter_context(_dask_client(client, n_jobs)), "n_jobs": -1}
            from distributed import KilledWorker

            lost += (KilledWorker,)
        if backend == "sequential":
            options["n_jobs"] = 1
            stack.callback(unsettle)
        stack.enter_context(parallel_config(**options))
        outcomes = Parallel(return_as="generator_unordered")(delayed(perform)(job) for job in jobs)
        try:
            yield outcomes
        except lost as error:
            raise WorkerLostError(
                f"a worker, or the scheduler, died ({type(error).__name__}), often for want of "
                "memory; the runs that are done are kept: start the sweep again, perhaps with a "
                "smaller n_jobs"
            ) from error
        finally:
            outcomes.close()


@contextlib.contextmanager
def _dask_client(client: Any, n_jobs: int) -> Iterator[Any]:
    """Connect to a Dask cluster that has workers, or start one here."""
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ArgumentError(
            "backend", "dask", "have Dask installed: pip install 'mesa_llmspread[cluster]'"
        ) from error
    if isinstance(client, Client):
        yield _with_workers(client)
    elif client is not None:
        try:
            connected = Client(client, set_as_default=False, timeout=_CONNECT_SECONDS)
        except (OSError, ValueError, TypeError) as error:
            raise ArgumentError(
                "client", client, f"be the address of a Dask scheduler that answers ({error})"
            ) from error
        with connected:
            yield _with_workers(connected)
    else:
        from joblib import cpu_count

        workers = cpu_count() if n_jobs < 0 else n_jobs
        with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.ERROR,
            ) as cluster,
            Client(cluster, set_as_default=False) as connected,
        ):
            yield connected


def _with_workers(client: Client) -> Client:
    """See that a cluster has a worker."""
    try:
        client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
    except TimeoutError as error:
        raise ArgumentError(
            "client", client, "have workers: start some, and wait_for_workers on the client"
        ) from error
    return client
