"""The profiles panel: who reposts how often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import solara

from mesa_llmspread.app.session import View
from mesa_llmspread.app.widgets import ProfileGrid
from mesa_llmspread.profiles import Trait, codes

if TYPE_CHECKING:
    import pandas as pd

    from mesa_llmspread.data import SpreadData

__all__ = ["ProfilesView"]


@solara.component
def ProfilesView(view: View) -> None:
    """Show repost rates by trait and by profile.

    Parameters
    ----------
    view : View
        What there is to see.
    """
    data = view.data
    rates = solara.use_memo(lambda: None if data is None else profile_rates(data), [data])
    if rates is None:
        solara.Text("No decision has been made yet: take a step, or run.")
        return
    ProfileGrid(sides=rates[0], cells=rates[1])


def profile_rates(data: SpreadData) -> tuple[list[dict[str, Any]], list[dict[str, Any]]] | None:
    """Give repost rates as plain values: five traits with two sides, and 32 cells.

    Parameters
    ----------
    data : SpreadData

    Returns
    -------
    tuple of lists, or None
        None where no decision has been made.
    """
    # Statistics take long to load, and the page shall be there before.
    from mesa_llmspread.analysis.descriptive import repost_rates

    if data.exposures.empty:
        return None
    by_side = _by_group(repost_rates(data, "trait"))
    traits = [
        {
            "trait": trait.value,
            **{side: by_side.get(f"{trait.value} {side}") for side in ("low", "high")},
        }
        for trait in Trait
    ]
    by_code = _by_group(repost_rates(data, "profile"))
    cells = [{"code": code, "decisions": 0, **by_code.get(code, {})} for code in codes()]
    return traits, cells


def _by_group(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Turn a table of rates into plain values."""
    return {
        str(row["group"]): {
            "decisions": int(row["decisions"]),
            **{name: float(row[name]) for name in ("rate", "low", "high")},
        }
        for row in table.to_dict("records")
    }
