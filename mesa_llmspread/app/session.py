"""One visitor's model, stepped in other threads than the page's, so that the page never waits.

The page gives orders and reads views; a view is immutable, so nothing the page draws changes
while it is drawn. One order is carried out at a time, and a new model replaces all others.
"""

from __future__ import annotations

import functools
import importlib
import logging
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mesa_llmspread.app.fits import Law, submit
from mesa_llmspread.app.live_models import Access, Progress, Watched, access_of
from mesa_llmspread.app.settings import CONTROLS, Settings
from mesa_llmspread.deciders.llm.event_loop import stopped_by
from mesa_llmspread.exceptions import (
    ArgumentError,
    BudgetExceededError,
    LLMSpreadError,
    ServerUnreachableError,
    StoppedError,
    TooManyFailuresError,
)

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
        The model; None before the first.
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
    limited : bool
        Whether the last run stopped because it had taken the most steps that are allowed.
    data : SpreadData or None
        The run up to a recent step.
    answers : Path or None
        The store with a live model's answers; None where no live model decides.
    law : Law
        What has been fitted to it.
    fitting : bool
        Whether a newer fit is under way.
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
    limited: bool = False
    data: SpreadData | None = None
    answers: Path | None = None
    law: Law = field(default_factory=Law)
    fitting: bool = False
    problem: str = ""


