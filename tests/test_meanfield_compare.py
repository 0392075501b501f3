"""Comparisons of laws: the truth is found, rivals are named, and the words say so."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2
from test_meanfield_fit import as_data

from mesa_llmspread import (
    ExposureArrays,
    SpreadData,
    SpreadModel,
    TransmissionLaw,
    TwoClass,
    compare,
    concat,
    fit,
)
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError
from mesa_llmspread.inference import Comparison
from mesa_llmspread.inference.decisions import Log
from mesa_llmspread.inference.diagnostics import (
    chances,
    goodness_of_fit,
    like_decisions,
    nested_tests,
    residuals,
)
from mesa_llmspread.inference.likelihood import likelihood
from mesa_llmspread.profiles import codes
from mesa_llmspread.transmission import ByProfile, Frailty, parse_law

# Not additive in the traits.
PROFILES = ByProfile(tuple(0.02 if i.bit_count() % 2 else 0.15 for i in range(32)))

TRUTHS = {
    "SI": "SI(0.05)",
    "OnlineOffline": "OnlineOffline(0.1, 0.04)",
    "FirstRepeat": "FirstRepeat(0.2, 0.04)",
    'FirstRepeat(per="occasion")': "FirstRepeat(0.3, 0.1, per='occasion')",
    "SingleMultiple": "SingleMultiple(0.05, 0.2)",
    "TwoClass": "TwoClass(0.02, 0.3, share_high=0.3)",
    "ByProfile": f"ByProfile({list(PROFILES.betas)})",
}


def simulated(law: str, seed: int, runs: int = 5, n: int = 200) -> SpreadData:
    media_prob = 0.2 if law.startswith("OnlineOffline") else 0.0
    return concat(
        [
            SpreadData.from_model(
                SpreadModel(n=n, decider=law, media_prob=media_prob, rng=100 * seed + run).run(60)
            )
            for run in range(runs)
        ]
    )


@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("name", TRUTHS)
def test_finds_the_true_law(name: str, seed: int) -> None:
    comparison = compare(simulated(TRUTHS[name], seed))
    assert comparison.best.name == name
    row = comparison.table.iloc[0]
    assert row["law"] == name
    assert row["delta_bic"] == 0
    assert row["fit_p_value"] > 0.001
    # By chance a law with more parameters predicts a little better than the true one.
    assert comparison.table["held_out"].max() - row["held_out"] < 3


@pytest.fixture(scope="module")
def novelty() -> SpreadData:
    return simulated(TRUTHS["FirstRepeat"], seed=0)


@pytest.fixture(scope="module")
def found(novelty: SpreadData) -> Comparison:
    return compare(novelty)


def test_table(found: Comparison) -> None:
    table = found.table
    assert list(table.columns) == [
        "law",
        "parameters",
        "n_params",
        "loglik",
        "aic",
        "bic",
        "delta_bic",
        "weight",
        "delta_aic",
        "akaike_weight",
        "deviance",
        "freedom",
        "fit_p_value",
        "held_out",
    ]
    assert list(table["law"]) == list(found.results)
    assert table["bic"].is_monotonic_increasing
    assert table["weight"].sum() == pytest.approx(1)
    assert table["akaike_weight"].sum() == pytest.approx(1)
    assert table["delta_aic"].min() == 0
    # What a run adds is less likely from the others than with it.
    assert (table["held_out"] < table["loglik"]).all()
    with_weights = table[table["weight"] > 1e-300]
    ratio = np.log(with_weights["weight"] / with_weights["weight"].iloc[0])
    assert list(ratio) == pytest.approx(list(-with_weights["delta_bic"] / 2))


def test_verdict(found: Comparison) -> None:
    assert found.verdict.startswith("Two rates are needed: first 0.")
    for part in (
        "repeat 0.0",
        "(FirstRepeat, BIC weight 1.00). ",
        "SI is rejected (BIC ",
        "differences between agents do not explain it (TwoClass: BIC ",
        "no other law comes close",
    ):
        assert part in found.verdict
    assert found.verdict.endswith(".")


def claimed(comparison: Comparison) -> set[str]:
    """Name the findings that are claimed."""
    assert list(comparison.findings.columns) == ["finding", "claimed", "evidence"]
    assert comparison.findings["evidence"].str.len().min() > 0
    return set(comparison.findings.query("claimed")["finding"])


def test_findings(found: Comparison) -> None:
    assert claimed(found) == {
        "the best law fits the decisions",
        "first and later exposures differ",
        "one rate is rejected",
    }
    evidence = found.findings.set_index("finding")["evidence"]
    assert evidence["first and later exposures differ"] == "FirstRepeat: best BIC"
    excess = found.results["SI"].bic - found.best.bic
    assert evidence["one rate is rejected"].startswith(f"BIC {excess:.0f} higher, p < 0.001")


def test_what_another_law_may_explain_is_not_claimed() -> None:
    data = SpreadData.from_model(SpreadModel(n=150, decider=TRUTHS["FirstRepeat"], rng=10).run(50))
    comparison = compare(data)
    assert comparison.verdict.startswith("FirstRepeat describes the decisions best: first 0.")
    assert comparison.verdict.endswith("TwoClass cannot be ruled out.")
    assert "other laws cannot be ruled out" in claimed(comparison)
    assert "first and later exposures differ" not in claimed(comparison)
    alone = compare(data, ["SI", "FirstRepeat"])
    assert alone.verdict.startswith("Two rates are needed: first 0.")
    assert "first and later exposures differ" in claimed(alone)


def test_verdict_on_one_rate() -> None:
    comparison = compare(simulated(TRUTHS["SI"], seed=3))
    assert claimed(comparison) == {"the best law fits the decisions", "one rate is enough"}
    assert comparison.verdict.startswith("One rate is enough: 0.0")
    assert "No second rate adds to it" in comparison.verdict
    assert not comparison.warnings


@dataclasses.dataclass(frozen=True)
class Threshold(TransmissionLaw):
    """A law of one's own, which no sentence was written for."""

    few: float
    many: float

    def prob(self, seen: ExposureArrays) -> np.ndarray:
        return np.where(seen.contacts >= 3, self.many, self.few) * (seen.contacts > 0)


