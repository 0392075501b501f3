"""Posts that stay in view for some steps, or fade with age: model, engine, equations, fits."""

from __future__ import annotations

import dataclasses
import functools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from errors import refused
from hypothesis import given, settings
from hypothesis import strategies as st

from mesa_llmspread import (
    Decider,
    Decision,
    Exponential,
    MixedDecider,
    Outcome,
    PowerLaw,
    RunInfo,
    SpreadData,
    SpreadModel,
    Visibility,
    analyse,
    compare,
    final_size,
    fit,
    fit_ageing,
    reproduction_number,
    simulate,
    solve,
)
from mesa_llmspread.data import concat
from mesa_llmspread.deciders import RateDecider
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, UndefinedClosureError
from mesa_llmspread.inference.ageing import AGEING
from mesa_llmspread.inference.decisions import Log
from mesa_llmspread.inference.predictive import predict_runs
from mesa_llmspread.meanfield.ageing import transmissibility
from mesa_llmspread.meanfield.equations import Degrees
from mesa_llmspread.meanfield.master import Master, window_map
from mesa_llmspread.meanfield.solve import iterate
from mesa_llmspread.networks import random_regular
from mesa_llmspread.transmission import (
    SI,
    ByProfile,
    FirstRepeat,
    SingleMultiple,
    TransmissionLaw,
    TwoClass,
    as_visibility,
    parse_law,
    resolve_law,
)

REFERENCE = Path(__file__).parents[2] / "shared" / "golden" / "ref_ageing.csv"

FADING = (
    Visibility(ageing=Exponential(0.3)),
    Visibility(ageing=PowerLaw(1.0)),
    Visibility(event_ageing=0.1),
    Visibility(3, Exponential(0.2), event_ageing=0.05),
    Visibility(2),
)

INDEPENDENT = (
    SI(0.25),
    SI(0.2, alpha=0.05),
    FirstRepeat(0.3, 0.1),
    FirstRepeat(0.1, 0.3, alpha=0.05),
    TwoClass(0.05, 0.4, 0.4),
    ByProfile(np.linspace(0.05, 0.4, 32)),
)

OTHERS = (
    SingleMultiple(0.1, 0.4),
    SingleMultiple(0.1, 0.4, count="cumulative", alpha=0.03),
    FirstRepeat(0.3, 0.15, per="occasion"),
)

# Every law with its visibilities: windows for all, ageing where contacts act independently.
CELLS = [
    *((law, seen) for law in INDEPENDENT for seen in FADING),
    *((law, Visibility(width)) for law in OTHERS for width in (2, 3)),
]


def curve(law: TransmissionLaw, **options: Any) -> Any:
    """Share of agents that have posted, from the equations."""
    standard: dict[str, Any] = {"n": 10_000, "k": 6, "initial_infected": 100, "steps": 40}
    standard |= options
    return solve(law, **standard)["infected"].to_numpy() / standard["n"]


# What a visibility is


