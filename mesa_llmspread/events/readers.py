"""A user's own events: UCDP GED files, ACLED exports, and plain CSV files.

Free text written by others (ACLED's ``notes``, UCDP's ``source_headline``) is not ours to
pass on and is never read; the news is written from the structured fields.
"""

from __future__ import annotations

import dataclasses
import os
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mesa_llmspread._words import counted
from mesa_llmspread.events.event import OfflineEvent
from mesa_llmspread.events.news import EVENT_TYPES
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
    """
    return _read(path, _ACLED)


def read_events(path: PathLike) -> tuple[OfflineEvent, ...]:
    """Read events from a CSV file: of UCDP GED, of ACLED, or with columns of your own.

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
        If the file is missing, empty, binary or without events; its columns are not those of the
        three sets; an id is used twice; or a value is not allowed. It names the row (the
        line on which it begins; the header is line 1) and the column.
    """
    return _read(path, *_FORMATS)


@dataclass(frozen=True, eq=False)
class _Format:
    """A kind of table: the columns it must have, the columns of fields, the words for flags."""

    name: str
    required: tuple[str, ...]
    columns: Mapping[str, str]
    targeting: Mapping[str, bool]

    def event(self, record: Record) -> OfflineEvent:
        """Build the event of a row; a field whose column is not named has one of its own name."""

        def column(field: str) -> str:
            return self.columns.get(field, field)

        if "type_of_violence" in self.required:
            event_type, sub_event_type = record.choice("type_of_violence", _VIOLENCE)
        else:
            event_type = record.choice("event_type", {name: name for name in EVENT_TYPES})
            sub_event_type = record.text("sub_event_type")
        targeting = event_type == "Violence against civilians"
        if self.targeting and "civilian_targeting" in record.cells:
            targeting = record.choice("civilian_targeting", self.targeting)
        if "actors" in self.required:
            names = (name.strip() for name in record.text("actors").split(";"))
            actors = tuple(name for name in names if name)
        else:
            actors = record.actors(column("actor1"), column("actor2"))
        return OfflineEvent(
            event_id=record.identifier(column("event_id")),
            date=record.date(column("date")),
            event_type=event_type,
            sub_event_type=sub_event_type,
            country=record.text("country"),
            location=record.text(column("location")) or record.text(column("region")),
            actors=actors,
            fatalities=record.count(column("fatalities")),
            civilian_targeting=targeting,
            text=record.text(column("text")),
        )


# Event types and sub-event types of UCDP's three types of violence.
_VIOLENCE = {
    "1": ("Battles", "State-based conflict"),
    "2": ("Battles", "Non-state conflict"),
    "3": ("Violence against civilians", "One-sided violence"),
}
# Text of others in a column "text" is not read.
_UCDP = _Format(
    "UCDP GED",
    ("id", "date_start", "type_of_violence", "side_a", "side_b", "country", "best"),
    {
        "event_id": "id",
        "date": "date_start",
        "actor1": "side_a",
        "actor2": "side_b",
        "fatalities": "best",
        "location": "where_coordinates",
        "region": "adm_1",
        "text": "",
    },
    targeting={},
)
_ACLED = _Format(
    "ACLED",
    (
        *("event_id_cnty", "event_date", "event_type", "sub_event_type", "actor1"),
        *("country", "location", "fatalities"),
    ),
    {"event_id": "event_id_cnty", "date": "event_date", "region": "admin1", "text": ""},
    targeting={"civilian targeting": True, "": False},
)
_OWN = _Format(
    "own columns",
    tuple(field.name for field in dataclasses.fields(OfflineEvent) if field.name != "text"),
    {"region": ""},
    targeting={"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False},
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
    events: dict[str, OfflineEvent] = {}
    row_of: dict[str, int] = {}
    for row, cells in rows:
        if len(cells) != len(columns):
            problem = f"has {counted(len(cells), 'cell')}, but the header has {len(columns)}"
            raise InputFileError(path, problem, row=row)
        record = Record(path, row, dict(zip(columns, cells, strict=True)))
        event = table.event(record)
        if event.event_id in events:
            name, earlier = reprlib.repr(event.event_id), row_of[event.event_id]
            problem = f"{name} is used already in row {earlier}; every event needs an id of its own"
            raise record.wrong(table.required[0], problem)
        events[event.event_id], row_of[event.event_id] = event, row
    if not events:
        raise InputFileError(path, "holds a header but no events")
    return tuple(events.values())


def _recognise(path: Path, row: int, columns: Sequence[str], formats: Sequence[_Format]) -> _Format:
    """Find the format whose columns a table has, or raise with those that are missing."""
    if twice := sorted({name for name in columns if name and columns.count(name) > 1}):
        raise InputFileError(path, f"has columns of the same name: {', '.join(twice)}", row=row)
    missing = {table: [name for name in table.required if name not in columns] for table in formats}
    table = min(formats, key=lambda known: len(missing[known]) / len(known.required))
    if len(formats) > 1 and len(missing[table]) >= len(table.required) / 2:
        known = "; ".join(f"{each.name} ({', '.join(each.required)})" for each in formats)
        raise InputFileError(path, f"has the columns of no known table: {known}", row=row)
    if missing[table]:
        problem = f"read as {table.name}, but has no column {', '.join(missing[table])}"
        raise InputFileError(path, problem, row=row)
    return table
