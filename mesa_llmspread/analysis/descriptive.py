"""Rates of reposts and curves of prevalence, before any law is fitted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from mesa_llmspread._validation import checked_level
from mesa_llmspread.data import SpreadData, check_data
from mesa_llmspread.exceptions import ArgumentError, UnknownNameError
from mesa_llmspread.inference.decisions import profile_indices
from mesa_llmspread.profiles import Trait, codes, trait_levels

__all__ = ["GROUPINGS", "prevalence", "repost_rates", "wilson_intervals"]

#: How decisions can be grouped by :func:`repost_rates`.
GROUPINGS = ("profile", "trait", "event_type", "fatalities", "exposure_count", "contacts")


# Bands of numbers, by their least one.
_BANDS: dict[str, dict[int, str]] = {
    "fatalities": {0: "0", 1: "1 to 9", 10: "10 to 99", 100: "100 or more"},
    "exposure_count": {1: "first", 2: "repeat"},
    "contacts": {**{number: str(number) for number in range(6)}, 6: "6+"},
}


def prevalence(data: SpreadData, level: float = 0.95) -> pd.DataFrame:
    """Return the share of agents that have posted, step by step, over the runs.

    Parameters
    ----------
    data : SpreadData
        One run or several. A run that stopped early stays where it was.
    level : float, default 0.95
        Share of the runs between ``low`` and ``high``.

    Returns
    -------
    DataFrame
        ``step``, ``mean``, ``low``, ``high``: shares between 0 and 1.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the record has no counts, or an argument is not allowed.
    """
    check_data(data)
    level = checked_level(level)
    if data.counts.empty:
        raise ArgumentError("data", data, "have counts for curves: it has none")
    counts = data.counts.assign(
        share=data.counts["infected"] / (data.counts["infected"] + data.counts["susceptible"])
    )
    runs = counts.pivot(index="step", columns="run", values="share").ffill()
    tail = (1 - level) / 2
    return pd.DataFrame(
        {
            "step": runs.index,
            "mean": runs.mean(axis=1),
            "low": runs.quantile(tail, axis=1),
            "high": runs.quantile(1 - tail, axis=1),
        }
    ).reset_index(drop=True)


def repost_rates(data: SpreadData, by: str, level: float = 0.95) -> pd.DataFrame:
    """Return the share of decisions that were reposts, group by group.

    Descriptive: groups also differ in how many neighbours had posted and how often the news
    had been seen.

    Parameters
    ----------
    data : SpreadData
    by : {"profile", "trait", "event_type", "fatalities", "exposure_count", "contacts"}
        The grouping. ``"trait"`` puts every decision into five groups, one per trait.
    level : float, default 0.95
        Coverage of the intervals (Wilson).

    Returns
    -------
    DataFrame
        ``group``, ``decisions``, ``reposts``, ``rate``, ``low``, ``high``; rates per decision.
        ``failed`` decisions are counted beside them and are in none of the other columns.

    Raises
    ------
    UnknownNameError
        If there is no such grouping.
    ArgumentError, ArgumentTypeError
        If what it groups by, the profiles or the events, is unknown, or an argument is not
        allowed.
    """
    check_data(data)
    level = checked_level(level)
    if by not in GROUPINGS:
        raise UnknownNameError("by", by, GROUPINGS)
    outcome = data.exposures["outcome"]
    columns = {"made": outcome != "failed", "repost": outcome == "repost"}
    decisions = pd.DataFrame({**columns, "failed": outcome == "failed"})
    sums = pd.concat(
        decisions.groupby(groups, observed=True).sum() for groups in _groupings(data, by)
    )
    low, high = wilson_intervals(sums["repost"], sums["made"], level)
    return pd.DataFrame(
        {
            "group": sums.index.astype("str"),
            "decisions": sums["made"].to_numpy(),
            "reposts": sums["repost"].to_numpy(),
            "rate": (sums["repost"] / sums["made"].where(sums["made"] > 0)).to_numpy(),
            "low": low,
            "high": high,
            "failed": sums["failed"].to_numpy(),
        }
    )


def wilson_intervals(
    counts: Iterable[int], totals: Iterable[int], level: float = 0.95
) -> tuple[list[float], list[float]]:
    """Return the Wilson interval of each share as ends (low, high); NaN where the total is 0."""
    ends = [
        binomtest(int(count), int(total)).proportion_ci(level, method="wilson")
        if total
        else (np.nan, np.nan)
        for count, total in zip(counts, totals, strict=True)
    ]
    return [low for low, _ in ends], [high for _, high in ends]


def _groupings(data: SpreadData, by: str) -> list[Any]:
    """Return the group of every decision, in one way or (by trait) in five."""
    seen = data.exposures
    if by in ("profile", "trait"):
        index = profile_indices(seen)  # unknown profiles are refused
        if by == "profile":
            return [pd.Categorical.from_codes(index, pd.Index(codes()))]
        high = (trait_levels()[index] > 0).astype(int)
        return [
            pd.Categorical.from_codes(
                level, pd.Index([f"{trait.value} low", f"{trait.value} high"])
            )
            for trait, level in zip(Trait, high.T, strict=True)
        ]
    if by in seen:
        value = seen[by]
    else:
        value = seen["run"].map({run: getattr(info.event, by) for run, info in data.info.items()})
    if by not in _BANDS:
        return [pd.Categorical(value)]
    bands = _BANDS[by]
    return [pd.cut(value, [*bands, np.inf], right=False, labels=list(bands.values())).array]
