"""Fits to curves: the rates come back, with the reasons not to trust them."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
import pandas as pd
import pytest
from errors import refused

from mesa_llmspread import RunInfo, SpreadData, SpreadModel, concat, fit, solve
from mesa_llmspread.exceptions import ArgumentError, UndefinedClosureError
from mesa_llmspread.transmission import TransmissionLaw, parse_law

LAWS = (
    "SI(0.05)",
    "OnlineOffline(0.02, 0.04)",
    "FirstRepeat(0.2, 0.04)",
    "FirstRepeat(0.3, 0.1, per='occasion')",
    "SingleMultiple(0.05, 0.2)",
    "TwoClass(0.02, 0.3, share_high=0.3)",
)


def drawn(law: TransmissionLaw, runs: int = 1, **changes: object) -> SpreadData:
    """A record whose counts lie on a law's own curve."""
    info = RunInfo(
        **{
            "n": 10_000,
            "k": 8,
            "degrees": {8: 10_000},
            "initial_infected": 100,
            "media_prob": float(law.offline),
            **changes,
        }
    )
    curve = solve(
        law,
        n=info.n,
        k={k: count / info.n for k, count in info.degrees.items()},
        initial_infected=info.initial_infected,
        steps=40,
        feed=info.feed,
    )
    counts = pd.concat([curve.assign(run=run) for run in range(runs)])
    counts = counts.assign(new_infected=0, exposures=0, failed=0)
    exposures = SpreadData.from_model(SpreadModel(n=20, k=4, rng=1).run(1)).exposures.iloc[:0]
    return SpreadData(exposures, counts, dict.fromkeys(range(runs), info))


@pytest.mark.parametrize("law", LAWS)
def test_a_laws_own_curve_gives_its_rates(law: str) -> None:
    law = parse_law(law)
    result = fit(drawn(law), law, method="curve")
    assert result.success
    assert result.name == law.name
    # A share may trade against a rate at little cost.
    assert list(result.params.values()) == pytest.approx(list(law.parameters.values()), rel=0.05)
    assert result.rmse < 1e-4


def test_other_networks_and_feeds() -> None:
    law = parse_law("FirstRepeat(0.3, 0.1)")
    data = drawn(law, degrees={"3": 5000, "12": 5000}, feed="new")
    result = fit(data, "FirstRepeat", method="curve")
    assert list(result.params.values()) == pytest.approx([0.3, 0.1], rel=0.02)


def test_interval_comes_from_the_runs() -> None:
    runs = [
        SpreadData.from_model(
            SpreadModel(n=1000, decider="SI(0.05)", initial_infected=20, rng=seed).run(50)
        )
        for seed in range(4)
    ]
    result = fit(concat(runs), "SI", method="curve")
    low, high = result.ci["beta"]
    assert low < 0.05 < high
    assert result.interval == "runs"
    assert 0 < result.stderr["beta"] < 0.01
    single = fit(runs[0], "SI", method="curve")
    assert single.ci["beta"] == (0, 1)
    assert np.isnan(single.stderr["beta"])
    assert "A single curve gives no interval." in single.warnings
    # What one run alone gives is what enters the mean.
    alone = [fit(run, "SI", method="curve").params["beta"] for run in runs]
    mean = np.exp(np.mean(np.log(-np.log1p(-np.array(alone)))))
    assert result.params["beta"] == pytest.approx(1 - np.exp(-mean), rel=1e-3)


def test_there_is_no_likelihood() -> None:
    result = fit(drawn(parse_law("SI(0.05)")), "SI", method="curve")
    assert np.isnan([result.loglik, result.aic, result.bic, result.heterogeneity]).all()
    assert result.method == "curve"
    assert result.n_obs == 40
    assert "distance from the counts" in result.summary()
    with pytest.raises(ArgumentError) as caught:
        fit(drawn(parse_law("SI(0.05)")), "SI", method="curve", interval="profile")
    assert (caught.value.argument, caught.value.value) == ("interval", "profile")


