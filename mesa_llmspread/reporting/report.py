"""One self-contained HTML page about a record: runs, results, and their uncertainty."""

from __future__ import annotations

import base64
import datetime
import io
import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mesa_llmspread._words import counted
from mesa_llmspread.analysis.event_analysis import Analysis, analyse
from mesa_llmspread.data import SpreadData
from mesa_llmspread.data.run_info import split_shared
from mesa_llmspread.exceptions import ArgumentTypeError
from mesa_llmspread.io import make_folder, write_whole
from mesa_llmspread.networks import Network
from mesa_llmspread.reporting import sentences
from mesa_llmspread.reporting.tables import cell, tables, typeset

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["figures", "write_report"]

# Dots per inch of the figures: sharp on a phone and in print.
_DPI = 180


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


def write_report(
    analysis: Analysis | SpreadData,
    folder: str | Path,
    *,
    network: Network | None = None,
    command: str | None = None,
) -> Path:
    """Write the figures of an analysis (PNG) and the page about it, ``report.html``.

    Parameters
    ----------
    analysis : Analysis or SpreadData
        A record is analysed first.
    folder : path-like
        It is created if it is missing.
    network : Network, optional
        The network, where it was given to the model as a graph.
    command : str, optional
        The command that made the page, which names it.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ArgumentTypeError
        If ``analysis`` is something else.
    OutputError
        If a file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from mesa_llmspread import SpreadData, SpreadModel
    >>> model = SpreadModel(n=100, k=4, decider="SI(0.2)", rng=1).run(20)
    >>> write_report(SpreadData.from_model(model), tempfile.mkdtemp()).name
    'report.html'
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from mesa_llmspread.reporting.plots import plot_event

    if isinstance(analysis, SpreadData):
        analysis = analyse(analysis, network)
    if not isinstance(analysis, Analysis):
        raise ArgumentTypeError("analysis", analysis, "an Analysis, or a SpreadData to analyse")
    environment = Environment(
        loader=PackageLoader("mesa_llmspread", "reporting"),
        autoescape=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"counted": counted, "cell": cell, "typeset": typeset}
    data, now = analysis.data, datetime.datetime.now().astimezone()
    infos = list(data.info.values())
    shared = split_shared([info.to_dict() for info in infos])[0]
    pictures = {name: _png(figure) for name, figure in figures(analysis).items()}
    folder = make_folder(Path(folder))
    for name, picture in pictures.items():
        write_whole(folder / f"{name}.png", picture)
    images = {name: base64.b64encode(picture).decode() for name, picture in pictures.items()}
    page = environment.get_template("report.html").render(
        analysis=analysis,
        sentences=sentences,
        written=f"{now.day} {now:%B %Y}",
        command=command,
        shared_info=split_shared([info.decider_info for info in infos])[0],
        images=images,
        panels=[base64.b64encode(_png(plot_event(part))).decode() for part in analysis.events],
        n_failed=int((data.exposures["outcome"] == "failed").sum()),
        tables=tables(analysis, network),
        worst=_worst(analysis.overall.residuals),
        info=json.dumps(shared, indent=2, default=str),
    )
    write_whole(folder / "report.html", page.encode())
    return folder / "report.html"


def _png(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def _worst(residuals: pd.DataFrame) -> Mapping[Hashable, Any] | None:
    """Return the group of decisions that the law is furthest from, in standard errors."""
    rows = residuals.dropna(subset="z").to_dict("records")
    return max(rows, key=lambda row: abs(row["z"]), default=None)
