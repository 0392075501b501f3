"""Numbers as text: what stands in reports, tables and sentences."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping

# Smaller p-values are not told apart: their distribution is an approximation.
_SMALLEST = 0.001


def counted(number: int, noun: str) -> str:
    """Write a number with its noun.

    Examples
    --------
    >>> counted(1, "run"), counted(1200, "run")
    ('1 run', '1,200 runs')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def p_number(value: float) -> str:
    """Write a p-value for a table; the smallest ones as a bound, never as 0.

    Examples
    --------
    >>> p_number(0.0312), p_number(0.0), p_number(float("nan"))
    ('0.031', '< 0.001', '–')
    """
    if math.isnan(value):
        return "–"
    return f"< {_SMALLEST:g}" if value < _SMALLEST else f"{value:.3f}"


def p_words(value: float) -> str:
    """Write a p-value for a sentence; the smallest ones as a bound, never as 0.

    Examples
    --------
    >>> p_words(0.0312), p_words(0.0), p_words(float("nan"))
    ('p = 0.031', 'p < 0.001', 'p unknown')
    """
    if math.isnan(value):
        return "p unknown"
    return f"p < {_SMALLEST:g}" if value < _SMALLEST else f"p = {value:.2g}"


def described(name: str, value: float, low: float, high: float, digits: int = 3) -> str:
    """Write an estimate with its interval, or that the data say nothing about it.

    Examples
    --------
    >>> described("beta", 0.05, 0.04, 0.06)
    'beta 0.05 [0.04, 0.06]'
    >>> described("beta", float("nan"), float("nan"), float("nan"))
    'beta not estimable'
    """
    if math.isnan(value):
        return f"{name} not estimable"
    if math.isnan(low) or math.isnan(high):
        return f"{name} {value:.{digits}g} (interval not estimable)".strip()
    return f"{name} {value:.{digits}g} [{low:.{digits}g}, {high:.{digits}g}]".strip()


def html_table(title: str, rows: Mapping[str, str]) -> str:
    """Write names and texts as a small table, for notebooks.

    Examples
    --------
    >>> html_table("A run", {"agents": "< 10"})
    '<table><caption>A run</caption><tr><th>agents</th><td>&lt; 10</td></tr></table>'
    """
    lines = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>"
        for name, text in rows.items()
    )
    return f"<table><caption>{html.escape(title)}</caption>{lines}</table>"
