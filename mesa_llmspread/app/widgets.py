"""The parts of the page that the browser draws: Python's side of the ``.vue`` files.

They take keywords only. Text given to them is shown as text: Vue escapes what stands between
double braces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import solara

__all__ = [
    "Buttons",
    "Chart",
    "FeedList",
    "Fields",
    "Header",
    "NetworkCanvas",
    "ProfileGrid",
    "Section",
    "Table",
]

Rows = Sequence[Mapping[str, Any]]
Handler = Callable[[Any], None] | None


@solara.component_vue("browser/header.vue")
def Header(title: str, event_lesson: Handler = None) -> None:
    """Show the title and the buttons of the page, and set up the browser's document."""


@solara.component_vue("browser/buttons.vue")
def Buttons(label: str, items: Rows, event_press: Handler = None) -> None:
    """Show a row of buttons.

    An item has a ``name``, which Python gets, and a ``label``; it may be ``disabled``,
    ``primary`` or ``current``, and have a ``shortcut``: the key that presses it.
    """


@solara.component_vue("browser/fields.vue")
def Fields(groups: Rows, event_change: Handler = None) -> None:
    """Show a form in groups; Python gets the ``name`` and the ``value`` of what is changed.

    A group has a ``title`` and ``fields``. A field has a ``name``, a ``label``, a ``value``, and a
    ``kind``: list, slider, number, text, switch, file, button or note. What is being typed stays
    in the browser until the field is left.
    """


@solara.component_vue("browser/network.vue")
def NetworkCanvas(
    picture: Mapping[str, Any],
    posted: Sequence[int],
    clock: int,
    feed: str,
    selected: int,
    event_select: Handler = None,
    event_painted: Handler = None,
) -> None:
    """Draw a network: which agents have posted, and one way the news may have travelled."""


@solara.component_vue("browser/chart.vue")
def Chart(n: int, posted: Sequence[int], law: Mapping[str, Any]) -> None:
    """Draw how many of the agents have posted at each step, with the fitted law's curves."""


@solara.component_vue("browser/table.vue")
def Table(rows: Rows, marked: int = -1) -> None:
    """Show a table of text, the keys of a row as headings, one row marked."""


@solara.component_vue("browser/profiles.vue")
def ProfileGrid(step: int, by_trait: Mapping[str, Any], by_profile: Mapping[str, Any]) -> None:
    """Show repost rates up to a step, by trait and by profile."""


@solara.component_vue("browser/feed.vue")
def FeedList(
    posted: Sequence[int],
    profiles: Sequence[str],
    texts: Sequence[str],
    event_select: Handler = None,
) -> None:
    """Show posts as a timeline, the newest first, with a filter by profile."""


def Section(tag: str, *children: Any, classes: str = "", **attributes: Any) -> Any:
    """Show an HTML element.

    Parameters
    ----------
    tag : str
        Its tag, such as ``"p"``.
    *children : str or element
        What stands in it.
    classes : str
        Its CSS classes.
    **attributes
        Its attributes, with ``_`` for ``-``; those that are None are left out.
    """
    given = {name.replace("_", "-"): value for name, value in attributes.items()}
    known = {name: value for name, value in given.items() if value is not None}
    return solara.v.Html(tag=tag, children=list(children), class_=classes, attributes=known)
