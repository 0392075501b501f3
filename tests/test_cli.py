"""The command line, as a person calls it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest
from command_line import call, invoke
from servers import ScriptedServer, answer

from mesa_llmspread import SpreadData, Visibility, concat, fit

DATA = Path(__file__).parent / "data"


def test_the_installed_command_exists() -> None:
    command = Path(sys.executable).with_name("llmspread")
    done = subprocess.run([command, "profiles"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert "OCEAN" in done.stdout
    failed = subprocess.run([command, "profiles", "x"], capture_output=True, text=True, timeout=120)
    assert failed.returncode == 2
    assert failed.stderr.startswith("error: code='x'")
    assert len(failed.stderr.splitlines()) == 1


def test_help_reads_well() -> None:
    text = call("--help")
    for command in ("run", "fit", "cascade", "report", "events", "profiles"):
        assert command in text
    assert "Seed" in call("run", "--help")


def test_run_fit_and_report(tmp_path: Path) -> None:
    out = tmp_path / "record"
    text = call("run", out, "--n", 120, "--k", 6, "--decider", "FirstRepeat(0.3, 0.05)", "--rng", 3)
    assert "of 120 agents have posted" in text
    data = SpreadData.load(out)
    assert data.info[0].rng == 3
    assert "beta_repeat" in call("fit", out, "--law", "FirstRepeat")
    assert "FirstRepeat" in call("fit", out)
    some = call("fit", out, "--law", "SI", "--law", "FirstRepeat")
    assert "FirstRepeat" in some
    assert "TwoClass" not in some.split("\n\n")[0]
    assert "structural virality" in call("cascade", out)
    assert "run=7" in call("cascade", out, "--run", 7, code=2)
    assert call("report", out).strip() == str(out / "report.html")
    assert "data:image/png" in (out / "report.html").read_text()


def test_the_command_is_a_module_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mesa_llmspread", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == version("mesa_llmspread")


def test_help_loads_no_science() -> None:
    """Help must come at once, so commands import what they need when they are called."""
    code = "import sys, mesa_llmspread.cli.main; print({'numpy', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()"


def test_completion_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_LLMSPREAD_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "llmspread re")
    monkeypatch.setenv("COMP_CWORD", "1")
    command = Path(sys.executable).with_name("llmspread")
    done = subprocess.run([command], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["report"]


def test_several_runs_are_one_record(tmp_path: Path) -> None:
    small = ("--n", 60, "--k", 4, "--decider", "SI(0.2)", "--steps", 5, "--rng", 7)
    call("run", tmp_path / "three", *small, "--runs", 3)
    call("run", tmp_path / "first", *small)
    three, first = SpreadData.load(tmp_path / "three"), SpreadData.load(tmp_path / "first")
    assert [three.info[run].rng for run in three.runs] == [7, 8, 9]
    pd.testing.assert_frame_equal(three.select([0]).exposures, first.exposures)


def test_runs_about_events_of_ones_own(tmp_path: Path) -> None:
    small = ("--n", 60, "--k", 4, "--decider", "SI(0.2)", "--steps", 3, "--rng", 7)
    events = ("--events", DATA / "ucdp_ged_tiny.csv", "--max-events", 2)
    done = invoke("run", tmp_path / "out", *small, *events, "--runs", 2)
    assert "in 4 runs" in done.stdout
    assert "2 of 12 events selected" in done.stderr
    info = SpreadData.load(tmp_path / "out").info
    ids = [info[run].event.event_id for run in range(4)]
    assert ids[0] == ids[1] != ids[2] == ids[3]
    error = call("run", tmp_path / "no", *small, *events, "--event", "riots-0", code=2)
    assert "--event" in error
    refused = invoke("run", tmp_path / "no", *small, *events[2:]).exception
    assert refused.argument == "--max-events"  # type: ignore[union-attr]


def test_how_long_posts_are_visible(tmp_path: Path) -> None:
    small = ("--n", 60, "--k", 4, "--decider", "SI(0.2)", "--steps", 1, "--rng", 7)
    text = call("run", tmp_path / "out", *small, "--visibility", "Visibility(3)")
    assert "after 1 step " in text
    (tmp_path / "run.yaml").write_text("visibility: Visibility(3)\n")
    call("run", tmp_path / "same", *small, "--config", tmp_path / "run.yaml")
    for name in ("out", "same"):
        info = SpreadData.load(tmp_path / name).info[0]
        assert info.visibility == str(Visibility(3))


def test_several_records_are_fitted_as_one(tmp_path: Path) -> None:
    for rng in (1, 2):
        run = ("run", tmp_path / str(rng), "--n", 60, "--k", 4, "--decider", "SI(0.2)")
        call(*run, "--rng", rng)
    records = [SpreadData.load(tmp_path / name) for name in "12"]
    together = fit(concat(records), "SI").params["beta"]
    said = call("fit", tmp_path / "1", tmp_path / "2", "--law", "SI")
    assert f"{together:.3g}" in said
    (tmp_path / "empty").mkdir()
    assert "empty" in call("fit", tmp_path / "1", tmp_path / "empty", code=2)
    # Runs with one seed in two settings are two runs, also where they begin alike.
    call(*run[:1], tmp_path / "near", *run[2:6], "--decider", "SI(0.2001)", "--rng", 1)
    assert "2 runs" in call("fit", tmp_path / "1", tmp_path / "near", "--law", "SI")
    # The same run would count twice, also where one record ends before the other.
    call(*run[:1], tmp_path / "part", *run[2:], "--rng", 1, "--steps", 2)
    counted = SpreadData.load(tmp_path / "1")
    known = counted.info[0].decider_info | {"calls": 9}
    info = {0: dataclasses.replace(counted.info[0], decider_info=known)}
    SpreadData(counted.exposures, counted.counts, info, counted.agents).save(tmp_path / "counted")
    for again in ("1", "part", "counted"):
        assert "seed 1" in call("fit", *(tmp_path / name for name in ("1", "2", again)), code=2)


def test_tables_fit_80_columns(tmp_path: Path) -> None:
    call("run", tmp_path / "out", "--n", 60, "--k", 4, "--decider", "SI(0.2)", "--rng", 1)
    table = call("fit", tmp_path / "out").split("\n\n")[0]
    assert "weight" in table.splitlines()[0]
    assert all(name in table for name in ("FirstRepeat", "SI", "TwoClass"))
    listed = call("events", DATA / "ucdp_ged_tiny.csv")
    assert max(map(len, [*table.splitlines(), *listed.splitlines()])) <= 80


def test_progress_where_output_is_redirected(tmp_path: Path) -> None:
    small = ("--n", 60, "--k", 4, "--steps", 30, "--rng", 1, "--decider", "SI(0.001)")
    lines = invoke("run", tmp_path / "out", *small).stderr.splitlines()
    assert len(lines) == 10
    assert lines[-1].endswith("30 of 30")


def test_run_from_a_file(tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("n: 60\nk: 4\ndecider: SI(0.2)\nrng: 1\nsteps: 3\npopulation: {OCEAN: 1.0}\n")
    call("run", tmp_path / "a", "--config", config)
    call("run", tmp_path / "b", "--config", config, "--rng", 2)
    assert SpreadData.load(tmp_path / "a").info[0].profiles == {"OCEAN": 60}
    assert SpreadData.load(tmp_path / "b").info[0].rng == 2
    assert SpreadData.load(tmp_path / "b").counts["step"].max() == 3
    other = tmp_path / "run.json"
    other.write_text(json.dumps({"n": 60, "k": 4, "rng": 1, "decider": "SI(0.2)", "steps": 3}))
    call("run", tmp_path / "c", "--config", other)


def test_run_on_a_network_of_ones_own(tmp_path: Path) -> None:
    edges = tmp_path / "edges.txt"
    edges.write_text("".join(f"{i} {(i + 1) % 30}\n" for i in range(30)))
    call("run", tmp_path / "out", "--network", edges, "--rng", 1, "--initial-infected", 2)
    assert SpreadData.load(tmp_path / "out").info[0].n == 30


def test_the_estimate_counts_language_models_among_other_deciders(
    scripted_server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = f"LLMDecider('openai/tiny', {scripted_server.api_base!r}, max_attempts=1)"
    (tmp_path / "mixture.py").write_text(
        "from mesa_llmspread import LLMDecider, MixedDecider\n"
        f"def half(): return MixedDecider([(0.5, 'SI(0.1)'), (0.5, {model})])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    small = ("--n", 40, "--k", 4, "--steps", 2, "--rng", 1, "--decider", "mixture:half")
    assert "at most 40;" in invoke("run", tmp_path / "out", *small).stderr


def test_a_language_models_run_is_estimated_limited_and_resumed(
    scripted_server: ScriptedServer, tmp_path: Path
) -> None:
    turns = iter(range(10**6))
    scripted_server.script = lambda _: answer(next(turns) % 4 == 0)
    store, out = tmp_path / "calls.sqlite", tmp_path / "out"
    settings = ("--n", 40, "--k", 4, "--initial-infected", 3, "--rng", 5, "--steps", 6)
    asks = ("--decider", "llm:openai/tiny", "--api-base", scripted_server.api_base)
    command = ("run", out, *settings, *asks, "--store", store)

    said = call(*command, "--dry-run")
    assert "openai/tiny: about" in said
    assert "at an unknown price" in said
    assert "To go on" not in said
    assert not out.exists()
    assert not scripted_server.requests

    said = call(*command, "--max-calls", 30, code=1)
    assert "To go on if it is interrupted: the same with --rng 5" in said
    assert "max_calls=30 is used up" in said
    assert f"Every answer is kept in {store}: the same run, with the same rng" in said
    assert "rng=5" in said
    assert len(scripted_server.requests) == 30
    assert not out.exists()
    assert f"kept in {out}-partial/" in said
    half = SpreadData.load(f"{out}-partial")
    assert 0 < len(half.exposures) <= 30

    call(*command)
    whole = SpreadData.load(out)
    assert len(scripted_server.requests) == len(whole.exposures)
    assert whole.exposures.head(len(half.exposures)).equals(half.exposures)


def test_only_a_language_model_has_a_budget(tmp_path: Path) -> None:
    said = call("run", tmp_path / "out", "--max-calls", 3, code=2)
    assert "be llm:MODEL with --max-calls" in said


def test_listings() -> None:
    assert "battles-0" in call("events")
    assert "Talvara" in call("events", "--text")
    listed = call("events", DATA / "ucdp_ged_tiny.csv")
    assert sum(line.startswith("9") for line in listed.splitlines()) == 12
    assert "OCEAN" in call("profiles")
    assert call("profiles", "OceAn").startswith("You are very imaginative")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n", "9", "--k", "3"], "even"),
        (["--k", "200"], "k=200"),
        (["--initial-infected", "500"], "between 1 and n=200"),
        (["--decider", "SI(2)"], "between 0 and 1"),
        (["--decider", "SI("], "be a name with its values"),
        (["--population", "oceanx"], "population='oceanx'"),
        (["--event", "nothing"], "event"),
        (["--network", "no/such/file.txt"], "network"),
        (["--feed", "all"], "persistent, new"),
        (["--config", "no/such.yaml"], "no/such.yaml"),
        (["--n", "many"], "n"),
        (["--frequency", "3"], "--frequency"),
    ],
)
def test_bad_calls_get_one_clear_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    error = call("run", tmp_path / "out", *arguments, code=2)
    assert message in error
    if "Usage" not in error:
        assert len(error.strip().splitlines()) == 1
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n: 1\nk: [", "row 2"),
        ("- 1\n- 2\n", "settings by name"),
        ("colour: red\n", "setting='colour'"),
        ("steps: ten\n", "steps='ten'"),
    ],
)
def test_bad_files_of_settings(tmp_path: Path, text: str, message: str) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(text)
    assert message in call("run", tmp_path / "out", "--config", config, code=2)


def test_a_folder_that_is_no_record(tmp_path: Path) -> None:
    assert "manifest.json: not found" in call("fit", tmp_path, code=2)
    assert "manifest.json: not found" in call("report", tmp_path, code=2)


def test_an_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot write" in call("run", tmp_path / "file" / "out", code=2)


def test_a_missing_key_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    error = call("run", tmp_path / "out", "--decider", "llm:openai/some-model", code=2)
    assert "OPENAI_API_KEY" in error
    assert not list((tmp_path / "out").glob("*"))
