"""Traits: against statsmodels written out, known truth, and degenerate records."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from scipy.stats import fisher_exact

from mesa_llmspread import RunInfo, SpreadData, SpreadModel, TraitDecider, bundled_events, concat
from mesa_llmspread.data.schema import COUNT_COLUMNS, EXPOSURE_COLUMNS
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError
from mesa_llmspread.inference.power import information_left, smallest_ratio
from mesa_llmspread.inference.trait_effects import TraitEffects, trait_effects
from mesa_llmspread.profiles import Trait, codes
from mesa_llmspread.reporting.plots import plot_hazard_ratios

TRAITS = [trait.value for trait in Trait]


def as_data(rows: pd.DataFrame, events: dict[int, dict] | None = None) -> SpreadData:
    """Make a record from decisions with the columns that matter here."""
    defaults = {
        "run": 0,
        "step": 1,
        "agent": np.arange(len(rows)),
        "profile": "ocean",
        "event": "e",
        "contacts": 1,
        "cumulative": 1,
        "exposure_count": 1,
        "direct": False,
        "outcome": "decline",
        "post": "",
        "reason": "",
        "key": "",
    }
    exposures = rows.assign(**{k: v for k, v in defaults.items() if k not in rows})
    runs = sorted(set(exposures["run"]))
    counts = pd.DataFrame(0, index=range(len(runs)), columns=list(COUNT_COLUMNS))
    counts["run"] = runs
    plain = bundled_events()[0].to_dict() | {"event_id": "e", "event_type": "Battles"}
    plain |= {"fatalities": 0, "civilian_targeting": False}
    info = {run: RunInfo(None, None, events=[plain | (events or {}).get(run, {})]) for run in runs}
    return SpreadData(exposures[list(EXPOSURE_COLUMNS)], counts, info)


def random_rows(number: int, rng: np.random.Generator, runs: int = 1) -> pd.DataFrame:
    """Decisions of agents with all profiles, some of them asked again and again."""
    agent = rng.integers(number // 4, size=number)
    profile = np.array(codes())[rng.integers(32, size=number)][agent]
    contacts = rng.integers(1, 5, size=number)
    high = np.array([[letter.isupper() for letter in code] for code in profile])
    hazard = 0.15 * contacts * np.exp(high @ [0.0, -0.4, 0.6, -0.5, 0.0])
    repost = rng.random(number) < -np.expm1(-hazard)
    return pd.DataFrame(
        {
            "run": agent % runs,
            "agent": agent,
            "profile": profile,
            "contacts": contacts,
            "exposure_count": rng.integers(1, 4, size=number),
            "outcome": np.where(repost, "repost", "decline"),
        }
    )


def glm(rows: pd.DataFrame, groups: np.ndarray, **extra: np.ndarray):
    """Regress row by row, with nothing counted or dropped."""
    design = pd.DataFrame({"intercept": np.ones(len(rows))})
    for place, trait in enumerate(TRAITS):
        design[trait] = [1.0 if code[place].isupper() else -1.0 for code in rows["profile"]]
    design["log contacts"] = np.log(rows["contacts"].to_numpy())
    design["first exposure"] = (rows["exposure_count"] == 1).to_numpy(dtype=float)
    for name, values in extra.items():
        design[name] = values
    family = sm.families.Binomial(link=sm.families.links.CLogLog())
    model = sm.GLM((rows["outcome"] == "repost").to_numpy(dtype=float), design, family=family)
    number = len(np.unique(groups))
    result = model.fit(
        tol=1e-12, cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    return result.params, result.bse * np.sqrt(number / (number - 1)), result, number


@pytest.fixture(scope="module")
def record() -> SpreadData:
    """Runs about all 18 events."""
    runs = [
        SpreadModel(n=150, event=event, decider="traits", rng=seed).run(25)
        for seed, event in enumerate(bundled_events())
    ]
    return concat([SpreadData.from_model(model) for model in runs])


@pytest.fixture(scope="module")
def effects(record: SpreadData) -> TraitEffects:
    return trait_effects(record)


@pytest.mark.parametrize(("runs", "unit"), [(1, "agent"), (50, "run")])
def test_numbers_are_those_of_a_regression_row_by_row(runs: int, unit: str) -> None:
    rows = random_rows(2000, np.random.default_rng(1), runs)
    found = trait_effects(as_data(rows))
    params, stderr, _, number = glm(rows, rows[unit].to_numpy())
    table = found.table.set_index("term")
    assert list(table.index) == [*TRAITS, "log contacts", "first exposure"]
    assert found.covariance == f"clustered by {unit} ({number})"
    assert table["coefficient"].to_numpy() == pytest.approx(params[table.index], abs=1e-7)
    assert table["stderr"].to_numpy() == pytest.approx(stderr[table.index], rel=1e-5)
    assert table["hazard_ratio"].to_numpy() == pytest.approx(np.exp(params[table.index]))


def test_event_terms_and_interactions_are_those_of_a_regression_row_by_row() -> None:
    rng = np.random.default_rng(2)
    rows = random_rows(3000, rng, runs=4)
    events = {
        1: {"fatalities": 9},
        2: {"event_type": "Riots", "fatalities": 99, "civilian_targeting": True},
        3: {"event_type": "Riots"},
    }
    found = trait_effects(as_data(rows, events))
    riots = rows["run"].isin([2, 3]).to_numpy(dtype=float)
    deaths = rows["run"].map({0: 0.0, 1: 1.0, 2: 2.0, 3: 0.0}).to_numpy()
    civilians = (rows["run"] == 2).to_numpy(dtype=float)
    reposts = (rows["outcome"] == "repost").groupby(riots).sum()
    assert reposts[1.0] != reposts[0.0]
    other, kind = ("Riots", riots) if reposts[0.0] > reposts[1.0] else ("Battles", 1 - riots)
    extra = {"type": kind, "fatalities (log10)": deaths, "civilians targeted": civilians}
    groups = rows["agent"].to_numpy()
    params, stderr, *_ = glm(rows, groups, **extra)
    table = found.table.set_index("term")
    name = next(term for term in table.index if term.startswith(other))
    for ours, theirs in ((name, "type"), *((key, key) for key in list(extra)[1:])):
        assert table.loc[ours, "coefficient"] == pytest.approx(params[theirs], abs=1e-6)
        assert table.loc[ours, "stderr"] == pytest.approx(stderr[theirs], rel=1e-5)
    # With main effects and products, the sum is the effect in riots, the product's the gap.
    levels = {
        trait: np.array([1.0 if code[i].isupper() else -1.0 for code in rows["profile"]])
        for i, trait in enumerate(TRAITS)
    }
    products = {f"{trait} x riots": level * riots for trait, level in levels.items()}
    params, *_ = glm(rows, groups, **extra, **products)
    ratios = found.interactions.set_index(["trait", "event_type"])["hazard_ratio"]
    for trait in TRAITS:
        sum_of_both = params[trait] + params[f"{trait} x riots"]
        assert np.log(ratios[trait, "Battles"]) == pytest.approx(params[trait], abs=1e-6)
        assert np.log(ratios[trait, "Riots"]) == pytest.approx(sum_of_both, abs=1e-6)
    tests = found.tests.set_index(["trait", "test", "event_type"])["df"]
    assert tests["extraversion", "interaction", ""] == 1
    assert tests["all traits", "main", ""] == tests["all traits", "interaction", ""] == 5


def test_signs_of_the_policy_are_recovered(effects: TraitEffects) -> None:
    policy = TraitDecider()
    table = effects.table.set_index("term")
    for trait in TRAITS:
        # The policy is logistic, so its log-odds lie near the log-hazards, a bit outside.
        gap = table.loc[trait, "coefficient"] - 0.93 * getattr(policy, trait)
        assert abs(gap) < 3.5 * table.loc[trait, "stderr"], trait
    assert table.loc["first exposure", "low"] > 2
    assert table.loc["fatalities (log10)", "low"] > 1
    assert set(effects.interactions["event_type"]) == {e.event_type for e in bundled_events()}
    assert len(effects.interactions) == 30
    p_holm = effects.tests.query("test == 'main'").set_index("trait")["p_holm"]
    assert (p_holm.drop("openness") < 0.05).all()
    assert "Traits move the hazard" in effects.verdict
    assert "extraversion x1." in effects.verdict


def test_what_cannot_be_told_is_named(effects: TraitEffects) -> None:
    assert effects.dropped["saw the event"] == "constant"
    # Among the bundled events the type says whether civilians were the target.
    assert effects.dropped["civilians targeted"].startswith("cannot be told from ")
    assert "no estimate for civilians targeted" in effects.summary()


def test_an_effect_that_differs_by_event_type_is_found() -> None:
    types = ("Battles", "Protests")
    events = [next(e for e in bundled_events() if e.event_type == name) for name in types]
    runs = [
        SpreadModel(n=400, event=event, decider=TraitDecider(extraversion=slope), rng=i).run(25)
        for i, (event, slope) in enumerate(zip(events, (0.8, -0.8), strict=True))
    ]
    found = trait_effects(concat([SpreadData.from_model(run) for run in runs]))
    ratios = found.interactions.set_index(["trait", "event_type"])["hazard_ratio"]
    assert ratios["extraversion", "Battles"] > 1.5
    assert ratios["extraversion", "Protests"] < 0.7
    assert "differs by event type for extraversion" in found.verdict


def test_no_effect_is_no_effect() -> None:
    model = SpreadModel(n=400, decider="SI(0.05)", rng=5).run(30)
    found = trait_effects(SpreadData.from_model(model))
    assert found.verdict.startswith("No trait is found to move")
    table = found.table.set_index("term")
    assert table.loc["log contacts", "coefficient"] == pytest.approx(1, abs=0.3)


def test_a_single_decision_per_agent_is_fishers_exact_test() -> None:
    high = np.repeat([True, False], 15)
    repost = np.r_[np.repeat([True, False], [9, 6]), np.repeat([True, False], [4, 11])]
    rows = pd.DataFrame({"profile": np.where(high, "ocEan", "ocean")})
    rows["outcome"] = np.where(repost, "repost", "decline")
    found = trait_effects(as_data(rows), permutations=20_000)
    exact = fisher_exact([[9, 6], [4, 11]]).pvalue
    p_value = found.tests.set_index(["trait", "test"])["p_value"]
    assert p_value["extraversion", "main"] == pytest.approx(exact, abs=0.015)
    assert (
        found.table.set_index("term")["p_value"]["extraversion"] == p_value["extraversion", "main"]
    )


def test_differences_between_runs_are_no_effect_of_traits() -> None:
    # All agents of the run where everybody reposts are extraverts, and none of the other's.
    rng = np.random.default_rng(3)
    rows = random_rows(800, rng, runs=2).assign(profile="ocean")
    rows.loc[rows["run"] == 1, "profile"] = "ocEan"
    rows["outcome"] = np.where(rng.random(800) < 0.1 + 0.5 * rows["run"], "repost", "decline")
    found = trait_effects(as_data(rows))
    assert found.table.set_index("term").loc["extraversion", "low"] > 2
    assert found.tests["p_value"].isna().all()
    assert found.verdict.startswith("No trait is found to move")


def test_levels_are_used_as_numbers() -> None:
    decider = TraitDecider(extraversion=0.8)
    model = SpreadModel(n=800, population="continuous", decider=decider, rng=2).run(25)
    data = SpreadData.from_model(model)
    assert data.agents["extraversion"].nunique() > 700
    rows = data.exposures.merge(data.agents[["agent", *TRAITS]], on="agent")
    rows = rows[rows["contacts"] > 0].reset_index(drop=True)
    design = pd.DataFrame({"intercept": 1.0, **{trait: rows[trait] for trait in TRAITS}})
    design["log contacts"] = np.log(rows["contacts"])
    design["first exposure"] = (rows["exposure_count"] == 1).astype(float)
    family = sm.families.Binomial(link=sm.families.links.CLogLog())
    expected = sm.GLM((rows["outcome"] == "repost").astype(float), design, family=family).fit()
    table = trait_effects(data).table.set_index("term")["coefficient"]
    assert table["extraversion"] == pytest.approx(expected.params["extraversion"], abs=1e-4)


def test_claims_from_few_events_are_limited(record: SpreadData, effects: TraitEffects) -> None:
    assert len(effects.warnings) == 1
    assert "3 events" in effects.warnings[0]
    one = trait_effects(record.select([0]))
    assert "1 event" in one.warnings[0]
    assert one.warnings[0] in one.summary()


def test_more_reposts_show_smaller_effects(record: SpreadData, effects: TraitEffects) -> None:
    one = trait_effects(record.select([0]))
    assert 1 < effects.smallest_ratio < one.smallest_ratio
    # The log of the ratio is as many standard errors as size and power ask for.
    decisions = record.select([0]).exposures.query("outcome != 'failed'")
    reposts = int((decisions["outcome"] == "repost").sum())
    tests = one.tests["p_value"].count()
    # What the other traits of so few agents do not explain of a trait.
    levels = record.select([0]).agents.set_index("agent").loc[decisions["agent"]]
    left = information_left(levels[[trait.value for trait in Trait]].to_numpy())
    assert 0.5 < left < 1
    assert one.smallest_ratio == pytest.approx(smallest_ratio(reposts * left, alpha=0.05 / tests))
    assert np.log(smallest_ratio(400)) == pytest.approx((1.959964 + 0.841621) / 20, rel=1e-6)


@pytest.mark.parametrize(("name", "value"), [("reposts", 0), ("alpha", 1), ("power", 0)])
def test_power_of_nothing_is_an_error(name: str, value: float) -> None:
    with pytest.raises(ArgumentError) as caught:
        smallest_ratio(**{"reposts": 100, name: value})
    assert (caught.value.argument, caught.value.value) == (name, value)


def test_seeing_the_event_itself() -> None:
    law = "OnlineOffline(0.3, 0.02)"
    model = SpreadModel(n=800, decider=law, media_prob=0.05, rng=5).run(20)
    table = trait_effects(SpreadData.from_model(model)).table.set_index("term")
    assert table.loc["saw the event", "low"] > 1
    assert "saw the event only" in table.index


def test_order_of_rows_does_not_matter(record: SpreadData) -> None:
    data = record.select([0, 9])
    shuffled = SpreadData(data.exposures.sample(frac=1, random_state=1), data.counts, data.info)
    one, other = trait_effects(data), trait_effects(shuffled)
    pd.testing.assert_frame_equal(one.table, other.table)
    pd.testing.assert_frame_equal(one.tests, other.tests)


def test_a_constant_trait_is_dropped_and_named() -> None:
    population = {"oCean": 0.5, "ocEan": 0.5}
    model = SpreadModel(n=300, population=population, decider="SI(0.05)", rng=3).run(20)
    found = trait_effects(SpreadData.from_model(model))
    assert found.dropped["openness"] == "constant"
    assert found.dropped["extraversion"] == "cannot be told from conscientiousness"
    assert "conscientiousness" in set(found.table["term"])
    assert "openness (constant)" in found.verdict
    openness = found.tests.set_index(["trait", "test"]).loc[("openness", "main")]
    assert openness["df"] == 0
    assert np.isnan(openness["p_value"])


def test_a_constant_trait_has_no_effect_by_event_type_either() -> None:
    runs = [
        SpreadModel(n=200, population="OceaN", event=event, decider="SI(0.1)", rng=1).run(10)
        for event in (bundled_events()[0], bundled_events()[-1])
    ]
    found = trait_effects(concat([SpreadData.from_model(run) for run in runs]))
    assert found.interactions.empty
    assert found.verdict.startswith("No trait is found to move")
    assert "not tested" in found.verdict


@pytest.mark.parametrize("outcome", ["repost", "decline", "failed"])
def test_nothing_to_explain_is_an_error(outcome: str) -> None:
    rows = random_rows(100, np.random.default_rng(1)).assign(outcome=outcome)
    with pytest.raises(ArgumentError) as caught:
        trait_effects(as_data(rows))
    assert caught.value.argument == "data"


def test_no_decision_is_an_error() -> None:
    rows = random_rows(100, np.random.default_rng(1)).iloc[:0]
    data = as_data(random_rows(100, np.random.default_rng(1)))
    empty = SpreadData(data.exposures.loc[rows.index], data.counts, data.info)
    with pytest.raises(ArgumentError) as caught:
        trait_effects(empty)
    assert (caught.value.argument, caught.value.value) == ("data", "0 reposts in 0 decisions")


@pytest.mark.parametrize("level", [0, 1, 95])
def test_a_level_that_is_none(level: float, record: SpreadData) -> None:
    with pytest.raises(ArgumentError) as caught:
        trait_effects(record, level=level)
    assert (caught.value.argument, caught.value.value) == ("level", level)


def test_arguments_of_the_wrong_type(record: SpreadData) -> None:
    with pytest.raises(ArgumentTypeError) as caught:
        trait_effects(record, level="high")  # type: ignore[arg-type]
    assert (caught.value.argument, caught.value.value) == ("level", "high")
    for wrong in (record.exposures, None):
        with pytest.raises(ArgumentTypeError) as caught:
            trait_effects(wrong)  # type: ignore[arg-type]
        assert caught.value.argument == "data"


def test_a_trait_that_separates_is_named_and_the_rest_is_estimated() -> None:
    rows = random_rows(1500, np.random.default_rng(4))
    extravert = rows["profile"].str[2].str.isupper()
    rows.loc[~extravert, "outcome"] = "decline"
    found = trait_effects(as_data(rows))
    assert "estimate is infinite" in found.dropped["extraversion"]
    assert "no estimate for extraversion" in found.verdict
    # The rest is what the extraverts say.
    alone = trait_effects(as_data(rows[extravert]))
    columns = ["term", "coefficient", "stderr"]
    pd.testing.assert_frame_equal(found.table[columns], alone.table[columns])


def test_an_event_type_nobody_reposts() -> None:
    rows = random_rows(2000, np.random.default_rng(4), runs=2)
    rows.loc[rows["run"] == 1, "outcome"] = "decline"
    found = trait_effects(as_data(rows, {1: {"event_type": "Riots"}}))
    assert "estimate is infinite" in found.dropped["extraversion: Riots"]
    assert set(found.interactions["event_type"]) == {"Battles"}
    assert found.tests.query("test == 'interaction'")["p_value"].isna().all()
    within = found.tests.query("test == 'by type'").set_index("event_type")["p_value"]
    assert within["Riots"].isna().all()
    assert within["Battles"].notna().all()


def test_terms_that_predict_everything_are_an_error() -> None:
    rows = random_rows(400, np.random.default_rng(4))
    high = rows["profile"].str[0].str.isupper()
    rows["outcome"] = np.where(high, "repost", "decline")
    with pytest.raises(ArgumentError) as caught:
        trait_effects(as_data(rows))
    assert caught.value.argument == "data"
    assert "openness" in caught.value.value


def test_few_agents_are_not_clustered() -> None:
    rows = random_rows(120, np.random.default_rng(3))
    found = trait_effects(as_data(rows))
    assert found.covariance.startswith("from the model")


def test_the_figure_has_a_point_a_term(effects: TraitEffects) -> None:
    figure = plot_hazard_ratios(effects)
    assert isinstance(figure, Figure)
    labels = sorted(figure.axes[0].get_yticklabels(), key=lambda label: -label.get_position()[1])
    terms = effects.table["term"].str.partition(" (vs. ")
    assert [label.get_text() for label in labels] == list(terms[0])
    for reference in set(terms[2]) - {""}:
        assert reference.removesuffix(")") in figure.axes[0].get_xlabel()
    figure.draw_without_rendering()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    number=st.integers(1, 60),
    profiles=st.integers(1, 32),
    share=st.floats(0, 1),
    runs=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_small_records_give_an_answer_or_an_error_but_never_a_warning(
    number: int, profiles: int, share: float, runs: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "run": rng.integers(runs, size=number),
            "profile": np.array(codes())[rng.integers(profiles, size=number)],
            "contacts": rng.integers(1, 4, size=number),
            "exposure_count": rng.integers(1, 3, size=number),
            "outcome": np.where(rng.random(number) < share, "repost", "decline"),
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            riots = {1: {"event_type": "Riots"}}
            found = trait_effects(as_data(rows, riots), permutations=19)
        except ArgumentError:
            return
    assert np.isfinite(found.table[["coefficient", "stderr"]].to_numpy()).all()
    assert (found.table["low"] <= found.table["hazard_ratio"]).all()
    assert (found.table["hazard_ratio"] <= found.table["high"]).all()
    p_values = found.tests["p_value"].dropna()
    assert p_values.between(0, 1).all()
    assert found.decisions == number
    assert found.verdict in found.summary()


def test_too_few_permutations_are_told() -> None:
    model = SpreadModel(n=300, decider=TraitDecider(extraversion=1.5), rng=1).run(30)
    data = SpreadData.from_model(model)
    few, enough = (trait_effects(data, permutations=number).warnings for number in (19, 120))
    assert next(text for text in few if text not in enough).startswith("With 19 permutations")
    assert len(few) == len(enough) + 1
