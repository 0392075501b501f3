"""Runs that are stopped, and folders that hold something: nothing that was kept is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import call
from servers import Reply, ScriptedServer, answer
from waiting import eventually

from mesa_llmspread import SpreadData, SpreadModel

ROOT = Path(__file__).parents[1]
MAIN_JOB = "mesa_llmspread.cli.demo"
SMALL = ("--n", 60, "--k", 4, "--rng", 1, "--steps", 3)

# A shell that starts a process in the background lets it ignore Ctrl-C.
START = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from {module} import main
main()
"""


def contents(folder: Path) -> dict[str, bytes]:
    """Read all files below a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def start(module: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a command line as a process that can be stopped."""
    return subprocess.Popen(
        [sys.executable, "-c", START.format(module=module), *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.fixture
def server(scripted_server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> ScriptedServer:
    """A model that takes its time, and always gives the same answers."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")

    def slowly(request: dict[str, Any]) -> Reply:
        return Reply(answer(request["seed"] % 3 == 0).content, delay=0.05)

    scripted_server.reset(slowly)
    return scripted_server


def stopped(server: ScriptedServer, calls: int, by: int, *command: object) -> str:
    """Start a command line, stop it after some calls, and return what it printed."""
    seen = len(server.requests)
    process = start(*map(str, command))
    try:
        eventually(lambda: len(server.requests) >= seen + calls, 60)
        process.send_signal(by)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode != 0
    assert "Traceback" not in said
    return said


# Folders


@pytest.mark.slow
def test_a_second_run_into_the_same_folder_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    call("run", out, *SMALL)
    call("report", out)
    call("report", out)  # which may replace its own files
    before = contents(tmp_path)
    said = call("run", out, *SMALL, code=2)
    assert "not empty" in said
    assert "--force" in said
    assert len(said.splitlines()) == 1
    assert contents(tmp_path) == before
    call("run", out, "--n", 40, "--rng", 2, "--force")
    assert SpreadData.load(out).info[0].n == 40
    assert set(contents(tmp_path)) == {
        f"out/{name}"
        for name in ("agents.parquet", "counts.parquet", "exposures.parquet", "manifest.json")
    }


def test_a_folder_is_refused_before_the_first_call(server: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.md").write_text("mine")
    asks = ("--api-base", server.api_base)
    for more in ((), ("--force",)):
        run = ("run", tmp_path / "out", *SMALL, *asks, "--decider", "llm:openai/tiny", *more)
        assert "cannot write" in call(*run, code=2)
        job = ("--out", tmp_path / "out", *SMALL, *asks, "--model", "openai/tiny", *more)
        assert "cannot write" in call(*job, code=2, module=MAIN_JOB)
    assert server.requests == []
    assert contents(tmp_path) == {"out/notes.md": b"mine"}


def test_kept_calls_do_not_stand_in_the_way(server: ScriptedServer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asks = ("--decider", "llm:openai/tiny", "--api-base", server.api_base)
    said = call("run", out, *SMALL, *asks, "--store", out / "calls.sqlite", code=2)
    assert "--store" in said
    assert "outside" in said
    assert server.requests == []


@pytest.mark.slow
def test_the_main_job_finds_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = (*SMALL, "--runs", 1, "--max-events", 1)
    for name in ("armed_conflict", "armed_conflict-2", "armed_conflict-3"):
        assert f"results/{name}/report.html" in call(*small, module=MAIN_JOB)
    before = contents(tmp_path)
    said = call(*small, "--out", "results/armed_conflict-2", code=2, module=MAIN_JOB)
    assert "not empty" in said
    assert contents(tmp_path) == before
    call(*small, "--rng", 5, "--out", "results/armed_conflict-2", "--force", module=MAIN_JOB)
    after = contents(tmp_path)
    assert after.keys() == before.keys()
    changed = {name for name in after if after[name] != before[name]}
    assert {name.split("/")[1] for name in changed} == {"armed_conflict-2"}


# Stopping


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.slow
def test_a_run_that_is_stopped_says_what_is_kept(
    server: ScriptedServer, tmp_path: Path, force: bool
) -> None:
    out, store = tmp_path / "out", tmp_path / "calls.sqlite"
    if force:
        SpreadData.from_model(SpreadModel(n=30, k=4, rng=9).run(2)).save(out)
    before = contents(out)
    asks = ("--decider", "llm:openai/tiny", "--api-base", server.api_base, "--store", store)
    command = ("run", out, "--n", 60, "--k", 4, "--rng", 1, "--steps", 4, *asks)
    command += ("--force",) if force else ()
    said = stopped(server, 50, signal.SIGINT, "mesa_llmspread.cli.main", *command)
    assert f"kept in {out}-partial/" in said
    assert f"same command again, with --rng 1 and --store {store}" in said
    assert contents(out) == before
    half = SpreadData.load(f"{out}-partial")
    assert 0 < half.counts["step"].max() < 4
    call(*command)
    whole = SpreadData.load(out)
    assert whole.exposures.head(len(half.exposures)).equals(half.exposures)
    asked = {f"{request['seed']} {request['messages']}" for request in server.requests}
    assert len(asked) == len(whole.exposures)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        "out",
        "out-partial",
    ]


def test_a_run_that_is_killed_leaves_the_earlier_record(
    server: ScriptedServer, tmp_path: Path
) -> None:
    SpreadData.from_model(SpreadModel(n=30, k=4, rng=9).run(2)).save(tmp_path / "out")
    before = contents(tmp_path)
    asks = ("--decider", "llm:openai/tiny", "--api-base", server.api_base)
    command = ("run", tmp_path / "out", *SMALL, *asks, "--force")
    stopped(server, 20, signal.SIGKILL, "mesa_llmspread.cli.main", *command)
    assert contents(tmp_path) == before


@pytest.fixture
def main_job(server: ScriptedServer, tmp_path: Path) -> tuple[object, ...]:
    return (
        *("--model", "openai/tiny", "--api-base", server.api_base, "--runs", 3, "--max-events", 1),
        *("--n", 30, "--k", 4, "--steps", 2, "--initial-infected", 3, "--out", tmp_path / "out"),
    )


@pytest.mark.slow
def test_a_main_job_that_is_stopped_keeps_its_runs(
    server: ScriptedServer, tmp_path: Path, main_job: tuple[object, ...]
) -> None:
    for partial in ("out-partial", "out-partial-2"):
        said = stopped(server, 55, signal.SIGINT, MAIN_JOB, *main_job)
        assert f"kept in {tmp_path / partial}/" in said
        assert "--store FILE" in said
        assert 0 < len(SpreadData.load(tmp_path / partial).runs) < 3
    assert not (tmp_path / "out").exists()


# Records that cannot be analysed


def test_a_record_without_decisions_says_so(tmp_path: Path) -> None:
    SpreadData.from_model(SpreadModel(n=30, k=4, rng=1)).save(tmp_path / "out")
    for command in ("fit", "report", "cascade"):
        said = call(command, tmp_path / "out", code=2)
        assert "no decisions" in said
        assert len(said.splitlines()) == 1


def test_a_sweep_is_no_record(tmp_path: Path) -> None:
    design = tmp_path / "design.yaml"
    design.write_text("parameters: {n: 30, k: 4, decider: SI(0.2)}\n")
    out = tmp_path / "out"
    call("sweep", out, "--design", design, "--backend", "sequential")
    for command in ("fit", "report", "cascade"):
        said = call(command, out, code=2)
        assert "is of a sweep" in said
        assert f"llmspread sweep {out} --resume" in said
