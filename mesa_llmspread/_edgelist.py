"""Reading files of edges, for :func:`mesa_llmspread.networks.read_edgelist`."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mesa_llmspread.exceptions import InputFileError
from mesa_llmspread.io import read_text


def read_ends(path: str | Path) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Read the edges of a file, and number the names in order of first appearance.

    Parameters
    ----------
    path : path-like
        See :func:`mesa_llmspread.networks.read_edgelist`.

    Returns
    -------
    ends : ndarray of int, shape (lines with an edge, 2)
    labels : tuple of str
    """
    numbers: dict[str, int] = {}
    ends: list[tuple[int, int]] = []
    first_row = 0
    for row, line in enumerate(io.StringIO(read_text(path), newline=None), start=1):
        line = line.strip()
        if not line or line[0] == "#":
            continue
        names = [part.strip() for part in line.split(",")] if "," in line else line.split()
        if len(names) < 2 or not (names[0] and names[1]):
            raise InputFileError(path, f"an edge needs two names, not {line!r:.60}", row=row)
        if names[0] == names[1]:
            raise InputFileError(path, f"self-loop at {names[0]!r}: remove the line", row=row)
        first_row = first_row or row
        u = numbers.setdefault(names[0], len(numbers))
        ends.append((u, numbers.setdefault(names[1], len(numbers))))
    if not ends:
        raise InputFileError(path, "holds no edges")
    labels = tuple(numbers)
    numeric = [label.isdigit() for label in labels]
    if not any(numeric[:2]) and numeric[2:] and all(numeric[2:]):
        problem = f"{labels[0]!r}, {labels[1]!r} looks like a header: begin the line with #"
        raise InputFileError(path, problem, row=first_row)
    return np.array(ends), labels
