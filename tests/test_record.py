"""One record of a run: what is known of it, its agents, and decisions that come from elsewhere."""

from __future__ import annotations

import dataclasses
import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from errors import refused

from mesa_llmspread import (
    OfflineEvent,
    Profile,
    RunInfo,
    SpreadData,
    SpreadModel,
    analyse,
    bundled_events,
    compare,
    concat,
    fit,
    fit_traits,
    sample_profiles,
    trait_effects,
)
from mesa_llmspread.analysis.cascades import cascade
from mesa_llmspread.analysis.descriptive import prevalence, repost_rates
from mesa_llmspread.data.schema import AGENT_COLUMNS, EXPOSURE_COLUMNS
from mesa_llmspread.exceptions import (
    ArgumentError,
    InputFileError,
    OldFormatWarning,
)
from mesa_llmspread.inference.predictive import predict_runs
from mesa_llmspread.profiles import Trait

# --- what is known of a run ---------------------------------------------------------------------


def test_a_model_can_be_built_again_from_its_record(tmp_path: Path) -> None:
    event = bundled_events()[7]
    model = SpreadModel(
        n=50, k=6, network="small_world", event=event, population={"OCEAN": 0.5, "ocean": 0.5},
        initial_infected=3, feed="new", media_prob=0.05, rng=4,
    ).run(8)  # fmt: skip
    first = SpreadData.from_model(model)
    info = SpreadData.load(first.save(tmp_path)).info[0]
    assert info == first.info[0]
    assert info.events == (event,)
    again = SpreadModel(
        n=info.n, k=round(info.k), network=info.network, event=info.events[0],
        population=info.population, decider=info.decider, initial_infected=info.initial_infected,
        feed=info.feed, media_prob=info.media_prob, rng=info.rng,
    ).run(8)  # fmt: skip
    second = SpreadData.from_model(again)
    pd.testing.assert_frame_equal(first.exposures, second.exposures)
    pd.testing.assert_frame_equal(first.counts, second.counts)
    pd.testing.assert_frame_equal(first.agents, second.agents)
    assert first.info == second.info


def test_every_run_is_described() -> None:
    model = SpreadModel(n=40, k=4, decider="SI(0.1)", initial_infected=2, rng=1)
    info = SpreadData.from_model(model).info[0]
    assert (info.n, info.k, info.degrees, info.initial_infected) == (40, 4.0, {4: 40}, 2)
    assert (info.feed, info.media_prob, info.network) == ("persistent", 0.0, "random_regular")
    assert (info.population, info.decider, info.rng) == ("uniform", "rates", 1)
    assert info.decider_info["law"] == "SI"
    assert sum(info.profiles.values()) == 40
    assert len(info.starters) == 2
    assert {"mesa", "numpy", "python"} <= info.versions.keys()


def test_the_old_name_leads_to_the_new_one(known: SpreadData) -> None:
    for name in ("manifest", "manifest_of"):
        with pytest.raises(AttributeError, match=rf"no {name} any more: data\.info\[run\]"):
            getattr(known, name)
    copied = pickle.loads(pickle.dumps(known))
    assert copied.info == known.info


def test_info_is_checked() -> None:
    unknown = refused(lambda: RunInfo.from_dict({"n": 200, "degree": {8: 200}}), "info", "degree")
    assert "degrees" in unknown.known
    refused(lambda: RunInfo(n=0, k=8), "n", 0)
    feeds = refused(lambda: RunInfo(n=10, k=8, feed="old"), "feed", "old").known  # type: ignore[arg-type]
    assert set(feeds) == {"persistent", "new"}
    refused(lambda: RunInfo(n=10, k=8, events="battles-0"), "events", "battles-0")  # type: ignore[arg-type]
    refused(lambda: RunInfo(n=10, k=8).event, "info.events", [])
    table = SpreadData.from_model(SpreadModel(n=20, k=4, rng=1))
    tables = table.exposures, table.counts
    refused(lambda: SpreadData(*tables, {0: {"n": 20}}), "info[0]", {"n": 20})  # type: ignore[dict-item]
    refused(lambda: SpreadData(*tables, {1: table.info[0]}), "info", [1])


# --- events -------------------------------------------------------------------------------------


def test_events_survive_json() -> None:
    for event in bundled_events():
        assert OfflineEvent.from_dict(json.loads(json.dumps(event.to_dict()))) == event