@given(
    st.none() | st.integers(1, 50),
    st.none() | st.builds(Exponential, st.floats(0, 5)) | st.builds(PowerLaw, st.floats(0, 5)),
    st.floats(0, 2),
)
def test_text_stands_for_a_visibility(width: Any, ageing: Any, news: float) -> None:
    seen = Visibility(width, ageing, news)
    assert as_visibility(str(seen)) == as_visibility(repr(seen)) == seen
    assert RunInfo(n=10, k=2, visibility=seen).seen == seen


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Visibility(0)", ArgumentError),
        ("Visibility(ageing=Exponential(-1))", ArgumentError),
        ("Visibility(ageing=3)", ArgumentTypeError),
        ("Visibility(3", ArgumentError),
        ("Exponential(0.1)", ArgumentTypeError),
        ("__import__('os')", ArgumentError),
        ("Visibility(open('x'))", ArgumentError),
    ],
)
def test_other_text_is_refused(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        as_visibility(text)


@pytest.mark.parametrize("value", [float("inf"), 10**400])
def test_fading_is_a_finite_number(value: float) -> None:
    refused(lambda: Exponential(value), "delta", value)
    refused(lambda: PowerLaw(value), "gamma", value)
    refused(lambda: Visibility(event_ageing=value), "event_ageing", value)
    refused(lambda: as_visibility("Visibility(ageing=Exponential(1e999))"), "delta", np.inf)


def test_a_feed_is_a_visibility() -> None:
    assert as_visibility(feed="new") == as_visibility("new") == Visibility(1)
    assert as_visibility() == as_visibility("persistent") == Visibility()
    with pytest.raises(ArgumentError) as caught:
        as_visibility("Visibility(2)", "new")
    assert caught.value.argument == "feed"
    # What sets no limit contradicts none.
    assert as_visibility("Visibility(2)", "persistent") == Visibility(2)
    info = RunInfo(n=10, k=2, visibility=Visibility(1))
    assert (info.feed, info.visibility) == ("new", None)
    info = RunInfo(n=10, k=2, visibility=Visibility(3, PowerLaw(1)))
    assert RunInfo.from_dict(info.to_dict()) == info
    assert info.seen == Visibility(3, PowerLaw(1))


@pytest.mark.parametrize("law", OTHERS, ids=str)
def test_ageing_needs_an_effect_of_every_post(law: TransmissionLaw) -> None:
    seen = Visibility(ageing=Exponential(0.1))
    runs = (
        lambda: solve(law, n=100, k=4, initial_infected=5, steps=3, visibility=seen),
        lambda: simulate(law, random_regular(10, 2, rng=1), 1, 2, visibility=seen),
        lambda: SpreadModel(decider=law, visibility=seen),
        lambda: SpreadModel(decider="table", visibility=str(seen)),
    )
    for run in runs:
        with pytest.raises(ArgumentError) as caught:
            run()
        assert caught.value.argument == "visibility"


@dataclasses.dataclass(frozen=True)
class CountsAll(TransmissionLaw):
    """A law of independent contacts that takes no notice of what posts weigh."""

    beta: float

    independent_contacts = True

    def prob(self, seen: Any) -> Any:
        return 1.0 - (1.0 - self.beta) ** seen.contacts


def test_a_law_that_does_not_weigh_posts_is_refused_where_they_age() -> None:
    with pytest.raises(ArgumentError) as caught:
        SpreadModel(decider=CountsAll(0.1), visibility=Visibility(ageing=Exponential(0.1)))
    assert caught.value.argument == "law"
    assert SpreadModel(decider=CountsAll(0.1), visibility=Visibility(3), rng=1).run(2).clock == 2


def test_deciders_say_whether_posts_may_age() -> None:
    seen = Visibility(ageing=Exponential(0.1))

    class Weighing(Decider):
        """One of a user's own that goes by the weight."""

        def check_visibility(self, visibility: Visibility) -> None:
            pass

        def decide(self, exposures: Any, rng: Any) -> list[Decision]:
            return [
                Decision(Outcome.REPOST if e.weight > 2 else Outcome.DECLINE) for e in exposures
            ]

    for allowed in (Weighing(), MixedDecider([(0.5, "SI(0.2)"), (0.5, "SI(0.1)")])):
        assert SpreadModel(decider=allowed, visibility=seen, rng=1).run(3).clock == 3
    with pytest.raises(ArgumentError):
        SpreadModel(decider=MixedDecider([(0.5, "SI(0.2)"), (0.5, "traits")]), visibility=seen)
    model = SpreadModel(decider="SI(0.1)", visibility=seen, rng=1)
    with pytest.raises(ArgumentError):
        model.decider = "traits"
    assert model.run(2).info.decider == "rates"


def test_what_has_no_equations_is_refused() -> None:
    seen = Visibility(3)
    cases: list[tuple[TransmissionLaw, dict[str, Any], str]] = [
        (SI(0.1), {"closure": "pair"}, "closure"),
        (SI(0.1), {"closure": "mean_field"}, "closure"),
        (SI(0.1), {"time": "continuous"}, "visibility"),
        (SI(0.1), {"failed_share": 0.1, "visibility": Visibility(2, PowerLaw(1))}, "failed_share"),
        (SI(0.1), {"failed_share": 0.1, "k": 30}, "failed_share"),
        (SingleMultiple(0.1, 0.2), {"k": 30}, "closure"),
    ]
    for law, options, argument in cases:
        with pytest.raises(UndefinedClosureError) as caught:
            curve(law, **{"visibility": seen, **options})
        assert caught.value.argument == argument


# Equations


@pytest.mark.skipif(not REFERENCE.exists(), reason="reference numbers are not here")
def test_reference_numbers() -> None:
    reference = pd.read_csv(REFERENCE).fillna(0.0)
    keys = ["law", "b1", "b2", "delta", "gamma", "eps", "k", "rho"]
    for (name, b1, b2, delta, gamma, eps, k, rho), part in reference.groupby(keys):
        law = SI(b1) if name == "SI" else FirstRepeat(b1, b2)
        ageing = Exponential(delta) if delta else PowerLaw(gamma) if gamma else None
        # A window that nothing leaves keeps posts that do not fade from another set of equations.
        seen = Visibility(10**6, ageing, eps)
        found = curve(
            law, n=10**6, k=int(k), initial_infected=round(rho * 10**6), steps=80, visibility=seen
        )
        assert found[part["t"]] == pytest.approx(part["edge_map"].to_numpy(), abs=1e-8)


@pytest.mark.parametrize("law", [*INDEPENDENT, FirstRepeat(0.2, 0.2)], ids=str)
@pytest.mark.parametrize("k", [4, {2: 0.5, 7: 0.5}])
def test_equations_meet_those_without_ageing(law: TransmissionLaw, k: Any) -> None:
    media = 0.1
    still = curve(law, k=k, media_prob=media)
    for seen in (
        Visibility(10_000),
        Visibility(None, Exponential(0.0)),
        Visibility(99, PowerLaw(0)),
    ):
        assert curve(law, k=k, media_prob=media, visibility=seen) == pytest.approx(still, abs=1e-12)
    new = curve(law, k=k, media_prob=media, feed="new")
    fast = curve(law, k=k, media_prob=media, visibility=Visibility(None, Exponential(800.0)))
    # An occasion is a step with a post in view, however faded: for FirstRepeat too.
    assert fast == pytest.approx(new, abs=1e-12)


def test_equal_rates_are_one_rate() -> None:
    for seen in FADING:
        one, two = curve(SI(0.2), visibility=seen), curve(FirstRepeat(0.2, 0.2), visibility=seen)
        assert two == pytest.approx(one, abs=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.floats(0.02, 0.6), st.floats(0, 2), st.floats(0, 2))
def test_what_fades_faster_spreads_less(beta: float, slow: float, more: float) -> None:
    for kind in (Exponential, PowerLaw):
        first = curve(SI(beta), visibility=Visibility(ageing=kind(slow)))
        second = curve(SI(beta), visibility=Visibility(ageing=kind(slow + more)))
        assert (second <= first + 1e-12).all()


@pytest.mark.parametrize("k", [3, 6])
@pytest.mark.parametrize(
    "seen", [Visibility(2), Visibility(ageing=Exponential(0.4)), Visibility(ageing=PowerLaw(2.5))]
)
def test_the_final_size_is_the_limit_of_the_equations(seen: Visibility, k: int) -> None:
    limit = curve(SI(0.2), k=k, steps=1000, visibility=seen)[-1]
    assert final_size(SI(0.2), k, 0.01, seen) == pytest.approx(limit, abs=2e-4)


@pytest.mark.parametrize(
    "law", [TwoClass(0.05, 0.3, 0.4), ByProfile(np.linspace(0.02, 0.2, 32))], ids=str
)
def test_the_final_size_of_classes_and_degrees(law: TransmissionLaw) -> None:
    k, seen = {3: 0.6, 8: 0.4}, Visibility(5, PowerLaw(0.7))
    limit = curve(law, k=k, steps=200, visibility=seen)[-1]
    assert final_size(law, k, 0.01, seen) == pytest.approx(limit, abs=1e-8)


@settings(deadline=None, max_examples=25)
@given(st.floats(0.01, 0.9), st.floats(1.5, 4), st.integers(3, 12))
def test_news_spreads_far_where_the_reproduction_number_is_above_1(
    beta: float, gamma: float, k: int
) -> None:
    seen = Visibility(ageing=PowerLaw(gamma))
    number = reproduction_number(SI(beta), k, seen)
    assert number == pytest.approx((k - 1) * transmissibility(beta, seen))
    if abs(number - 1) > 0.01:
        assert (final_size(SI(beta), k, 1e-8, seen) > 1e-3) == (number > 1)


@pytest.mark.parametrize(("law", "k"), [(SI(0.1), 0), (TwoClass(0.1, 0.3), {0: 1.0})], ids=str)
def test_nothing_spreads_where_nobody_has_neighbours(law: TransmissionLaw, k: Any) -> None:
    assert reproduction_number(law, k) == 0
    assert final_size(law, k, 0.1) == pytest.approx(0.1)


def test_final_sizes_without_a_closed_form() -> None:
    for law, seen in [
        (SI(0.1), Visibility(event_ageing=0.1)),
        (FirstRepeat(0.1, 0.2), Visibility(3)),
        (SI(0.2, alpha=0.1), Visibility(3)),
        (SingleMultiple(0.1, 0.2), Visibility(3)),
    ]:
        for closed_form in (
            lambda law, seen: final_size(law, 4, 0.1, seen),
            lambda law, seen: reproduction_number(law, 4, seen),
        ):
            with pytest.raises(ArgumentError):
                closed_form(law, seen)
    assert final_size(SI(0.0), 4, 0.25) == pytest.approx(0.25)
    assert final_size(SI(0.01), 4, 0.01) == pytest.approx(1.0)


@pytest.mark.parametrize("seen", [Visibility(2), Visibility(2, PowerLaw(1.0), 0.1)], ids=str)
@pytest.mark.parametrize("law", [SI, functools.partial(FirstRepeat, 0.2)])
def test_certain_reposts_are_the_limit_of_likely_ones(law: Any, seen: Visibility) -> None:
    options = {"n": 1000, "initial_infected": 10, "steps": 8, "visibility": seen}
    certain, likely = (curve(law(beta), **options) for beta in (1.0, 1 - 1e-12))
    np.testing.assert_allclose(certain, likely, atol=1e-3 if seen.ages else 1e-8)


@pytest.mark.parametrize("law", [*INDEPENDENT, *OTHERS], ids=str)
def test_windows_are_followed_exactly(law: TransmissionLaw) -> None:
    """The map of windows meets those of new and of persistent posts, and that of ages."""
    degrees, laws = Degrees.of({2: 0.5, 4: 0.5}), law.classes()[-3:]
    laws = [(1 / len(laws), part) for _, part in laws]
    pairs = [(1, "new", 8), (4, "persistent", 4)]
    pairs += [(2, "Visibility(2)", 8)] if law in INDEPENDENT else []
    for window, same, steps in pairs:
        other = as_visibility(same)
        one = iterate(window_map(laws, degrees, 0.05, window), steps)
        two = iterate(Master().discrete(laws, degrees, 0.05, other), steps)
        assert one == pytest.approx(two, abs=1e-12)


def test_transmissibility() -> None:
    for seen, steps in ((Visibility(4), 4), (Visibility(ageing=Exponential(0.3)), 400)):
        never = np.prod((1 - 0.2) ** seen.weights(steps))
        assert transmissibility(0.2, seen) == pytest.approx(1 - never)
    # The sum of the weights is infinite: sooner or later every post acts.
    assert transmissibility(0.2, Visibility(ageing=PowerLaw(1.0))) == 1
    assert transmissibility(0.2, Visibility()) == 1
    with pytest.raises(ArgumentError):
        transmissibility(0.2, Visibility(event_ageing=0.1))


# Model, engine and equations


@pytest.mark.parametrize(("law", "seen"), CELLS, ids=str)
def test_the_engine_is_the_model(law: TransmissionLaw, seen: Visibility) -> None:
    options: dict[str, Any] = {"visibility": seen, "media_prob": 0.1}
    curves = []
    for seed in range(100):
        decider = RateDecider(law)
        model = SpreadModel(n=24, k=4, initial_infected=3, decider=decider, rng=seed, **options)
        infected = [model.infected]
        for _ in range(8):
            if model.running:
                model.step()
            infected.append(model.infected)
        curves.append(infected)
    mesa = np.array(curves)
    engine = np.concatenate(
        [
            simulate(law, random_regular(24, 4, rng=seed), 3, 8, 40, rng=seed, **options).infected
            for seed in range(60)
        ]
    )
    error = np.sqrt(mesa.var(axis=0) / len(mesa) + engine.var(axis=0) / 600)
    assert (np.abs(mesa.mean(axis=0) - engine.mean(axis=0)) <= 4.5 * error + 1e-12).all()


def plain_loop(law: Any, seen: Visibility, media: float, failed: float, seed: int) -> list[int]:
    """The model, written down once more without arrays, agents or an engine."""
    rng = np.random.default_rng(seed)
    network = random_regular(12, 3, rng=seed)
    posted_at = {int(i): 0 for i in rng.choice(12, 2, replace=False)}
    exposed, infected = set[int](), [2]
    ageing: Any = seen.ageing
    for step in range(1, 9):
        new = []
        for i in set(range(12)) - posted_at.keys():
            ages = [step - 1 - posted_at[j] for j in network.neighbours(i) if j in posted_at]
            ages = [age for age in ages if seen.visible_for is None or age < seen.visible_for]
            direct = rng.random() < media
            if not (ages or direct) or rng.random() < failed:
                continue
            fading = [1.0 if ageing is None else ageing.weight(age) for age in ages]
            beta = law.beta_repeat if i in exposed else law.beta_first
            news = np.exp(-seen.event_ageing * (step - 1))
            p = 1 - ((1 - law.alpha) ** direct * (1 - beta) ** sum(fading)) ** news
            exposed.add(i)
            if rng.random() < p:
                new.append(i)
        posted_at |= dict.fromkeys(new, step)
        infected.append(len(posted_at))
    return infected


@pytest.mark.parametrize("failed", [0.0, 0.3])
@pytest.mark.parametrize("seen", FADING, ids=str)
def test_the_engine_is_a_plain_loop(seen: Visibility, failed: float) -> None:
    law, media = FirstRepeat(0.5, 0.2, alpha=0.4), 0.2
    plain = np.array([plain_loop(law, seen, media, failed, seed) for seed in range(400)])
    options: dict[str, Any] = {"visibility": seen, "media_prob": media, "failed_share": failed}
    engine = np.concatenate(
        [
            simulate(law, random_regular(12, 3, rng=seed), 2, 8, 40, rng=seed, **options).infected
            for seed in range(400)
        ]
    )
    error = np.sqrt(plain.var(axis=0) / 400 + engine.var(axis=0) / 4000)
    assert (np.abs(plain.mean(axis=0) - engine.mean(axis=0)) <= 4.5 * error + 1e-12).all()


@pytest.mark.parametrize("law", [*INDEPENDENT, *OTHERS], ids=str)
def test_posts_that_do_not_fade_are_the_same_runs(law: TransmissionLaw) -> None:
    """The other compiled core, with the same random numbers."""
    never = 10**6
    kinds = [Visibility(never)]
    if law in INDEPENDENT:
        kinds += [Visibility(ageing=Exponential(0.0)), Visibility(never, PowerLaw(0.0), 1e-300)]
    network = random_regular(2000, 6, rng=1)
    options: dict[str, Any] = {"media_prob": 0.02, "failed_share": 0.2, "rng": 1}
    still = simulate(law, network, 20, 30, 3, **options).infected.tolist()
    for seen in kinds:
        assert (
            simulate(law, network, 20, 30, 3, visibility=seen, **options).infected.tolist() == still
        )


@pytest.mark.parametrize("failed", [0.0, 0.3])
@pytest.mark.parametrize("law", [*OTHERS, SI(0.2)], ids=str)
def test_the_equations_of_windows_are_the_engines_mean(law: Any, failed: float) -> None:
    n, steps = 100_000, 25
    options: dict[str, Any] = {"visibility": Visibility(4), "failed_share": failed}
    options["media_prob"] = 0.02
    solved = curve(law, n=n, k=5, initial_infected=1000, steps=steps, **options)
    mean = simulate(law, random_regular(n, 5, rng=3), 1000, steps, 8, rng=1, **options).mean()
    assert np.sqrt(np.mean((mean.to_numpy() - solved) ** 2)) < 0.004


@pytest.mark.parametrize("law", INDEPENDENT, ids=str)
@pytest.mark.parametrize("seen", FADING, ids=str)
def test_the_equations_are_the_engines_mean(law: TransmissionLaw, seen: Visibility) -> None:
    n, steps = 60_000, 30
    options: dict[str, Any] = {"visibility": seen, "media_prob": 0.02}
    solved = curve(law, n=n, initial_infected=600, steps=steps, **options)
    mean = simulate(law, random_regular(n, 6, rng=3), 600, steps, 6, rng=1, **options).mean()
    # The noise of six runs; with 16 runs of 200,000 agents it is less than 0.001.
    assert np.sqrt(np.mean((mean.to_numpy() - solved) ** 2)) < 0.005


@pytest.mark.parametrize("law", [SI(0.2), FirstRepeat(0.3, 0.1), TwoClass(0.05, 0.4)], ids=str)
def test_a_window_of_one_step_is_the_feed_of_new_posts(law: TransmissionLaw) -> None:
    new, same = (
        SpreadModel(n=60, k=4, decider=RateDecider(law), rng=3, **seen).run(20)
        for seen in ({"feed": "new"}, {"visibility": "Visibility(1)"})
    )
    first, second = (SpreadData.from_model(model).exposures for model in (new, same))
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize(
    "law", [SI(0.1, alpha=0.5), FirstRepeat(0.2, 0.05, alpha=0.5), TwoClass(0.05, 0.4, alpha=0.5)]
)
def test_news_that_ages_fades_for_those_who_see_the_event_itself(law: TransmissionLaw) -> None:
    """Model, engine and equations, where most posts come of the event itself."""
    seen = Visibility(event_ageing=0.4)
    options: dict[str, Any] = {"visibility": seen, "media_prob": 0.2}
    n, steps, start = 40_000, 12, {"initial_infected": 400}
    engine = simulate(law, random_regular(n, 4, rng=3), 400, steps, 10, rng=1, **options).mean()
    equations = curve(law, n=n, k=4, steps=steps, **start, **options)
    model = SpreadModel(n=4000, k=4, decider=str(law), initial_infected=40, rng=1, **options)
    counts = SpreadData.from_model(model.run(steps)).counts["infected"] / 4000
    assert engine.to_numpy() == pytest.approx(equations, abs=0.002)
    assert counts.iloc[-1] == pytest.approx(equations[-1], abs=0.03)
    still = curve(law, n=n, k=4, steps=steps, **start, media_prob=0.2)
    assert equations[-1] < still[-1] - 0.2
    alone = curve(law, n=n, k=0, steps=steps, **start, **options)
    spared = 1 - 0.2 * (1 - 0.5 ** np.exp(-0.4 * np.arange(steps)))
    assert 1 - alone[1:] == pytest.approx(0.99 * np.cumprod(spared))


# Fits


def records(law: str, seen: Visibility, runs: int = 5, **options: Any) -> SpreadData:
    """Records of runs in which posts aged, as if nobody knew that."""
    models = [
        SpreadModel(
            n=200, k=8, initial_infected=5, decider=law, visibility=seen, rng=seed, **options
        )
        for seed in range(runs)
    ]
    data = concat([SpreadData.from_model(model.run(40)) for model in models])
    info = {run: dataclasses.replace(info, visibility=None) for run, info in data.info.items()}
    return SpreadData(data.exposures, data.counts, info, data.agents)


@pytest.mark.parametrize(
    ("law", "seen", "found"),
    [
        ("SI(0.1)", Visibility(None, Exponential(0.4)), "Posts lose"),
        ("SI(0.1)", Visibility(None, PowerLaw(1.0)), "Posts lose"),
        ("FirstRepeat(0.3, 0.1)", Visibility(None, Exponential(0.3)), "Posts lose"),
        ("SI(0.1)", Visibility(event_ageing=0.15), "The news loses"),
    ],
    ids=str,
)
def test_comparisons_find_that_posts_or_news_age(law: str, seen: Visibility, found: str) -> None:
    comparison = compare(records(law, seen))
    assert comparison.verdict.startswith(found)
    fitted, truth = comparison.ageing, parse_law(law)
    assert fitted is not None
    assert isinstance(fitted.law, type(truth))
    if fitted.kind != "event":
        assert type(fitted.visibility.ageing) is type(seen.ageing)
    claimed = comparison.findings.set_index("finding")["claimed"]
    assert claimed["posts or the news lose their effect with age"]
    # What ageing explains is not claimed of agents.
    online = type(truth).__name__
    assert claimed["one rate is enough"] is np.bool_(online == "SI")
    assert not claimed.get("agents differ", False)
    assert not claimed.get("there are two classes of agents", False)
    opening = "One rate is enough" if online == "SI" else "Two rates are needed"
    assert f"At this fading: {opening}" in comparison.verdict


@pytest.mark.parametrize("law", ["SI(0.05)", "FirstRepeat(0.2, 0.04)", "TwoClass(0.02, 0.3, 0.3)"])
def test_comparisons_find_no_ageing_where_there_is_none(law: str) -> None:
    comparison = compare(records(law, Visibility()))
    claimed = comparison.findings.set_index("finding")["claimed"]
    assert not claimed["posts or the news lose their effect with age"]
    assert not claimed["ageing may be behind it"]
    assert law.startswith(comparison.best.name)


def test_what_is_predicted_fades_as_found() -> None:
    """Bands and curves of an analysis, of a record that does not say that posts fade."""
    data = records("SI(0.15)", Visibility(None, Exponential(0.4)), runs=2)
    part = analyse(data).events[0]
    found = part.comparison.fading
    assert found is not None
    assert found.law is not None
    assert part.law.startswith("SI, delta 0.")
    assert part.distances["master equations"] < 0.1
    blind = fit(data, "SI")
    assert predict_runs(blind, data, draws=20).coverage < 0.6
    seen = predict_runs(found, data, draws=20)
    assert seen.coverage > 0.75
    assert part.prediction is not None
    assert part.prediction.coverage > 0.75
    known = predict_runs(fit(found.applied(data), found.law), found.applied(data), draws=20)
    assert known.bands.equals(seen.bands)


def test_runs_that_were_not_fitted_are_predicted_by_the_rates_that_were() -> None:
    """Whose posts fade as much, but persuade four times as well."""
    seen = Visibility(None, Exponential(0.3))
    found = fit_ageing(records("SI(0.1)", seen, runs=2), "SI", "exponential")
    other = records("SI(0.4)", seen, runs=2)
    assert predict_runs(found, other, draws=20, new=True).coverage < 0.2


def test_nothing_is_left_of_news_that_is_old_enough() -> None:
    """The chance that the event itself makes an agent post becomes too small for a float."""
    network = random_regular(100, 8, rng=1)
    for law in ("OnlineOffline(0.05, 0.1)", "SI(1.0)"):
        found = simulate(law, network, 5, 60, visibility="Visibility(event_ageing=1.0)", rng=1)
        assert found.infected[0, -1] == found.infected[0, -20]


def test_known_ageing_is_no_candidate() -> None:
    model = SpreadModel(decider="SI(0.1)", visibility=Visibility(ageing=Exponential(0.4)), rng=1)
    comparison = compare(SpreadData.from_model(model.run(40)), ["SI", "FirstRepeat"])
    assert comparison.ageing is None
    assert comparison.best.name == "SI"


def test_the_record_tells_when_every_post_came() -> None:
    model = SpreadModel(n=100, k=6, decider="SI(0.1)", media_prob=0.1, rng=1).run(20)
    log = Log(SpreadData.from_model(model))
    seen = Visibility(3, Exponential(0.3), 0.1)
    weight = log.receipts.weight(seen)
    posted = {agent.index: agent.posted_at for agent in model.spreaders if agent.infected}
    for row, found in zip(log.table.itertuples(), weight, strict=True):
        ages = [
            row.step - 1 - posted[j]
            for j in model.network.neighbours(row.agent)
            if posted.get(j, 99) < row.step
        ]
        own = sum(np.exp(-0.3 * age) for age in ages if age < 3) * np.exp(-0.1 * (row.step - 1))
        assert found == pytest.approx(own)


def test_a_record_that_forgets_posts_is_refused() -> None:
    table = pd.DataFrame(
        {"run": 0, "step": [1, 2], "agent": 1, "contacts": [3, 1], "outcome": ["decline"] * 2}
    )
    data = SpreadData.from_tables(table, info={"n": 10, "k": 3, "visibility": "Visibility(9)"})
    with pytest.raises(ArgumentError) as caught:
        _ = Log(data).receipts
    assert caught.value.argument == "data.exposures['cumulative']"


@pytest.mark.parametrize(
    ("step", "contacts", "cumulative", "argument"),
    [
        ([1, 4], [1, 2], [1, 2], "data.exposures"),
        ([1, 2], [1, 2], [1, 3], "data.exposures['contacts']"),
    ],
)
def test_a_record_without_some_decisions_is_refused(
    step: list[int], contacts: list[int], cumulative: list[int], argument: str
) -> None:
    """A third post came at an unknown step, or was overlooked."""
    rows = {"run": 0, "agent": 1, "outcome": "decline", "step": step, "contacts": contacts}
    table = pd.DataFrame({**rows, "cumulative": cumulative})
    data = SpreadData.from_tables(table, info={"n": 10, "k": 3})
    with pytest.raises(ArgumentError) as caught:
        fit_ageing(Log(data), SI(0.1), "exponential")
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    "law",
    [
        "SI(0.15)",
        "FirstRepeat(0.3, 0.1)",
        "SI(0.1, alpha=0.3)",
        "TwoClass(0.05, 0.5, 0.4, alpha=0.3)",
    ],
)
def test_a_fit_goes_by_what_posts_weighed(law: str) -> None:
    seen = Visibility(None, Exponential(0.3), 0.1)
    models = [
        SpreadModel(n=300, k=8, decider=law, visibility=seen, media_prob=0.1, rng=seed).run(40)
        for seed in range(3)
    ]
    data = concat([SpreadData.from_model(model) for model in models])
    truth = parse_law(law)
    result = fit(data, type(truth), offline=truth.offline, interval="profile", level=0.999)
    for name, (low, high) in result.ci.items():
        assert low < truth.parameters[name] < high


