"""A guided tour for a class: five steps, each a setting at a click and a question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import solara

from mesa_llmspread.app.settings import Settings

__all__ = ["LESSONS", "Lesson", "LessonStep"]


class LessonStep(NamedTuple):
    """One step of the tour: what to see, which settings show it, and a question."""

    title: str
    text: str
    changes: dict[str, Any]
    question: str


#: The tour.
LESSONS = (
    LessonStep(
        "One rate",
        "Every neighbour who has posted is one more chance to post, always the same: a coin with "
        "probability 0.05 a neighbour and step.",
        {"decider": "SI", "rates": {"SI": (0.05,)}},
        "When does the curve grow fastest, and why does it slow down afterwards?",
    ),
    LessonStep(
        "A second rate",
        "News is news once: the first time it is seen it is passed on with 0.2, later with 0.04.",
        {"decider": "FirstRepeat", "rates": {"FirstRepeat": (0.2, 0.04)}},
        "The curve looks much as before. Which table tells the two laws apart, and from what?",
    ),
    LessonStep(
        "Personality",
        "Now people decide, not a law: extraverted agents post more, agreeable ones less. "
        "The numbers are illustrative.",
        {"decider": "traits", "population": "uniform"},
        "In the tab Profiles: which trait matters most, and do its intervals overlap?",
    ),
    LessonStep(
        "Degree",
        "The same law on a network where a few have very many neighbours.",
        {"decider": "SI", "rates": {"SI": (0.05,)}, "network": "scale_free"},
        "Who is infected early: the agents in the middle or those at the rim? Why?",
    ),
    LessonStep(
        "Why mean field fails",
        "Four neighbours each, on a regular network. Mean field believes that neighbours are drawn "
        "anew at every step; here they stay the same.",
        {"decider": "SI", "rates": {"SI": (0.1,)}, "k": 4, "n": 1000, "network": "random_regular"},
        "Which broken curves meet the simulation, and what do the others leave out?",
    ),
)


@solara.component
def Lesson(on_settings: Callable[[Settings], None], on_close: Callable[[], None]) -> None:
    """Show one step of the tour at a time.

    Parameters
    ----------
    on_settings : callable
        Called with the settings of a step that is applied.
    on_close : callable
        Called when the tour is left.
    """
    place, set_place = solara.use_state(0)
    step = LESSONS[place]
    with solara.Div(classes=["spread-card", "spread-lesson"]):
        with solara.Row(style={"align-items": "center"}, gap="8px"):
            solara.Text(f"{place + 1} of {len(LESSONS)}: {step.title}", classes=["h"])
            solara.v.Spacer()
            solara.Button(
                "Show it", lambda: on_settings(applied(step)), color="primary", small=True
            )
            solara.Button(
                "Back",
                lambda: set_place(lambda now: max(now - 1, 0)),
                small=True,
                disabled=not place,
            )
            solara.Button(
                "Next",
                lambda: set_place(lambda now: min(now + 1, len(LESSONS) - 1)),
                small=True,
                disabled=place == len(LESSONS) - 1,
            )
            solara.Button("Close", on_close, small=True, text=True)
        solara.Text(step.text)
        solara.Text(step.question, classes=["spread-question"])


def applied(step: LessonStep) -> Settings:
    """Give the settings of a step, everything else as at the start.

    Parameters
    ----------
    step : LessonStep

    Returns
    -------
    Settings
    """
    start = Settings()
    changes = {**step.changes, "rates": {**start.rates, **step.changes.get("rates", {})}}
    return replace(start, **changes)
