"""Records: what is taken from a model, saved, loaded, selected and put together."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import mesa
import numpy as np
import pandas as pd
import pytest
from errors import refused

from mesa_llmspread import RunInfo, SpreadData, SpreadModel, compare, concat
from mesa_llmspread.data.files import FORMAT
from mesa_llmspread.data.schema import COUNT_COLUMNS, EXPOSURE_COLUMNS, SCHEMA
from mesa_llmspread.deciders import DecisionStore
from mesa_llmspread.events import get_event
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
    assert [record.info[run].rng for run in record.runs] == [0, 1, 2]
    assert {info.n for info in record.info.values()} == {40}
    assert record.info[2].event == get_event("riots-40")
    assert record.info[0].degrees == {4: 40}


def test_events_are_taken_apart(record: SpreadData) -> None:
    parts = {event.event_id: part for event, part in record.by_event()}
    assert {name: part.runs for name, part in parts.items()} == {
        "battles-0": [0, 1],
        "riots-40": [2],
    }
    assert set(parts["riots-40"].exposures["event"]) == {"riots-40"}
    assert parts["riots-40"].info[2].rng == 2
    refused(lambda: record.select([7]), "runs", 7)


def test_two_events_with_one_id_are_told_apart(record: SpreadData) -> None:
    event = dataclasses.replace(record.info[1].event, fatalities=5, text="")
    info = {**record.info, 1: dataclasses.replace(record.info[1], events=[event])}
    data = SpreadData(record.exposures, record.counts, info)
    refused(lambda: list(data.by_event()), "data", "events ['battles-0', 'battles-0', 'riots-40']")
    refused(lambda: record.select(0), "runs", 0)  # type: ignore[arg-type]


def test_the_index_of_a_table_does_not_matter(record: SpreadData) -> None:
    part = record.exposures[record.exposures["run"] == 0]
    joined = pd.concat([part, part.assign(run=1)])
    info = dict.fromkeys((0, 1), record.info[0])
    data = SpreadData(joined, record.counts.iloc[:0], info)
    assert data.exposures.index.equals(pd.RangeIndex(len(joined)))
    assert not compare(data, ["SI", "FirstRepeat"]).table.empty


def test_what_is_saved_can_be_loaded(record: SpreadData, tmp_path: Path) -> None:
    run, other = record.select([0]), record.select([1])
    bare = SpreadData(other.exposures, other.counts.iloc[:0], other.info)
    both = concat([run, bare])
    again = SpreadData.load(both.save(tmp_path / "some counts"))
    assert again.runs == [0, 1]
    assert set(again.counts["run"]) == {0}
    fewer = run.counts[run.counts["step"] < 3]
    late = SpreadData(run.exposures, fewer, run.info)
    refused(lambda: late.save(tmp_path / "late"), "exposures['step']")
    refused(lambda: SpreadData.from_tables(run.exposures, fewer), "exposures['step']")
    wrong = run.exposures.assign(agent=-1)
    data = SpreadData(wrong, run.counts, run.info)
    refused(lambda: data.save(tmp_path / "wrong"), "exposures['agent']", -1)
    data = SpreadData(run.exposures, run.counts, run.info, run.agents.assign(openness="high"))
    refused(lambda: data.save(tmp_path / "wrong"), "agents['openness']", "high")
    assert not (tmp_path / "wrong").exists()
    refused(lambda: data.counts_of([0]), "runs", [0])  # type: ignore[arg-type]
    refused(lambda: data.select([0, 3]), "runs", 3)


def test_what_is_known_of_a_run_is_kept_as_plain_values(record: SpreadData, tmp_path: Path) -> None:
    degrees = dict(zip(*np.unique([4] * 40, return_counts=True), strict=True))
    info = RunInfo(
        n=np.int64(40),  # type: ignore[arg-type]
        k=np.float32(4),  # type: ignore[arg-type]
        degrees=degrees,
        media_prob=np.float32(0.5),  # type: ignore[arg-type]
        initial_infected=np.int64(2),  # type: ignore[arg-type]
        starters=np.array([0, 3]),  # type: ignore[arg-type]
        profiles={"OCEAN": np.int64(40)},  # type: ignore[dict-item]
        decider_info={"sizes": np.arange(2), "loss": float("nan"), "pair": (1, 2)},
    )
    data = SpreadData(record.select([0]).exposures, record.counts.iloc[:0], {0: info})
    assert SpreadData.load(data.save(tmp_path / "record")).info[0] == info
    assert info.decider_info == {"sizes": [0, 1], "loss": "NaN", "pair": [1, 2]}
    for name, value in {
        "initial_infected": -5,
        "degrees": {"x": 9},
        "starters": 3,
        "rng": "x",
        "media_prob": None,
        "decider_info": {"what": object()},
    }.items():
        error = refused(lambda name=name, value=value: RunInfo(9, 4, **{name: value}), name)
        assert error.value in (value, "x")
    refused(lambda: RunInfo(9, 4, degrees=[4] * 9), "degrees", [4] * 9)  # type: ignore[arg-type]
    refused(lambda: RunInfo(9, 4, profiles={"zz": 3}), "code", "zz")
    refused(lambda: RunInfo(9, 4, initial_infected="ten"), "initial_infected", "ten")  # type: ignore[arg-type]


def test_saving_and_loading_gives_the_same(record: SpreadData, tmp_path: Path) -> None:
    again = SpreadData.load(record.save(tmp_path / "new" / "folder"))
    pd.testing.assert_frame_equal(record.exposures, again.exposures)
    pd.testing.assert_frame_equal(record.counts, again.counts)
    pd.testing.assert_frame_equal(record.agents, again.agents)
    assert again.info == record.info
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [
        "agents.parquet",
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
    def refused(folder: Path) -> Path:
        with pytest.raises(InputFileError) as caught:
            SpreadData.load(folder)
        return caught.value.path

    manifest = tmp_path / "manifest.json"
    assert refused(tmp_path) == manifest
    for text in ("{}", "[]", "junk"):
        manifest.write_text(text)
        assert refused(tmp_path) == manifest
    saved = record.save(tmp_path / "saved")
    (saved / "counts.parquet").write_bytes(b"junk")
    assert refused(saved) == saved / "counts.parquet"
    record.save(saved, force=True)
    record.counts.iloc[:3].to_parquet(saved / "counts.parquet")
    assert refused(saved) == saved / "counts.parquet"


def rewrite(folder: Path, name: str, table: pd.DataFrame) -> None:
    """Write another table into a saved record, and its length into the manifest."""
    table.to_parquet(folder / f"{name}.parquet", index=False)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["rows"][name] = len(table)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def edited(table: pd.DataFrame, column: str, row: int, value: object) -> pd.DataFrame:
    """Give a copy of a table with another value in one place."""
    table = table.copy()
    table.loc[row, column] = value
    return table


@pytest.mark.parametrize(
    ("name", "edit", "column"),
    [
        ("exposures", lambda t: edited(t, "run", 0, 9), "run"),
        ("exposures", lambda t: edited(t, "agent", 0, -1), "agent"),
        ("exposures", lambda t: edited(t, "step", 0, 99), "step"),
        ("exposures", lambda t: edited(t, "outcome", 0, "no"), "outcome"),
        ("exposures", lambda t: t.drop(columns="profile"), "profile"),
        ("exposures", lambda t: t.assign(step=t["step"] + 0.5), "step"),
        ("exposures", lambda t: pd.concat([t, t.iloc[:1]]), None),
        ("counts", lambda t: edited(t, "run", 0, -1), "run"),
        ("counts", lambda t: edited(t, "infected", 0, -3), "infected"),
        ("counts", lambda t: t.assign(failed=0.5), "failed"),
        ("counts", lambda t: pd.concat([t, t.iloc[:1]]), None),
        ("counts", lambda t: t.drop(3), "step"),
        ("agents", lambda t: edited(t, "run", 0, 9), "run"),
        ("agents", lambda t: pd.concat([t, t.iloc[:1]]), None),
    ],
)
def test_tables_that_do_not_fit_together(
    record: SpreadData, tmp_path: Path, name: str, edit: Any, column: str | None
) -> None:
    folder = record.save(tmp_path / "record")
    rewrite(folder, name, edit(getattr(record, name)))
    with pytest.raises(InputFileError) as caught:
        SpreadData.load(folder)
    assert caught.value.path == folder / f"{name}.parquet"
    assert caught.value.column == column


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 5},
        {"rows": {}},
        {"runs": []},
        {"runs": {}},
        {"runs": [1]},
        {"shared": 5},
        {"format": "3"},
        {"shared": {"n": -1}},
        {"shared": {"degrees": 5}},
        {"runs": [{"run": 0, "events": [5]}]},
    ],
)
def test_a_manifest_that_is_damaged(
    record: SpreadData, tmp_path: Path, change: dict[str, Any]
) -> None:
    path = record.save(tmp_path / "record") / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputFileError) as caught:
        SpreadData.load(tmp_path / "record")
    assert caught.value.path == path


def test_a_path_is_checked_and_the_home_folder_known(
    record: SpreadData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for use in (record.save, SpreadData.load):
        with pytest.raises(ArgumentTypeError) as caught:
            use(5)  # type: ignore[operator]
        assert (caught.value.argument, caught.value.value) == ("folder", 5)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert record.save("~/x") == tmp_path / "x"
    assert SpreadData.load("~/x").runs == record.runs


def test_formats_are_told_apart(record: SpreadData, tmp_path: Path) -> None:
    folder = record.save(tmp_path / "record")
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    assert manifest.pop("format") == FORMAT
    path.write_text(json.dumps({**manifest, "format": FORMAT + 1}))
    with pytest.raises(InputFileError) as caught:
        SpreadData.load(folder)
    assert caught.value.path == path
    assert {str(FORMAT), f"{FORMAT + 1},"} <= set(caught.value.problem.replace(":", "").split())


# Nothing is overwritten


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_that_holds_something_is_left_alone(record: SpreadData, tmp_path: Path) -> None:
    folder = record.save(tmp_path / "record")
    (folder / "report.html").write_text("of the first run")
    before = contents(tmp_path)
    with pytest.raises(OutputError) as caught:
        record.select([0]).save(folder)
    assert caught.value.path == folder
    assert "force=True" in caught.value.problem
    assert contents(tmp_path) == before
    record.select([0]).save(folder, force=True)
    assert SpreadData.load(folder).runs == [0]
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "agents.parquet",
        "counts.parquet",
        "exposures.parquet",
        "manifest.json",
        "record",
    ]


def test_force_removes_only_records(
    record: SpreadData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "manifest.json").write_text('{"name": "an app"}')
    around = record.save(tmp_path / "around")
    record.save(around / "inner")
    with DecisionStore(record.save(tmp_path / "calls") / "calls.db") as store:
        store.reserve(0.0)
    monkeypatch.setenv("HOME", str(record.save(tmp_path / "home")))
    monkeypatch.chdir(record.save(tmp_path / "here"))
    before = contents(tmp_path)
    for folder, part in (
        (notes, "manifest.json"),
        (around, "inner"),
        (tmp_path / "calls", "calls.db"),
        (Path.home(), "home"),
        (Path("."), "current"),
        (Path("/"), "current"),
        (tmp_path, "current"),
    ):
        with pytest.raises(OutputError) as caught:
            record.save(folder, force=True)
        assert caught.value.path == folder
        assert part in caught.value.problem
    assert contents(tmp_path) == before


def test_a_link_to_a_folder_is_followed(record: SpreadData, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    record.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert SpreadData.load(tmp_path / "real").runs == [0, 1, 2]


def test_a_save_that_fails_leaves_what_was_there(record: SpreadData, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    folder = record.save(tmp_path / "record")
    before = contents(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As on a full disk: the largest file does not fit.
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(map(len, before.values())) - 1, hard))
    try:
        for where in (folder, tmp_path / "new"):
            with pytest.raises(OutputError) as caught:
                record.save(where, force=True)
            assert caught.value.problem == "File too large"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["record"]


def test_a_folder_that_cannot_be_written(record: SpreadData, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError) as caught:
            record.save(folder)
        assert caught.value.path == folder


@pytest.mark.skipif(os.name == "nt", reason="file modes are those of POSIX")
def test_files_can_be_read_by_others(record: SpreadData, tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        record.save(tmp_path)
    finally:
        os.umask(umask)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}


def test_bad_tables_are_refused(record: SpreadData) -> None:
    exposures, counts, info = record.exposures, record.counts, record.info
    wrong: list[tuple[Any, Any, Any, str]] = [
        (exposures.drop(columns="outcome"), counts, info, "exposures"),
        (exposures.assign(outcome="no"), counts, info, "exposures['outcome']"),
        (exposures, [1, 2], info, "counts"),
        (exposures, counts, 5, "info"),
        (exposures, counts, {0: {"n": 20}}, "info[0]"),
    ]
    for *tables, argument in wrong:
        with pytest.raises((ArgumentError, ArgumentTypeError)) as caught:
            SpreadData(*tables)
        assert caught.value.argument == argument
    with pytest.raises(ArgumentError):
        concat([])


@pytest.mark.parametrize(
    ("function", "values"),
    [
        (concat, [5, "runs", [1], None]),
        (SpreadData.from_model, [None, 5, "model", SpreadModel, mesa.Model()]),
        (SpreadData.from_batch_run, [5, None, "rows", [5]]),
    ],
)
def test_values_of_other_kinds_are_refused(function: Any, values: list[Any]) -> None:
    for wrong in values:
        with pytest.raises(ArgumentTypeError):
            function(wrong)


def test_rows_without_a_record_are_refused() -> None:
    with pytest.raises(ArgumentError) as caught:
        SpreadData.from_batch_run([{"RunId": 0, "Step": 1}])
    assert caught.value.argument == "rows[0]"


def test_records_may_come_from_a_generator(record: SpreadData) -> None:
    with pytest.raises(ArgumentTypeError):
        concat(record)  # type: ignore[arg-type]
    assert concat(part for part in (record, record)).runs == list(range(6))  # type: ignore[arg-type]


def test_the_columns_are_documented() -> None:
    for columns in SCHEMA.values():
        for column in columns:
            assert f"``{column.name}``: {column.meaning};" in (SpreadData.__doc__ or "")
