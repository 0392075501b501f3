"""Tables of text: the rows of a CSV file and what their cells say, or where they are wrong.

Python's own csv module reads them, because it knows the line of every row and never guesses
what a cell might be.
"""

from __future__ import annotations

import csv
import datetime
import io
import re
import reprlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mesa_llmspread.events.news import MONTHS
from mesa_llmspread.exceptions import InputFileError, UnknownNameError

__all__ = ["Record", "read_rows"]


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Give the rows of a CSV file that are not blank, the header among them.

    Parameters
    ----------
    path : Path
        A text file in UTF-8 or Windows-1252, its cells separated by comma, semicolon or tab.

    Yields
    ------
    (int, list of str)
        The line of the file on which the row begins, counted from 1, and its cells.

    Raises
    ------
    InputFileError
        If the file is missing, empty, binary or not well-formed.
    """
    lines = io.StringIO(_text_of(path), newline="")
    heading = next(line for line in lines if line.strip())
    lines.seek(0)
    separator = max(",;\t", key=heading.count)
    # Strict, because a quote that is never closed would swallow the rest of the file.
    reader = csv.reader(lines, delimiter=separator, strict=True)
    row = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield row, cells
            row = reader.line_num + 1
    except csv.Error as error:
        raise InputFileError(path, f"is not a well-formed CSV row: {error}", row=row) from error


def _text_of(path: Path) -> str:
    """Read a file as text, or say why it is none."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise InputFileError(path, "does not exist") from None
    except OSError as error:
        raise InputFileError(path, f"cannot be read: {error.strerror}") from error
    if raw.startswith(b"PK\x03\x04") or b"\0" in raw:
        raise InputFileError(
            path, "is not a text file; save the table as CSV (in a spreadsheet: CSV UTF-8)"
        )
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not text.strip():
            raise InputFileError(path, "is empty")
        return text
    raise InputFileError(path, "is neither UTF-8 nor Windows-1252 text; save it as CSV UTF-8")


@dataclass(frozen=True)
class Record:
    """One row of a table, which knows where it stands.

    Parameters
    ----------
    path : Path
        The file.
    row : int
        The line on which the row begins.
    cells : mapping of str to str
        The cells by the names of their columns.
    """

    path: Path
    row: int
    cells: Mapping[str, str]

    def wrong(self, column: str, problem: str) -> InputFileError:
        """Make the error for a cell."""
        return InputFileError(self.path, problem, row=self.row, column=column)

    def text(self, column: str) -> str:
        """Read a cell as one line of text; "" if the table has no such column."""
        return " ".join(self.cells.get(column, "").split())

    def identifier(self, column: str) -> str:
        """Read a cell that must not be blank; numbers lose the ``.0`` some programs add."""
        text = re.sub(r"^([0-9]+)\.0+$", r"\1", self.text(column))
        if not text:
            raise self.wrong(column, "is blank; every event needs an id")
        return text

    def name_of(self, column: str, known: Collection[str]) -> str:
        """Read a cell that must hold one of the known names."""
        text = self.text(column)
        if text not in known:
            allowed = UnknownNameError(column, text, known).allowed
            raise self.wrong(column, f"{reprlib.repr(text)} must {allowed}")
        return text

    def count(self, column: str) -> int:
        """Read a cell as a whole number, at least 0."""
        text = self.text(column)
        if not re.fullmatch(r"[0-9]{1,9}(\.0*)?", text):
            raise self.wrong(column, f"{reprlib.repr(text)} must be a whole number, at least 0")
        return int(text.split(".")[0])

    def flag(self, column: str, yes: Collection[str], no: Collection[str]) -> bool:
        """Read a cell that says yes or no in one of the given words."""
        text = self.text(column).lower()
        if text not in (*yes, *no):
            allowed = ", ".join(word or "blank" for word in (*yes, *no))
            raise self.wrong(column, f"{reprlib.repr(text)} must be one of {allowed}")
        return text in yes

    def date(self, column: str) -> datetime.date:
        """Read a cell as a day."""
        text = self.text(column)
        day = _parse_date(text)
        if day is None:
            allowed = "a date such as 2024-05-14, 14-05-2024 or 14 May 2024"
            raise self.wrong(column, f"{reprlib.repr(text)} must be {allowed}")
        return day

    def actors(self, first: str, second: str) -> tuple[str, ...]:
        """Read who acted and who was acted upon, which must not trade places."""
        acting, other = self.text(first), self.text(second)
        if other and not acting:
            raise self.wrong(first, f"is blank, although {second!r} is not")
        return tuple(name for name in (acting, other) if name)


_DATE_FORMS = (
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{1,2})-(?P<day>[0-9]{1,2})"
    r"([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?Z?)?",
    r"(?P<day>[0-9]{1,2})([-.])(?P<month>[0-9]{1,2})\2(?P<year>[0-9]{4})",
    r"(?P<day>[0-9]{1,2}) (?P<month>[A-Za-z]+) (?P<year>[0-9]{4})",
)
# Fewer would be the first years after 1970; more likely a spreadsheet's count of days.
_FEWEST_SECONDS = 10**8


def _parse_date(text: str) -> datetime.date | None:
    """Find the day a text stands for, if it is a date in one of the known forms."""
    try:
        if re.fullmatch(r"[0-9]+(\.[0-9]*)?", text):
            seconds = float(text)
            if seconds < _FEWEST_SECONDS:
                return None
            return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC).date()
        for form in _DATE_FORMS:
            if match := re.fullmatch(form, text):
                month = _month_number(match["month"])
                return datetime.date(int(match["year"]), month, int(match["day"]))
    except (ValueError, OverflowError, OSError):
        return None  # right in form, but no such day
    return None


def _month_number(text: str) -> int:
    """Read a month given as a number, its English name or that name's first three letters."""
    if text.isdigit():
        return int(text)
    for number, name in enumerate(MONTHS, start=1):
        if text.lower() in (name.lower(), name[:3].lower()):
            return number
    raise ValueError(text)