def test_verdict_on_a_law_of_ones_own() -> None:
    models = [SpreadModel(n=200, decider=Threshold(0.02, 0.3), rng=seed).run(60) for seed in (1, 2)]
    data = concat([SpreadData.from_model(model) for model in models])
    comparison = compare(data, ["SI", "FirstRepeat", Threshold])
    assert comparison.verdict.startswith("Threshold describes the decisions best: few 0.0")
    assert "many 0." in comparison.verdict


def test_verdict_on_agents_that_differ() -> None:
    classes = compare(simulated(TRUTHS["TwoClass"], seed=3), ["SI", "TwoClass", "FirstRepeat"])
    assert classes.verdict.startswith("Two classes of agents are needed: low 0.0")
    assert "share of high 0." in classes.verdict
    profiles = compare(simulated(TRUTHS["ByProfile"], seed=3), ["SI", "ByProfile"])
    assert profiles.verdict.startswith("Personality matters: 32 rates from")


def test_nested_tests(found: Comparison) -> None:
    tests = found.tests.set_index("rich")
    richer = ["FirstRepeat", "Frailty", "ByTraits", "ByProfile"]
    assert set(tests.index) == set(richer)
    assert list(tests.loc[richer, "freedom"]) == [1, 1, 5, 31]
    assert list(tests.loc[richer, "boundary"]) == [False, True, False, False]
    gain = 2 * (found.results["FirstRepeat"].loglik - found.results["SI"].loglik)
    assert tests.loc["FirstRepeat", "statistic"] == pytest.approx(gain)
    assert tests.loc["FirstRepeat", "p_value"] == pytest.approx(chi2.sf(gain, 1))


