"""The page: its parts, without a browser."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
import json
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import solara
from waiting import eventually

from mesa_llmspread import (
    Decider,
    Decision,
    Exposure,
    Outcome,
    ScriptedDecider,
    SpreadData,
    SpreadModel,
    Trait,
)
from mesa_llmspread.app import page
from mesa_llmspread.app.export import python_lines, report, zipped
from mesa_llmspread.app.fits import Law, fit_law
from mesa_llmspread.app.form import MOST_BYTES, read_upload
from mesa_llmspread.app.layout import layout
from mesa_llmspread.app.lesson import LESSONS
from mesa_llmspread.app.panels import Curve
from mesa_llmspread.app.session import THREADS, Session, View
from mesa_llmspread.app.settings import CONTROLS, LAWS, Settings
from mesa_llmspread.exceptions import InputFileError
from mesa_llmspread.model import FEEDS
from mesa_llmspread.networks import NETWORKS, make_network

DATA = Path(__file__).parent / "data"


def until(session: Session, wanted: Callable[[View], bool], seconds: float = 60.0) -> View:
    """Wait for a view of a session and return it."""
    eventually(lambda: wanted(session.view), seconds)
    return session.view


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session(Settings(n=60, decider="FirstRepeat"), pause=0.0)
    until(session, lambda view: view.model is not None)
    yield session
    session.close()
    eventually(lambda: THREADS not in [thread.name for thread in threading.enumerate()])


@pytest.mark.parametrize("decider", ["traits", *LAWS])
def test_settings_make_the_model_that_their_lines_make(decider: str) -> None:
    settings = Settings(n=60, decider=decider, population="shares", media_prob=0.02, steps=15)
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(python_lines(settings, 15), names)
    model = settings.make_model().run(15)
    again = names["model"]
    for name in ("Infected", "Exposures"):
        assert again.datacollector.model_vars[name] == model.datacollector.model_vars[name]
    assert printed.getvalue().strip()


def test_lines_with_an_event_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = next(DATA.glob("ucdp*.csv"))
    shutil.copy(source, tmp_path / "your_file.csv")
    monkeypatch.chdir(tmp_path)
    event = read_upload("mine.csv", 1, source.read_bytes())[-1]
    names: dict[str, Any] = {}
    exec(python_lines(Settings(n=60, event=event, decider="traits"), 1), names)
    assert names["model"].info.event == event
    assert names["model"].clock == 1


def test_the_form_offers_every_feed_and_network() -> None:
    assert tuple(CONTROLS["feed"].choices) == FEEDS
    assert set(CONTROLS["network"].choices) == set(NETWORKS)


def test_shares_of_traits_are_shares_of_profiles() -> None:
    shares = {**Settings().shares, "openness": 1.0, "neuroticism": 0.0}
    population = Settings(population="shares", shares=shares).arguments()["population"]
    assert sum(population.values()) == pytest.approx(1)
    assert {code[0] + code[4] for code in population} == {"On"}


def test_every_lesson_can_be_shown() -> None:
    assert len(LESSONS) == 5
    for step in LESSONS:
        assert step.settings.make_model().running


@pytest.mark.parametrize("kind", ["random_regular", "small_world", "scale_free"])
@pytest.mark.parametrize("n", [20, 300])
def test_a_layout_is_the_same_every_time_and_keeps_agents_apart(kind: str, n: int) -> None:
    network = make_network(kind, n, 6, 1)
    position = layout(network)
    assert position.shape == (n, 2)
    assert np.abs(position).max() == pytest.approx(1)
    assert (position == layout(network)).all()
    apart = np.hypot(*(position[:, None] - position[None]).T)[np.triu_indices(n, 1)]
    assert apart.min() > 0.1 / np.sqrt(n)


def test_a_session_steps_runs_and_resets(session: Session) -> None:
    session.step()
    view = until(session, lambda view: view.clock == 1 and not view.busy)
    first = view.infected
    assert len(first) == 2
    session.run()
    # Fits have the lowest priority, so beside busy processes they take long.
    view = until(session, lambda view: view.ended and view.law.step == view.clock, seconds=120)
    assert view.clock > 5
    assert view.infected == [int(i) for i in view.data.counts["infected"]]
    assert view.law.rows
    session.draw("FirstRepeat")
    view = until(session, lambda view: view.law.drawn == "FirstRepeat")
    names = [curve["name"] for curve in view.law.curves]
    assert names[0] == "fitted law: FirstRepeat"
    assert "master equations" in names
    assert "pair approximation" not in names
    assert view.law.missing.endswith("pair approximation.")
    assert len(view.law.curves[0]["y"]) == view.clock + 1
    session.draw("SI")
    view = until(session, lambda view: view.law.drawn == "SI", seconds=120)
    assert {"pair approximation", "master equations"} < {curve["name"] for curve in view.law.curves}
    assert view.law.missing == ""
    session.reset()
    until(session, lambda view: view.clock == 0 and not view.busy)
    session.step()
    assert until(session, lambda view: view.clock == 1).infected == first


def test_a_run_stops_between_steps(session: Session) -> None:
    session.pause = 300.0
    session.run()
    until(session, lambda view: view.clock == 1)
    session.stop()
    view = until(session, lambda view: not view.busy)
    assert view.clock == 1
    assert view.data is not None


def test_an_impossible_model_leaves_the_one_before(session: Session) -> None:
    before = session.view
    session.apply(Settings(rng=-1))
    view = until(session, lambda view: bool(view.problem) and not view.busy)
    assert view.problem.startswith("Seed = -1: must")
    assert (view.model, view.run, view.settings) == (before.model, before.run, before.settings)
    session.step()
    assert until(session, lambda view: view.clock == 1 and not view.busy).problem == ""


@pytest.mark.parametrize("network", NETWORKS)
def test_numbers_that_do_not_go_together_cannot_be_set(network: str) -> None:
    for n in (20, 40, 2000):
        asked = Settings(network=network, n=n, k=20, initial_infected=50)
        possible = asked.possible()
        assert possible.make_model().running
        assert possible == possible.possible()
        for name in ("k", "initial_infected"):
            least, most, step = possible.controls()[name].span or (0, 0, 1)
            assert least <= getattr(possible, name) <= most
            edge = dataclasses.replace(possible, **{name: most})
            assert edge.possible() == edge
            assert (most - least) % step == 0


def test_a_run_takes_as_many_steps_as_it_may_and_the_next_one_goes_on(session: Session) -> None:
    session.apply(Settings(n=60, decider="SI", steps=3))
    session.run()
    view = until(session, lambda view: view.limited and not view.busy)
    assert (view.clock, view.ended) == (3, False)
    model = view.model
    session.apply(Settings(n=60, decider="SI", steps=2))
    assert session.view.model is model
    session.run()
    view = until(session, lambda view: view.clock == 5 and not view.busy)
    assert view.limited
    assert view.model is model
    session.step()
    view = until(session, lambda view: view.clock == 6 and not view.busy)
    assert not view.limited


def test_a_setting_changed_during_a_run_starts_the_new_model_running(session: Session) -> None:
    session.pause = 300.0
    session.run()
    run = until(session, lambda view: view.clock == 1).run
    session.apply(Settings(n=40, decider="SI"))
    until(session, lambda view: view.run > run and view.clock == 1 and view.busy == "running")
    session.stop()
    run = until(session, lambda view: not view.busy).run
    session.apply(Settings(n=60, decider="SI"))
    view = until(session, lambda view: view.run > run and not view.busy)
    assert view.clock == 0


def test_the_first_model_runs_once_it_is_painted() -> None:
    session = Session(Settings(n=60, decider="SI"), pause=300.0)
    view = until(session, lambda view: view.model is not None and not view.busy)
    assert view.clock == 0
    session.painted()
    until(session, lambda view: view.clock == 1)
    session.reset()
    until(session, lambda view: view.clock == 0 and not view.busy)
    session.painted()
    assert session.view.busy == ""
    session.close()


def test_a_chosen_law_does_not_outlive_its_run(session: Session) -> None:
    session.step()
    session.draw("SI")
    view = until(session, lambda view: view.law.drawn == "SI" and not view.fitting, seconds=120)
    assert view.law.curves[0]["name"] == "fitted law: SI"
    assert [rate["name"] for rate in view.law.rates] == ["beta"]
    assert view.law.equation
    session.reset()
    until(session, lambda view: view.clock == 0 and not view.busy)
    assert session.wanted_law == ""


class Faulty(Decider):
    """An operator's own decider with a fault."""

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        raise RuntimeError("sk-secret")


