"""The page: its parts, and the whole of it in a real browser."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import solara

from mesa_llmspread import Decision, Outcome, SpreadData, SpreadModel, all_profiles
from mesa_llmspread.app.event_form import MOST_BYTES, UploadError, read_upload
from mesa_llmspread.app.export import report, zipped
from mesa_llmspread.app.lesson import LESSONS, applied
from mesa_llmspread.app.llm_form import allowed_address
from mesa_llmspread.app.pace import Paced, StoppedError
from mesa_llmspread.app.profiles_view import profile_rates
from mesa_llmspread.app.session import Session, View
from mesa_llmspread.app.settings import LAWS, Settings
from mesa_llmspread.app.stage import layout
from mesa_llmspread.networks import make_network

ROOT = Path(__file__).parents[1]
DATA = Path(__file__).parent / "data"


# ---------------------------------------------------------------- the parts, without a browser


def until(session: Session, wanted: Callable[[View], bool], seconds: float = 20.0) -> View:
    """Wait for a view of a session."""
    end = time.monotonic() + seconds
    while not wanted(session.view):
        assert time.monotonic() < end, session.view
        session.wait(session.view.version, 0.1)
    return session.view


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session(Settings(n=60, decider="FirstRepeat"))
    session.pause = 0.0
    until(session, lambda view: view.model is not None)
    yield session
    session.close()
    session._thread.join(5)
    assert not session._thread.is_alive()


@pytest.mark.parametrize("decider", ["traits", *LAWS])
def test_settings_make_the_model_that_their_lines_make(decider: str) -> None:
    settings = Settings(n=60, decider=decider, population="shares", broadcast=0.02, steps=15)
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(settings.python(), names)
    model = settings.make_model().run(settings.steps)
    again = names["model"]
    for name in ("Infected", "Exposures"):
        assert again.datacollector.model_vars[name] == model.datacollector.model_vars[name]
    assert printed.getvalue().strip()


def test_shares_of_traits_are_shares_of_profiles() -> None:
    shares = {**Settings().shares, "openness": 1.0, "neuroticism": 0.0}
    population = Settings(population="shares", shares=shares).arguments()["population"]
    assert sum(population.values()) == pytest.approx(1)
    assert {code[0] + code[4] for code in population} == {"On"}


def test_every_lesson_can_be_shown() -> None:
    assert len(LESSONS) == 5
    for step in LESSONS:
        assert applied(step).make_model().running


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
    view = until(session, lambda view: view.ended and view.law.complete)
    assert view.clock > 5
    assert view.infected == [int(i) for i in view.data.counts["infected"]]
    assert view.law.verdict
    names = [curve.name for curve in view.law.curves]
    assert "master equations" in names
    assert len(view.law.curves[0].infected) == view.clock + 1
    session.draw("SI")
    until(session, lambda view: view.law.drawn == "SI")
    session.reset()
    until(session, lambda view: view.clock == 0 and not view.busy)
    session.step()
    assert until(session, lambda view: view.clock == 1).infected == first


def test_a_run_stops_between_steps(session: Session) -> None:
    session.pause = 30.0
    session.run()
    until(session, lambda view: view.clock == 1)
    session.stop()
    view = until(session, lambda view: not view.busy, seconds=5)
    assert view.clock == 1
    assert view.data is not None


def test_what_is_wrong_is_a_sentence(session: Session) -> None:
    session.apply(Settings(rng=-1))
    view = until(session, lambda view: bool(view.problem))
    assert view.problem.startswith("rng=-1: must")
    assert view.model is None
    assert not view.infected
    session.apply(Settings(n=61, k=3))
    until(session, lambda view: "must" in view.problem and "rng" not in view.problem)
    session.apply(Settings(n=40))
    assert until(session, lambda view: view.model is not None).problem == ""


def test_an_unforeseen_error_says_nothing_it_should_not(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("sk-secret")

    assert session.view.model is not None
    monkeypatch.setattr(session.view.model, "step", broken)
    session.step()
    view = until(session, lambda view: bool(view.problem))
    assert view.problem == "Something went wrong in the program (RuntimeError)."


class _Slow:
    """Stands in for a language model's decider: counts, and answers when it may."""

    name = "llm"

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.may_answer = threading.Event()
        self.answered = 0

    def for_run(self, n: int, rng: np.random.Generator) -> _Slow:
        return self

    def manifest(self) -> dict[str, Any]:
        return {"decisions": self.answered, "failed": {}, "cost_usd": 0.1 * self.answered}

    def decide(self, exposures: Any, rng: np.random.Generator) -> list[Decision]:
        self.asked.set()
        assert self.may_answer.wait(30)
        self.answered += len(exposures)
        return [Decision(Outcome.REPOST) for _ in exposures]


