"""A guided tour for a class: five steps, each with settings and a question."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import solara

from mesa_llmspread.app.settings import LAWS, Settings

__all__ = ["LESSONS", "Lesson", "LessonStep"]


class LessonStep(NamedTuple):
    """One step of the tour: what it shows, by which settings, and a question."""

    title: str
    text: str
    changes: Mapping[str, Any]
    question: str

    @property
    def settings(self) -> Settings:
        """The settings of this step, all others as at the start."""
        rates = LAWS | self.changes.get("rates", {})
        return replace(Settings(), **{**self.changes, "rates": rates})


#: The tour.
LESSONS = (
    LessonStep(
        "One rate",
        "Every neighbour who has posted is one more chance to post, always the same: a coin with "
        "probability 0.05 per neighbour and step.",
        {"decider": "SI"},
        "When does the curve grow fastest, and why does it slow down afterwards?",
    ),
    LessonStep(
        "A second rate",
        "News is news once: the first time it is seen it is passed on with probability 0.2, later "
        "with 0.04.",
        {"decider": "FirstRepeat"},
        "The curve looks much as before. Which table tells the two laws apart, and from what?",
    ),
    LessonStep(
        "Personality",
        "Now people decide, not a law: extraverted agents post more, agreeable ones less. "
        "The numbers are illustrative.",
        {"decider": "traits"},
        "In the tab Profiles: which trait matters most, and do its intervals overlap?",
    ),
    LessonStep(
        "Degree",
        "The same law on a network where a few have very many neighbours.",
        {"decider": "SI", "network": "scale_free"},
        "Who posts early: the agents in the middle or those at the rim? Why?",
    ),
    LessonStep(
        "Why mean field fails",
        "Four neighbours each, on a regular network. Mean field assumes that neighbours are drawn "
        "anew at every step; here they stay the same.",
        {"decider": "SI", "rates": {"SI": {"beta": 0.1}}, "k": 4, "n": 1000},
        "Which broken curves meet the simulation, and what do the others leave out?",
    ),
)


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
