"""The panels Watch, Profiles, Law, Feed and Export."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import solara

from mesa_llmspread.app.session import View
from mesa_llmspread.app.widgets import Chart, FeedList, NetworkCanvas, ProfileGrid, Table
from mesa_llmspread.deciders import Decision, Outcome

if TYPE_CHECKING:
    from mesa_llmspread.agent import SpreadAgent
    from mesa_llmspread.data import SpreadData

__all__ = ["Export", "Feed", "Laws", "Profiles", "Watch", "profile_rates", "report", "zipped"]


@solara.component
def Watch(view: View, selected: int, on_selected: Callable[[int], None]) -> None:
    """Show the network beside the curves, and an agent's card or the verdict.

    Parameters
    ----------
    view : View
        What there is to see.
    selected : int
        The agent whose card is open; -1 for none.
    on_selected : callable
        Called with the agent that is clicked.
    """
    model = view.model
    if model is None or view.picture is None:
        no = "No network: the settings on the left are not allowed."
        solara.Text("Laying out the network …" if view.busy else no)
        return
    with solara.Div(classes=["spread-watch"]):
        with solara.Div():
            NetworkCanvas(
                **view.picture,
                posted=view.posted,
                clock=view.clock,
                feed=view.settings.feed,
                selected=selected,
                event_select=on_selected,
            )
        with solara.Div(classes=["spread-right"]):
            with solara.Div(classes=["spread-curves"]):
                law = view.law
                Chart(n=model.n, posted=view.infected, curves=law.curves, note=law.missing)
            if 0 <= selected < model.n:
                _Card(view, model.spreaders[selected], lambda: on_selected(-1))
            else:
                _Verdict(view)


@solara.component
def _Card(view: View, agent: SpreadAgent, on_close: Callable[[], None]) -> None:
    """Show an agent: who it is, what it saw, what it decided and why."""
    step = view.posted[agent.index]
    states = {-1: "not posted", 0: "initial spreader"}
    name = f"Agent {agent.index} · {agent.code} · {states.get(step, f'posted at step {step}')}"
    with solara.Div(classes=["spread-card"]):
        with solara.Row(justify="space-between", style={"align-items": "center"}):
            solara.Text(name, classes=["h"])
            solara.Button(
                icon_name="mdi-close",
                icon=True,
                small=True,
                on_click=on_close,
                attributes={"aria-label": "Close the card"},
            )
        if agent.decision is not None:
            solara.Text(_decided(agent.decision))
        if agent.post is not None and agent.post.text:
            solara.Text(f"Posted: {agent.post.text}")
        solara.Text(agent.profile.describe())
        for post in agent.feed[-3:]:
            solara.Text(f"Saw from agent {post.author}: {post.text or 'a repost of the news'}")
        rows = _decisions(view.data, agent.index)
        if rows:
            Table(rows=rows)
        elif step < 0:
            solara.Text("It has not seen the news yet, so it has not decided.")


def _decisions(data: SpreadData | None, agent: int) -> list[dict[Any, str]]:
    """Return an agent's decisions as text, the last one first."""
    if data is None:
        return []
    table = data.exposures[data.exposures["agent"] == agent]
    table = table[["step", "contacts", "exposure_count", "outcome"]].astype(str)
    table.columns = pd.Index(["step", "posting neighbours", "occasion", "decision"])
    return table.to_dict("records")[::-1]


def _decided(decision: Decision) -> str:
    """Return a decision, or why there is none, in words.

    >>> from mesa_llmspread import Decision, Outcome
    >>> _decided(Decision(Outcome.FAILED, reason="timeout: no complete answer in time"))
    'Its last decision: no valid answer (timeout: no complete answer in time).'
    >>> _decided(Decision(Outcome.DECLINE, reason="Not my concern."))
    'Its last decision: not to repost. Why: Not my concern.'
    >>> _decided(Decision(Outcome.REPOST))
    'Its last decision: to repost.'
    """
    if decision.outcome is Outcome.FAILED:
        return f"Its last decision: no valid answer ({decision.reason})."
    what = "to repost" if decision.outcome is Outcome.REPOST else "not to repost"
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
    data = view.data
    rates = solara.use_memo(lambda: data and profile_rates(data), [data])
    if not rates or not rates["by_trait"]:
        solara.Text("No decision has been made yet: take a step, or run.")
    else:
        ProfileGrid(**rates)


