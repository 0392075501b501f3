"""The offline part beside every law, sightings of the event itself, and decisions that fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mesa_llmspread import SpreadData, SpreadModel, compare, fit, simulate, solve
from mesa_llmspread.data import concat
from mesa_llmspread.deciders import RateDecider
from mesa_llmspread.exceptions import ArgumentError, UndefinedClosureError
from mesa_llmspread.meanfield import Closure
from mesa_llmspread.networks import Network, random_regular
from mesa_llmspread.transmission import (
    SI,
    ByProfile,
    ByTraits,
    FirstRepeat,
    OnlineOffline,
    SingleMultiple,
    TransmissionLaw,
    TwoClass,
    check_law,
    parse_law,
    resolve_law,
)

LAWS = (
    SI(0.1, alpha=0.05),
    FirstRepeat(0.3, 0.05),
    FirstRepeat(0.3, 0.05, alpha=0.1),
    FirstRepeat(0.3, 0.1, per="occasion", alpha=0.02),
    SingleMultiple(0.05, 0.3, alpha=0.05),
    SingleMultiple(0.05, 0.3, count="cumulative", alpha=0.05),
    TwoClass(0.02, 0.3, 0.4, alpha=0.05),
    TwoClass(0.02, 0.3, high={"OCEAN", "OCEAn"}, alpha=0.05),
    ByProfile(np.linspace(0.02, 0.3, 32), alpha=0.05),
    ByTraits(-2.0, openness=0.5, alpha=0.05),
)


# The law


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_the_offline_part_acts_beside_the_online_one(law: TransmissionLaw) -> None:
    contacts = np.arange(5)
    for count in (1, 2):
        seen = law.evaluate(contacts, count, direct=True, profile=7)
        online = law.online().evaluate(contacts, count, profile=7)
        assert seen == pytest.approx(1 - (1 - law.alpha) * (1 - online))
        assert law.evaluate(contacts, count, profile=7) == pytest.approx(online)
    check_law(law)


def test_online_offline_is_si_with_an_offline_part() -> None:
    seen: dict[str, Any] = {"contacts": [0, 1, 3], "direct": [True, False, True]}
    one, other = OnlineOffline(0.2, 0.1), SI(0.1, alpha=0.2)
    assert one.evaluate(**seen).tolist() == other.evaluate(**seen).tolist()
    assert one.online() == other.online() == SI(0.1)


def test_no_offline_part_and_one_of_0() -> None:
    assert SI(0.1, alpha=0.0) == SI(0.1)
    assert "alpha" not in SI(0.1).parameters
    assert resolve_law("FirstRepeat", offline=True).name == "FirstRepeat(offline=True)"
    # A law with an offline part keeps it, even where its estimate is 0.
    kept = resolve_law("FirstRepeat(offline=True)").replace({"alpha": 0.0})
    assert list(kept.parameters) == ["alpha", "beta_first", "beta_repeat"]
    assert parse_law("FirstRepeat(0.2, 0.04, alpha=0.01)") == FirstRepeat(0.2, 0.04, alpha=0.01)
    for law in LAWS:
        if not isinstance(law, ByProfile):
            assert parse_law(str(law)) == law


def test_a_law_that_reads_sightings_itself_is_refused_at_scale() -> None:
    class Bad(SI):
        def prob(self, seen: Any) -> Any:
            return super().prob(seen) + 0.1 * seen.direct

    with pytest.raises(ArgumentError) as caught:
        simulate(Bad(0.1), random_regular(10, 2, rng=1), 1, 2, media_prob=0.5)
    assert caught.value.argument == "Bad.memory"


# Mesa, the engine and the equations


def mesa_mean(law: TransmissionLaw, runs: int, **options: Any) -> tuple[Any, Any]:
    """Mean and standard error of the share of agents that have posted, over runs."""
    curves = []
    for seed in range(runs):
        model = SpreadModel(decider=RateDecider(law), rng=seed, **options)
        curve = [model.infected]
        for _ in range(8):
            if model.running:
                model.step()
            curve.append(model.infected)
        curves.append(curve)
    curves = np.array(curves) / model.n
    return curves.mean(axis=0), curves.std(axis=0) / np.sqrt(runs)


@pytest.mark.parametrize("feed", ["persistent", "new"])
@pytest.mark.parametrize("law", LAWS, ids=str)
def test_the_engine_is_the_model(law: TransmissionLaw, feed: str) -> None:
    options: dict[str, Any] = {"feed": feed, "media_prob": 0.15}
    mean, error = mesa_mean(law, 120, n=24, k=4, initial_infected=2, **options)
    runs = [
        simulate(law, random_regular(24, 4, rng=seed), 2, 8, 40, rng=seed, **options).infected
        for seed in range(100)
    ]
    engine = np.concatenate(runs) / 24
    spread = np.hypot(error, engine.std(axis=0) / np.sqrt(1000))
    assert (np.abs(mean - engine.mean(axis=0)) <= 4.5 * spread + 1e-12).all()


@pytest.mark.parametrize("feed", ["persistent", "new"])
@pytest.mark.parametrize("law", LAWS, ids=str)
@pytest.mark.parametrize("failed", [0.0, 0.3])
def test_the_equations_are_the_engines_mean(law: TransmissionLaw, feed: str, failed: float) -> None:
    n, steps = 20_000, 25
    options: dict[str, Any] = {"feed": feed, "media_prob": 0.05, "failed_share": failed}
    solved = solve(law, n=n, k=6, initial_infected=200, steps=steps, **options)["infected"] / n
    network = random_regular(n, 6, rng=3)
    mean = simulate(law, network, 200, steps, 8, rng=1, **options).mean()
    assert np.sqrt(np.mean((mean.to_numpy() - solved) ** 2)) < 0.004


def test_sightings_are_occasions() -> None:
    # Everybody has seen the event at the first step, so that nobody is exposed for the first time.
    options: dict[str, Any] = {"n": 1000, "k": 6, "initial_infected": 50, "steps": 20}
    seen = solve(FirstRepeat(0.9, 0.05), media_prob=1.0, **options)
    later = solve(FirstRepeat(0.05, 0.05), **options)
    first = solve(FirstRepeat(0.9, 0.05), **options)
    assert (seen["infected"][2:] < first["infected"][2:]).all()
    # At step 1 neighbours of starters see the event and their posts at once: a first exposure.
    growth = np.diff(seen["infected"])[0]
    assert growth == pytest.approx(np.diff(first["infected"])[0])
    assert np.diff(later["infected"])[0] < growth


@pytest.mark.parametrize("closure", ["master", "pair", "mean_field"])
@pytest.mark.parametrize("law", [SI(0.1), SI(0.1, alpha=0.03), SingleMultiple(0.1, 0.2)], ids=str)
def test_limits(law: TransmissionLaw, closure: str) -> None:
    options: dict[str, Any] = {"n": 500, "k": 5, "initial_infected": 5, "steps": 15}
    options |= {"closure": closure}
    plain = solve(law, **options)["infected"]
    none = solve(law, media_prob=0.0, failed_share=0.0, **options)["infected"]
    assert none.tolist() == solve(law.online(), **options)["infected"].tolist()
    always = solve(law, media_prob=float(law.offline), **options)["infected"]
    assert always.tolist() == plain.tolist()
    nothing = solve(law, failed_share=1.0, **options)["infected"].tolist()
    assert nothing == pytest.approx([5] * 16)
    # Where all decisions of a step fail together, spread is slower than with rates as much lower.
    half = solve(law, failed_share=0.5, **options)["infected"]
    assert (half < plain + 1e-9).all()


def test_failures_take_all_contacts_of_a_step() -> None:
    """Enumerated: a triangle of three, one starter; then two agents with one contact each."""
    triangle = Network(np.array([0, 2, 4, 6]), np.array([1, 2, 0, 2, 0, 1], dtype=np.int32))
    beta, failed = 0.6, 0.3
    p1 = (1 - failed) * beta
    p2 = (1 - failed) * (1 - (1 - beta) ** 2)
    expected = [1, 1 + 2 * p1, 0.0]
    # Both, one, or none of the others post at step 1.
    expected[2] = p1**2 * 3 + 2 * p1 * (1 - p1) * (2 + p2) + (1 - p1) ** 2 * (1 + 2 * p1)
    runs = simulate(SI(beta), triangle, [0], 2, 40_000, rng=1, failed_share=failed).infected
    error = runs.std(axis=0) / 200
    assert (np.abs(runs.mean(axis=0) - expected) <= 4.5 * error + 1e-12).all()


def test_what_has_no_equations_is_refused() -> None:
    options: dict[str, Any] = {"n": 100, "k": 4, "initial_infected": 5, "steps": 3}

    class Still(Closure):
        name = "still"

        def discrete(self, laws: Any, network: Any, infected: float, visibility: str) -> Any:
            return solve

    cases: list[tuple[str, dict[str, Any]]] = [
        ("failed_share", {"failed_share": 0.1, "time": "continuous"}),
        ("media_prob", {"media_prob": 0.1, "closure": Still()}),
        ("time", {"media_prob": 0.1, "time": "continuous"}),
    ]
    for argument, changes in cases:
        with pytest.raises(UndefinedClosureError) as caught:
            solve(FirstRepeat(0.2, 0.1), **options, **changes)
        assert caught.value.argument == argument
    for name in ("media_prob", "failed_share"):
        with pytest.raises(ArgumentError):
            solve(SI(0.1), **options, **{name: 1.5})
        with pytest.raises(ArgumentError):
            simulate(SI(0.1), random_regular(10, 2, rng=1), 1, 2, **{name: -0.1})


# Fits


def seen_in_media(law: str, runs: int = 4, **options: Any) -> SpreadData:
    """Records of runs in which agents saw the event itself."""
    settings: dict[str, Any] = {"n": 400, "k": 6, "initial_infected": 4, "media_prob": 0.2}
    models = [
        SpreadModel(decider=law, rng=seed, **{**settings, **options}).run(40)
        for seed in range(runs)
    ]
    return concat([SpreadData.from_model(model) for model in models])


@pytest.mark.parametrize(
    "law",
    [
        "FirstRepeat(0.2, 0.04, alpha=0.05)",
        "SingleMultiple(0.05, 0.2, alpha=0.05)",
        "SI(0.06, alpha=0.02)",
        "ByTraits(-2.5, openness=0.5, alpha=0.03)",
    ],
)
def test_alpha_is_estimated_beside_the_rates(law: str) -> None:
    truth = parse_law(law)
    result = fit(seen_in_media(law), type(truth), offline=True, level=0.999)
    assert result.success
    for name, (low, high) in result.ci.items():
        assert low <= truth.parameters[name] <= high, name


def test_an_offline_part_does_not_hide_the_online_one() -> None:
    comparison = compare(seen_in_media("FirstRepeat(0.2, 0.04, alpha=0.05)"))
    assert comparison.best.name == "FirstRepeat(offline=True)"
    assert "first" in comparison.verdict
    assert "offline" in comparison.verdict
    claimed = comparison.findings.set_index("finding")["claimed"]
    assert claimed["the event itself makes agents post"]
    assert claimed["first and later exposures differ"]
    assert not claimed["one rate is enough"]


def test_sightings_without_effect_need_no_offline_part() -> None:
    comparison = compare(seen_in_media("FirstRepeat(0.2, 0.04)"))
    assert comparison.best.name == "FirstRepeat"
    assert not comparison.findings.set_index("finding").loc[
        "the event itself makes agents post", "claimed"
    ]
