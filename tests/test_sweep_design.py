"""Designs: which runs a sweep has, and what a design must not hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from sweeps import small_design

from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, DesignError
from mesa_llmspread.sweep import Design, run


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
    pytest.importorskip("SALib")
    ranges = {
        "k": (4, 7),
        "beta": (0.1, 0.3),
        "decider": "SI({beta})",
        "feed": ["new", "persistent"],
    }
    for design in (
        Design.latin_hypercube(ranges, 32, rng=1),
        Design.sobol(ranges, 32, rng=1),
        Design.saltelli(ranges, 16, rng=1),
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
    found = [(problem.argument, problem.where) for problem in caught.value.problems]
    assert sorted(found) == [
        ("decider", ""),
        ("decider", ""),
        ("degree", ""),
        ("k", ""),
        ("media_prob", ""),
        ("n", "item 1"),
        ("network", ""),
        ("rng", ""),
    ]
    message = str(caught.value)
    for problem in caught.value.problems:
        assert str(problem) in message
    assert "did you mean 'random_regular'" in message


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
    with pytest.raises(DesignError) as caught:
        Design({"feed": ["old"], "initial_infected": 300, "k": [4, 6, 8]})
    found = [(problem.argument, problem.where) for problem in caught.value.problems]
    assert found == [("feed", "row 0 and 2 more"), ("initial_infected", "row 0 and 2 more")]


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
        lambda: Design.latin_hypercube({"k": []}, 12),
    ],
)
def test_other_bad_designs(make: Callable[[], Design]) -> None:
    with pytest.raises(ArgumentError):
        make()


def test_parameters_of_another_kind_are_refused() -> None:
    with pytest.raises(ArgumentTypeError):
        Design([4, 8])  # type: ignore[arg-type]
