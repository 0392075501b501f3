"""Several records as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from mesa_llmspread.data.run_info import RunInfo
from mesa_llmspread.data.schema import SCHEMA, completed
from mesa_llmspread.data.spread_data import SpreadData, check_data
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError

__all__ = ["concat"]


def concat(data: Sequence[SpreadData]) -> SpreadData:
    """Concatenate several records, as runs 0, 1, ... in their order.

    Parameters
    ----------
    data : sequence of SpreadData
        At least one.

    Returns
    -------
    SpreadData

    Raises
    ------
    ArgumentError
        If there is no record.
    ArgumentTypeError
        If ``data`` is not a sequence of records.

    Examples
    --------
    >>> seen = {"run": [0], "step": [1], "agent": [7], "contacts": [1], "outcome": ["repost"]}
    >>> one = SpreadData.from_tables(pd.DataFrame(seen))
    >>> concat([one, one]).runs
    [0, 1]
    """
    if isinstance(data, str | SpreadData) or not isinstance(data, Iterable):
        raise ArgumentTypeError("data", data, "a list of SpreadData")
    data = list(data)
    for part in data:
        check_data(part)
    if not data:
        raise ArgumentError("data", data, "hold at least one record")
    info: dict[int, RunInfo] = {}
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in SCHEMA}
    for part in data:
        for name, parts in tables.items():
            table = getattr(part, name)
            runs = len(info) + np.searchsorted(part.runs, table["run"].to_numpy())
            parts.append(table.assign(run=runs))
        info |= dict(enumerate(part.info.values(), start=len(info)))
    joined = {name: completed(name, pd.concat(parts)) for name, parts in tables.items()}
    return SpreadData(**joined, info=info)