@pytest.mark.parametrize(
    ("change", "argument", "value"),
    [
        ({"date": "yesterday"}, "date", "yesterday"),
        ({"place": "x"}, "field", "place"),
        ({"fatalities": -1}, "fatalities", -1),
    ],
)
def test_an_event_that_is_none(change: dict[str, Any], argument: str, value: object) -> None:
    fields = bundled_events()[0].to_dict() | change
    refused(lambda: OfflineEvent.from_dict(fields), argument, value)
    missing = refused(lambda: OfflineEvent.from_dict({"text": "news"}), "fields", ["text"])
    assert "event_id, date" in missing.allowed


# --- agents -------------------------------------------------------------------------------------


def test_agents_have_names_profiles_and_levels(tmp_path: Path) -> None:
    graph = nx.Graph([("bob", "ann"), ("ann", "cy"), ("cy", "bob")])
    people = sample_profiles(3, "continuous", rng=1)
    model = SpreadModel(network=graph, population=people, initial_infected=["ann"], rng=1)
    agents = SpreadData.load(SpreadData.from_model(model).save(tmp_path)).agents
    assert list(agents) == list(AGENT_COLUMNS)
    assert agents["node"].tolist() == ["bob", "ann", "cy"]
    assert agents["profile"].tolist() == [profile.code for profile in people]
    levels = agents[[trait.value for trait in Trait]].to_numpy()
    assert levels.tolist() == [list(profile.levels) for profile in people]


def test_agents_go_with_their_runs() -> None:
    runs = [SpreadData.from_model(SpreadModel(n=n, k=4, rng=n)) for n in (20, 30, 40)]
    data = concat(runs)
    assert data.agents["run"].value_counts().to_dict() == {0: 20, 1: 30, 2: 40}
    part = data.select([2, 0])
    assert part.runs == [0, 2]
    assert part.agents["run"].value_counts().to_dict() == {0: 20, 2: 40}
    assert part.info == {0: runs[0].info[0], 2: runs[2].info[0]}


# --- decisions from elsewhere -------------------------------------------------------------------

LEAST = pd.DataFrame(
    {
        "run": [0, 0],
        "step": [1, 2],
        "agent": [7, 7],
        "contacts": [1, 3],
        "outcome": ["decline", "repost"],
    }
)


@pytest.fixture(scope="module")
def known() -> SpreadData:
    models = [SpreadModel(decider="FirstRepeat(0.2, 0.04)", rng=seed).run(60) for seed in (1, 2)]
    return concat([SpreadData.from_model(model) for model in models])


@pytest.fixture(scope="module")
def survey(known: SpreadData) -> SpreadData:
    """The same decisions, without everything that a survey would not know."""
    return SpreadData.from_tables(known.exposures[list(LEAST)], info={"n": 200, "k": 8})


def test_the_least_that_is_needed() -> None:
    data = SpreadData.from_tables(LEAST, counts=None, info={"n": 200, "k": 8})
    assert list(data.exposures) == list(EXPOSURE_COLUMNS)
    assert data.exposures["exposure_count"].tolist() == [1, 2]
    assert data.exposures["cumulative"].tolist() == [1, 3]
    assert set(data.exposures["profile"]) == {"unknown"}
    assert not data.exposures["direct"].any()
    assert data.info == {0: RunInfo(n=200, k=8)}
    assert data.agents["agent"].tolist() == [7]
    assert data.agents["openness"].isna().all()
    assert SpreadData.from_tables(LEAST).info[0].n is None


def test_occasions_are_counted_as_a_model_counts_them(
    known: SpreadData, survey: SpreadData
) -> None:
    counted = survey.exposures["exposure_count"]
    assert counted.tolist() == known.exposures["exposure_count"].tolist()
    mixed = survey.exposures.drop(columns="exposure_count").sample(frac=1, random_state=1)
    again = SpreadData.from_tables(mixed).exposures["exposure_count"]
    assert again.tolist() == counted[mixed.index].tolist()


def test_what_failed_or_showed_nothing_is_no_occasion() -> None:
    rows = pd.DataFrame(
        {
            "run": 0,
            "step": [4, 1, 2, 3, 5],
            "agent": 1,
            "contacts": [2, 1, 0, 1, 2],
            "outcome": ["failed", "decline", "decline", "decline", "repost"],
        }
    )
    counted = SpreadData.from_tables(rows).exposures["exposure_count"]
    assert counted.tolist() == [3, 1, 2, 2, 3]


def test_surveys_are_fitted_and_compared(known: SpreadData, survey: SpreadData) -> None:
    laws = ["SI", "FirstRepeat", "SingleMultiple", "TwoClass"]
    for law in laws:
        assert fit(survey, law).params == fit(known, law).params
    wanted, found = compare(known, laws), compare(survey)
    assert set(laws) <= set(found.results)
    assert "ByProfile" not in found.results
    assert found.best.name == wanted.best.name == "FirstRepeat"
    assert found.best.loglik == wanted.best.loglik


