"""The page: a sidebar of choices, what is happening, and five panels."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import solara
import solara.lab

from mesa_llmspread.app.card import AgentCard
from mesa_llmspread.app.controls import Controls, Status
from mesa_llmspread.app.curves import Curves
from mesa_llmspread.app.export import ExportView
from mesa_llmspread.app.feed_view import FeedView
from mesa_llmspread.app.forms import Forms
from mesa_llmspread.app.guarded import Guarded
from mesa_llmspread.app.law_view import LawView, Verdict
from mesa_llmspread.app.lesson import Lesson
from mesa_llmspread.app.network_view import NetworkView
from mesa_llmspread.app.profiles_view import ProfilesView
from mesa_llmspread.app.session import Session, View
from mesa_llmspread.app.settings import Settings

__all__ = ["Page"]

# The page is redrawn no more often than this.
_REDRAW_SECONDS = 0.08
_GATHER_SECONDS = 0.02
_PROGRESS_SECONDS = 0.25
# Nothing waits for this but the end of the thread of a tab that was closed.
_IDLE_SECONDS = 2.0

_TABS = ("Watch", "Profiles", "Law", "Feed", "Export")

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
        while not cancelled.is_set():
            patience = _IDLE_SECONDS if progress.peek() is None else _PROGRESS_SECONDS
            if session.wait(view.peek().version, patience) is not view.peek():
                # What a quick step changes comes piece by piece and is drawn once.
                cancelled.wait(_GATHER_SECONDS)
            progress.set(session.progress)
            if session.view is not view.peek():
                view.set(session.view)
                cancelled.wait(_REDRAW_SECONDS)

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
            with Guarded():
                Controls(session, view)
            with Guarded():
                Forms(settings, apply, view)
        with solara.Div(classes=["spread-page"]):
            if touring:
                with Guarded():
                    Lesson(lambda chosen: apply(chosen, run=True), lambda: set_touring(False))
            with Guarded():
                Status(view, progress)
            Panels(session, view)


@solara.component
def Panels(session: Session, views: solara.Reactive[View]) -> None:
    """Show one panel at a time.

    Parameters
    ----------
    session : Session
        Asked to solve another law.
    views : reactive View
        What there is to see.
    """
    view = views.value
    tab, set_tab = solara.use_state(0)
    # An agent of the run that it was chosen in.
    (run, agent), set_selected = solara.use_state((0, -1))
    selected = agent if run == view.run else -1

    def select(agent: int) -> None:
        set_selected((view.run, agent))
        set_tab(0)

    with solara.Div(classes=["spread-panels"]):
        with solara.lab.Tabs(value=tab, on_value=set_tab):
            for name in _TABS:
                solara.lab.Tab(name)
        with Guarded(classes=["spread-panel"]).key(f"{_TABS[tab]} of run {view.run}"):
            if tab == 0:
                Watch(view, selected, select)
            elif tab == 1:
                ProfilesView(view)
            elif tab == 2:
                LawView(session, view)
            elif tab == 3:
                FeedView(view, select)
            else:
                ExportView(view)


@solara.component
def Watch(view: View, selected: int, on_selected: Callable[[int], None]) -> None:
    """Show the network beside the curves, and an agent's card or the verdict.

    Parameters
    ----------
    view : View
        What there is to see.
    selected : int
        The agent whose card is open; -1 for none.
    on_selected : callable
        Called with the agent that is clicked.
    """
    with solara.Div(classes=["spread-watch"]):
        with solara.Div():
            NetworkView(view, selected, on_selected)
        with solara.Div(classes=["spread-right"]):
            with solara.Div(classes=["spread-curves"]):
                Curves(view)
            if selected >= 0:
                AgentCard(view, selected, lambda: on_selected(-1))
            else:
                Verdict(view)
