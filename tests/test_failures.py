"""Failures that are not at random: bounds against refits by hand, and what the report says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mesa_llmspread import SpreadData, SpreadModel, analyse, compare, concat, fit, trait_effects
from mesa_llmspread.inference.failures import failure_bounds, failure_note


@pytest.fixture(scope="module")
def data() -> SpreadData:
    runs = [SpreadModel(n=200, decider="SI(0.05)", rng=seed).run(30) for seed in range(2)]
    return concat([SpreadData.from_model(run) for run in runs])


def failing(data: SpreadData, failed: pd.Series) -> SpreadData:
    """Return the record with some decisions failed."""
    outcome = data.exposures["outcome"].mask(failed, "failed")
    return SpreadData(data.exposures.assign(outcome=outcome), data.counts, data.info, data.agents)


def test_bounds_are_those_of_refits_by_hand() -> None:
    rows = pd.DataFrame({"run": 0, "agent": [0, 0, 0, 1, 1, 2, 3, 3], "contacts": 1})
    rows["step"] = [1, 2, 3, 1, 2, 1, 1, 2]
    outcomes = "decline failed repost failed decline repost decline failed"
    rows["outcome"] = np.array(outcomes.split(" "))
    found = failure_bounds(SpreadData.from_tables(rows), "FirstRepeat").set_index("quantity")
    # As declines: first 4 with 1 repost, repeated 4 with 1. As reposts the agents 0 and 1 decide
    # no more after theirs: first 4 with 2, repeated 2 with 2.
    assert found["as_declines"].to_dict() == pytest.approx(
        {"beta_first": 1 / 4, "beta_repeat": 1 / 4}, abs=1e-6
    )
    assert found["as_reposts"].to_dict() == pytest.approx(
        {"beta_first": 2 / 4, "beta_repeat": 1.0}, abs=1e-6
    )


def test_without_failures_there_is_nothing_between_the_bounds(data: SpreadData) -> None:
    found = failure_bounds(data, "SI").set_index("quantity")
    assert set(found.index) >= {"beta", "extraversion"}
    assert found["as_declines"].to_numpy() == pytest.approx(found["estimate"].to_numpy())
    assert found["as_reposts"].to_numpy() == pytest.approx(found["estimate"].to_numpy())
    assert found.loc["beta", ["low", "high"]].tolist() == list(fit(data, "SI").ci["beta"])


@pytest.mark.slow
def test_failures_of_extraverts_change_what_is_found(data: SpreadData) -> None:
    extravert = data.exposures["profile"].str[2].str.isupper()
    lost = np.random.default_rng(1).random(len(extravert)) < 0.3
    some = failing(data, extravert & (data.exposures["outcome"] == "decline") & lost)
    bounds = failure_bounds(some, "SI").set_index("quantity").loc["extraversion"]
    assert bounds["as_declines"] < bounds["estimate"] < bounds["as_reposts"]
    effects = trait_effects(some)
    assert effects.claimed == ["extraversion"]
    note = failure_note(some, compare(some), effects)
    assert "declines, effects would be found of no trait" in note
    assert note in analyse(some).notes


def test_few_failures_are_no_matter(data: SpreadData) -> None:
    few = failing(data, pd.Series(np.arange(len(data.exposures)) % 100 == 0))
    assert failure_note(few, compare(few), None) == ""


def test_a_clustered_network_is_noted() -> None:
    model = SpreadModel(n=100, k=6, network="small_world", decider="SI(0.1)", rng=1).run(10)
    notes = analyse(SpreadData.from_model(model)).notes
    assert len(notes) == 1
    assert "clustered" in notes[0]
