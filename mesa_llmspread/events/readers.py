"""A user's own events: UCDP GED files, ACLED exports, and plain CSV files.

Free text written by others (ACLED's ``notes``, UCDP's ``source_headline``) is not ours to
pass on and is never read; the news is written from the structured fields.
"""

from __future__ import annotations

import os
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mesa_llmspread.events.event import EVENT_TYPES, OfflineEvent
from mesa_llmspread.events.tables import Record, read_rows
from mesa_llmspread.exceptions import ArgumentTypeError, InputFileError

__all__ = ["read_acled", "read_events", "read_ucdp"]

PathLike = str | os.PathLike[str]


def read_ucdp(path: PathLike) -> tuple[OfflineEvent, ...]:
    """Read events from a file of the UCDP Georeferenced Event Dataset (GED), as CSV.

    Parameters
    ----------
    path : path-like
        A CSV file with GED's columns ``id, date_start, type_of_violence, side_a, side_b,
        country, best``, and where present ``where_coordinates`` and ``adm_1``; see
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
    """
    return _read(path, _UCDP)


def read_acled(path: PathLike) -> tuple[OfflineEvent, ...]:
    """Read events from an export of the Armed Conflict Location & Event Data project (ACLED).

    Parameters
    ----------
    path : path-like
        A CSV file with ACLED's columns ``event_id_cnty, event_date, event_type,
        sub_event_type, actor1, country, location, fatalities``, and where present
        ``actor2``, ``admin1`` and ``civilian_targeting``; see :func:`read_events` for the
        separators, encodings and dates it may have. One row an event: the export type
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
    """
    return _read(path, _ACLED)


def read_events(path: PathLike) -> tuple[OfflineEvent, ...]:
    """Read events from a CSV file: of UCDP GED, of ACLED, or with columns of your own making.

    Parameters
    ----------
    path : path-like
        The file; its columns tell which of the three it is. Own columns are the fields of
        :class:`OfflineEvent`, where ``actors`` are separated by ``;``,
        ``civilian_targeting`` is true or false, and ``text`` may be missing or blank.
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
        If the file is missing, empty, binary or without events; its columns are none of the
        three sets; an id is used twice; or a value is not allowed. It names the row (the
        line on which it begins; the header is line 1) and the column.
    """
    return _read(path, *_FORMATS)


_VIOLENCE = {
    1: ("Battles", "State-based conflict"),
    2: ("Battles", "Non-state conflict"),
    3: ("Violence against civilians", "One-sided violence"),
}


def _from_ucdp(record: Record) -> OfflineEvent:
    """Make an event from a row of UCDP GED."""
    kind = record.count("type_of_violence")
    if kind not in _VIOLENCE:
        allowed = "1 (state-based), 2 (non-state) or 3 (one-sided)"
        raise record.wrong("type_of_violence", f"{kind} must be {allowed}")
    event_type, sub_event_type = _VIOLENCE[kind]
    return OfflineEvent(
        event_id=record.identifier("id"),
        date=record.date("date_start"),
        event_type=event_type,
        sub_event_type=sub_event_type,
        country=record.text("country"),
        location=record.text("where_coordinates") or record.text("adm_1"),
        actors=record.actors("side_a", "side_b"),
        fatalities=record.count("best"),
        civilian_targeting=kind == 3,
    )


def _from_acled(record: Record) -> OfflineEvent:
    """Make an event from a row of an ACLED export."""
    event_type = record.name_of("event_type", EVENT_TYPES)
    targeting = event_type == "Violence against civilians"
    if "civilian_targeting" in record.cells:
        targeting = record.flag("civilian_targeting", ("civilian targeting",), ("",))
    return OfflineEvent(
        event_id=record.identifier("event_id_cnty"),
        date=record.date("event_date"),
        event_type=event_type,
        sub_event_type=record.text("sub_event_type"),
        country=record.text("country"),
        location=record.text("location") or record.text("admin1"),
        actors=record.actors("actor1", "actor2"),
        fatalities=record.count("fatalities"),
        civilian_targeting=targeting,
    )


