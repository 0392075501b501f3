"""Sweeps: what a design may hold, results on disk, resuming, kill drills, and reading them."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mesa
import numpy as np
import pandas as pd
import psutil
import pyarrow.compute as pc
import pytest
import typer
from mesa.batchrunner import batch_run
from pandas.testing import assert_frame_equal
from servers import ScriptedServer
from typer.testing import CliRunner

from mesa_llmspread import SpreadData, SpreadModel, TraitDecider, concat
from mesa_llmspread.cli.sweep import sweep_command
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    DesignError,
    InputFileError,
    MissingKeyError,
    OutputError,
    RunError,
    UnknownNameError,
    WorkerLostError,
)
from mesa_llmspread.sweep import (
    Design,
    Sweep,
    fit_cells,
    load,
    resume,
    run,
    sensitivity,
)
from mesa_llmspread.sweep.engines import Job, perform, unsettle
from mesa_llmspread.sweep.figures import plot_heatmap, plot_rates
from mesa_llmspread.sweep.workers import outcomes_of
from models.sweep.batch import app as batch_example

SMALL = {"n": 60, "k": [4, 6], "decider": "SI({beta})", "beta": [0.05, 0.2]}


def small_design(replicates: int = 2) -> Design:
    return Design(SMALL, replicates=replicates, rng=3)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """The small design, done in this process."""
    return run(small_design(), tmp_path_factory.mktemp("small"), backend="sequential")


def assert_same_results(one: Sweep, other: Sweep) -> None:
    assert_frame_equal(one.runs, other.runs)
    assert_frame_equal(one.frame(), other.frame())


# Mesa's own batch_run


def batch(processes: int) -> list[dict[str, Any]]:
    """Four runs of 20 steps at most by Mesa's own means, which differ between its versions."""
    parameters: dict[str, Any] = {"n": 60, "k": [4, 6], "decider": "SI(0.2)"}
    options: dict[str, Any] = {"number_processes": processes, "display_progress": False}
    if mesa.__version__ >= "3.5":
        options["rng"] = [1, 2]
    else:
        parameters["rng"] = [1, 2]
    return batch_run(SpreadModel, parameters, max_steps=200, **options)


@pytest.mark.parametrize("processes", [1, 2])
def test_batch_run_carries_counts_and_exposures(processes: int) -> None:
    rows = batch(processes)
    found = SpreadData.from_batch_run(rows)
    settings = {row["RunId"]: (row["k"], row["rng"]) for row in rows}
    models = [
        SpreadModel(n=60, k=k, decider="SI(0.2)", rng=rng).run(200)
        for _, (k, rng) in sorted(settings.items())
    ]
    wanted = concat([SpreadData.from_model(model) for model in models])
    assert_frame_equal(found.exposures, wanted.exposures)
    assert_frame_equal(found.counts, wanted.counts)
    assert found.info == wanted.info
    assert {"Infected", "Exposures"} <= set(rows[0])


def test_batch_run_rows_of_every_step_share_one_record() -> None:
    rows = batch_run(
        SpreadModel, {"n": 60, "rng": 1}, data_collection_period=1, display_progress=False
    )
    assert len(rows) > 3
    assert SpreadData.from_batch_run(rows).runs == [0]
    assert len({id(row["Record"]) for row in rows}) == 1


def test_the_example_of_batch_run_runs() -> None:
    result = CliRunner().invoke(batch_example, ["--n", "60", "--processes", "1"])
    assert result.exit_code == 0, result.exception
    assert [line.partition(":")[0] for line in result.stdout.splitlines()] == [
        f"k={k}, {law}" for k in (4, 8) for law in ("SI(0.05)", "FirstRepeat(0.2, 0.04)")
    ]


def test_frames_of_the_collector_leave_the_record_out() -> None:
    frame = SpreadModel(n=20, k=4, rng=1).datacollector.get_model_vars_dataframe()
    assert list(frame) == ["Susceptible", "Infected", "NewInfected", "Exposures", "Failed"]


