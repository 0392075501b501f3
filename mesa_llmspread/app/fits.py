"""Where laws are fitted: away from the steps, in a process of their own.

A fit takes a hundred times as long as a step, and in the same process it would keep every
visitor's clicks waiting. So all visitors share one process that does nothing else, and the
libraries that fits need are loaded there only.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mesa_llmspread.app.law import Law

if TYPE_CHECKING:
    from mesa_llmspread.data import SpreadData
    from mesa_llmspread.networks import Network

__all__ = ["Fits", "Wish"]

_log = logging.getLogger(__name__)

# A process that nobody needs is given up after this.
_IDLE_SECONDS = 900
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Wish:
    """A law to be fitted.

    Attributes
    ----------
    run : int
        The run's number in its session.
    data : SpreadData
        What is known of it.
    network : Network
        Its network.
    law : str
        The law to solve; "" for the best one.
    complete : bool
        Whether the laws that take long are wanted as well.
    """

    run: int
    data: SpreadData
    network: Network
    law: str
    complete: bool


class Fits:
    """One visitor's fits: one at a time, and of the wishes that wait only the newest.

    Parameters
    ----------
    show : callable
        Called with the run's number and each law that was fitted, from another thread.
    """

    def __init__(self, show: Callable[[int, Law], None]) -> None:
        self._show = show
        self._lock = threading.RLock()
        self._waiting: list[Wish] = []
        self._busy = False

    @property
    def busy(self) -> bool:
        """Whether a fit is under way."""
        return self._busy

    def ask(self, wish: Wish) -> None:
        """Wish for a law; the laws that take long come second, so that there is one to see."""
        with self._lock:
            self._waiting = [replace(wish, complete=False), *([wish] if wish.complete else [])]
            if not self._busy:
                self._next()

    def close(self) -> None:
        """Wish for nothing any more."""
        with self._lock:
            self._waiting = []

    def _next(self) -> None:
        """Have the next fit made, if there is one; the lock is held."""
        self._busy = bool(self._waiting)
        if not self._busy:
            return
        wish = self._waiting.pop(0)
        try:
            fit = _process().submit(_fit, wish)
        except RuntimeError:
            # It has died, or the server is about to end. A curve less is no reason to stop.
            _log.exception("no process for fits")
            _process.cache_clear()
            self._waiting, self._busy = [], False
            return
        fit.add_done_callback(functools.partial(self._done, wish.run))

    def _done(self, run: int, fit: Future[Law]) -> None:
        """Show what was fitted, and go on."""
        try:
            self._show(run, fit.result())
        except Exception as error:  # a curve less is no reason to stop
            _log.error("unforeseen error in a fit", exc_info=error)
            if isinstance(error, BrokenExecutor):
                _process.cache_clear()
        with self._lock:
            self._next()


@functools.cache
def _process() -> Any:
    """Give the process in which all visitors' laws are fitted."""
    from joblib.externals.loky import ProcessPoolExecutor

    return ProcessPoolExecutor(
        1, timeout=_IDLE_SECONDS, initializer=_begin, initargs=(os.getpid(),)
    )


def _begin(server: int) -> None:
    """Let steps and pages go first, where the system can, and end when the server does."""
    if hasattr(os, "nice"):
        os.nice(10)
    threading.Thread(target=_end_with, args=(server,), daemon=True).start()


def _end_with(server: int) -> None:
    """Wait for the end of the server, which may be killed and then tells nobody."""
    while os.getppid() == server:
        time.sleep(_LOOK_SECONDS)
    os._exit(0)


def _fit(wish: Wish) -> Law:
    """Make a fit, in that process."""
    from mesa_llmspread.app.fitting import fit_law

    return fit_law(wish.data, wish.network, wish.law, wish.complete)
