"""Bands of simulated runs: right laws cover the runs they were fitted to, wrong ones do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mesa_llmspread import FitResult, SpreadData, SpreadModel, concat, fit
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError
from mesa_llmspread.inference.predictive import predict_runs
from mesa_llmspread.networks import random_regular, scale_free


def simulated(law: str, runs: int = 4, **options: object) -> SpreadData:
    settings = {"n": 300, "decider": law, **options}
    return concat(
        [SpreadData.from_model(SpreadModel(**settings, rng=r).run(40)) for r in range(runs)]
    )


@pytest.mark.parametrize(
    ("decider", "law", "options"),
    [
        ("SI(0.05)", "SI", {}),
        ("FirstRepeat(0.2, 0.04)", "FirstRepeat", {"network": "small_world"}),
        ("OnlineOffline(0.1, 0.03)", "OnlineOffline", {"media_prob": 0.1}),
        ("TwoClass(0.02, 0.3, share_high=0.3)", "TwoClass", {"feed": "new"}),
        ("SI(0.05)", "ByProfile", {}),
    ],
)
def test_the_true_law_covers_its_runs(decider: str, law: str, options: dict) -> None:
    data = simulated(decider, **options)
    prediction = predict_runs(fit(data, law), data, draws=40)
    assert prediction.coverage > 0.75
    bands = prediction.bands
    assert list(bands.columns) == ["run", "step", "observed", "low", "median", "high", "inside"]
    assert ((bands["low"] <= bands["median"]) & (bands["median"] <= bands["high"])).all()
    assert bands["step"].min() == 1
    assert set(prediction.by_run().index) == set(data.runs)
    assert "of the observed points lie within the 95% bands" in prediction.summary()


def test_runs_are_predicted_from_their_own_starters() -> None:
    """Hubs that post first reach many: from random starters the true law would not cover them."""
    network = scale_free(300, 4, rng=1)
    hubs = np.argsort(network.degrees)[-10:].tolist()
    settings = {"network": network.to_networkx(), "initial_infected": hubs}
    models = (SpreadModel(decider="SI(0.05)", **settings, rng=seed) for seed in range(4))
    data = concat([SpreadData.from_model(model.run(30)) for model in models])
    found = fit(data, "SI")
    assert predict_runs(found, data, network=network, draws=40).coverage > 0.85
    drawn = {run: replace(info, starters=None) for run, info in data.info.items()}
    unknown = SpreadData(data.exposures, data.counts, drawn, data.agents)
    assert predict_runs(found, unknown, network=network, draws=40).coverage < 0.6


def test_a_wrong_law_does_not() -> None:
    data = simulated("FirstRepeat(0.5, 0.01)")
    wrong, right = fit(data, "SI"), fit(data, "FirstRepeat")
    assert predict_runs(wrong, data, draws=40).coverage < 0.7
    assert predict_runs(right, data, draws=40).coverage > 0.75


def test_repeatable_and_wider_with_level() -> None:
    data = simulated("SI(0.05)", runs=1)
    result = fit(data, "SI")
    one, two = (predict_runs(result, data, draws=20, rng=3) for _ in range(2))
    assert one.bands.equals(two.bands)
    narrow = predict_runs(result, data, draws=20, rng=3, level=0.5)
    width = one.bands["high"] - one.bands["low"]
    assert (width >= narrow.bands["high"] - narrow.bands["low"]).all()


def test_a_given_network_has_to_be_given() -> None:
    graph = random_regular(300, 6, 5)
    data = simulated("SI(0.05)", runs=1, network=graph)
    result = fit(data, "SI")
    with pytest.raises(ArgumentError) as caught:
        predict_runs(result, data)
    assert (caught.value.argument, caught.value.value) == ("network", None)
    band = predict_runs(result, data, graph, draws=20)
    assert band.coverage > 0.5
    assert predict_runs(result, data, graph.to_networkx(), draws=20).bands.equals(band.bands)
    with pytest.raises(ArgumentError) as caught:
        predict_runs(result, data, random_regular(200, 6, 5))
    assert caught.value.argument == "network"


def test_bad_arguments() -> None:
    data = simulated("SI(1.0)", runs=1, n=20, k=4)
    certain = fit(data, "SI")
    assert predict_runs(certain, data, draws=2).coverage > 0
    unstarted = SpreadData.from_model(SpreadModel(n=20, k=4, rng=1))
    for argument, wrong in (
        ("result", lambda: predict_runs(fit(data, "FirstRepeat"), data)),
        ("draws", lambda: predict_runs(certain, data, draws=0)),
        ("level", lambda: predict_runs(certain, data, level=95)),
        ("data", lambda: predict_runs(certain, unstarted, draws=1)),
    ):
        with pytest.raises(ArgumentError) as caught:
            wrong()
        assert caught.value.argument == argument
    for argument, call in (
        ("result", lambda: predict_runs(data, data)),  # type: ignore[arg-type]
        ("data", lambda: predict_runs(certain, data.exposures)),  # type: ignore[arg-type]
    ):
        with pytest.raises(ArgumentTypeError) as wrong_type:
            call()
        assert wrong_type.value.argument == argument
    assert np.isfinite(predict_runs(certain, data, draws=1).coverage)


def widths(result: FitResult, data: SpreadData, **options: bool) -> float:
    bands = predict_runs(result, data, draws=150, **options).bands
    return float((bands["high"] - bands["low"]).mean())


def test_bands_of_new_runs_are_wider() -> None:
    """By the error of the estimate, whose sign changes for runs that are part of it."""
    data = simulated("SI(0.05)", runs=6)
    result = fit(data, "SI")
    scale = (0.05 * 0.95) ** 2  # about the square of the derivative of the rate by its logarithm
    same = replace(result, between=np.zeros((1, 1)), covar=np.array([[0.0001]]) * scale)
    apart = replace(result, between=np.array([[0.16]]), covar=np.array([[0.04]]) * scale)
    run = data.select([0])
    # Where runs do not differ, those that were fitted vary by chance alone.
    exact = replace(same, covar=np.zeros((1, 1)))
    alike = [widths(same, run), widths(exact, run), widths(exact, run, new=True)]
    assert alike == pytest.approx([alike[0]] * 3, rel=0.1)
    assert 1.2 * alike[0] < widths(apart, run) < widths(apart, run, new=True)


def test_runs_of_their_own_rates_are_covered_whether_fitted_or_new() -> None:
    factors = np.exp(np.random.default_rng(3).normal(0, 0.4, 16))
    runs = [
        SpreadData.from_model(SpreadModel(n=300, decider=f"SI({0.05 * f})", rng=seed).run(40))
        for seed, f in enumerate(factors)
    ]
    data, others = concat(runs[:8]), concat(runs[8:])
    result = fit(data, "SI")
    for shown, new in ((data, False), (others, True)):
        assert predict_runs(result, shown, draws=40, new=new).coverage > 0.8
