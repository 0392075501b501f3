"""The page: what is happening in words, the network and its buttons, the panels, the form."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import reacton
import solara
import solara.lab

from mesa_llmspread.app.export import Export
from mesa_llmspread.app.form import Form
from mesa_llmspread.app.lesson import Lesson
from mesa_llmspread.app.live_models import Progress, access_of
from mesa_llmspread.app.panels import Card, Curve, Feed, Laws, Profiles
from mesa_llmspread.app.session import Session, View, explained
from mesa_llmspread.app.settings import Settings
from mesa_llmspread.app.widgets import Buttons, Header, NetworkCanvas, Section

__all__ = ["Layout", "Page", "Status"]

_REDRAW_SECONDS = 0.05


@solara.component
def Layout(children: Sequence[reacton.core.Element] = ()) -> None:
    """Show a page without Solara's own bar and drawer."""
    solara.Div(children=list(children))


@solara.component
def Page() -> None:
    """Show a model of the visitor's own, and what is done with it."""
    session = solara.use_memo(lambda: Session(access=access_of(solara.lab.headers.value or {})), [])
    # Read only where they are drawn: a form that is drawn again loses what is being typed.
    view = solara.use_memo(lambda: solara.reactive(session.view), [session])
    progress = solara.use_memo(lambda: solara.reactive(session.progress), [session])
    settings, set_settings = solara.use_state(session.view.settings)
    touring, set_touring = solara.use_state(False)

    def follow(cancelled: threading.Event) -> None:
        # What a quick step changes comes piece by piece and is drawn together.
        drawn = session.view
        while not cancelled.wait(_REDRAW_SECONDS):
            now = session.view
            if now is not drawn and now.problem and not now.busy:
                set_settings(now.settings)  # those of the model that stays
            drawn = now
            progress.set(session.progress)
            view.set(now)

    solara.use_thread(follow, dependencies=[session], intrusive_cancel=False)
    solara.use_effect(lambda: session.close, [session])

    def apply(chosen: Settings, run: bool | None = None) -> None:
        session.apply(chosen, run)
        set_settings(chosen.possible())

    def pause(seconds: float) -> None:
        session.pause = seconds

    solara.Style(Path(__file__).with_name("browser") / "page.css")
    with Section("div", classes="spread"):
        Header(title="How news spreads", event_lesson=lambda _: set_touring(not touring))
        if touring:
            with _Guarded():
                Lesson(lambda chosen: apply(chosen, run=True), lambda: set_touring(False))
        with _Guarded():
            Status(view, progress)
        with Section("main", classes="spread-main"):
            _Model(session, view)
            with (
                Section("section", classes="spread-settings", aria_label="Settings", tabindex="0"),
                _Guarded(),
            ):
                Section("h2", "Settings")
                Form(settings, session.access, apply, pause)


@solara.component
def _Guarded(children: Sequence[reacton.core.Element] = (), classes: str = "") -> None:
    """Show its children, or a sentence where they cannot be shown; the rest of the page stays."""
    error, again = reacton.use_exception()
    if error is None:
        Section("div", *children, classes=classes)
        return
    with Section("div"):
        # Solara shows the traceback of what is not caught, and a message may quote a key.
        sentence = explained(error, "This panel cannot be shown")
        Section("p", sentence, classes="spread-problem", role="alert")
        retry = [{"name": "again", "label": "Try again"}]
        Buttons(label="Panel", items=retry, event_press=lambda _: again())


