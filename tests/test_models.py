"""Every example model: found, and run on its defaults or a smaller version of them."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from command_line import call

from mesa_llmspread import SpreadData
from mesa_llmspread.deciders.table import TableWarning
from mesa_llmspread.experiments.event_study import EventStudy

ROOT = Path(__file__).parents[1]
DATA = Path(__file__).parent / "data"
MODULE = "mesa_llmspread.cli.demo"
FILES = {
    "agents.parquet",
    "counts.parquet",
    "exposures.parquet",
    "manifest.json",
    "report.html",
    "spread.png",
    "comparison.png",
    "fitted_rates.png",
    "traits.png",
    "profiles.png",
    "event_rates.png",
    "hazard_ratios.png",
    "residuals.png",
}


@pytest.mark.parametrize(
    "folder", [path.parent.name for path in sorted((ROOT / "models").glob("*/__init__.py"))]
)
def test_every_example_says_what_it_is(folder: str) -> None:
    module = importlib.import_module(f"models.{folder}")
    assert module.__doc__
    assert (ROOT / "models" / folder / "README.md").read_text().startswith("# ")


def test_the_design_makes_its_models() -> None:
    design = EventStudy(runs=2)
    models = list(design.models())
    assert len(models) == len(design) == 36
    assert len({model.streams.seed for model in models}) == 36
    assert models[0].step() is None


def test_the_main_job(tmp_path: Path) -> None:
    """As in the README, with fewer runs: table, data, figures, one self-contained page."""
    out = tmp_path / "out"
    text = call("--runs", 2, "--max-events", 6, "--out", out, module=MODULE)
    assert "master equations" in text
    assert "All events together:" in text
    assert {path.name for path in out.iterdir()} == FILES
    data = SpreadData.load(out)
    assert len(data.runs) == 12
    assert data.exposures["profile"].nunique() == 32
    page = (out / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 7 + 6
    assert not re.findall(r"(?:src|href)=[\"']https?://", page)
    assert "draws from what Qwen2.5-Coder-0.5B-Instruct" in page
    assert "no model runs now" in page
    assert "NaN" not in page.split("<pre>")[0].replace("data:image", "")[:20000]


@pytest.mark.slow
def test_the_main_job_as_a_module_can_be_repeated_to_the_bit(tmp_path: Path) -> None:
    small = ["--runs", "1", "--max-events", "2", "--n", "60", "--rng", "5"]
    done = subprocess.run(
        [sys.executable, "-m", "models.armed_conflict", *small, "--out", tmp_path / "a"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "a").iterdir()} == FILES
    call(*small, "--out", tmp_path / "b", module=MODULE)
    first, second = (SpreadData.load(tmp_path / name) for name in "ab")
    pd.testing.assert_frame_equal(first.exposures, second.exposures)
    assert first.info == second.info


@pytest.mark.parametrize("name", ["ucdp_ged_tiny.csv", "acled_tiny.csv"])
@pytest.mark.slow
def test_events_of_ones_own(tmp_path: Path, name: str) -> None:
    small = ["--max-events", 3, "--runs", 1, "--n", 60]
    with pytest.warns(TableWarning, match="was not measured"):
        call("--events", DATA / name, *small, "--out", tmp_path, module=MODULE)
    data = SpreadData.load(tmp_path)
    assert data.exposures["event"].nunique() == 3


@pytest.mark.slow
def test_real_events(shared: Path, tmp_path: Path) -> None:
    source = shared / "data" / "ucdp_ged_sample.csv"
    small = ["--max-events", 4, "--runs", 1, "--n", 60]
    with pytest.warns(TableWarning, match="was not measured"):
        call("--events", source, *small, "--out", tmp_path, module=MODULE)
    ids = pd.read_csv(source)["relid"].astype(str)
    assert set(SpreadData.load(tmp_path).exposures["event"]) <= set(ids) | set(
        pd.read_csv(source)["id"].astype(int).astype(str)
    )


@pytest.mark.slow
def test_a_real_network(shared: Path, tmp_path: Path) -> None:
    source = shared / "data" / "facebook_combined.txt.gz"
    small = ["--max-events", 1, "--runs", 1, "--steps", 6]
    with pytest.warns(TableWarning, match="more posts than were measured"):
        text = call("--network", source, *small, "--out", tmp_path, module=MODULE)
    assert SpreadData.load(tmp_path).info[0].n == 4039
    assert "stochastic model" in text


def test_a_real_server(tmp_path: Path, llama_server: str) -> None:
    """A llama.cpp server with random weights: a real path, not a real mind."""
    call(
        "--model",
        "openai/tiny",
        "--api-base",
        llama_server,
        "--max-events",
        1,
        "--runs",
        1,
        "--n",
        12,
        "--k",
        4,
        "--initial-infected",
        1,
        "--steps",
        2,
        "--out",
        tmp_path,
        module=MODULE,
    )
    data = SpreadData.load(tmp_path)
    assert {info.decider_info["model"] for info in data.info.values()} == {"openai/tiny"}
    assert set(data.exposures["outcome"]) <= {"repost", "decline", "failed"}
    assert (data.exposures["key"] != "").all()
    assert "Simulated agents are not people" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--events", "no-such-file.csv"], "no-such-file.csv"),
        (["--network", "no-such-file.txt"], "no-such-file.txt"),
        (["--n", "9", "--k", "3"], "even"),
        (["--decider", "guess"], "decider='guess'"),
        (["--model", "openai/x", "--api-base", "http://127.0.0.1:9/v1"], "no server answers at"),
    ],
)
def test_bad_calls_leave_nothing(tmp_path: Path, arguments: list[str], message: str) -> None:
    error = call(*arguments, "--out", tmp_path / "out", code=2, module=MODULE)
    assert message in error
    assert not list((tmp_path / "out").glob("*"))


def test_a_missing_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    error = call("--model", "openai/x", "--out", tmp_path, code=2, module=MODULE)
    assert "OPENAI_API_KEY" in error


def test_the_readme_example_runs() -> None:
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        done = subprocess.run(
            [sys.executable, "-c", block], capture_output=True, text=True, cwd=ROOT, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
