"""Sweeps that go on: resumed, grown, killed, and with a disk that is full."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from pandas.testing import assert_frame_equal
from sweeps import SMALL, assert_same_results, small_design, under_way

from mesa_llmspread import SpreadData, SpreadModel
from mesa_llmspread.exceptions import ArgumentError, InputFileError, OutputError
from mesa_llmspread.sweep import Design, Sweep, load, resume, run
from mesa_llmspread.tables import DEFAULT_TABLE, ResponseTable, load_table


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """The small design, done in this process."""
    return run(small_design(), tmp_path_factory.mktemp("small"), backend="sequential")


def contents(sweep: Sweep) -> dict[Path, bytes]:
    """Read all files of the runs that are done."""
    files = [file for run in sweep.done for file in sweep.file(run).iterdir()]
    return {file.relative_to(sweep.path): file.read_bytes() for file in files}


def test_only_what_is_missing_is_done_again(small: Sweep, tmp_path: Path) -> None:
    first = run(small_design(), tmp_path, backend="sequential")
    untouched = first.file(0).stat().st_mtime_ns
    shutil.rmtree(first.file(3))
    counts = first.file(4) / "counts.parquet"
    counts.write_bytes(counts.read_bytes()[:1000])
    shutil.rmtree(first.file(6))
    shutil.copytree(first.file(7), first.file(6))
    (tmp_path / "runs" / ".run-000003.left").mkdir()
    (tmp_path / "runs" / ".run-000003.left" / "counts.parquet").write_bytes(b"half")
    (tmp_path / "failures" / ".run-000003.json.left").write_bytes(b"half")
    states = load(tmp_path).runs["status"].tolist()
    assert states == ["done"] * 3 + ["missing", "damaged", "done", "damaged", "done"]
    again = resume(tmp_path, backend="sequential")
    assert_same_results(small, again)
    assert again.file(0).stat().st_mtime_ns == untouched
    assert not list(tmp_path.rglob(".run-*"))


def test_a_sweep_can_get_more_replicates(tmp_path: Path) -> None:
    first = run(small_design(1), tmp_path, backend="sequential")
    before = first.file(0).stat().st_mtime_ns
    more = run(small_design(2), tmp_path, backend="sequential")
    assert len(more.done) == 8
    assert more.file(0).stat().st_mtime_ns == before


def test_a_sweep_can_get_more_values(tmp_path: Path) -> None:
    first = run(small_design(1), tmp_path, backend="sequential")
    before = contents(first)
    larger = Design({**SMALL, "k": [2, 4, 6], "beta": [0.2, 0.05]}, 2, rng=3)
    more = run(larger, tmp_path, backend="sequential")
    assert len(more.done) == 12
    assert contents(more).items() >= before.items()
    assert_frame_equal(more.runs.head(4), first.runs)
    counted = more.runs.groupby(["k", "beta"]).agg({"replicate": sorted, "cell": "nunique"})
    assert counted["replicate"].tolist() == [[0, 1]] * 6
    assert (counted["cell"] == 1).all()
    assert more.runs["rng"].is_unique
    assert more.runs["run"].tolist() == list(range(12))
    assert set(more.counts.query("k == 2")["run"]) == set(more.runs.query("k == 2")["run"])
    again = run(larger, tmp_path, backend="sequential")
    assert_frame_equal(again.runs, more.runs)
    assert_frame_equal(load(tmp_path).runs, more.runs)
    most = run(Design({**SMALL, "k": [2, 4, 6]}, 3, rng=3), tmp_path, backend="sequential")
    assert len(most.done) == 18
    assert_frame_equal(most.runs.head(12), more.runs)
    for design in (small_design(3), Design({"n": 60}, 3, rng=3)):
        with pytest.raises(ArgumentError) as caught:
            run(design, tmp_path, backend="sequential")
        assert caught.value.argument == "out"


def test_a_sample_can_get_more_points(tmp_path: Path) -> None:
    pytest.importorskip("SALib")
    ranges = {"n": 40, "k": (2, 6), "decider": "SI({beta})", "beta": (0.01, 0.2)}
    how = {"backend": "sequential", "engine": "compiled", "steps": 5}
    run(Design.saltelli(ranges, points=2, rng=1), tmp_path, **how)
    larger = Design.saltelli(ranges, points=4, rng=1)
    more = run(larger, tmp_path, **how)
    assert len(more.done) == 16
    assert_frame_equal(more.design.cells, larger.cells)


def test_a_seed_that_was_not_given_is_that_of_the_folder(tmp_path: Path) -> None:
    design = {"n": 40, "decider": ["SI(0.1)", "SI(0.2)"]}
    first = run(Design(design), tmp_path, backend="sequential")
    shutil.rmtree(first.file(1))
    again = run(Design(design, replicates=2), tmp_path, backend="sequential")
    assert again.design.seed == first.design.seed
    assert_frame_equal(again.runs.head(2), first.runs)
    assert len(again.done) == 4


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    notes, record = tmp_path / "notes", tmp_path / "record"
    notes.mkdir()
    (notes / "design.parquet").write_text("mine")
    SpreadData.from_model(SpreadModel(n=20, k=4, rng=1).run(2)).save(record)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    with pytest.raises(OutputError) as refused:
        run(small_design(), notes, backend="sequential")
    assert refused.value.path == notes
    with pytest.raises(InputFileError) as unread:
        run(small_design(), record, backend="sequential")
    assert unread.value.path == record / "manifest.json"
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


@pytest.mark.parametrize(
    ("design", "options", "word"),
    [
        (Design(SMALL, 2, rng=4), {}, "rng is 3 there and 4 here"),
        (Design({**SMALL, "k": [4, 8]}, 2, rng=3), {}, "other cells"),
        (Design(SMALL, 1, rng=3), {}, "2 replicates there"),
        (Design(SMALL, 2, rng=3), {"steps": 7}, "steps is 50 there and 7 here"),
    ],
)
def test_a_folder_keeps_one_sweep(
    small: Sweep, design: Design, options: dict[str, Any], word: str
) -> None:
    with pytest.raises(ArgumentError) as caught:
        run(design, small.path, backend="sequential", **options)
    assert caught.value.argument == "out"
    assert word in caught.value.allowed  # the difference
    assert len(load(small.path).done) == 8


def test_a_sweep_goes_on_with_the_same_tables_only(tmp_path: Path) -> None:
    """Else runs of two models would be one cell's."""
    table = load_table(DEFAULT_TABLE)
    saved = table.save(tmp_path / "mine")
    cells = {"n": [40], "k": [4], "decider": [f"table('{saved}')"]}
    run(Design(cells, 1, rng=3), tmp_path / "sweep", backend="sequential", steps=2)
    ResponseTable(table.frame.assign(p=0.5), table.events).save(saved, force=True)
    with pytest.raises(ArgumentError) as caught:
        run(Design(cells, 2, rng=3), tmp_path / "sweep", backend="sequential", steps=2)
    assert "was another table there" in caught.value.allowed
    table.save(saved, force=True)
    again = run(Design(cells, 2, rng=3), tmp_path / "sweep", backend="sequential", steps=2)
    assert len(again.done) == 2


