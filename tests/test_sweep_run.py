"""The runs of a sweep: the same on every backend, failures recorded, progress shown."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import mesa
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from servers import ScriptedServer
from sweeps import BAD_RUN, Fragile, assert_same_results, small_design

from mesa_llmspread import SpreadData, SpreadModel, TraitDecider
from mesa_llmspread.deciders import register_decider
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    DesignError,
    MissingKeyError,
    RunError,
    UnknownNameError,
)
from mesa_llmspread.sweep import Design, Sweep, load, run


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """The small design, done in this process."""
    return run(small_design(), tmp_path_factory.mktemp("small"), backend="sequential")


def test_results_do_not_depend_on_the_backend(small: Sweep, tmp_path: Path) -> None:
    assert_same_results(small, run(small_design(), tmp_path, n_jobs=2))


def test_one_process_is_the_own_one_and_lives_on(tmp_path: Path) -> None:
    script = (
        "import sys; from mesa_llmspread.sweep import Design, run\n"
        "design = Design({'n': 20, 'k': 4, 'decider': ['SI(0.1)', 'SI(0.2)']}, rng=1)\n"
        "print(run(design, sys.argv[1], n_jobs=1, steps=3))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "sweep"],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    assert "2 done" in done.stdout


def test_the_garbage_collector_is_left_as_it_was(small: Sweep, tmp_path: Path) -> None:
    before = gc.get_threshold()
    run(Design({"n": 20}, rng=1), tmp_path, backend="sequential")
    assert gc.get_threshold() == before


def test_agents_are_gone_when_their_run_is_over(tmp_path: Path) -> None:
    agents = []

    class Remembered(SpreadModel):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            agents.append(weakref.ref(self.spreaders[0]))

    design = Design({"n": 50, "k": 4, "decider": "SI(0.2)"}, replicates=3, rng=1)
    run(design, tmp_path, model=Remembered, backend="sequential")
    gc.collect()
    assert [agent() for agent in agents] == [None] * 3


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
    assert small.manifest == manifest
    assert (manifest["engine"], manifest["steps"]) == ("mesa", 50)
    assert manifest["versions"]["mesa"] == mesa.__version__
    assert {"python", "mesa_llmspread", "numpy"} <= set(manifest["versions"])
    assert manifest["git"] is None or len(manifest["git"]) >= 40
    written = pd.read_parquet(small.path / "design.parquet")
    assert_frame_equal(written, small_design().table)


@pytest.mark.parametrize(
    "options",
    [{"backend": "ray"}, {"engine": "fast"}, {"on_error": "skip"}, {"progress": "no"}],
)
def test_unknown_choices(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UnknownNameError):
        run(small_design(), tmp_path, **options)


@pytest.mark.parametrize("n_jobs", [0, True, 1.5])
def test_a_number_of_processes_is_checked(tmp_path: Path, n_jobs: Any) -> None:
    with pytest.raises((ArgumentError, ArgumentTypeError)) as caught:
        run(small_design(), tmp_path / "out", n_jobs=n_jobs)
    assert caught.value.argument == "n_jobs"
    assert not (tmp_path / "out").exists()


class Keyless(TraitDecider):
    """A decider whose key is missing."""

    asked = 0

    def check(self) -> None:
        Keyless.asked += 1
        raise MissingKeyError("acme/one", ["ACME_KEY"])


def test_a_decider_that_cannot_answer_is_reported_before_any_run(tmp_path: Path) -> None:
    register_decider("keyless", Keyless)
    design = Design({"n": 20, "decider": ["SI(0.1)", "keyless"], "k": [4, 6]}, 3, rng=1)
    with pytest.raises(DesignError) as caught:
        run(design, tmp_path / "out", backend="sequential")
    [problem] = caught.value.problems
    assert (problem.argument, problem.where) == ("decider", "row 2 and 1 more")
    assert "ACME_KEY" in problem.why
    assert Keyless.asked == 1
    assert not (tmp_path / "out").exists()


def test_a_run_that_raises_is_recorded_and_done_again(
    small: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(small_design(), tmp_path, model=Fragile, backend="sequential")
    assert first.runs["status"].tolist() == ["done"] * 2 + ["failed"] + ["done"] * 5
    assert first.runs["error"][BAD_RUN] == "ZeroDivisionError: no luck"
    kept = json.loads((tmp_path / "failures" / "run-000002.json").read_text())
    assert "sweeps.py" in kept["traceback"]
    assert BAD_RUN not in first.counts["run"].to_numpy()
    monkeypatch.setattr(Fragile, "broken", False)
    again = run(small_design(), tmp_path, model=Fragile, backend="sequential")
    assert_same_results(small, again)
    assert not list((tmp_path / "failures").iterdir())


def test_a_run_that_raises_can_stop_all(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        run(small_design(), tmp_path, model=Fragile, backend="sequential", on_error="raise")
    assert (caught.value.run, caught.value.error) == (2, "ZeroDivisionError: no luck")
    assert caught.value.cell == {"n": 60, "k": 6, "decider": "SI({beta})", "beta": 0.05}
    states = load(tmp_path).runs["status"].tolist()
    assert states == ["done", "done", "failed"] + ["missing"] * 5


# litellm imports some of its parts at the first call, and pydantic warns of one of them.
@pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning")
def test_a_language_model_is_a_decider_like_any_other(
    tmp_path: Path, scripted_server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-key")
    design = Design({"n": 20, "k": 4, "decider": ["llm:openai/tiny", "SI(1.0)"]}, rng=1)
    llm = {"api_base": scripted_server.api_base}
    sweep = run(design, tmp_path, backend="sequential", llm=llm)
    assert sweep.runs["error"].tolist() == ["", ""]
    assert sweep.outcomes()["final"].tolist() == [1, 1]
    decided = sweep.exposures.query("run == 0")
    assert len(decided) == len(scripted_server.requests)
    assert (decided["key"] != "").all()


def test_progress(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for how in ("none", "auto"):
        run(small_design(), tmp_path / how, backend="sequential", progress=how)
    assert capfd.readouterr().err == ""
    run(small_design(), tmp_path / "bar", backend="sequential", progress="bar")
    assert "8/8" in capfd.readouterr().err


def test_progress_is_quiet_in_ci_and_counts_failures(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for ci, shown in (("", True), ("true", False)):
        monkeypatch.setenv("CI", ci)
        run(small_design(), tmp_path / f"ci-{ci}", model=Fragile, backend="sequential")
        assert ("failed=1" in capfd.readouterr().err) is shown
