"""The feed panel: all posts, as a timeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import solara

from mesa_llmspread.app.session import View
from mesa_llmspread.app.widgets import FeedList

__all__ = ["FeedView"]


@solara.component
def FeedView(view: View, on_selected: Callable[[int], None]) -> None:
    """Show the news and the posts about it.

    Parameters
    ----------
    view : View
        What there is to see.
    on_selected : callable
        Called with the agent whose name is clicked.
    """
    solara.Text(f"The news: {view.settings.event.text}", classes=["spread-verdict"])
    posts = timeline(view)
    if not posts:
        solara.Text("Nobody has posted yet.")
        return
    FeedList(posts=posts, event_select=on_selected)


def timeline(view: View) -> list[dict[str, Any]]:
    """Give all posts as plain values, the newest first."""
    if view.model is None:
        return []
    spreaders = view.model.spreaders
    posts = [
        {
            "agent": index,
            "step": step,
            "profile": spreaders[index].code,
            "text": "" if (post := spreaders[index].post) is None else post.text,
        }
        for index, step in enumerate(view.posted)
        if step >= 0
    ]
    return sorted(posts, key=lambda post: (-post["step"], post["agent"]))