@pytest.mark.parametrize("content", [None, "{}", "not json"])
def test_a_folder_of_something_else_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(InputFileError) as caught:
        load(tmp_path)
    assert caught.value.path == tmp_path / "manifest.json"


def test_a_sweep_of_an_earlier_format_is_refused(small: Sweep, tmp_path: Path) -> None:
    old = shutil.copytree(small.path, tmp_path / "old")
    manifest = json.loads((old / "manifest.json").read_text())
    del manifest["format"]
    (old / "manifest.json").write_text(json.dumps(manifest))
    for go_on in (load, resume, lambda out: run(small_design(), out)):
        with pytest.raises(InputFileError) as caught:
            go_on(old)
        assert caught.value.path == old / "manifest.json"


SCRIPT = """
from mesa_llmspread.sweep import Design, run
if __name__ == "__main__":
    design = Design({"n": 600, "k": 6, "decider": ["SI(0.02)", "SI(0.03)"]}, replicates=30, rng=5)
    run(design, OUT, n_jobs=2)
"""


def long_design() -> Design:
    return Design({"n": 600, "k": 6, "decider": ["SI(0.02)", "SI(0.03)"]}, replicates=30, rng=5)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return run(long_design(), tmp_path_factory.mktemp("undisturbed"), n_jobs=2)


