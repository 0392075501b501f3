"""What a comparison claims where the truth lies inside the family of laws, and outside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mesa_llmspread import SI, ByTraits, SpreadData, SpreadModel, compare, concat
from mesa_llmspread.deciders import Decider, Decision, Exposure, Outcome, coins


class Varied(Decider):
    """One rate per contact, times a factor of each agent's own."""

    def __init__(self, beta: float, factors: np.ndarray) -> None:
        self.beta, self.factors = beta, factors

    def decide(self, exposures: list[Exposure], rng: np.random.Generator) -> list[Decision]:
        tossed = coins(exposures, rng)
        return [
            Decision(
                Outcome.REPOST
                if coin < 1 - (1 - self.beta) ** (self.factors[each.agent] * each.contacts)
                else Outcome.DECLINE
            )
            for each, coin in zip(exposures, tossed, strict=True)
        ]


def runs(decider: Callable[[int], Any], **settings: Any) -> SpreadData:
    """Five runs of 200 agents."""
    models = (SpreadModel(n=200, decider=decider(seed), rng=seed, **settings) for seed in range(5))
    return concat([SpreadData.from_model(model.run(60)) for model in models])


def claimed(data: SpreadData) -> set[str]:
    return set(compare(data).findings.query("claimed")["finding"])


@pytest.mark.parametrize(("ratio", "found"), [(1.0, False), (1.35, True)])
def test_personality_is_claimed_where_it_has_an_effect(ratio: float, found: bool) -> None:
    law = ByTraits(-2.8, extraversion=float(np.log(ratio)))
    said = claimed(runs(lambda seed: law))
    assert ("personality matters" in said) is found
    assert ("one rate is enough" in said) is not found


@pytest.mark.parametrize("kind", ["gamma", "lognormal"])
def test_rates_of_ones_own_are_not_taken_for_classes(kind: str) -> None:
    def decider(seed: int) -> Decider:
        rng = np.random.default_rng([7, seed])
        spread = np.sqrt(np.log(2))
        drawn = {"gamma": rng.gamma(1, 1, 200), "lognormal": rng.lognormal(0, spread, 200)}
        return Varied(0.08, drawn[kind])

    said = claimed(runs(decider))
    assert "agents differ" in said
    assert not said & {"there are two classes of agents", "first and later exposures differ"}


def test_runs_that_differ_are_not_taken_for_classes() -> None:
    betas = 1 - (1 - 0.06) ** np.exp(0.6 * np.array([-1.3, -0.5, 0.0, 0.5, 1.3]))
    data = runs(lambda seed: SI(float(betas[seed])))
    comparison = compare(data)
    assert comparison.by_run
    assert comparison.best.name == "SI"
    said = set(comparison.findings.query("claimed")["finding"])
    assert "rates differ between runs" in said
    assert not said & {"agents differ", "there are two classes of agents", "one rate is enough"}
    assert comparison.verdict.startswith("SI describes the decisions best")
    assert "second rate" not in comparison.verdict


@pytest.mark.parametrize("seed", range(4))
def test_few_decisions_show_little(seed: int) -> None:
    model = SpreadModel(n=30, k=4, initial_infected=2, decider="FirstRepeat(0.25, 0.12)", rng=seed)
    comparison = compare(SpreadData.from_model(model.run(8)))
    said = comparison.findings.set_index("finding")
    fits = said.loc["the best law fits the decisions"]
    assert not (fits["claimed"] and "unknown" in fits["evidence"])
    one, others = said["claimed"][["one rate is enough", "other laws cannot be ruled out"]]
    assert not (one and others)
    assert comparison.verdict.startswith("One rate cannot be rejected") is (
        comparison.best.name == "SI"
    )


def test_nothing_is_claimed_that_was_not_compared() -> None:
    """Neither one rate without a law of two, nor two rates without a law of one."""
    once = {"run": 0, "step": 1, "agent": [7, 8, 9], "contacts": 1}
    once["outcome"] = ["repost", "repost", "decline"]
    data = SpreadData.from_tables(pd.DataFrame(once))
    for comparison in (compare(data), compare(data, ["SI"]), compare(data, ["SI", "FirstRepeat"])):
        assert comparison.verdict.startswith("SI describes the decisions best")
        assert "second rate" not in comparison.verdict
    model = SpreadModel(n=200, decider="FirstRepeat(0.3, 0.05)", rng=1).run(20)
    comparison = compare(SpreadData.from_model(model), ["FirstRepeat"])
    assert comparison.verdict.startswith("FirstRepeat describes the decisions best")
    comparison = compare(SpreadData.from_model(model), ["FirstRepeat", "SI"])
    assert comparison.verdict.startswith("Two rates are needed")


def test_the_event_itself_does_not_hide_later_exposures() -> None:
    said = claimed(runs(lambda seed: "FirstRepeat(0.2, 0.04, alpha=0.05)", media_prob=0.1))
    assert {"the event itself makes agents post", "first and later exposures differ"} <= said
