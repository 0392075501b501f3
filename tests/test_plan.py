"""How many runs an experiment needs; benchmarks/bench_plan.py asks simulated experiments."""

from __future__ import annotations

import math
from typing import Any

import networkx as nx
import numpy as np
import pytest
from command_line import call, invoke
from errors import refused
from scipy.stats import norm

from mesa_llmspread import SpreadData, SpreadModel, compare, concat, plan
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError

SMALL = {"n": 100, "k": 6, "initial_infected": 5, "steps": 40}


@pytest.mark.parametrize("ratio", [1.05, 1.2, 0.8])
def test_runs_for_a_trait_follow_from_the_reposts(ratio: float) -> None:
    """All 95 others post in the end; Schoenfeld's formula for the number of events."""
    design = plan(ratio, law="SI(0.2)", **SMALL)
    events = ((norm.isf(0.025) + norm.isf(0.2)) / math.log(ratio)) ** 2
    assert design.reposts == 95
    # Of 1,000 agents drawn from 32 profiles, traits hardly correlate.
    assert 0.97 < design.information < 1
    exact = events / 95 / design.information
    assert design.runs == math.ceil(exact)
    # The other tail adds nothing to the power, so the smallest ratio is the one planned for.
    assert design.smallest_ratio(design.runs) == pytest.approx(
        math.exp(abs(math.log(ratio)) * math.sqrt(exact / design.runs)), rel=1e-6
    )


def test_a_trait_that_varies_less_takes_more_runs() -> None:
    """By the variance that the other traits do not explain."""
    uniform, norms = (plan(1.1, population=each, **SMALL) for each in ("uniform", "norms"))
    assert 0.8 < norms.information < 0.95 < uniform.information
    assert norms.runs > uniform.runs
    assert norms.smallest_ratio(3) > uniform.smallest_ratio(3)
    for alike in ({"OCEAN": 1.0}, {"OCEAN": 0.5, "ocean": 0.5}):
        refused(lambda alike=alike: plan(1.1, population=alike, **SMALL), "population", alike)
    assert plan("FirstRepeat(0.2, 0.1)", population="OCEAN", **SMALL).smallest_ratio(3) == np.inf


def test_laws_are_told_apart_by_as_many_runs() -> None:
    """With the runs of the plan `compare` decides for the true law; it is sure of twice."""
    design = plan("FirstRepeat(0.2, 0.1)", **SMALL)
    low, high = design.interval
    assert low <= design.runs <= high
    assert design.power_of(design.runs) >= 0.8
    assert design.runs == 1 or design.power_of(design.runs - 1) < 0.8
    runs = 2 * high
    models = [
        SpreadModel(**_model(), decider="FirstRepeat(0.2, 0.1)", rng=1000 + i) for i in range(runs)
    ]
    data = concat([SpreadData.from_model(model.run(40)) for model in models])
    assert compare(data, ["SI", "FirstRepeat"]).best.name == "FirstRepeat"


def test_power_grows_with_runs_and_with_the_effect() -> None:
    designs = [plan(f"FirstRepeat(0.2, {repeat})", **SMALL) for repeat in (0.1, 0.05)]
    for design in designs:
        powers = [design.power_of(runs) for runs in (1, 5, 20, 80)]
        assert np.all(np.diff(powers) >= 0)
    assert designs[0].runs > designs[1].runs


def test_runs_in_which_nobody_sees_a_post_count_too() -> None:
    """One starter among ten connected agents and fifteen without neighbours."""
    graph = nx.disjoint_union(nx.complete_graph(10), nx.empty_graph(15))
    design = plan(1.2, law="SI(0.5)", network=graph, initial_infected=1, steps=30)
    # Nine reposts in two of five runs; the mean of ten has a standard error of 1.4.
    assert 0 < design.reposts < 8


def test_at_the_limit_more_runs_are_needed() -> None:
    design = plan(1.0001, **SMALL)
    assert design.runs == 1_000_000
    assert "takes more than 1,000,000 runs" in design.summary()
    assert f"1,000,000 runs: power {design.power_of(design.runs):.2f}" in design.summary()
    assert "takes 1 run," in plan(2, **SMALL).summary()


@pytest.mark.parametrize("options", [{"steps": 1}, {"initial_infected": 20}])
@pytest.mark.parametrize("given", ["law", "effect"])
def test_a_design_without_reposts_is_refused(options: dict[str, int], given: str) -> None:
    design = {"n": 20, "k": 2, "initial_infected": 1, "steps": 5, **options}
    rare = {"law": "SI(1e-9)"} if given == "law" else {}
    effect = 1.2 if given == "law" else "FirstRepeat(1e-9, 1e-10)"
    refused(lambda: plan(effect, **rare, **design), given)  # type: ignore[arg-type]


def test_who_decides_is_given_as_a_law() -> None:
    error = refused(lambda: plan(1.2, decider="SI(0.2)", **SMALL), "decider", "SI(0.2)")
    assert "law" in error.allowed


@pytest.mark.parametrize(
    ("effect", "options", "argument"),
    [
        (1.0, {}, "effect"),
        (-1.2, {}, "effect"),
        ("SI(0.1", {}, "effect"),
        ("SI(0.1)", {}, "against"),
        ("FirstRepeat(0.1, 0.1)", {"against": "TwoClass"}, "against"),
        (1.1, {"power": 1.0}, "power"),
    ],
)
def test_what_cannot_be_planned_is_refused(
    effect: float | str, options: dict[str, object], argument: str
) -> None:
    with pytest.raises(ArgumentError) as caught:
        plan(effect, **SMALL, **options)  # type: ignore[arg-type]
    assert caught.value.argument == argument


def test_an_effect_is_a_number_or_a_law() -> None:
    with pytest.raises(ArgumentTypeError):
        plan(True)


def test_the_command_prints_the_plan() -> None:
    printed = call("plan", 1.2, "--n", 100, "--k", 6, "--runs", 3, "--steps", 80)
    assert printed == plan(1.2, n=100, k=6, steps=80).summary(3) + "\n"


@pytest.mark.parametrize(
    ("effect", "option"), [(1.2, "--against"), ("FirstRepeat(0.2, 0.1)", "--law")]
)
def test_the_command_refuses_what_would_do_nothing(effect: object, option: str) -> None:
    error: Any = invoke("plan", effect, option, "SI").exception
    assert (error.argument, error.value) == (option, "SI")


def _model() -> dict[str, int]:
    return {name: value for name, value in SMALL.items() if name != "steps"}
