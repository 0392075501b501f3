"""One visitor's model, stepped in other threads than the page's, so that the page never waits.

The page gives orders and reads views; a view is immutable, so nothing the page draws changes
while it is drawn. One order is carried out at a time, and a new model replaces all others.
"""

from __future__ import annotations

import functools
import importlib
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mesa_llmspread.app.fits import Law, submit
from mesa_llmspread.app.language_model import Progress, Watched
from mesa_llmspread.app.settings import Settings
from mesa_llmspread.deciders.llm.event_loop import stopped_by
from mesa_llmspread.exceptions import BudgetExceededError, LLMSpreadError, StoppedError

# Mesa takes longer to load than the rest of the page, so it is imported where a model is
# first built, in a thread that nothing waits for.
if TYPE_CHECKING:
    from mesa_llmspread.data import SpreadData
    from mesa_llmspread.model import SpreadModel

__all__ = ["THREADS", "Session", "View", "explained", "prepare"]

_log = logging.getLogger(__name__)

#: Name of the threads that step the visitors' models.
THREADS = "mesa_llmspread-session"

_STEPPING = ("stepping", "running")


@dataclass(frozen=True, eq=False)
class View:
    """What there is to see of a session at one moment.

    Attributes
    ----------
    run : int
        Grows with every new model.
    settings : Settings
        What the model was built from.
    model : SpreadModel or None
        The model; None before the first, and where the settings are not allowed.
    picture : mapping
        Its network; see :func:`mesa_llmspread.app.layout.picture`.
    clock : int
        Steps done.
    posted : list of int
        The step at which each agent posted; -1 if it has not.
    infected : list of int
        Number of agents that have posted, from step 0.
    asked, failed : int
        Decisions of the run that were asked for, and that failed.
    busy : {"", "building", "stepping", "running"}
        What is in progress.
    ended : bool
        Whether no agent is left that can still be reached.
    data : SpreadData or None
        The run up to a recent step.
    law : Law
        What has been fitted to it.
    problem : str
        The last error, in a sentence; "" without an error.
    """

    run: int = 0
    settings: Settings = field(default_factory=Settings)
    model: SpreadModel | None = None
    picture: Mapping[str, Any] = field(default_factory=dict)
    clock: int = 0
    posted: list[int] = field(default_factory=list)
    infected: list[int] = field(default_factory=list)
    asked: int = 0
    failed: int = 0
    busy: str = ""
    ended: bool = False
    data: SpreadData | None = None
    law: Law = field(default_factory=Law)
    problem: str = ""