@solara.component
def Status(views: solara.Reactive[View], progresses: solara.Reactive[Progress | None]) -> None:
    """Show in words what the news is, what is happening, who decides, and what went wrong.

    Parameters
    ----------
    views : reactive View
        What there is to see.
    progresses : reactive Progress or None
        How far a step of a language model is.
    """
    view, progress = views.value, progresses.value
    headline = _headline(view)
    with Section("section", classes="spread-status", aria_label="What is happening"):
        Section("p", f"The news: {view.settings.event.text}", classes="spread-news")
        Section("p", headline, classes="spread-headline")
        # Read aloud when a run begins and ends, not at each of its steps.
        spoken = "The run has started." if view.busy == "running" else headline
        Section("p", spoken, classes="spread-hidden", aria_live="polite", role="status")
        Section("p", f"Who decides? {view.settings.decided_by()}", classes="spread-decider")
        if progress is not None and progress.total:
            Section("p", str(progress), classes="spread-progress")
            done = {"max": progress.total, "value": progress.done}
            Section("progress", **done, aria_label="Calls of this step")
        if view.problem:
            kept = " The model is still the one before." if view.model is not None else ""
            Section("p", view.problem + kept, classes="spread-problem", role="alert")


def _headline(view: View) -> str:
    """Return the state of a run in plain words."""
    if view.model is None:
        return "Building the network …" if view.busy else "There is no network yet."
    n, number = view.model.n, view.infected[-1]
    text = f"{n} simulated people follow each other in this network. "
    text += f"{number} {'has' if number == 1 else 'have'} shared this news"
    text += f" after {view.clock} step{'' if view.clock == 1 else 's'}." if view.clock else "."
    if view.failed:
        text += f" {view.failed} of {view.asked} decisions failed."
    if view.ended:
        return f"{text} Nobody is left to reach: the run has ended."
    if view.limited:
        most = view.settings.steps
        return f"{text} The run stopped after {most} steps, the most per run. Press Run to go on."
    return text


@solara.component
def _Model(session: Session, views: solara.Reactive[View]) -> None:
    """Show the network with its buttons, and one panel beside it."""
    view = views.value
    tab, set_tab = solara.use_state("Curve")
    # An agent of the run that it was chosen in.
    (run, agent), set_selected = solara.use_state((0, -1))
    selected = agent if run == view.run and view.model is not None else -1

    def select(agent: int) -> None:
        known = view.model is not None and 0 <= agent < view.model.n
        set_selected((view.run, agent if known else -1))

    panels: dict[str, Callable[[], None]] = {
        "Curve": lambda: Curve(view),
        "Personalities": lambda: Profiles(view),
        "Laws": lambda: Laws(view, session.wanted_law, session.draw),
        "Posts": lambda: Feed(view, select),
        "Export": lambda: Export(view),
    }
    with Section("div", classes="spread-model"):
        with Section("section", classes="spread-picture", aria_label="Network"):
            with _Guarded():
                _Controls(session, view)
            with _Guarded(classes="spread-canvas"):
                if view.model is not None:
                    NetworkCanvas(
                        picture=view.picture,
                        posted=view.posted,
                        clock=view.clock,
                        feed=view.settings.feed,
                        selected=selected,
                        event_select=select,
                        event_painted=lambda _: session.painted(),
                    )
        with Section("section", classes="spread-panels", aria_label="Results", tabindex="0"):
            items = [{"name": name, "label": name, "current": name == tab} for name in panels]
            Buttons(label="Panels", items=items, event_press=lambda name: set_tab(str(name)))
            if selected >= 0 and view.model is not None:
                with _Guarded().key(f"card of run {view.run}"):
                    Card(view, view.model.spreaders[selected], lambda: select(-1))
            with _Guarded(classes="spread-panel").key(f"{tab} of run {view.run}"):
                panels.get(tab, panels["Curve"])()


@solara.component
def _Controls(session: Session, view: View) -> None:
    """Show the four buttons of a run."""
    idle = not view.busy and view.model is not None and not view.ended
    press = {
        "run": session.run,
        "step": session.step,
        "stop": session.stop,
        "reset": session.reset,
    }
    items = [
        {"name": "run", "label": "Run", "disabled": not idle, "primary": True, "shortcut": " "},
        {"name": "step", "label": "Step", "disabled": not idle, "shortcut": "ArrowRight"},
        {"name": "stop", "label": "Stop", "disabled": not view.busy, "shortcut": " "},
        {"name": "reset", "label": "Reset", "shortcut": "r"},
    ]
    Buttons(label="Run", items=items, event_press=lambda name: press[name]())