def test_a_long_step_is_stopped_and_leaves_the_model_as_it_was() -> None:
    slow, stop = _Slow(), threading.Event()
    paced = Paced(slow, stop)
    model = SpreadModel(n=200, decider=paced, rng=1)

    def stop_when_asked() -> None:
        slow.asked.wait(30)
        stop.set()

    stopper = threading.Thread(target=stop_when_asked)
    stopper.start()
    with pytest.raises(StoppedError):
        model.step()
    stopper.join()
    assert (model.clock, model.infected) == (0, 10)
    stop.clear()
    slow.may_answer.set()
    model.step()
    assert model.clock == 1
    assert str(paced.progress).startswith(f"{model.exposures} of {model.exposures} calls")


def test_a_spending_limit_ends_a_step() -> None:
    slow = _Slow()
    slow.may_answer.set()
    model = SpreadModel(n=200, decider=Paced(slow, threading.Event(), limit=0.5), rng=1)
    with pytest.raises(StoppedError, match=r"spending limit of 0\.5 USD is reached \(3\.20 USD"):
        model.step()
    assert model.clock == 0


def test_the_key_goes_nowhere_but_where_the_operator_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert allowed_address("")
    assert allowed_address("http://localhost:11434")
    assert not allowed_address("https://elsewhere.example/v1")
    assert not allowed_address("http://localhost@elsewhere.example/v1")
    assert not allowed_address("http://[")
    monkeypatch.setenv("LLMSPREAD_API_BASES", "https://a.example/v1 https://elsewhere.example/v1")
    assert allowed_address("https://elsewhere.example/v1")


def test_a_visitors_file() -> None:
    source = next(DATA.glob("ucdp*.csv"))
    assert read_upload("mine.csv", source.stat().st_size, source.read_bytes())
    with pytest.raises(UploadError, match=r"^mine\.csv"):
        read_upload("mine.csv", 5, b"a,b\n1,2\n")
    with pytest.raises(UploadError, match="at most 5 MB"):
        read_upload("mine.csv", MOST_BYTES + 1, b"")


def test_profiles_are_a_grid_of_32() -> None:
    model = SpreadModel(n=100, rng=1)
    assert profile_rates(SpreadData.from_model(model)) is None
    rates = profile_rates(SpreadData.from_model(model.run(10)))
    assert rates is not None
    sides, cells = rates
    assert len(sides) == 5
    assert [cell["code"] for cell in cells] == [profile.code for profile in all_profiles()]
    assert all(cell["low"] <= cell["rate"] <= cell["high"] for cell in cells if cell["decisions"])


def test_the_export_can_be_read_back(tmp_path: Path) -> None:
    data = SpreadData.from_model(SpreadModel(n=60, rng=1).run(20))
    zipfile.ZipFile(io.BytesIO(zipped(data))).extractall(tmp_path)
    assert SpreadData.load(tmp_path / "spread").exposures.equals(data.exposures)
    assert report(data).lstrip().lower().startswith(b"<!doctype html>")


def test_the_page_renders() -> None:
    from mesa_llmspread.app import Page

    box, context = solara.render(solara.AppLayout(children=[Page()]), handle_error=False)
    try:
        eventually(lambda: "agents have posted the news" in shown(box))
        assert "cannot be shown" not in shown(box)
    finally:
        context.close()


def shown(widget: Any) -> str:
    """All text under a widget."""
    if isinstance(widget, str):
        return widget
    return " ".join(shown(child) for child in getattr(widget, "children", ()))