def test_warnings_are_attached() -> None:
    law = parse_law("FirstRepeat(0.2, 0.04)")
    plain = fit(drawn(law), law, method="curve")
    assert "others can give nearly the same one" in plain.warnings[0]
    assert plain.warnings[0] in plain.summary()
    field = fit(drawn(law), law, method="curve", closure="mean_field")
    assert any("effective rates" in text for text in field.warnings)
    assert field.params["beta_repeat"] < 0.95 * plain.params["beta_repeat"]
    pair = fit(drawn(law), law, method="curve", closure="pair")
    assert any("pair approximation" in text for text in pair.warnings)
    few = fit(drawn(law, initial_infected=1), law, method="curve")
    assert any("With 1 starter runs" in text for text in few.warnings)


def test_the_curve_of_another_law_fits_as_well() -> None:
    """Why curves do not identify laws."""
    data = drawn(parse_law("FirstRepeat(0.2, 0.04)"), media_prob=1.0)
    rival = fit(data, "OnlineOffline", method="curve")
    assert rival.rmse < 0.01
    one = fit(drawn(parse_law("SI(0.05)")), "FirstRepeat", method="curve")
    assert one.rmse < 1e-3


def test_continuous_time() -> None:
    data = drawn(parse_law("SI(0.05)"))
    result = fit(data, "SI", method="curve", time="continuous")
    # Within a step spread goes on, so a lower rate gives the same curve.
    assert 0.04 < result.params["beta"] < 0.05


@pytest.mark.parametrize("outcome", ["nobody", "everybody"])
def test_flat_curves(outcome: str) -> None:
    data = drawn(parse_law("SI(0.05)"), runs=2)
    infected = np.where(data.counts["step"] > 0, 10_000, 100) if outcome == "everybody" else 100
    counts = data.counts.assign(infected=infected)
    flat = dataclasses.replace(data, counts=counts)
    result = fit(flat, "SI", method="curve")
    if outcome == "nobody":
        assert result.params["beta"] == 0
        assert result.ci["beta"] == (0, 1)
        assert any("at the end of its range" in text for text in result.warnings)
    else:
        assert result.params["beta"] > 0.5


def test_bad_arguments() -> None:
    data = drawn(parse_law("SI(0.05)"))
    with pytest.raises(ArgumentError) as caught:
        fit(data, "ByProfile", method="curve")
    assert (caught.value.argument, caught.value.value) == ("law", "ByProfile")
    for name in ("n", "degrees", "initial_infected"):
        info = {0: dataclasses.replace(data.info[0], **{name: None})}
        unknown = dataclasses.replace(data, info=info)
        with pytest.raises(ArgumentError) as caught:
            fit(unknown, "SI", method="curve")
        assert (caught.value.argument, caught.value.value) == (f"info.{name}", None)
    silent = dataclasses.replace(data, info={0: dataclasses.replace(data.info[0], media_prob=0.0)})
    with pytest.raises(ArgumentError) as caught:
        fit(silent, "OnlineOffline", method="curve")
    assert (caught.value.argument, caught.value.value) == ("law", "OnlineOffline")
    tried = pd.DataFrame({"run": 0, "step": 1, "agent": range(4), "contacts": 1})
    for outcome, time in ((["failed"] * 4, "discrete"), (["failed", "decline"] * 2, "continuous")):
        rows = SpreadData.from_tables(tried.assign(outcome=outcome)).exposures
        failed = dataclasses.replace(drawn(parse_law("SI(0.05)")), exposures=rows)
        argument = ("data", "run 0") if time == "discrete" else ("time", time)
        refused(partial(fit, failed, "SI", method="curve", time=time), *argument)
    start = dataclasses.replace(data, counts=data.counts[data.counts["step"] == 0])
    with pytest.raises(ArgumentError) as caught:
        fit(start, "SI", method="curve")
    assert (caught.value.argument, caught.value.value) == ("data", "run 0")
    new = drawn(parse_law("SI(0.05)"), feed="new")
    with pytest.raises(UndefinedClosureError):
        fit(new, "SI", method="curve", closure="pair")


def test_runs_that_agree_exactly_give_no_interval() -> None:
    result = fit(drawn(parse_law("SI(0.05)"), runs=2), "SI", method="curve")
    assert result.params["beta"] == pytest.approx(0.05, rel=1e-3)
    assert np.isnan(result.stderr["beta"])
    assert result.ci["beta"] == (0, 1)
    assert "All runs give exactly the same beta" in result.message
