"""Tables of text: the rows of a CSV file and the values in their cells, or where they are wrong.

Python's own csv module reads them, because it knows the line of every row and never guesses
what a cell might be.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import re
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from mesa_llmspread.events.news import MONTHS
from mesa_llmspread.exceptions import InputFileError, UnknownNameError
from mesa_llmspread.io import read_text

__all__ = ["Record", "frame_rows", "read_rows"]

T = TypeVar("T")

# Beside ISO 8601. Names of months are English in every locale, so they become numbers first.
_DATE_FORMS = ("%Y-%m-%d", "%d-%m-%Y", "%d.%m.%Y", "%d %m %Y")
_MONTHS = {
    form: str(number)
    for number, name in enumerate(MONTHS, start=1)
    for form in (name.lower(), name[:3].lower())
}

# Smaller numbers would be seconds of the first years after 1970; more likely they are a
# spreadsheet's count of days.
_SECONDS = re.compile(r"[1-9][0-9]{8,}(\.[0-9]*)?")


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Read the rows of a CSV file that are not blank, the header among them.

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
    text = read_text(path, ("utf-8-sig", "cp1252"))
    if not text.strip():
        raise InputFileError(path, "is empty")
    heading = text.lstrip().splitlines()[0]
    separator = max(",;\t", key=heading.count)
    # Strict, because a quote that is never closed would swallow the rest of the file.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    row = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield row, cells
            row = reader.line_num + 1
    except csv.Error as error:
        raise InputFileError(path, f"is not a well-formed CSV row: {error}", row=row) from error


def frame_rows(frame: pd.DataFrame) -> Iterator[tuple[int, list[str]]]:
    """Return the rows of a DataFrame as text, first the names of its columns.

    Parameters
    ----------
    frame : DataFrame

    Yields
    ------
    (int, list of str)
        The row's place, counted from 0 as by ``iloc``, and its cells; missing values are blank.
    """
    yield 0, [str(name) for name in frame]
    for row, cells in enumerate(frame.itertuples(index=False, name=None)):
        yield row, [_text(cell) for cell in cells]


def _text(cell: Any) -> str:
    """Return the text of a cell of a DataFrame."""
    if isinstance(cell, tuple | list):
        return ";".join(map(str, cell))
    return "" if pd.isna(cell) else str(cell)


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
        """Return the error for a cell."""
        return InputFileError(self.path, problem, row=self.row, column=column)

    def text(self, column: str) -> str:
        """Return a cell as one line, without the ``.0`` that some programs add to numbers."""
        text = " ".join(self.cells.get(column, "").split())
        return re.sub(r"^([0-9]+)\.0*$", r"\1", text)

    def choice(self, column: str, known: Mapping[str, T]) -> T:
        """Return the value that the name in a cell stands for."""
        text = self.text(column)
        for name in (text, text.lower()):
            if name in known:
                return known[name]
        allowed = UnknownNameError(column, text, [name or "blank" for name in known]).allowed
        raise self.wrong(column, f"{reprlib.repr(text)} must {allowed}")

    def count(self, column: str) -> int:
        """Return a cell as a whole number, at least 0."""
        text = self.text(column)
        if not re.fullmatch("[0-9]{1,9}", text):
            raise self.wrong(column, f"{reprlib.repr(text)} must be a whole number, at least 0")
        return int(text)

    def date(self, column: str) -> datetime.date:
        """Return a cell as a day."""
        text = self.text(column)
        with contextlib.suppress(OverflowError, OSError, ValueError):
            if _SECONDS.fullmatch(text):
                return datetime.datetime.fromtimestamp(float(text), tz=datetime.UTC).date()
            with contextlib.suppress(ValueError):
                return datetime.datetime.fromisoformat(text).date()
        numbers = " ".join(_MONTHS.get(part.lower(), part) for part in text.split())
        for form in _DATE_FORMS:
            with contextlib.suppress(ValueError):
                return datetime.datetime.strptime(numbers, form).date()
        allowed = "a date such as 2024-05-14, 14-05-2024 or 14 May 2024"
        raise self.wrong(column, f"{reprlib.repr(text)} must be {allowed}")

    def actors(self, first: str, second: str) -> tuple[str, ...]:
        """Return who acted and who was acted upon, which must not trade places."""
        acting, other = self.text(first), self.text(second)
        if other and not acting:
            raise self.wrong(first, f"is blank, although {second!r} is not")
        return tuple(name for name in (acting, other) if name)
