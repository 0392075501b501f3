"""One self-contained HTML page about a record: what was run, what it says, and how sure that is."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mesa_llmspread._words import counted, described, p_number
from mesa_llmspread.analysis.costs import SPENDERS, spending
from mesa_llmspread.analysis.descriptive import GROUPINGS, repost_rates
from mesa_llmspread.analysis.event_analysis import CURVES, Analysis
from mesa_llmspread.data.run_info import split_shared
from mesa_llmspread.io import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mesa_llmspread.data import SpreadData

__all__ = ["figures", "save_figures", "write_report"]


def figures(analysis: Analysis) -> dict[str, Figure]:
    """Make all figures of an analysis.

    Parameters
    ----------
    analysis : Analysis

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        By file name without ending.
    """
    from mesa_llmspread.reporting import plots

    drawn = {
        "spread": plots.plot_spread(analysis),
        "comparison": plots.plot_comparison(analysis),
        "fitted_rates": plots.plot_fitted_rates(analysis),
        "traits": plots.plot_traits(analysis.data),
        "profiles": plots.plot_profiles(analysis.data),
        "event_rates": plots.plot_event_rates(analysis.data),
    }
    if analysis.traits is not None:
        drawn["hazard_ratios"] = plots.plot_hazard_ratios(analysis.traits)
    return drawn


def save_figures(drawn: dict[str, Figure], folder: Path) -> dict[str, bytes]:
    """Write figures as PNG files.

    Parameters
    ----------
    drawn : dict of str to matplotlib.figure.Figure
    folder : Path

    Returns
    -------
    dict of str to bytes
        The pictures, by name.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    pictures = {}
    for name, figure in drawn.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=130)
        pictures[name] = buffer.getvalue()
        write_whole(folder / f"{name}.png", pictures[name])
    return pictures


def write_report(analysis: Analysis, pictures: dict[str, bytes], path: Path) -> Path:
    """Write the page.

    Parameters
    ----------
    analysis : Analysis
    pictures : dict of str to bytes
        The PNG figures, as :func:`save_figures` gives them.
    path : Path
        The HTML file.

    Returns
    -------
    Path
        The same file.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mesa_llmspread", "reporting"),
        autoescape=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"counted": counted, "number": _number, "p_value": p_number}
    shared, _ = split_shared([info.to_dict() for info in analysis.data.info.values()])
    said, _ = split_shared([info.decider_info for info in analysis.data.info.values()])
    deciders = {info.decider for info in analysis.data.info.values()}
    exposures = analysis.data.exposures
    page = environment.get_template("report.html").render(
        analysis=analysis,
        curves=CURVES,
        described=described,
        decider=_decider(deciders, said),
        stand_in=deciders != {"llm"},
        images={name: base64.b64encode(png).decode() for name, png in pictures.items()},
        n_runs=len(analysis.data.runs),
        n_decisions=len(exposures),
        n_failed=int((exposures["outcome"] == "failed").sum()),
        events=analysis.table().to_dict("records"),
        laws=analysis.overall.table.to_dict("records"),
        repost_rates={by: repost_rates(analysis.data, by).to_dict("records") for by in GROUPINGS},
        spending=_spending(analysis.data),
        asked=_asked(said),
        info=json.dumps(shared, indent=2, default=str),
    )
    write_whole(path, page.encode())
    return path


def _decider(deciders: set[str], said: dict[str, Any]) -> str:
    """Name who decided, in words."""
    names = {"traits": "the trait policy (a stand-in, no language model)", "rates": "a law"}
    if len(deciders) > 1:
        return "several deciders"
    (kind,) = deciders
    return f"the language model {said.get('model')}" if kind == "llm" else names.get(kind, kind)


def _spending(data: SpreadData) -> dict[str, list[dict[Any, Any]]]:
    """Sum up what the decisions took, where a language model made them all."""
    if not all("calls" in info.decider_info for info in data.info.values()):
        return {}
    return {by: spending(data, by).to_dict("records") for by in SPENDERS}


def _asked(said: dict[str, Any]) -> str:
    """Say how decisions came from a language model's answers."""
    draws = said.get("draws")
    return {
        "independent": "Every decision is an answer of its own.",
        "pooled": f"At most {draws} answers were asked for the same prompt in a run; further "
        "decisions on it were drawn with the chance these give, and are not independent answers.",
        "logprobs": "One answer for the same prompt in a run gave the chance of a repost; "
        "decisions were drawn with it.",
    }.get(str(said.get("sampling")), "")


def _number(value: Any, digits: int = 3) -> str:
    """Format a number for a table; a missing one as a dash."""
    if value is None or pd.isna(value):
        return "–"
    return f"{value:,.{digits}f}"