@pytest.mark.parametrize(
    ("law", "seen", "kind", "value"),
    [
        ("SI(0.15)", Visibility(ageing=Exponential(0.3)), "exponential", 0.3),
        ("SI(0.2)", Visibility(ageing=PowerLaw(1.0)), "power", 1.0),
        ("SI(0.1)", Visibility(event_ageing=0.1), "event", 0.1),
        ("FirstRepeat(0.3, 0.1)", Visibility(ageing=Exponential(0.2)), "exponential", 0.2),
        ("SI(0.15, alpha=0.02)", Visibility(ageing=Exponential(0.3)), "exponential", 0.3),
        ("ByTraits(-2, openness=0.5)", Visibility(4, Exponential(0.4)), "exponential", 0.4),
    ],
)
def test_fading_is_estimated(law: str, seen: Visibility, kind: str, value: float) -> None:
    truth = parse_law(law)
    data = records(law, seen, media_prob=0.1 * truth.offline)
    if seen.visible_for:
        windows = {
            run: dataclasses.replace(info, visibility=Visibility(seen.visible_for))
            for run, info in data.info.items()
        }
        data = SpreadData(data.exposures, data.counts, windows, data.agents)
    found = fit_ageing(Log(data), resolve_law(type(truth), offline=truth.offline), kind, 0.999)
    row = found.estimates.iloc[-1]
    assert row["low"] < value < row["high"]
    assert found.p_value < 0.01
    assert found.visibility is not None
    for name, (low, high) in found.estimates[["low", "high"]].iloc[:-1].T.items():
        assert low < truth.parameters[str(name)] < high
    others = {other: fit_ageing(Log(data), found.law.online(), other).bic for other in AGEING}
    if not truth.offline:
        assert min(others, key=others.__getitem__) == kind


