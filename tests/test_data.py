"""Records: what is taken from a model, saved, loaded, selected and put together."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from mesa_llmspread import LLMSpreadError, SpreadData, SpreadModel, concat
from mesa_llmspread.data import COUNT_COLUMNS, EXPOSURE_COLUMNS
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    InputFileError,
    OutputError,
)


@pytest.fixture(scope="module")
def record() -> SpreadData:
    runs = [
        SpreadData.from_model(SpreadModel(n=40, k=4, event=event, rng=seed).run(10))
        for seed, event in enumerate(("battles-0", "battles-0", "riots-40"))
    ]
    return concat(runs)


def test_columns_and_types(record: SpreadData) -> None:
    assert list(record.exposures) == list(EXPOSURE_COLUMNS)
    assert list(record.counts) == list(COUNT_COLUMNS)
    assert record.exposures["direct"].dtype == bool
    assert set(record.exposures["outcome"]) == {"repost", "decline"}
    assert (record.counts.groupby("run")["step"].min() == 0).all()


def test_runs_keep_what_is_their_own(record: SpreadData) -> None:
    assert record.runs == [0, 1, 2]
    assert [record.manifest_of(run)["rng"] for run in record.runs] == [0, 1, 2]
    assert record.manifest["n"] == 40
    assert "rng" not in record.manifest
    assert record.manifest_of(2)["event"]["event_id"] == "riots-40"


def test_events_are_taken_apart(record: SpreadData) -> None:
    parts = {event["event_id"]: part for event, part in record.by_event()}
    assert {name: part.runs for name, part in parts.items()} == {
        "battles-0": [0, 1],
        "riots-40": [2],
    }
    assert set(parts["riots-40"].exposures["event"]) == {"riots-40"}
    assert parts["riots-40"].manifest_of(2)["rng"] == 2
    with pytest.raises(ArgumentError, match="runs=7"):
        record.select([7])


def test_saving_and_loading_gives_the_same(record: SpreadData, tmp_path: Path) -> None:
    again = SpreadData.load(record.save(tmp_path / "new" / "folder"))
    pd.testing.assert_frame_equal(record.exposures, again.exposures)
    pd.testing.assert_frame_equal(record.counts, again.counts)
    assert again.manifest == json.loads(json.dumps(dict(record.manifest)))
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [
        "counts.parquet",
        "exposures.parquet",
        "manifest.json",
    ]


def test_a_run_without_decisions_is_saved_too(tmp_path: Path) -> None:
    empty = SpreadData.from_model(SpreadModel(n=40, k=4, rng=1))
    again = SpreadData.load(empty.save(tmp_path))
    assert again.exposures.empty
    assert len(concat([empty, empty]).counts) == 2


def test_a_folder_that_is_no_record(tmp_path: Path, record: SpreadData) -> None:
    with pytest.raises(InputFileError, match=r"manifest.json: not found"):
        SpreadData.load(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(InputFileError, match="not the manifest of a saved run"):
        SpreadData.load(tmp_path)
    record.save(tmp_path)
    (tmp_path / "counts.parquet").write_bytes(b"junk")
    with pytest.raises(InputFileError, match=r"counts.parquet: no readable Parquet"):
        SpreadData.load(tmp_path)
    record.save(tmp_path)
    record.counts.iloc[:3].to_parquet(tmp_path / "counts.parquet")
    with pytest.raises(InputFileError, match="has 3 rows where the manifest says"):
        SpreadData.load(tmp_path)


def test_a_folder_that_cannot_be_written(record: SpreadData, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write"):
        record.save(tmp_path / "file")
    with pytest.raises(OutputError):
        record.save(tmp_path / "file" / "below")


@pytest.mark.skipif(os.name == "nt", reason="file modes are those of POSIX")
def test_files_can_be_read_by_others(record: SpreadData, tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        record.save(tmp_path)
    finally:
        os.umask(umask)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}


def test_bad_tables_are_refused(record: SpreadData) -> None:
    with pytest.raises(ArgumentError, match="columns outcome"):
        SpreadData(record.exposures.drop(columns="outcome"), record.counts, {})
    with pytest.raises(ArgumentError, match="repost, decline or failed"):
        SpreadData(record.exposures.assign(outcome="no"), record.counts, {})
    with pytest.raises(ArgumentTypeError, match="DataFrame"):
        SpreadData(record.exposures, [1, 2], {})
    with pytest.raises(LLMSpreadError, match="at least one record"):
        concat([])
