"""What the log says before any law is fitted: how often agents repost, and how the news spread."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from mesa_llmspread.data import SpreadData
from mesa_llmspread.exceptions import ArgumentError, UnknownNameError
from mesa_llmspread.inference.decisions import profile_indices
from mesa_llmspread.profiles import Trait, codes

__all__ = ["GROUPINGS", "prevalence", "repost_rates"]

#: How decisions can be grouped by :func:`repost_rates`.
GROUPINGS = ("profile", "trait", "event_type", "fatalities", "exposure_count", "contacts")

# Bands of people killed: from how many on, and their names.
_BANDS = ((0, "0"), (1, "1 to 9"), (10, "10 to 99"), (100, "100 or more"))


def prevalence(data: SpreadData, level: float = 0.95) -> pd.DataFrame:
    """Share of agents that have posted, step by step, over the runs.

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
    ArgumentError
        If the record has no counts.
    """
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
    """Share of decisions that were reposts, group by group.

    Descriptive: groups also differ in how many neighbours had posted and how often the news
    had been seen.

    Parameters
    ----------
    data : SpreadData
    by : {"profile", "trait", "event_type", "fatalities", "exposure_count", "contacts"}
        The grouping. ``"trait"`` puts every decision into five groups, one a trait.
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
    ArgumentError
        If what it groups by, the profiles or the events, is unknown.
    """
    if by not in GROUPINGS:
        raise UnknownNameError("by", by, GROUPINGS)
    decisions = data.exposures.assign(
        repost=data.exposures["outcome"] == "repost", failed=data.exposures["outcome"] == "failed"
    )
    if by in ("profile", "trait"):
        profile_indices(decisions)  # refuses profiles that are unknown
    if by == "trait":
        parts = [
            decisions.assign(group=_trait_level(decisions["profile"], place, trait))
            for place, trait in enumerate(Trait)
        ]
        order = [f"{trait.value} {level}" for trait in Trait for level in ("low", "high")]
        return _rates(pd.concat(parts), order, level)
    if by == "profile":
        present = set(decisions["profile"])
        grouped = decisions.assign(group=decisions["profile"])
        return _rates(grouped, [code for code in codes() if code in present], level)
    if by in ("event_type", "fatalities"):
        values = {run: getattr(info.event, by) for run, info in data.info.items()}
        of_run = values if by == "event_type" else {r: _band(v) for r, v in values.items()}
        grouped = decisions.assign(group=decisions["run"].map(of_run))
        order = [label for _, label in _BANDS] if by == "fatalities" else sorted(values.values())
        return _rates(grouped, list(dict.fromkeys(order)), level)
    top = 2 if by == "exposure_count" else 6
    label = _first_or_repeat if by == "exposure_count" else _up_to(top)
    grouped = decisions.assign(group=[label(value) for value in decisions[by]])
    return _rates(grouped, sorted(set(grouped["group"])), level)


def _trait_level(profile: pd.Series, place: int, trait: Trait) -> pd.Series:
    """Name the side of a trait that each profile code is on."""
    high = profile.str[place].str.isupper()
    return pd.Series(np.where(high, f"{trait.value} high", f"{trait.value} low"), profile.index)


def _band(fatalities: int) -> str:
    """Name the band that a number of people killed lies in."""
    return next(label for least, label in reversed(_BANDS) if fatalities >= least)


def _first_or_repeat(exposure: int) -> str:
    return "first" if exposure == 1 else "repeat"


def _up_to(top: int) -> Callable[[int], str]:
    """Label counts, with everything from ``top`` on in one group."""
    return lambda count: str(count) if count < top else f"{top}+"


def _rates(decisions: pd.DataFrame, order: Sequence[object], level: float) -> pd.DataFrame:
    """Count reposts by group and give each share its Wilson interval."""
    counted = decisions.groupby("group")[["repost", "failed"]].agg(["size", "sum"])
    counted = counted.reindex([group for group in order if group in counted.index])
    reposts, failed = counted["repost"]["sum"], counted["failed"]["sum"]
    made = counted["repost"]["size"] - failed
    intervals = [
        binomtest(int(k), int(n)).proportion_ci(level, method="wilson") if n else None
        for k, n in zip(reposts, made, strict=True)
    ]
    return pd.DataFrame(
        {
            "group": counted.index,
            "decisions": made.to_numpy(),
            "reposts": reposts.to_numpy(),
            "rate": (reposts / made.where(made > 0)).to_numpy(),
            "low": [interval.low if interval else np.nan for interval in intervals],
            "high": [interval.high if interval else np.nan for interval in intervals],
            "failed": failed.to_numpy(),
        }
    )
