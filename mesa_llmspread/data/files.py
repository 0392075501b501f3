"""The folder of a saved record: three Parquet tables, and what is known of the runs as JSON."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mesa_llmspread._validation import check_kind
from mesa_llmspread.data.run_info import RunInfo, split_shared
from mesa_llmspread.data.schema import SCHEMA, check_steps, check_table, completed, find_problem
from mesa_llmspread.data.tables import agents_that_decided
from mesa_llmspread.exceptions import ArgumentError, InputFileError, OldFormatWarning
from mesa_llmspread.io import new_folder, write_whole

if TYPE_CHECKING:
    from mesa_llmspread.data.spread_data import SpreadData

__all__ = [
    *("FORMAT", "as_path", "read_info", "read_record", "record_files", "write_files"),
    "write_record",
]

#: Version of the format that is written. Earlier ones (2, 1, no number) had one flat manifest
#: without a table of agents; the first ones also lacked posts and reasons.
FORMAT = 3


def as_path(folder: Any) -> Path:
    """Return a path, with ``~`` as the home folder."""
    check_kind("folder", folder, str | os.PathLike, "a path")
    return Path(os.path.expanduser(folder))


def write_record(data: SpreadData, folder: Path, force: bool) -> Path:
    """Write a record; see :meth:`SpreadData.save`."""
    for name in SCHEMA:
        check_table(name, getattr(data, name))
    check_steps(data.exposures, data.counts)
    tables = {
        name: pa.Table.from_pandas(getattr(data, name), preserve_index=False) for name in SCHEMA
    }
    write_files(record_files(tables, data.info), folder, force)
    return folder


def write_files(files: Mapping[str, bytes], folder: Path, force: bool = False) -> None:
    """Write the files of a record into a new folder, atomically; raise OutputError if it fails."""
    with new_folder(folder, force) as new:
        for name, content in files.items():
            write_whole(new / name, content)


def record_files(tables: Mapping[str, pa.Table], info: Mapping[int, RunInfo]) -> dict[str, bytes]:
    """Return the content of a record's files by name.

    Parameters
    ----------
    tables : mapping of str to pyarrow.Table
        By the names of a record's tables.
    info : mapping of int to RunInfo

    Returns
    -------
    dict of str to bytes
    """
    shared, own = split_shared([known.to_dict() for known in info.values()])
    manifest = {
        "format": FORMAT,
        "rows": {name: len(table) for name, table in tables.items()},
        "shared": shared,
        "runs": [{"run": run, **part} for run, part in zip(info, own, strict=True)],
    }
    text = json.dumps(manifest, indent=2, allow_nan=False)
    files = {"manifest.json": text.encode()}
    for name, table in tables.items():
        buffer = pa.BufferOutputStream()
        # Statistics cost more than they save: tables of one run are small.
        pq.write_table(table, buffer, write_statistics=False)
        files[f"{name}.parquet"] = buffer.getvalue().to_pybytes()
    return files


def read_info(folder: Path) -> dict[int, RunInfo]:
    """Read what is known about a record's runs, and check that its tables are complete.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    dict of int to RunInfo

    Raises
    ------
    InputFileError
        If a file is missing, cut off, or of another format.
    """
    path = folder / "manifest.json"
    manifest = _read_manifest(path)
    if manifest.get("format") != FORMAT:
        raise InputFileError(path, f"does not have format {FORMAT}")
    for name in SCHEMA:
        table = folder / f"{name}.parquet"
        try:
            pq.read_metadata(table)
        except (OSError, ValueError) as error:
            raise InputFileError(table, f"is not a complete Parquet table: {error}") from error
    return _infos(path, manifest)


def _infos(path: Path, manifest: Mapping[str, Any]) -> dict[int, RunInfo]:
    """Return what a manifest of the present format says about each run."""
    try:
        runs = [{**manifest["shared"], **run} for run in manifest["runs"]]
        return {run.pop("run"): RunInfo.from_dict(run) for run in runs}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputFileError(path, f"does not describe runs: {error}") from error


def read_record(folder: Path) -> dict[str, Any]:
    """Read the tables and the info of a record; see :meth:`SpreadData.load`."""
    path = folder / "manifest.json"
    manifest = _read_manifest(path)
    names = [name for name in SCHEMA if name in manifest["rows"]]
    tables = {name: _read_table(folder, name, manifest) for name in names}
    if manifest.get("format") == FORMAT:
        info = _infos(path, manifest)
    else:
        manifest, *known = _upgraded(path, manifest, tables)
        info = _infos(path, manifest)
        tables["agents"] = agents_that_decided(tables["exposures"], info, *known)
        warnings.warn(
            f"{folder} was saved by an earlier version, which kept less: agents that "
            "never decided, and perhaps posts and reasons, are missing; save it again to keep it",
            OldFormatWarning,
            stacklevel=3,
        )
    _check_runs(folder, tables, info)
    return {**tables, "info": info}


def _read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of a saved record, of a version that can be read."""
    try:
        manifest = json.loads(path.read_bytes())
        keys, version = set(manifest.keys()), manifest.get("format", 0)
    except FileNotFoundError as error:
        raise InputFileError(path, "not found; is this the folder of a saved run?") from error
    except (OSError, ValueError, AttributeError) as error:
        raise InputFileError(path, f"is not the manifest of a saved run: {error}") from error
    if {"design", "engine"} <= keys:
        raise InputFileError(
            path,
            f"is of a sweep, not of a run: `llmspread sweep {path.parent} --resume` goes on with "
            f"it; in Python, mesa_llmspread.sweep.load({str(path.parent)!r}) opens it, fit_cells "
            "fits it, and its .data().save(FOLDER) makes a record of its runs",
        )
    if isinstance(version, int) and version > FORMAT:
        problem = f"has format {version}, and this version reads up to {FORMAT}"
        raise InputFileError(path, f"{problem}: update the package")
    rows, names = manifest.get("rows"), set(SCHEMA) - ({"agents"} if version != FORMAT else set())
    runs = manifest.get("runs")
    whole = isinstance(version, int) and isinstance(rows, dict) and names <= rows.keys()
    if not (whole and runs and isinstance(runs, list) and {*map(type, runs)} == {dict}):
        raise InputFileError(path, "is not the manifest of a saved run")
    return dict(manifest)


