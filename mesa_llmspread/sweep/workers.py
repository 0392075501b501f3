"""Workers: this process, all cores of this machine, or a Dask cluster.

joblib sends runs to the workers, and the files of their records come back; only the process
of the sweep writes them, so workers need no common disk. Workers are not supervised: if one
dies, the sweep stops, names the runs that were under way, and can be resumed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import platform
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache, partial
from typing import Any

import cloudpickle
from joblib import Parallel, delayed, effective_n_jobs, parallel_config

from mesa_llmspread._watchdog import end_with
from mesa_llmspread.deciders import register_decider, registered_deciders
from mesa_llmspread.deciders.llm.providers import load_litellm
from mesa_llmspread.exceptions import ArgumentError, WorkerLostError
from mesa_llmspread.meanfield import register_closure
from mesa_llmspread.meanfield.closure import registered_closures
from mesa_llmspread.model import SpreadModel
from mesa_llmspread.sweep.engines import Job, Outcome, failed, perform
from mesa_llmspread.sweep.language import forget_deciders, share_of
from mesa_llmspread.transmission import register_law
from mesa_llmspread.transmission.registry import registered_laws

__all__ = ["dumps", "loads", "workers"]

Outcomes = Generator[Outcome, None, None]


@contextlib.contextmanager
def workers(
    backend: str, n_jobs: int, client: Any, model: type[SpreadModel], language: bool
) -> Iterator[Callable[[Sequence[Job], Mapping[str, Any]], Outcomes]]:
    """Connect to the workers of a backend.

    Parameters
    ----------
    backend, n_jobs, client
        As for :func:`~mesa_llmspread.sweep.run`.
    model : type of SpreadModel
        What to run.
    language : bool
        Whether a language model decides in some runs.

    Yields
    ------
    callable
        Called with jobs and the options of language models, it yields their outcomes, in the
        order in which they are done. When a budget is used up, only the jobs that are under way
        are finished.

    Raises
    ------
    ArgumentError
        If the backend cannot be used, or a registered part cannot be sent to workers.
    WorkerLostError
        While outcomes are read: if a worker died, or a Dask cluster lost its scheduler.
    """
    options: dict[str, Any] = {"backend": backend, "n_jobs": n_jobs}
    lost: tuple[type[BaseException], ...] = (BrokenProcessPool, CancelledError)
    with contextlib.ExitStack() as stack:
        if backend == "sequential":
            options["n_jobs"] = 1
            work: Callable[..., Outcome] = partial(perform, model=model)
            stack.callback(forget_deciders)
        else:
            sweep = os.getpid() if backend == "loky" else None
            work = partial(_perform_elsewhere, sweep, _packed(model))
        if backend == "dask":
            cluster = stack.enter_context(_dask_client(client, n_jobs))
            if language:
                _check_machine(cluster)
            options |= {"client": cluster, "n_jobs": -1}
            from distributed import KilledWorker

            lost += (KilledWorker,)
        elif backend == "loky" and language:
            # Workers that load litellm later, hundreds of megabytes, would be mistaken for
            # leaking memory, and be replaced in the middle of the sweep.
            options["initializer"] = load_litellm
        stack.enter_context(parallel_config(**options))
        try:
            number = effective_n_jobs(None)
        except TimeoutError as error:
            raise ArgumentError("client", client, "have workers: start some first") from error
        yield partial(_outcomes, work, number, lost)


def _outcomes(
    work: Callable[..., Outcome],
    number: int,
    lost: tuple[type[BaseException], ...],
    jobs: Sequence[Job],
    llm: Mapping[str, Any],
) -> Outcomes:
    """Yield the outcomes of jobs that are done by a number of workers."""
    share = share_of(llm, max(1, min(number, len(jobs))))
    under_way: set[int] = set()
    halted = False

    def waiting() -> Iterator[Any]:
        for job in jobs:
            if halted:
                return
            under_way.add(job.run)
            yield delayed(work)(job, share)

    parallel = Parallel(return_as="generator_unordered")
    try:
        with contextlib.closing(parallel(waiting())) as outcomes:
            for outcome in outcomes:
                under_way.remove(outcome.run)
                # What one run could not spend, the next one cannot spend either.
                halted = halted or outcome.halt is not None
                yield outcome
    except lost as error:
        raise WorkerLostError(under_way, type(error).__name__) from error


def _perform_elsewhere(
    sweep: int | None, parts: bytes, job: Job, llm: Mapping[str, Any]
) -> Outcome:
    """Do a run in a worker; one of this machine ends with the process of its sweep."""
    # With one job, joblib runs it in the process of the sweep itself.
    if sweep not in (None, os.getpid()):
        end_with(sweep)
    try:
        model = _unpacked(parts)
    except Exception as error:  # whatever a user's module raises
        return failed(job, error)
    return perform(job, llm, model)


def _dask_client(client: Any, n_jobs: int) -> contextlib.AbstractContextManager[Any]:
    """Connect to a Dask cluster, or start one on this machine that stops with its client."""
    try:
        from distributed import Client
    except ImportError as error:
        fix = "have Dask installed: pip install 'mesa_llmspread[cluster]'"
        raise ArgumentError("backend", "dask", fix) from error
    if isinstance(client, Client):
        return contextlib.nullcontext(client)
    local: dict[str, Any] = {}
    if client is None:
        local = {"n_workers": effective_n_jobs(n_jobs), "threads_per_worker": 1}
        local |= {"dashboard_address": "127.0.0.1:0", "silence_logs": logging.ERROR}
    try:
        return Client(client, set_as_default=False, **local)
    except (OSError, ValueError, TypeError) as error:
        allowed = f"be the address of a Dask scheduler that answers ({error})"
        raise ArgumentError("client", client, allowed) from error


def _check_machine(client: Any) -> None:
    """Validate that all workers can share a store of calls, which is on a local disk."""
    if elsewhere := set(client.run(_machine).values()) - {_machine()}:
        allowed = (
            "have its workers on this machine where a language model decides, because they share "
            f"one store of calls; there are some on {', '.join(sorted(elsewhere))}"
        )
        raise ArgumentError("client", client, allowed)


def _machine() -> str:
    return platform.node()


def dumps(value: Any) -> bytes:
    """Pickle a value for a worker, which may have been started before a path was added."""
    return pickle.dumps((sys.path, cloudpickle.dumps(value)))


def loads(content: bytes) -> Any:
    """Return what :func:`dumps` pickled."""
    path, value = pickle.loads(content)
    sys.path.extend(folder for folder in path if folder not in sys.path)
    return pickle.loads(value)


def _packed(model: type[SpreadModel]) -> bytes:
    """Pickle what is registered in this process, and the model of a sweep.

    Raises ArgumentError if a part cannot be pickled; it names the part.
    """
    registered: dict[str, Any] = {
        "decider": registered_deciders(),
        "law": registered_laws(),
        "closure": registered_closures(),
        "model": {model.__name__: model},
    }
    parts = [(kind, name, part) for kind, own in registered.items() for name, part in own.items()]
    for kind, name, part in parts:
        try:
            cloudpickle.dumps(part)
        except Exception as error:  # whatever a user's object raises
            fix = f"be picklable for the workers of a sweep ({error})"
            raise ArgumentError(kind, name, f"{fix}, or stand with backend='sequential'") from error
    return dumps(parts)


@lru_cache(maxsize=1)  # a name may be registered again, and then again as it was
def _unpacked(parts: bytes) -> type[SpreadModel]:
    """Register what :func:`_packed` pickled, and return the model of the sweep."""
    *registered, (_, _, model) = loads(parts)
    for kind, name, part in registered:
        if kind == "decider":
            register_decider(name, part)
        elif kind == "law":
            register_law(part)
        else:
            register_closure(part)
    return model
