"""Figures of an analysis, in Matplotlib.

Each function draws a new figure without global state, so figures can be drawn in any thread;
those of one panel also draw on axes that are given. All but the overview are as wide as a phone.
Colours are those of Okabe & Ito, which colour-blind readers can distinguish.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mesa_llmspread._figures import axes_for, plain
from mesa_llmspread.analysis.cascades import Cascade
from mesa_llmspread.analysis.descriptive import repost_rates
from mesa_llmspread.analysis.event_analysis import STOCHASTIC, Analysis, EventAnalysis
from mesa_llmspread.data import SpreadData
from mesa_llmspread.inference.trait_effects import TraitEffects
from mesa_llmspread.profiles import Trait, codes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "plot_cascade",
    "plot_comparison",
    "plot_event",
    "plot_event_rates",
    "plot_fitted_rates",
    "plot_hazard_ratios",
    "plot_profiles",
    "plot_spread",
    "plot_traits",
]

SIMULATED = "simulated agents"

#: Colour of each curve.
COLOURS = {
    SIMULATED: "#000000",
    STOCHASTIC: "#56B4E9",
    "master equations": "#009E73",
    "pair approximation": "#0072B2",
    "mean-field map": "#E69F00",
    "mean-field ODE": "#CC79A7",
}
_STYLES: dict[str, Any] = {
    "master equations": "--",
    "pair approximation": (0, (5, 1, 1, 1, 1, 1)),
    "mean-field map": "-.",
    "mean-field ODE": ":",
}
_POINT = "#0072B2"

# Inches: text of 8 points can still be read where a phone makes the figure fit.
_WIDTH = 4.4


def plot_spread(analysis: Analysis) -> Figure:
    """Draw the simulated and fitted curves of every event, one panel per event.

    Parameters
    ----------
    analysis : Analysis

    Returns
    -------
    matplotlib.figure.Figure
    """
    columns = min(3, len(analysis.events))
    rows = -(-len(analysis.events) // columns)
    # The legend's three columns need this width, also for a single event.
    width, height = max(4.0 * columns, 6.4), 2.6 * rows + 0.6
    figure, axes = _axes(width, height, rows, columns, sharex=True, sharey=True, squeeze=False)
    for axis, part in zip(axes.flat, analysis.events, strict=False):
        _draw_curves(axis, part)
    for axis in axes.flat[len(analysis.events) :]:
        axis.set_axis_off()
    for axis in axes[-1]:
        axis.set_xlabel("step")
    for axis in axes[:, 0]:
        axis.set_ylabel("share that has posted")
    _draw_legend(figure, axes.flat, 3)
    return figure


def plot_event(part: EventAnalysis, ax: Axes | None = None) -> Figure:
    """Draw the runs about one event, their mean and band, and the fitted curves.

    Parameters
    ----------
    part : EventAnalysis
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure, with a legend, if not given.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axis = axes_for(ax, _WIDTH, 3.3)
    part.data.plot(ax=axis)
    for line in axis.get_lines():
        line.set(color=COLOURS[SIMULATED], alpha=0.3, lw=0.6, label="_run")
    _draw_curves(axis, part)
    axis.set(xlabel="step", ylabel="share that has posted")
    if ax is None:
        _draw_legend(figure, [axis], 2)
    return figure


