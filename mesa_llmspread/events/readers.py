"""A user's own events: UCDP GED files, ACLED exports, plain CSV files, and DataFrames.

Free text written by others (ACLED's ``notes``, UCDP's ``source_headline``) is not ours to
pass on and is never read; the news is written from the structured fields.
"""

from __future__ import annotations

import os
import reprlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from mesa_llmspread._words import counted
from mesa_llmspread.events.event import OfflineEvent
from mesa_llmspread.events.news import EVENT_TYPES
from mesa_llmspread.events.tables import Record, frame_rows, read_rows
from mesa_llmspread.exceptions import ArgumentTypeError, InputFileError

__all__ = ["read_acled", "read_events", "read_ucdp"]

Source = str | os.PathLike[str] | pd.DataFrame


def read_ucdp(path: Source) -> tuple[OfflineEvent, ...]:
    """Read events from a file of the UCDP Georeferenced Event Dataset (GED), as CSV.

    Parameters
    ----------
    path : path-like or DataFrame
        A CSV file, or a table, with GED's columns ``id, date_start, type_of_violence, side_a,
        side_b, country, best``, and where present ``where_coordinates`` and ``adm_1``; see
        :func:`read_events` for the separators, encodings and dates it may have.

    Returns
    -------
    tuple of OfflineEvent
        In file order. State-based and non-state conflict (``type_of_violence`` 1 and 2)
        are "Battles", one-sided violence (3) is "Violence against civilians". The day is
        the first one; the fatalities are the best estimate. Civilians count as the target
        in one-sided violence alone: those killed elsewhere were caught between the sides.

    Raises
    ------
    InputFileError
        If the file cannot be read as this; it names the row and the column.

    References
    ----------
    Sundberg & Melander (2013), doi:10.1177/0022343313484347.

    Examples
    --------
    >>> row = {"id": "1", "date_start": "2024-05-14", "type_of_violence": 3, "side_a": "Militia"}
    >>> row |= {"side_b": "Civilians", "country": "Talvara", "best": 2}
    >>> read_ucdp(pd.DataFrame([row]))[0].event_type
    'Violence against civilians'
    """
    return _read(path, _UCDP)


def read_acled(path: Source) -> tuple[OfflineEvent, ...]:
    """Read events from an export of the Armed Conflict Location & Event Data project (ACLED).

    Parameters
    ----------
    path : path-like or DataFrame
        A CSV file, or a table, with ACLED's columns ``event_id_cnty, event_date, event_type,
        sub_event_type, actor1, country, location, fatalities``, and where present
        ``actor2``, ``admin1`` and ``civilian_targeting``; see :func:`read_events` for the
        separators, encodings and dates it may have. One row per event: the export type
        "dyadic".

    Returns
    -------
    tuple of OfflineEvent
        In file order. Without a column ``civilian_targeting`` (exports before 2022)
        civilians count as the target in "Violence against civilians" alone.

    Raises
    ------
    InputFileError
        If the file cannot be read as this; it names the row and the column.

    References
    ----------
    Raleigh, Linke, Hegre & Karlsen (2010), doi:10.1177/0022343310378914.

    Examples
    --------
    >>> row = {"event_id_cnty": "TAL1", "event_date": "14 May 2024", "event_type": "Riots"}
    >>> row |= {"sub_event_type": "Mob violence", "actor1": "Rioters", "country": "Talvara"}
    >>> read_acled(pd.DataFrame([{**row, "location": "Dessing", "fatalities": 0}]))[0].date
    datetime.date(2024, 5, 14)
    """
    return _read(path, _ACLED)


def read_events(path: Source) -> tuple[OfflineEvent, ...]:
    """Read events from a CSV file or a table: of UCDP GED, of ACLED, or with own columns.

    Parameters
    ----------
    path : path-like or DataFrame
        The file or table; its columns tell which of the three it is. Own columns are the fields
        of :class:`OfflineEvent`, where ``actors`` are separated by ``;``,
        ``civilian_targeting`` is true or false, and ``text`` may be missing or blank where the
        event type is one of :data:`EVENT_TYPES`.
        Columns are separated by comma, semicolon or tab; the text is UTF-8 or Windows-1252.
        Dates read ``2024-05-14`` (a time of day is dropped), ``14-05-2024``,
        ``14.05.2024``, ``14 May 2024``, or seconds since 1970.

    Returns
    -------
    tuple of OfflineEvent
        In file order.

    Raises
    ------
    InputFileError
        If the file is missing, empty, binary or without events; its columns are not those of the
        three sets; an id is used twice; or a value is not allowed. It names the row (the
        line on which it begins, where the header is line 1; of a DataFrame the place, from 0)
        and the column.

    Examples
    --------
    >>> from mesa_llmspread.events import bundled_events, events_frame
    >>> table = events_frame(bundled_events()[:2])
    >>> read_events(table) == bundled_events()[:2]
    True
    """
    return _read(path, _UCDP, _ACLED, _OWN)


