"""A guided tour for a class: five steps, each with settings and a question."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import solara

from mesa_llmspread.app.settings import LAWS, Settings

__all__ = ["LESSONS", "Lesson", "LessonStep"]


class LessonStep(NamedTuple):
    """One step of the tour: what it shows, by which settings, and a question."""

    title: str
    text: str
    question: str
    changes: Mapping[str, Any]

    @property
    def settings(self) -> Settings:
        """The settings of this step, all others as at the start."""
        rates = LAWS | self.changes.get("rates", {})
        return replace(Settings(), **{**self.changes, "rates": rates})


_FILE = Path(__file__).with_name("lesson.toml")

#: The tour.
LESSONS = [LessonStep(**step) for step in tomllib.loads(_FILE.read_text("utf-8"))["steps"]]


@solara.component
def Lesson(on_settings: Callable[[Settings], None], on_close: Callable[[], None]) -> None:
    """Show one step of the tour at a time.

    Parameters
    ----------
    on_settings : callable
        Called with the settings of a step that is to be shown.
    on_close : callable
        Called when the tour is closed.
    """
    place, set_place = solara.use_state(0)
    step, last = LESSONS[place], len(LESSONS) - 1
    with solara.Div(classes=["spread-card", "spread-lesson"]):
        with solara.Row(style={"align-items": "center"}, gap="8px"):
            solara.Text(f"{place + 1} of {len(LESSONS)}: {step.title}", classes=["h"])
            solara.v.Spacer()
            solara.Button(
                "Show it", lambda: on_settings(step.settings), color="primary", small=True
            )
            solara.Button("Back", lambda: set_place(place - 1), disabled=not place, small=True)
            solara.Button("Next", lambda: set_place(place + 1), disabled=place == last, small=True)
            solara.Button("Close", on_close, small=True, text=True)
        solara.Text(step.text)
        solara.Text(step.question, classes=["spread-question"])
