"""Step, Run, Stop and Reset, the speed, and what is happening."""

from __future__ import annotations

from typing import TYPE_CHECKING

import solara

from mesa_llmspread._words import counted
from mesa_llmspread.app.session import Session, View

if TYPE_CHECKING:
    from mesa_llmspread.app.watched import Progress

__all__ = ["Controls", "Status"]


@solara.component
def Controls(session: Session, views: solara.Reactive[View]) -> None:
    """Show the four buttons and the speed.

    Parameters
    ----------
    session : Session
        Carries the orders out.
    views : reactive View
        What there is to see.
    """
    view = views.value
    speed, set_speed = solara.use_state(4)
    idle = not view.busy and view.model is not None and not view.ended

    def change(steps_a_second: int) -> None:
        set_speed(steps_a_second)
        session.pause = 1 / steps_a_second

    with solara.Row(gap="6px", classes=["spread-buttons"]):
        solara.Button("Step", session.step, disabled=not idle, small=True)
        solara.Button("Run", session.run, disabled=not idle, color="primary", small=True)
        solara.Button("Stop", session.stop, disabled=not view.busy, small=True)
        solara.Button("Reset", session.reset, small=True)
    solara.SliderInt(
        f"Speed: {counted(speed, 'step')} per second", value=speed, min=1, max=20, on_value=change
    )


@solara.component
def Status(views: solara.Reactive[View], progresses: solara.Reactive[Progress | None]) -> None:
    """Say in a sentence what is happening, or what went wrong.

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
    with solara.Row(classes=["spread-status"], style={"align-items": "center"}):
        solara.Text(headline(view), classes=["spread-headline"])
        if progress is not None and progress.total:
            solara.Text(str(progress), classes=["spread-progress"])
    if view.decided_by:
        solara.Text(f"Decisions are made by {view.decided_by}.", classes=["spread-decider"])
    done = 100 * progress.done / progress.total if progress and progress.total else None
    waiting = view.busy in ("building", "stepping") and done is None
    solara.ProgressLinear(value=True if waiting else done if done is not None else _share(view))


def headline(view: View) -> str:
    """Put the state of a run into a sentence."""
    if view.model is None:
        return "Making the model …" if view.busy else "There is no model."
    n, infected = view.model.n, view.infected[-1]
    have = "has" if infected == 1 else "have"
    state = f"After step {view.clock}, {infected} of {n} agents {have} posted the news"
    failed = f"; {view.failed} of {view.asked} decisions failed" if view.failed else ""
    if view.ended:
        return f"{state}{failed}. Nobody is left to reach: the run has ended."
    if view.clock == 0 and not view.busy:
        return f"{state}. Press Run to see it spread."
    return f"{state}{failed}."


def _share(view: View) -> float:
    """Percent of the agents that have posted."""
    return 100 * view.infected[-1] / view.model.n if view.model and view.infected else 0.0
