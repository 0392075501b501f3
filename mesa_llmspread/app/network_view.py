"""The network panel."""

from __future__ import annotations

from collections.abc import Callable

import solara

from mesa_llmspread.app.session import View
from mesa_llmspread.app.widgets import NetworkCanvas

__all__ = ["NetworkView"]


@solara.component
def NetworkView(view: View, selected: int, on_selected: Callable[[int], None]) -> None:
    """Draw the network, or say why there is none.

    Parameters
    ----------
    view : View
        What there is to see.
    selected : int
        The agent whose card is open; -1 for none.
    on_selected : callable
        Called with the agent that is clicked.
    """
    if view.stage is None:
        solara.Text(
            "Laying out the network …"
            if view.busy
            else "No network: the settings on the left are not allowed."
        )
        return
    NetworkCanvas(
        positions=view.stage.positions,
        edges=view.stage.edges,
        profiles=view.stage.profiles,
        posted=view.posted,
        clock=view.clock,
        feed=view.settings.feed,
        selected=selected,
        event_select=on_selected,
    )
