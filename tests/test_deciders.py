"""Laws, the trait policy and scripts as deciders."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from errors import refused
from scipy.special import expit

from mesa_llmspread import (
    SI,
    ByProfile,
    Decision,
    Exposure,
    FirstRepeat,
    MixedDecider,
    Outcome,
    Profile,
    RateDecider,
    ScriptedDecider,
    SpreadModel,
    TraitDecider,
    TwoClass,
    all_profiles,
    bundled_events,
)
from mesa_llmspread.deciders import as_decider, coins
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    DeciderError,
    UnknownNameError,
)
from mesa_llmspread.profiles import codes

EVENT = bundled_events()[0]
PERSON = Profile.from_code("OCEAN")


def exposures(number: int, **changes) -> list[Exposure]:
    base = Exposure(1, 0, PERSON, EVENT, contacts=1, cumulative=1, exposure_count=1)
    return [base._replace(agent=agent, **changes) for agent in range(number)]


def share(decisions: list[Decision]) -> float:
    return float(np.mean([decision.outcome is Outcome.REPOST for decision in decisions]))


def test_a_law_decides_with_its_probability() -> None:
    decider = RateDecider(FirstRepeat(0.3, 0.1))
    rng = np.random.default_rng(1)
    assert share(decider.decide(exposures(20_000), rng)) == pytest.approx(0.3, abs=0.015)
    again = exposures(20_000, exposure_count=2, contacts=2)
    assert share(decider.decide(again, rng)) == pytest.approx(0.19, abs=0.015)


def test_a_law_by_profile_sees_the_profile() -> None:
    betas = [0.0] * 31 + [1.0]
    decisions = RateDecider(ByProfile(betas)).decide(
        [
            exposure._replace(profile=profile)
            for exposure, profile in zip(exposures(32), all_profiles(), strict=True)
        ],
        np.random.default_rng(1),
    )
    assert [d.outcome is Outcome.REPOST for d in decisions] == [False] * 31 + [True]


def test_latent_classes_are_drawn_once_a_run() -> None:
    decider = RateDecider(TwoClass(0.0, 1.0, share_high=0.3))
    run = decider.for_run(5000, np.random.default_rng(1))
    rng = np.random.default_rng(2)
    first = [d.outcome for d in run.decide(exposures(5000), rng)]
    second = [d.outcome for d in run.decide(exposures(5000), rng)]
    assert first == second
    assert np.mean([o is Outcome.REPOST for o in first]) == pytest.approx(0.3, abs=0.03)
    other = run.for_run(5000, np.random.default_rng(3))
    assert [d.outcome for d in other.decide(exposures(5000), rng)] != first


def test_a_coin_belongs_to_its_agent() -> None:
    decider = RateDecider(SI(0.5))
    many = decider.decide(exposures(50), np.random.default_rng(1))
    few = decider.decide(exposures(50)[::7], np.random.default_rng(1))
    assert few == many[::7]


def test_the_trait_policy_is_its_formula() -> None:
    policy = TraitDecider()
    exposure = exposures(1, contacts=4, exposure_count=2, direct=True)[0]
    event = dataclasses.replace(EVENT, fatalities=99, civilian_targeting=True)
    event = dataclasses.replace(event, event_type="Protests", sub_event_type="Peaceful protest")
    expected = (
        policy.intercept
        + policy.contacts * 2
        + policy.direct
        + (-0.16 + 0.27 - 0.33 - 0.16)
        + policy.fatalities * 2
        + policy.civilians
        + policy.event_types["Protests"]
    )
    found = policy.probabilities([exposure._replace(event=event)])
    assert found == pytest.approx([expit(expected)])
    first = policy.probabilities([exposure._replace(event=event, exposure_count=1)])
    assert first == pytest.approx([expit(expected + policy.first)])


@pytest.mark.parametrize("value", ["0.8", None, float("nan"), True])
def test_the_trait_policy_has_numbers(value: Any) -> None:
    refused(lambda: TraitDecider(contacts=value), "contacts")
    refused(lambda: TraitDecider(event_types={"Riots": value}), "event_types['Riots']")


@pytest.mark.parametrize(
    ("trait", "sign"),
    [("extraversion", 1), ("agreeableness", -1), ("conscientiousness", -1), ("neuroticism", -1)],
)
def test_traits_move_the_policy_as_in_people(trait: str, sign: int) -> None:
    low = dataclasses.replace(PERSON, **{trait: -1.0})
    policy = TraitDecider()
    change = (
        policy.probabilities(exposures(1))[0] - policy.probabilities(exposures(1, profile=low))[0]
    )
    assert np.sign(change) == sign


def test_a_script_of_answers_comes_to_an_end() -> None:
    decider = ScriptedDecider([True, Outcome.FAILED, Decision(Outcome.DECLINE, reason="tired")])
    rng = np.random.default_rng(1)
    outcomes = [d.outcome for d in decider.decide(exposures(3), rng)]
    assert outcomes == [Outcome.REPOST, Outcome.FAILED, Outcome.DECLINE]
    assert decider.history[2][1].reason == "tired"
    with pytest.raises(DeciderError):
        decider.decide(exposures(1), rng)
    assert len(decider.history) == 3


def test_a_script_of_nonsense_is_an_error() -> None:
    with pytest.raises(ArgumentTypeError) as caught:
        ScriptedDecider(["maybe"]).decide(exposures(1), np.random.default_rng(1))
    assert (caught.value.argument, caught.value.value) == ("script", "maybe")


def test_plain_values_stand_for_deciders() -> None:
    assert isinstance(as_decider("traits"), TraitDecider)
    assert as_decider("SI(beta=0.05)").law == SI(0.05)
    assert as_decider(SI(0.05)).law == SI(0.05)
    decider = ScriptedDecider([])
    assert as_decider(decider) is decider
    assert as_decider("llm:openai/some-model").manifest()["model"] == "openai/some-model"
    assert isinstance(as_decider(TraitDecider), TraitDecider)
    assert as_decider(lambda: SI(0.2)).law == SI(0.2)
    with pytest.raises(UnknownNameError) as unknown:
        as_decider("trait")
    assert (unknown.value.argument, unknown.value.value) == ("decider", "trait")
    assert "traits" in unknown.value.known
    with pytest.raises(ArgumentTypeError) as wrong:
        RateDecider("SI")
    assert (wrong.value.argument, wrong.value.value) == ("law", "SI")


def test_a_coin_does_not_depend_on_what_was_drawn_or_on_the_batch() -> None:
    rng = np.random.default_rng(5)
    batch = exposures(50)
    whole = coins(batch, rng)
    rng.random(17)
    assert (coins(batch[20:30], rng) == whole[20:30]).all()
    elsewhere = [one._replace(event=dataclasses.replace(EVENT, event_id="other")) for one in batch]
    assert (coins(elsewhere, rng) != whole).all()


def test_parts_of_a_population_decide_each_in_its_way() -> None:
    mixed = MixedDecider({0.25: ScriptedDecider(lambda e: True), 0.75: "SI(0.0)"})
    run = mixed.for_run(2000, np.random.default_rng(1))
    decisions = run.decide(exposures(2000), np.random.default_rng(2))
    assert share(decisions) == pytest.approx(0.25, abs=0.03)
    again = run.decide(exposures(2000)[500:600], np.random.default_rng(3))
    assert [d.outcome for d in again] == [d.outcome for d in decisions[500:600]]
    by_code = MixedDecider(
        {"OCEAN": "SI(1.0)", tuple(c for c in codes() if c != "OCEAN"): "SI(0.0)"}
    )
    other = Profile.from_code("ocean")
    found = by_code.for_run(2, np.random.default_rng(1)).decide(
        [exposures(1)[0], exposures(2, profile=other)[1]], np.random.default_rng(1)
    )
    assert [d.outcome for d in found] == [Outcome.REPOST, Outcome.DECLINE]
    kept = by_code.manifest()
    assert kept["parts"][0]["profiles"] == ["OCEAN"]
    for wrong, error in (
        ({0.5: "traits"}, ArgumentError),
        ({"OCEAN": "traits", ("OCEAN", "ocean"): "traits"}, ArgumentError),
        ({"XXXXX": "traits"}, UnknownNameError),
        ({}, ArgumentError),
        (["SI(0.1)", "traits"], ArgumentTypeError),
    ):
        with pytest.raises(error):
            MixedDecider(wrong)
    with pytest.raises(ArgumentError) as caught:
        SpreadModel(decider=MixedDecider({"OCEAN": "traits"}), population={"ocean": 1.0}).run(2)
    assert (caught.value.argument, caught.value.value) == ("parts", ["OCEAN"])
    assert "ocean" in caught.value.allowed


def test_the_record_of_a_mixed_run_counts_what_its_parts_did() -> None:
    class Counting(ScriptedDecider):
        def for_run(self, n: int, rng: np.random.Generator) -> ScriptedDecider:
            return Counting(lambda exposure: True)

        def manifest(self) -> dict[str, object]:
            return {"decider": "counting", "decisions": len(self.history)}

    mixed = MixedDecider({0.25: Counting([]), 0.75: "SI(0.0)"})
    run = mixed.for_run(200, np.random.default_rng(1))
    reposts = share(run.decide(exposures(200), np.random.default_rng(2)))
    assert run.manifest()["parts"][0]["decisions"] == round(200 * reposts) > 0
    assert mixed.manifest()["parts"][0]["decisions"] == 0
