"""One visitor's model, and the thread that steps it, so that the page never waits.

The page gives orders and reads views; a view is immutable, so nothing the page draws changes
under its hands. Orders are kept, not queued: the last one counts.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mesa_llmspread.app.fits import Fits, Wish
from mesa_llmspread.app.law import Law
from mesa_llmspread.app.settings import Settings
from mesa_llmspread.exceptions import LLMSpreadError, StoppedError

# Mesa and what comes with it take longer to load than the rest of the page, so they are
# imported where a model is first made, in a thread that nobody waits for.
if TYPE_CHECKING:
    from mesa_llmspread.app.stage import Stage
    from mesa_llmspread.app.watched import Progress, Watched
    from mesa_llmspread.data import SpreadData
    from mesa_llmspread.model import SpreadModel

__all__ = ["Session", "View", "prepare"]

_log = logging.getLogger(__name__)

# While a run goes on, the law is fitted again no sooner than this.
_FIT_SECONDS = 0.5


@dataclass(frozen=True)
class View:
    """What there is to see of a session at one moment.

    Attributes
    ----------
    version : int
        Grows with every change.
    run : int
        Grows with every new model.
    settings : Settings
        What the model was made from.
    model : SpreadModel or None
        The model; None before the first, and where the settings are not allowed.
    decided_by : str
        Who decides in it, in words; "" where there is no model.
    stage : Stage or None
        Its network, laid out.
    clock : int
        Steps done.
    posted : list of int
        The step at which each agent posted; -1 if it has not.
    susceptible, infected : list of int
        Agents in each state, from step 0.
    asked, failed : int
        Decisions asked for, and not had, over the run.
    busy : {"", "building", "stepping", "running"}
        What is under way.
    ended : bool
        Whether nobody is left who can still be reached.
    data : SpreadData or None
        The run up to a step or so ago.
    law : Law
        What has been fitted to it.
    problem : str
        What went wrong last, in a sentence; "" if nothing did.
    """

    version: int = 0
    run: int = 0
    settings: Settings = field(default_factory=Settings)
    model: SpreadModel | None = None
    decided_by: str = ""
    stage: Stage | None = None
    clock: int = 0
    posted: list[int] = field(default_factory=list)
    susceptible: list[int] = field(default_factory=list)
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
    """

    def __init__(self, settings: Settings | None = None, running: bool = False) -> None:
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._view = View(settings=settings or Settings(), busy="building")
        self._new: Settings | None = self._view.settings
        self._steps = self._view.settings.steps if running else 0
        self._ran = running
        self._closed = False
        self._watched: Watched | None = None
        self._unrecorded = False
        self._fits = Fits(self._show_law)
        self._last_fit = 0.0
        #: The law to solve; "" for the best one.
        self.wanted_law = ""
        #: Seconds between the steps of a run.
        self.pause = 0.25
        self._thread = threading.Thread(
            target=self._work, name="mesa_llmspread-session", daemon=True
        )
        self._thread.start()

    @property
    def view(self) -> View:
        """What there is to see now."""
        return self._view

    @property
    def progress(self) -> Progress | None:
        """How far a step of a language model is; None where none is under way."""
        return self._watched.progress if self._watched is not None and self._view.busy else None

    def wait(self, version: int, timeout: float) -> View:
        """Wait until there is a newer view than one, or no longer than some seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._view.version != version, timeout)
            return self._view

    def apply(self, settings: Settings, run: bool = False) -> None:
        """Make a new model."""
        self._order(new=settings, steps=settings.steps if run else 0)

    def step(self) -> None:
        """Take one step."""
        self._order(steps=1)

    def run(self) -> None:
        """Run to the end, or as many steps as the settings allow."""
        self._order(steps=max(self._view.settings.steps - self._view.clock, 1))

    def stop(self) -> None:
        """Stop; a step that is not done is dropped, and the model is as before it."""
        self._order(steps=0)

    def reset(self) -> None:
        """Make the same model again."""
        self.apply(self._view.settings)

    def close(self) -> None:
        """Stop for good."""
        with self._changed:
            self._closed = True
        self._fits.close()
        self._order(steps=0)

    def draw(self, law: str) -> None:
        """Solve another law; "" for the best one."""
        self.wanted_law = law
        view = self._view
        if view.model is not None and view.data is not None:
            self._fits.ask(Wish(view.run, view.data, view.model.network, law, view.law.complete))

    def _order(self, steps: int, new: Settings | None = None) -> None:
        with self._changed:
            self._steps = steps
            if steps:
                self._ran = steps > 1
            if new is not None:
                self._new = new
            if new is not None or steps == 0:
                self._stop.set()
            self._changed.notify_all()

    def _show(self, **changes: Any) -> None:
        with self._changed:
            self._view = replace(self._view, version=self._view.version + 1, **changes)
            self._changed.notify_all()

    def _work(self) -> None:
        """Carry out orders until closed."""
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work)
                if self._closed:
                    return
                new, self._new = self._new, None
                steps = self._steps
                self._stop.clear()
            if new is not None:
                self._guarded(functools.partial(self._build, new))
            elif steps:
                self._guarded(functools.partial(self._step, "running" if self._ran else "stepping"))
                if self._steps:
                    self._stop.wait(self.pause)
            else:
                # Somebody who steps by hand wants the next step sooner than the last law.
                self._show(busy="")
                complete = self._ran or self._view.ended
                self._guarded(functools.partial(self._record, complete=complete))

    def _has_work(self) -> bool:
        return bool(self._closed or self._new or self._steps or self._unrecorded or self._view.busy)

    def _guarded(self, action: Callable[[], None]) -> None:
        """Do something; what goes wrong becomes a sentence."""
        try:
            action()
            return
        except StoppedError:
            problem = ""
        except LLMSpreadError as error:
            problem = str(error)
        except Exception as error:
            # The page must show a sentence whatever happens, and never what an unforeseen
            # error says: it may quote a key.
            _log.exception("unforeseen error in a session")
            problem = f"Something went wrong in the program ({type(error).__name__})."
        with self._changed:
            if self._new is None:
                self._steps = 0
        self._show(busy="", problem=problem)

    def _build(self, settings: Settings) -> None:
        """Make a model, and lay its network out."""
        from mesa_llmspread.app.stage import make_stage
        from mesa_llmspread.app.watched import Watched

        self._show(busy="building", problem="", settings=settings)
        self._unrecorded = False
        try:
            self._watched = None
            if settings.decider == "llm":
                decider = settings.make_decider()
                decider.check()
                self._watched = Watched(decider, self._stop)
            model = settings.make_model(self._watched)
        except LLMSpreadError:
            self._show(model=None, decided_by="", stage=None, data=None, law=Law(), **_EMPTY)
            raise
        with self._changed:
            going_on = self._steps > 0
        self._show(
            run=self._view.run + 1,
            model=model,
            decided_by=settings.decided_by(),
            stage=make_stage(model),
            data=None,
            law=Law(),
            busy="running" if going_on else "",
            **_seen(model),
        )

    def _step(self, busy: str) -> None:
        """Take one step, and fit the law now and then."""
        model = self._view.model
        if model is None or self._view.ended:
            with self._changed:
                self._steps = 0
            return
        if self._view.busy != busy or self._view.problem:
            self._show(busy=busy, problem="")
        model.step()
        self._unrecorded = True
        with self._changed:
            self._steps = max(self._steps - 1, 0) if model.running else 0
        self._show(**_seen(model))
        if self._steps and time.monotonic() - self._last_fit > _FIT_SECONDS:
            self._record(complete=False)

    def _record(self, complete: bool) -> None:
        """Keep the run so far, and have the law fitted to it away from the steps."""
        from mesa_llmspread.data import SpreadData

        model = self._view.model
        if model is None or not self._unrecorded or (self._fits.busy and self._steps):
            return
        self._unrecorded = False
        data = SpreadData.from_model(model)
        self._last_fit = time.monotonic()
        self._show(data=data)
        self._fits.ask(Wish(self._view.run, data, model.network, self.wanted_law, complete))

    def _show_law(self, run: int, law: Law) -> None:
        """Show a law that was fitted, unless there is a newer one, or a newer run."""
        with self._changed:
            if run == self._view.run and law.step >= self._view.law.step:
                self._show(law=law)


def prepare() -> None:
    """Load, in a thread, what a model needs, while the first visitor's page is on its way."""

    def load() -> None:
        import mesa_llmspread.app.stage
        import mesa_llmspread.app.watched  # noqa: F401

    threading.Thread(target=load, name="mesa_llmspread-prepare", daemon=True).start()


_EMPTY: dict[str, Any] = {
    "clock": 0,
    "posted": [],
    "susceptible": [],
    "infected": [],
    "asked": 0,
    "failed": 0,
    "ended": False,
}


def _seen(model: SpreadModel) -> dict[str, Any]:
    """Copy what is drawn of a model between two steps."""
    counts = model.datacollector.model_vars
    return {
        "clock": model.clock,
        "posted": [-1 if a.posted_at is None else a.posted_at for a in model.spreaders],
        "susceptible": list(counts["Susceptible"]),
        "infected": list(counts["Infected"]),
        "asked": sum(counts["Exposures"]),
        "failed": sum(counts["Failed"]),
        "ended": not model.running,
    }
