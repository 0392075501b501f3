"""Results of a sweep: tables with the design's columns, fits of cells, figures."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pytest
from errors import refused
from pandas.testing import assert_frame_equal
from sweeps import small_design

from mesa_llmspread import SpreadData
from mesa_llmspread.exceptions import ArgumentError, DesignError, UnknownNameError
from mesa_llmspread.sweep import Design, Sweep, fit_cells, load, run
from mesa_llmspread.sweep.figures import plot_heatmap, plot_rates


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """The small design, done in this process."""
    return run(small_design(), tmp_path_factory.mktemp("small"), backend="sequential")


def test_tables_carry_the_design(small: Sweep) -> None:
    counts, exposures = small.counts, small.exposures
    for table in (counts, exposures):
        assert {"cell", "replicate", "k", "beta", "rng"} <= set(table)
        assert set(table["run"]) == set(range(8))
    ends = counts.groupby("run").last()
    assert (ends["susceptible"] + ends["infected"] == 60).all()
    assert (exposures.groupby("run").size() == counts.groupby("run")["exposures"].sum()).all()
    frame = small.frame()
    assert len(frame) == len(counts) + len(exposures)
    assert {"k", "beta", "infected", "outcome"} <= set(frame)


def test_a_run_is_a_record_like_any_other(small: Sweep, tmp_path: Path) -> None:
    record = SpreadData.load(small.file(3))
    assert record.runs == [3]
    together = small.data([1, 3]).select([3])
    for table in ("exposures", "counts", "agents"):
        assert_frame_equal(getattr(record, table), getattr(together, table))
    assert record.info == together.info
    assert len(record.agents) == 60
    again = SpreadData.load(small.data().save(tmp_path / "all"))
    assert again.runs == small.done


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
        shutil.rmtree(sweep.file(number))
    empty = load(tmp_path)
    assert empty.counts.empty
    assert empty.outcomes().empty
    with pytest.raises(ArgumentError):
        empty.data([0])
    with pytest.raises(ArgumentError):
        fit_cells(empty, "SI", n_jobs=1)


def test_the_compiled_engine_follows_the_same_law(tmp_path: Path) -> None:
    design = Design({"n": 300, "k": 6, "decider": "SI(0.05)"}, replicates=40, rng=2)
    curves = {}
    for engine in ("mesa", "compiled"):
        sweep = run(design, tmp_path / engine, engine=engine, n_jobs=2, steps=25)
        assert list(sweep.counts) == [
            *("run", "step", "susceptible", "infected", "new_infected", "exposures", "failed"),
            *("cell", "replicate", "n", "k", "decider", "rng"),
        ]
        table = sweep.counts.pivot(index="step", columns="run", values="infected").ffill()
        curves[engine] = table
    difference = curves["mesa"].mean(axis=1) - curves["compiled"].mean(axis=1)
    error = np.sqrt((curves["mesa"].var(axis=1) + curves["compiled"].var(axis=1)) / 40)
    assert (difference.abs() <= 4 * error + 1e-9).all()
    assert difference[0] == 0


@pytest.mark.parametrize(
    "cell",
    [
        {"decider": "SI(1.0)"},
        {"decider": "SI(1.0)", "feed": "new"},
        # Somebody is not connected to those who start.
        {"decider": "SI(1.0)", "k": 1, "n": 20},
        {"decider": "SI(1.0)", "k": 1, "n": 20, "feed": "new"},
        {"decider": "SI(1.0)", "k": 2, "visibility": "Visibility(3)"},
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
        for engine in ("mesa", "compiled")
    ]
    assert_frame_equal(*tables)


def test_what_the_compiled_engine_cannot_do_is_reported(tmp_path: Path) -> None:
    design = Design(
        {"n": 50, "decider": ["traits", "FirstRepeat(0.2, 0.1)"], "media_prob": [0.0, 0.1]}, rng=1
    )
    with pytest.raises(DesignError) as caught:
        run(design, tmp_path / "out", engine="compiled")
    found = {(problem.where, problem.argument) for problem in caught.value.problems}
    assert found == {("row 0 and 1 more", "decider")}
    with pytest.raises(DesignError) as caught:
        run(Design({"n": 50}, rng=1), tmp_path / "out", engine="compiled")
    assert [problem.argument for problem in caught.value.problems] == ["decider"]
    assert not (tmp_path / "out").exists()


def test_the_compiled_engine_records_no_decisions(tmp_path: Path) -> None:
    design = Design({"n": 50, "decider": "SI(0.2)"}, rng=1)
    sweep = run(design, tmp_path, engine="compiled", backend="sequential")
    assert sweep.exposures.empty
    assert sweep.counts["exposures"].isna().all()
    for use in (lambda: sweep.data(), lambda: fit_cells(sweep, "SI")):
        with pytest.raises(ArgumentError) as caught:
            use()
        assert caught.value.argument == "engine"


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
    refused(lambda: fit_cells(sweep, "SI", level=2), "level", 2)
    refused(lambda: fit_cells(sweep, "SI", by=[]), "by", [])


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
    assert {axis.get_ylabel() for axis in figure.axes} == {"probability per step"}
    lower = table.assign(law="ByTraits", parameter="openness", estimate=-0.1, low=-0.2, high=0.1)
    (axis,) = plot_rates(lower, "k").axes
    assert (axis.get_ylabel(), axis.get_ylim()[0] < -0.2) == ("estimate", True)
    heat = plot_heatmap(two_rates.outcomes(), "k", "event", "final").axes[0]
    assert heat.images[0].get_array().shape == (3, 2)
    assert len(heat.texts) == 6
    for call in (
        lambda: plot_rates(table, "degree"),
        lambda: plot_heatmap(table, "k", "event", "share"),
    ):
        with pytest.raises(UnknownNameError):
            call()