def test_an_offline_rate_of_none_is_on_the_boundary() -> None:
    """Under SI, half of the statistics are 0, and p is uniform below one half."""
    p_values = []
    rng = np.random.default_rng(4)
    for _ in range(40):
        contacts, direct = rng.integers(1, 5, 400), rng.random(400) < 0.5
        repost = rng.random(400) < 1 - 0.9**contacts
        rows = pd.DataFrame({"contacts": contacts, "direct": direct, "agent": range(400)})
        rows["outcome"] = np.where(repost, "repost", "decline")
        tests = nested_tests({name: fit(as_data(rows), name) for name in ("SI", "OnlineOffline")})
        assert tests["boundary"].all()
        p_values.append(tests["p_value"].iloc[0])
    assert 0.3 < np.mean(np.array(p_values) == 1) < 0.7
    assert np.mean(np.array(p_values) < 0.05) <= 0.175


def test_impossible_laws_come_last() -> None:
    data = simulated(TRUTHS["OnlineOffline"], seed=2, runs=3)
    comparison = compare(data)
    assert comparison.best.name == "OnlineOffline"
    assert comparison.verdict.startswith("Two rates are needed: offline 0.")
    found = comparison.findings.set_index("finding").loc["the event itself makes agents post"]
    assert found["claimed"]
    assert "without an offline part no law is possible" in found["evidence"]
    comparison = compare(data, ["SI", "FirstRepeat", "TwoClass", "OnlineOffline"])
    assert (comparison.table["weight"].iloc[1:] == 0).all()
    assert comparison.table["held_out"].iloc[1:].isna().all()
    with pytest.raises(ArgumentError) as caught:
        compare(data, ["SI", "FirstRepeat"])
    assert (caught.value.argument, caught.value.value) == ("laws", ["SI", "FirstRepeat"])


def test_ties_go_to_the_simpler_law() -> None:
    # All decisions at one contact: the rate of a contact and of a step are the same.
    rows = pd.DataFrame(
        {
            "contacts": 1,
            "exposure_count": [1, 2] * 30,
            "agent": np.repeat(range(30), 2),
            "outcome": ["repost", "decline", "decline"] * 20,
        }
    )
    comparison = compare(as_data(rows), ['FirstRepeat(per="occasion")', "FirstRepeat", "SI"])
    assert list(comparison.results) == ["SI", 'FirstRepeat(per="occasion")', "FirstRepeat"]
    single = pd.DataFrame({"contacts": [1], "outcome": ["decline"]})
    assert compare(as_data(single)).best.name == "SI"


@pytest.mark.parametrize("outcome", ["repost", "decline"])
def test_nobody_or_everybody(outcome: str) -> None:
    rows = pd.DataFrame({"contacts": [1, 2] * 20, "agent": range(40), "outcome": outcome})
    rows["profile"] = np.resize(codes(), len(rows))
    comparison = compare(as_data(rows))
    assert comparison.best.name == "SI"
    # Repeats never happened, so laws about them are not in the running.
    unknown = {"FirstRepeat", 'FirstRepeat(per="occasion")'}
    assert unknown <= set(comparison.table["law"][comparison.table["weight"] == 0])
    rate = int(outcome == "repost")
    assert comparison.verdict.startswith(f"One rate cannot be rejected: {rate} [")


def test_partitions_of_one_kind_are_numbered() -> None:
    data = simulated(TRUTHS["ByProfile"], seed=5)
    high = {code for code, beta in PROFILES.parameters.items() if beta > 0.1}
    right = TwoClass(0.1, 0.2, high=high)
    wrong = TwoClass(0.1, 0.2, high=set(codes()[:16]))
    comparison = compare(data, [wrong, right, "SI"])
    assert list(comparison.results) == ["TwoClassKnown (2)", "SI", "TwoClassKnown (1)"]
    assert comparison.verdict.startswith("Two classes of agents are needed")


def test_goodness_of_fit_has_the_size_it_claims() -> None:
    p_values = []
    for seed in range(12):
        data = simulated(TRUTHS["ByProfile"], seed, runs=2)
        log, result = Log(data), fit(data, "ByProfile", interval="profile")
        laws = dict.fromkeys(data.runs, result.likeliest)
        p_values.append(goodness_of_fit(laws, log, like_decisions(log)).p_value)
    assert np.mean(np.array(p_values) < 0.05) <= 0.25
    assert 0.2 < np.mean(p_values) < 0.8


def test_goodness_of_fit_finds_a_wrong_law(found: Comparison) -> None:
    table = found.table.set_index("law")
    assert table.loc["FirstRepeat", "fit_p_value"] > 0.001
    assert table.loc["SI", "fit_p_value"] < 1e-10


