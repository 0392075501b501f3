"""Whether two response tables agree: two models, templates or temperatures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mesa_llmspread._validation import check_kind, checked_probability
from mesa_llmspread._words import counted
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.tables.response_table import CELL, ResponseTable

__all__ = ["TableComparison", "compare_tables"]


@dataclass(frozen=True)
class TableComparison:
    """How two response tables differ, on the cells that both have.

    Attributes
    ----------
    frame : DataFrame
        One row per common cell: the cell, ``p_a``, ``p_b``, ``difference`` (b - a) and its 95 %
        interval ``low``, ``high`` (from the two tables' intervals; MOVER, Donner and Zou 2012).
    margin : float
        Differences smaller than this count as none.
    """

    frame: pd.DataFrame
    margin: float

    @property
    def largest(self) -> pd.Series[Any]:
        """The cell with the largest difference."""
        return self.frame.iloc[int(np.argmax(self.frame["difference"].abs()))]

    @property
    def equivalent(self) -> bool:
        """Whether the interval of every difference lies within the margin."""
        return bool((self.frame[["low", "high"]].abs() < self.margin).all(axis=None))

    @property
    def correlation(self) -> float:
        """Correlation of the two tables' probabilities; NaN if one does not vary."""
        a, b = self.frame["p_a"], self.frame["p_b"]
        return float(a.corr(b)) if a.std() and b.std() else float("nan")

    def __str__(self) -> str:
        cell, difference = self.largest, self.frame["difference"]
        verdict = "equivalent" if self.equivalent else "not equivalent"
        where = "media" if cell["direct"] else counted(int(cell["contacts"]), "neighbour")
        return (
            f"{len(self.frame)} cells: mean difference {difference.mean():+.3f}, mean absolute "
            f"difference {difference.abs().mean():.3f}, correlation {self.correlation:.2f}; "
            f"largest {cell['difference']:+.3f} ({cell['profile']}, {cell['event']}, {where}, "
            f"exposure {cell['exposure_count']}); {verdict} at a margin of {self.margin:g}"
        )


def compare_tables(a: ResponseTable, b: ResponseTable, margin: float = 0.05) -> TableComparison:
    """Compare two response tables cell by cell.

    Parameters
    ----------
    a, b : ResponseTable
        Of two models, templates, temperatures, ...
    margin : float, default 0.05
        Differences of P(repost) smaller than this count as none; above 0.

    Returns
    -------
    TableComparison

    Raises
    ------
    ArgumentError
        If the tables have no cell in common, or margin is out of its range.

    Examples
    --------
    >>> from mesa_llmspread import load_table
    >>> table = load_table("qwen2.5-coder-0.5b")
    >>> compare_tables(table, table).equivalent
    True
    """
    for name, table in (("a", a), ("b", b)):
        check_kind(name, table, ResponseTable, "a ResponseTable")
    if not checked_probability("margin", margin):
        raise ArgumentError("margin", margin, "be above 0")
    both = a.frame.merge(b.frame, on=CELL, suffixes=("_a", "_b"))
    if both.empty:
        raise ArgumentError("b", repr(b), "have cells in common with a")
    difference = both["p_b"] - both["p_a"]
    below = np.hypot(both["p_b"] - both["low_b"], both["high_a"] - both["p_a"])
    above = np.hypot(both["high_b"] - both["p_b"], both["p_a"] - both["low_a"])
    frame = both[[*CELL, "p_a", "p_b"]].assign(
        difference=difference, low=difference - below, high=difference + above
    )
    return TableComparison(frame, margin)
