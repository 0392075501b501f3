"""A picture of a response table: profiles, neighbours, repetition, events."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mesa_llmspread._figures import plain
from mesa_llmspread._words import counted
from mesa_llmspread.exceptions import ArgumentTypeError
from mesa_llmspread.profiles import codes
from mesa_llmspread.tables import ResponseTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_table"]

_LINES = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"]


def plot_table(table: ResponseTable) -> Figure:
    """Draw a response table: heat map over profiles, and means over occasions and events.

    Parameters
    ----------
    table : ResponseTable

    Returns
    -------
    Figure
        Every point is a mean of P(repost) over the other dimensions of the table.

    Raises
    ------
    ArgumentTypeError
        If it is not a ResponseTable.
    """
    from matplotlib.figure import Figure

    if not isinstance(table, ResponseTable):
        raise ArgumentTypeError("table", table, "a ResponseTable")
    figure = Figure(figsize=(11, 9), layout="constrained")
    axes = figure.subplots(2, 2)
    kinds = {event.event_id: event.event_type for event in table.events}
    cells = table.frame.assign(kind=table.frame["event"].map(kinds))
    _draw_profiles(axes[0, 0], cells, figure)
    _draw_neighbours(axes[0, 1], cells)
    _draw_repetition(axes[1, 0], cells)
    _draw_events(axes[1, 1], cells)
    title = (
        f"{table.info.get('model', 'unknown model')}: P(repost), "
        f"template {table.info.get('template', 'unknown')}, {table.info.get('date', 'undated')}"
    )
    figure.suptitle(plain(title))
    return figure


def _draw_profiles(axes: Axes, cells: pd.DataFrame, figure: Figure) -> None:
    """Draw a heat map: profiles by type of event."""
    wide = cells.pivot_table("p", "profile", "kind")
    wide = wide.reindex([code for code in codes() if code in wide.index])
    image = axes.imshow(wide.to_numpy(), aspect="auto", cmap="viridis")
    axes.set_xticks(
        range(wide.shape[1]), [plain(str(name).split("/")[0]) for name in wide], rotation=30
    )
    for label in axes.get_xticklabels():
        label.set_horizontalalignment("right")
    axes.set_yticks(range(len(wide)), wide.index, fontsize=7, family="monospace")
    axes.set_title("by profile and type of event", fontsize=10)
    figure.colorbar(image, ax=axes, label="P(repost)")


def _draw_neighbours(axes: Axes, cells: pd.DataFrame) -> None:
    """Draw P over the number of neighbours, one line per exposure count; 0 is the media."""
    places = {m: place for place, m in enumerate(sorted(cells["contacts"].unique()))}
    for (count, part), colour in zip(cells.groupby("exposure_count"), cycle(_LINES), strict=False):
        for feed, marker in ((True, "o-"), (False, "s")):
            mean = part[(part["contacts"] > 0) == feed].groupby("contacts")["p"].mean()
            label = f"exposure {count}" if feed else None
            axes.plot(mean.index.map(places), mean, marker, color=colour, label=label)
    axes.set_xticks(list(places.values()), [str(m) if m else "media" for m in places])
    axes.set(xlabel="neighbours whose posts are seen", ylabel="P(repost)", ylim=(0, 1))
    axes.legend(fontsize=8)
    axes.set_title("by neighbours", fontsize=10)


def _draw_repetition(axes: Axes, cells: pd.DataFrame) -> None:
    """Draw P over exposure counts, one line per number of neighbours."""
    for (m, part), colour in zip(cells.groupby("contacts"), cycle(_LINES), strict=False):
        mean = part.groupby("exposure_count")["p"].mean()
        label = "media" if str(m) == "0" else counted(int(str(m)), "neighbour")
        axes.plot(mean.index, mean, "s--" if label == "media" else "o-", color=colour, label=label)
    axes.set(xlabel="exposure (1: first)", ylabel="P(repost)", ylim=(0, 1))
    axes.set_xticks(sorted(cells["exposure_count"].unique()))
    axes.legend(fontsize=8)
    axes.set_title("by repetition", fontsize=10)


def _draw_events(axes: Axes, cells: pd.DataFrame) -> None:
    """Draw P of every event: the mean, and the range over profiles."""
    grouped = cells.groupby(["event", "profile"])["p"].mean().unstack("profile").sort_index()
    places = np.arange(len(grouped))
    axes.hlines(places, grouped.min(axis=1), grouped.max(axis=1), color="#999999")
    axes.plot(grouped.mean(axis=1), places, "o", color=_LINES[0])
    axes.set_yticks(places, [plain(event) for event in grouped.index], fontsize=8)
    axes.set(xlabel="P(repost): mean and range over profiles", xlim=(0, 1))
    axes.invert_yaxis()
    axes.set_title("by event", fontsize=10)
