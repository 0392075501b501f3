"""The folder of a saved record: three Parquet tables, and what is known of the runs as JSON."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from mesa_llmspread.data.run_info import RunInfo, split_shared
from mesa_llmspread.data.spread_data import (
    AGENT_COLUMNS,
    COUNT_COLUMNS,
    EXPOSURE_COLUMNS,
    OUTCOMES,
    UNKNOWN,
    SpreadData,
)
from mesa_llmspread.data.tables import agents_that_decided
from mesa_llmspread.exceptions import InputFileError, LLMSpreadError, OldFormatWarning
from mesa_llmspread.io import new_folder, write_whole

__all__ = ["FORMAT", "read_record", "write_record"]

#: Version of the format that is written. Earlier ones (2, 1, none) had one flat manifest and no
#: table of agents; before 2, no posts and reasons either.
FORMAT = 3

# What a flat manifest says about nodes: the table of agents holds it now.
_ABOUT_NODES = ("nodes", "starter_nodes", "starter_profiles")

_TABLES = ("exposures", "counts", "agents")


def write_record(data: SpreadData, folder: Path, force: bool) -> Path:
    """Write a record; see :meth:`SpreadData.save`."""
    tables = {name: getattr(data, name) for name in _TABLES}
    shared, own = split_shared([info.to_dict() for info in data.info.values()])
    manifest = {
        "format": FORMAT,
        "rows": {name: len(table) for name, table in tables.items()},
        "shared": shared,
        "runs": [{"run": run, **part} for run, part in zip(data.info, own, strict=True)],
    }
    text = json.dumps(manifest, indent=2, allow_nan=False)
    with new_folder(folder, force) as new:
        for name, table in tables.items():
            write_whole(new / f"{name}.parquet", table.to_parquet(index=False))
        write_whole(new / "manifest.json", text.encode())
    return folder


def read_record(folder: Path) -> SpreadData:
    """Read a record; see :meth:`SpreadData.load`."""
    path = folder / "manifest.json"
    manifest = _load_manifest(path)
    rows, version = manifest["rows"], manifest.get("format", 0)
    counts = _load_table(folder / "counts.parquet", rows, COUNT_COLUMNS)
    exposures = _load_table(folder / "exposures.parquet", rows, EXPOSURE_COLUMNS)
    numbers = sorted(counts["run"].unique().tolist())
    if version < FORMAT:
        numbers = numbers or sorted(exposures["run"].unique().tolist())
        _check_number(folder / "counts.parquet", numbers, len(manifest["runs"]))
        shared = {key: manifest[key] for key in manifest.keys() - {"format", "rows", "runs"}}
        manifests = {
            run: {**shared, **own} for run, own in zip(numbers, manifest["runs"], strict=True)
        }
        info = _infos(path, manifests, _info_of_old)
        agents = agents_that_decided(exposures, info, _agents_of_old(manifests))
    else:
        own = {run.pop("run"): {**manifest["shared"], **run} for run in manifest["runs"]}
        info = _infos(path, own, RunInfo.from_dict)
        agents = _load_table(folder / "agents.parquet", rows, AGENT_COLUMNS)
        if numbers:
            _check_number(folder / "counts.parquet", numbers, len(info))
    _check_counts(folder / "counts.parquet", counts)
    _check_exposures(folder / "exposures.parquet", exposures, counts, sorted(info))
    if version < FORMAT:
        warnings.warn(
            f"{folder} was saved by an earlier version, which kept less: agents that "
            "never decided, and perhaps posts and reasons, are missing; save it anew to keep it",
            OldFormatWarning,
            stacklevel=3,
        )
    return SpreadData(exposures, counts, info, agents)


def _load_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of a saved record."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputFileError(path, "not found; is this the folder of a saved run?") from error
    except OSError as error:
        raise InputFileError(path, error.strerror or "cannot be read") from error
    except ValueError as error:
        raise InputFileError(path, "is not the manifest of a saved run") from error
    if isinstance(manifest, dict) and {"design", "engine"} <= manifest.keys():
        raise InputFileError(
            path,
            f"is of a sweep, not of a run: `llmspread sweep {path.parent} --resume` goes on with "
            f"it; in Python, mesa_llmspread.sweep.load({str(path.parent)!r}) opens it, fit_cells "
            "fits it, and its .data().save(FOLDER) makes a record of its runs",
        )
    if not isinstance(manifest, dict) or not _describes_runs(manifest):
        raise InputFileError(path, "is not the manifest of a saved run")
    version = manifest.get("format", 0)
    if not isinstance(version, int) or version > FORMAT:
        raise InputFileError(
            path, f"has format {version}, and this version reads up to {FORMAT}: update the package"
        )
    if version == FORMAT and not (
        isinstance(manifest.get("shared"), dict)
        and all(isinstance(run.get("run"), int) for run in manifest["runs"])
        and "agents" in manifest["rows"]
    ):
        raise InputFileError(path, "is not the manifest of a saved run")
    return manifest


def _describes_runs(manifest: Mapping[str, Any]) -> bool:
    """Return whether a manifest has what every record has."""
    rows, runs = manifest.get("rows"), manifest.get("runs")
    return (
        isinstance(rows, dict)
        and {"exposures", "counts"} <= set(rows)
        and isinstance(runs, list)
        and bool(runs)
        and all(isinstance(run, dict) for run in runs)
    )


def _infos(
    path: Path, runs: Mapping[int, Mapping[str, Any]], build: Callable[[Mapping[str, Any]], RunInfo]
) -> dict[int, RunInfo]:
    """Build what is known of each run."""
    try:
        return {run: build(values) for run, values in runs.items()}
    except LLMSpreadError as error:
        raise InputFileError(path, f"does not describe runs: {error}") from error


def _info_of_old(manifest: Mapping[str, Any]) -> RunInfo:
    """Build a RunInfo from a flat manifest: what is not a run's own field is the decider's."""
    values = {name: value for name, value in manifest.items() if name not in _ABOUT_NODES}
    if "event" in values:
        values["events"] = [values.pop("event")]
    if "broadcast" in values:
        values["media_prob"] = values.pop("broadcast")
    known = {part.name for part in fields(RunInfo)}
    rest = {name: values.pop(name) for name in list(values) if name not in known}
    return RunInfo.from_dict({**values, "decider_info": rest})


def _agents_of_old(manifests: Mapping[int, Mapping[str, Any]]) -> pd.DataFrame:
    """List the agents that flat manifests name: all nodes by name, starters by profile."""
    rows = {}
    for run, manifest in manifests.items():
        for agent, node in enumerate(manifest.get("nodes", ())):
            rows[run, agent] = (str(node), UNKNOWN)
        starters = manifest.get("starters", ())
        profiles = manifest.get("starter_profiles", [UNKNOWN] * len(starters))
        for agent, profile in zip(starters, profiles, strict=True):
            rows[run, agent] = (rows.get((run, agent), (str(agent),))[0], profile)
    return pd.DataFrame(
        [(*key, *row) for key, row in rows.items()], columns=["run", "agent", "node", "profile"]
    ).astype({"run": "int64", "agent": "int64"})


def _load_table(path: Path, lengths: Mapping[str, int], columns: Iterable[str]) -> pd.DataFrame:
    """Read a table of a saved record, as long and as wide as it has to be."""
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InputFileError(path, f"no readable Parquet table: {error}") from error
    rows = lengths[path.stem]
    if len(table) != rows:
        raise InputFileError(path, f"has {len(table)} rows where the manifest says {rows}")
    # The first edition had an older name for one column, and lacked two.
    table = table.rename(columns={"exposure": "exposure_count"})
    for name in columns:
        if name in ("post", "reason") and name not in table:
            table[name] = ""
        if name not in table:
            raise InputFileError(path, "is missing", column=name)
    for name in columns:
        if name not in (*COUNT_COLUMNS, "agent"):
            continue
        if not pd.api.types.is_integer_dtype(table[name]):
            raise InputFileError(path, "must hold whole numbers", column=name)
        if (table[name] < 0).any():
            least = int(table[name].min())
            raise InputFileError(path, f"holds {least}: must be at least 0", column=name)
    return table[list(columns)]


def _check_number(path: Path, numbers: Sequence[int], runs: int) -> None:
    """Check that there are counts of as many runs as the manifest has."""
    if len(numbers) != runs:
        raise InputFileError(path, f"has {len(numbers)} runs where the manifest has {runs}")


def _check_counts(path: Path, counts: pd.DataFrame) -> None:
    """Check that there is one row per step of each run, from step 0 on."""
    for run, steps in counts.groupby("run")["step"]:
        if steps.tolist() != list(range(len(steps))):
            raise InputFileError(
                path,
                f"run {run} must have one row per step, in order from step 0 to "
                f"{len(steps) - 1}, not the steps {_few(steps.tolist())}",
                column="step",
            )


def _check_exposures(
    path: Path, exposures: pd.DataFrame, counts: pd.DataFrame, runs: Sequence[int]
) -> None:
    """Check that decisions belong to runs that are known, and to steps that were counted."""
    unknown = sorted(set(exposures["run"]) - set(runs))
    if unknown:
        raise InputFileError(
            path,
            f"holds runs that the manifest does not have: {_few(unknown)} (there are {_few(runs)})",
            column="run",
        )
    last = exposures["run"].map(counts.groupby("run")["step"].max())
    late = exposures["step"] > last
    if late.any():
        row = exposures[late].iloc[0]
        run, step = row["run"], row["step"]
        raise InputFileError(
            path,
            f"step {step} of run {run} is later than its last, {last[late].iloc[0]:.0f}",
            column="step",
        )
    again = exposures.duplicated(["run", "event", "step", "agent"])
    if again.any():
        first = exposures[again].iloc[0]
        raise InputFileError(
            path,
            f"agent {first['agent']} decides twice at step {first['step']} of run {first['run']}",
        )
    unknown = sorted(set(exposures["outcome"].dropna().unique()) - set(OUTCOMES), key=str)
    if unknown or exposures["outcome"].isna().any():
        found = _few(unknown) or "nothing"
        raise InputFileError(
            path, f"holds {found}: must be repost, decline or failed", column="outcome"
        )


def _few(values: Sequence[Any]) -> str:
    """List the first of some values."""
    return ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