def plot_fitted_rates(analysis: Analysis) -> Figure:
    """Draw the parameters of the law that fits best overall, event by event, with intervals.

    Parameters
    ----------
    analysis : Analysis

    Returns
    -------
    matplotlib.figure.Figure
        One panel per parameter, for the first nine.
    """
    best = analysis.overall.best
    name, limits = best.name, best.law.parameter_bounds if best.law else {}
    fits = [part.comparison.results[name] for part in analysis.events]
    labels = [part.event.event_id for part in analysis.events]
    parameters = list(best.params)[:9]
    columns = min(len(parameters), 3)
    rows = -(-len(parameters) // columns)
    height = rows * (0.2 * len(labels) + 1.2)
    figure, axes = _axes(_WIDTH, height, rows, columns, sharey=True, squeeze=False)
    for axis in axes.flat[len(parameters) :]:
        axis.set_axis_off()
    for axis, parameter in zip(axes.flat, parameters, strict=False):
        rates = [fit.params.get(parameter, np.nan) for fit in fits]
        ends = [fit.ci.get(parameter, (np.nan, np.nan)) for fit in fits]
        table = pd.DataFrame(ends, columns=["low", "high"]).assign(group=labels, rate=rates)
        _draw_points(axis, table)
        rate = limits.get(parameter) == (0.0, 1.0)
        unit = "probability per step" if rate else ""
        if parameter.startswith("share"):
            unit = "share of agents"
        axis.locator_params(axis="x", nbins=3)  # panels are narrow
        axis.set_title(parameter, fontsize=9)
        axis.set_xlabel(unit, fontsize=8)
    more = len(best.params) - len(parameters)
    left_out = f", without {more} more parameters" if more else ""
    figure.suptitle(f"{plain(name)}{left_out}", fontsize=9)
    return figure


def plot_traits(data: SpreadData, ax: Axes | None = None) -> Figure:
    """Draw the share of reposts of agents high and low on each trait.

    Parameters
    ----------
    data : SpreadData
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.figure.Figure
    """
    table = repost_rates(data, "trait")
    figure, axis = axes_for(ax, _WIDTH, 3.2)
    for level, colour, shift in (("low", "#56B4E9", -0.12), ("high", "#D55E00", 0.12)):
        part = table[table["group"].str.endswith(f" {level}")]
        places = [
            next(i for i, trait in enumerate(Trait) if group.startswith(trait.value)) + shift
            for group in part["group"]
        ]
        error = [part["rate"] - part["low"], part["high"] - part["rate"]]
        axis.errorbar(places, part["rate"], yerr=error, fmt="o", color=colour, label=level)
    names = [trait.value for trait in Trait]
    axis.set_xticks(range(5), names, fontsize=8, rotation=20, ha="right", rotation_mode="anchor")
    axis.set(ylabel="reposts per decision", ylim=(0, None))
    axis.legend(title="trait level", frameon=False)
    return figure


def plot_profiles(data: SpreadData, ax: Axes | None = None) -> Figure:
    """Draw the share of reposts of each of the 32 profiles, as a grid.

    Parameters
    ----------
    data : SpreadData
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.figure.Figure
    """
    table = repost_rates(data, "profile").set_index("group").reindex(codes())
    rates = table["rate"].to_numpy().reshape(8, 4)
    figure, axis = axes_for(ax, _WIDTH, 5.4)
    image = axis.imshow(rates, cmap="cividis", aspect="auto")
    middle = np.nanmean([np.nanmin(rates), np.nanmax(rates)])
    for index, code in enumerate(codes()):
        row, column = divmod(index, 4)
        if np.isnan(rates[row, column]):
            continue
        half = (table["high"].iloc[index] - table["low"].iloc[index]) / 2
        text = f"{code}\n{rates[row, column]:.3f}\n±{half:.3f}"
        colour = "white" if rates[row, column] < middle else "black"
        axis.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    axis.set_xticks([])
    axis.set_yticks([])
    figure.colorbar(image, ax=axis, label="reposts per decision")
    return figure


def plot_event_rates(data: SpreadData) -> Figure:
    """Draw the share of reposts by event type and by people killed.

    Parameters
    ----------
    data : SpreadData

    Returns
    -------
    matplotlib.figure.Figure
    """
    tables = [repost_rates(data, "event_type"), repost_rates(data, "fatalities")]
    heights = [len(table) + 1 for table in tables]
    figure, axes = _axes(
        _WIDTH, 0.25 * sum(heights) + 1.2, 2, 1, sharex=True, height_ratios=heights
    )
    for axis, table, title in zip(axes, tables, ("event type", "people killed"), strict=True):
        _draw_points(axis, table)
        axis.set_title(title, fontsize=9)
    axes[-1].set_xlabel("reposts per decision")
    return figure


def plot_comparison(analysis: Analysis, ax: Axes | None = None) -> Figure:
    """Draw the BIC of each law above that of the best law, over all runs.

    Parameters
    ----------
    analysis : Analysis
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.figure.Figure
    """
    table = analysis.overall.table
    table = table[np.isfinite(table["delta_bic"])].iloc[::-1]
    figure, axis = axes_for(ax, _WIDTH, 0.28 * len(table) + 1.0)
    bars = axis.barh(table["law"].map(plain), table["delta_bic"], color=_POINT)
    axis.bar_label(bars, [f"{delta:,.0f}" for delta in table["delta_bic"]], padding=3, fontsize=8)
    axis.tick_params(labelsize=8)
    axis.locator_params(axis="x", nbins=4)
    axis.set(xlabel="BIC above the best law's", xlim=(0, 1.3 * table["delta_bic"].max() + 1))
    return figure


def plot_residuals(residuals: pd.DataFrame) -> Figure:
    """Draw reposts less those that a law expects, by contacts, occasion and step.

    Parameters
    ----------
    residuals : DataFrame
        As ``Comparison.residuals``.

    Returns
    -------
    matplotlib.figure.Figure
        Bars show two standard errors by chance (binomial): about one in twenty misses 0 where the
        law is right.
    """
    figure, axes = _axes(_WIDTH, 6.2, 3, 1, sharey=True)
    for axis, (by, part) in zip(axes, residuals.groupby("by", sort=False), strict=True):
        share = part["observed"].sub(part["expected"]) / part["decisions"]
        error = 2 * part["error"] / part["decisions"]
        ends = zip(part["low"], part["high"], strict=True)
        labels = [f"{low}" if low == high else f"{low}–{high}" for low, high in ends]
        axis.errorbar(range(len(part)), share, yerr=error, fmt="o", color=_POINT)
        axis.axhline(0.0, color="#000000", lw=0.8)
        axis.set_xticks(range(len(part)), labels, rotation=45, fontsize=8)
        axis.set_xlabel({"contacts": "posts in view", "occasion": "exposure"}.get(str(by), str(by)))
    axes[1].set_ylabel("observed − expected, reposts per decision")
    return figure


def plot_hazard_ratios(effects: TraitEffects, ax: Axes | None = None) -> Figure:
    """Draw the hazard ratio of a repost of each term, with intervals.

    Parameters
    ----------
    effects : TraitEffects
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.ticker import LogLocator, NullLocator

    terms = effects.table["term"].str.partition(" (vs. ")
    table = effects.table.assign(group=terms[0], rate=effects.table["hazard_ratio"])
    figure, axis = axes_for(ax, _WIDTH, 0.25 * len(table) + 1.0)
    axis.set_xscale("log")
    _draw_points(axis, table)
    axis.axvline(1.0, color="#000000", lw=0.8)
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_locator(NullLocator())
    unit = "hazard ratio (traits: per SD)"
    # What event types are compared with, which is the same for all.
    for other in set(terms[2]) - {""}:
        unit += f"\ntypes: against {other.removesuffix(')')}"
    axis.set_xlabel(plain(unit), fontsize=8)
    return figure


def plot_cascade(cascade: Cascade) -> Figure:
    """Draw the number of agents that posted at each step, and at each depth of the tree.

    Parameters
    ----------
    cascade : Cascade

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, (left, right) = _axes(8.4, 3.2, 1, 2)
    new = cascade.new_spreaders
    left.bar(range(1, len(new) + 1), new, color=_POINT)
    left.axvline(cascade.time_to_half, color="#D55E00", ls="--", label="half have posted")
    left.set(xlabel="step", ylabel="new spreaders")
    left.legend(frameon=False, fontsize=8)
    table = cascade.generations
    error = np.maximum([table["mean"] - table["low"], table["high"] - table["mean"]], 0)
    right.bar(table["depth"], table["mean"], yerr=error, color="#56B4E9")
    right.set(xlabel="depth (reposts since the starter)", ylabel="spreaders")
    virality = cascade.measures["mean"]["structural_virality"]
    right.set_title(f"structural virality {virality:.2f}", fontsize=9)
    return figure


def _axes(width: float, height: float, rows: int, columns: int, **options: Any) -> Any:
    """Return a new figure, in inches, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def _draw_curves(axis: Axes, part: EventAnalysis) -> None:
    """Draw one event's simulated band and mean, and the fitted law's curves."""
    steps, curves = part.simulated["step"], part.curves
    bands = [(part.simulated, SIMULATED, 0.12)]
    if "mean" in curves:
        bands.append((curves, STOCHASTIC, 0.15))
        axis.plot(curves["step"], curves["mean"], color=COLOURS[STOCHASTIC], label=STOCHASTIC)
    for table, name, alpha in bands:
        limits = table["low"], table["high"]
        axis.fill_between(table["step"], *limits, color=COLOURS[name], alpha=alpha, lw=0)
    for label, style in _STYLES.items():
        if label in curves:
            colour = COLOURS[label]
            axis.plot(curves["step"], curves[label], linestyle=style, color=colour, label=label)
    axis.plot(steps, part.simulated["mean"], color=COLOURS[SIMULATED], lw=1.6, label=SIMULATED)
    axis.set_ylim(0, 1.02)
    wrong = " (does not fit)" if part.misfit else ""
    title = f"{part.event.event_id}: {part.law}{wrong}"
    axis.set_title(plain(title), fontsize=9)


def _draw_legend(figure: Any, axes: Iterable[Axes], columns: int) -> None:
    """Draw one legend for several axes: an event's law may lack a curve that another's has."""
    lines = {line.get_label(): line for axis in axes for line in axis.get_lines()}
    handles = [lines[name] for name in COLOURS if name in lines]
    place = "outside lower center"
    figure.legend(handles=handles, loc=place, ncols=columns, frameon=False, fontsize=8)


def _draw_points(axis: Axes, table: pd.DataFrame) -> None:
    """Draw estimates with intervals, one line per estimate, the first at the top."""
    places: Sequence[int] = range(len(table))[::-1]
    error = np.maximum([table["rate"] - table["low"], table["high"] - table["rate"]], 0)
    axis.errorbar(table["rate"], places, xerr=error, fmt="o", color=_POINT, ms=4)
    axis.set_yticks(places, [plain(group) for group in table["group"]], fontsize=8)
    if axis.get_xscale() == "linear":
        if not (table[["rate", "low"]] < 0).any(axis=None):
            axis.set_xlim(0, None)
        axis.locator_params(axis="x", nbins=5)
    axis.grid(axis="x", alpha=0.3)