def test_an_unforeseen_error_says_nothing_it_should_not(session: Session) -> None:
    session.apply(Settings(n=60, decider=f"{__name__}:Faulty"), run=True)
    view = until(session, lambda view: bool(view.problem) and not view.busy)
    assert view.problem == "Something went wrong in the program (RuntimeError)."
    assert view.model is not None
    session.reset()
    assert until(session, lambda view: not view.busy).problem == ""


def test_the_last_choice_counts(session: Session) -> None:
    for seed in range(2, 6):
        session.apply(Settings(n=60, rng=seed), run=seed < 5)
    view = until(session, lambda view: not view.busy)
    assert (view.settings.rng, view.clock) == (5, 0)
    assert view.model is not None
    assert view.model.info.rng == 5


def test_a_visitors_file() -> None:
    source = next(DATA.glob("ucdp*.csv"))
    assert read_upload("mine.csv", source.stat().st_size, source.read_bytes())
    zipped = gzip.compress(source.read_bytes())
    with pytest.raises(InputFileError, match="is compressed"):
        read_upload("mine.csv.gz", len(zipped), zipped)
    for size, content, row in ((8, b"a,b\n1,2\n", 1), (MOST_BYTES + 1, b"", None)):
        with pytest.raises(InputFileError) as caught:
            read_upload("mine.csv", size, content)
        assert (caught.value.path, caught.value.row) == (Path("mine.csv"), row)


