"""The law panel: which law describes the decisions, in words and in a table."""

from __future__ import annotations

import solara

from mesa_llmspread.app.session import Session, View
from mesa_llmspread.app.widgets import Table

__all__ = ["LawView", "Verdict"]

_COLUMNS = (
    {"key": "law", "label": "law"},
    {"key": "rates", "label": "rates with 95 % intervals (probability per contact or decision)"},
    {"key": "dBIC", "label": "BIC above the best", "number": True},
    {"key": "weight", "label": "weight", "number": True},
    {"key": "fit", "label": "goodness of fit"},
)


@solara.component
def Verdict(view: View) -> None:
    """Say which law it is, in words.

    Parameters
    ----------
    view : View
        What there is to see.
    """
    law = view.law
    so_far = f"So far, up to step {law.step}: " if law.rows and not law.complete else ""
    solara.Text(so_far + law.verdict, classes=["spread-verdict"])


@solara.component
def LawView(session: Session, view: View) -> None:
    """Show the laws, ranked.

    Parameters
    ----------
    session : Session
        Asked to solve another law.
    view : View
        What there is to see.
    """
    law = view.law
    Verdict(view)
    if not law.rows:
        return
    for warning in law.warnings:
        solara.Warning(warning, dense=True)
    Table(columns=_COLUMNS, rows=law.rows, marked=law.names.index(law.drawn))
    solara.Select(
        "Law whose curves are drawn",
        values=["the best", *law.names],
        value=session.wanted_law or "the best",
        on_value=lambda name: session.draw("" if name == "the best" else name),
        style={"max-width": "320px"},
    )
    if not law.complete:
        solara.Text("Laws with hidden classes of agents take longer and join at the end of a run.")
