"""The columns of a record's tables, declared once: for reading, checking, defaults and help."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from mesa_llmspread._validation import check_kind
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.profiles import Trait, codes

__all__ = [
    "AGENT_COLUMNS",
    "COUNT_COLUMNS",
    "EXPOSURE_COLUMNS",
    "OUTCOMES",
    "SCHEMA",
    "UNKNOWN",
    "Violation",
    "arrow_table",
    "check_sense",
    "check_steps",
    "check_table",
    "columns_text",
    "completed",
    "count_occasions",
    "find_problem",
]

#: Where no profile or event is known.
UNKNOWN = "unknown"

#: How a decision can end.
OUTCOMES = ("repost", "decline", "failed")


class Column(NamedTuple):
    """A column: its name, type and meaning, and what to fill in where it is missing.

    A ``default`` of None means that the column is needed; a function computes the values from
    the table. Values are among some, numbers, whole ones of at least ``least``, or any text.
    """

    name: str
    dtype: str
    meaning: str
    default: Any = None
    least: int = 0
    among: tuple[Any, ...] = ()

    @property
    def rule(self) -> str:
        """What every value must be, as the end of "... must ..."."""
        if self.among:
            more = ", ..." if len(self.among) > 4 else ""
            return f"be one of {', '.join(map(str, self.among[:4]))}{more}"
        whole = f"be a whole number, at least {self.least}"
        return whole if self.dtype == "int64" else "be a number, or missing"

    def allows(self, values: pd.Series[Any]) -> pd.Series[bool]:
        """Return which values the column may hold."""
        if self.among:
            return self.filled(values).isin(self.among)
        good = np.full(len(values), True)
        if self.dtype in ("int64", "float64"):
            numbers = pd.to_numeric(values, errors="coerce").to_numpy(float, na_value=np.nan)
            whole = (numbers % 1 == 0) & (numbers >= self.least) & (numbers < 2**63)
            good = whole if self.dtype == "int64" else ~np.isnan(numbers) | values.isna()
        return pd.Series(good, index=values.index)

    def filled(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Return values with the default text where one is missing."""
        if not isinstance(self.default, str) or values.notna().all():
            return values
        return values.astype(object).where(values.notna(), self.default)

    def converted(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Return values that the column allows, as its type."""
        found: Any = pd.to_numeric(values) if self.dtype == "int64" else self.filled(values)
        return found.astype(self.dtype)


class Violation(NamedTuple):
    """What is wrong with a table: in which column (None: in several), and the rule it breaks."""

    column: str | None
    value: Any
    rule: str


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


_RUN = Column("run", "int64", "number of the run")
_AGENT = Column("agent", "int64", "number of the agent, its index in the network")
_PROFILE = Column(
    "profile", "str", 'profile code, or "unknown"', UNKNOWN, among=(UNKNOWN, *codes()[::-1])
)

#: The columns of each table.
SCHEMA: dict[str, tuple[Column, ...]] = {
    "exposures": (
        _RUN,
        Column("step", "int64", "step of the decision", least=1),
        _AGENT,
        _PROFILE,
        Column("event", "str", 'id of the event, or "unknown"', UNKNOWN),
        Column("contacts", "int64", "neighbours whose post was visible"),
        Column("cumulative", "int64", "neighbours who had posted so far", itemgetter("contacts")),
        Column("exposure_count", "int64", "1 on the first occasion", count_occasions, 1),
        Column("direct", "bool", "saw the event itself", False, among=(True, False)),
        Column("outcome", "str", "how the decision ended", among=OUTCOMES),
        Column("post", "str", "what a language model posted", ""),
        Column("reason", "str", "why, as a language model put it", ""),
        Column("key", "str", "key of the call in its store", ""),
    ),
    "counts": (
        _RUN,
        Column("step", "int64", "step, from 0"),
        Column("susceptible", "int64", "agents that have not posted"),
        Column("infected", "int64", "agents that have posted"),
        Column("new_infected", "int64", "agents that posted in this step"),
        Column("exposures", "int64", "decisions in this step"),
        Column("failed", "int64", "decisions in this step that failed"),
    ),
    "agents": (
        _RUN,
        _AGENT,
        Column("node", "str", "name of its node in the network"),
        _PROFILE,
        *(Column(trait.value, "float64", "trait level, NaN if unknown") for trait in Trait),
    ),
}

#: Columns of each table and their types.
EXPOSURE_COLUMNS, COUNT_COLUMNS, AGENT_COLUMNS = (
    {column.name: column.dtype for column in columns} for columns in SCHEMA.values()
)

_ARROW = {
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "str": pa.large_string(),
}

_KEYS = {
    "exposures": ["run", "event", "step", "agent"],
    "counts": ["run", "step"],
    "agents": ["run", "agent"],
}


def columns_text(table: str) -> str:
    """Return the columns of a table and their meanings, for a docstring."""
    return "\n        ".join(f"``{column.name}``: {column.meaning};" for column in SCHEMA[table])


def find_problem(
    name: str, table: pd.DataFrame, *, filled: bool = False, values: bool = True
) -> Violation | None:
    """Return the first thing in a table that its schema does not allow.

    Parameters
    ----------
    name : str
        A name of :data:`SCHEMA`.
    table : DataFrame
    filled : bool, default False
        Whether columns with a default may be missing.
    values : bool, default True
        Whether the values are checked too, or the columns only.

    Returns
    -------
    Violation or None
    """
    needed = [column.name for column in SCHEMA[name] if not filled or column.default is None]
    if missing := [column for column in needed if column not in table]:
        return Violation(missing[0], list(table.columns), f"have columns {', '.join(missing)}")
    if not values:
        return None
    for column in SCHEMA[name]:
        if column.name in table:
            cells = table[column.name]
            good = column.allows(cells)
            if not good.all():
                return Violation(column.name, cells[~good].tolist()[0], column.rule)
    table = _converted(name, table)
    key = [column for column in _KEYS[name] if column in table]
    again = table.duplicated(key)
    if again.any():
        row = table.loc[again, key].iloc[0].to_dict()
        return Violation(None, row, f"be the only row of its {', '.join(key)}")
    if name == "counts":
        ordered = table.sort_values(key)
        gap = ordered["step"] != ordered.groupby("run").cumcount()
        if gap.any():
            row = ordered.loc[gap, key].iloc[0].to_dict()
            return Violation("step", row, "follow the step before it: steps are 0, 1, 2, ...")
    return None


def check_table(name: str, table: Any, *, filled: bool = False, values: bool = True) -> None:
    """Raise ArgumentError, or ArgumentTypeError, unless a table is as its schema allows.

    The arguments are those of :func:`find_problem`.
    """
    check_kind(name, table, pd.DataFrame, "a DataFrame")
    if name == "exposures" and "exposure" in table and "exposure_count" not in table:
        raise ArgumentError(name, list(table.columns), "call the column 'exposure' exposure_count")
    if problem := find_problem(name, table, filled=filled, values=values):
        where = f"{name}[{problem.column!r}]" if problem.column in table else name
        raise ArgumentError(where, problem.value, problem.rule)


def check_steps(exposures: pd.DataFrame, counts: pd.DataFrame) -> None:
    """Raise ArgumentError if a decision comes after the last step that was counted."""
    last = exposures["run"].map(counts.groupby("run")["step"].max())
    late = exposures["step"] > last
    if late.any():
        run, step = exposures.loc[late, ["run", "step"]].iloc[0]
        rule = f"be at most {last[late].iloc[0]:.0f}, the last step of the counts"
        raise ArgumentError("exposures['step']", f"{step} of run {run}", rule)


def check_sense(exposures: pd.DataFrame, counts: pd.DataFrame, n: int | None) -> None:
    """Raise ArgumentError where numbers of steps or agents contradict each other."""
    check_steps(exposures, counts)
    fewer = exposures["cumulative"] < exposures["contacts"]
    if fewer.any():
        row = exposures.loc[fewer, ["contacts", "cumulative"]].iloc[0].to_dict()
        raise ArgumentError("exposures['cumulative']", row, "be at least contacts")
    known = exposures.loc[exposures["profile"] != UNKNOWN, ["run", "agent", "profile"]]
    several = known.drop_duplicates().duplicated(["run", "agent"])
    if several.any():
        row = known.loc[several[several].index[0], ["run", "agent"]].to_dict()
        raise ArgumentError("exposures['profile']", row, "be the same in all rows of an agent")
    agents = counts["susceptible"] + counts["infected"]
    if n is not None and (agents != n).any():
        value = agents[agents != n].iloc[0]
        raise ArgumentError("counts", f"{value} agents", f"have susceptible + infected = n = {n}")


def arrow_table(name: str, columns: Mapping[str, Iterable[Any]], run: int) -> pa.Table:
    """Build a table of one run from its columns, of the types that pandas tables are saved with.

    Parameters
    ----------
    name : str
        A name of :data:`SCHEMA`.
    columns : mapping of str to iterable
        All columns but ``run``.
    run : int

    Returns
    -------
    pyarrow.Table
    """
    arrays = {
        column.name: pa.array(columns[column.name], _ARROW[column.dtype])
        for column in SCHEMA[name]
        if column.name != "run"
    }
    rows = len(next(iter(arrays.values())))
    return pa.table({"run": pa.repeat(pa.scalar(run, pa.int64()), rows), **arrays})


def completed(name: str, table: pd.DataFrame, **defaults: Any) -> pd.DataFrame:
    """Return a table with all of its columns, in order and of their types.

    Parameters
    ----------
    name : str
        A name of :data:`SCHEMA`.
    table : DataFrame
        In which :func:`find_problem` finds nothing.
    **defaults
        Other defaults than the schema's, by column.

    Returns
    -------
    DataFrame
    """
    table = _converted(name, table.reset_index(drop=True))
    # What is computed needs the constants.
    for column in sorted(SCHEMA[name], key=lambda column: callable(column.default)):
        if column.name not in table:
            table = table.assign(**{column.name: defaults.get(column.name, column.default)})
    return _converted(name, table)[[column.name for column in SCHEMA[name]]]


def _converted(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose columns are of the types of the schema."""
    there = [column for column in SCHEMA[name] if column.name in table]
    return table.assign(**{one.name: one.converted(table[one.name]) for one in there})
