"""What a run leaves behind: plain tables, which know neither Mesa nor a language model.

Everything that learns from runs (fits, plots, reports) reads this and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, InputFileError
from mesa_llmspread.files import make_folder, write_whole
from mesa_llmspread.record import RECORD, RunRecord

if TYPE_CHECKING:
    from mesa_llmspread.model import SpreadModel

__all__ = [
    "COUNT_COLUMNS",
    "EXPOSURE_COLUMNS",
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
    "exposure": "int64",
    "direct": "bool",
    "outcome": "str",
    "key": "str",
}

#: Columns of ``counts``: all whole numbers.
COUNT_COLUMNS = ("run", "step", "susceptible", "infected", "new_infected", "exposures", "failed")


@dataclass(frozen=True)
class SpreadData:
    """The record of one run or several.

    Parameters
    ----------
    exposures : DataFrame
        One row a decision: ``run, step, agent, profile`` (code), ``event`` (id),
        ``contacts`` (posting neighbours in view), ``cumulative`` (neighbours who have posted
        so far), ``exposure`` (1 on the agent's first occasion), ``direct`` (saw the event
        itself), ``outcome`` (``"repost"``, ``"decline"``, ``"failed"``), ``key``.
    counts : DataFrame
        One row a step, from step 0: ``run, step, susceptible, infected, new_infected,
        exposures, failed``, in agents and decisions.
    manifest : dict
        What was run. What differs between the runs stands under ``"runs"``, one dict each.

    Raises
    ------
    ArgumentError
        If a table lacks a column or holds an outcome that is none.
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
        unknown = set(self.exposures["outcome"].unique()) - {"repost", "decline", "failed"}
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
            With one run, number 0.
        """
        exposures = model.datacollector.get_table_dataframe("exposures")
        exposures.insert(0, "run", 0)
        counts = model.datacollector.get_model_vars_dataframe()
        counts.columns = ["susceptible", "infected", "new_infected", "exposures", "failed"]
        counts.insert(0, "step", range(len(counts)))
        counts.insert(0, "run", 0)
        return cls(exposures.astype(EXPOSURE_COLUMNS), counts, {**model.manifest, "runs": [{}]})

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
        return sorted(int(run) for run in self.counts["run"].unique())

    def manifest_of(self, run: int) -> dict[str, Any]:
        """Give everything that is known of one run: what all share, and what is its own."""
        shared = {key: value for key, value in self.manifest.items() if key != "runs"}
        return {**shared, **self.manifest["runs"][self.runs.index(run)]}

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

    def save(self, folder: str | Path) -> Path:
        """Write the tables (Parquet) and the manifest (JSON) into a folder.

        Each file appears whole or not at all; the manifest comes last and says how many
        rows the tables have.

        Parameters
        ----------
        folder : path-like
            Made if it is not there.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OutputError
            If the folder cannot be made or written.
        """
        folder = Path(folder)
        rows = {"exposures": len(self.exposures), "counts": len(self.counts)}
        text = json.dumps({**self.manifest, "rows": rows}, indent=2, allow_nan=False)
        make_folder(folder)
        write_whole(folder / "exposures.parquet", self.exposures.to_parquet(index=False))
        write_whole(folder / "counts.parquet", self.counts.to_parquet(index=False))
        write_whole(folder / "manifest.json", text.encode())
        return folder

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
            If a file is missing, damaged, or does not belong to the others.
        """
        folder = Path(folder)
        manifest = _load_manifest(folder / "manifest.json")
        tables = {}
        for name, rows in manifest.pop("rows").items():
            path = folder / f"{name}.parquet"
            try:
                tables[name] = pd.read_parquet(path)
            except (OSError, ValueError) as error:
                raise InputFileError(path, f"no readable Parquet table: {error}") from error
            if len(tables[name]) != rows:
                raise InputFileError(
                    path, f"has {len(tables[name])} rows where the manifest says {rows}"
                )
        return cls(tables["exposures"], tables["counts"], manifest)


def _load_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of a saved record."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if set(manifest["rows"]) != {"exposures", "counts"} or not manifest["runs"]:
            raise KeyError("rows")
    except FileNotFoundError as error:
        raise InputFileError(path, "not found; is this the folder of a saved run?") from error
    except OSError as error:
        raise InputFileError(path, error.strerror or "cannot be read") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputFileError(path, "is not the manifest of a saved run") from error
    return dict(manifest)


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
    """
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
