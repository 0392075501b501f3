"""One event loop in one background thread, for every call to a language model.

A decider is synchronous and may be used while an event loop runs (in a notebook, on the page),
from several threads, and in worker processes. So calls never run on the caller's loop: each
process has one loop of its own, started at the first call and closed at exit, and all
connections live on it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, wait
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

from mesa_llmspread.exceptions import StoppedError

__all__ = ["run", "stopped_by"]

T = TypeVar("T")

# How often a request to stop is looked for.
_STOP_SECONDS = 0.1
_CLOSING_SECONDS = 5.0

_never = threading.Event()
_stop: ContextVar[threading.Event] = ContextVar("stop", default=_never)


class _Background:
    """The event loop of one process, and its thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop; start it if it does not run yet."""
        with self._lock:
            if self._loop is None:
                started: Future[asyncio.AbstractEventLoop] = Future()
                run = partial(asyncio.run, self._serve(started))
                self._thread = threading.Thread(target=run, name="llmspread-calls", daemon=True)
                self._thread.start()
                self._loop = started.result()
                # Exit handlers run backwards: the loop closes before what litellm registered.
                atexit.register(self._close, self._loop)
            return self._loop

    async def _serve(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        self._ended = asyncio.Event()
        started.set_result(asyncio.get_running_loop())
        await self._ended.wait()
        if "litellm" in sys.modules:
            await sys.modules["litellm"].close_litellm_async_clients()

    def _close(self, loop: asyncio.AbstractEventLoop) -> None:
        if self is _backgrounds[-1]:  # not in a forked child, which has no thread of it
            loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(_CLOSING_SECONDS)


# The last one is this process's. Those of its parents stay alive after a fork: litellm finds
# connections by their loop's id, which must not be used again.
_backgrounds = [_Background()]
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _backgrounds.append(_Background()))


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


def run(function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
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
        The result of the function.

    Raises
    ------
    StoppedError
        If another thread stopped it; see :func:`stopped_by`.
    """
    stop, future = _stop.get(), None
    try:
        while future is None or not wait([future], _STOP_SECONDS).done:
            if stop.is_set():
                raise StoppedError("stopped before all calls were answered; step again to continue")
            if future is None:
                loop = _backgrounds[-1].loop()
                future = asyncio.run_coroutine_threadsafe(function(*args), loop)
        return future.result()
    finally:
        if future is not None:
            future.cancel()