class Session:
    """A visitor's model and what is done with it.

    Parameters
    ----------
    settings : Settings, optional
        The first model's.
    running : bool, default False
        Whether the first model runs at once.
    pause : float, default 0.25
        Seconds between the steps of a run.

    Attributes
    ----------
    wanted_law : str
        The law to solve; "" for the best one.
    """

    def __init__(
        self, settings: Settings | None = None, running: bool = False, pause: float = 0.25
    ) -> None:
        self._lock = threading.RLock()
        self._turn = threading.Lock()
        self._stop = threading.Event()
        self._view = View(settings=settings or Settings())
        self._watched: Watched | None = None
        self._closed = self._refit = False
        self._fitting: Future[Law] = Future()
        self._fitting.cancel()  # none yet
        self.wanted_law = ""
        self.pause = pause
        self.apply(self._view.settings, running)

    @property
    def view(self) -> View:
        """What there is to see now."""
        return self._view

    @property
    def progress(self) -> Progress | None:
        """How far a step of a language model is; None where none is in progress."""
        watched = self._watched
        return watched.progress if watched is not None and self._view.busy else None

    def apply(self, settings: Settings, run: bool = False) -> None:
        """Build a new model, in place of all that is in progress."""
        self._asked = settings
        self._order("building", self._build, settings, run)

    def reset(self) -> None:
        """Build the same model again."""
        self.apply(self._asked)

    def step(self) -> None:
        """Run one step, once the model is built; nothing if one is in progress."""
        self._order("stepping", self._take, "stepping")

    def run(self) -> None:
        """Run as many steps as the settings allow, as :meth:`step`."""
        self._order("running", self._take, "running")

    def stop(self) -> None:
        """Stop; an unfinished step is dropped, and the model is as before that step."""
        self._stop.set()

    def close(self) -> None:
        """Stop for good."""
        self._closed = True
        self._stop.set()

    def draw(self, law: str) -> None:
        """Solve another law; "" for the best one."""
        self.wanted_law = law
        self._fit()

    def _order(self, busy: str, work: Callable[..., None], *what: Any) -> None:
        """Run a function in its own thread."""
        with self._lock:
            if self._closed or (self._view.busy in _STEPPING and busy in _STEPPING):
                return
            if busy not in _STEPPING or not self._view.busy:
                self._stop.set()
                self._stop = threading.Event()
                self._show(busy=busy, problem="")
            whole = (self._stop, work, *what)
        threading.Thread(target=self._carry_out, args=whole, name=THREADS, daemon=True).start()

    def _carry_out(self, stop: threading.Event, work: Callable[..., None], *what: Any) -> None:
        """Run a function when no other one runs, unless a newer order has come."""
        with self._turn:
            problem = self._view.problem
            try:
                if self._stop is stop and not self._closed:
                    work(stop, *what)
            except Exception as error:
                problem = explained(error)
            self._show(stop, busy="", problem=problem)
            # Last: who steps by hand wants the next step sooner than the law.
            self._record()

    def _show(self, stop: threading.Event | None = None, **changes: Any) -> None:
        """Change the view; with the ``stop`` of an order, only if no newer one has come."""
        with self._lock:
            if stop in (None, self._stop):
                self._view = replace(self._view, **changes)

    def _build(self, stop: threading.Event, settings: Settings, run: bool) -> None:
        """Build a model, lay its network out, and run it if that is asked for."""
        from mesa_llmspread.app.layout import picture

        self._watched = None
        try:
            if settings.decider == "llm":
                decider = settings.make_decider()
                decider.check()
                self._watched = Watched(decider)
            model = settings.make_model(self._watched)
        except LLMSpreadError:
            self._show(**vars(View(self._view.run, settings, busy="building")))
            raise
        new = View(self._view.run + 1, settings, model, picture(model), busy="building")
        self._show(**{**vars(new), **_seen(model)})
        if run:
            self._take(stop, "running")

    def _take(self, stop: threading.Event, busy: str) -> None:
        """Run one step or all steps, and fit the laws from time to time."""
        model, last = self._view.model, self._view.clock + 1
        if model is None:
            return
        self._show(stop, busy=busy, problem="")
        if busy == "running":
            last = max(self._view.settings.steps, last)
        while model.clock < last and model.running and not stop.is_set():
            with stopped_by(stop):
                model.step()
            self._show(**_seen(model))
            if model.clock < last and model.running:
                if self._fitting.done():
                    self._record()
                stop.wait(self.pause)

    def _record(self) -> None:
        """Read the run so far, if there is something new, and have the law fitted to it."""
        from mesa_llmspread.data import SpreadData

        view = self._view
        recorded = 0 if view.data is None else len(view.data.counts) - 1
        if view.model is not None and view.clock > recorded:
            self._show(data=SpreadData.from_model(view.model))
            self._fit()

    def _fit(self) -> None:
        """Start a fit to the newest record; one fit at a time."""
        with self._lock:
            view = self._view
            self._refit = not self._fitting.done()
            if self._closed or self._refit or view.model is None or view.data is None:
                return
            self._fitting = submit(view.data, view.model.network, self.wanted_law)
        self._fitting.add_done_callback(functools.partial(self._fitted, view.run))

    def _fitted(self, run: int, fit: Future[Law]) -> None:
        """Show a fitted law, unless there is a newer run; start the next fit if one is due."""
        with self._lock:
            error = fit.exception()
            if error is not None:  # the page can do without a curve
                _log.error("unforeseen error in a fit", exc_info=error)
            elif run == self._view.run:
                self._show(law=fit.result())
        if self._refit:
            self._fit()


def _seen(model: SpreadModel) -> dict[str, Any]:
    """Copy what is drawn of a model between two steps."""
    counts = model.datacollector.model_vars
    return {
        "clock": model.clock,
        "posted": [-1 if a.posted_at is None else a.posted_at for a in model.spreaders],
        "infected": list(counts["Infected"]),
        "asked": sum(counts["Exposures"]),
        "failed": sum(counts["Failed"]),
        "ended": not model.running,
    }


def explained(error: BaseException, otherwise: str = "Something went wrong in the program") -> str:
    """Return an error as a sentence.

    Parameters
    ----------
    error : BaseException
    otherwise : str
        The sentence for an unforeseen error, which may quote a key: it is logged, and not shown.

    Returns
    -------
    str
        "" where something was only stopped.
    """
    if isinstance(error, StoppedError):
        return ""
    if isinstance(error, BudgetExceededError):
        return (
            f"The spending limit of {error.limit:g} USD is reached ({error.spent:.2f} USD spent, "
            "and the next call could exceed it): raise the limit, or reset."
        )
    if isinstance(error, LLMSpreadError):
        return str(error)
    _log.error("unforeseen error on the page", exc_info=error)
    return f"{otherwise} ({type(error).__name__})."


def prepare() -> None:
    """Import, in a thread, the modules that a model needs, before the first visitor comes."""
    module = "mesa_llmspread.app.layout"
    threading.Thread(target=importlib.import_module, args=(module,), daemon=True).start()
