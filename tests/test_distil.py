"""Distilled policies: known truth, held-out decisions, and the engine that runs them."""

from __future__ import annotations

import dataclasses
import math
import pickle

import numpy as np
import pytest
import statsmodels.api as sm

from mesa_llmspread import (
    RateDecider,
    ScriptedDecider,
    SpreadData,
    SpreadModel,
    TraitDecider,
    bundled_events,
    concat,
    fit_traits,
    random_regular,
    simulate,
    solve,
)
from mesa_llmspread.exceptions import ArgumentError, UndefinedClosureError, UnknownNameError
from mesa_llmspread.profiles import Trait

EVENTS = bundled_events()
TRAITS = [trait.value for trait in Trait]
TRUTH = TraitDecider(
    intercept=-3.2,
    first=0.9,
    contacts=0.6,
    openness=0.0,
    conscientiousness=-0.2,
    extraversion=0.5,
    agreeableness=-0.4,
    neuroticism=0.1,
    fatalities=0.3,
    civilians=0.0,
    event_types={},
    link="cloglog",
)


def recorded(decider, runs=6, n=400, steps=25, events=EVENTS, **settings):
    return concat(
        [
            SpreadData.from_model(
                SpreadModel(
                    n=n, decider=decider, event=events[run % len(events)], rng=run, **settings
                ).run(steps)
            )
            for run in range(runs)
        ]
    )


@pytest.fixture(scope="module")
def data():
    return recorded(TRUTH, runs=18)


@pytest.fixture(scope="module")
def distilled(data):
    return fit_traits(data)


def test_coefficients_of_the_same_form_are_found_again(distilled):
    for name in ("first", "contacts", "extraversion", "agreeableness", "fatalities"):
        assert getattr(distilled, name) == pytest.approx(getattr(TRUTH, name), abs=0.15), name
    assert distilled.link == "cloglog"


def test_it_is_the_regression_of_statsmodels_where_the_prior_says_little(data):
    found = fit_traits(data)
    rows = data.exposures
    levels = np.array([[1.0 if c.isupper() else -1.0 for c in code] for code in rows["profile"]])
    event = [data.info[run].event.to_dict() for run in rows["run"]]
    kinds = sorted({one["event_type"] for one in event})
    design = np.column_stack(
        [
            np.ones(len(rows)),
            rows["exposure_count"] == 1,
            np.log2(rows["contacts"]),
            levels,
            [math.log10(1 + one["fatalities"]) for one in event],
            *[[float(one["event_type"] == kind) for one in event] for kind in kinds[1:]],
        ]
    ).astype(float)
    family = sm.families.Binomial(link=sm.families.links.CLogLog())
    exact = sm.GLM((rows["outcome"] == "repost").astype(float), design, family=family).fit()
    mine = [found.first, found.contacts, found.openness, found.extraversion]
    assert mine == pytest.approx(np.asarray(exact.params)[[1, 2, 3, 5]].tolist(), abs=0.02)


def test_it_is_at_the_maximum_of_its_posterior(data):
    """The gradient of the log-posterior is 0; with a wide prior that takes a good search."""
    found, rows = fit_traits(data), data.exposures
    events = {run: info.event for run, info in data.info.items()}
    kinds = rows["run"].map({run: event.event_type for run, event in events.items()})
    fatalities = rows["run"].map({run: event.fatalities for run, event in events.items()})
    columns = {
        "intercept": np.ones(len(rows)),
        "first": rows["exposure_count"] == 1,
        "contacts": np.log2(rows["contacts"]),
        "fatalities": np.log10(1 + fatalities),
        "civilians": rows["run"].map({run: e.civilian_targeting for run, e in events.items()}),
    }
    for place, name in enumerate(TRAITS):
        columns[name] = [1.0 if code[place].isupper() else -1.0 for code in rows["profile"]]
    coefficients = {name: getattr(found, name) for name in columns}
    for kind, offset in found.event_types.items():
        columns[kind], coefficients[kind] = kinds == kind, offset
    design = np.column_stack([np.asarray(column, dtype=float) for column in columns.values()])
    b = np.array(list(coefficients.values()))
    hazard = np.exp(design @ b)
    repost = (rows["outcome"] == "repost").to_numpy()
    score = design.T @ np.where(repost, hazard / np.expm1(hazard), -hazard)
    prior = np.where(np.array(list(columns)) == "intercept", 0.0, b / 9)
    assert score - prior == pytest.approx(np.zeros(len(b)), abs=1e-6)


def test_held_out_decisions_are_foretold_and_calibrated(distilled):
    held = distilled.held_out
    assert (held.unit, held.folds) == ("run", 5)
    assert held.decisions == held.calibration["decisions"].sum()
    assert held.log_score > held.log_score_constant + 0.005
    assert held.auc > 0.6
    inside = held.calibration["predicted"].between(
        held.calibration["low"], held.calibration["high"]
    )
    assert inside.sum() >= 7
    assert "held out by run in 5 parts" in held.summary()