# Event types and sub-event types of UCDP's three types of violence.
_VIOLENCE = {
    "1": ("Battles", "State-based conflict"),
    "2": ("Battles", "Non-state conflict"),
    "3": ("Violence against civilians", "One-sided violence"),
}
_TYPES = {name: name for name in EVENT_TYPES}
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _ucdp_event(record: Record) -> OfflineEvent:
    """Build the event of a row of UCDP GED."""
    event_type, sub_event_type = record.choice("type_of_violence", _VIOLENCE)
    return OfflineEvent(
        event_id=record.text("id"),
        date=record.date("date_start"),
        event_type=event_type,
        sub_event_type=sub_event_type,
        country=record.text("country"),
        location=record.text("where_coordinates") or record.text("adm_1"),
        actors=record.actors("side_a", "side_b"),
        fatalities=record.count("best"),
        civilian_targeting=event_type == "Violence against civilians",
    )


def _acled_event(record: Record) -> OfflineEvent:
    """Build the event of a row of ACLED."""
    event_type = record.choice("event_type", _TYPES)
    targeting = event_type == "Violence against civilians"
    if "civilian_targeting" in record.cells:
        targeting = record.choice("civilian_targeting", {"civilian targeting": True, "": False})
    return OfflineEvent(
        event_id=record.text("event_id_cnty"),
        date=record.date("event_date"),
        event_type=event_type,
        sub_event_type=record.text("sub_event_type"),
        country=record.text("country"),
        location=record.text("location") or record.text("admin1"),
        actors=record.actors("actor1", "actor2"),
        fatalities=record.count("fatalities"),
        civilian_targeting=targeting,
    )


def _own_event(record: Record) -> OfflineEvent:
    """Build the event of a row whose columns are the fields of an event."""
    # With a text, the type may be any.
    types = _TYPES
    if record.text("text") and (own := record.text("event_type")):
        types = {own: own, **_TYPES}
    texts = ("event_id", "sub_event_type", "country", "location", "text")
    names = (name.strip() for name in record.text("actors").split(";"))
    return OfflineEvent(
        date=record.date("date"),
        event_type=record.choice("event_type", types),
        actors=tuple(name for name in names if name),
        fatalities=record.count("fatalities"),
        civilian_targeting=record.choice("civilian_targeting", _FLAGS),
        **{name: record.text(name) for name in texts},
    )


class _Format(NamedTuple):
    """A kind of table: the columns that it must have, first the id, and how a row is read."""

    name: str
    columns: tuple[str, ...]
    event: Callable[[Record], OfflineEvent]


_UCDP = _Format(
    "UCDP GED",
    ("id", "date_start", "type_of_violence", "side_a", "side_b", "country", "best"),
    _ucdp_event,
)
_ACLED = _Format(
    "ACLED",
    (
        *("event_id_cnty", "event_date", "event_type", "sub_event_type", "actor1"),
        *("country", "location", "fatalities"),
    ),
    _acled_event,
)
_OWN = _Format("own columns", OfflineEvent.__match_args__[:-1], _own_event)


def _read(path: Source, *formats: _Format) -> tuple[OfflineEvent, ...]:
    """Read the events of a file or table that is of one of the formats."""
    if isinstance(path, pd.DataFrame):
        rows = frame_rows(path)
        path = Path("DataFrame")
    elif isinstance(path, str | os.PathLike):
        path = Path(path)
        rows = read_rows(path)
    else:
        raise ArgumentTypeError("path", path, "the path of a file, or a DataFrame")
    first_row, header = next(rows, (1, []))
    columns = [" ".join(name.split()).lower() for name in header]
    table = _recognise(path, first_row, columns, formats)
    events: dict[str, OfflineEvent] = {}
    row_of: dict[str, int] = {}
    for row, cells in rows:
        if len(cells) != len(columns):
            problem = f"has {counted(len(cells), 'cell')}, but the header has {len(columns)}"
            raise InputFileError(path, problem, row=row)
        record = Record(path, row, dict(zip(columns, cells, strict=True)))
        name = record.text(table.columns[0])
        if not name:
            raise record.wrong(table.columns[0], "is blank; every event needs an id")
        if name in events:
            problem = f"{reprlib.repr(name)} is used already in row {row_of[name]}"
            raise record.wrong(table.columns[0], f"{problem}; every event needs an id of its own")
        events[name], row_of[name] = table.event(record), row
    if not events:
        raise InputFileError(path, "holds a header but no events")
    return tuple(events.values())


def _recognise(path: Path, row: int, columns: Sequence[str], formats: Sequence[_Format]) -> _Format:
    """Return the format whose columns a table has, or raise with those that are missing."""
    if twice := sorted({name for name in columns if name and columns.count(name) > 1}):
        raise InputFileError(path, f"has columns of the same name: {', '.join(twice)}", row=row)

    def missing(table: _Format) -> list[str]:
        return [name for name in table.columns if name not in columns]

    table = min(formats, key=lambda each: len(missing(each)) / len(each.columns))
    absent = ", ".join(missing(table))
    if len(formats) > 1 and len(missing(table)) >= len(table.columns) / 2:
        known = "; ".join(f"{each.name} ({', '.join(each.columns)})" for each in formats)
        raise InputFileError(path, f"has the columns of no known table: {known}", row=row)
    if absent:
        raise InputFileError(path, f"read as {table.name}, but has no column {absent}", row=row)
    return table
