"""The card of one agent: who it is, what it saw, what it decided and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import solara

from mesa_llmspread.app.session import View
from mesa_llmspread.app.widgets import Table

if TYPE_CHECKING:
    from mesa_llmspread.agent import SpreadAgent
    from mesa_llmspread.data import SpreadData
    from mesa_llmspread.deciders import Decision

__all__ = ["AgentCard"]

_COLUMNS = (
    {"key": "step", "label": "step", "number": True},
    {"key": "contacts", "label": "posting neighbours", "number": True},
    {"key": "exposure_count", "label": "exposure_count", "number": True},
    {"key": "outcome", "label": "decision"},
)


@solara.component
def AgentCard(view: View, selected: int, on_close: Callable[[], None]) -> None:
    """Show an agent.

    Parameters
    ----------
    view : View
        What there is to see.
    selected : int
        The agent.
    on_close : callable
        Called when the card is closed.
    """
    if view.model is None or not 0 <= selected < view.model.n:
        return
    agent = view.model.spreaders[selected]
    with solara.Div(classes=["spread-card"]):
        with solara.Row(justify="space-between", style={"align-items": "center"}):
            solara.Text(
                f"Agent {agent.index} · {agent.code} · {_state(view, agent)}", classes=["h"]
            )
            solara.Button(
                icon_name="mdi-close",
                icon=True,
                small=True,
                on_click=on_close,
                attributes={"aria-label": "Close the card"},
            )
        if agent.decision is not None:
            solara.Text(decided(agent.decision))
        if agent.post is not None and agent.post.text:
            solara.Text(f"Posted: {agent.post.text}")
        solara.Text(agent.profile.describe())
        for post in agent.feed[-3:]:
            solara.Text(f"Saw from agent {post.author}: {post.text or 'a repost of the news'}")
        rows = decisions(view.data, agent.index)
        if rows:
            Table(columns=_COLUMNS, rows=rows[::-1])
        elif not agent.infected:
            solara.Text("It has seen nothing yet, so it has decided nothing.")


def _state(view: View, agent: SpreadAgent) -> str:
    step = view.posted[agent.index]
    if step < 0:
        return "susceptible"
    return "initial spreader" if step == 0 else f"posted at step {step}"


def decided(decision: Decision) -> str:
    """Put a decision, or the failure to get one, into words.

    Parameters
    ----------
    decision : Decision

    Returns
    -------
    str

    Examples
    --------
    >>> from mesa_llmspread import Decision, Outcome
    >>> decided(Decision(Outcome.FAILED, reason="timeout: no complete answer in time"))
    'Its last decision: no valid answer (timeout: no complete answer in time).'
    >>> decided(Decision(Outcome.DECLINE, reason="Not my concern."))
    'Its last decision: not to repost. Why: Not my concern.'
    """
    outcome = decision.outcome.value
    if outcome == "failed":
        return f"Its last decision: no valid answer ({decision.reason})."
    what = "to repost" if outcome == "repost" else "not to repost"
    why = f" Why: {decision.reason}" if decision.reason else ""
    return f"Its last decision: {what}.{why}"


def decisions(data: SpreadData | None, agent: int) -> list[dict[str, str]]:
    """Give an agent's decisions as text, in order; none where there is no record yet."""
    if data is None:
        return []
    table = data.exposures[data.exposures["agent"] == agent]
    return [
        {str(column["key"]): str(row[str(column["key"])]) for column in _COLUMNS}
        for row in table.to_dict("records")
    ]
