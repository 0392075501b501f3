"""The parts of the page that the browser draws: Python's side of the ``.vue`` files.

They take keywords only. Text given to them is shown as text: Vue escapes what stands between
double braces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import solara

__all__ = ["Chart", "FeedList", "Field", "NetworkCanvas", "ProfileGrid", "Table", "Upload"]

Rows = Sequence[Mapping[str, Any]]
Picked = Callable[[int], None] | None


@solara.component_vue("network.vue")
def NetworkCanvas(
    positions: Sequence[float],
    edges: Sequence[int],
    profiles: Sequence[str],
    posted: Sequence[int],
    clock: int,
    feed: str,
    selected: int,
    event_select: Picked = None,
) -> None:
    """Draw a network: which agents have posted, and along which edges the news travelled."""


@solara.component_vue("chart.vue")
def Chart(n: int, posted: Sequence[int], curves: Rows, note: str) -> None:
    """Draw how many of the agents have posted at each step, with the fitted law's curves."""


@solara.component_vue("table.vue")
def Table(rows: Rows, marked: int = -1) -> None:
    """Show a table of text, the keys of a row as headings, one row marked."""


@solara.component_vue("profiles.vue")
def ProfileGrid(by_trait: Mapping[str, Any], by_profile: Mapping[str, Any]) -> None:
    """Show repost rates by trait, and by profile as a grid of 4 x 8."""


@solara.component_vue("feed.vue")
def FeedList(
    posted: Sequence[int],
    profiles: Sequence[str],
    texts: Sequence[str],
    event_select: Picked = None,
) -> None:
    """Show posts as a timeline, the newest first, with a filter by profile."""


@solara.component_vue("field.vue")
def Field(
    label: str, value: str, problem: str = "", event_changed: Callable[[str], None] | None = None
) -> None:
    """Show a line of text that can be changed; Python gets it when the field is left.

    What is being typed stays in the browser: Solara's own fields keep it on the server too, and
    lose it when the page is drawn anew.
    """


@solara.component_vue("upload.vue")
def Upload(
    label: str, most: int, event_file: Callable[[Mapping[str, Any]], None] | None = None
) -> None:
    """Read a file: its name, its size in bytes, and its content in base 64 ("" if too large)."""
