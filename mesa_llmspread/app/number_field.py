"""A field for a number, which says so when what is typed is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import solara

from mesa_llmspread.app.widgets import Field

__all__ = ["NumberField"]


@solara.component
def NumberField(
    label: str, value: float, on_value: Callable[[Any], None], whole: bool = True
) -> None:
    """Show a number that can be changed.

    Parameters
    ----------
    label : str
        What it is.
    value : int or float
        The number.
    on_value : callable
        Called with another number.
    whole : bool, default True
        Whether it must be a whole number.
    """
    problem, set_problem = solara.use_state("")

    def take(text: str) -> None:
        try:
            number = int(text) if whole else float(text)
        except ValueError:
            set_problem(f"{text!r} is not a {'whole ' if whole else ''}number")
            return
        set_problem("")
        on_value(number)

    Field(
        label=label,
        value=str(value) if whole else f"{value:g}",
        problem=problem,
        event_changed=take,
    )