def test_cells_hold_enough_to_judge_by(novelty: SpreadData) -> None:
    log = Log(novelty)
    cells = like_decisions(log)
    number = np.bincount(cells)
    assert (number * log.repost.mean() >= 5 - 1e-9).all()
    first = log.seen.exposure_count == 1
    assert len(set(cells[first]) & set(cells[~first])) <= 1


def test_chances_of_latent_classes_add_up_to_the_likelihood() -> None:
    data = simulated(TRUTHS["TwoClass"], seed=2, runs=2)
    result = fit(data, "TwoClass")
    log = Log(data)
    assert result.likeliest is not None
    p = chances(result.likeliest, log)
    loglik = np.log(np.where(log.repost, p, 1 - p)).sum()
    assert loglik == pytest.approx(result.loglik)


def test_held_out_runs_are_predicted_from_the_others() -> None:
    """Once more by hand, with SI."""
    data = simulated("SI(0.06)", seed=4, runs=3)
    score = 0.0
    for run in data.runs:
        others = fit(data.select([other for other in data.runs if other != run]), "SI")
        log = Log(data.select([run]))
        assert others.likeliest is not None
        p = chances(others.likeliest, log)
        score += np.log(np.where(log.repost, p, 1 - p)).sum()
    assert compare(data, ["SI"]).table["held_out"].iloc[0] == pytest.approx(score)
    assert np.isnan(compare(data.select([0]), ["SI"]).table["held_out"].iloc[0])


def frail(seed: int, variance: float) -> SpreadData:
    """Decide like SI, at a rate that differs between agents."""
    rng = np.random.default_rng(seed)
    rows = []
    for agent in range(1500):
        factor = rng.gamma(1 / variance, variance)
        for exposure, m in enumerate((1, 1, 2, 2, 3, 4), start=1):
            repost = rng.random() < 1 - np.exp(-0.08 * factor * m)
            rows.append((agent, m, exposure, "repost" if repost else "decline"))
            if repost:
                break
    return as_data(pd.DataFrame(rows, columns=["agent", "contacts", "exposure_count", "outcome"]))


def test_frailty_is_a_rival_of_laws_that_leave_it_out() -> None:
    comparison = compare(frail(1, 1.0), ["SI", "FirstRepeat"])
    assert comparison.best.name == "FirstRepeat"
    rival = comparison.rivals.set_index("name").loc["Frailty"]
    assert rival["delta_bic"] < 0
    assert (rival["n_params"], rival["n_bic"]) == (2, 1500)
    assert any("FirstRepeat may be an artefact" in text for text in comparison.warnings)
    assert {"Frailty may be behind it", "AIC and BIC disagree"} <= claimed(comparison)
    assert "first and later exposures differ" not in claimed(comparison)


@pytest.mark.parametrize("variance", [1.0, 2.0])
def test_frailty_is_not_taken_for_two_classes(variance: float) -> None:
    comparison = compare(frail(2, variance), ["SI", "FirstRepeat", "TwoClass", "Frailty"])
    assert "agents differ" in claimed(comparison)
    assert "there are two classes of agents" not in claimed(comparison)
    assert comparison.verdict.startswith("Agents differ")
    result = comparison.results["Frailty"]
    for name, true in {"beta": 1 - np.exp(-0.08), "variance": variance}.items():
        assert abs(result.params[name] - true) < 4 * result.stderr[name]
    tests = comparison.tests.set_index(["simple", "rich"])
    assert tests.loc[("SI", "Frailty"), "p_value"] < 1e-4


def test_the_likelihood_of_frailty_in_closed_form() -> None:
    data = frail(3, 0.7)
    rate, variance = 0.09, 0.6
    law = Frailty(float(1 - np.exp(-rate)), variance)
    log = Log(data)
    agents = data.exposures.groupby("agent")
    through = agents["contacts"].sum()
    reposted = agents["outcome"].last() == "repost"
    last = agents["contacts"].last() * reposted

    def stays(contacts: pd.Series[int]) -> pd.Series[float]:
        return (1 + variance * rate * contacts) ** (-1 / variance)

    likely = np.where(reposted, stays(through - last) - stays(through), stays(through))
    problem = likelihood(law, log)
    theta = problem.scale.from_values([law.beta, variance])
    assert problem.derivatives(theta)[0] == pytest.approx(np.log(likely).sum())
    p = chances(law, log)
    assert np.log(np.where(log.repost, p, 1 - p)).sum() == pytest.approx(np.log(likely).sum())


