"""Figures of a sweep: rates against a factor with their intervals, and a value over two factors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from mesa_llmspread._validation import check_name
from mesa_llmspread.exceptions import ArgumentError

__all__ = ["plot_heatmap", "plot_rates"]

# Okabe & Ito, without yellow, which is too light for points.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def plot_rates(table: pd.DataFrame, factor: str, series: str | None = None) -> Figure:
    """Draw each rate against a factor, with its intervals.

    Parameters
    ----------
    table : DataFrame
        From :func:`~mesa_llmspread.sweep.fit_cells`, with one law.
    factor : str
        A column of the design, such as ``"k"``, ``"population"`` or ``"event_type"``.
    series : str, optional
        A second column, told apart by colour.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    UnknownNameError
        If there is no such column.
    ArgumentError
        If there is nothing to draw.
    """
    check_name("factor", factor, [*map(str, table)])
    check_name("series", factor if series is None else series, [*map(str, table)])
    if "parameter" not in table or table["estimate"].isna().all():
        raise ArgumentError("table", list(table.columns), "hold rates, as fit_cells returns them")
    rates = table.dropna(subset=["estimate"]).groupby(["law", "parameter"], sort=False)
    figure = Figure(figsize=(3.6 * len(rates), 3.2), layout="constrained")
    axes = figure.subplots(1, len(rates), squeeze=False)[0]
    for axis, ((law, rate), part) in zip(axes, rates, strict=True):
        groups = [("", part)] if series is None else list(part.groupby(series, sort=False))
        for i, (label, group) in enumerate(groups):
            apart = (i - (len(groups) - 1) / 2) * 0.08
            below, above = group["estimate"] - group["low"], group["high"] - group["estimate"]
            axis.errorbar(
                _places(part[factor], group[factor], apart),
                group["estimate"],
                yerr=np.maximum([below, above], 0),
                fmt="o",
                color=_COLOURS[i % len(_COLOURS)],
                ms=4,
                label=str(label) or None,
            )
        if not pd.api.types.is_numeric_dtype(part[factor]):
            names = sorted(part[factor].unique())
            axis.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
        per = "occasion" if 'per="occasion"' in str(law) else "step"
        label = f"probability per {per}" if str(rate).startswith(("alpha", "beta")) else "estimate"
        axis.set(title=f"{law}: {rate}", xlabel=factor, ylabel=label)
        if part["low"].min() >= 0:
            axis.set_ylim(0, None)
        axis.grid(axis="y", alpha=0.3)
        if series is not None:
            axis.legend(title=series, frameon=False, fontsize=8)
    return figure


def plot_heatmap(table: pd.DataFrame, x: str, y: str, value: str) -> Figure:
    """Draw the mean of a value over two factors.

    Parameters
    ----------
    table : DataFrame
        Such as :meth:`Sweep.outcomes` or a table of fitted rates.
    x, y : str
        Its columns with the factors.
    value : str
        Its column with the value, such as ``"final"`` or ``"estimate"``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    UnknownNameError
        If there is no such column.
    """
    for name, column in (("x", x), ("y", y), ("value", value)):
        check_name(name, column, [*map(str, table)])
    grid = table.pivot_table(index=y, columns=x, values=value, aggfunc="mean", sort=True)
    size = 1.6 + 0.7 * len(grid.columns), 1.4 + 0.45 * len(grid)
    figure = Figure(figsize=size, layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(grid, origin="lower", aspect="auto", cmap="viridis")
    for ticks, values in ((axis.set_xticks, grid.columns), (axis.set_yticks, grid.index)):
        labels = [f"{value:.3g}" if isinstance(value, float) else str(value) for value in values]
        ticks(range(len(values)), labels)
    axis.set(xlabel=x, ylabel=y)
    middle = (np.nanmin(grid) + np.nanmax(grid)) / 2
    for (row, column), number in np.ndenumerate(grid.to_numpy(dtype=float)):
        colour = "black" if number > middle else "white"
        text = "" if np.isnan(number) else f"{number:.3g}"
        axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(image, label=value)
    return figure


def _places(every: pd.Series, own: pd.Series, apart: float) -> npt.NDArray[np.float64]:
    """Return the x positions of a series' points: numbers at their value, text side by side.

    Series are drawn a little apart, as a share of the smallest distance between values.
    """
    values = sorted(every.unique())
    if not pd.api.types.is_numeric_dtype(every):
        return own.map(values.index).to_numpy(dtype=float) + apart
    gap = float(np.diff(values).min()) if len(values) > 1 else 1.0
    return own.to_numpy(dtype=float) + apart * gap
