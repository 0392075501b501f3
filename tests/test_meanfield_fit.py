"""Fits: against reference estimates, statsmodels, and known truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from errors import refused
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import chi2, norm

from mesa_llmspread import RunInfo, SpreadData, SpreadModel, TwoClass, concat, fit
from mesa_llmspread.data.schema import COUNT_COLUMNS, EXPOSURE_COLUMNS
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, UnknownNameError
from mesa_llmspread.inference.decisions import Log
from mesa_llmspread.inference.diagnostics import chances
from mesa_llmspread.profiles import codes


def as_data(rows: pd.DataFrame) -> SpreadData:
    """Make a record from decisions with the columns that matter for fits."""
    defaults = {
        "run": 0,
        "step": 1,
        "agent": 0,
        "profile": "ocean",
        "event": "e",
        "cumulative": rows["contacts"],
        "exposure_count": 1,
        "direct": False,
        "post": "",
        "reason": "",
        "key": "",
    }
    exposures = rows.assign(**{k: v for k, v in defaults.items() if k not in rows})
    runs = sorted(set(exposures["run"]))
    counts = pd.DataFrame(0, index=range(len(runs)), columns=list(COUNT_COLUMNS))
    counts["run"] = runs
    return SpreadData(
        exposures[list(EXPOSURE_COLUMNS)].reset_index(drop=True),
        counts,
        {run: RunInfo(n=None, k=None) for run in runs},
    )


@pytest.fixture(scope="session")
def golden(shared: Path) -> dict:
    return json.loads((shared / "golden" / "golden_fit.json").read_text())


@pytest.fixture(scope="session")
def golden_data(shared: Path) -> SpreadData:
    """One row per decision, from the reference counts."""
    cells = pd.read_csv(shared / "golden" / "golden_exposures.csv")
    rows = []
    for outcome, number in (
        ("repost", cells["successes"]),
        ("decline", cells["trials"] - cells["successes"]),
    ):
        part = cells.loc[cells.index.repeat(number)]
        rows.append(part.assign(outcome=outcome))
    table = pd.concat(rows, ignore_index=True)
    return as_data(
        pd.DataFrame(
            {
                "run": table["replicate"],
                "profile": np.array(codes())[table["profile"]],
                "contacts": table["m"],
                "exposure_count": 1 + table["e"],
                "outcome": table["outcome"],
            }
        )
    )


CASES = {
    "SI": ("SI", {}),
    "FirstRepeat": ("FirstRepeat", {}),
    "SingleMultiple": ("SingleMultiple", {}),
    "TwoClass": ("TwoClass", {"high": set(codes()[16:])}),
    "Profiles": ("ByProfile", {}),
}


@pytest.mark.parametrize("name", CASES)
def test_golden_estimates(name: str, golden: dict, golden_data: SpreadData) -> None:
    law, options = CASES[name]
    expected = golden["fits"][name]
    result = fit(golden_data, law, interval="profile", **options)
    assert list(result.params.values()) == pytest.approx(expected["estimates"], abs=1e-4)
    assert result.loglik == pytest.approx(expected["loglik"], abs=1e-3)
    assert result.aic == pytest.approx(expected["AIC"], abs=2e-3)
    assert result.bic == pytest.approx(expected["BIC"], abs=2e-3)
    assert result.n_obs == golden["N_exposed_decisions"]


def test_golden_online_offline(golden: dict, golden_data: SpreadData) -> None:
    # The reference lets the offline rate act on every decision, also with no post in view.
    seen = SpreadData(
        golden_data.exposures.assign(direct=True), golden_data.counts, golden_data.info
    )
    expected = golden["fits"]["OnOff"]
    result = fit(seen, "OnlineOffline")
    assert list(result.params.values()) == pytest.approx(expected["estimates"], abs=1e-4)
    assert result.loglik == pytest.approx(expected["loglik"], abs=1e-3)
    assert result.n_obs == golden["N_rows_incl_m0"]
    assert result.ci["alpha"][0] == 0


def test_golden_latent_classes(shared: Path, golden: dict) -> None:
    agents = pd.read_csv(shared / "golden" / "golden_agents.csv").reset_index(names="agent")
    declined = agents[agents["contacts_survived"] > 0]
    posted = agents[agents["infected"] == 1]
    rows = pd.concat(
        [
            pd.DataFrame(
                {"agent": declined["agent"], "contacts": declined["contacts_survived"]}
            ).assign(outcome="decline"),
            pd.DataFrame({"agent": posted["agent"], "contacts": posted["m_at_infection"]}).assign(
                outcome="repost"
            ),
        ]
    )
    expected = golden["fits"]["TwoClassLatent"]
    result = fit(as_data(rows), "TwoClass")
    assert list(result.params.values()) == pytest.approx(expected["estimates"], abs=1e-4)
    assert result.loglik == pytest.approx(expected["loglik"], abs=1e-3)
    for name, value in result.params.items():
        low, high = result.ci[name]
        assert low < value < high


@pytest.mark.parametrize(
    ("law", "parameter", "reference"),
    [
        ("SI", "beta", "SI"),
        ("FirstRepeat", "beta_first", "FirstRepeat_1"),
        ("FirstRepeat", "beta_repeat", "FirstRepeat_2"),
    ],
)
def test_golden_intervals(
    law: str, parameter: str, reference: str, golden: dict, golden_data: SpreadData
) -> None:
    expected = golden["fits"]["CI"][reference]
    result = fit(golden_data, law, interval="profile")
    assert result.ci[parameter] == pytest.approx(expected["profile95"], abs=2e-6)
    beta = expected["beta"]
    # d beta = (1 - beta) * rate * d log rate
    stderr = expected["se_log_lambda"] * (1 - beta) * -np.log1p(-beta)
    assert result.stderr[parameter] == pytest.approx(stderr, rel=1e-3)


def test_agrees_with_statsmodels(golden_data: SpreadData) -> None:
    rows = golden_data.exposures[golden_data.exposures["contacts"] > 0]
    repeat = (rows["exposure_count"] > 1).astype(float)
    model = sm.GLM(
        (rows["outcome"] == "repost").astype(float),
        np.column_stack([1 - repeat, repeat]),
        family=sm.families.Binomial(sm.families.links.CLogLog()),
        offset=np.log(rows["contacts"]),
    ).fit()
    result = fit(golden_data, "FirstRepeat", interval="profile")
    assert list(result.params.values()) == pytest.approx(
        1 - np.exp(-np.exp(model.params)), abs=1e-6
    )
    assert result.loglik == pytest.approx(model.llf, abs=1e-6)


@pytest.mark.parametrize(
    ("decider", "law", "options"),
    [
        ("SI(0.06)", "SI", {}),
        ("FirstRepeat(0.2, 0.04)", "FirstRepeat", {}),
        ("FirstRepeat(0.3, 0.1, per='occasion')", 'FirstRepeat(per="occasion")', {}),
        ("SingleMultiple(0.05, 0.2)", "SingleMultiple", {}),
        ("TwoClass(0.02, 0.3, share_high=0.3)", "TwoClass", {}),
        ("TwoClass(0.02, 0.2, high={'OCEAN', 'oceaN'})", "TwoClass", {"high": {"OCEAN", "oceaN"}}),
    ],
)
def test_recovers_the_truth(decider: str, law: str, options: dict) -> None:
    population = {"OCEAN": 0.3, "oceaN": 0.3, "ocean": 0.4} if options else "uniform"
    runs = [
        SpreadData.from_model(
            SpreadModel(n=500, decider=decider, population=population, rng=seed).run(80)
        )
        for seed in range(4)
    ]
    truth = SpreadModel(decider=decider).decider.law.parameters
    result = fit(concat(runs), law, interval="profile", level=0.999, **options)
    assert result.success
    for name, value in truth.items():
        low, high = result.ci[name]
        assert low < value < high, name


def test_recovers_online_and_offline_rates() -> None:
    model = SpreadModel(n=2000, decider="OnlineOffline(0.02, 0.05)", media_prob=0.5, rng=3).run(60)
    result = fit(SpreadData.from_model(model), "OnlineOffline", level=0.999)
    assert result.ci["alpha"][0] < 0.02 < result.ci["alpha"][1]
    assert result.ci["beta"][0] < 0.05 < result.ci["beta"][1]
    assert np.isfinite(list(result.stderr.values())).all()


def test_failed_decisions_are_counted_and_never_fitted() -> None:
    rows = pd.DataFrame(
        {"contacts": [1] * 30, "outcome": ["repost"] * 5 + ["decline"] * 15 + ["failed"] * 10}
    )
    result = fit(as_data(rows), "SI")
    assert result.params["beta"] == pytest.approx(0.25)
    assert (result.n_obs, result.n_failed) == (20, 10)


def test_interval_between_runs_covers_when_runs_differ() -> None:
    """True rates that vary between runs (log sd .3) are covered about as often as promised."""
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(100):
        parts = []
        for run in range(5):
            beta = 1 - np.exp(-0.06 * np.exp(rng.normal(0, 0.3)))
            repost = rng.random(1200) < beta
            outcome = np.where(repost, "repost", "decline")
            parts.append(pd.DataFrame({"run": run, "contacts": 1, "outcome": outcome}))
        result = fit(as_data(pd.concat(parts)), "SI", interval="runs")
        low, high = result.ci["beta"]
        covered += low < 1 - np.exp(-0.06) < high
    assert 88 <= covered <= 99


def test_runs_that_differ_are_noticed() -> None:
    parts = [
        pd.DataFrame({"run": run, "contacts": 1, "outcome": ["repost"] * k + ["decline"] * 400})
        for run, k in enumerate((20, 60, 120, 30))
    ]
    data = as_data(pd.concat(parts))
    result = fit(data, "SI")
    assert result.interval == "runs"
    assert result.heterogeneity < 1e-6
    assert "differ between runs" in result.summary()
    width = np.diff(result.ci["beta"])[0]
    assert width > 3 * np.diff(fit(data, "SI", interval="profile").ci["beta"])[0]


def test_all_or_nothing() -> None:
    nothing = fit(as_data(pd.DataFrame({"contacts": [2] * 50, "outcome": "decline"})), "SI")
    assert nothing.params["beta"] == 0
    assert nothing.ci["beta"][0] == 0
    assert nothing.ci["beta"][1] == pytest.approx(1 - np.exp(-3.841459 / 2 / 100), rel=1e-4)
    everything = fit(as_data(pd.DataFrame({"contacts": [2] * 50, "outcome": "repost"})), "SI")
    assert everything.params["beta"] == 1
    assert everything.ci["beta"][1] == 1
    assert 0.5 < everything.ci["beta"][0] < 1


def test_a_repost_without_contacts_is_beyond_contact_laws() -> None:
    rows = pd.DataFrame(
        {
            "contacts": [0, 0, 1, 2],
            "direct": [True] * 4,
            "outcome": ["repost", "decline", "repost", "decline"],
        }
    )
    result = fit(as_data(rows), "SI")
    assert not result.success
    assert result.loglik == -np.inf
    assert "offline=True" in result.message
    assert not fit(as_data(rows), "TwoClass").success


LAWS = (
    "SI",
    "FirstRepeat",
    'FirstRepeat(per="occasion")',
    "SingleMultiple",
    'SingleMultiple(count="cumulative")',
    "TwoClass",
    "ByProfile",
    "OnlineOffline",
)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("outcome", ["repost", "decline"])
@pytest.mark.parametrize("number", [1, 60])
def test_nobody_or_everybody(law: str, outcome: str, number: int) -> None:
    rows = pd.DataFrame(
        {
            "contacts": np.resize([1, 2, 3], number),
            "direct": np.resize([True, False], number),
            "agent": range(number),
            "outcome": outcome,
        }
    )
    result = fit(as_data(rows), law)
    wanted = 1.0 if outcome == "repost" else 0.0
    known = [value for value in result.params.values() if not np.isnan(value)]
    assert known == [wanted] * len(known)
    assert result.success == (result.law is not None)
    for low, high in result.ci.values():
        assert 0 <= low <= high <= 1
    for name, value in result.params.items():
        if np.isnan(value):
            assert "not identifiable" in result.message
            assert result.ci[name] == (0, 1)
    assert name in result.summary()


def test_an_empty_cell_is_reported() -> None:
    rows = pd.DataFrame({"contacts": [1] * 30, "outcome": ["repost"] * 10 + ["decline"] * 20})
    result = fit(as_data(rows), "FirstRepeat")
    assert result.params["beta_first"] == pytest.approx(1 / 3)
    assert np.isnan(result.params["beta_repeat"])
    assert result.message == ("beta_repeat is not identifiable: no decision informs it.")
    assert not result.success
    assert result.law is None


@pytest.mark.parametrize("law", LAWS)
def test_runs_of_very_different_kinds(law: str) -> None:
    """A run in which all repost, one in which nobody does, one of a single decision."""
    outcome = ["repost"] * 20 + ["decline"] * 20 + ["repost", "decline"] * 10 + ["repost"]
    number = len(outcome)
    rows = pd.DataFrame(
        {
            "run": np.minimum(np.arange(number) // 20, 3),
            "agent": range(number),
            "contacts": np.resize([1, 2], number),
            "exposure_count": np.resize([1, 2, 3], number),
            "direct": np.resize([True, False, False], number),
            "profile": np.resize(codes(), number),
            "outcome": outcome,
        }
    )
    for interval in ("auto", "profile", "runs"):
        result = fit(as_data(rows), law, interval=interval)
        for name, (low, high) in result.ci.items():
            assert 0 <= low <= high <= 1, name
            if interval == "profile" and not np.isnan(result.params[name]):
                assert low <= result.params[name] <= high


def test_runs_that_agree_exactly_are_not_perfect() -> None:
    part = pd.DataFrame({"contacts": 1, "outcome": ["repost"] * 5 + ["decline"] * 15})
    data = as_data(pd.concat([part.assign(run=0), part.assign(run=1)]))
    low, high = fit(data, "SI", interval="runs").ci["beta"]
    assert low < 0.1 < 0.5 < high


def test_a_single_run_has_no_interval_between_runs() -> None:
    rows = pd.DataFrame({"contacts": [1] * 30, "outcome": ["repost"] * 10 + ["decline"] * 20})
    with pytest.raises(ArgumentError) as caught:
        fit(as_data(rows), "SI", interval="runs")
    assert (caught.value.argument, caught.value.value) == ("interval", "runs")


def test_no_offline_effect_is_exactly_none() -> None:
    rng = np.random.default_rng(2)
    number = 3000
    contacts = rng.integers(1, 5, number)
    direct = rng.random(number) < 0.3
    # Those who saw the event itself repost less.
    chance = 1 - (1 - np.where(direct, 0.05, 0.1)) ** contacts
    rows = pd.DataFrame(
        {
            "agent": range(number),
            "contacts": contacts,
            "direct": direct,
            "outcome": np.where(rng.random(number) < chance, "repost", "decline"),
        }
    )
    result = fit(as_data(rows), "OnlineOffline")
    assert result.params["alpha"] == 0
    assert result.ci["alpha"][0] == 0
    assert 0 < result.ci["alpha"][1] < 0.05
    alone = fit(as_data(rows), "SI")
    assert result.params["beta"] == pytest.approx(alone.params["beta"], abs=1e-6)
    assert result.loglik == pytest.approx(alone.loglik, abs=1e-8)


def test_rates_that_always_act_together_are_not_told_apart() -> None:
    rows = pd.DataFrame(
        {"contacts": 1, "direct": True, "outcome": ["repost"] * 10 + ["decline"] * 30}
    )
    result = fit(as_data(rows), "OnlineOffline")
    assert not result.success
    assert "alpha and beta are not identifiable" in result.message


def test_latent_classes_of_equal_agents_are_one() -> None:
    """Agents that decide once each cannot show that they differ."""
    rows = pd.DataFrame(
        {
            "agent": range(90),
            "contacts": 2,
            "outcome": ["repost"] * 30 + ["decline"] * 60,
        }
    )
    result = fit(as_data(rows), "TwoClass")
    assert result.params["beta_low"] == result.params["beta_high"]
    assert np.isnan(result.params["share_high"])
    assert result.loglik == pytest.approx(fit(as_data(rows), "SI").loglik)
    assert "Both classes have the same rate" in result.message
    assert result.law is not None


def test_classes_are_ordered_by_rate() -> None:
    runs = [
        SpreadData.from_model(
            SpreadModel(n=300, decider="TwoClass(0.02, 0.4, share_high=0.7)", rng=seed).run(60)
        )
        for seed in range(3)
    ]
    for interval in ("profile", "runs"):
        result = fit(concat(runs), "TwoClass", interval=interval)
        assert result.params["beta_low"] < 0.1 < result.params["beta_high"]
        assert result.params["share_high"] == pytest.approx(0.7, abs=0.1)
    known = fit(concat(runs), "TwoClass", high=set(codes()[:16]))
    assert known.name == "TwoClassKnown"
    flipped = fit(concat(runs), "TwoClass", high=set(codes()[16:]))
    assert known.loglik == pytest.approx(flipped.loglik)
    assert known.params["beta_low"] == flipped.params["beta_high"]


def test_an_interval_of_classes_ends_where_the_best_fit_has_fallen() -> None:
    """At the end of an interval, the other parameters are again at their best."""
    law = "FirstRepeat(0.2, 0.04)"
    runs = [SpreadModel(n=150, decider=law, rng=seed).run(50) for seed in (10, 11, 12)]
    data = concat([SpreadData.from_model(run) for run in runs])
    result, log = fit(data, "TwoClass", interval="profile"), Log(data)
    for share in result.ci["share_high"]:

        def badness(logits: np.ndarray, share: float = share) -> float:
            p = chances(TwoClass(*expit(logits).tolist(), share_high=share), log)
            return -float(np.sum(np.log(np.where(log.repost, p, 1 - p))))

        best = min(minimize(badness, [-3, high], method="Nelder-Mead").fun for high in (0, 3))
        drop = chi2.ppf(0.95, 1) / 2
        assert result.loglik + best == pytest.approx(drop, abs=0.01)


def test_heterogeneity_has_the_size_it_claims() -> None:
    """Runs of one law differ by chance only; one in twenty may pass for different."""
    rng = np.random.default_rng(8)
    found = []
    for _ in range(40):
        rows = pd.DataFrame({"run": np.repeat(range(5), 300), "contacts": 1})
        rows["profile"] = np.array(codes())[rng.integers(0, 32, len(rows))]
        rows["outcome"] = np.where(rng.random(len(rows)) < 0.1, "repost", "decline")
        data = as_data(rows)
        found.append([fit(data, law).heterogeneity < 0.05 for law in ("SI", "ByProfile")])
    assert (np.mean(found, axis=0) <= 0.175).all()


def test_profiles_have_to_be_profiles() -> None:
    rows = pd.DataFrame({"contacts": [1, 1], "profile": "INTJ", "outcome": ["repost", "decline"]})
    with pytest.raises(ArgumentError) as caught:
        fit(as_data(rows), "SI")
    assert caught.value.argument == "data.exposures['profile']"
    assert caught.value.value == "INTJ"


@given(
    contacts=st.lists(st.integers(1, 8), min_size=2, max_size=40),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_one_rate_is_the_maximum_and_its_interval_holds_it(contacts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"contacts": contacts, "agent": range(len(contacts))})
    repost = rng.random(len(contacts)) < 0.4
    rows["outcome"] = np.where(repost, "repost", "decline")
    found = fit(as_data(rows), "SI")

    def loglik(beta: float) -> float:
        declined = np.array(contacts) * np.log1p(-beta)
        return float(np.sum(np.where(repost, np.log(-np.expm1(declined)), declined)))

    value, (low, high) = found.params["beta"], found.ci["beta"]
    assert 0 <= low <= value <= high <= 1
    if 0 < value < 1:
        assert found.loglik == pytest.approx(loglik(value))
        for other in (0.9 * value, value + 0.1 * (1 - value)):
            assert loglik(other) <= found.loglik + 1e-9
        drop = norm.ppf(0.975) ** 2 / 2
        assert found.loglik - loglik(high) == pytest.approx(drop, abs=1e-5)


@pytest.mark.parametrize(
    ("law", "options", "error", "argument"),
    [
        ("FirstRepaet", {}, UnknownNameError, "law"),
        ("SI", {"method": "guess"}, UnknownNameError, "method"),
        ("SI", {"interval": "exact"}, UnknownNameError, "interval"),
        ("SI", {"bic_n": "runs"}, UnknownNameError, "bic_n"),
        ("SI", {"level": 95}, ArgumentError, "level"),
        ("SI", {"level": "high"}, ArgumentTypeError, "level"),
        ("OnlineOffline", {}, ArgumentError, "law"),
    ],
)
def test_bad_arguments(
    law: str, options: dict, error: type[ArgumentError], argument: str, golden_data: SpreadData
) -> None:
    with pytest.raises(error) as caught:
        fit(golden_data, law, **options)
    assert caught.value.argument == argument
    assert caught.value.value == options.get(argument, law)


def test_bad_data(golden_data: SpreadData) -> None:
    for wrong in (golden_data.exposures, None, "runs/"):
        with pytest.raises(ArgumentTypeError) as caught:
            fit(wrong, "SI")
        assert caught.value.argument == "data"
    failed = as_data(pd.DataFrame({"contacts": [1], "outcome": ["failed"]}))
    with pytest.raises(ArgumentError) as caught:
        fit(failed, "SI")
    assert (caught.value.argument, caught.value.value) == ("data", "1 failed decision")


def test_from_five_runs_on_intervals_are_between_runs() -> None:
    runs = [SpreadModel(n=100, decider="SI(0.05)", rng=seed).run(30) for seed in range(5)]
    data = concat([SpreadData.from_model(run) for run in runs])
    assert fit(data, "SI").heterogeneity > 0.05
    assert fit(data, "SI").interval == "runs"
    pairs = [fit(data.select([0, run]), "SI") for run in (1, 2, 3, 4)]
    for pair in pairs:
        assert pair.interval == ("runs" if pair.heterogeneity < 0.05 else "profile")
    assert "profile" in [pair.interval for pair in pairs]


def test_what_one_run_alone_informs_has_no_interval_between_runs() -> None:
    models = [
        SpreadModel(n=80, k=4, decider="OnlineOffline(0.1, 0.2)", media_prob=media, rng=seed)
        for seed, media in enumerate([0.5, 0, 0, 0, 0, 0])
    ]
    result = fit(concat([SpreadData.from_model(each.run(10)) for each in models]), "OnlineOffline")
    assert result.interval == "runs"
    assert result.ci["alpha"] == (0, 1)
    assert np.isnan(result.stderr["alpha"])
    assert result.stderr["beta"] < 0.05


@pytest.mark.parametrize("each", [[0] * 5, [1, 0, 0, 0, 0], [1, 2, 0, 1, 0], [3, 1, 2, 0, 4]])
def test_rare_reposts_are_not_made_up(each: list[int]) -> None:
    """The estimate is that of all decisions; its interval contains the exact one for equal runs."""
    rows = pd.DataFrame(
        {
            "run": np.repeat(range(5), 1000),
            "agent": range(5000),
            "contacts": 1,
            "outcome": np.where(
                np.arange(5000) % 1000 < np.repeat(each, 1000), "repost", "decline"
            ),
        }
    )
    between, same = (fit(as_data(rows), "SI", interval=name) for name in ("auto", "profile"))
    assert between.interval == "runs"
    assert between.params["beta"] == pytest.approx(sum(each) / 5000, abs=1e-8)
    (low, high), (first, last) = between.ci["beta"], same.ci["beta"]
    assert low <= first
    assert last <= high < 0.02
    assert (low, high) == (0, last) or sum(each)


def test_on_a_bound_runs_that_agree_tell_as_much_as_their_decisions() -> None:
    models = (SpreadModel(decider="SI(0.05)", media_prob=0.02, rng=seed) for seed in range(5))
    data = concat([SpreadData.from_model(model.run(30)) for model in models])
    for law, name in (("OnlineOffline", "alpha"), ("Frailty", "variance")):
        between, same = (fit(data, law, interval=each) for each in ("auto", "profile"))
        assert between.params[name] == 0
        assert between.ci[name] == same.ci[name]


def test_latent_laws_of_agents_that_decide_about_several_events() -> None:
    """An agent may post once about each: per contact is per occasion where one is in view."""
    rng, n = np.random.default_rng(1), 600
    rates = np.where(rng.random(n) < 0.4, 0.5, 0.05)
    rows = pd.DataFrame(
        {
            "agent": np.tile(range(n), 3),
            "event": np.repeat(["a", "b", "c"], n),
            "step": np.repeat([1, 2, 3], n),
            "contacts": 1,
            "outcome": np.where(rng.random(3 * n) < np.tile(rates, 3), "repost", "decline"),
        }
    )
    data = SpreadData.from_tables(rows.assign(run=0))
    contact, occasion = (fit(data, law) for law in ("TwoClass", 'TwoClass(per="occasion")'))
    assert contact.loglik == pytest.approx(occasion.loglik, abs=1e-6)
    assert list(contact.params.values()) == pytest.approx([0.05, 0.5, 0.4], abs=0.06)
    log = Log(data)
    # The product of the chances, one after the other, is the likelihood.
    p = chances(contact.law, log)
    np.testing.assert_allclose(p, chances(occasion.law, log), atol=1e-6)
    logliks = np.where(log.repost == 1, np.log(p), np.log1p(-p))
    assert logliks.sum() == pytest.approx(contact.loglik, abs=1e-6)


def test_reposts_of_nothing_seen_are_refused() -> None:
    outcomes = ["repost", "decline", "decline", "repost"]
    rows = pd.DataFrame({"contacts": [0, 0, 1, 1], "agent": range(4), "outcome": outcomes})
    refused(lambda: fit(as_data(rows), "SI"), "data.exposures")
    assert fit(as_data(rows.assign(direct=True)), "SI").loglik == -np.inf


def test_traits_of_equal_agents_act_together() -> None:
    model = SpreadModel(n=80, k=4, population="OCEAN", decider="SI(0.2)", rng=1).run(8)
    message = fit(SpreadData.from_model(model), "ByTraits").message
    assert "together" in message
    assert "no decision" not in message


@pytest.mark.parametrize("argument", ["closure", "time"])
def test_names_are_checked_for_decisions_too(argument: str, golden_data: SpreadData) -> None:
    refused(lambda: fit(golden_data, "SI", **{argument: "other"}), argument, "other")
