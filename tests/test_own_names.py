"""Own parts by name: registered in a process, on an import path, or of an installed package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import call
from mesa.batchrunner import batch_run

from mesa_llmspread import SpreadData, SpreadModel, as_decider, check_law
from mesa_llmspread.exceptions import ArgumentError, DesignError, UnknownNameError
from mesa_llmspread.sweep import Design, fit_cells, run

PARTS = """
from dataclasses import dataclass

import numpy as np
from mesa_llmspread import Closure, Decider, Decision, Outcome, TransmissionLaw


class Stubborn(Decider):
    def __init__(self, occasions=3):
        if occasions < 1:
            raise ValueError("occasions must be at least 1")
        self.occasions = occasions

    def decide(self, exposures, rng):
        ripe = [e.exposure_count >= self.occasions for e in exposures]
        return [Decision(Outcome.REPOST if yes else Outcome.DECLINE) for yes in ripe]


@dataclass(frozen=True)
class Threshold(TransmissionLaw):
    low: float
    high: float

    def prob(self, seen):
        return np.where(seen.contacts >= 2, self.high, self.low) * (seen.contacts > 0)


class Nothing(Closure):
    name = "nothing"

    def supports(self, law, time, visibility, network):
        return "be 'master'"
"""

# What is registered in a script (or a notebook) exists in no other process.
SCRIPT = """
import sys
from pathlib import Path

from mesa.batchrunner import batch_run
from mesa_llmspread import (
    SpreadData, SpreadModel, register_closure, register_decider, register_law,
)
from mesa_llmspread.sweep import Design, fit_cells, run

if __name__ == "__main__":
    out = Path(sys.argv[1])
    {before}
    register_decider("stubborn", Stubborn)
    register_law(Threshold)
    register_closure(Nothing())

    rows = batch_run(
        SpreadModel,
        {{"n": 40, "k": 4, "decider": "stubborn(2)", "rng": [1, 2]}},
        number_processes=1,
        max_steps=6,
        display_progress=False,
    )
    posted = SpreadData.from_batch_run(rows).exposures.query("outcome == 'repost'")
    assert posted["exposure_count"].min() == 2

    deciders = ["stubborn(2)", "Threshold(0.05, 0.4)"]
    for backend in {backends}:
        design = Design({{"n": 40, "k": 4, "decider": deciders}}, rng=1)
        sweep = run(design, out / backend, backend=backend, n_jobs=2, steps=6)
        assert list(sweep.runs["status"]) == ["done"] * 2, sweep.runs["error"].tolist()
        posted = sweep.exposures.query("outcome == 'repost' and decider == 'stubborn(2)'")
        assert posted["exposure_count"].min() == 2

    laws = Design({{"n": 200, "k": 4, "decider": "Threshold({{low}}, 0.4)", "low": [0.05]}}, rng=1)
    sweep = run(laws, out / "compiled", engine="compiled", n_jobs=2, steps=6)
    assert len(sweep.done) == 1, sweep.runs["error"].tolist()
    fitted = fit_cells(run(laws, out / "laws", n_jobs=2, steps=20), "Threshold", n_jobs=2)
    assert fitted["success"].all(), fitted["message"].tolist()
    print("all", len(fitted), "rates")
"""


def of_script(folder: Path, code: str) -> str:
    """Run a script in a process of its own, and return what it printed."""
    script = folder / "script.py"
    script.write_text(code, encoding="utf-8")
    # Nothing went wrong underneath either: no worker was lost and replaced.
    command = [sys.executable, "-W", "error::RuntimeWarning", str(script), str(folder / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_parts_of_a_script_are_known_in_its_workers(tmp_path: Path) -> None:
    script = PARTS + SCRIPT.format(before="", backends=["sequential", "loky"])
    assert "all 2 rates" in of_script(tmp_path, script)


def test_parts_of_a_module_that_workers_learn_of_late(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "late_parts.py").write_text(PARTS, encoding="utf-8")
    before = f"""
    # The workers of this sweep are used again, and do not have the path.
    run(Design({{"n": 40, "decider": "SI(0.1)"}}, replicates=4, rng=1), out / "first", n_jobs=2)
    sys.path.append({str(elsewhere)!r})
    from late_parts import Nothing, Stubborn, Threshold