def _from_own(record: Record) -> OfflineEvent:
    """Make an event from a row with an event's own fields."""
    names = (name.strip() for name in record.text("actors").split(";"))
    return OfflineEvent(
        event_id=record.identifier("event_id"),
        date=record.date("date"),
        event_type=record.name_of("event_type", EVENT_TYPES),
        sub_event_type=record.text("sub_event_type"),
        country=record.text("country"),
        location=record.text("location"),
        actors=tuple(name for name in names if name),
        fatalities=record.count("fatalities"),
        civilian_targeting=record.flag(
            "civilian_targeting", ("true", "yes", "1"), ("false", "no", "0")
        ),
        text=record.text("text"),
    )


@dataclass(frozen=True)
class _Format:
    """A kind of table: the columns it must have, and how its rows become events."""

    name: str
    required: tuple[str, ...]
    event: Callable[[Record], OfflineEvent]

    def share(self, columns: Sequence[str]) -> float:
        """Tell which share of the required columns is there."""
        return sum(column in columns for column in self.required) / len(self.required)


_UCDP = _Format(
    "UCDP GED",
    ("id", "date_start", "type_of_violence", "side_a", "side_b", "country", "best"),
    _from_ucdp,
)
_ACLED = _Format(
    "ACLED",
    (
        "event_id_cnty",
        "event_date",
        "event_type",
        "sub_event_type",
        "actor1",
        "country",
        "location",
        "fatalities",
    ),
    _from_acled,
)
_OWN = _Format(
    "own columns",
    (
        "event_id",
        "date",
        "event_type",
        "sub_event_type",
        "country",
        "location",
        "actors",
        "fatalities",
        "civilian_targeting",
    ),
    _from_own,
)
_FORMATS = (_UCDP, _ACLED, _OWN)


def _read(path: PathLike, *formats: _Format) -> tuple[OfflineEvent, ...]:
    """Read the events of a file that is of one of the formats."""
    if not isinstance(path, str | os.PathLike):
        raise ArgumentTypeError("path", path, "the path of a file")
    path = Path(path)
    rows = read_rows(path)
    first_row, header = next(rows, (1, []))
    columns = [" ".join(name.split()).lower() for name in header]
    table = _recognise(path, first_row, columns, formats)
    events: list[OfflineEvent] = []
    row_of: dict[str, int] = {}
    for row, cells in rows:
        if len(cells) != len(columns):
            raise InputFileError(
                path, f"has {len(cells)} cells, but the header has {len(columns)}", row=row
            )
        event = table.event(Record(path, row, dict(zip(columns, cells, strict=True))))
        if event.event_id in row_of:
            name, earlier = reprlib.repr(event.event_id), row_of[event.event_id]
            raise InputFileError(
                path,
                f"{name} is used already in row {earlier}; every event needs an id of its own",
                row=row,
                column=table.required[0],
            )
        row_of[event.event_id] = row
        events.append(event)
    if not events:
        raise InputFileError(path, "holds a header but no events")
    return tuple(events)


def _recognise(path: Path, row: int, columns: Sequence[str], formats: Sequence[_Format]) -> _Format:
    """Find the format whose columns a table has, or say which are missing."""
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise InputFileError(path, f"has columns of the same name: {', '.join(twice)}", row=row)
    table = max(formats, key=lambda known: known.share(columns))
    missing = [name for name in table.required if name not in columns]
    if len(formats) > 1 and table.share(columns) <= 0.5:
        known = "; ".join(f"{each.name} ({', '.join(each.required)})" for each in formats)
        raise InputFileError(path, f"has the columns of no known table: {known}", row=row)
    if missing:
        raise InputFileError(
            path, f"read as {table.name}, but has no column {', '.join(missing)}", row=row
        )
    return table