def profile_rates(data: SpreadData) -> dict[str, dict[Any, dict[str, float]]]:
    """Return repost rates as plain values.

    Parameters
    ----------
    data : SpreadData

    Returns
    -------
    dict
        ``by_trait``, with groups such as "openness low", and ``by_profile``, with codes; of each
        group that has decided: ``decisions``, ``rate``, ``low`` and ``high``.
    """
    # Statistics take long to load, and the page comes first.
    from mesa_llmspread.analysis.descriptive import repost_rates

    columns = ["decisions", "rate", "low", "high"]
    return {
        f"by_{by}": repost_rates(data, by).set_index("group")[columns].T.to_dict()
        for by in ("trait", "profile")
    }


@solara.component
def _Verdict(view: View) -> None:
    """Show in words which law was found."""
    law = view.law
    so_far = f"So far, up to step {law.step}: " if law.rows and not view.ended else ""
    solara.Text(so_far + law.verdict, classes=["spread-verdict"])


@solara.component
def Laws(view: View, wanted: str, on_wanted: Callable[[str], None]) -> None:
    """Show the laws, ranked, in words and in a table.

    Parameters
    ----------
    view : View
        What there is to see.
    wanted : str
        The law whose curves are asked for; "" for the best one.
    on_wanted : callable
        Called with another one.
    """
    law = view.law
    _Verdict(view)
    if not law.rows:
        return
    for warning in law.warnings:
        solara.Warning(warning, dense=True)
    names = [row["law"] for row in law.rows]
    Table(rows=law.rows, marked=names.index(law.drawn))
    solara.Select(
        "Law whose curves are drawn",
        values=["the best", *names],
        value=wanted or "the best",
        on_value=lambda name: on_wanted("" if name == "the best" else name),
        style={"max-width": "320px"},
    )


@solara.component
def Feed(view: View, on_selected: Callable[[int], None]) -> None:
    """Show the news and all posts about it, the newest first.

    Parameters
    ----------
    view : View
        What there is to see.
    on_selected : callable
        Called with the agent whose name is clicked.
    """
    solara.Text(f"The news: {view.settings.event.text}", classes=["spread-verdict"])
    if view.model is not None and view.picture is not None:
        FeedList(
            posted=view.posted,
            profiles=view.picture["profiles"],
            texts=[agent.post.text if agent.post else "" for agent in view.model.spreaders],
            event_select=on_selected,
        )


@solara.component
def Export(view: View) -> None:
    """Offer the record, the report, and the lines that build the same run again.

    Parameters
    ----------
    view : View
        What there is to see.
    """
    data: Any = view.data
    # A download begins anew whenever it gets another function.
    record = solara.use_memo(lambda: functools.partial(zipped, data), [data])
    written = solara.use_memo(lambda: functools.partial(report, data), [data])
    if data is None:
        solara.Text("There is nothing to export yet: take a step, or run.")
    else:
        with solara.Row(gap="12px"):
            solara.FileDownload(record, "spread.zip", label="Record (zip)")
            solara.FileDownload(written, "report.html", label="Report (HTML)")
        solara.Text(
            "The record holds three Parquet tables, exposures, counts and agents, and "
            "manifest.json: unpack it and read it with SpreadData.load.",
            classes=["spread-note"],
        )
    solara.Text("These lines build the same run again:")
    solara.Preformatted(view.settings.python())


def zipped(data: SpreadData) -> bytes:
    """Return a record as :meth:`SpreadData.save` writes it, in a zip archive.

    Parameters
    ----------
    data : SpreadData

    Returns
    -------
    bytes
        An archive with one folder, ``spread``.
    """
    with tempfile.TemporaryDirectory() as folder:
        data.save(Path(folder) / "spread")
        return Path(shutil.make_archive(f"{folder}/zip", "zip", folder, "spread")).read_bytes()


def report(data: SpreadData) -> bytes:
    """Return the report about a record.

    Parameters
    ----------
    data : SpreadData

    Returns
    -------
    bytes
        One self-contained HTML page.
    """
    from mesa_llmspread.analysis.event_analysis import analyse
    from mesa_llmspread.reporting.report import write_report

    analysis = analyse(data)
    with tempfile.TemporaryDirectory() as folder:
        return write_report(analysis, folder).read_bytes()
