"""The report explains itself, and its words follow its numbers."""

from __future__ import annotations

import dataclasses
import html
import io
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd
import pytest
from command_line import call

from mesa_llmspread import (
    SI,
    Exponential,
    Network,
    OfflineEvent,
    SpreadData,
    SpreadModel,
    Visibility,
    analyse,
    bundled_events,
    concat,
    fit,
    random_regular,
    write_report,
)
from mesa_llmspread.analysis.event_analysis import Analysis
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError
from mesa_llmspread.experiments.event_study import EventStudy
from mesa_llmspread.reporting.law_words import formula, in_words
from mesa_llmspread.reporting.sentences import (
    about_m,
    about_network,
    about_news,
    methods,
    nearest,
    what_it_tells,
    who_decides,
)
from mesa_llmspread.reporting.tables import tables, typeset


def record(decider: str = "FirstRepeat(0.2, 0.05)", **settings: Any) -> SpreadData:
    """Return two runs about each of two events."""
    study = EventStudy(
        bundled_events()[:2], 2, 1, {"n": 100, "k": 6, "decider": decider, **settings}
    )
    return concat([SpreadData.from_model(model.run(20)) for model in study.models()])


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analyse(record())


@pytest.fixture(scope="module")
def page(analysis: Analysis, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(analysis, tmp_path_factory.mktemp("report"), command="llmspread run x")


def csv_of(page: Path) -> dict[str, pd.DataFrame]:
    """Read the tables that a reader can save from a page."""
    links = re.findall(
        r'download="([^"]*)\.csv" href="data:text/csv[^,]*,([^"]*)"', page.read_text()
    )
    return {name: pd.read_csv(io.StringIO(unquote(html.unescape(csv)))) for name, csv in links}


def test_a_reader_learns_what_was_run(page: Path, analysis: Analysis) -> None:
    text = html.unescape(page.read_text())
    assert "llmspread run x" in text
    for part in analysis.events:
        assert part.event.text in text
        assert part.event.date.isoformat() in text
    for info in analysis.data.info.values():
        assert str(info.rng) in text
    assert methods(analysis) in text
    assert "arXiv 2602.23437" in text


def test_every_table_can_be_saved_with_its_numbers(page: Path, analysis: Analysis) -> None:
    saved = csv_of(page)
    assert {name.replace("_", " ") for name in saved} == tables(analysis, None).keys()
    laws = analysis.overall.table
    assert saved["laws"]["law"].tolist() == laws["law"].tolist()
    assert saved["laws"]["bic"].to_numpy() == pytest.approx(laws["bic"].to_numpy())
    seeds = [str(info.rng) for info in analysis.data.info.values()]
    assert saved["runs"]["seed"].astype(str).tolist() == seeds
    shape = saved["cascades"]
    assert (shape["depth_low"] <= shape["depth"]).all()
    assert (shape["depth"] <= shape["depth_high"]).all()
    assert shape["posted"].between(1, 100).all()


def test_the_nearest_equations_are_named_by_their_distances(analysis: Analysis) -> None:
    parts = [
        dataclasses.replace(part, distances={"mean-field map": field, "master equations": master})
        for part, field, master in zip(
            analysis.events * 2, [0.1, 0.1, 0.1, 0.4], [0.2, 0.2, 0.2, 0.3], strict=True
        )
    ]
    assert nearest(dataclasses.replace(analysis, events=parts)).endswith(
        "mean-field map in 3, master equations in 1 of 4 events."
    )
    none = [dataclasses.replace(part, distances={}) for part in parts]
    assert nearest(dataclasses.replace(analysis, events=none)) == ""


def test_the_methods_are_those_of_the_record(analysis: Analysis) -> None:
    text = methods(analysis)
    assert "News of 2 events" in text
    assert "4 runs of up to 20 steps" in text
    assert f"Of {len(analysis.data.exposures):,} decisions by a law, 0 failed" in text
    without = methods(dataclasses.replace(analysis, traits=None))
    assert "permuting" in text
    assert "permuting" not in without


def test_a_law_with_fading_is_named_beside_its_own_curves(tmp_path: Path) -> None:
    seen = Visibility(ageing=Exponential(0.5))
    model = SpreadModel(
        n=1000, k=8, decider="SI(0.12)", visibility=seen, initial_infected=20, rng=1
    )
    data = SpreadData.from_model(model.run(25))
    info = {run: dataclasses.replace(known, visibility=None) for run, known in data.info.items()}
    analysis = analyse(SpreadData(data.exposures, data.counts, info, data.agents))
    (part,) = analysis.events
    aged = part.comparison.fading
    assert aged is not None
    assert part.comparison.best.name not in part.law
    # The best law without fading does not fit; the one with it does.
    assert part.comparison.misfit
    assert part.fit_p_value > 0.001
    assert not part.misfit
    row = analysis.table().iloc[0]
    assert (row["law"], row["rates"]) == (part.law, part.rates)
    assert part.law.startswith("SI, delta 0.")
    assert part.rates.startswith(f"beta {aged.estimates.loc['beta', 'value']:.3g} [")
    shown = next(tables(analysis, None)["spread"].rows)
    assert [text for text, _ in shown[1:3]] == [typeset(part.law), typeset(part.rates)]
    assert "For 1 of 1 event this law has posts" in methods(analysis)
    assert "has that fading" in write_report(analysis, tmp_path).read_text()


def test_the_network_and_the_news_are_described() -> None:
    data = record("SI(0.2)", feed="new")
    assert about_network(data).startswith("among 100 agents on a network (random regular, 6 ")
    assert about_network(data).endswith("posts are in view for one step")
    own = OfflineEvent("mine", bundled_events()[0].date, "Riots", "", "A", "B", (), 0, False)
    mixed = SpreadData.from_model(
        SpreadModel(n=40, k=4, decider="SI(0.2)", event=own, rng=1).run(5)
    )
    assert about_news(data) != about_news(mixed) != about_news(concat([data, mixed]))
    assert "differ between runs" in about_network(concat([data, mixed]))


def decided_by(*deciders: dict[str, Any]) -> SpreadData:
    """Return a run per description of a decider."""
    data = SpreadData.from_model(SpreadModel(n=40, k=4, decider="SI(0.2)", rng=1).run(3))
    known = data.info[0]
    return concat(
        [
            SpreadData(
                data.exposures,
                data.counts,
                {0: dataclasses.replace(known, decider=info.pop("decider"), decider_info=info)},
                data.agents,
            )
            for info in map(dict, deciders)
        ]
    )


LLM = {"decider": "llm", "model": "openai/tiny"}
TABLE = {"decider": "table", "model": "tiny", "template": "plain", "date": "2026-01-01"}


@pytest.mark.parametrize(
    ("deciders", "who", "note"),
    [
        ([LLM], "the language model openai/tiny", "one language model acts"),
        ([LLM, LLM | {"model": "b"}], "language models", "several language models act"),
        ([TABLE], "a response table", "are draws from what tiny answered"),
        (
            [{"decider": "mixed", "parts": [LLM, {"decider": "rates"}]}],
            "several deciders, among them a language model",
            "nothing about language models alone",
        ),
        (
            [LLM, {"decider": "traits"}],
            "several deciders, among them a language model",
            "nothing about language models alone",
        ),
        (
            [{"decider": "mixed", "parts": [{"decider": "rates"}, {"decider": "traits"}]}],
            "several deciders",
            "were not made by a language model",
        ),
        ([{"decider": "mixed"}], "several deciders", "is not recorded"),
        ([{"decider": "mine", "parts": 3}], "mine", "is not recorded"),
        ([{"decider": "rates"}], "a law", "were not made by a language model"),
        ([{"decider": "mine"}], "mine", "is not recorded"),
        ([{"decider": "unknown"}], "an unknown decider", "is not recorded"),
    ],
)
def test_only_what_no_model_decided_is_said_to_be_so(
    deciders: list[dict[str, Any]], who: str, note: str
) -> None:
    data = decided_by(*deciders)
    assert who_decides(data) == who
    assert note in what_it_tells(data)


def test_laws_are_written_as_formulas(analysis: Analysis) -> None:
    results = analysis.overall.results
    assert formula(results["SI"]) == "q = beta; p = 1 − (1 − q)^m"
    assert formula(results['FirstRepeat(per="occasion")']).endswith("p = q where m ≥ 1")
    assert in_words(results["SI"]).startswith("One rate")
    single = results["SingleMultiple"]
    assert formula(single) == (
        "q = beta_single for one post in view, beta_multiple for several; p = q where m ≥ 1"
    )
    data = analysis.data
    assert "one post so far" in formula(fit(data, 'SingleMultiple(count="cumulative")'))
    both = SpreadModel(n=60, k=4, decider="SI(0.1, alpha=0.1)", media_prob=0.5, rng=1).run(9)
    assert "alpha" in formula(fit(SpreadData.from_model(both), "SI", offline=True))


def test_the_number_of_posts_is_weighted_where_posts_fade() -> None:
    assert about_m(record("SI(0.2)")) == "The number of posts in view is m."
    seen = Visibility(ageing=Exponential(0.5))
    assert f"sum of their weights, which fade by {seen}." in about_m(
        record("SI(0.2)", visibility=seen)
    )
    aged = Visibility(event_ageing=0.1)
    assert "(alpha) fades" in about_m(record("SI(0.2, alpha=0.1)", visibility=aged, media_prob=0.1))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("beta -0.1 [-2, .5]", "beta −0.1 [−2, .5]"),
        ("openness x1.35", "openness ×1.35"),
        ("battles-3, 2024-05-14, exp x", "battles-3, 2024-05-14, exp x"),
    ],
)
def test_signs_are_those_of_print(text: str, shown: str) -> None:
    assert typeset(text) == shown