def command_of(script: Path, out: Path) -> list[object]:
    """Write the long sweep as a script, and return the command that starts it."""
    script.write_text(SCRIPT.replace("OUT", repr(str(out))))
    return [sys.executable, script]


@pytest.mark.slow
def test_a_killed_worker_ends_the_sweep_which_is_resumed(
    undisturbed: Sweep, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with under_way(out, command_of(tmp_path / "sweep.py", out)) as process:
        children = psutil.Process(process.pid).children(recursive=True)
        workers = [child for child in children if "popen_loky" in " ".join(child.cmdline())]
        workers[0].kill()
        _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "WorkerLostError" in errors
    assert 4 <= len(load(out).done) < len(long_design())
    assert_same_results(undisturbed, resume(out, n_jobs=2))


DEADLY = """
import os
from mesa_llmspread import SpreadModel
from mesa_llmspread.exceptions import WorkerLostError
from mesa_llmspread.sweep import Design, load, resume, run


class Deadly(SpreadModel):
    def __init__(self, kills=False, **settings):
        if kills and not os.path.exists("cured"):
            os.kill(os.getpid(), 9)
        super().__init__(n=60, decider="SI(0.2)", **settings)


if __name__ == "__main__":
    design = Design({"kills": [False] * 4 + [True] + [False] * 4}, rng=1, model=Deadly)
    try:
        run(design, "out", n_jobs=2)
    except WorkerLostError as error:
        assert 4 in error.runs
        assert load("out").runs["status"][4] == "missing"
        assert not set(error.runs) & set(load("out").done)
    open("cured", "w").close()
    print(len(resume("out", n_jobs=2).done))
"""


@pytest.mark.slow
def test_a_run_that_kills_its_worker_is_named(tmp_path: Path) -> None:
    (tmp_path / "sweep.py").write_text(DEADLY)
    command = [sys.executable, "sweep.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=250)
    assert done.stdout.split() == ["9"], done.stderr


@pytest.mark.slow
def test_a_killed_parent_loses_only_what_was_under_way(undisturbed: Sweep, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with under_way(out, command_of(tmp_path / "sweep.py", out)) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
    broken = load(out)
    done = broken.done
    assert 4 <= len(done) < 60
    kept = undisturbed.counts
    assert_frame_equal(broken.counts, kept[kept["run"].isin(done)].reset_index(drop=True))
    before = {run: broken.file(run).stat().st_mtime_ns for run in done}
    again = run(long_design(), out, n_jobs=2)
    assert_same_results(undisturbed, again)
    assert {run: again.file(run).stat().st_mtime_ns for run in done} == before


def test_a_file_that_cannot_be_written_leaves_no_half_record(tmp_path: Path) -> None:
    out, parameters = tmp_path / "out", {"n": [20, 30, 2000, 40], "decider": "SI(0.3)"}
    whole = run(Design(parameters, rng=1), tmp_path / "whole", backend="sequential")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As on a full disk: the third run's decisions do not fit.
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OutputError) as caught:
            run(Design(parameters, rng=1), out, backend="sequential")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.problem == "File too large"
    assert load(out).runs["status"].tolist() == ["done", "done", "missing", "missing"]
    assert sorted(path.name for path in (out / "runs").iterdir()) == ["run-000000", "run-000001"]
    assert_same_results(whole, resume(out, backend="sequential"))


def test_a_folder_that_cannot_be_written_stops_the_sweep(small: Sweep, tmp_path: Path) -> None:
    run(small_design(1), tmp_path, backend="sequential")
    (tmp_path / "runs").rename(tmp_path / "kept")
    (tmp_path / "runs").write_text("in the way")
    with pytest.raises(OutputError) as caught:
        run(small_design(), tmp_path, backend="sequential")
    assert caught.value.path == tmp_path / "runs"
    (tmp_path / "runs").unlink()
    (tmp_path / "kept").rename(tmp_path / "runs")
    assert load(tmp_path).runs["status"].tolist() == ["done"] * 4
    assert_same_results(small, run(small_design(), tmp_path, backend="sequential"))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError) as caught:
        run(small_design(), tmp_path / "file" / "out", backend="sequential")
    assert caught.value.path == tmp_path / "file" / "out"
