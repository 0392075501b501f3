"""Response tables: what language models answered in designed experiments."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from mesa_llmspread.exceptions import UnknownNameError
from mesa_llmspread.tables.comparison import TableComparison, compare_tables
from mesa_llmspread.tables.response_table import ResponseTable

__all__ = [
    "DEFAULT_TABLE",
    "ResponseTable",
    "TableComparison",
    "compare_tables",
    "load_table",
    "table_names",
]

#: The shipped table that decides where nothing else is named.
DEFAULT_TABLE = "qwen2.5-coder-0.5b"

_FOLDER = Path(__file__).parent


def table_names() -> list[str]:
    """Return the names of the tables that come with the package.

    Returns
    -------
    list of str

    Examples
    --------
    >>> table_names()
    ['qwen2.5-coder-0.5b', 'qwen2.5-coder-1.5b', 'smollm2-135m']
    """
    return sorted(path.parent.name for path in _FOLDER.glob("*/table.parquet"))


def load_table(table: ResponseTable | str | Path) -> ResponseTable:
    """Return the table that a name or a folder stands for.

    Parameters
    ----------
    table : ResponseTable, str or path-like
        A table, the name of a shipped one (:func:`table_names`), or the folder of a saved one.

    Returns
    -------
    ResponseTable

    Raises
    ------
    UnknownNameError
        If it is neither a shipped table's name nor a folder.
    InputFileError
        If the folder does not hold a table.

    Examples
    --------
    >>> load_table("qwen2.5-coder-0.5b").info["template"]
    'standard'
    """
    if isinstance(table, ResponseTable):
        return table
    if table in table_names():
        return _shipped(str(table))
    if not Path(table).is_dir():
        raise UnknownNameError("table", table, (*table_names(), "a folder of a table"))
    return ResponseTable.load(table)


@cache
def _shipped(name: str) -> ResponseTable:
    return ResponseTable.load(_FOLDER / name)
