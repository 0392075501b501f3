"""What a language model's decisions took: calls, tokens and money, by run, event or profile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from mesa_llmspread.data import SpreadData
from mesa_llmspread.exceptions import ArgumentError, UnknownNameError

__all__ = ["SPENDERS", "spending"]

#: How spending can be grouped.
SPENDERS = ("run", "event", "profile")

_COUNTED = ("decisions", "failed", "calls", "prompt_tokens", "completion_tokens", "cost_usd")


def spending(data: SpreadData, by: str = "event") -> pd.DataFrame:
    """Sum up what the decisions of a language model took.

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
        store counts as what it took when it was made. With pooled answers, a call counts for
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
    if by not in SPENDERS:
        raise UnknownNameError("by", by, SPENDERS)
    table = pd.DataFrame(_parts(data, by), columns=["group", *_COUNTED])
    return table.groupby("group", sort=by != "event").agg(_sum).reset_index()


def _sum(parts: pd.Series[Any]) -> Any:
    """Add up; a sum with an unknown part is unknown."""
    return parts.sum(skipna=False)


def _parts(data: SpreadData, by: str) -> Iterator[dict[str, Any]]:
    """Give what every run took, or in every run the decisions of every profile."""
    for run, info in data.info.items():
        said = info.decider_info
        if "calls" not in said:
            raise ArgumentError("data", info.decider, "hold runs of a language model only")
        if by == "profile":
            for code, part in said["by_profile"].items():
                yield {"group": code, **_plain(part, part["failed"])}
        else:
            group = run if by == "run" else info.event.event_id
            yield {"group": group, **_plain(said, sum(said["failed"].values()))}


def _plain(taken: Mapping[str, Any], failed: int) -> dict[str, float]:
    """Lay tokens and money side by side; what never happened took nothing."""
    nothing = 0.0 if taken["calls"] == 0 else np.nan
    tokens = taken["tokens"] or {"prompt": nothing, "completion": nothing}
    return {
        "decisions": taken["decisions"],
        "failed": failed,
        "calls": taken["calls"],
        "prompt_tokens": tokens["prompt"],
        "completion_tokens": tokens["completion"],
        "cost_usd": nothing if taken["cost_usd"] is None else taken["cost_usd"],
    }
