"""Costs of a language model's decisions: calls, tokens and money, by run, event or profile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from mesa_llmspread.data import SpreadData, check_data
from mesa_llmspread.exceptions import ArgumentError, UnknownNameError

__all__ = ["SPENDERS", "spending"]

#: How spending can be grouped.
SPENDERS = ("run", "event", "profile")

_COUNTED = ("decisions", "failed", "calls", "prompt_tokens", "completion_tokens", "cost_usd")


def spending(data: SpreadData, by: str = "event") -> pd.DataFrame:
    """Return the calls, tokens and money that the decisions of a language model cost.

    Parameters
    ----------
    data : SpreadData
        Runs with an :class:`~mesa_llmspread.LLMDecider`.
    by : {"run", "event", "profile"}, default "event"
        The groups.

    Returns
    -------
    DataFrame
        ``group``; ``decisions``, ``failed``, ``calls`` (requests, repeated ones included);
        ``prompt_tokens, completion_tokens``; ``cost_usd`` at litellm's prices. NaN where a part is
        unknown: the server did not count, or there is no price. A decision that came from a
        store costs what it cost when it was made. With pooled answers, a call counts for
        the profile that was first to need it.

    Raises
    ------
    UnknownNameError
        If there is no such grouping.
    ArgumentError
        If a run's decisions were not made by a language model.

    Examples
    --------
    >>> spending(SpreadData.load("run"), "profile")  # doctest: +SKIP
       group  decisions  failed  calls  prompt_tokens  completion_tokens  cost_usd
    0  ocean        214       2    221          98440               8812    0.0201
    """
    check_data(data)
    if by not in SPENDERS:
        raise UnknownNameError("by", by, SPENDERS)
    table = pd.DataFrame(_parts(data, by), columns=["group", *_COUNTED])
    return table.groupby("group", sort=by != "event").agg(_sum).reset_index()


def _sum(parts: pd.Series[Any]) -> Any:
    """Return a sum, which is unknown if a part is."""
    return parts.sum(skipna=False)


def _parts(data: SpreadData, by: str) -> Iterator[tuple[Any, ...]]:
    """Yield the costs of every run, or of every profile in every run, as rows."""
    for run, info in data.info.items():
        costs = info.decider_info
        if "calls" not in costs:
            raise ArgumentError("data", info.decider, "hold runs of a language model only")
        if by == "profile":
            for code, part in costs["by_profile"].items():
                yield code, *_row(part, part["failed"])
        else:
            group = run if by == "run" else info.event.event_id
            yield group, *_row(costs, sum(costs["failed"].values()))


def _row(costs: Mapping[str, Any], failed: int) -> tuple[float, ...]:
    """Return costs in the order of the columns; NaN where they are unknown, 0 without calls."""
    missing = 0.0 if costs["calls"] == 0 else np.nan
    tokens = costs["tokens"] or {"prompt": missing, "completion": missing}
    money = missing if costs["cost_usd"] is None else costs["cost_usd"]
    made = costs["decisions"], failed, costs["calls"]
    return *made, tokens["prompt"], tokens["completion"], money
