"""Reading settings from YAML and JSON files."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mesa_llmspread.exceptions import InputFileError, UnknownNameError

__all__ = ["read_settings"]

# A line that begins in the first column and has no colon: a name without a value.
_STRAY = re.compile(r"""[^\s#:\[\]{}"'&*!|>%@`,?-][^:]*""")


def read_settings(path: Path, known: Sequence[str]) -> dict[str, Any]:
    """Read settings by name from a YAML or JSON file.

    Parameters
    ----------
    path : Path
        JSON where its name ends in ``.json``, else YAML.
    known : sequence of str
        The names that are allowed.

    Returns
    -------
    dict

    Raises
    ------
    InputFileError
        If the file cannot be read, is not valid, or holds anything but settings of these names.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputFileError(path, error.strerror or "cannot be read") from error
    except UnicodeDecodeError as error:
        raise InputFileError(path, "is not text in UTF-8") from error
    try:
        if path.suffix == ".json":
            settings = json.loads(text)
        else:
            settings = yaml.safe_load(text)
            if isinstance(settings, str):
                raise yaml.YAMLError
    except yaml.YAMLError as error:
        row, problem = _yaml_problem(text, error)
        raise InputFileError(path, problem, row=row) from error
    except json.JSONDecodeError as error:
        raise InputFileError(path, f"is not valid JSON: {error.msg}", row=error.lineno) from error
    except (ValueError, RecursionError) as error:
        raise InputFileError(path, f"is not valid YAML or JSON: {error}") from error
    if not isinstance(settings, dict):
        raise InputFileError(path, "must hold settings by name, such as 'n: 500'")
    for name in settings:
        if name not in known:
            raise InputFileError(path, str(UnknownNameError("setting", name, known)))
    return settings


def _yaml_problem(text: str, error: Any) -> tuple[int | None, str]:
    """Return the row and the description of what is wrong with a YAML text."""
    rows = [row for row, line in enumerate(text.splitlines()) if _STRAY.fullmatch(line)]
    if getattr(error, "context", None) == "while scanning a simple key":
        rows = [error.context_mark.line]
    if rows:
        line = text.splitlines()[rows[0]].strip()
        wanted = "must be a name, a colon and a value, such as 'steps: 50'"
        return rows[0] + 1, f"{line[:60]!r} {wanted}"
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it holds no settings by name"
    return mark.line + 1 if mark else None, f"is not valid YAML: {problem}"
