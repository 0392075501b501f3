"""From runs to summaries, curves, figures and the report."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from mesa_llmspread import (
    SI,
    Exposure,
    FirstRepeat,
    Outcome,
    ScriptedDecider,
    SpreadData,
    SpreadModel,
    bundled_events,
    compare,
    concat,
    fit,
    fit_traits,
    solve,
)
from mesa_llmspread.analysis.cascades import cascade
from mesa_llmspread.analysis.costs import spending
from mesa_llmspread.analysis.descriptive import GROUPINGS, prevalence, repost_rates
from mesa_llmspread.analysis.event_analysis import (
    CURVES,
    Analysis,
    EventAnalysis,
    analyse,
    closure_curves,
    stochastic_curve,
    without_curve,
)
from mesa_llmspread.cli.demo import show
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, UnknownNameError
from mesa_llmspread.networks import random_regular
from mesa_llmspread.reporting.plots import plot_spread
from mesa_llmspread.reporting.report import figures, write_report


def record(**settings) -> SpreadData:
    """Two runs about each of two events."""
    runs = []
    for event in ("battles-0", "civilians-40"):
        for seed in range(2):
            model = SpreadModel(
                **{"n": 120, "k": 6, "decider": "traits", **settings}, event=event, rng=seed
            )
            runs.append(SpreadData.from_model(model.run(25)))
    return concat(runs)


@pytest.fixture(scope="module")
def data() -> SpreadData:
    return record()


def test_prevalence_is_the_mean_over_runs(data: SpreadData) -> None:
    table = prevalence(data)
    last = data.counts.groupby("run")["infected"].last() / 120
    assert table["mean"].iloc[-1] == pytest.approx(last.mean())
    assert table["mean"].iloc[0] == pytest.approx(10 / 120)
    assert (table["low"] <= table["mean"]).all()
    assert (table["mean"] <= table["high"]).all()
    assert table["step"].tolist() == list(range(26))


def test_a_run_that_stopped_early_stays_where_it_was() -> None:
    short = SpreadData.from_model(SpreadModel(n=40, k=4, decider="SI(1.0)", rng=1).run(20))
    long = SpreadData.from_model(SpreadModel(n=40, k=4, decider="SI(0.01)", rng=1).run(20))
    assert short.counts["step"].max() < 20
    last = prevalence(concat([short, long]))["mean"].iloc[-1]
    assert last == pytest.approx((1 + long.counts["infected"].iloc[-1] / 40) / 2)


@pytest.mark.parametrize("by", GROUPINGS)
def test_repost_rates_count_every_decision(data: SpreadData, by: str) -> None:
    table = repost_rates(data, by)
    times = 5 if by == "trait" else 1
    assert table["decisions"].sum() == times * len(data.exposures)
    assert table["reposts"].sum() == times * (data.exposures["outcome"] == "repost").sum()
    low, high = proportion_confint(table["reposts"], table["decisions"], method="wilson")
    np.testing.assert_allclose(table["low"], low)
    np.testing.assert_allclose(table["high"], high)


def test_failed_decisions_are_counted_beside_the_rates() -> None:
    answers = [Outcome.FAILED, True, False]
    decider = ScriptedDecider(lambda exposure: answers[(exposure.agent + exposure.step) % 3])
    run = SpreadData.from_model(SpreadModel(n=60, k=4, decider=decider, rng=1).run(4))
    table = repost_rates(run, "event_type")
    outcomes = run.exposures["outcome"].value_counts()
    assert table["failed"].tolist() == [outcomes["failed"]]
    assert table["decisions"].tolist() == [outcomes["repost"] + outcomes["decline"]]
    assert table["rate"].tolist() == pytest.approx(
        [outcomes["repost"] / (outcomes["repost"] + outcomes["decline"])]
    )


def test_repost_rates_by_profile_and_trait(data: SpreadData) -> None:
    rows = data.exposures
    table = repost_rates(data, "trait").set_index("group")
    high = rows[rows["profile"].str[2] == "E"]
    assert table.loc["extraversion high", "decisions"] == len(high)
    assert repost_rates(data, "fatalities")["group"].tolist() == ["0", "10 to 99"]
    with pytest.raises(UnknownNameError) as caught:
        repost_rates(data, "age")
    assert (caught.value.argument, caught.value.value) == ("by", "age")
    assert caught.value.known == GROUPINGS


def test_closure_curves_are_the_solver_s(data: SpreadData) -> None:
    law = FirstRepeat(0.1, 0.03)
    curves = closure_curves(law, data)
    expected = solve(law, n=120, k=6, initial_infected=10, steps=25)["infected"] / 120
    np.testing.assert_allclose(curves["master equations"], expected)
    assert (curves["mean-field map"] >= curves["master equations"] - 1e-12).all()
    step = FirstRepeat(0.1, 0.03, per="occasion")
    assert "mean-field ODE" not in closure_curves(step, data)


def test_the_pair_approximation_is_drawn_where_it_holds(data: SpreadData) -> None:
    curves = closure_curves(SI(0.1), data)
    expected = solve(SI(0.1), n=120, k=6, initial_infected=10, steps=25, closure="pair")
    np.testing.assert_allclose(curves["pair approximation"], expected["infected"] / 120)
    # Exact where contacts act independently, as the master equations are.
    np.testing.assert_allclose(curves["pair approximation"], curves["master equations"], atol=1e-6)
    assert without_curve("SI", curves) == ""
    # Wrong for FirstRepeat, even at equal rates; and not defined where degrees differ.
    curves = closure_curves(FirstRepeat(0.1, 0.1), data)
    assert without_curve("FirstRepeat", curves).endswith("FirstRepeat here: pair approximation.")
    assert "pair approximation" not in closure_curves(SI(0.1), record(network="scale_free"))


def test_runs_of_different_settings_are_each_solved_in_their_own() -> None:
    settings = [(4, 2), (12, 40), (12, 40)]
    runs = [
        SpreadData.from_model(
            SpreadModel(n=200, k=k, initial_infected=m, decider="SI(0.05)", rng=seed).run(10)
        )
        for seed, (k, m) in enumerate(settings)
    ]
    law = SI(0.05)
    both = [concat(order) for order in (runs, runs[::-1])]
    one, other = (closure_curves(law, data) for data in both)
    np.testing.assert_allclose(one, other)
    solved = [
        solve(law, n=200, k=k, initial_infected=m, steps=10)["infected"] / 200 for k, m in settings
    ]
    np.testing.assert_allclose(one["master equations"], np.mean(solved, axis=0))
    for data in both:
        found = stochastic_curve(law, data)
        assert found is not None
        assert found["mean"].to_numpy() == pytest.approx(np.mean(solved, axis=0), abs=0.03)


def test_a_figure_of_events_with_different_laws_names_every_curve(data: SpreadData) -> None:
    analysis = analyse(data)
    first, second = analysis.events
    without = first.curves.drop(columns="pair approximation", errors="ignore")
    halves = [
        dataclasses.replace(first, curves=without),
        dataclasses.replace(second, curves=closure_curves(SI(0.1), second.data)),
    ]
    figure = plot_spread(dataclasses.replace(analysis, events=halves))
    names = {text.get_text() for text in figure.legends[0].get_texts()}
    assert names == {"simulated agents", *CURVES}


def test_the_stochastic_model_agrees_with_the_master_equations() -> None:
    law = FirstRepeat(0.2, 0.05)
    run = SpreadData.from_model(
        SpreadModel(n=3000, k=6, decider=law, initial_infected=60, rng=1).run(20)
    )
    stochastic, curves = stochastic_curve(law, run), closure_curves(law, run)
    assert stochastic["mean"].to_numpy() == pytest.approx(
        curves["master equations"].to_numpy(), abs=0.01
    )


def test_a_given_network_is_needed_for_the_stochastic_model() -> None:
    graph = nx.random_regular_graph(4, 60, seed=1)
    run = SpreadData.from_model(SpreadModel(network=graph, decider="traits", rng=1).run(5))
    law = FirstRepeat(0.2, 0.05)
    assert stochastic_curve(law, run) is None
    assert len(stochastic_curve(law, run, random_regular(60, 4, rng=1))) == 6
    assert len(stochastic_curve(law, run, graph)) == 6
    with pytest.raises(ArgumentError) as caught:
        stochastic_curve(law, run, random_regular(50, 4, rng=1))
    assert (caught.value.argument, caught.value.value) == ("network", "50 nodes")


def test_the_table_has_a_line_an_event(data: SpreadData) -> None:
    seen = []
    table = analyse(data, progress=seen.append).table()
    assert seen == table["event"].tolist() == ["battles-0", "civilians-40"]
    assert list(table) == ["event", "law", "rates", "final", *CURVES, "in band"]
    assert table["final"].between(0, 1).all()
    assert table["in band"].between(0, 1).all()
    # The pair approximation is wrong for FirstRepeat, so that has none.
    assert (table["pair approximation"].isna() == (table["law"] == "FirstRepeat")).all()
    assert (table[list(CURVES)].stack().dropna() < 0.5).all()


@pytest.mark.parametrize(
    "settings",
    [
        {"population": "OceAn"},
        {"decider": "SI(0.0)"},
        {"decider": "SI(1.0)"},
        {"decider": "OnlineOffline(0.02, 0.05)", "media_prob": 0.5},
        {"feed": "new", "decider": "SI(0.3)"},
        pytest.param({"network": "small_world"}, marks=pytest.mark.slow),
        {"network": "scale_free"},
        pytest.param(
            {"decider": "TwoClass(0.01, 0.4, share_high=0.3)", "population": "norms"},
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda settings: " ".join(map(str, settings.values())),
)
def test_the_whole_way_for_every_kind_of_run(tmp_path: Path, settings: dict) -> None:
    analysis = analyse(record(**settings))
    page = write_report(analysis, tmp_path).read_text()
    pictures = {path.stem: path.read_bytes() for path in tmp_path.glob("*.png")}
    assert pictures.keys() == figures(analysis).keys()
    # The overview is a file of its own; the page has a panel per event.
    assert page.count("data:image/png;base64,") == len(pictures) - 1 + len(analysis.events)
    assert ("hazard_ratios" in pictures) is (analysis.traits is not None)
    assert all(png.startswith(b"\x89PNG") for png in pictures.values())


def odd_ones(exposure: Exposure) -> bool:
    """Decide as no law has it."""
    if exposure.agent % 3 == 0:
        return exposure.contacts in (1, 3)
    return exposure.contacts >= 5 and exposure.agent % 2 == 0 and exposure.exposure_count in (2, 4)


def read(page: Path) -> str:
    """What a reader sees of a report."""
    return re.sub(r"<[^>]*>|data:image[^\"]*|\s+", " ", page.read_text().split("<body>")[1])


def test_a_law_that_does_not_fit_is_said_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    analysis = analyse(record(n=400, k=8, decider=ScriptedDecider(odd_ones)))
    page = write_report(analysis, tmp_path)
    lead = page.read_text().split('<p class="lead">')[1].split("</p>")[0]
    said = "does not fit the decisions (goodness of fit: p &lt; 0.001)"
    assert said in lead
    assert not re.search(r"is enough|are needed|cannot be ruled out", lead)
    assert "Event by event, the best law does not fit the decisions of 2 of 2 events." in lead
    # Beside the laws, and beside each event's.
    assert page.read_text().count("does not fit") >= 5
    assert not re.search(r"p = 0\b(?!\.)|p = 0\.0*\b(?!\d)|\bnan\b", read(page))
    titles = [axis.get_title() for axis in plot_spread(analysis).axes]
    assert all(title.endswith("(does not fit)") for title in titles)
    show(analysis)
    printed = capsys.readouterr().out
    assert "does not fit the decisions (goodness of fit: p < 0.001)" in printed
    assert printed.split("Final share")[0].count("p < 0.001") == 2


def test_a_law_that_leaves_something_out_is_blamed_for_its_curves(tmp_path: Path) -> None:
    """Ten events of which the curve starts late, for want of a first exposure that differs."""
    law = SI(0.04)
    parts = []
    for seed in range(10):
        model = SpreadModel(n=200, decider="FirstRepeat(0.3, 0.03)", rng=seed).run(25)
        data = SpreadData.from_model(model)
        stochastic = stochastic_curve(law, data)
        assert stochastic is not None
        curves = closure_curves(law, data).join(stochastic.drop(columns="step"))
        parts.append(
            EventAnalysis(
                data.info[0].event, data, compare(data, ["SI"]), prevalence(data), curves, {}, None
            )
        )
    analysis = Analysis(parts[0].data, parts[0].comparison, parts, None)
    assert analysis.bias.startswith("The master curve lies below the simulated mean in 10 of 10")
    assert "The law leaves something out" in analysis.bias
    law_gap, equations_gap = np.mean([part.gaps for part in parts], axis=0)
    assert law_gap > 0.05 > abs(equations_gap)
    one = dataclasses.replace(analysis, events=parts[:1])
    assert one.bias == ""
    flat = [
        dataclasses.replace(part, curves=part.curves * 0, simulated=0 * part.simulated)
        for part in parts
    ]
    assert dataclasses.replace(analysis, events=flat).bias == ""


def test_a_law_that_fits_is_not_said_not_to(tmp_path: Path) -> None:
    model = SpreadModel(n=300, decider="FirstRepeat(0.2, 0.05)", rng=1)
    analysis = analyse(SpreadData.from_model(model.run(25)))
    assert "does not fit" not in write_report(analysis, tmp_path).read_text()


def test_what_a_small_run_cannot_tell_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # One step: nobody has seen the news twice.
    settings = {"n": 30, "k": 4, "initial_infected": 1, "decider": "SI(1.0)"}
    analysis = analyse(SpreadData.from_model(SpreadModel(**settings, rng=1).run(1)))
    text = read(write_report(analysis, tmp_path))
    assert "1 run about 1 event; 4 decisions by" in text
    assert "beta_repeat not estimable" in text
    assert "beta_repeat is not identifiable: no decision informs it." in text
    # A fit that succeeds all the same says why, too.
    assert "share_high not estimable" in text
    assert "Both classes have the same rate: share_high is not identifiable." in text
    show(analysis)
    text += capsys.readouterr().out + fit(analysis.data, "FirstRepeat").summary()
    assert "beta_repeat   not estimable" in text
    assert not re.search(r"\bnan\b|\b1 (runs|events|decisions)\b", text, re.IGNORECASE)


def test_text_from_outside_is_text(tmp_path: Path) -> None:
    hostile = dataclasses.replace(
        bundled_events()[0], event_id="<script>alert(1)</script>", text="<img src=x onerror=1>"
    )
    run = SpreadData.from_model(
        SpreadModel(n=40, k=4, event=hostile, decider="traits", rng=1).run(10)
    )
    analysis = analyse(run)
    page = write_report(analysis, tmp_path)
    text = page.read_text()
    assert "<script" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize(
    "use",
    [
        prevalence,
        analyse,
        cascade,
        fit_traits,
        spending,
        lambda data: repost_rates(data, "profile"),
    ],
)
def test_what_is_no_record_is_refused(use: Any) -> None:
    for wrong in (5, None, "run", SpreadModel):
        with pytest.raises(ArgumentTypeError) as caught:
            use(wrong)
        assert (caught.value.argument, caught.value.value) == ("data", wrong)


@pytest.mark.parametrize("level", ["0.95", None, [0.9], True])
def test_a_level_of_another_kind_is_named(data: SpreadData, level: object) -> None:
    calls = (
        lambda: fit(data, "SI", level=level),  # type: ignore[arg-type]
        lambda: compare(data, level=level),  # type: ignore[arg-type]
        lambda: cascade(data, level=level, rng=1),  # type: ignore[arg-type]
    )
    for ask in calls:
        with pytest.raises(ArgumentTypeError) as caught:
            ask()
        assert (caught.value.argument, caught.value.value) == ("level", level)


@pytest.mark.parametrize("shares", ["uniform", {"OCEAN": 1.0}, [[1], [1, 2]]])
def test_profile_shares_of_another_kind_are_named(shares: object) -> None:
    with pytest.raises(ArgumentTypeError) as caught:
        solve(SI(0.1), n=100, k=4, initial_infected=5, steps=3, profile_shares=shares)  # type: ignore[arg-type]
    assert (caught.value.argument, caught.value.value) == ("profile_shares", shares)
