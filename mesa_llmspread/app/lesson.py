"""A guided tour for a class: five steps, each with settings and a question."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import solara

from mesa_llmspread.app.settings import LAWS, Settings
from mesa_llmspread.app.widgets import Buttons, Section

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
    press = {
        "show": lambda: on_settings(step.settings),
        "back": lambda: set_place(max(place - 1, 0)),
        "next": lambda: set_place(min(place + 1, last)),
        "close": on_close,
    }
    items = [
        {"name": "show", "label": "Show it", "primary": True},
        {"name": "back", "label": "Back", "disabled": not place},
        {"name": "next", "label": "Next", "disabled": place == last},
        {"name": "close", "label": "Close"},
    ]
    with Section("section", classes="spread-card spread-lesson", aria_label="Lesson"):
        Section("h2", f"{place + 1} of {len(LESSONS)}: {step.title}")
        Section("p", step.text)
        Section("p", step.question, classes="spread-question")
        Buttons(label="Lesson", items=items, event_press=lambda name: press[name]())
