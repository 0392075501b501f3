"""One event loop in one background thread, for every call to a language model.

A decider is synchronous and may be used where an event loop already runs (a notebook, an
app), from several threads, and in worker processes. So the calls never run on the caller's
loop: the process has one loop of its own, started at the first call and closed at exit, and
all connections live on it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

from mesa_llmspread.exceptions import StoppedError

__all__ = ["Slots", "at_close", "run", "stopped_by", "together", "with_grace"]

T = TypeVar("T")

# How long a word to stop may go unheard.
_LOOK_SECONDS = 0.1

_GRACE_SECONDS = 1.0
_CLOSING_SECONDS = 5.0


class _Background:
    """The loop of this process and its thread."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread: threading.Thread | None = None

    def started(self) -> asyncio.AbstractEventLoop:
        with self.lock:
            if self.loop is None:
                self.loop = asyncio.new_event_loop()
                self.thread = threading.Thread(
                    target=self.loop.run_forever, name="mesa_llmspread-calls", daemon=True
                )
                self.thread.start()
            return self.loop

    def close(self) -> None:
        with self.lock:
            loop, thread, self.loop, self.thread = self.loop, self.thread, None, None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._finish(), loop).result(_CLOSING_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    async def _finish(self) -> None:
        if _stragglers:
            await asyncio.wait(_stragglers, timeout=_GRACE_SECONDS)
        for closer in _closers:
            await closer()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


_background = _Background()
_closers: list[Callable[[], Awaitable[Any]]] = []
_stragglers: set[asyncio.Task[Any]] = set()
_left_behind: list[_Background] = []


def _forget() -> None:
    """Start afresh in a forked child: the loop came along, the thread that runs it did not."""
    global _background
    # Kept alive: connections are looked up by their loop's id, which must not be given again.
    _left_behind.append(_background)
    _stragglers.clear()
    _background = _Background()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


_stop: ContextVar[threading.Event | None] = ContextVar("stop", default=None)


@contextlib.contextmanager
def stopped_by(stop: threading.Event) -> Iterator[None]:
    """Have what this thread runs on the loop meanwhile stopped by an event of another thread.

    A context and not an argument: between whoever stops a step and the calls stands a
    decider, which need not know.

    Parameters
    ----------
    stop : threading.Event
        Set to stop: :func:`run` raises :class:`StoppedError` within a fraction of a second,
        what waits is never asked, and calls under way are cancelled within a second more.
    """
    token = _stop.set(stop)
    try:
        yield
    finally:
        _stop.reset(token)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the process's own loop and wait for it, from any other thread.

    Parameters
    ----------
    coroutine : coroutine
        It is cancelled if the wait is interrupted.

    Returns
    -------
    object
        What the coroutine returns.

    Raises
    ------
    StoppedError
        If it was stopped; see :func:`stopped_by`.
    """
    stop = _stop.get()
    if stop is not None:
        coroutine = _unless(stop, coroutine)
    future = asyncio.run_coroutine_threadsafe(coroutine, _background.started())
    try:
        return future.result()
    finally:
        future.cancel()


async def _unless(stop: threading.Event, coroutine: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine unless told to stop; return only when nothing of it goes on."""
    task = asyncio.ensure_future(coroutine)
    try:
        while not task.done():
            if stop.is_set():
                task.cancel()
                await asyncio.wait([task])
                raise StoppedError("stopped before all calls were answered; step again to go on")
            await asyncio.wait([task], timeout=_LOOK_SECONDS)
        return task.result()
    finally:
        task.cancel()


def at_close(closer: Callable[[], Awaitable[Any]]) -> None:
    """Have something closed on the loop before the loop closes, at the end of the process.

    Parameters
    ----------
    closer : callable
        Gives an awaitable that closes it.
    """
    _closers.append(closer)
    # Registered now and not when the loop starts: the end goes backwards, so the loop closes
    # before whatever the closer's library itself registered when it was imported.
    atexit.unregister(_close)
    atexit.register(_close)


def _close() -> None:
    _background.close()


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines at the same time; the first error cancels the others and is raised.

    Parameters
    ----------
    coroutines : iterable of coroutine
        Any number.

    Returns
    -------
    list
        Their results, in their order.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def with_grace(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine that, when the wait is cancelled, is itself cancelled a moment later.

    For libraries that hand part of a call to a thread: cancelled in that moment, they leave
    a coroutine behind that nobody awaits, and a warning.

    Parameters
    ----------
    coroutine : coroutine
        The call.

    Returns
    -------
    object
        What it returns.
    """
    task = asyncio.ensure_future(coroutine)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            _stragglers.add(task)
            task.add_done_callback(_let_go)
            asyncio.get_running_loop().call_later(_GRACE_SECONDS, task.cancel)
        raise


def _let_go(task: asyncio.Task[Any]) -> None:
    """Drop what a straggler still brings; nobody waits for it any more."""
    _stragglers.discard(task)
    if not task.cancelled():
        task.exception()


class Slots:
    """A number of places on the loop that calls wait for.

    Parameters
    ----------
    limit : int
        How many there are.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._semaphore = asyncio.Semaphore(limit)
        self._loop: asyncio.AbstractEventLoop | None = None

    def free(self) -> asyncio.Semaphore:
        """Give the semaphore to wait for; another loop (of another process) has another."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._semaphore, self._loop = asyncio.Semaphore(self.limit), loop
        return self._semaphore

    def __reduce__(self) -> tuple[type[Slots], tuple[int]]:
        return Slots, (self.limit,)
