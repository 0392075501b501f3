"""Carry jobs out: in this process, on all cores, or on a Dask cluster.

joblib carries the runs out to workers and their results come back as finished files, which
only the process of the sweep writes; so workers need no common disk, and nothing is kept in
memory.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import threading
import time
import warnings
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from mesa_llmspread.exceptions import ArgumentError, WorkerLostError
from mesa_llmspread.sweep.engines import Job, Outcome, failed, perform, unsettle
from mesa_llmspread.sweep.language import forget_deciders, share_of
from mesa_llmspread.sweep.parts import packed, unpacked

if TYPE_CHECKING:
    from distributed import Client

    from mesa_llmspread.model import SpreadModel

__all__ = ["outcomes_of"]

# How long a Dask scheduler may take to answer.
_CONNECT_SECONDS = 15

# How long a worker may outlive the process of its sweep.
_WATCH_SECONDS = 0.2

# How often workers may die under the same run, and how often with nothing done in between.
_MOST_LOSSES, _MOST_IN_VAIN = 3, 6


class _Queue:
    """Jobs that wait for their outcome, and which of them are in the hands of workers."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self.waiting = {job.run: job for job in jobs}
        self.under_way: set[int] = set()
        self.suspects: set[int] = set()
        self.deaths: Counter[int] = Counter()
        self.in_vain = 0
        self.closed = False

    def __iter__(self) -> Iterator[Job]:
        """Give jobs out; those that may have killed a worker when all others are done."""
        for job in sorted(self.waiting.values(), key=lambda job: self.deaths[job.run]):
            if self.closed:
                return
            self.under_way.add(job.run)
            yield job

    def settle(self, outcome: Outcome) -> None:
        """Take an outcome in."""
        self.in_vain = 0
        self.under_way.discard(outcome.run)
        del self.waiting[outcome.run]
        # What one run could not spend, the next one cannot spend either.
        self.closed = self.closed or outcome.halt is not None

    @property
    def blamed(self) -> set[int]:
        """Runs that are not done and were under way when a worker died, the last time or before."""
        return {run for run in self.waiting if self.deaths[run]}

    @property
    def hopeless(self) -> bool:
        """Whether workers have died often enough."""
        most = max((self.deaths[run] for run in self.suspects), default=0)
        return most >= _MOST_LOSSES or self.in_vain >= _MOST_IN_VAIN

    def lose(self) -> None:
        """Suspect what was under way when a worker died, and count how often it was."""
        # What had been given out for a pool that broke may have been done by the next one.
        self.suspects = self.under_way & self.waiting.keys()
        self.deaths.update(self.suspects)
        self.in_vain += 1
        self.under_way = set()


def outcomes_of(
    jobs: Iterable[Job],
    backend: str,
    n_jobs: int,
    client: Any,
    llm: Mapping[str, Any] | None,
    model: type[SpreadModel] | None = None,
) -> Generator[Outcome, None, None]:
    """Carry jobs out to workers.

    Parameters
    ----------
    jobs : iterable of Job
    backend, n_jobs, client
        As for :func:`~mesa_llmspread.sweep.run`.
    llm : mapping or None
        Options of language models; None if there is none.
    model : type of SpreadModel, optional
        What to run; ``SpreadModel`` itself by default.

    Yields
    ------
    Outcome
        In the order in which they are done. None comes after the budget is used up, but for
        the jobs that were under way.

    Raises
    ------
    ArgumentError
        If a part that is registered cannot be sent to workers.
    WorkerLostError
        If worker processes of this machine died under the same run again and again, or a
        Dask cluster lost its scheduler, or too many workers.
    """
    from joblib import Parallel, delayed, effective_n_jobs

    queue = _Queue(jobs)
    if backend == "sequential":
        work = delayed(partial(perform, model=model))
    else:
        sweep = os.getpid() if backend == "loky" else None
        work = delayed(partial(_perform_elsewhere, sweep, packed(model)))
    with _workers(backend, n_jobs, client, llm is not None) as lost:
        number = max(1, min(effective_n_jobs(None), len(queue.waiting)))
        share = None if llm is None else share_of(llm, number)
        while queue.waiting and not queue.closed:
            # One job at a time is what tells which one it is that kills its worker.
            size = 1 if queue.suspects else "auto"
            parallel = Parallel(return_as="generator_unordered", batch_size=size)
            try:
                with contextlib.closing(parallel(work(job, share) for job in queue)) as outcomes:
                    for outcome in outcomes:
                        queue.settle(outcome)
                        yield outcome
            except lost as error:
                queue.lose()
                if backend != "loky" or queue.hopeless:
                    raise WorkerLostError(queue.blamed, type(error).__name__) from error
                warnings.warn(
                    f"a worker died ({type(error).__name__}), often for want of memory; what "
                    f"it was doing is done again, {len(queue.waiting)} runs are left",
                    RuntimeWarning,
                    stacklevel=2,
                )


def _perform_elsewhere(
    sweep: int | None, parts: bytes, job: Job, llm: Mapping[str, Any] | None
) -> Outcome:
    """Do a run for another process: one of this machine, as long as there is that process."""
    if sweep is not None:
        _leave_with(sweep)
    try:
        model = unpacked(parts)
    except Exception as error:  # whatever a user's module raises
        return failed(job, error)
    return perform(job, llm, model)


@cache
def _leave_with(parent: int) -> None:
    """End this process when its parent does, which could not tell it if it was killed.

    Left alone, it would go on to call a language model for a run that another sweep has
    taken up.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _workers(
    backend: str, n_jobs: int, client: Any, together: bool
) -> Iterator[tuple[type[BaseException], ...]]:
    """Have joblib use a backend; give the errors that say that a worker was lost."""
    from joblib import parallel_config

    with contextlib.ExitStack() as stack:
        options: dict[str, Any] = {"backend": backend, "n_jobs": n_jobs}
        if backend == "loky" and together:
            # Workers of their own: those that began without litellm's hundreds of megabytes would
            # be taken to leak them, and be replaced in the middle of the sweep.
            options["initializer"] = _load_litellm
        lost: tuple[type[BaseException], ...] = (BrokenProcessPool, CancelledError)
        if backend == "dask":
            connected = stack.enter_context(_dask_client(client, n_jobs))
            if together:
                _check_here(connected)
            options |= {"client": connected, "n_jobs": -1}
            from distributed import KilledWorker

            lost += (KilledWorker,)
        if backend == "sequential":
            options["n_jobs"] = 1
            stack.callback(unsettle)
            stack.callback(forget_deciders)
        stack.enter_context(parallel_config(**options))
        yield lost


def _load_litellm() -> None:
    """Make a worker ready for calls."""
    from mesa_llmspread.deciders.llm.client import load_litellm

    load_litellm()


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


def _check_here(client: Client) -> None:
    """See that all workers can share a file of calls, which has to be on a local disk."""
    elsewhere = set(client.run(_machine).values()) - {_machine()}
    if elsewhere:
        raise ArgumentError(
            "client",
            client,
            "have its workers on this machine where a language model decides, as they share "
            f"one store of calls; there are some on {', '.join(sorted(elsewhere))}",
        )


def _machine() -> str:
    """Name the machine that this process runs on."""
    return platform.node()
