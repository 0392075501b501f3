"""The command ``llmspread sweep``."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pandas as pd
import pytest
from command_line import invoke
from pandas.testing import assert_frame_equal
from sweeps import BAD_RUN, SMALL, assert_same_results, small_design, under_way

from mesa_llmspread.exceptions import ArgumentError, DesignError, InputFileError
from mesa_llmspread.sweep import Sweep, load, run


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """The small design, done in this process."""
    return run(small_design(), tmp_path_factory.mktemp("small"), backend="sequential")


def test_the_command_runs_and_resumes(small: Sweep, tmp_path: Path) -> None:
    out, file = tmp_path / "out", tmp_path / "design.json"
    file.write_text(json.dumps({"parameters": SMALL, "replicates": 1, "rng": 3}))
    options = ["--backend", "sequential", "--progress", "none"]
    result = invoke("sweep", out, "--design", file, "--replicates", 2, *options)
    assert (result.exit_code, result.stdout) == (0, f"{out}: 8 done\n")
    fewer = invoke("sweep", out, "--design", file, *options)
    assert isinstance(fewer.exception, ArgumentError)
    assert fewer.exception.argument == "out"
    for words in (["--resume"], ["--design", file, "--replicates", 2]):
        shutil.rmtree(load(out).file(5))
        assert invoke("sweep", out, *words, *options).stdout == f"{out}: 8 done\n"
        assert_same_results(small, load(out))


def test_the_command_goes_on_without_a_seed(tmp_path: Path) -> None:
    out, file = tmp_path / "out", tmp_path / "design.yaml"
    words = [out, "--design", file, "--backend", "sequential", "--progress", "none"]
    file.write_text("parameters: {n: 40, k: [4, 6], decider: SI(0.1)}\n")
    assert invoke("sweep", *words).stdout == f"{out}: 2 done\n"
    before = load(out).runs
    shutil.rmtree(load(out).file(0))
    file.write_text("parameters: {n: 40, k: [2, 4, 6], decider: SI(0.1)}\nreplicates: 2\n")
    assert invoke("sweep", *words).stdout == f"{out}: 6 done\n"
    assert_frame_equal(load(out).runs.head(2), before)


def test_a_failed_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    file = tmp_path / "design.yaml"
    for text in (
        "parameters: {n: 40, k: [4, 400]}",
        "parameters: {n: 40, decider: 'llm:openai/tiny'}\nllm: {max_calls: 5}",
        "parameters: {n: 40}\nengine: compiled",
    ):
        file.write_text(text)
        assert isinstance(
            invoke("sweep", tmp_path / "out", "--design", file).exception, DesignError
        )
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
    command = [sys.executable, "-c", code, *words]
    with under_way(out, command, start_new_session=True) as process:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, said = process.communicate(timeout=60)
    found = load(out)
    assert f"Stopped with {len(found.done)} of 60 runs done" in said
    assert f"llmspread sweep {out} --resume" in said


def test_the_command_reports_failed_runs(tmp_path: Path) -> None:
    file = tmp_path / "design.yaml"
    file.write_text(f"parameters: {json.dumps(SMALL)}\nreplicates: 2\nrng: 3\n")
    words = ["--design", file, "--backend", "sequential", "--model", "sweeps:Fragile"]
    result = invoke("sweep", tmp_path / "out", *words)
    assert result.exit_code == 1
    assert "7 done, 1 failed" in result.stdout
    assert f"run {BAD_RUN}: ZeroDivisionError" in result.stderr


def test_the_command_takes_rows(tmp_path: Path) -> None:
    rows = pd.DataFrame({"n": [40, 50], "k": [4, 6], "decider": ["SI(0.1)", "traits"]})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    rows.to_parquet(tmp_path / "rows.parquet")
    for kind in ("csv", "parquet"):
        words = ["--design", tmp_path / f"rows.{kind}", "--backend", "sequential", "--steps", 5]
        assert invoke("sweep", tmp_path / kind, *words).exit_code == 0
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
def test_the_command_names_bad_files(tmp_path: Path, name: str, content: str | None) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    result = invoke("sweep", tmp_path / "out", "--design", tmp_path / name)
    assert isinstance(result.exception, InputFileError)
    assert result.exception.path == tmp_path / name


def test_the_command_needs_a_design_or_a_folder(tmp_path: Path) -> None:
    assert isinstance(invoke("sweep", tmp_path).exception, ArgumentError)
    assert isinstance(invoke("sweep", tmp_path, "--resume", "--rng", 1).exception, ArgumentError)
    assert isinstance(invoke("sweep", tmp_path, "--resume").exception, InputFileError)