@pytest.mark.parametrize("rows", [[], [{"RunId": 0, "Infected": 3}]])
def test_rows_of_something_else_are_refused(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(ArgumentError):
        SpreadData.from_batch_run(rows)


# Designs


def test_a_factorial_design_has_every_combination_times_replicates() -> None:
    design = Design({"k": [4, 8], "decider": ["SI(0.1)", "traits"], "n": 100}, 3, rng=1)
    table = design.table
    assert len(design) == len(table) == 12
    assert table["run"].tolist() == list(range(12))
    assert set(zip(table["k"], table["decider"], table["n"], strict=True)) == {
        (k, decider, 100) for k in (4, 8) for decider in ("SI(0.1)", "traits")
    }
    assert table.groupby("cell")["replicate"].apply(list).tolist() == [[0, 1, 2]] * 4
    assert table["rng"].is_unique


def test_more_replicates_leave_the_first_runs_as_they_are() -> None:
    few, many = small_design(2).table, small_design(5).table
    assert_frame_equal(few, many.head(len(few)))


def test_a_frame_of_rows_is_a_design() -> None:
    rows = pd.DataFrame({"k": [4, 6, 8], "n": [50, 60, 70]})
    assert_frame_equal(Design(rows, rng=1).cells, rows)


def test_a_mix_of_profiles_is_a_factor(tmp_path: Path) -> None:
    mixes = ["uniform", {"OCEAN": 0.5, "ocean": 0.5}]
    design = Design({"n": 40, "population": mixes, "decider": "SI(0.5)"}, rng=1)
    sweep = run(design, tmp_path, backend="sequential", steps=3)
    assert set(sweep.exposures.query("cell == 1")["profile"]) == {"OCEAN", "ocean"}


def test_samples_cover_their_ranges() -> None:
    ranges = {
        "k": (4, 7),
        "beta": (0.1, 0.3),
        "decider": "SI({beta})",
        "feed": ["new", "persistent"],
    }
    for design in (
        Design.latin_hypercube(ranges, 32, rng=1),
        Design.sobol(ranges, 32, rng=1),
        Design.saltelli(ranges, 8, rng=1),
    ):
        cells = design.cells
        assert sorted(cells["k"].unique()) == [4, 5, 6, 7]
        assert cells["beta"].between(0.1, 0.3).all()
        assert set(cells["feed"]) == {"new", "persistent"}
        assert set(cells["decider"]) == {"SI({beta})"}
    assert len(Design.saltelli(ranges, 8, rng=1)) == 8 * (3 + 2)
    quarters = np.floor((Design.latin_hypercube(ranges, 32, rng=1).cells["beta"] - 0.1) / 0.2 * 32)
    assert sorted(quarters) == list(range(32))


def test_samples_repeat_with_the_seed() -> None:
    ranges = {"beta": (0.1, 0.3), "decider": "SI({beta})"}
    assert_frame_equal(Design.sobol(ranges, 8, rng=1).table, Design.sobol(ranges, 8, rng=1).table)
    assert not Design.sobol(ranges, 8, rng=1).cells.equals(Design.sobol(ranges, 8, rng=2).cells)


def test_all_problems_of_a_design_are_named_at_once() -> None:
    bad = {
        "degree": [4],
        "k": [],
        "n": [100, "many"],
        "decider": ["SI(2)", "nobody"],
        "media_prob": 2,
        "network": "random_reglar",
        "rng": [1],
    }
    with pytest.raises(DesignError) as caught:
        Design(bad)
    message = str(caught.value)
    for part in (
        "degree: is no argument of the model",
        "k: has no value",
        "item 1, n: mixes kinds: 'many'",
        "beta=2: must be a probability",
        "decider='nobody'",
        "media_prob=2",
        "did you mean 'random_regular'",
        "rng: is no parameter's name",
    ):
        assert part in message
    assert len(caught.value.problems) == 8


def test_problems_of_rows_name_the_row_and_argument() -> None:
    rows = pd.DataFrame(
        {
            "k": [4, 7, 8],
            "n": [100, 101, 100],
            "initial_infected": [10, 10, 101],
            "feed": ["new", "persistent", None],
            "decider": ["SI({beta})", "SI({gamma})", "traits"],
            "beta": [1.5, 0.1, 0.1],
        }
    )
    with pytest.raises(DesignError) as caught:
        Design(rows)
    found = {(problem.where, problem.argument) for problem in caught.value.problems}
    assert found == {
        ("row 1", "k"),
        ("row 2", "initial_infected"),
        ("row 2", "feed"),
        ("row 0", "beta"),
        ("", "decider"),
    }


def test_the_same_problem_in_many_rows_is_named_once() -> None:
    with pytest.raises(DesignError, match=r"row 0 and 2 more, feed='old'"):
        Design({"feed": ["old"], "k": [4, 6, 8]})


@pytest.mark.parametrize(
    "make",
    [
        lambda: Design({}),
        lambda: Design({"k": [None]}),
        lambda: Design({"k": [object()]}),
        lambda: Design({"population": [{"OCEAN": 0.4}]}),
        lambda: Design({"k": 4}, replicates=0),
        lambda: Design.sobol({"k": (4, 8)}, 12),
        lambda: Design.latin_hypercube({"k": (8, 4)}, 12),
        lambda: Design.latin_hypercube({"k": 8}, 12),
    ],
)
def test_other_bad_designs(make: Callable[[], Design]) -> None:
    with pytest.raises(ArgumentError):
        make()


def test_parameters_of_another_kind_are_refused() -> None:
    with pytest.raises(ArgumentTypeError):
        Design([4, 8])  # type: ignore[arg-type]


# Doing the runs


def test_results_do_not_depend_on_the_backend(small: Sweep, tmp_path: Path) -> None:
    assert_same_results(small, run(small_design(), tmp_path, n_jobs=2))


def test_the_garbage_collector_is_left_as_it_was(small: Sweep, tmp_path: Path) -> None:
    before = gc.get_threshold()
    run(Design({"n": 20}, rng=1), tmp_path, backend="sequential")
    assert gc.get_threshold() == before


def test_a_model_is_gone_when_its_run_is_over() -> None:
    def models() -> set[int]:
        return {id(thing) for thing in gc.get_objects() if isinstance(thing, SpreadModel)}

    # Those of other tests may go, and do so whenever the collector comes by.
    before = models()
    gc.disable()
    try:
        for seed in (1, 2):
            perform(Job(0, {"n": 50, "k": 4, "decider": "SI(0.2)"}, seed, 9, "mesa"), None)
        assert not models() - before
    finally:
        gc.enable()
        unsettle()


def test_a_run_is_the_model_with_its_seed(small: Sweep) -> None:
    row = small.runs.iloc[5]
    model = SpreadModel(n=60, k=row["k"], decider=f"SI({row['beta']})", rng=row["rng"]).run(50)
    alone = SpreadData.from_model(model)
    found = small.data([5])
    assert_frame_equal(found.exposures, alone.exposures.assign(run=5))
    assert_frame_equal(found.counts, alone.counts.assign(run=5))
    assert found.info[5] == alone.info[0]


def test_the_manifest_says_what_was_run(small: Sweep) -> None:
    manifest = json.loads((small.path / "manifest.json").read_text())
    assert manifest["design"]["seed"] == 3
    assert manifest["design"]["origin"] == {"kind": "factorial"}
    assert (manifest["engine"], manifest["steps"]) == ("mesa", 50)
    assert manifest["versions"]["mesa"] == mesa.__version__
    assert {"python", "mesa_llmspread", "numpy"} <= set(manifest["versions"])
    assert manifest["git"] is None or len(manifest["git"]) >= 40
    written = pd.read_parquet(small.path / "design.parquet")
    assert_frame_equal(written, small_design().table)


def test_only_what_is_missing_is_done_again(small: Sweep, tmp_path: Path) -> None:
    first = run(small_design(), tmp_path, backend="sequential")
    untouched = first.file(0).stat().st_mtime_ns
    first.file(3).unlink()
    first.file(4).write_bytes(first.file(4).read_bytes()[:1000])
    first.file(6).write_bytes(first.file(7).read_bytes())
    (tmp_path / "runs" / ".run-000003.parquet.left").write_bytes(b"half")
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
    before = {run: first.file(run).read_bytes() for run in first.done}
    larger = Design({**SMALL, "k": [2, 4, 6], "beta": [0.2, 0.05]}, 2, rng=3)
    more = run(larger, tmp_path, backend="sequential")
    assert len(more.done) == 12
    assert {run: more.file(run).read_bytes() for run in before} == before
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
    with pytest.raises(ArgumentError, match="other cells there: 2 of 6 are not in this one"):
        run(small_design(3), tmp_path, backend="sequential")
    with pytest.raises(ArgumentError, match=r"other parameters there \(n, k, decider, beta\)"):
        run(Design({"n": 60}, 3, rng=3), tmp_path, backend="sequential")


def test_a_sample_can_get_more_points(tmp_path: Path) -> None:
    ranges = {"n": 40, "k": (2, 6), "decider": "SI({beta})", "beta": (0.01, 0.2)}
    how = {"backend": "sequential", "engine": "ensemble", "steps": 5}
    run(Design.saltelli(ranges, points=2, rng=1), tmp_path, **how)
    larger = Design.saltelli(ranges, points=4, rng=1)
    more = run(larger, tmp_path, **how)
    assert len(more.done) == 16
    assert_frame_equal(more.design.cells, larger.cells)


def test_a_seed_that_was_not_given_is_that_of_the_folder(tmp_path: Path) -> None:
    design = {"n": 40, "decider": ["SI(0.1)", "SI(0.2)"]}
    first = run(Design(design), tmp_path, backend="sequential")
    first.file(1).unlink()
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
    with pytest.raises(OutputError, match="holds something that is no sweep"):
        run(small_design(), notes, backend="sequential")
    with pytest.raises(InputFileError, match="not the manifest of a sweep"):
        run(small_design(), record, backend="sequential")
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
    with pytest.raises(ArgumentError, match=word):
        run(design, small.path, backend="sequential", **options)
    assert len(load(small.path).done) == 8


@pytest.mark.parametrize("content", [None, "{}", "not json"])
def test_a_folder_of_something_else_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(InputFileError, match=r"manifest\.json"):
        load(tmp_path)


@pytest.mark.parametrize(
    "options",
    [{"backend": "ray"}, {"engine": "fast"}, {"on_error": "skip"}, {"progress": "no"}],
)
def test_unknown_choices(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UnknownNameError):
        run(small_design(), tmp_path, **options)


@pytest.mark.parametrize("n_jobs", [0, True, 1.5])
def test_a_number_of_processes_is_checked(tmp_path: Path, n_jobs: Any) -> None:
    with pytest.raises(ArgumentError, match="n_jobs"):
        run(small_design(), tmp_path / "out", n_jobs=n_jobs)
    assert not (tmp_path / "out").exists()


def test_a_decider_that_cannot_answer_is_reported_before_any_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def keyless(decider: TraitDecider) -> None:
        asked.append(decider)
        raise MissingKeyError("acme/one", ["ACME_KEY"])

    monkeypatch.setattr(TraitDecider, "check", keyless)
    design = Design({"n": 20, "decider": ["SI(0.1)", "traits"], "k": [4, 6]}, 3, rng=1)
    with pytest.raises(DesignError, match=r"row 2 and 1 more, decider: .* ACME_KEY"):
        run(design, tmp_path / "out", backend="sequential")
    assert len(asked) == 1
    assert not (tmp_path / "out").exists()


@pytest.fixture
def one_bad_run(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Make run 2 of the small design raise."""
    bad = int(small_design().table["rng"][2])
    whole = SpreadModel.run

    def fragile(model: SpreadModel, steps: int) -> SpreadModel:
        if model.streams.seed == bad:
            raise ZeroDivisionError("no luck")
        return whole(model, steps)

    monkeypatch.setattr(SpreadModel, "run", fragile)
    yield 2
    monkeypatch.undo()


def test_a_run_that_raises_is_recorded_and_done_again(
    small: Sweep, tmp_path: Path, one_bad_run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(small_design(), tmp_path, backend="sequential")
    assert first.runs["status"].tolist() == ["done"] * 2 + ["failed"] + ["done"] * 5
    assert first.runs["error"][one_bad_run] == "ZeroDivisionError: no luck"
    kept = json.loads((tmp_path / "failures" / "run-000002.json").read_text())
    assert "fragile" in kept["traceback"]
    assert one_bad_run not in first.counts["run"].to_numpy()
    monkeypatch.undo()
    again = run(small_design(), tmp_path, backend="sequential")
    assert_same_results(small, again)
    assert not list((tmp_path / "failures").iterdir())


def test_a_run_that_raises_can_stop_all(tmp_path: Path, one_bad_run: int) -> None:
    with pytest.raises(
        RunError, match=r"run 2 \(n=60, k=6.*beta=0\.05\): ZeroDivisionError"
    ) as caught:
        run(small_design(), tmp_path, backend="sequential", on_error="raise")
    assert caught.value.cell == {"n": 60, "k": 6, "decider": "SI({beta})", "beta": 0.05}
    states = load(tmp_path).runs["status"].tolist()
    assert states == ["done", "done", "failed"] + ["missing"] * 5


def test_a_language_model_is_a_decider_like_any_other(
    tmp_path: Path, scripted_server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-key")
    monkeypatch.setenv("OPENAI_API_BASE", scripted_server.api_base)
    design = Design({"n": 20, "k": 4, "decider": ["llm:openai/tiny", "SI(1.0)"]}, rng=1)
    sweep = run(design, tmp_path, backend="sequential")
    assert sweep.outcomes()["final"].tolist() == [1, 1]
    decided = sweep.exposures.query("run == 0")
    assert len(decided) == len(scripted_server.requests)
    assert (decided["key"] != "").all()


# Nothing is lost


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


@contextlib.contextmanager
def sweep_under_way(out: Path) -> Iterator[subprocess.Popen[str]]:
    """A sweep in a process of its own, of which some runs are done and some are not."""
    script = out.parent / "sweep.py"
    script.write_text(SCRIPT.replace("OUT", repr(str(out))))
    with subprocess.Popen(
        [sys.executable, str(script)], stderr=subprocess.PIPE, text=True
    ) as process:
        family = [psutil.Process(process.pid)]
        try:
            deadline = time.monotonic() + 120
            while len(list(out.glob("runs/run-*"))) < 4:
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.01)
            family += family[0].children(recursive=True)
            yield process
        finally:
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "popen_loky" in " ".join(child.cmdline())]


@pytest.mark.slow
def test_a_killed_worker_holds_nothing_up(undisturbed: Sweep, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with sweep_under_way(out) as process:
        workers_of(process)[0].kill()
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "RuntimeWarning: a worker died" in errors
    assert_same_results(undisturbed, load(out))


class Deadly(int):
    """A number of agents that kills whoever takes it out of its wrapping."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("__import__('os').kill(__import__('os').getpid(), 9)",)


@pytest.mark.slow
def test_a_run_that_kills_its_workers_is_named_when_all_others_are_done() -> None:
    cells = [{"n": Deadly(60) if run == 1 else 60, "decider": "SI(0.2)"} for run in range(9)]
    jobs = [Job(run, cell, run, 50, "mesa") for run, cell in enumerate(cells)]
    done: list[int] = []
    runs = (outcome.run for outcome in outcomes_of(jobs, "loky", 2, None, None))
    with (
        pytest.warns(RuntimeWarning, match="a worker died"),
        pytest.raises(WorkerLostError) as caught,
    ):
        done.extend(runs)
    assert 1 in caught.value.runs
    assert sorted([*done, *caught.value.runs]) == list(range(9))


@pytest.mark.slow
def test_runs_that_all_kill_their_workers_end_the_sweep() -> None:
    jobs = [Job(run, {"n": Deadly(60), "decider": "SI(0.2)"}, run, 50, "mesa") for run in range(40)]
    with (
        pytest.warns(RuntimeWarning, match="a worker died"),
        pytest.raises(WorkerLostError) as caught,
    ):
        list(outcomes_of(jobs, "loky", 2, None, None))
    assert caught.value.runs


@pytest.mark.slow
def test_a_killed_parent_loses_only_what_was_under_way(undisturbed: Sweep, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with sweep_under_way(out) as process:
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


def test_a_full_disk_leaves_no_half_file(
    small: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    whole, written = os.fdopen, []

    def filling(handle: int, *args: Any, **options: Any) -> Any:
        file = whole(handle, *args, **options)
        written.append(handle)
        if len(written) > 5:  # the design, the manifest and three runs

            class Full:
                def __enter__(self) -> Full:
                    return self

                def __exit__(self, *_: object) -> None:
                    file.close()

                def write(self, content: bytes) -> None:
                    file.write(content[: len(content) // 2])
                    raise OSError(errno.ENOSPC, "No space left on device")

            return Full()
        return file

    monkeypatch.setattr(os, "fdopen", filling)
    with pytest.raises(OutputError, match="No space left on device"):
        run(small_design(), out, backend="sequential")
    monkeypatch.undo()
    assert load(out).runs["status"].tolist() == ["done"] * 3 + ["missing"] * 5
    assert sorted(path.name for path in (out / "runs").iterdir()) == [
        f"run-{run:06d}.parquet" for run in range(3)
    ]
    assert_same_results(small, resume(out, backend="sequential"))


def test_a_limit_on_file_size_leaves_no_half_file(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    design = Design({"n": [20, 2000], "decider": "SI(0.3)"}, rng=1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OutputError, match="File too large"):
            run(design, tmp_path, backend="sequential")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert load(tmp_path).done == [0]
    assert len(list((tmp_path / "runs").iterdir())) == 1
    assert resume(tmp_path, backend="sequential").done == [0, 1]


def test_a_file_that_cannot_be_written_stops_the_sweep(small: Sweep, tmp_path: Path) -> None:
    run(small_design(1), tmp_path, backend="sequential")
    (tmp_path / "runs" / "run-000004.parquet").mkdir()
    with pytest.raises(OutputError, match="run-000004"):
        run(small_design(), tmp_path, backend="sequential")
    (tmp_path / "runs" / "run-000004.parquet").rmdir()
    assert load(tmp_path).runs["status"].tolist() == ["done"] * 4 + ["missing"] * 4
    assert_same_results(small, resume(tmp_path, backend="sequential"))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        run(small_design(), tmp_path / "file" / "out", backend="sequential")


# Reading


def test_tables_carry_the_design(small: Sweep) -> None:
    counts, exposures = small.counts, small.exposures
    for table in (counts, exposures):
        assert {"cell", "replicate", "k", "beta", "rng"} <= set(table)
        assert set(table["run"]) == set(range(8))
    ends = counts.groupby("run").last()
    assert (ends["susceptible"] + ends["infected"] == 60).all()
    assert (exposures.groupby("run").size() == counts.groupby("run")["exposures"].sum()).all()
    frame = small.frame()
    rows = {"counts": len(counts), "exposures": len(exposures), "agents": 8 * 60}
    assert frame["table"].value_counts().to_dict() == rows
    assert {"k", "beta", "infected", "outcome"} <= set(frame)


def test_chunks_give_a_table_piece_by_piece(small: Sweep) -> None:
    pieces = list(small.chunks("exposures", columns=["outcome", "contacts"], runs=3))
    assert [piece["run"].nunique() for piece in pieces] == [3, 3, 2]
    assert list(pieces[0])[:3] == ["run", "outcome", "contacts"]
    whole = pd.concat(pieces, ignore_index=True)
    assert_frame_equal(whole, small.exposures[list(whole)])
    with pytest.raises(UnknownNameError):
        next(small.chunks("exposures", columns=["infected"]))
    with pytest.raises(UnknownNameError):
        next(small.chunks("decisions"))


def test_a_query_of_ones_own(small: Sweep) -> None:
    reposts = small.dataset.to_table(columns=["run"], filter=pc.field("outcome") == "repost")
    assert len(reposts) == small.counts.query("step > 0")["new_infected"].sum()


def test_outcomes_sum_up_runs(small: Sweep) -> None:
    outcomes = small.outcomes().set_index("run")
    of_run = small.counts.query("run == 3")
    assert outcomes["final"][3] == of_run["infected"].iloc[-1] / 60
    assert outcomes["length"][3] == of_run["step"].max()
    assert outcomes["half"][3] == of_run.query("infected >= 30")["step"].min()


def test_an_unfinished_sweep_can_be_read(tmp_path: Path, small: Sweep) -> None:
    sweep = run(small_design(), tmp_path, backend="sequential")
    for number in range(8):
        sweep.file(number).unlink()
    empty = load(tmp_path)
    assert empty.counts.empty
    assert empty.outcomes().empty
    with pytest.raises(ArgumentError):
        empty.data([0])
    with pytest.raises(ArgumentError):
        fit_cells(empty, "SI", n_jobs=1)


# The compiled engine


def test_the_compiled_engine_follows_the_same_law(tmp_path: Path) -> None:
    design = Design({"n": 300, "k": 6, "decider": "SI(0.05)"}, replicates=40, rng=2)
    curves = {}
    for engine in ("mesa", "ensemble"):
        sweep = run(design, tmp_path / engine, engine=engine, n_jobs=2, steps=25)
        assert list(sweep.counts) == [
            *("run", "step", "susceptible", "infected", "new_infected", "exposures", "failed"),
            *("cell", "replicate", "n", "k", "decider", "rng"),
        ]
        table = sweep.counts.pivot(index="step", columns="run", values="infected").ffill()
        curves[engine] = table
    difference = curves["mesa"].mean(axis=1) - curves["ensemble"].mean(axis=1)
    error = np.sqrt((curves["mesa"].var(axis=1) + curves["ensemble"].var(axis=1)) / 40)
    assert (difference.abs() <= 4 * error + 1e-9).all()
    assert difference[0] == 0


@pytest.mark.parametrize(
    "cell",
    [
        {"decider": "SI(1.0)"},
        {"decider": "SI(1.0)", "feed": "new"},
        {"decider": "ByProfile([" + ",".join(["1.0"] * 32) + "])", "population": "norms"},
        {"decider": "SingleMultiple(1.0, 1.0)", "network": "small_world"},
    ],
)
def test_both_engines_agree_where_nothing_is_left_to_chance(
    tmp_path: Path, cell: dict[str, Any]
) -> None:
    design = Design({"n": 100, "initial_infected": 2, "k": 4, **cell}, replicates=3, rng=1)
    columns = ["run", "step", "susceptible", "infected", "new_infected", "failed"]
    tables = [
        run(design, tmp_path / engine, engine=engine, backend="sequential").counts[columns]
        for engine in ("mesa", "ensemble")
    ]
    assert_frame_equal(*tables)


def test_what_the_compiled_engine_cannot_do_is_reported(tmp_path: Path) -> None:
    design = Design(
        {"n": 50, "decider": ["traits", "FirstRepeat(0.2, 0.1)"], "media_prob": [0.0, 0.1]}, rng=1
    )
    with pytest.raises(DesignError) as caught:
        run(design, tmp_path / "out", engine="ensemble")
    found = {(problem.where, problem.argument) for problem in caught.value.problems}
    assert found == {("row 0", "decider"), ("row 1", "decider"), ("row 3", "media_prob")}
    with pytest.raises(DesignError, match="decider"):
        run(Design({"n": 50}, rng=1), tmp_path / "out", engine="ensemble")
    assert not (tmp_path / "out").exists()


def test_the_compiled_engine_records_no_decisions(tmp_path: Path) -> None:
    design = Design({"n": 50, "decider": "SI(0.2)"}, rng=1)
    sweep = run(design, tmp_path, engine="ensemble", backend="sequential")
    assert sweep.exposures.empty
    assert sweep.counts["exposures"].isna().all()
    for use in (lambda: sweep.data(), lambda: fit_cells(sweep, "SI")):
        with pytest.raises(ArgumentError, match="engine"):
            use()


# What a sweep says


@pytest.fixture(scope="module")
def two_rates(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    design = Design(
        {
            "n": 300,
            "k": [4, 8],
            "event": ["battles-0", "battles-3", "riots-0"],
            "decider": "FirstRepeat({first}, 0.03)",
            "first": 0.15,
        },
        replicates=2,
        rng=11,
    )
    return run(design, tmp_path_factory.mktemp("two_rates"), n_jobs=2)


def test_rates_are_fitted_cell_by_cell(two_rates: Sweep) -> None:
    table = fit_cells(two_rates, "FirstRepeat", n_jobs=2)
    assert len(table) == 6 * 2
    assert table["success"].all()
    assert (table["n_runs"] == 2).all()
    wide = fit_cells(two_rates, "FirstRepeat", by="k", n_jobs=1, level=0.999).set_index("parameter")
    for rate, true in (("beta_first", 0.15), ("beta_repeat", 0.03)):
        assert (wide.loc[rate, "low"] < true).all()
        assert (wide.loc[rate, "high"] > true).all()


def test_runs_can_be_pooled(two_rates: Sweep) -> None:
    table = fit_cells(two_rates, "SI", by=["event_type", "k"], n_jobs=1)
    assert set(table["event_type"]) == {"Battles", "Riots"}
    assert sorted(table["n_runs"]) == [2, 2, 4, 4]
    with pytest.raises(UnknownNameError):
        fit_cells(two_rates, "SI", by="degree")


def test_the_best_law_is_chosen_by_default(two_rates: Sweep) -> None:
    table = fit_cells(two_rates, by="first", n_jobs=1)
    assert set(table["law"]) == {"FirstRepeat"}


def test_a_cell_that_cannot_be_fitted_says_why(tmp_path: Path) -> None:
    # Where all agents have posted at the start, nobody decides.
    design = Design({"n": 40, "initial_infected": [40, 10], "decider": "SI(0.1)"}, rng=1)
    sweep = run(design, tmp_path, backend="sequential")
    table = fit_cells(sweep, "SI", n_jobs=1)
    assert table["success"].tolist() == [False, True]
    assert "decisions" in table["message"][0]


def test_figures_show_rates_and_values(two_rates: Sweep) -> None:
    table = fit_cells(two_rates, "FirstRepeat", n_jobs=1)
    figure = plot_rates(table, "k")
    assert [axis.get_title() for axis in figure.axes] == [
        "FirstRepeat: beta_first",
        "FirstRepeat: beta_repeat",
    ]
    by_event = plot_rates(table, "event", series="k").axes[0]
    assert [label.get_text() for label in by_event.get_xticklabels()] == sorted(set(table["event"]))
    assert len(by_event.get_legend_handles_labels()[1]) == 2
    heat = plot_heatmap(two_rates.outcomes(), "k", "event", "final").axes[0]
    assert heat.images[0].get_array().shape == (3, 2)
    assert len(heat.texts) == 6
    for call in (
        lambda: plot_rates(table, "degree"),
        lambda: plot_heatmap(table, "k", "event", "share"),
    ):
        with pytest.raises(UnknownNameError):
            call()


def test_sensitivity_finds_what_matters(tmp_path: Path) -> None:
    pytest.importorskip("SALib")
    ranges = {
        "n": 400,
        "k": (6, 7),
        "beta": (0.005, 0.1),
        "decider": "SI({beta})",
        "initial_infected": (9, 11),
    }
    design = Design.saltelli(ranges, 64, rng=1)
    sweep = run(design, tmp_path, engine="ensemble", n_jobs=2, steps=12)
    table = sensitivity(sweep).set_index("parameter")
    assert list(table.index) == ["k", "beta", "initial_infected"]
    assert table["total"].idxmax() == "beta"
    assert table.loc["beta", "first"] > 0.7
    assert_frame_equal(table, sensitivity(sweep).set_index("parameter"))


def test_sensitivity_needs_its_design_and_all_runs(small: Sweep, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="saltelli"):
        sensitivity(small)
    design = Design.saltelli({"n": 40, "decider": "SI({beta})", "beta": (0.1, 0.2)}, 4, rng=1)
    sweep = run(design, tmp_path, engine="ensemble", backend="sequential")
    with pytest.raises(UnknownNameError):
        sensitivity(sweep, "speed")
    sweep.file(2).unlink()
    with pytest.raises(ArgumentError, match="1 runs not done"):
        sensitivity(load(tmp_path))


# Progress and the command


def test_progress(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for how in ("none", "auto"):
        run(small_design(), tmp_path / how, backend="sequential", progress=how)  # type: ignore[arg-type]
    assert capfd.readouterr().err == ""
    run(small_design(), tmp_path / "bar", backend="sequential", progress="bar")
    assert "8/8" in capfd.readouterr().err


def test_progress_is_quiet_in_ci_and_counts_failures(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    one_bad_run: int,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for ci, shown in (("", True), ("true", False)):
        monkeypatch.setenv("CI", ci)
        run(small_design(), tmp_path / f"ci-{ci}", backend="sequential")
        assert ("failed=1" in capfd.readouterr().err) is shown


@pytest.fixture
def command() -> Callable[..., Any]:
    app = typer.Typer()
    app.command("sweep")(sweep_command)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_the_command_runs_and_resumes(
    small: Sweep, tmp_path: Path, command: Callable[..., Any]
) -> None:
    out, file = tmp_path / "out", tmp_path / "design.json"
    file.write_text(json.dumps({"parameters": SMALL, "replicates": 1, "rng": 3}))
    options = ["--backend", "sequential", "--progress", "none"]
    result = command(out, "--design", file, "--replicates", 2, *options)
    assert (result.exit_code, result.stdout) == (0, f"{out}: 8 done\n")
    fewer = command(out, "--design", file, *options)
    assert isinstance(fewer.exception, ArgumentError)
    assert "--resume" in str(fewer.exception)
    for words in (["--resume"], ["--design", file, "--replicates", 2]):
        load(out).file(5).unlink()
        assert command(out, *words, *options).stdout == f"{out}: 8 done\n"
        assert_same_results(small, load(out))


def test_the_command_goes_on_without_a_seed(tmp_path: Path, command: Callable[..., Any]) -> None:
    out, file = tmp_path / "out", tmp_path / "design.yaml"
    words = [out, "--design", file, "--backend", "sequential", "--progress", "none"]
    file.write_text("parameters: {n: 40, k: [4, 6], decider: SI(0.1)}\n")
    assert command(*words).stdout == f"{out}: 2 done\n"
    before = load(out).runs
    load(out).file(0).unlink()
    file.write_text("parameters: {n: 40, k: [2, 4, 6], decider: SI(0.1)}\nreplicates: 2\n")
    assert command(*words).stdout == f"{out}: 6 done\n"
    assert_frame_equal(load(out).runs.head(2), before)


def test_a_failed_start_leaves_nothing(
    tmp_path: Path, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    file = tmp_path / "design.yaml"
    for text in (
        "parameters: {n: 40, k: [4, 400]}",
        "parameters: {n: 40, decider: 'llm:openai/tiny'}\nllm: {max_calls: 5}",
        "parameters: {n: 40}\nengine: ensemble",
    ):
        file.write_text(text)
        assert isinstance(command(tmp_path / "out", "--design", file).exception, DesignError)
        assert list(tmp_path.iterdir()) == [file]


@pytest.mark.slow
def test_a_sweep_that_is_stopped_says_how_to_go_on(tmp_path: Path) -> None:
    out, file = tmp_path / "out", tmp_path / "design.json"
    design = {"parameters": {"n": 600, "k": 6, "decider": "SI(0.02)"}, "replicates": 60}
    file.write_text(json.dumps(design))
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from mesa_llmspread.cli.main import main; main()"
    )
    words = ["sweep", out, "--design", file, "--n-jobs", "2", "--progress", "none"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + 120
        while len(list(out.glob("runs/run-*"))) < 4:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, said = process.communicate(timeout=60)
    found = load(out)
    assert f"Stopped with {len(found.done)} of 60 runs done" in said
    assert f"llmspread sweep {out} --resume" in said


def test_the_command_reports_failed_runs(
    tmp_path: Path, command: Callable[..., Any], one_bad_run: int
) -> None:
    file = tmp_path / "design.yaml"
    file.write_text(f"parameters: {json.dumps(SMALL)}\nreplicates: 2\nrng: 3\n")
    result = command(tmp_path / "out", "--design", file, "--backend", "sequential")
    assert result.exit_code == 1
    assert "7 done, 1 failed" in result.stdout
    assert f"run {one_bad_run}: ZeroDivisionError" in result.stderr


def test_the_command_takes_rows(tmp_path: Path, command: Callable[..., Any]) -> None:
    rows = pd.DataFrame({"n": [40, 50], "k": [4, 6], "decider": ["SI(0.1)", "traits"]})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    rows.to_parquet(tmp_path / "rows.parquet")
    for kind in ("csv", "parquet"):
        words = ["--design", tmp_path / f"rows.{kind}", "--backend", "sequential", "--steps", 5]
        assert command(tmp_path / kind, *words).exit_code == 0
        assert load(tmp_path / kind).manifest["steps"] == 5


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("absent.yaml", None),
        ("list.yaml", "[1, 2]"),
        ("key.yaml", "parameters: {k: [4]}\nseeds: 3"),
        ("broken.yaml", "parameters: {k: [4"),
        ("broken.json", "{"),
    ],
)
def test_the_command_names_bad_files(
    tmp_path: Path, command: Callable[..., Any], name: str, content: str | None
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    result = command(tmp_path / "out", "--design", tmp_path / name)
    assert isinstance(result.exception, InputFileError)
    assert name in str(result.exception)


def test_the_command_needs_a_design_or_a_folder(
    tmp_path: Path, command: Callable[..., Any]
) -> None:
    assert isinstance(command(tmp_path).exception, ArgumentError)
    assert isinstance(command(tmp_path, "--resume", "--rng", 1).exception, ArgumentError)
    assert isinstance(command(tmp_path, "--resume").exception, InputFileError)
