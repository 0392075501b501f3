"""The family of laws, per contact and per occasion: model, engine, equations and fits agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mesa_llmspread import (
    SpreadData,
    SpreadModel,
    compare,
    concat,
    fit,
    simulate,
    solve,
)
from mesa_llmspread.analysis.event_analysis import closure_curves, stochastic_curve
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError
from mesa_llmspread.inference.predictive import predict_runs
from mesa_llmspread.networks import random_regular
from mesa_llmspread.profiles import Profile, Trait, codes, sample_profiles
from mesa_llmspread.transmission import (
    SI,
    ByProfile,
    ByTraits,
    FirstRepeat,
    OnlineOffline,
    TransmissionLaw,
    TwoClass,
)

OPEN = frozenset(code for code in codes() if code.startswith("O"))
TRAITS = [trait.value for trait in Trait]
LAWS: list[TransmissionLaw] = [
    law
    for per in ("contact", "occasion")
    for law in (
        SI(0.08, per=per),
        OnlineOffline(0.03, 0.06, per=per),
        FirstRepeat(0.25, 0.06, per=per),
        TwoClass(0.02, 0.3, share_high=0.3, per=per),
        TwoClass(0.03, 0.2, high=OPEN, per=per),
        ByProfile(tuple(np.geomspace(0.02, 0.3, 32)), per=per),
        ByTraits(-2.8, 0.3, -0.25, 0.2, 0.0, 0.4, per=per),
    )
]
NAMES = [law.name for law in LAWS]


def record(decider: Any, runs: int, steps: int = 40, **settings: Any) -> SpreadData:
    models = (SpreadModel(decider=decider, rng=run, **settings) for run in range(runs))
    return concat([SpreadData.from_model(model.run(steps)) for model in models])


@pytest.mark.parametrize("law", LAWS, ids=NAMES)
def test_the_model_and_the_engine_agree(law: TransmissionLaw) -> None:
    network, steps = random_regular(150, 6, rng=1), 7
    settings: dict[str, Any] = {"network": network, "decider": law, "initial_infected": 8}
    settings["media_prob"] = 1.0 if law.offline else 0.0
    mesa = [SpreadModel(**settings, rng=seed).run(steps).infected for seed in range(60)]
    engine = simulate(law, network, 8, steps, replicates=4000, rng=2).infected[:, -1]
    error = np.sqrt(np.var(mesa) / len(mesa) + engine.var() / len(engine))
    assert abs(np.mean(mesa) - engine.mean()) < 4.5 * error
    # The spread is far from its ends, where laws are alike.
    assert 15 < engine.mean() < 140


@pytest.mark.parametrize("law", LAWS, ids=NAMES)
@pytest.mark.parametrize("feed", ["persistent", "new"])
def test_the_equations_and_the_engine_agree(law: TransmissionLaw, feed: Any) -> None:
    n, k, steps = 20_000, 8, 15
    runs = simulate(law, random_regular(n, k, rng=1), 1000, steps, 12, feed, rng=3).mean()
    curve = solve(law, n=n, k=k, initial_infected=1000, steps=steps, feed=feed)["infected"] / n
    assert np.sqrt(np.mean((runs - curve) ** 2)) < 0.005
    assert curve.iloc[-1] > 0.08


@pytest.mark.parametrize("law", LAWS, ids=NAMES)
def test_every_law_is_recovered_by_its_name(law: TransmissionLaw) -> None:
    data = record(law, runs=5, n=300, k=6, media_prob=0.3 if law.offline else 0.0)
    name = type(law).__name__
    options = {key: value for key, value in law.options.items() if value is not None}
    result = fit(data, name, interval="profile", **options)
    assert result.name == law.name
    assert result.success
    z = np.array(
        [
            (value - law.parameters[code]) / result.stderr[code]
            for code, value in result.params.items()
            if np.isfinite(result.stderr[code])
        ]
    )
    assert np.abs(z).max() < 4
    assert (z**2).sum() < len(z) + 5 * np.sqrt(2 * len(z))


def test_forms_are_compared_by_name() -> None:
    for truth in ("SI(0.3, per='occasion')", "SI(0.08)"):
        data = record(truth, runs=3, n=200)
        found = compare(data, ["SI", 'SI(per="occasion")', SI(0.5, per="contact")])
        assert str(found.best.law).startswith("SI(beta=")
        assert ("occasion" in found.best.name) is ("occasion" in truth)
    data = record("TwoClass(0.02, 0.5, 0.3, per='occasion')", runs=4, n=300)
    found = compare(data, ["SI", "TwoClass", 'SI(per="occasion")', 'TwoClass(per="occasion")'])
    assert found.best.name == 'TwoClass(per="occasion")'
    claimed = found.findings.set_index("finding")["claimed"]
    assert claimed["there are two classes of agents"]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("per", ["contact", "occasion"])
def test_one_trait_is_found_where_it_has_an_effect(seed: int, per: Any) -> None:
    names = [SI.example(per=per).name, ByTraits.example(per=per).name]
    for ratio, best in ((1.35, names[1]), (1.0, names[0])):
        law = ByTraits(-2.5, extraversion=float(np.log(ratio)), per=per)
        models = (
            SpreadModel(n=200, decider=law, rng=10 * seed + run, population="continuous").run(40)
            for run in range(5)
        )
        found = compare(concat([SpreadData.from_model(model) for model in models]), names)
        assert found.best.name == best, ratio
        if best == names[1]:
            low, _ = found.best.ci["extraversion"]
            assert low > 0
            assert found.verdict.startswith("Personality matters")
            p_values = found.tests.set_index(["simple", "rich"])["p_value"]
            assert p_values[*names] == pytest.approx(0.0, abs=1e-4)


def test_levels_are_logged_and_fitted_as_numbers() -> None:
    law = ByTraits(-2.8, openness=0.4, neuroticism=-0.3)
    data = record(law, runs=5, n=300, k=6, population="continuous")
    levels = data.agents[TRAITS].to_numpy()
    assert len(np.unique(levels, axis=0)) == len(levels) == 1500
    result = fit(data, "ByTraits", interval="profile")
    for name, true in law.parameters.items():
        assert abs(result.params[name] - true) < 4 * result.stderr[name]
    # By the codes alone the slopes come out too small.
    signs = data.agents.assign(**{name: np.sign(data.agents[name]) for name in TRAITS})
    by_code = SpreadData(data.exposures, data.counts, data.info, signs)
    assert fit(by_code, "ByTraits").params["openness"] < result.params["openness"] - 0.05
    # Likelihoods, goodness of fit and predictions read the numbers too.
    table = compare(data, ["ByTraits", "SI"]).table.set_index("law")
    assert table.loc["ByTraits", "fit_p_value"] > 1e-3
    assert np.isfinite(table.loc["ByTraits", "held_out"])
    assert predict_runs(result, data.select([0]), draws=20).coverage > 0.5


def test_levels_that_are_unknown_are_refused() -> None:
    data = record("SI(0.1)", runs=1, n=100, population="continuous")
    unknown = SpreadData(data.exposures, data.counts, data.info)
    assert unknown.agents[TRAITS].isna().all(axis=None)
    with pytest.raises(ArgumentError) as caught:
        fit(unknown, "ByTraits")
    assert (caught.value.argument, caught.value.value) == ("law", "ByTraits")
    assert fit(unknown, "ByProfile").success


def test_model_and_engine_agree_for_any_trait_levels() -> None:
    law = ByTraits(-3.0, 0.8, -0.5, 0.3, 0.0, 0.6)
    people = sample_profiles(150, "continuous", rng=1)
    network = random_regular(150, 6, rng=1)
    settings: dict[str, Any] = {"network": network, "decider": law, "population": people}
    mesa = [SpreadModel(**settings, rng=seed).run(7).infected for seed in range(60)]
    levels = [person.levels for person in people]
    engine = simulate(law, network, 10, 7, 4000, profiles=levels, rng=2).infected[:, -1]
    error = np.sqrt(np.var(mesa) / len(mesa) + engine.var() / len(engine))
    assert abs(np.mean(mesa) - engine.mean()) < 4.5 * error
    # The 32 profiles are a special case, and the numbers are those of their indices.
    index = [person.index for person in people]
    binary = [Profile.from_code(codes()[i]).levels for i in index]
    for kind in (law, ByProfile(tuple(np.linspace(0, 0.5, 32)))):
        one, other = (
            simulate(kind, network, 10, 7, 20, profiles=given, rng=1).infected
            for given in (index, binary)
        )
        assert (one == other).all()
    for wrong in (levels[:-1], [row[:4] for row in levels]):
        with pytest.raises(ArgumentError) as caught:
            simulate(law, network, profiles=wrong)
        assert caught.value.argument == "profiles"


def test_curves_of_trait_levels_come_from_simulation_only() -> None:
    law = ByTraits(-3.0, openness=0.8)
    people = record(law, runs=1, n=200, population="continuous", steps=15)
    binary = record(law, runs=1, n=200, steps=15)
    assert list(closure_curves(law, people)) == ["step"]
    assert len(closure_curves(law, binary).columns) > 1
    assert stochastic_curve(law, people) is not None
    with pytest.raises(ArgumentError) as caught:
        fit(people, "ByTraits", method="curve")
    assert caught.value.argument == "law"


def test_a_law_is_also_text_for_engine_and_equations() -> None:
    network = random_regular(60, 4, rng=1)
    text, law = "FirstRepeat(0.2, 0.05)", FirstRepeat(0.2, 0.05)
    for use in (
        lambda law: simulate(law, network, 5, 10, rng=1).infected,
        lambda law: solve(law, n=60, k=4, initial_infected=5, steps=10).to_numpy(),
    ):
        assert np.array_equal(use(text), use(law))
        with pytest.raises(ArgumentError) as caught:
            use("FirstRepeat")
        assert (caught.value.argument, caught.value.value) == ("law", "FirstRepeat")
        with pytest.raises(ArgumentTypeError):
            use(FirstRepeat)