def test_no_frailty_no_warning(found: Comparison) -> None:
    assert found.results["Frailty"].bic > found.best.bic + 10
    assert found.rivals.empty
    assert found.warnings == ()


def test_runs_of_different_rates_are_compared_with_a_factor_each() -> None:
    """With the same rates they would look like FirstRepeat: at low rates more is seen again."""
    runs = [simulated(f"SI({beta})", seed, runs=1) for seed, beta in enumerate((0.02, 0.06, 0.2))]
    comparison = compare(concat(runs))
    assert comparison.by_run
    assert comparison.best.name == "SI"
    assert comparison.table["n_params"].iloc[0] == 3
    assert comparison.table["fit_p_value"].iloc[0] > 0.001
    assert any("Rates differ between runs" in text for text in comparison.warnings)
    assert not claimed(comparison) & {"agents differ", "first and later exposures differ"}
    # Each run by itself has the same likelihood.
    alone = sum(fit(data, "SI").loglik for data in runs)
    assert comparison.table["loglik"].iloc[0] == pytest.approx(alone)


def test_residuals_add_up_and_show_a_misfit(found: Comparison, novelty: SpreadData) -> None:
    table = found.residuals
    assert set(table["by"]) == {"contacts", "occasion", "step"}
    log = Log(novelty)
    for _, part in table.groupby("by"):
        assert part["decisions"].sum() == log.n_obs
        assert part["observed"].sum() == log.repost.sum()
        assert part["expected"].sum() == pytest.approx(log.repost.sum(), rel=1e-3)
        assert (part["low"].to_numpy()[1:] > part["high"].to_numpy()[:-1]).all()
    assert table["z"].abs().max() < 4
    assert 0.5 < table["z"].std() < 1.5
    likeliest = found.results["SI"].likeliest
    assert likeliest is not None
    wrong = residuals(dict.fromkeys(novelty.runs, likeliest), log).set_index(["by", "low"])["z"]
    assert wrong[("occasion", 1)] > 8


def test_reused_answers_are_warned_of(novelty: SpreadData) -> None:
    def asked(sampling: str) -> SpreadData:
        said = {"sampling": sampling}
        info = {
            run: dataclasses.replace(known, decider_info=said)
            for run, known in novelty.info.items()
        }
        return dataclasses.replace(novelty, info=info)

    laws = ["SI", "FirstRepeat"]
    assert any("re-used" in text for text in compare(asked("pooled"), laws).warnings)
    assert not compare(asked("independent"), laws).warnings


def test_laws_are_taken_in_every_form(novelty: SpreadData) -> None:
    comparison = compare(novelty, ["SI", TwoClass, parse_law("FirstRepeat(0.5, 0.5)")])
    assert set(comparison.results) == {"SI", "TwoClass", "FirstRepeat"}


@pytest.mark.parametrize("laws", [[], "SI", 3])
def test_laws_have_to_be_a_list(laws: object, novelty: SpreadData) -> None:
    with pytest.raises(ArgumentError) as caught:
        compare(novelty, laws)  # type: ignore[arg-type]
    assert (caught.value.argument, caught.value.value) == ("laws", laws)


def test_bad_arguments(novelty: SpreadData) -> None:
    with pytest.raises(ArgumentTypeError) as wrong:
        compare(novelty.exposures)  # type: ignore[arg-type]
    assert wrong.value.argument == "data"
    with pytest.raises(ArgumentError) as caught:
        compare(novelty, level=95)
    assert (caught.value.argument, caught.value.value) == ("level", 95)
    failed = as_data(pd.DataFrame({"contacts": [1], "outcome": ["failed"]}))
    with pytest.raises(ArgumentError) as caught:
        compare(failed)
    assert caught.value.argument == "data"
