"""Decisions from elsewhere: a survey, an experiment with people."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from errors import refused

from mesa_llmspread import (
    OfflineEvent,
    SpreadData,
    SpreadModel,
    analyse,
    bundled_events,
    compare,
    fit,
    trait_effects,
)
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.inference.predictive import predict_runs

FEW = pd.DataFrame(
    {
        "run": [0, 0, 0, 0],
        "step": [3, 1, 2, 1],
        "agent": [7, 7, 7, 8],
        "contacts": [3, 1, 2, 1],
        "outcome": ["repost", "decline", "failed", "decline"],
    }
)


@pytest.fixture(scope="module")
def simulated() -> SpreadData:
    model = SpreadModel(n=400, decider="FirstRepeat(0.2, 0.04)", rng=1).run(60)
    return SpreadData.from_model(model)


@pytest.fixture(scope="module")
def bare(simulated: SpreadData) -> SpreadData:
    """The same decisions, of which little is known."""
    kept = ["run", "step", "agent", "contacts", "outcome"]
    return SpreadData.from_tables(simulated.exposures[kept], info={"n": 400, "k": 8})


def test_what_is_missing_has_defaults() -> None:
    data = SpreadData.from_tables(FEW, info={"n": 200, "k": 8})
    # In the order of the rows; a failed decision was no occasion.
    assert data.exposures["exposure_count"].tolist() == [2, 1, 2, 1]
    assert data.exposures["cumulative"].tolist() == [3, 1, 2, 1]
    assert set(data.exposures["profile"]) == {"unknown"}
    assert not data.exposures["direct"].any()
    assert data.runs == [0]
    assert data.info[0].n == 200


def test_decisions_are_enough_to_fit_and_compare(bare: SpreadData, simulated: SpreadData) -> None:
    for name in ("SI", "FirstRepeat", "TwoClass", "SingleMultiple"):
        one, other = fit(bare, name), fit(simulated, name)
        assert one.params == pytest.approx(other.params)
        assert one.ci["beta_first" if name == "FirstRepeat" else next(iter(one.ci))]
    assert compare(bare).best.name == "FirstRepeat"


def test_what_needs_more_is_refused(bare: SpreadData, simulated: SpreadData) -> None:
    result = fit(bare, "FirstRepeat")
    for use in (
        lambda: fit(bare, "ByProfile"),
        lambda: trait_effects(bare),
        lambda: fit(bare, "SI", method="curve"),
        lambda: predict_runs(result, bare),
        lambda: analyse(bare),
    ):
        with pytest.raises(ArgumentError):
            use()
    refused(lambda: fit(bare, "ByProfile"), "law", "ByProfile")


def test_columns_and_names_are_checked() -> None:
    few = FEW[["run", "step", "agent"]]
    missing = refused(lambda: SpreadData.from_tables(few), "exposures", list(few))
    assert missing.allowed == "have columns contacts, outcome"
    unknown = refused(lambda: SpreadData.from_tables(FEW, info={"netwrk": "x"}), "info", "netwrk")
    assert "network" in unknown.known
    refused(lambda: SpreadData.from_tables([1]), "exposures", [1])  # type: ignore[arg-type]
    wrong = FEW.assign(outcome="yes")
    refused(lambda: SpreadData.from_tables(wrong), "exposures['outcome']", "yes")


def test_numbers_in_any_form_are_read() -> None:
    expected = SpreadData.from_tables(FEW).exposures
    for same in (
        FEW.astype({"run": str, "step": str, "contacts": str}),
        FEW.convert_dtypes(),
        FEW.convert_dtypes(dtype_backend="pyarrow"),
        FEW.astype({"outcome": "category", "contacts": float}),
    ):
        pd.testing.assert_frame_equal(SpreadData.from_tables(same).exposures, expected)
    steps = [str(step) for step in range(12)]
    counts = pd.DataFrame({"run": "0", "step": steps, "susceptible": "9", "infected": "1"})
    counts = counts.assign(new_infected=0, exposures=0, failed=0)
    read = SpreadData.from_tables(FEW, counts.iloc[::-1], {"n": 10})
    assert read.counts["step"].tolist() == list(range(12))
    refused(lambda: SpreadData.from_tables(FEW, counts, {"n": 11}), "counts")


def test_missing_texts_are_unknown_and_wrong_cells_are_named() -> None:
    event = FEW.assign(event=["a", None, "a", "a"], profile=["OCEAN", None, "OCEAN", "ocean"])
    data = SpreadData.from_tables(event)
    assert data.exposures["event"].tolist() == ["a", "unknown", "a", "a"]
    assert compare(data, ["SI"]).best.name == "SI"
    compare(data)
    for column, value in (
        ("contacts", pd.NA),
        ("contacts", 1e30),
        ("contacts", "many"),
        ("direct", pd.NA),
        ("outcome", None),
        ("profile", "ocxan"),
    ):
        wrong = FEW.assign(**{column: [value, *FEW.get(column, FEW["outcome"]).iloc[1:]]})
        if column in ("direct", "profile"):
            wrong[column] = [value, *[{"direct": True, "profile": "OCEAN"}[column]] * 3]
        refused(lambda wrong=wrong: SpreadData.from_tables(wrong), f"exposures[{column!r}]")
    wrong = FEW.assign(contacts=pd.array([1, None, 2, 2], dtype="Int64"))
    refused(lambda: SpreadData.from_tables(wrong), "exposures['contacts']")
    fewer = FEW.assign(cumulative=0)
    refused(lambda: SpreadData.from_tables(fewer), "exposures['cumulative']")
    several = FEW.assign(agent=7, step=[1, 2, 3, 4], profile=["OCEAN", "unknown", "ocean", "OCEAN"])
    refused(lambda: SpreadData.from_tables(several), "exposures['profile']", {"run": 0, "agent": 7})


def test_an_event_is_rebuilt_from_a_record(simulated: SpreadData) -> None:
    (event,) = simulated.info[0].events
    assert event == bundled_events()[0]
    again = SpreadModel(n=400, event=event, decider="FirstRepeat(0.2, 0.04)", rng=1).run(60)
    assert SpreadData.from_model(again).exposures.equals(simulated.exposures)
    plain = json.loads(json.dumps(event.to_dict()))
    assert OfflineEvent.from_dict(plain) == event
    for wrong in ({}, {**plain, "more": 1}, {**plain, "date": "14/05/2024"}):
        with pytest.raises(ArgumentError):
            OfflineEvent.from_dict(wrong)
    refused(lambda: OfflineEvent.from_dict({**plain, "actors": "Rioters"}), "actors", "Rioters")
    refused(lambda: OfflineEvent.from_dict("riots-40"), "fields", "riots-40")  # type: ignore[arg-type]