def test_what_cannot_be_reported_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentTypeError) as caught:
        write_report("results", tmp_path)  # type: ignore[arg-type]
    assert caught.value.argument == "analysis"


def test_a_record_without_decisions_is_refused(tmp_path: Path) -> None:
    data = SpreadData.from_model(SpreadModel(n=40, k=4, decider="SI(0.2)", rng=1))
    with pytest.raises(ArgumentError) as caught:
        write_report(data, tmp_path)
    assert (caught.value.argument, caught.value.value) == ("data", "0 failed decisions")
    assert "run more steps" in caught.value.allowed


def test_names_are_shown_and_saved_as_they_are(tmp_path: Path) -> None:
    event = dataclasses.replace(bundled_events()[0], event_id="x2", text='=HYPERLINK("x")')
    model = SpreadModel(n=40, k=4, decider="SI(0.2)", event=event, rng=1).run(9)
    analysis = analyse(SpreadData.from_model(model))
    found = tables(analysis, None)
    names = {"news": "x2", "spread": f"x2\n{event.event_type}", "cascades": "x2"}
    for table, name in names.items():
        assert next(found[table].rows)[0][0] == name
    # A spreadsheet would run a cell that begins as a formula.
    saved = csv_of(write_report(analysis, tmp_path))
    assert saved["news"].loc[0, "text"] == "'" + event.text
    assert saved["spread"].loc[0, "event"] == "x2"


