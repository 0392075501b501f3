"""What a run leaves behind: plain tables, which know neither Mesa nor a language model.

Everything that learns from runs (fits, plots, reports) reads this and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    InputFileError,
    UnknownNameError,
)
from mesa_llmspread.files import new_folder, write_whole
from mesa_llmspread.record import RECORD, RunRecord

if TYPE_CHECKING:
    from mesa_llmspread.model import SpreadModel

__all__ = [
    "COUNT_COLUMNS",
    "EXPOSURE_COLUMNS",
    "FORMAT",
    "UNKNOWN",
    "SpreadData",
    "concat",
    "shared_manifest",
]

#: Columns of ``exposures`` and their types.
EXPOSURE_COLUMNS = {
    "run": "int64",
    "step": "int64",
    "agent": "int64",
    "profile": "str",
    "event": "str",
    "contacts": "int64",
    "cumulative": "int64",
    "exposure_count": "int64",
    "direct": "bool",
    "outcome": "str",
    "post": "str",
    "reason": "str",
    "key": "str",
}

#: Columns of ``counts``: all whole numbers.
COUNT_COLUMNS = ("run", "step", "susceptible", "infected", "new_infected", "exposures", "failed")

#: Profile or event of a decision of which it is not known.
UNKNOWN = "unknown"

# Columns that decisions from elsewhere need, and what may be known of their runs.
_NEEDED = ("run", "step", "agent", "contacts", "outcome")
_INFO = (
    "n",
    "k",
    "degrees",
    "profiles",
    "feed",
    "broadcast",
    "network",
    "initial_infected",
    "population",
    "event",
    "decider",
    "rng",
    "versions",
)

_OUTCOMES = {"repost", "decline", "failed"}

#: Version of the format that :meth:`SpreadData.save` writes; the first one had no number.
FORMAT = 2

# What the model's collector calls the columns of ``counts``.
_SERIES = {
    "step": "Step",
    "susceptible": "Susceptible",
    "infected": "Infected",
    "new_infected": "NewInfected",
    "exposures": "Exposures",
    "failed": "Failed",
}


@dataclass(frozen=True)
class SpreadData:
    """The record of one run or several.

    Parameters
    ----------
    exposures : DataFrame
        One row per decision: ``run, step, agent, profile`` (code), ``event`` (id),
        ``contacts`` (posting neighbours in view), ``cumulative`` (neighbours who have posted
        so far), ``exposure_count`` (1 on the agent's first occasion), ``direct`` (saw the
        event itself), ``outcome`` (``"repost"``, ``"decline"``, ``"failed"``), ``post`` and
        ``reason`` (the decider's words), ``key``.
    counts : DataFrame
        One row per step, from step 0: ``run, step, susceptible, infected, new_infected,
        exposures, failed``, in agents and decisions.
    manifest : dict
        What was run. What differs between the runs stands under ``"runs"``, one dict each.

    Raises
    ------
    ArgumentError
        If a table lacks a column or holds an unknown outcome.
    """

    exposures: pd.DataFrame
    counts: pd.DataFrame
    manifest: Mapping[str, Any]

    def __post_init__(self) -> None:
        for name, table, columns in (
            ("exposures", self.exposures, EXPOSURE_COLUMNS),
            ("counts", self.counts, COUNT_COLUMNS),
        ):
            if not isinstance(table, pd.DataFrame):
                raise ArgumentTypeError(name, table, "a DataFrame")
            missing = [column for column in columns if column not in table.columns]
            if missing:
                raise ArgumentError(name, list(table.columns), f"have columns {', '.join(missing)}")
        unknown = set(self.exposures["outcome"].unique()) - _OUTCOMES
        if unknown:
            raise ArgumentError(
                "exposures['outcome']", sorted(unknown), "be repost, decline or failed"
            )

    @classmethod
    def from_model(cls, model: SpreadModel) -> SpreadData:
        """Take the record of a model's run, so far.

        Parameters
        ----------
        model : SpreadModel

        Returns
        -------
        SpreadData
            With one run, number 0, of the steps that were completed.

        Raises
        ------
        ArgumentTypeError
            If it is not a SpreadModel.
        """
        from mesa_llmspread.model import SpreadModel

        if not isinstance(model, SpreadModel):
            raise ArgumentTypeError("model", model, "a SpreadModel")
        collected = model.datacollector.model_vars
        # A run that was interrupted may have collected a part of its last step; a collector of
        # the user's own may have collected one twice.
        series = {name: collected[_SERIES[name]] for name in COUNT_COLUMNS[1:]}
        whole = min(map(len, series.values()))
        counts = pd.DataFrame({name: values[:whole] for name, values in series.items()})
        counts = counts.drop_duplicates("step", keep="last", ignore_index=True)
        counts.insert(0, "run", 0)
        logged = model.datacollector.tables["exposures"]
        rows = min(map(len, logged.values()))
        exposures = pd.DataFrame({name: column[:rows] for name, column in logged.items()})
        exposures.insert(0, "run", 0)
        exposures = exposures[exposures["step"] < len(counts)].astype(EXPOSURE_COLUMNS)
        return cls(exposures, counts, {**model.manifest, "runs": [{}]})

    @classmethod
    def from_tables(
        cls,
        exposures: pd.DataFrame,
        counts: pd.DataFrame | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> SpreadData:
        """Make a record of decisions from elsewhere: a survey, an experiment with people.

        Parameters
        ----------
        exposures : DataFrame
            One row per decision: ``run, step, agent, contacts`` (int) and ``outcome``. Other
            columns have defaults: ``exposure_count`` is counted for each agent and event in
            order of ``step`` (failures are no occasion), ``cumulative`` is ``contacts``,
            ``direct`` is False, ``profile`` is unknown (laws by profile then refuse).
        counts : DataFrame, optional
            One row per step, as in :class:`SpreadData`. Without it, what needs curves refuses.
        info : mapping, optional
            What is known of all runs, by name: ``n``, ``k``, ``degrees``, ``feed``,
            ``broadcast``, ``network``, ``initial_infected``, ``population``, ``event``,
            ``decider``, ``rng``, ``versions``.

        Returns
        -------
        SpreadData

        Raises
        ------
        ArgumentError
            If a column that is needed is missing, or the info has an unknown name.

        Examples
        --------
        >>> table = pd.DataFrame({"run": [0, 0], "step": [1, 2], "agent": [7, 7],
        ...                       "contacts": [1, 3], "outcome": ["decline", "repost"]})
        >>> data = SpreadData.from_tables(table, info={"n": 200, "k": 8})
        >>> data.exposures["exposure_count"].tolist()
        [1, 2]
        """
        if not isinstance(exposures, pd.DataFrame):
            raise ArgumentTypeError("exposures", exposures, "a DataFrame")
        missing = [name for name in _NEEDED if name not in exposures]
        if missing:
            raise ArgumentError(
                "exposures", list(exposures.columns), f"have columns {', '.join(missing)}"
            )
        for name in info or {}:
            if name not in _INFO:
                raise UnknownNameError("info", name, _INFO)
        defaults: dict[str, Any] = {"profile": UNKNOWN, "event": UNKNOWN, "direct": False}
        defaults |= dict.fromkeys(("post", "reason", "key"), "")
        table = exposures.copy()
        for name, value in defaults.items():
            if name not in table:
                table[name] = value
        if "cumulative" not in table:
            table["cumulative"] = table["contacts"]
        if "exposure_count" not in table:
            ordered = table.sort_values("step", kind="stable")
            agent = [ordered["run"], ordered["event"], ordered["agent"]]
            occasion = (ordered["outcome"] != "failed").astype("int64")
            before = occasion.groupby(agent).cumsum() - occasion
            table["exposure_count"] = before.reindex(table.index) + 1
        table = table.reset_index(drop=True)[list(EXPOSURE_COLUMNS)].astype(EXPOSURE_COLUMNS)
        if counts is None:
            counts = pd.DataFrame({name: pd.Series(dtype="int64") for name in COUNT_COLUMNS})
        runs = sorted({*table["run"].tolist(), *counts["run"].tolist()})
        return cls(table, counts, {**(info or {}), "runs": [{} for _ in runs]})

    @classmethod
    def from_batch_run(cls, rows: Sequence[Mapping[str, Any]]) -> SpreadData:
        """Take the records of all runs from what Mesa's ``batch_run`` returns.

        Parameters
        ----------
        rows : sequence of mapping
            From one process or several, whatever the ``data_collection_period``.

        Returns
        -------
        SpreadData
            With runs 0, 1, ... in the order of ``RunId``.

        Raises
        ------
        ArgumentError
            If there is no row, or a row has no record: it is not from a SpreadModel, or went
            through a text file.

        Examples
        --------
        >>> from mesa.batchrunner import batch_run
        >>> from mesa_llmspread import SpreadModel
        >>> rows = batch_run(SpreadModel, {"k": [4, 8], "rng": 1}, display_progress=False)
        >>> SpreadData.from_batch_run(rows).runs
        [0, 1]
        """
        records = {}
        for i, row in enumerate(rows):
            if not isinstance(row.get(RECORD), RunRecord):
                raise ArgumentError(
                    f"rows[{i}]", row, f"have a {RECORD!r}, as batch_run gives of a SpreadModel"
                )
            records[row["RunId"]] = row[RECORD]
        return concat([records[run].data() for run in sorted(records)])

    @property
    def runs(self) -> list[int]:
        """The runs' numbers, in order."""
        return sorted({*self.counts["run"].tolist(), *self.exposures["run"].unique().tolist()})

    def manifest_of(self, run: int) -> dict[str, Any]:
        """Give everything that is known of one run: what all share, and what is its own."""
        shared = {key: value for key, value in self.manifest.items() if key != "runs"}
        return _Known({**shared, **self.manifest["runs"][self.runs.index(run)]})

    def select(self, runs: Sequence[int]) -> SpreadData:
        """Keep some runs, under the numbers they have.

        Parameters
        ----------
        runs : sequence of int

        Returns
        -------
        SpreadData

        Raises
        ------
        ArgumentError
            If there is no such run.
        """
        for run in runs:
            if run not in self.runs:
                raise ArgumentError("runs", run, f"be among the runs {self.runs}")
        kept = [self.manifest["runs"][self.runs.index(run)] for run in sorted(runs)]
        return SpreadData(
            self.exposures[self.exposures["run"].isin(runs)].reset_index(drop=True),
            self.counts[self.counts["run"].isin(runs)].reset_index(drop=True),
            {**self.manifest, "runs": kept},
        )

    def by_event(self) -> Iterator[tuple[Mapping[str, Any], SpreadData]]:
        """Go through the events: each as a dict of its fields, and the runs about it."""
        runs: dict[str, list[int]] = {}
        events = {}
        for run in self.runs:
            event = self.manifest_of(run)["event"]
            events[event["event_id"]] = event
            runs.setdefault(event["event_id"], []).append(run)
        for event_id, event in events.items():
            yield event, self.select(runs[event_id])

    def save(self, folder: str | Path, force: bool = False) -> Path:
        """Write the tables (Parquet) and the manifest (JSON) into a new folder.

        The folder appears whole or not at all.

        Parameters
        ----------
        folder : path-like
            Missing or empty.
        force : bool, default False
            Replace the record that is there, and all that is beside it in the folder.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OutputError
            If the folder is not empty, with ``force`` if it holds something other than the
            record of a run, or if it cannot be written.
        """
        rows = {"exposures": len(self.exposures), "counts": len(self.counts)}
        manifest = {**self.manifest, "format": FORMAT, "rows": rows}
        text = json.dumps(manifest, indent=2, allow_nan=False)
        with new_folder(folder, force) as new:
            write_whole(new / "exposures.parquet", self.exposures.to_parquet(index=False))
            write_whole(new / "counts.parquet", self.counts.to_parquet(index=False))
            write_whole(new / "manifest.json", text.encode())
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> SpreadData:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        folder : path-like

        Returns
        -------
        SpreadData

        Raises
        ------
        InputFileError
            If a file is missing, damaged, of a newer format, or does not belong to the others;
            or if the folder holds a sweep.
        """
        folder = Path(folder)
        manifest = _load_manifest(folder / "manifest.json")
        rows = manifest.pop("rows")
        counts = _load_table(folder / "counts.parquet", rows["counts"], COUNT_COLUMNS)
        exposures = _load_table(folder / "exposures.parquet", rows["exposures"], EXPOSURE_COLUMNS)
        _check_counts(folder / "counts.parquet", counts, len(manifest["runs"]))
        _check_exposures(folder / "exposures.parquet", exposures, counts)
        return cls(exposures, counts, manifest)


class _Known(dict[str, Any]):
    """What is known of a run; what is not is refused by name."""

    def __missing__(self, name: str) -> Any:
        raise ArgumentError("data.manifest", sorted(self), f"say {name!r}, which this needs")


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
    version = manifest.pop("format", 0)
    if not isinstance(version, int) or version > FORMAT:
        raise InputFileError(
            path, f"has format {version}, and this version reads up to {FORMAT}: update the package"
        )
    return manifest


def _describes_runs(manifest: Mapping[str, Any]) -> bool:
    """Return whether a manifest has what every record has."""
    rows, runs = manifest.get("rows"), manifest.get("runs")
    return (
        isinstance(rows, dict)
        and set(rows) == {"exposures", "counts"}
        and isinstance(runs, list)
        and bool(runs)
        and all(isinstance(run, dict) for run in runs)
    )


def _load_table(path: Path, rows: int, columns: Iterable[str]) -> pd.DataFrame:
    """Read a table of a saved record, as long and as wide as it has to be."""
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InputFileError(path, f"no readable Parquet table: {error}") from error
    if len(table) != rows:
        raise InputFileError(path, f"has {len(table)} rows where the manifest says {rows}")
    if "outcome" in table and "exposure" in table:
        # Of the first formats, in which words were not kept.
        table = table.rename(columns={"exposure": "exposure_count"}).assign(post="", reason="")
        table = table[list(EXPOSURE_COLUMNS)]
    for name in columns:
        if name not in table:
            raise InputFileError(path, "is missing", column=name)
        if name not in (*COUNT_COLUMNS, "agent"):
            continue
        if not pd.api.types.is_integer_dtype(table[name]):
            raise InputFileError(path, "must hold whole numbers", column=name)
        if (table[name] < 0).any():
            least = int(table[name].min())
            raise InputFileError(path, f"holds {least}: must be at least 0", column=name)
    return table


def _check_counts(path: Path, counts: pd.DataFrame, runs: int) -> None:
    """Check that there is one row per step of each run, from step 0 on."""
    numbers = counts["run"].unique()
    if len(numbers) != runs:
        raise InputFileError(path, f"has {len(numbers)} runs where the manifest has {runs}")
    for run, steps in counts.groupby("run")["step"]:
        if steps.tolist() != list(range(len(steps))):
            raise InputFileError(
                path,
                f"run {run} must have one row per step, in order from step 0 to "
                f"{len(steps) - 1}, not the steps {_few(steps.tolist())}",
                column="step",
            )


def _check_exposures(path: Path, exposures: pd.DataFrame, counts: pd.DataFrame) -> None:
    """Check that decisions belong to runs and steps that were counted."""
    last = counts.groupby("run")["step"].max()
    unknown = sorted(set(exposures["run"]) - set(last.index))
    if unknown:
        raise InputFileError(
            path,
            f"holds runs that counts.parquet does not have: {_few(unknown)} (there are "
            f"{_few(last.index.tolist())})",
            column="run",
        )
    late = exposures["step"] > exposures["run"].map(last)
    if late.any():
        first = exposures[late].iloc[0]
        run, step = int(first["run"]), int(first["step"])
        raise InputFileError(
            path, f"step {step} of run {run} is later than its last, {last[run]}", column="step"
        )
    again = exposures.duplicated(["run", "event", "step", "agent"])
    if again.any():
        first = exposures[again].iloc[0]
        raise InputFileError(
            path,
            f"agent {first['agent']} decides twice at step {first['step']} of run {first['run']}",
        )
    unknown = sorted(set(exposures["outcome"].dropna().unique()) - _OUTCOMES, key=str)
    if unknown or exposures["outcome"].isna().any():
        found = _few(unknown) or "nothing"
        raise InputFileError(
            path, f"holds {found}: must be repost, decline or failed", column="outcome"
        )


def _few(values: Sequence[Any]) -> str:
    """List the first of some values."""
    return ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")


def concat(data: Sequence[SpreadData]) -> SpreadData:
    """Put several records together, as runs 0, 1, ... in their order.

    Parameters
    ----------
    data : sequence of SpreadData
        At least one.

    Returns
    -------
    SpreadData

    Raises
    ------
    ArgumentError
        If there is nothing to put together.
    ArgumentTypeError
        If ``data`` is not a sequence of records.
    """
    if isinstance(data, str | SpreadData) or not isinstance(data, Iterable):
        raise ArgumentTypeError("data", data, "a list of SpreadData")
    data = list(data)
    for i, part in enumerate(data):
        if not isinstance(part, SpreadData):
            raise ArgumentTypeError(f"data[{i}]", part, "a SpreadData")
    if not data:
        raise ArgumentError("data", data, "hold at least one record")
    exposures, counts = [], []
    manifests: list[dict[str, Any]] = []
    for part in data:
        number = {run: len(manifests) + i for i, run in enumerate(part.runs)}
        exposures.append(part.exposures.assign(run=part.exposures["run"].map(number)))
        counts.append(part.counts.assign(run=part.counts["run"].map(number)))
        manifests.extend(part.manifest_of(run) for run in part.runs)
    return SpreadData(
        pd.concat(exposures, ignore_index=True).astype(EXPOSURE_COLUMNS),
        pd.concat(counts, ignore_index=True).astype(dict.fromkeys(COUNT_COLUMNS, "int64")),
        shared_manifest(manifests),
    )


def shared_manifest(manifests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Put the manifests of single runs together.

    Parameters
    ----------
    manifests : sequence of mapping
        All that is known of each run; at least one.

    Returns
    -------
    dict
        What all have in common, and under ``"runs"`` what is each one's own.
    """
    shared = {
        key: value
        for key, value in manifests[0].items()
        if all(key in other and other[key] == value for other in manifests)
    }
    runs = [{key: m[key] for key in m if key not in shared} for m in manifests]
    return {**shared, "runs": runs}
