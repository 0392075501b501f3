"""One self-contained HTML page about a record: runs, results, and their uncertainty."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mesa_llmspread._words import counted, described, p_number
from mesa_llmspread.analysis.costs import SPENDERS, spending
from mesa_llmspread.analysis.descriptive import GROUPINGS, repost_rates
from mesa_llmspread.analysis.event_analysis import CURVES, Analysis
from mesa_llmspread.data.run_info import split_shared
from mesa_llmspread.deciders.table import drawn_from
from mesa_llmspread.io import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mesa_llmspread.data import SpreadData

__all__ = ["figures", "write_report"]


def figures(analysis: Analysis) -> dict[str, Figure]:
    """Return all figures of an analysis.

    Parameters
    ----------
    analysis : Analysis

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        By file name, without extension.
    """
    from mesa_llmspread.reporting import plots

    drawn = {
        "spread": plots.plot_spread(analysis),
        "comparison": plots.plot_comparison(analysis),
        "fitted_rates": plots.plot_fitted_rates(analysis),
        "residuals": plots.plot_residuals(analysis.overall.residuals),
        "traits": plots.plot_traits(analysis.data),
        "profiles": plots.plot_profiles(analysis.data),
        "event_rates": plots.plot_event_rates(analysis.data),
    }
    if analysis.traits is not None:
        drawn["hazard_ratios"] = plots.plot_hazard_ratios(analysis.traits)
    return drawn


def write_report(analysis: Analysis, folder: str | Path) -> Path:
    """Write the figures of an analysis (PNG) and the page about it, ``report.html``.

    Parameters
    ----------
    analysis : Analysis
    folder : path-like
        An existing folder.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OutputError
        If a file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from mesa_llmspread import SpreadData, SpreadModel, analyse
    >>> model = SpreadModel(n=100, k=4, decider="SI(0.2)", rng=1).run(20)
    >>> write_report(analyse(SpreadData.from_model(model)), tempfile.mkdtemp()).name
    'report.html'
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mesa_llmspread", "reporting"),
        autoescape=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"counted": counted, "number": _number, "p_value": p_number}
    data, infos = analysis.data, analysis.data.info.values()
    told = split_shared([info.decider_info for info in infos])[0]
    images = {}
    for name, figure in figures(analysis).items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=130)
        write_whole(Path(folder, f"{name}.png"), buffer.getvalue())
        images[name] = base64.b64encode(buffer.getvalue()).decode()
    page = environment.get_template("report.html").render(
        analysis=analysis,
        curves=CURVES,
        described=described,
        deciders=sorted({info.decider for info in infos}),
        told=told,
        drawn_from=drawn_from(told),
        images=images,
        n_runs=len(data.runs),
        n_decisions=len(data.exposures),
        n_failed=int((data.exposures["outcome"] == "failed").sum()),
        events=analysis.table().to_dict("records"),
        laws=analysis.overall.table.to_dict("records"),
        worst=_worst(analysis.overall.residuals),
        repost_rates={by: repost_rates(data, by).to_dict("records") for by in GROUPINGS},
        spending=_spending(data),
        info=json.dumps(split_shared([info.to_dict() for info in infos])[0], indent=2, default=str),
    )
    path = Path(folder, "report.html")
    write_whole(path, page.encode())
    return path


def _worst(residuals: pd.DataFrame) -> Mapping[Hashable, Any] | None:
    """Return the group of decisions that the law is furthest from, in standard errors."""
    rows = residuals.dropna(subset="z").to_dict("records")
    return max(rows, key=lambda row: abs(row["z"]), default=None)


def _spending(data: SpreadData) -> dict[str, list[dict[Any, Any]]]:
    """Return the costs of the decisions, where a language model made them all."""
    if not all("calls" in info.decider_info for info in data.info.values()):
        return {}
    return {by: spending(data, by).to_dict("records") for by in SPENDERS}


def _number(value: Any, digits: int = 3) -> str:
    """Format a number for a table; missing numbers are a dash."""
    if value is None or pd.isna(value):
        return "–"
    return f"{value:,.{digits}f}"