def test_the_engine_runs_it_as_the_model_does(distilled):
    event = EVENTS[4]
    model = SpreadModel(n=300, decider=distilled, event=event, rng=5)
    profiles = [agent.profile.index for agent in model.spreaders]
    starters = [agent.index for agent in model.spreaders if agent.infected]
    finals = []
    for seed in range(60):
        twin = SpreadModel(
            network=model.network,
            population=[agent.profile for agent in model.spreaders],
            decider=distilled,
            event=event,
            initial_infected=starters,
            rng=seed,
        )
        finals.append(twin.run(8).infected)
    engine = simulate(
        distilled.law(event),
        model.network,
        initial_infected=starters,
        steps=8,
        replicates=4000,
        profiles=profiles,
        rng=1,
    ).infected[:, -1]
    error = math.sqrt(np.var(finals) / len(finals) + engine.var() / len(engine))
    assert abs(np.mean(finals) - engine.mean()) < 4 * error


@pytest.mark.parametrize("link", ["logit", "cloglog"])
def test_its_law_makes_the_same_run_bit_for_bit(link):
    decider = TraitDecider(link=link)
    law = RateDecider(decider.law(EVENTS[0]))
    runs = [
        SpreadModel(n=200, decider=one, event=EVENTS[0], media_prob=0.05, rng=3).run(20)
        for one in (decider, law)
    ]
    assert [run.infected for run in runs] == [runs[0].infected] * 2
    assert runs[0].datacollector.tables["exposures"] == runs[1].datacollector.tables["exposures"]


def test_a_record_made_with_its_law_tells_the_coefficients():
    law = TraitDecider(extraversion=0.7).law(EVENTS[0])
    manifest = RateDecider(law).manifest()
    assert manifest["law"] == "TraitLaw[logit]"
    assert manifest["parameters"]["extraversion"] == 0.7
    assert "news" in manifest["parameters"]


def test_certainty_that_was_wrong_once_is_finite():
    rng = np.random.default_rng(5)
    sure = ScriptedDecider(
        lambda seen: (seen.profile.openness > 0 or seen.contacts >= 3) != (rng.random() < 0.005)
    )
    held = fit_traits(recorded(sure, runs=4, n=1000, k=24, steps=6)).held_out
    assert math.isfinite(held.log_score)
    assert held.log_score > held.log_score_constant
    assert held.auc > 0.9


def test_classes_of_its_law_are_the_profiles():
    law = TraitDecider().law(EVENTS[0])
    each = law.evaluate(3, exposure_count=2, profile=np.arange(32))
    classes = law.classes()
    assert [share for share, _ in classes] == [1 / 32] * 32
    assert [float(one.evaluate(3, exposure_count=2)) for _, one in classes] == pytest.approx(
        each.tolist()
    )


def test_its_law_has_master_equations():
    law, n = TraitDecider().law(EVENTS[0]), 20_000
    solved = solve(law, n=n, k=6, initial_infected=n // 20, steps=25)
    runs = simulate(law, random_regular(n, 6, rng=1), n // 20, 25, replicates=8, rng=2)
    assert runs.infected.mean(0) / n == pytest.approx(solved["infected"] / n, abs=0.006)
    with pytest.raises(UndefinedClosureError):
        solve(law, n=n, k=6, initial_infected=10, steps=5, time="continuous")


def test_one_run_is_held_out_by_agent():
    held = fit_traits(recorded(TRUTH, runs=1)).held_out
    assert held.unit == "agent"
    assert held.auc > 0.5


def test_what_never_happens_stays_finite():
    never = dataclasses.replace(TRUTH, event_types={"Protests": -20.0}, fatalities=0.0)
    found = fit_traits(recorded(never, runs=18, n=200))
    offsets = found.event_types
    assert offsets["Protests"] < min(v for k, v in offsets.items() if k != "Protests") - 1.5
    assert all(map(math.isfinite, offsets.values()))


def test_a_distilled_decider_is_a_plain_one_with_a_source(distilled):
    again = pickle.loads(pickle.dumps(distilled))
    assert again == distilled
    manifest = distilled.manifest()
    assert manifest["decider"] == "distilled"
    assert manifest["distilled_from"]["decider"] == "traits"
    assert manifest["parameters"]["link"] == "cloglog"
    assert SpreadModel(n=50, decider=distilled, rng=1).run(3).info.decider == "distilled"


def test_records_that_say_nothing_are_refused():
    silent = recorded(ScriptedDecider(lambda exposure: False), runs=1, n=50)
    with pytest.raises(ArgumentError) as caught:
        fit_traits(silent)
    assert caught.value.argument == "data"
    assert caught.value.value.startswith("0 reposts in ")
    with pytest.raises(ArgumentError) as caught:
        fit_traits(silent, folds=1)
    assert (caught.value.argument, caught.value.value) == ("folds", 1)
    with pytest.raises(UnknownNameError) as unknown:
        TraitDecider(link="probit")
    assert (unknown.value.argument, unknown.value.value) == ("link", "probit")