class Session:
    """A visitor's model and what is done with it.

    Parameters
    ----------
    settings : Settings, optional
        The first model's.
    access : Access, optional
        Which live language models the visitor may call; none if not given.
    pause : float, default 0.25
        Seconds between the steps of a run.

    Attributes
    ----------
    wanted_law : str
        The law to solve; "" for the best one.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        access: Access | None = None,
        pause: float = 0.25,
    ) -> None:
        self._lock = threading.RLock()
        self._turn = threading.Lock()
        self._stop = threading.Event()
        self._view = View(settings=settings or Settings())
        self._watched: Watched | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="llmspread-", ignore_cleanup_errors=True)
        self._closed = self._refit = self._seen = self._running = False
        self._fitting: Future[Law] = Future()
        self._fitting.cancel()  # none yet
        self.access = access or Access()
        self.wanted_law = ""
        self.pause = pause
        self.apply(self._view.settings)

    @property
    def view(self) -> View:
        """What there is to see now."""
        return self._view

    @property
    def progress(self) -> Progress | None:
        """How far a step of a language model is; None where none is in progress."""
        watched = self._watched
        return watched.progress if watched is not None and self._view.busy else None

    def apply(self, settings: Settings, run: bool | None = None) -> None:
        """Build a new model, in place of all that is in progress.

        Parameters
        ----------
        settings : Settings
            The model's. Where only the most steps per run are new, the model stays.
        run : bool, optional
            Whether the new model runs at once; by default, if the last one was running.
        """
        if settings.decider == "llm" and (refused := self.access.refusal(settings.llm)):
            self._show(problem=refused)
            return
        view, settings = self._view, settings.possible()
        same = view.model is not None and view.busy != "building" and run is None
        if same and replace(view.settings, steps=settings.steps) == settings:
            self._show(settings=settings, limited=False, problem="")
            return
        self.wanted_law = ""
        # A run that is replaced before it is built goes on in the next one.
        self._running = (self._running or view.busy == "running") if run is None else run
        self._order("building", self._build, settings)

    def reset(self) -> None:
        """Build the same model again; it waits for an order to run."""
        self.apply(self._view.settings, run=False)

    def painted(self) -> None:
        """Run the first model, now that the visitor sees it; later calls do nothing."""
        if not self._seen and self._view.model is not None:
            self._seen = True
            self.run()

    def step(self) -> None:
        """Run one step, once the model is built; nothing if one is in progress."""
        self._order("stepping", self._take, "stepping")

    def run(self) -> None:
        """Run at most as many steps as the settings allow, as :meth:`step`."""
        self._order("running", self._take, "running")

    def stop(self) -> None:
        """Stop; an unfinished step is dropped, and the model is as before that step."""
        self._running, self._seen = False, True
        self._stop.set()

    def close(self) -> None:
        """Stop for good, and delete what was kept for the visitor."""
        self._closed = True
        self._stop.set()
        with self._turn:
            self._folder.cleanup()

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

    def _build(self, stop: threading.Event, settings: Settings) -> None:
        """Build a model, lay its network out, and run it if that is asked for.

        Where it cannot be built the model before it stays.
        """
        from mesa_llmspread.app.layout import picture

        view, run, answers, watched = self._view, self._running, None, None
        self._running = False
        if settings.decider == "llm":
            answers = Path(self._folder.name) / f"answers-{view.run + 1}.sqlite"
            decider = settings.make_decider(answers)
            decider.check()
            watched = Watched(decider)
        model = settings.make_model(watched)
        self._watched = watched
        new = View(view.run + 1, settings, model, picture(model), busy="building", answers=answers)
        self._show(**{**vars(new), **_state(model)})
        if run:
            self._take(stop, "running")

    def _take(self, stop: threading.Event, busy: str) -> None:
        """Run one step, or as many as a run may take, and fit the laws from time to time."""
        model, start = self._view.model, self._view.clock
        if model is None:
            return
        self._seen = True
        self._show(stop, busy=busy, problem="", limited=False)
        while model.running and not stop.is_set():
            with stopped_by(stop):
                model.step()
            most = self._view.settings.steps if busy == "running" else 1
            over = model.clock - start >= most
            limited = busy == "running" and over and model.running
            self._show(**_state(model), limited=limited)
            if over or not model.running:
                break
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
            if self._refit and view.data is not None:
                self._show(fitting=True)  # once the fit under way, of an earlier run, is done
            if self._closed or self._refit or view.model is None or view.data is None:
                return
            self._show(fitting=True)
            self._fitting = submit(view.data, view.model.network, self.wanted_law)
        self._fitting.add_done_callback(functools.partial(self._fitted, view.run))

    def _fitted(self, run: int, fit: Future[Law]) -> None:
        """Show a fitted law, unless there is a newer run; start the next fit if one is due."""
        with self._lock:
            error = fit.exception()
            self._show(fitting=self._refit)
            if error is not None:  # the page can do without a curve
                _log.error("unforeseen error in a fit", exc_info=error)
            elif run == self._view.run:
                self._show(law=fit.result())
        if self._refit:
            self._fit()


def _state(model: SpreadModel) -> dict[str, Any]:
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
            "and the next call could exceed it). Press Reset to start again."
        )
    # What these advise otherwise are arguments in Python, which the page does not have.
    if isinstance(error, ServerUnreachableError):
        return f"No server answers at {error.address}. Start it, or choose another model."
    if isinstance(error, TooManyFailuresError):
        return (
            f"{error.failed} of {error.decided} decisions failed ({error.reasons}), more than the "
            f"share of {error.max_failed:g} that is allowed. Choose another model."
        )
    if isinstance(error, ArgumentError) and error.argument in CONTROLS:
        return f"{CONTROLS[error.argument].label} = {error.value}: must {error.allowed}."
    if isinstance(error, LLMSpreadError):
        return str(error)
    _log.error("unforeseen error on the page", exc_info=error)
    return f"{otherwise} ({type(error).__name__})."


def prepare() -> None:
    """Make a server ready for visitors, or raise InputFileError if its list of models is wrong.

    Import, in a thread, the modules that a model needs. Tell the operator if the page's scripts are
    not installed; a page that does not get them either says so itself. Send no usage statistics.
    """
    access_of({})
    module = "mesa_llmspread.app.layout"
    threading.Thread(target=importlib.import_module, args=(module,), daemon=True).start()
    from solara.server.settings import assets, telemetry

    telemetry.mixpanel_enable = False
    assets.extra_locations.append(str(Path(__file__).with_name("browser")))
    if not (assets.proxy_cache_dir / "@widgetti").is_dir():
        print(
            "The page's scripts are not installed, so this server gets them from the internet. "
            "To install them: pip install 'mesa_llmspread[offline]'",
            file=sys.stderr,
        )