@pytest.mark.parametrize("kind", AGEING)
def test_derivatives_are_exact(kind: str) -> None:
    """Against the likelihood written out, and its differences."""
    faded: dict[str, Any] = {
        "exponential": lambda s: Visibility(ageing=Exponential(s)),
        "power": lambda s: Visibility(ageing=PowerLaw(s)),
        "event": lambda s: Visibility(event_ageing=s),
    }
    data = records("FirstRepeat(0.3, 0.1, alpha=0.03)", Visibility(), runs=1, media_prob=0.2)
    log = Log(data)
    found = fit_ageing(log, resolve_law("FirstRepeat", offline=True), kind)

    def loglik(alpha: float, first: float, later: float, s: float) -> float:
        seen = faded[kind](s)
        beta = np.where(log.seen.exposure_count > 1, later, first)
        news = seen.event_weights(40)[log.seen.step - 1]
        spared = (1 - beta) ** log.receipts.weight(seen) * (1 - alpha) ** (log.seen.direct * news)
        return float(np.log(np.where(log.repost > 0, 1 - spared, spared)).sum())

    values = found.estimates["value"].to_numpy()
    assert loglik(*values) == pytest.approx(found.loglik, abs=1e-6)
    for i in range(4):
        for factor in (0.97, 1.03):
            moved = values.copy()
            moved[i] *= factor
            assert loglik(*moved) <= found.loglik + 1e-9