def test_laws_by_profile_need_profiles(survey: SpreadData) -> None:
    refused(lambda: fit(survey, "ByProfile"), "law", "ByProfile")
    for use in (trait_effects, fit_traits, lambda data: repost_rates(data, "trait")):
        refused(lambda use=use: use(survey), "data.exposures['profile']", "unknown")
    misspelt = survey.exposures.assign(profile="ocaen")
    refused(lambda: SpreadData.from_tables(misspelt), "exposures['profile']", "ocaen")


def test_what_needs_curves_needs_counts(survey: SpreadData) -> None:
    told = {"n": 200, "k": 8, "degrees": {8: 200}, "initial_infected": 10, "starters": [1]}
    told |= {"network": "random_regular", "rng": 1, "events": [bundled_events()[0]]}
    data = SpreadData.from_tables(LEAST, info=told)
    assert data.exposures["event"].tolist() == [bundled_events()[0].event_id] * 2
    many = SpreadData.from_tables(survey.exposures, info=told)
    result = fit(survey, "SI")
    for use in (
        lambda: fit(data, "SI", method="curve"),
        lambda: prevalence(data),
        lambda: cascade(data),
        lambda: predict_runs(result, data),
        lambda: analyse(many),
    ):
        assert "have counts" in refused(use, "data").allowed


def test_counts_may_come_from_elsewhere_too(known: SpreadData) -> None:
    part = known.select([1])
    data = SpreadData.from_tables(part.exposures, part.counts, part.info[1])
    pd.testing.assert_frame_equal(data.exposures, part.exposures)
    pd.testing.assert_frame_equal(prevalence(data), prevalence(part))
    assert fit(data, "SI", method="curve").params == fit(part, "SI", method="curve").params
    with pytest.raises(ArgumentError) as caught:
        SpreadData.from_tables(part.exposures, part.counts.iloc[1:])
    assert caught.value.argument == "counts['step']"


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"step": 0}, "exposures['step']"),
        ({"contacts": 1.5}, "exposures['contacts']"),
        ({"agent": "ann"}, "exposures['agent']"),
        ({"contacts": np.nan}, "exposures['contacts']"),
        ({"outcome": "yes"}, "exposures['outcome']"),
        ({"outcome": None}, "exposures['outcome']"),
        ({"direct": "no"}, "exposures['direct']"),
        ({"step": 1}, "exposures"),
        ({"exposure": 1}, "exposures"),
    ],
)
def test_tables_that_are_refused(change: dict[str, Any], argument: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        SpreadData.from_tables(LEAST.assign(**change))
    assert caught.value.argument == argument


def test_other_arguments_that_are_refused() -> None:
    few = LEAST.drop(columns=["agent", "contacts"])
    missing = refused(lambda: SpreadData.from_tables(few), "exposures", list(few))
    assert missing.allowed == "have columns agent, contacts"
    refused(lambda: SpreadData.from_tables([1, 2]), "exposures", [1, 2])  # type: ignore[arg-type]
    for info, value in (({"n": 200, "k": 8, "initial": 10}, "initial"), (200, 200)):
        refused(lambda info=info: SpreadData.from_tables(LEAST, info=info), "info", value)


def test_a_survey_is_saved_too(survey: SpreadData, known: SpreadData, tmp_path: Path) -> None:
    again = SpreadData.load(survey.select([1]).save(tmp_path))
    assert again.runs == [1]
    assert again.counts.empty
    assert again.info == {1: survey.info[1]}
    pd.testing.assert_frame_equal(again.exposures, survey.select([1]).exposures)
    assert concat([survey, known]).runs == [0, 1, 2, 3]


# --- records of earlier versions ---------------------------------------------------------------


def save_as_before(data: SpreadData, folder: Path, version: int | None) -> None:
    """Write a record as earlier versions did: one flat manifest, and no table of agents."""
    folder.mkdir()
    old = data.exposures.rename(columns={"exposure_count": "exposure"})
    old = data.exposures if version == 2 else old.drop(columns=["post", "reason"])
    old.to_parquet(folder / "exposures.parquet", index=False)
    data.counts.to_parquet(folder / "counts.parquet", index=False)
    shared, runs = {}, []
    for run, info in data.info.items():
        agents = data.agents[data.agents["run"] == run].set_index("agent")
        shared = {
            "n": info.n,
            "k": info.k,
            "degrees": {str(degree): number for degree, number in info.degrees.items()},
            "network": info.network,
            "population": info.population,
            "initial_infected": info.initial_infected,
            "feed": info.feed,
            "media_prob": info.media_prob,
            "event": info.event.to_dict(),
            "decider": info.decider,
            **info.decider_info,
            "versions": info.versions,
        }
        own = {"rng": info.rng, "starters": list(info.starters), "profiles": info.profiles}
        runs.append(own | {"starter_profiles": agents["profile"][list(info.starters)].tolist()})
    rows = {"exposures": len(data.exposures), "counts": len(data.counts)}
    manifest = {**shared, "runs": runs, "rows": rows}
    if version is not None:
        manifest["format"] = version
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("version", [None, 1, 2])
def test_records_of_earlier_versions_are_read(
    known: SpreadData, tmp_path: Path, version: int | None
) -> None:
    save_as_before(known, tmp_path / "old", version)
    with pytest.warns(OldFormatWarning):
        old = SpreadData.load(tmp_path / "old")
    pd.testing.assert_frame_equal(old.exposures, known.exposures)
    pd.testing.assert_frame_equal(old.counts, known.counts)
    assert old.info == known.info
    both = old.agents.merge(known.agents, on=["run", "agent"], suffixes=("_old", ""))
    assert len(both) == len(old.agents)
    for name in list(AGENT_COLUMNS)[2:]:
        assert both[f"{name}_old"].tolist() == both[name].tolist()
    assert cascade(old, run=1, rng=1).size == cascade(known, run=1, rng=1).size
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert SpreadData.load(old.save(tmp_path / "new")).info == known.info


def test_an_old_record_names_nodes_and_has_old_names(known: SpreadData, tmp_path: Path) -> None:
    save_as_before(known, tmp_path / "old", 2)
    path = tmp_path / "old" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["nodes"] = [f"node {agent}" for agent in range(200)]
    manifest["broadcast"] = manifest.pop("media_prob")
    path.write_text(json.dumps(manifest))
    with pytest.warns(OldFormatWarning):
        old = SpreadData.load(tmp_path / "old")
    assert old.info == known.info
    assert (old.agents["node"] == "node " + old.agents["agent"].astype(str)).all()


def test_an_old_record_with_an_event_that_is_none(known: SpreadData, tmp_path: Path) -> None:
    save_as_before(known, tmp_path / "old", 1)
    path = tmp_path / "old" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["event"]["event_type"] = ""
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputFileError) as caught:
        SpreadData.load(tmp_path / "old")
    assert caught.value.path == path
    assert "event_type" in caught.value.problem


