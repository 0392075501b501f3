"""Every block of docs/extend.md runs as it stands, and does what the text says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import call
from mesa.batchrunner import batch_run

from mesa_llmspread import SpreadData, SpreadModel, as_decider
from mesa_llmspread.exceptions import ArgumentError, UnknownNameError
from mesa_llmspread.sweep import Design, run

PAGE = Path(__file__).parents[1] / "docs" / "extend.md"
PARTS = re.compile(r"^## (.+?)$|```python\n(.*?)```", re.S | re.M)

MODULE = """
from mesa_llmspread import Decider, Decision, Outcome, TransmissionLaw
from dataclasses import dataclass
import numpy as np

class Stubborn(Decider):
    def __init__(self, occasions=3):
        self.occasions = occasions

    def decide(self, exposures, rng):
        ripe = [e.exposure_count >= self.occasions for e in exposures]
        return [Decision(Outcome.REPOST if yes else Outcome.DECLINE) for yes in ripe]

@dataclass(frozen=True)
class Threshold(TransmissionLaw):
    low: float
    high: float

    def prob(self, seen):
        return np.where(seen.contacts >= 3, self.high, self.low) * (seen.contacts > 0)
"""


# What the text says of the law: the engine, the equations and the fit agree.
CHECK = """
low, high = (result.ci[name] for name in ("low", "high"))
assert low[0] < 0.02 < low[1], low
assert high[0] < 0.3 < high[1], high
assert abs(runs.infected[0, -1] / curve["infected"].iloc[-1] - 1) < 0.01
"""


def test_every_block_runs(tmp_path: Path) -> None:
    heading, files = "", []
    for title, block in PARTS.findall(PAGE.read_text(encoding="utf-8")):
        heading = title or heading
        if block:
            assert max(len(part.splitlines()) for part in re.split(r"\n\n+", block)) < 25
            files.append(tmp_path / f"block_{len(files)}.py")
            files[-1].write_text(block + CHECK * (heading == "A law"), encoding="utf-8")
    assert len(files) >= 7
    # In a process of their own, as they register parts.
    driver = "import runpy, sys; [runpy.run_path(p, run_name='__main__') for p in sys.argv[1:]]"
    command = [sys.executable, "-c", driver, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert "Threshold fitted to" in done.stdout
    assert "Threshold(low=" in done.stdout


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of somebody's own, where Python and its child processes find it."""
    name = f"own_parts_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    return name


def test_a_part_is_found_by_its_path(own_module: str) -> None:
    assert as_decider(f"{own_module}:Stubborn(2)").occasions == 2  # type: ignore[attr-defined]
    law = as_decider(f"{own_module}:Threshold(0.1, 0.5)").law  # type: ignore[attr-defined]
    assert law.parameters == {"low": 0.1, "high": 0.5}
    with pytest.raises(ArgumentError, match="importable"):
        as_decider(f"{own_module}:Nobody")
    with pytest.raises(ArgumentError, match="'many'"):
        as_decider(f"{own_module}:Stubborn(many=2)")
    with pytest.raises(UnknownNameError, match="did you mean 'traits'"):
        as_decider("trait")


def test_batch_run_finds_it_in_other_processes(own_module: str) -> None:
    rows = batch_run(
        SpreadModel,
        {"n": 40, "k": 4, "decider": f"{own_module}:Stubborn", "rng": [1, 2]},
        number_processes=2,
        max_steps=8,
        display_progress=False,
    )
    data = SpreadData.from_batch_run(rows)
    assert data.exposures.query("outcome == 'repost'")["exposure_count"].min() == 3


@pytest.mark.parametrize("engine", ["mesa", "ensemble"])
def test_a_sweep_runs_a_law_by_its_path(own_module: str, tmp_path: Path, engine: Any) -> None:
    decider = f"{own_module}:Threshold({{low}}, 0.5)"
    design = Design({"n": 60, "k": 6, "decider": decider, "low": [0.05, 0.2]}, rng=1)
    sweep = run(design, tmp_path / "sweep", engine=engine, backend="sequential", steps=10)
    assert len(sweep.done) == 2


def test_the_workers_of_a_sweep_know_what_is_registered(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        MODULE
        + f"""
from mesa_llmspread import register_decider, register_law
from mesa_llmspread.sweep import Design, run

if __name__ == "__main__":
    register_decider("stubborn_one", Stubborn)
    register_law(Threshold)
    deciders = ["stubborn_one(2)", "Threshold(0.1, 0.4)"]
    design = Design({{"n": 40, "k": 4, "decider": deciders}}, rng=1)
    print(len(run(design, {str(tmp_path / "sweep")!r}, n_jobs=2, steps=6).done), "runs")
"""
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=250
    )
    assert "2 runs" in done.stdout, done.stderr


def test_the_command_line_finds_it_in_the_folder(
    own_module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    call("run", out, "--decider", f"{own_module}:Threshold(0.05, 0.4)", "--rng", 1)
    assert "Threshold fitted to" in call("fit", out, "--law", f"{own_module}:Threshold")