def test_repost_rates_are_plain_values() -> None:
    model = SpreadModel(n=100, rng=1)
    before = fit_law(SpreadData.from_model(model), model.network)
    assert (before.by_trait, before.by_profile) == ({}, {})
    data = SpreadData.from_model(model.run(10))
    law = fit_law(data, model.network)
    rates = {"by_trait": law.by_trait, "by_profile": law.by_profile}
    sides = [f"{trait.value} {side}" for trait in Trait for side in ("low", "high")]
    assert list(rates["by_trait"]) == sides
    assert set(rates["by_profile"]) == set(data.exposures["profile"])
    for cell in [*rates["by_trait"].values(), *rates["by_profile"].values()]:
        assert cell["low"] <= cell["rate"] <= cell["high"]
    json.dumps(rates)


def test_the_export_can_be_read_back(tmp_path: Path) -> None:
    data = SpreadData.from_model(SpreadModel(n=60, rng=1).run(20))
    zipfile.ZipFile(io.BytesIO(zipped(data))).extractall(tmp_path)
    assert SpreadData.load(tmp_path / "spread").exposures.equals(data.exposures)
    assert report(data).lstrip().lower().startswith(b"<!doctype html>")


@pytest.mark.parametrize(("step", "so_far"), [(3, True), (9, False)])
def test_a_verdict_of_an_earlier_step_says_so(step: int, so_far: bool) -> None:
    law = Law(step=step, rows=[{"law": "SI"}], verdict="SI describes the decisions best.")
    view = View(model=SpreadModel(n=20, rng=1), clock=9, infected=[10] * 10, ended=True, law=law)
    box, context = solara.render(Curve(view), handle_error=False)
    assert law.verdict in shown(box)
    assert (f"So far, up to step {step}:" in shown(box)) is so_far
    context.close()


def test_the_page_renders() -> None:
    box, context = solara.render(page.Layout(children=[page.Page()]), handle_error=False)
    try:
        eventually(lambda: "have shared this news" in shown(box))
        assert "cannot be shown" not in shown(box)
    finally:
        context.close()


@solara.component
def Broken(*_: Any, **__: Any) -> None:
    raise RuntimeError("sk-secret")


@pytest.mark.parametrize("part", ["Form", "Status", "Curve", "NetworkCanvas"])
def test_the_buttons_outlive_whatever_cannot_be_shown(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, part, Broken)
    box, context = solara.render(page.Layout(children=[page.Page()]), handle_error=False)
    try:
        eventually(lambda: "This panel cannot be shown (RuntimeError)." in shown(box))
        (controls,) = [
            widget
            for widget in everything(box)
            if [item["name"] for item in getattr(widget, "items", ())][-1:] == ["reset"]
        ]
        assert [item["label"] for item in controls.items] == ["Run", "Step", "Stop", "Reset"]
        assert "sk-secret" not in shown(box)
    finally:
        context.close()


def test_a_law_says_at_once_that_it_does_not_fit() -> None:
    model = SpreadModel(n=300, decider=ScriptedDecider(odd_ones), rng=1).run(20)
    data = SpreadData.from_model(model)
    law = fit_law(data, model.network)
    assert "does not fit the decisions (goodness of fit: p < 0.001)" in law.verdict
    assert law.rows[0]["goodness of fit"] == "p < 0.001"
    model = SpreadModel(n=300, decider="FirstRepeat(0.2, 0.04)", rng=1).run(20)
    law = fit_law(SpreadData.from_model(model), model.network)
    assert "does not fit" not in law.verdict


def test_no_law_can_be_fitted_where_all_decisions_failed() -> None:
    model = SpreadModel(n=60, decider=ScriptedDecider(failing), rng=1)
    wait = fit_law(SpreadData.from_model(model), model.network).verdict
    law = fit_law(SpreadData.from_model(model.run(2)), model.network)
    assert "failed decisions" in law.verdict
    assert law.verdict != wait


def failing(exposure: Exposure) -> Decision:
    """Make no decision."""
    return Decision(Outcome.FAILED, reason="server")


def odd_ones(exposure: Exposure) -> bool:
    """Decide in a way that no law describes."""
    if exposure.agent % 3 == 0:
        return exposure.contacts in (1, 3)
    return exposure.contacts >= 5 and exposure.agent % 2 == 0 and exposure.exposure_count in (2, 4)


def everything(widget: Any) -> Iterator[Any]:
    """Return all widgets under one, and it."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from everything(child)


def shown(widget: Any) -> str:
    """Return all text under a widget."""
    return " ".join(each for each in everything(widget) if isinstance(each, str))