def _read_table(folder: Path, name: str, manifest: Mapping[str, Any]) -> pd.DataFrame:
    """Read a table of a saved record, as long and as wide as it has to be."""
    path = folder / f"{name}.parquet"
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InputFileError(path, f"no readable Parquet table: {error}") from error
    rows = manifest["rows"][name]
    if len(table) != rows:
        raise InputFileError(path, f"has {len(table)} rows where the manifest says {rows}")
    if manifest.get("format") != FORMAT:
        table = table.rename(columns={"exposure": "exposure_count"})
        table = table.assign(**{name: "" for name in ("post", "reason") if name not in table})
    problem = find_problem(name, table)
    if problem is not None:
        text = f"holds {problem.value}: must {problem.rule}"
        raise InputFileError(path, text, column=problem.column)
    return completed(name, table)


def _check_runs(folder: Path, tables: Mapping[str, pd.DataFrame], info: Mapping[int, Any]) -> None:
    """Check that the tables are about the same runs, and decisions about steps with counts."""
    for name, table in tables.items():
        runs = set(table["run"].unique())
        if not runs <= info.keys():
            text = f"holds the runs {_few(runs)}, and the manifest has {_few(info)}"
            raise InputFileError(folder / f"{name}.parquet", text, column="run")
    try:
        check_steps(tables["exposures"], tables["counts"])
    except ArgumentError as error:
        path, text = folder / "exposures.parquet", f"holds {error.value}: must {error.allowed}"
        raise InputFileError(path, text, column="step") from error


def _few(values: Any) -> str:
    """Return the first of some numbers, in order."""
    return ", ".join(map(str, sorted(values)[:8])) + (", ..." if len(values) > 8 else "")


def _upgraded(
    path: Path, manifest: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]
) -> tuple[dict[str, Any], dict[tuple[int, int], str], dict[tuple[int, int], str]]:
    """Return the flat manifest of an earlier format in the present one.

    And what it says about agents, by run and agent: starters' profiles, names of nodes.
    """
    counted = tables["exposures" if tables["counts"].empty else "counts"]
    numbers = sorted(counted["run"].unique().tolist())
    if len(numbers) != len(manifest["runs"]):
        text = f"has {len(numbers)} runs where the manifest has {len(manifest['runs'])}"
        raise InputFileError(path.with_name("counts.parquet"), text, column="run")
    shared = {key: manifest[key] for key in manifest.keys() - {"format", "rows", "runs"}}
    known = {part.name for part in fields(RunInfo)}
    runs = []
    profiles: dict[tuple[int, int], str] = {}
    names: dict[tuple[int, int], str] = {}
    for number, own in zip(numbers, manifest["runs"], strict=True):
        old = {**shared, **own}
        starters = zip(old.get("starters", ()), old.pop("starter_profiles", ()), strict=False)
        profiles |= {(number, agent): code for agent, code in starters}
        names |= {(number, i): str(node) for i, node in enumerate(old.pop("nodes", ()))}
        old.pop("starter_nodes", None)
        if "event" in old:
            old["events"] = [old.pop("event")]
        if "broadcast" in old:
            old["media_prob"] = old.pop("broadcast")
        # What is not a field of the run's is the decider's.
        decider = {name: old.pop(name) for name in list(old) if name not in known}
        runs.append({"run": number, **old, "decider_info": decider})
    return {"shared": {}, "runs": runs}, profiles, names
