"""The page: a sidebar of choices, what is happening, and five panels."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import reacton
import solara
import solara.lab

from mesa_llmspread.app.forms import Controls, Forms
from mesa_llmspread.app.language_model import Progress
from mesa_llmspread.app.lesson import Lesson
from mesa_llmspread.app.panels import Export, Feed, Laws, Profiles, Watch
from mesa_llmspread.app.session import Session, View, explained
from mesa_llmspread.app.settings import Settings

__all__ = ["Page", "Status"]

_REDRAW_SECONDS = 0.05
_STYLE = Path(__file__).with_name("page.css")


@solara.component
def Page() -> None:
    """Show a model of the visitor's own, and what is done with it."""
    session = solara.use_memo(lambda: Session(running=True), [])
    # Read only where they are drawn: a form that is drawn anew loses what is being typed.
    view = solara.use_memo(lambda: solara.reactive(session.view), [session])
    progress = solara.use_memo(lambda: solara.reactive(session.progress), [session])
    settings, set_settings = solara.use_state(session.view.settings)
    touring, set_touring = solara.use_state(False)

    def follow(cancelled: threading.Event) -> None:
        # What a quick step changes comes piece by piece and is drawn together.
        while not cancelled.wait(_REDRAW_SECONDS):
            progress.set(session.progress)
            view.set(session.view)

    solara.use_thread(follow, dependencies=[session], intrusive_cancel=False)
    solara.use_effect(lambda: session.close, [session])

    def apply(chosen: Settings, run: bool = False) -> None:
        set_settings(chosen)
        session.apply(chosen, run)

    with solara.Div():
        solara.Title("How news spreads among agents")
        solara.Style(_STYLE)
        with solara.AppBar():
            solara.Button(
                "Lesson",
                lambda: set_touring(not touring),
                icon_name="mdi-school",
                text=True,
                dark=True,
            )
            solara.lab.ThemeToggle(enable_auto=False)
        with solara.Sidebar():
            # Alone, so that they stay whatever else cannot be shown.
            with _Guarded():
                Controls(session, view)
            with _Guarded():
                Forms(settings, apply)
        with solara.Div(classes=["spread-page"]):
            if touring:
                with _Guarded():
                    Lesson(lambda chosen: apply(chosen, run=True), lambda: set_touring(False))
            with _Guarded():
                Status(view, progress)
            _Panels(session, view)


@solara.component
def _Guarded(children: Sequence[reacton.core.Element] = (), classes: Sequence[str] = ()) -> None:
    """Show its children, or a sentence where they cannot be shown; the rest of the page stays."""
    error, again = reacton.use_exception()
    if error is None:
        solara.Div(children=list(children), classes=list(classes))
        return
    # Solara shows the traceback of what is not caught, and an unforeseen message may quote a key.
    solara.Error(explained(error, "This panel cannot be shown"), dense=True)
    solara.Button("Try again", again, small=True)


@solara.component
def Status(views: solara.Reactive[View], progresses: solara.Reactive[Progress | None]) -> None:
    """Show in a sentence what is happening, or what went wrong.

    Parameters
    ----------
    views : reactive View
        What there is to see.
    progresses : reactive Progress or None
        How far a step of a language model is.
    """
    view, progress = views.value, progresses.value
    if view.problem:
        solara.Error(view.problem, dense=True, classes=["spread-problem"])
    calls = progress if progress is not None and progress.total else None
    with solara.Row(classes=["spread-status"], style={"align-items": "center"}):
        solara.Text(_headline(view), classes=["spread-headline"])
        if calls:
            solara.Text(str(calls), classes=["spread-progress"])
    if view.decided_by:
        solara.Text(f"Decisions are made by {view.decided_by}.", classes=["spread-decider"])
    done = view.infected[-1] / view.model.n if view.model else 0.0
    done = calls.done / calls.total if calls else done
    # A bar without an end where nothing tells how far it is.
    solara.ProgressLinear((not calls and view.busy in ("building", "stepping")) or 100 * done)


def _headline(view: View) -> str:
    """Return the state of a run as a sentence."""
    if view.model is None:
        return "Building the model …" if view.busy else "There is no model."
    infected = view.infected[-1]
    have = "has" if infected == 1 else "have"
    state = f"After step {view.clock}, {infected} of {view.model.n} agents {have} posted the news"
    failed = f"; {view.failed} of {view.asked} decisions failed" if view.failed else ""
    if view.ended:
        return f"{state}{failed}. Nobody is left to reach: the run has ended."
    if view.clock == 0 and not view.busy:
        return f"{state}. Press Run to see it spread."
    return f"{state}{failed}."


@solara.component
def _Panels(session: Session, views: solara.Reactive[View]) -> None:
    """Show one panel at a time."""
    view = views.value
    tab, set_tab = solara.use_state(0)
    # An agent of the run that it was chosen in.
    (run, agent), set_selected = solara.use_state((0, -1))

    def select(agent: int) -> None:
        set_selected((view.run, agent))
        set_tab(0)

    panels = {
        "Watch": lambda: Watch(view, agent if run == view.run else -1, select),
        "Profiles": lambda: Profiles(view),
        "Law": lambda: Laws(view, session.wanted_law, session.draw),
        "Feed": lambda: Feed(view, select),
        "Export": lambda: Export(view),
    }
    name = list(panels)[tab]
    with solara.Div(classes=["spread-panels"]):
        with solara.lab.Tabs(value=tab, on_value=set_tab):
            for each in panels:
                solara.lab.Tab(each)
        with _Guarded(classes=["spread-panel"]).key(f"{name} of run {view.run}"):
            panels[name]()
