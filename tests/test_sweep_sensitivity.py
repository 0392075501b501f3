"""Sensitivity: SALib's design and indices over the runs of a sweep."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal
from sweeps import small_design

from mesa_llmspread.exceptions import ArgumentError, UnknownNameError
from mesa_llmspread.sweep import Design, load, run, sensitivity


@pytest.mark.slow
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
    sweep = run(design, tmp_path, engine="compiled", n_jobs=2, steps=12)
    table = sensitivity(sweep).set_index("parameter")
    assert list(table.index) == ["k", "beta", "initial_infected"]
    assert table["total"].idxmax() == "beta"
    assert table.loc["beta", "first"] > 0.7
    assert_frame_equal(table, sensitivity(sweep).set_index("parameter"))


def test_sensitivity_needs_its_design_and_all_runs(tmp_path: Path) -> None:
    pytest.importorskip("SALib")
    plain = run(small_design(1), tmp_path / "plain", backend="sequential")
    with pytest.raises(ArgumentError) as caught:
        sensitivity(plain)
    assert (caught.value.argument, caught.value.value) == ("sweep", "factorial")
    design = Design.saltelli({"n": 40, "decider": "SI({beta})", "beta": (0.1, 0.2)}, 4, rng=1)
    sweep = run(design, tmp_path / "out", engine="compiled", backend="sequential")
    with pytest.raises(UnknownNameError):
        sensitivity(sweep, "speed")
    shutil.rmtree(sweep.file(2))
    with pytest.raises(ArgumentError) as caught:
        sensitivity(load(tmp_path / "out"))
    assert caught.value.argument == "sweep"
