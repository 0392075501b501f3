"""The report of the study of real models: figures, tables and words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mesa_llmspread.experiments.real_models import TWO_RATES, Study
from mesa_llmspread.reporting.plots import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_accounts", "plot_curves", "plot_rates", "plot_variance", "write_report"]

_FIRST, _AGAIN = "#0072B2", "#E69F00"
_STYLES = [("#CC79A7", ":"), ("#CC79A7", "-"), (COLOURS["master equations"], "--")]


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def plot_variance(studies: Sequence[Study]) -> Figure:
    """Draw the shares of the variance of the logits: what matters to each model.

    Parameters
    ----------
    studies : sequence of Study

    Returns
    -------
    Figure
    """
    shares = pd.DataFrame({study.name: study.table.variance()["share"] for study in studies})
    figure = _figure(8, 4.5)
    axes, height = figure.add_subplot(), 0.8 / len(studies)
    for place, name in enumerate(shares):
        axes.barh(np.arange(len(shares)) + place * height, shares[name], height, label=name)
    axes.set_yticks(np.arange(len(shares)) + 0.4 - height / 2, shares.index)
    axes.invert_yaxis()
    axes.set(xlabel="share of the variance of the logits of P(repost)", xlim=(0, 1))
    axes.legend(frameon=False)
    return figure


def plot_rates(studies: Sequence[Study]) -> Figure:
    """Draw the two rates of every type of event and trait level, one panel per model.

    Parameters
    ----------
    studies : sequence of Study

    Returns
    -------
    Figure
        Points with 95 % intervals.
    """
    figure = _figure(4.5 * len(studies) + 2, 5)
    panels = figure.subplots(1, len(studies), sharey=True, squeeze=False)[0]
    for axes, study in zip(panels, studies, strict=True):
        groups, at = study.groups, np.arange(len(study.groups))
        for rate, colour in (("first", _FIRST), ("again", _AGAIN)):
            sides = [groups[rate] - groups[f"{rate}_low"], groups[f"{rate}_high"] - groups[rate]]
            axes.errorbar(
                groups[rate], at, xerr=np.array(sides), fmt="o", ms=4, color=colour, label=rate
            )
        axes.set(title=study.name, xlabel="P(repost) per occasion", xlim=(0, 1))
        names = groups["group"].where(
            groups["kind"] == "event", groups["group"] + " " + groups["kind"]
        )
        axes.set_yticks(at, names)
    panels[0].invert_yaxis()
    panels[0].legend(frameon=False)
    return figure


def plot_curves(studies: Sequence[Study]) -> Figure:
    """Draw the mean curve of the runs and the fitted equations, one panel per model.

    Parameters
    ----------
    studies : sequence of Study

    Returns
    -------
    Figure
    """
    figure = _figure(4.5 * len(studies), 4)
    panels = figure.subplots(1, len(studies), sharey=True, squeeze=False)[0]
    for axes, study in zip(panels, studies, strict=True):
        curves = study.curves
        axes.plot(curves["step"], curves["simulated"], "ko", ms=4, label="simulated, mean")
        for name, (colour, line) in zip(curves.columns[2:], _STYLES, strict=True):
            axes.plot(curves["step"], curves[name], line, color=colour, label=name)
        axes.set(title=study.name, xlabel="step", ylim=(0, 1.02))
    panels[0].set_ylabel("share of the agents that have posted")
    panels[0].legend(frameon=False)
    return figure


def plot_accounts(measured: pd.DataFrame) -> Figure:
    """Draw what the share of automated accounts does to speed and reach among people.

    Parameters
    ----------
    measured : DataFrame
        From :func:`~mesa_llmspread.experiments.real_models.account_shares`, with a column
        ``model``.

    Returns
    -------
    Figure
        Means over the runs, with their 95 % intervals (t).
    """
    from scipy.stats import t

    figure = _figure(10, 4)
    panels = figure.subplots(1, 2)
    for name, rows in measured.groupby("model", sort=False):
        for axes, column in zip(panels, ("half", "reach_10"), strict=True):
            found = rows.groupby("share")[column].agg(["mean", "sem", "count"])
            error = found["sem"] * t.ppf(0.975, found["count"] - 1)
            axes.errorbar(found.index, found["mean"], yerr=error, marker="o", capsize=3, label=name)
    for axes, label in zip(
        panels,
        ("step by which half of the people have posted", "share posted by step 10"),
        strict=True,
    ):
        axes.set(xlabel="share of automated accounts", ylabel=label)
        axes.set_ylim(bottom=0)
    panels[0].legend(frameon=False, title="accounts decide as")
    return figure


def write_report(studies: Sequence[Study], measured: pd.DataFrame, folder: Path) -> str:
    """Write ``report.md`` and its figures.

    Parameters
    ----------
    studies : sequence of Study
        One per model.
    measured : DataFrame
        From :func:`~mesa_llmspread.experiments.real_models.account_shares`, with a column
        ``model``.
    folder : Path
        Where to write; it exists.

    Returns
    -------
    str
        The report without its figures, in Markdown.
    """
    figures = {
        "variance": plot_variance(studies),
        "rates": plot_rates(studies),
        "curves": plot_curves(studies),
        "accounts": plot_accounts(measured),
    }
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=100)
    report = "\n".join([*map(_described, studies), _accounts(measured)])
    pictures = "".join(f"\n![{name}]({name}.png)\n" for name in figures)
    head = "# Real models\n\nWritten by `python -m models.real_models`."
    (folder / "report.md").write_text(f"{head}\n\n{report}\n{pictures}", encoding="utf-8")
    return report


def _described(found: Study) -> str:
    """Return a study in words and tables."""
    groups = found.groups.assign(
        **{
            rate: [
                f"{row[rate]:.3f} [{row[f'{rate}_low']:.3f}, {row[f'{rate}_high']:.3f}]"
                for _, row in found.groups.iterrows()
            ]
            for rate in ("first", "again")
        }
    )[["kind", "group", "law", "first", "again"]]
    laws = found.overall.table.assign(
        delta_bic=found.overall.table["delta_bic"].map("{:,.0f}".format),
        fit_p_value=found.overall.table["fit_p_value"].map("{:.2g}".format),
    )[["law", "parameters", "delta_bic", "fit_p_value"]]
    lowest = int(groups["law"].eq(TWO_RATES).sum())
    shares = found.table.variance()["share"].map("{:.1%}".format).rename("share of variance")
    return (
        "\n\n".join(
            [
                f"## {found.name}",
                found.verdict(),
                _table(laws),
                f"{TWO_RATES} has the lowest BIC in {lowest} of {len(groups)} groups. P(repost) "
                "per occasion, with 95 % intervals:",
                _table(groups),
                _table(found.equations.assign(rmse=found.equations["rmse"].map("{:.4f}".format))),
                _table(shares.rename_axis("source").reset_index()),
            ]
        )
        + "\n"
    )


def _accounts(measured: pd.DataFrame) -> str:
    """Return what automated accounts do, as a table of means and standard deviations."""
    found = measured.groupby(["model", "share"], sort=False)[["half", "reach_10", "reach_40"]]
    mean, spread = found.mean(), found.std()
    text = pd.DataFrame(
        {
            column: [
                f"{m:.3g} (SD {s:.2g})" for m, s in zip(mean[column], spread[column], strict=True)
            ]
            for column in mean
        },
        index=mean.index,
    )
    return f"## Automated accounts among people\n\n{_table(text.reset_index())}"


def _table(frame: pd.DataFrame) -> str:
    """Return a table in Markdown."""
    rows = [list(frame.columns), ["---"] * frame.shape[1], *frame.astype(str).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
