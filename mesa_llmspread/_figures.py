"""Axes to draw on, the caller's or those of a new figure, and text to write on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["axes_for", "plain"]


def axes_for(ax: Axes | None, width: float = 6.4, height: float = 3.4) -> tuple[Any, Any]:
    """Return a figure and its axes.

    Parameters
    ----------
    ax : matplotlib.axes.Axes or None
        Where to draw; None for a new figure.
    width, height : float
        Size of a new figure, in inches.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : matplotlib.axes.Axes
    """
    from matplotlib.figure import Figure

    if ax is not None:
        return ax.figure, ax
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def plain(text: object) -> str:
    r"""Return text as Matplotlib shows it unchanged: a dollar sign starts no formula.

    Examples
    --------
    >>> print(plain("a $1^$ b"))
    a \$1^\$ b
    """
    return str(text).replace("$", r"\$")
