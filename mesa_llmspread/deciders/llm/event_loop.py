"""One event loop in one background thread, for every call to a language model.

A decider is synchronous and may be used where an event loop already runs (a notebook, the
page), from several threads, and in worker processes. So calls never run on the caller's loop:
each process has one loop of its own (anyio's blocking portal), started at the first call and
closed at exit, and all connections live on it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, wait
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from mesa_llmspread.exceptions import StoppedError

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

__all__ = ["at_close", "run", "stopped_by"]

T = TypeVar("T")

# How often a request to stop is looked for.
_STOP_SECONDS = 0.1
_CLOSING_SECONDS = 5.0


class _Background:
    """The loop of this process and its thread.

    Not anyio's ``start_blocking_portal``: its generator would stop the parent's loop when a
    forked child ends.
    """

    def __init__(self) -> None:
        import anyio

        self._portal: Future[BlockingPortal] = Future()
        self._thread = threading.Thread(
            target=anyio.run, args=(self._serve,), name="mesa_llmspread-calls", daemon=True
        )
        self._thread.start()
        self.portal = self._portal.result()

    async def _serve(self) -> None:
        from anyio.from_thread import BlockingPortal

        async with BlockingPortal() as portal:
            self._portal.set_result(portal)
            await portal.sleep_until_stopped()
        for closer in _closers:
            await closer()

    def close(self) -> None:
        self.portal.call(self.portal.stop, True)
        self._thread.join(_CLOSING_SECONDS)


_lock = threading.Lock()
_background: _Background | None = None
_closers: list[Callable[[], Awaitable[Any]]] = []
_parents: list[_Background | None] = []


def _after_fork() -> None:
    """Start afresh in a forked child: the loop was copied, its thread was not."""
    global _background, _lock
    # Kept alive: litellm finds connections by their loop's id, which must not be used again.
    _parents.append(_background)
    _background, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _portal() -> BlockingPortal:
    """Return the portal to this process's loop; start the loop if it does not run yet."""
    global _background
    with _lock:
        if _background is None:
            _background = _Background()
            # Exit handlers run backwards: the loop closes before what litellm registered.
            atexit.register(_close)
        return _background.portal


def _close() -> None:
    """Close this process's loop."""
    global _background
    with _lock:
        background, _background = _background, None
    if background is not None:
        background.close()


_stop: ContextVar[threading.Event | None] = ContextVar("stop", default=None)


@contextlib.contextmanager
def stopped_by(stop: threading.Event) -> Iterator[None]:
    """Allow another thread to stop the calls that this thread waits for.

    A context and not an argument, because any decider may stand between the step that is
    stopped and the calls.

    Parameters
    ----------
    stop : threading.Event
        Set it to stop: :func:`run` raises :class:`StoppedError` within a fraction of a second,
        calls that wait are never sent, and calls under way are cancelled within a second.
    """
    token = _stop.set(stop)
    try:
        yield
    finally:
        _stop.reset(token)


def run(function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Call a coroutine function on the process's own loop and wait for its result.

    Parameters
    ----------
    function : coroutine function
        It is cancelled if the wait is interrupted.
    *args
        Its arguments.

    Returns
    -------
    object
        What the function returns.

    Raises
    ------
    StoppedError
        If another thread stopped it; see :func:`stopped_by`.
    """
    stop = _stop.get()
    _raise_if_set(stop)
    future = _portal().start_task_soon(function, *args)
    try:
        while not wait([future], None if stop is None else _STOP_SECONDS).done:
            _raise_if_set(stop)
        return future.result()
    finally:
        future.cancel()


def _raise_if_set(stop: threading.Event | None) -> None:
    """Raise StoppedError if calls are to stop."""
    if stop is not None and stop.is_set():
        raise StoppedError("stopped before all calls were answered; step again to continue")


def at_close(closer: Callable[[], Awaitable[Any]]) -> None:
    """Register what is closed on the loop at the end of the process.

    Parameters
    ----------
    closer : coroutine function
        Closes it.
    """
    _closers.append(closer)