def test_cascades_need_the_network(tmp_path: Path) -> None:
    network: Network = random_regular(60, 4, rng=1)
    model = SpreadModel(network=network, decider=SI(0.2), rng=1)
    analysis = analyse(SpreadData.from_model(model.run(9)), network)
    assert "cascades" not in tables(analysis, None)
    assert len(tables(analysis, network)["cascades"].frame) == 1
    assert "The trees are unknown" in write_report(analysis, tmp_path).read_text()


def test_the_command_names_itself(tmp_path: Path) -> None:
    model = SpreadModel(n=40, k=4, decider="SI(0.2)", rng=1)
    SpreadData.from_model(model.run(9)).save(tmp_path / "run")
    call("report", tmp_path / "run")
    assert str(tmp_path / "run") in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(390, 844), (1280, 720)])
def test_the_report_in_a_browser(
    browser: Any, page: Path, size: tuple[int, int], scheme: str
) -> None:
    """It fits the screen, follows the rules for accessibility, and prints what is closed."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    width, height = size
    view = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    view.goto(page.as_uri())
    assert view.evaluate("document.documentElement.scrollWidth") == width
    widths = view.evaluate("[...document.images].map(image => image.getBoundingClientRect().width)")
    # Text of 8 points in a figure of 4.4 inches is at least 9 pixels high.
    assert min(widths) >= 9 / (8 * 4 / 3) * 4.4 * 96 * 0.9
    assert [found["id"] for found in axe.run(view).response["violations"]] == []
    part = view.locator("details:not([open])").first
    closed = part.evaluate("part => part.offsetHeight")
    view.emulate_media(media="print")
    assert part.evaluate("part => part.offsetHeight") > 2 * closed
    assert view.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert view.pdf().startswith(b"%PDF")
    view.close()
