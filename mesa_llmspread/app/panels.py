"""The panels beside the network: the curve, personalities, laws, posts and an agent's card."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import solara

from mesa_llmspread.app.session import View
from mesa_llmspread.app.widgets import (
    Buttons,
    Chart,
    FeedList,
    Fields,
    ProfileGrid,
    Section,
    Table,
)
from mesa_llmspread.deciders import Decision, Outcome

if TYPE_CHECKING:
    from mesa_llmspread.agent import SpreadAgent
    from mesa_llmspread.data import SpreadData

__all__ = ["Card", "Curve", "Feed", "Laws", "Profiles"]


@solara.component
def Curve(view: View) -> None:
    """Show how many agents have posted at each step, the fitted law, and what is known of it.

    Parameters
    ----------
    view : View
        What there is to see.
    """
    if view.model is None:
        return
    shown = ("drawn", "best", "rates", "equation", "curves", "missing")
    law = {name: getattr(view.law, name) for name in shown}
    with Section("div"):
        Chart(n=view.model.n, posted=view.infected, law=law)
        _Verdict(view)


@solara.component
def _Verdict(view: View) -> None:
    """Show in words which law was found, and what may mislead."""
    law = view.law
    if law.rows:
        whole = view.ended and law.step == view.clock
        text = law.verdict if whole else f"So far, up to step {law.step}: {law.verdict}"
    else:
        text = "Fitting the laws to the decisions so far …" if view.fitting else law.verdict
    with Section("div"):
        Section("p", text, classes="spread-verdict")
        for warning in law.warnings:
            Section("p", warning, classes="spread-warning")


@solara.component
def Card(view: View, agent: SpreadAgent, on_close: Callable[[], None]) -> None:
    """Show an agent: who it is, what it saw, what it decided and why.

    Parameters
    ----------
    view : View
        What there is to see.
    agent : SpreadAgent
        The agent.
    on_close : callable
        Called when the card is closed.
    """
    step = view.posted[agent.index]
    states = {-1: "has not posted", 0: "posted first"}
    name = f"Agent {agent.index} · {agent.code} · {states.get(step, f'posted at step {step}')}"
    with Section("section", classes="spread-card", aria_label="An agent"):
        Section("h2", name)
        if agent.decision is not None:
            Section("p", _decided(agent.decision))
        if agent.post is not None and agent.post.text:
            Section("p", f"Posted: {agent.post.text}")
        Section("p", agent.profile.describe())
        for post in agent.feed[-3:]:
            Section("p", f"Saw from agent {post.author}: {post.text or 'the news, shared'}")
        rows = _decisions(view.data, agent.index)
        if rows:
            Table(rows=rows)
        elif step < 0:
            Section("p", "It has not seen the news yet, so it has not decided.")
        close = [{"name": "close", "label": "Close the card", "shortcut": "Escape"}]
        Buttons(label="Card", items=close, event_press=lambda _: on_close())


def _decisions(data: SpreadData | None, agent: int) -> list[dict[Any, str]]:
    """Return an agent's decisions as text, the last one first."""
    if data is None:
        return []
    names = {"contacts": "posting neighbours", "exposure_count": "occasion", "outcome": "decision"}
    table = data.exposures[data.exposures["agent"] == agent].rename(columns=names)
    return table[["step", *names.values()]].astype(str).to_dict("records")[::-1]


def _decided(decision: Decision) -> str:
    """Return a decision in words, or the reason why nothing was decided.

    >>> from mesa_llmspread import Decision, Outcome
    >>> _decided(Decision(Outcome.FAILED, reason="timeout: no complete answer in time"))
    'Its last decision: no valid answer (timeout: no complete answer in time).'
    >>> _decided(Decision(Outcome.DECLINE, reason="Not my concern."))
    'Its last decision: not to post. Why: Not my concern.'
    >>> _decided(Decision(Outcome.REPOST))
    'Its last decision: to post.'
    """
    if decision.outcome is Outcome.FAILED:
        return f"Its last decision: no valid answer ({decision.reason})."
    what = "to post" if decision.outcome is Outcome.REPOST else "not to post"
    why = f" Why: {decision.reason}" if decision.reason else ""
    return f"Its last decision: {what}.{why}"


@solara.component
def Profiles(view: View) -> None:
    """Show repost rates by trait and by profile.

    Parameters
    ----------
    view : View
        What there is to see.
    """
    law = view.law
    ProfileGrid(step=law.step, by_trait=law.by_trait, by_profile=law.by_profile)


@solara.component
def Laws(view: View, wanted: str, on_wanted: Callable[[str], None]) -> None:
    """Show the laws, ranked, in words and in a table.

    Parameters
    ----------
    view : View
        What there is to see.
    wanted : str
        The law whose curve is asked for; "" for the best one.
    on_wanted : callable
        Called with another one.
    """
    law = view.law
    if not law.rows:
        _Verdict(view)
        return
    names = [row["law"] for row in law.rows]
    options = ["the best", *names]

    def choose(message: dict[str, Any]) -> None:
        on_wanted(dict(enumerate(names, 1)).get(message["value"], ""))

    field: dict[str, Any] = {"kind": "list", "name": "drawn", "label": "Law whose curve is drawn"}
    field |= {"options": options, "value": options.index(wanted) if wanted in names else 0}
    with Section("div"):
        _Verdict(view)
        Fields(groups=[{"title": "", "fields": [field]}], event_change=choose)
        Table(rows=law.rows, marked=names.index(law.drawn))


@solara.component
def Feed(view: View, on_selected: Callable[[int], None]) -> None:
    """Show all posts about the news, the newest first.

    Parameters
    ----------
    view : View
        What there is to see.
    on_selected : callable
        Called with the agent whose name is clicked.
    """
    if view.model is not None:
        FeedList(
            posted=view.posted,
            profiles=view.picture["profiles"],
            texts=[agent.post.text if agent.post else "" for agent in view.model.spreaders],
            event_select=on_selected,
        )