"""
    assert "all 2 rates" in of_script(tmp_path, SCRIPT.format(before=before, backends=["loky"]))


@pytest.mark.slow
def test_the_parts_of_a_script_are_known_on_a_dask_cluster(tmp_path: Path) -> None:
    script = PARTS + SCRIPT.format(before="", backends=["dask"])
    assert "all 2 rates" in of_script(tmp_path, script)


def test_a_name_that_is_registered_again_means_the_new_part(tmp_path: Path) -> None:
    script = f"""{PARTS}
import sys
from mesa_llmspread import register_decider
from mesa_llmspread.sweep import Design, run

if __name__ == "__main__":
    register_decider("other", lambda: Stubborn(1))
    for i, occasions in enumerate((1, 4, 1)):
        register_decider("mine", lambda occasions=occasions: Stubborn(occasions))
        design = Design({{"n": 40, "k": 4, "decider": "mine"}}, rng=1)
        sweep = run(design, f"{{sys.argv[1]}}-{{i}}", n_jobs=2, steps=6)
        print(sweep.exposures.query("outcome == 'repost'")["exposure_count"].min())
"""
    assert of_script(tmp_path, script).split() == ["1", "4", "1"]


def test_a_part_that_cannot_be_sent_is_named(tmp_path: Path) -> None:
    script = f"""{PARTS}
import sys, threading
from pathlib import Path
from mesa_llmspread import register_decider
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.sweep import Design, run

if __name__ == "__main__":
    lock = threading.Lock()
    register_decider("locked", lambda: lock and Stubborn())
    design = Design({{"n": 40, "k": 4, "decider": "locked"}}, rng=1)
    try:
        run(design, sys.argv[1], n_jobs=2)
    except ArgumentError as error:
        print(error)
    print(Path(sys.argv[1]).exists())
    print(len(run(design, sys.argv[1], backend="sequential", steps=3).done))
"""
    refused, exists, done = of_script(tmp_path, script).splitlines()
    assert refused.startswith("decider='locked': must be picklable")
    assert "sequential" in refused
    assert (exists, done) == ("False", "1")


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of a user's own, where Python and its child processes find it."""
    name = f"named_parts_{abs(hash(tmp_path))}"
    folder = tmp_path / "path"
    folder.mkdir()
    (folder / f"{name}.py").write_text(PARTS, encoding="utf-8")
    (folder / "broken_parts.py").write_text("one = 1 / 0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    return name


@pytest.fixture
def installed(parts: str, tmp_path: Path) -> None:
    """A package that offers its parts as entry points."""
    info = tmp_path / "path" / "spread_parts-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: spread-parts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[mesa_llmspread]\n"
        f"patient = {parts}:Stubborn\n"
        f"CrowdLaw = {parts}:Threshold\n"
        "gone = no_such_module:Stubborn\n"
    )


@pytest.mark.usefixtures("installed")
def test_an_installed_package_offers_names(tmp_path: Path) -> None:
    assert as_decider("patient(2)").occasions == 2  # type: ignore[attr-defined]
    check_law("CrowdLaw")
    design = Design({"n": 60, "k": 4, "decider": ["patient", "CrowdLaw(0.1, 0.4)"]}, rng=1)
    sweep = run(design, tmp_path / "sweep", backend="loky", n_jobs=2, steps=8)
    assert len(sweep.done) == 2, sweep.runs["error"].tolist()
    out = tmp_path / "out"
    call("run", out, "--decider", "CrowdLaw(0.1, 0.4)", "--n", 60, "--rng", 1)
    assert "Threshold fitted to" in call("fit", out, "--law", "CrowdLaw")
    with pytest.raises(ArgumentError) as caught:
        as_decider("gone")
    assert (caught.value.argument, caught.value.value) == ("decider", "gone")


def test_cells_are_fitted_with_a_law_by_its_path(parts: str, tmp_path: Path) -> None:
    decider = f"{parts}:Threshold({{low}}, 0.4)"
    design = Design({"n": 100, "k": 4, "decider": decider, "low": [0.05, 0.1]}, rng=1)
    sweep = run(design, tmp_path / "sweep", backend="sequential", steps=20)
    fitted = fit_cells(sweep, f"{parts}:Threshold", n_jobs=2)
    assert fitted["success"].tolist() == [True] * 4
    assert set(fitted["law"]) == {"Threshold"}
    with pytest.raises(UnknownNameError) as caught:
        fit_cells(sweep, "Thresold")
    assert (caught.value.argument, caught.value.value) == ("law", "Thresold")


