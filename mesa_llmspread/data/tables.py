"""Fill in the tables of a record where only some of their columns are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mesa_llmspread._words import counted
from mesa_llmspread.data.run_info import RunInfo
from mesa_llmspread.data.spread_data import (
    AGENT_COLUMNS,
    COUNT_COLUMNS,
    EXPOSURE_COLUMNS,
    OUTCOMES,
    UNKNOWN,
)
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError
from mesa_llmspread.profiles import codes, trait_levels

__all__ = [
    "agents_that_decided",
    "complete_counts",
    "complete_exposures",
    "count_occasions",
    "in_short",
]

_NEEDED = ("run", "step", "agent", "contacts", "outcome")

_DEFAULTS: dict[str, str | bool] = {
    "direct": False,
    "profile": UNKNOWN,
    "post": "",
    "reason": "",
    "key": "",
}


def complete_exposures(given: pd.DataFrame, info: RunInfo) -> pd.DataFrame:
    """Check decisions from elsewhere, and fill in the columns that are missing.

    Parameters
    ----------
    given : DataFrame
        With at least ``run, step, agent, contacts, outcome``.
    info : RunInfo
        Names the event, where there is one.

    Returns
    -------
    DataFrame
        With the columns of a record, as :meth:`SpreadData.from_tables` says.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If a column is missing or holds something else than it should, or an agent decides
        twice in a step.
    """
    if not isinstance(given, pd.DataFrame):
        raise ArgumentTypeError("exposures", given, "a DataFrame")
    columns = list(given.columns)
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise ArgumentError("exposures", columns, f"have columns {', '.join(missing)}")
    if "exposure" in columns and "exposure_count" not in columns:
        raise ArgumentError("exposures", columns, "call the column 'exposure' exposure_count")
    event = info.events[0].event_id if len(info.events) == 1 else UNKNOWN
    known = given[[name for name in EXPOSURE_COLUMNS if name in columns]].reset_index(drop=True)
    for name, value in {**_DEFAULTS, "event": event}.items():
        if name not in known:
            known[name] = value
    for name, kind in EXPOSURE_COLUMNS.items():
        if kind == "int64" and name in known:
            least = int(name in ("step", "exposure_count"))
            known[name] = _whole("exposures", known[name], least)
    if not known["direct"].isin([True, False]).all():
        raise ArgumentError("exposures['direct']", known["direct"].tolist(), "be True or False")
    strange = set(known["outcome"].astype("str")) - set(OUTCOMES)
    if strange:
        raise ArgumentError("exposures['outcome']", sorted(strange), "be repost, decline or failed")
    again = known.duplicated(["run", "event", "step", "agent"])
    if again.any():
        row = known.loc[again, ["run", "step", "agent"]].iloc[0].to_dict()
        raise ArgumentError("exposures", row, "hold one decision per run, event, step and agent")
    if "cumulative" not in known:
        known["cumulative"] = known["contacts"]
    if "exposure_count" not in known:
        known["exposure_count"] = count_occasions(known)
    return known[list(EXPOSURE_COLUMNS)].astype(EXPOSURE_COLUMNS)


def count_occasions(exposures: pd.DataFrame) -> pd.Series[int]:
    """Count each agent's exposure occasions with an event, in order of step.

    Parameters
    ----------
    exposures : DataFrame
        With ``run, event, agent, step, contacts, direct`` and ``outcome``.

    Returns
    -------
    Series of int
        1 on the first occasion. A decision that failed, or was made without anything in
        view, is no occasion: the next one has the same number.
    """
    ordered = exposures.sort_values("step", kind="stable")
    saw = (ordered["contacts"] > 0) | ordered["direct"].astype(bool)
    occasion = (saw & (ordered["outcome"] != "failed")).astype("int64")
    so_far = occasion.groupby([ordered["run"], ordered["event"], ordered["agent"]]).cumsum()
    return (so_far - occasion + 1).reindex(exposures.index)


def complete_counts(given: pd.DataFrame | None) -> pd.DataFrame:
    """Check counts from elsewhere; none are an empty table.

    Parameters
    ----------
    given : DataFrame or None
        With the columns of a record's counts.

    Returns
    -------
    DataFrame

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If a column is missing or holds something else than whole numbers, or a run does not
        have one row per step from step 0.
    """
    if given is None:
        return pd.DataFrame({name: pd.Series(dtype="int64") for name in COUNT_COLUMNS})
    if not isinstance(given, pd.DataFrame):
        raise ArgumentTypeError("counts", given, "a DataFrame")
    missing = [name for name in COUNT_COLUMNS if name not in given]
    if missing:
        raise ArgumentError("counts", list(given.columns), f"have columns {', '.join(missing)}")
    counts = pd.DataFrame({name: _whole("counts", given[name], 0) for name in COUNT_COLUMNS})
    counts = counts.sort_values(["run", "step"], ignore_index=True)
    for run, steps in counts.groupby("run")["step"]:
        if steps.tolist() != list(range(len(steps))):
            raise ArgumentError(
                "counts['step']", steps.tolist(), f"be 0, 1, 2, ... once each in run {run}"
            )
    return counts


def _whole(table: str, column: pd.Series[Any], least: int) -> pd.Series[int]:
    """Return a column as whole numbers; raise where a value is no whole number."""
    values = pd.to_numeric(column, errors="coerce")
    good = values.notna() & (values % 1 == 0) & (values >= least)
    if not good.all():
        wrong = column[~good].tolist()[0]
        raise ArgumentError(
            f"{table}[{column.name!r}]", wrong, f"be a whole number, at least {least}"
        )
    return values.astype("int64")


def agents_that_decided(
    exposures: pd.DataFrame, info: Mapping[int, RunInfo], others: pd.DataFrame | None = None
) -> pd.DataFrame:
    """List the agents that a record without a table of agents knows.

    Parameters
    ----------
    exposures : DataFrame
        The decisions.
    info : mapping of int to RunInfo
        Names the starters of each run.
    others : DataFrame, optional
        Agents besides those that decided: ``run, agent, node, profile``. By default the
        starters.

    Returns
    -------
    DataFrame
        The columns of a record's agents. Trait levels are those of the profile's code; NaN
        where the code is unknown, or may stand for other levels.
    """
    if others is None:
        starters = [(run, i) for run, known in info.items() for i in known.starters or ()]
        others = pd.DataFrame(starters, columns=["run", "agent"], dtype="int64")
        others = others.assign(node=others["agent"].astype("str"), profile=UNKNOWN)
    decided = exposures[["run", "agent", "profile"]].drop_duplicates(["run", "agent"])
    agents = decided.merge(others, "outer", on=["run", "agent"], suffixes=("", "_other"))
    agents["profile"] = agents["profile"].fillna(agents["profile_other"])
    agents["node"] = agents["node"].fillna(agents["agent"].astype("str"))
    binary = agents["run"].map({run: _is_binary(known.population) for run, known in info.items()})
    # The last row is for unknown codes: their index is -1.
    levels = np.vstack([trait_levels(), np.full(5, np.nan)])
    index = pd.Index(codes()).get_indexer(pd.Index(agents["profile"]))
    traits = levels[np.where(binary.to_numpy(dtype=bool), index, -1)]
    for name, values in zip(list(AGENT_COLUMNS)[-5:], traits.T, strict=True):
        agents[name] = values
    return agents[list(AGENT_COLUMNS)].astype(AGENT_COLUMNS)


def _is_binary(population: Any) -> bool:
    """Tell whether all agents of a population are as high or low as their codes say."""
    return isinstance(population, Mapping) or population in ("uniform", "norms", *codes())


def in_short(exposures: pd.DataFrame, info: Mapping[int, RunInfo]) -> dict[str, str]:
    """Say in a few words what a record holds; what is unknown is left out."""
    sizes = {known.n for known in info.values()} - {None}
    agents = f" of {counted(sizes.pop() or 0, 'agent')}" if len(sizes) == 1 else ""
    failed = int((exposures["outcome"] == "failed").sum())
    events = {event.event_id for known in info.values() for event in known.events}
    said = {
        "runs": f"{counted(len(info), 'run')}{agents}",
        "decisions": counted(len(exposures), "decision")
        + (f" ({failed:,} failed)" if failed else ""),
        "events": counted(len(events), "event") if len(events) > 1 else "".join(events),
        "decided by": " and ".join(sorted({known.decider for known in info.values()})),
    }
    return {name: text for name, text in said.items() if text not in ("", UNKNOWN)}