# --- in a notebook ------------------------------------------------------------------------------


def test_results_show_themselves_in_a_line(known: SpreadData, survey: SpreadData) -> None:
    decisions = f"{len(known.exposures):,} decisions"
    assert repr(known) == f"SpreadData(2 runs of 200 agents, {decisions}, battles-0, rates)"
    assert repr(survey) == f"SpreadData(2 runs of 200 agents, {decisions})"
    result = fit(known, "FirstRepeat")
    start = f"FitResult(FirstRepeat: {result.describe()}; "
    assert repr(result) == f"{start}{result.n_obs:,} decisions in 2 runs)"
    assert repr(fit(known, "SI", method="curve")).endswith("; the curves of 2 runs)")
    comparison = compare(known, ["SI", "FirstRepeat"])
    assert repr(comparison).startswith("Comparison(2 laws, best: FirstRepeat; ")
    assert repr(Profile.from_code("OceAn")) == "Profile.from_code('OceAn')"
    own = Profile(0.5, 0, -1.25, 1, 2)
    assert eval(repr(own)) == own
    for shown in (known, survey, result, comparison, own):
        assert "\n" not in repr(shown)
        assert len(repr(shown)) < 500


def test_notebooks_show_tables_and_no_markup_of_the_data(known: SpreadData) -> None:
    decider = "<b>me</b> & I"
    info = {run: dataclasses.replace(info, decider=decider) for run, info in known.info.items()}
    html = dataclasses.replace(known, info=info)._repr_html_()
    assert "&lt;b&gt;me&lt;/b&gt; &amp; I" in html
    assert decider not in html
    comparison = compare(known, ["SI", "FirstRepeat"])
    for shown in (comparison, comparison.best, Profile.from_code("OceAn")):
        assert "<table" in shown._repr_html_()
    assert comparison.verdict.split()[0] in comparison._repr_html_()
    assert "beta_repeat" in comparison.best._repr_html_()