def test_without_fading_none_is_found() -> None:
    found = [
        fit_ageing(
            Log(records("SI(0.06)", Visibility(), runs=2, population="uniform")), SI(0.1), kind
        )
        for kind in AGEING
    ]
    for each in found:
        assert each.p_value > 0.001
        assert each.estimates["low"].iloc[-1] == pytest.approx(0.0, abs=0.02)
    with pytest.raises(ArgumentError):
        fit_ageing(Log(records("SI(0.06)", Visibility(), runs=1)), TwoClass(0.1, 0.2), "power")


def test_the_page_of_the_docs_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parents[1] / "docs" / "ageing.md"
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, names)
    said = capsys.readouterr().out
    assert "offline 0." in said
    assert "exponential delta 0.3" in said


def test_every_event_of_a_run_has_posts_of_its_own() -> None:
    rows = pd.DataFrame(
        {"run": 0, "step": [1, 2], "agent": 0, "event": ["a", "b"], "contacts": [1, 2]}
    )
    seen = {"n": 9, "k": 4, "visibility": "Visibility(ageing=Exponential(0.7))"}
    data = SpreadData.from_tables(rows.assign(outcome="decline"), info=seen)
    assert Log(data).seen.weight.tolist() == [1.0, 2.0]


def test_without_older_posts_in_view_fading_has_no_end() -> None:
    model = SpreadModel(n=80, k=4, decider="SI(0.4)", feed="new", rng=1).run(5)
    found = fit_ageing(SpreadData.from_model(model), "SI", "exponential").estimates.loc["delta"]
    assert np.isnan(found["value"])
    assert (found["low"], found["high"]) == (0, np.inf)


def test_a_level_is_a_probability() -> None:
    refused(lambda: fit_ageing(records("SI(0.06)", Visibility(), 1), "SI", "power", 2), "level", 2)