def eventually(wanted: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < end
        time.sleep(0.05)


# ---------------------------------------------------------------- the whole, in a real browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ASSETS = Path(sys.prefix) / "share" / "solara" / "cdn" / "@widgetti"


@contextlib.contextmanager
def served(app: str, log: Path, **environment: str) -> Iterator[str]:
    """Run an app on this machine; give its address."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "solara", "run", app, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--no-open", "--production"]
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "SOLARA_TELEMETRY_MIXPANEL_ENABLE": "false", **environment},
        )
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 60
        while not _ready(f"{address}/readyz"):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(20)


def _ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    if not ASSETS.is_dir():
        pytest.skip("the page's own scripts are not here: pip install 'mesa_llmspread[offline]'")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("app") / "log"
    with served("app.py", log, OPENAI_API_KEY="sk-very-secret") as address:
        yield address
    assert "Traceback" not in log.read_text()


Open = Callable[[str], Any]


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:
    """Open pages, each in a browser session of its own; nothing may go wrong or go outside."""
    troubles: list[str] = []
    contexts = []

    def open_page(address: str) -> Any:
        context = browser.new_context(viewport={"width": 1280, "height": 720})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda m: troubles.append(m.text) if m.type == "error" else None)
        page.on("request", lambda r: None if _own(r.url) else troubles.append(r.url))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


def _own(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))


def button(page: Any, name: str) -> Any:
    # As it looks: in capitals.
    return page.get_by_role("button", name=re.compile(rf"^\s*{name}\s*$", re.IGNORECASE))


def counts(page: Any) -> tuple[int, int]:
    """Step and infected agents, as the headline says."""
    text = page.locator(".spread-headline").inner_text()
    step, infected = re.findall(r"\d+", text)[:2]
    return int(step), int(infected)


def stopped(visit: Open, address: str) -> Any:
    """Open the page and stop the run that it begins with."""
    page = visit(address)
    button(page, "Stop").click()
    eventually(lambda: button(page, "Step").is_enabled())
    return page


def fill(page: Any, label: str, text: str) -> None:
    page.get_by_label(label).fill(text)
    page.keyboard.press("Tab")


# Colours of the canvas's pixels: how many are of which, and where one of the colour is.
PIXELS = """([red, green, blue]) => {
    const canvas = document.querySelector('.spread-network canvas');
    const { width, height } = canvas;
    const data = canvas.getContext('2d').getImageData(0, 0, width, height).data;
    const box = canvas.getBoundingClientRect();
    let number = 0, at = null;
    for (let i = 0; i < data.length; i += 4) {
        if (data[i] !== red || data[i + 1] !== green || data[i + 2] !== blue) continue;
        if (data[i + 3] !== 255) continue;
        number += 1;
        // Well inside a dot, not on an edge of the network.
        if (data[i + 4 * 3] === red && data[i - 4 * 3] === red && data[i + 12 * width] === red
            && data[i - 12 * width] === red) {
            at = [(i / 4) % width, Math.floor(i / 4 / width)];
        }
    }
    return [number, at && [at[0] * box.width / width, at[1] * box.height / height]];
}"""
SUSCEPTIBLE, INFECTED = [0x56, 0xB4, 0xE9], [0xD5, 0x5E, 0x00]


def test_the_page_moves_by_itself_and_is_not_blank(visit: Open, address: str) -> None:
    page = visit(address)
    page.locator(".spread-network canvas").wait_for()
    eventually(lambda: counts(page)[0] >= 2, seconds=10)
    for colour in (SUSCEPTIBLE, INFECTED):
        assert page.evaluate(PIXELS, colour)[0] > 300


def test_step_run_and_the_law(visit: Open, address: str) -> None:
    page = stopped(visit, address)
    button(page, "Reset").click()
    eventually(lambda: counts(page) == (0, 10))
    for _ in range(3):
        eventually(lambda: button(page, "Step").is_enabled())
        before = counts(page)
        button(page, "Step").click()
        eventually(lambda before=before: counts(page)[0] == before[0] + 1)
    assert counts(page)[1] > 10
    page.locator(".v-slider__thumb-container").first.focus()
    page.keyboard.press("End")
    button(page, "Run").click()
    eventually(lambda: "has ended" in page.locator(".spread-headline").inner_text())
    eventually(lambda: "SI is" in page.locator(".spread-verdict").inner_text())
    chart = page.locator(".spread-chart")
    eventually(lambda: "95 % of runs" in chart.inner_text())
    assert "master equations" in chart.inner_text()
    page.locator(".v-tab", has_text="Law").click()
    eventually(lambda: "FirstRepeat" in page.locator(".spread-table").inner_text())
    page.locator(".v-tab", has_text="Profiles").click()
    eventually(lambda: page.locator(".spread-profiles td").count() == 32)
    page.locator(".v-tab", has_text="Feed").click()
    page.locator(".spread-feed select").select_option("OCEAN")
    eventually(lambda: set(page.locator(".spread-feed code").all_inner_texts()) <= {"OCEAN"})
    page.locator(".v-tab", has_text="Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Record (zip)").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert "spread/manifest.json" in archive.namelist()


def test_an_agents_card_by_mouse_and_by_keyboard(visit: Open, address: str) -> None:
    page = stopped(visit, address)
    canvas = page.locator(".spread-network canvas")
    time.sleep(0.6)
    x, y = page.evaluate(PIXELS, SUSCEPTIBLE)[1]
    canvas.click(position={"x": x, "y": y})
    card = page.locator(".spread-card")
    card.wait_for()
    assert "You are very" in card.inner_text()
    assert "susceptible" in card.inner_text()
    page.get_by_role("button", name="Close the card").click()
    card.wait_for(state="detached")
    canvas.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    card.wait_for()


def test_what_is_wrong_is_a_sentence_on_the_page(visit: Open, address: str, tmp_path: Path) -> None:
    page = stopped(visit, address)
    fill(page, "Seed", "-5")
    problem = page.locator(".spread-problem")
    problem.wait_for()
    assert "rng=-5: must be a seed" in problem.inner_text()
    fill(page, "Seed", "seven")
    page.get_by_text("'seven' is not a whole number").wait_for()
    fill(page, "Seed", "7")
    problem.wait_for(state="detached")
    bad = tmp_path / "bad.csv"
    bad.write_text("a,b\n1,2\n")
    page.locator("input[type=file]").set_input_files(bad)
    sentence = page.get_by_text("bad.csv, row 1")
    sentence.wait_for()
    page.locator("input[type=file]").set_input_files(next(DATA.glob("ucdp*.csv")))
    sentence.wait_for(state="detached")
    assert "Traceback" not in page.locator(".v-application").first.inner_text()


def test_two_visitors_have_a_model_each(visit: Open, address: str) -> None:
    one, other = stopped(visit, address), stopped(visit, address)
    for page in (one, other):
        button(page, "Reset").click()
        eventually(lambda page=page: counts(page) == (0, 10))
    fill(other, "Seed", "2")
    button(one, "Step").click()
    eventually(lambda: counts(one)[0] == 1)
    assert counts(other) == (0, 10)


def test_the_lesson_sets_the_page(visit: Open, address: str) -> None:
    page = stopped(visit, address)
    button(page, "Lesson").click()
    for _ in range(4):
        button(page, "Next").click()
    page.get_by_text("5 of 5").wait_for()
    button(page, "Show it").click()
    eventually(lambda: "of 1000 agents" in page.locator(".spread-headline").inner_text())


def test_a_slow_language_model_never_blocks_the_page(
    visit: Open, address: str, scripted_server: Any
) -> None:
    from servers import answer

    quick = answer(post="<img src=x onerror=alert(1)> **news**")
    scripted_server.script = type(quick)(content=quick.content, delay=1.0)
    page = stopped(visit, address)
    page.get_by_label("Who decides").locator("xpath=..").click()
    page.get_by_role("option", name="a language model").click()
    fill(page, "Model (provider/name)", "openai/tiny")
    fill(page, "Address", "http://elsewhere.example/v1")
    page.get_by_text("has not listed").wait_for()
    fill(page, "Address", scripted_server.api_base)
    button(page, "Use this model").click()
    eventually(lambda: counts(page) == (0, 10), seconds=40)
    eventually(lambda: button(page, "Run").is_enabled(), seconds=40)
    button(page, "Run").click()
    progress = page.locator(".spread-progress")
    progress.wait_for()
    assert re.search(r"\d+ of \d+ calls, .*, 0 failed", progress.inner_text())
    page.locator(".v-tab", has_text="Law").click()
    page.get_by_text("Nothing is fitted yet").wait_for()
    assert counts(page)[0] == 0
    eventually(lambda: counts(page)[0] >= 1, seconds=30)
    button(page, "Stop").click()
    eventually(lambda: button(page, "Step").is_enabled(), seconds=3)
    assert counts(page)[0] >= 1
    page.locator(".v-tab", has_text="Feed").click()
    page.locator(".spread-feed .words", has_text="<img src=x onerror").first.wait_for()
    assert "sk-very-secret" not in page.content()
    button(page, "Run").click()
    progress.wait_for()
    page.close()
    time.sleep(1.5)
    asked = len(scripted_server.requests)
    time.sleep(2.5)
    assert len(scripted_server.requests) == asked


def test_mesas_own_page(visit: Open, browser: Any, tmp_path: Path) -> None:
    pytest.importorskip("altair", reason="Mesa's visualisation imports it: pip install mesa[viz]")
    with served("models/solaraviz/app.py", tmp_path / "log") as address:
        page = visit(address)
        button(page, "Step").click()
        # The network, the counts and, once there are decisions, the fitted curves.
        eventually(lambda: page.locator("img").count() == 3)
        page.close()
    assert "Traceback" not in (tmp_path / "log").read_text()
