"""The file of one run: its counts, exposures and agents, as one Parquet table.

The column ``table`` says which of the three a row belongs to, and each has a row group of its
own, so that reading the counts of many runs does not touch the exposures. What is known of
the run stands in the file's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mesa_llmspread.data import RunInfo
from mesa_llmspread.data.schema import AGENT_COLUMNS, COUNT_COLUMNS, EXPOSURE_COLUMNS
from mesa_llmspread.exceptions import InputFileError, LLMSpreadError

__all__ = ["SCHEMA", "TABLES", "encode", "read_info"]

#: Columns of each of the tables in a run's file.
TABLES = {
    "counts": tuple(COUNT_COLUMNS),
    "exposures": tuple(EXPOSURE_COLUMNS),
    "agents": tuple(AGENT_COLUMNS),
}

_TYPES = {"float64": pa.float64(), "int64": pa.int64(), "str": pa.string(), "bool": pa.bool_()}

SCHEMA = pa.schema(
    [
        ("run", pa.int64()),
        ("table", pa.string()),
        *((name, pa.int64()) for name in COUNT_COLUMNS if name != "run"),
        *(
            (name, _TYPES[kind])
            for name, kind in {**EXPOSURE_COLUMNS, **AGENT_COLUMNS}.items()
            if name not in COUNT_COLUMNS
        ),
    ]
)

_KEY = b"mesa_llmspread"

# By what readers choose row groups; statistics of every column take a fifth of the writing.
_CHOSEN_BY = ["run", "table"]


def encode(
    run: int,
    counts: Mapping[str, Any],
    exposures: Mapping[str, Any],
    agents: Mapping[str, Any],
    info: RunInfo,
) -> bytes:
    """Put a run into the content of its file.

    Parameters
    ----------
    run : int
        Its number.
    counts, exposures, agents : mapping of str to sequence
        The tables by column, without ``run``; empty where nothing was recorded.
    info : RunInfo
        What is known of the run.

    Returns
    -------
    bytes
    """
    text = json.dumps(info.to_dict(), allow_nan=False)
    sink = pa.BufferOutputStream()
    schema = SCHEMA.with_metadata({_KEY: text.encode()})
    with pq.ParquetWriter(sink, schema, write_statistics=_CHOSEN_BY) as writer:
        for name, columns in zip(TABLES, (counts, exposures, agents), strict=True):
            writer.write_table(_laid_out(run, name, columns))
    return sink.getvalue().to_pybytes()


def _laid_out(run: int, name: str, columns: Mapping[str, Any]) -> pa.Table:
    """Give a table the columns that all have."""
    rows = len(next(iter(columns.values()), ()))
    fixed = {"run": pa.repeat(run, rows), "table": pa.repeat(name, rows)}
    arrays = []
    for field in SCHEMA:
        if field.name in fixed:
            arrays.append(fixed[field.name].cast(field.type))
        elif field.name in columns:
            arrays.append(pa.array(columns[field.name], field.type))
        else:
            arrays.append(pa.nulls(rows, field.type))
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def read_info(path: Path) -> RunInfo:
    """Read what is known of a run from its file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    RunInfo

    Raises
    ------
    InputFileError
        If the file is not whole, or not of a run.
    """
    try:
        return RunInfo.from_dict(json.loads(pq.read_schema(path).metadata[_KEY]))
    except (LLMSpreadError, OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise InputFileError(path, f"is not the whole file of a run: {error}") from error