@pytest.mark.parametrize(
    ("decider", "part"),
    [
        ("stuborn", "be one of traits, "),
        ("no_such_module:Stubborn", "No module named 'no_such_module'"),
        ("{parts}:Stuborn", "has no attribute 'Stuborn'"),
        ("{parts}:Stubborn(0)", "occasions must be at least 1"),
        ("{parts}:Stubborn(many=2)", "unexpected keyword argument 'many'"),
        ("{parts}:Threshold(0.1)", "missing 1 required positional argument: 'high'"),
        ("{parts}:Threshold(0.1, 2)", "high=2: must be a probability"),
        ("{parts}:np", "a name, a law or a Decider"),
        ("broken_parts:one", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_bad_name_is_one_clear_line(parts: str, tmp_path: Path, decider: str, part: str) -> None:
    text = decider.format(parts=parts)
    with pytest.raises((ArgumentError, TypeError)) as caught:
        SpreadModel(decider=text)
    said = call("run", tmp_path / "out", "--decider", text, code=2)
    assert said == f"error: {caught.value}\n"
    assert part in said
    with pytest.raises(DesignError) as refused:
        Design({"decider": text})
    assert len(refused.value.problems) == 1


def test_a_bad_law_is_one_clear_line(parts: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    call("run", out, "--decider", "SI(0.1)", "--n", 60, "--rng", 1)
    for law, part in {
        "Nobody": "law='Nobody': must be one of SI,",
        "no_such_module:Law": "No module named 'no_such_module'",
        f"{parts}:Stubborn": "a subclass of TransmissionLaw",
    }.items():
        said = call("fit", out, "--law", law, code=2)
        assert part in said
        assert len(said.splitlines()) == 1


def test_the_page_offers_what_is_registered(tmp_path: Path) -> None:
    script = f"""{PARTS}
from mesa_llmspread import register_decider

register_decider("stubborn", Stubborn)

from mesa_llmspread.app.form import decider_choices
from mesa_llmspread.app.settings import Settings

chosen = Settings(decider="stubborn")
print(decider_choices()["stubborn"])
print(chosen.make_model().decider.occasions, chosen.decided_by())
"""
    assert of_script(tmp_path, script).splitlines() == [
        "registered: stubborn",
        "3 The operator's own part decides: stubborn.",
    ]


def test_settings_are_plain_text(parts: str) -> None:
    from mesa_llmspread.app.export import python_lines
    from mesa_llmspread.app.settings import Settings

    settings: Any = Settings(decider=f"{parts}:Stubborn(2)", n=40, k=4)
    assert settings.make_model().decider.occasions == 2
    assert f"{parts}:Stubborn(2)" in settings.decided_by()
    assert f"decider='{parts}:Stubborn(2)'" in python_lines(settings, 10)


def test_a_part_is_found_by_its_path(parts: str) -> None:
    assert as_decider(f"{parts}:Stubborn(2)").occasions == 2  # type: ignore[attr-defined]
    law = as_decider(f"{parts}:Threshold(0.1, 0.5)").law  # type: ignore[attr-defined]
    assert law.parameters == {"low": 0.1, "high": 0.5}


def test_batch_run_finds_it_in_other_processes(parts: str) -> None:
    rows = batch_run(
        SpreadModel,
        {"n": 40, "k": 4, "decider": f"{parts}:Stubborn", "rng": [1, 2]},
        number_processes=2,
        max_steps=8,
        display_progress=False,
    )
    data = SpreadData.from_batch_run(rows)
    assert data.exposures.query("outcome == 'repost'")["exposure_count"].min() == 3


@pytest.mark.parametrize("engine", ["mesa", "compiled"])
def test_a_sweep_runs_a_law_by_its_path(parts: str, tmp_path: Path, engine: Any) -> None:
    decider = f"{parts}:Threshold({{low}}, 0.5)"
    design = Design({"n": 60, "k": 6, "decider": decider, "low": [0.05, 0.2]}, rng=1)
    sweep = run(design, tmp_path / "sweep", engine=engine, backend="sequential", steps=10)
    assert len(sweep.done) == 2


def test_the_command_finds_a_module_in_the_folder_that_it_runs_in(tmp_path: Path) -> None:
    (tmp_path / "my_parts.py").write_text(PARTS, encoding="utf-8")
    command = Path(sys.executable).with_name("llmspread")

    def said(*words: str) -> str:
        done = subprocess.run(
            [command, *words], cwd=tmp_path, capture_output=True, text=True, timeout=250
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    said("run", "out", "--decider", "my_parts:Threshold(0.05, 0.4)", "--rng", "1")
    assert "Threshold fitted to" in said("fit", "out", "--law", "my_parts:Threshold")
