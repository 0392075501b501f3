"""The page as its visitors see it: in a real browser."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from waiting import eventually

from mesa_llmspread import all_profiles

ROOT = Path(__file__).parents[1]
DATA = Path(__file__).parent / "data"
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
HEADLINE = ".spread-headline"
ASSETS = Path(sys.prefix) / "share" / "solara" / "cdn" / "@widgetti"


@contextlib.contextmanager
def served(app: str, log: Path, **environment: str) -> Iterator[str]:
    """Run an app on this machine and yield its address."""
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
        eventually(lambda: server.poll() is not None or _ready(f"{address}/readyz"))
        assert server.poll() is None, log.read_text()
        yield address
    finally:
        family = psutil.Process(server.pid).children(recursive=True)
        server.terminate()
        server.wait(60)
    # Nothing of it goes on.
    assert psutil.wait_procs(family, timeout=60)[1] == []


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
        pytest.skip("Chromium is not installed on this machine")
    if not ASSETS.is_dir():
        pytest.skip("the page's own scripts are not here: pip install 'mesa_llmspread[offline]'")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("app") / "log"
    keys = {"OPENAI_API_KEY": "sk-very-secret", "CLASS_KEY": "sk-class-secret"}
    with served("app.py", log, LLMSPREAD_KEY_VARIABLES="CLASS_KEY", **keys) as address:
        yield address
    assert "Traceback" not in log.read_text()


Open = Callable[[str], Any]


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:
    """Open pages, each in its own browser session; no errors, no requests to other machines."""
    troubles: list[str] = []
    contexts = []

    def open_page(address: str) -> Any:
        context = browser.new_context(viewport={"width": 1280, "height": 720})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
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
    """Return the step and the number of agents that have posted, from the headline."""
    text = page.locator(".spread-headline").inner_text()
    step, infected = re.findall(r"\d+", text)[:2]
    return int(step), int(infected)


def stopped(visit: Open, address: str) -> Any:
    """Open the page and stop the run that it begins with."""
    page = visit(address)
    stop, step, headline = button(page, "Stop"), button(page, "Step"), page.locator(HEADLINE)

    def over() -> bool:
        return "has ended" in headline.inner_text()

    # Where the page comes late, the run may end before it can be stopped.
    eventually(lambda: stop.is_enabled() or over())
    stop.dispatch_event("click")
    eventually(lambda: step.is_enabled() or over())
    if over():
        button(page, "Reset").click()
        eventually(step.is_enabled)
    return page


def fill(page: Any, label: str, text: str) -> None:
    page.get_by_label(label).fill(text)
    page.keyboard.press("Tab")


def choose(page: Any, label: str, option: str | re.Pattern[str]) -> None:
    page.get_by_label(label, exact=True).locator("xpath=..").click()
    page.get_by_role("option", name=option).click()


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
TWO_FRAMES = "() => new Promise(d => requestAnimationFrame(() => requestAnimationFrame(d)))"


def click_on_somebody(page: Any, colour: list[int]) -> None:
    """Click on an agent of a colour, once the canvas shows what the headline says."""
    canvas = page.locator(".spread-network canvas")
    step, infected = counts(page)
    wanted = f"{infected} have posted after step {step}."
    eventually(lambda: wanted in canvas.get_attribute("aria-label"))
    page.evaluate(TWO_FRAMES)
    x, y = page.evaluate(PIXELS, colour)[1]
    canvas.click(position={"x": x, "y": y})


def test_the_page_moves_by_itself_and_is_not_blank(visit: Open, address: str) -> None:
    page = visit(address)
    page.locator(".spread-network canvas").wait_for()
    eventually(lambda: counts(page)[0] >= 2)
    assert page.evaluate(PIXELS, INFECTED)[0] > 300
    button(page, "Reset").click()
    for colour in (SUSCEPTIBLE, INFECTED):
        eventually(lambda colour=colour: page.evaluate(PIXELS, colour)[0] > 300)


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
    # Fits have the lowest priority, so beside busy processes they take long.
    eventually(lambda: "SI is" in page.locator(".spread-verdict").inner_text(), seconds=120)
    chart = page.locator(".spread-chart")
    eventually(lambda: "95 % of runs" in chart.inner_text(), seconds=120)
    for name in ("mean-field ODE", "mean-field map", "pair approximation", "master equations"):
        assert name in chart.inner_text()
    page.locator(".v-tab", has_text="Law").click()
    eventually(lambda: "FirstRepeat" in page.locator(".spread-table").inner_text())
    page.locator(".v-tab", has_text="Profiles").click()
    cells = page.locator(".spread-profiles td b")
    codes = [profile.code for profile in all_profiles()]
    eventually(lambda: cells.all_inner_texts() == codes)
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
    click_on_somebody(page, SUSCEPTIBLE)
    card = page.locator(".spread-card")
    card.wait_for()
    assert "You are very" in card.inner_text()
    assert "not posted" in card.inner_text()
    page.get_by_role("button", name="Close the card").click()
    card.wait_for(state="detached")
    page.locator(".spread-network canvas").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    card.wait_for()


def test_what_is_wrong_is_a_sentence_on_the_page(visit: Open, address: str, tmp_path: Path) -> None:
    page = stopped(visit, address)
    assert page.get_by_label("Seed").input_value() == "1"
    assert page.get_by_label("Run at most (steps)").input_value() == "60"
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


def news(path: Path, *rows: str) -> Path:
    """Write a file of events: an id, a type and the people killed for each."""
    columns = "event_id,date,event_type,sub_event_type,country,location,actors,fatalities,"
    made = [f"{row},false" for row in rows]
    path.write_text("\n".join([f"{columns}civilian_targeting", *made]) + "\n")
    return path


def chosen(page: Any, label: str) -> str:
    """Return what a list shows."""
    return page.get_by_label(label, exact=True).locator("xpath=..").inner_text()


def test_one_file_of_events_after_another(visit: Open, address: str, tmp_path: Path) -> None:
    page = stopped(visit, address)
    files = page.locator("input[type=file]")
    mine = "mine-{0},2024-05-14,Riots,Mob violence,Talvara,Dessing,Rioters,{0}"
    # As a bundled event is labelled, but another one.
    like = "battles-40,2024-05-14,Battles,Armed clash,Talvara,Dessing,Rebels,40"
    names = ("Riots, 1 killed (mine-1), your file", "Battles, 40 killed (battles-40), your file")
    button(page, "Step").click()
    eventually(lambda: counts(page)[0] > 0)
    for rows, name in (
        ([mine.format(1), mine.format(2)], names[0]),
        ([like, mine.format(3)], names[1]),
        ([mine.format(1)], names[0]),
    ):
        files.set_input_files(news(tmp_path / f"{len(rows)}-{rows[0][:6]}.csv", *rows))
        eventually(lambda name=name: name in chosen(page, "Event"))
        # The run about the event before may still be there for a moment.
        eventually(lambda: counts(page)[0] == 0)
        eventually(lambda: button(page, "Step").is_enabled())
        button(page, "Step").click()
        eventually(lambda: counts(page)[0] == 1)
    # Everything is still offered, the bundled events under their own names.
    choose(page, "Event", re.compile(r"^Battles, 40 killed \(battles-40\)$"))
    eventually(lambda: counts(page) == (0, 10))
    assert page.get_by_text("cannot be shown").count() == 0


def test_the_page_says_who_decides(visit: Open, address: str, scripted_server: Any) -> None:
    from servers import answer

    scripted_server.script = answer()
    page = stopped(visit, address)
    decider, unused = page.locator(".spread-decider"), page.locator(".spread-unused")
    personality = "Decisions are made by draws from what Qwen2.5-Coder-0.5B-Instruct"
    assert personality in decider.inner_text()
    choose(page, "Who decides", "a language model")
    unused.wait_for()
    assert "not in use yet" in unused.inner_text()
    assert personality in decider.inner_text()
    # It may be run as it is, and still says what it is.
    before = counts(page)[0]
    button(page, "Step").click()
    eventually(lambda: counts(page)[0] == before + 1)
    assert personality in decider.inner_text()
    fill(page, "Model (provider/name)", "openai/tiny")
    fill(page, "Address", "http://elsewhere.example/v1")
    page.get_by_text("has not listed").wait_for()
    assert unused.count() == 1
    # Another choice below does not end it either.
    fill(page, "Seed", "2")
    eventually(lambda: counts(page) == (0, 10))
    assert unused.count() == 1
    assert personality in decider.inner_text()
    fill(page, "Address", scripted_server.api_base)
    page.get_by_text("Its price is not known").wait_for()
    assert unused.count() == 1
    button(page, "Use this model").click()
    unused.wait_for(state="detached", timeout=40_000)
    eventually(lambda: "the language model openai/tiny" in decider.inner_text(), seconds=40)
    # Another name stands in the form, the first one decides.
    fill(page, "Model (provider/name)", "openai/other")
    unused.wait_for()
    assert "the language model openai/tiny" in decider.inner_text()
    choose(page, "Who decides", re.compile(r"^law: SI$"))
    eventually(lambda: "the law SI(0.05)" in decider.inner_text())
    assert unused.count() == 0


def test_a_model_that_is_refused_leaves_no_other_behind(visit: Open, address: str) -> None:
    page = stopped(visit, address)
    choose(page, "Who decides", "a language model")
    fill(page, "Model (provider/name)", "anthropic/claude-3-haiku-20240307")
    page.get_by_text("not set").first.wait_for(timeout=40_000)
    button(page, "Use this model").click()
    page.locator(".spread-problem").wait_for()
    headline = page.locator(".spread-headline")
    eventually(lambda: "There is no model" in headline.inner_text())
    assert page.locator(".spread-decider").count() == 0
    assert not button(page, "Run").is_enabled()
    assert "a language model" in chosen(page, "Who decides")


def test_a_law_that_does_not_fit_is_said_beside_the_curves(visit: Open, address: str) -> None:
    page = stopped(visit, address)
    choose(page, "Who decides", "personality (invented rules)")
    speed, agents = (page.locator(".v-slider__thumb-container").nth(i) for i in (0, 1))
    agents.focus()
    page.keyboard.press("End")
    eventually(lambda: "of 2000 agents" in page.locator(".spread-headline").inner_text())
    speed.focus()
    page.keyboard.press("End")
    button(page, "Run").click()
    verdict = page.locator(".spread-verdict")
    eventually(lambda: "does not fit the decisions" in verdict.inner_text())
    eventually(lambda: "its estimates: " in verdict.inner_text(), seconds=60)
    assert "is enough" not in verdict.inner_text()
    page.locator(".v-tab", has_text="Law").click()
    eventually(lambda: "p < 0.001" in page.locator(".spread-table").inner_text())


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

    scripted_server.script = answer(post="<img src=x onerror=alert(1)> **news**")
    scripted_server.hold = lambda: True
    page = stopped(visit, address)
    choose(page, "Who decides", "a language model")
    fill(page, "Model (provider/name)", "openai/tiny")
    fill(page, "Address", "http://elsewhere.example/v1")
    page.get_by_text("has not listed").wait_for()
    fill(page, "Address", scripted_server.api_base)
    page.get_by_text("Its price is not known").wait_for()
    choose(page, "Key, from the server's variable", "CLASS_KEY (set)")
    button(page, "Use this model").click()
    eventually(lambda: counts(page) == (0, 10))
    eventually(lambda: button(page, "Run").is_enabled())
    button(page, "Run").click()
    progress = page.locator(".spread-progress")
    progress.wait_for()
    eventually(lambda: scripted_server.in_flight == 32)
    words = re.search(r"0 of (\d+) calls, .*, 0 failed", progress.inner_text())
    assert words
    page.locator(".v-tab", has_text="Law").click()
    page.get_by_text("Nothing is fitted yet").wait_for()
    assert counts(page)[0] == 0
    # The first step's calls are answered, and none after them.
    first = int(words[1])
    scripted_server.hold = lambda: len(scripted_server.requests) > first
    eventually(lambda: counts(page)[0] == 1 and scripted_server.in_flight == 32)
    button(page, "Stop").click()
    eventually(lambda: button(page, "Step").is_enabled())
    assert counts(page)[0] == 1
    eventually(lambda: scripted_server.in_flight == 0)
    page.locator(".v-tab", has_text="Feed").click()
    page.locator(".spread-feed .words", has_text="<img src=x onerror").first.wait_for()
    assert set(scripted_server.keys) == {"Bearer sk-class-secret"}
    assert not re.search("sk-(very|class)-secret", page.content())
    button(page, "Run").click()
    eventually(lambda: scripted_server.in_flight == 32)
    asked = len(scripted_server.requests)
    page.close()
    eventually(lambda: scripted_server.in_flight == 0)
    assert len(scripted_server.requests) == asked


def test_a_card_says_why_there_is_no_answer(
    visit: Open, address: str, scripted_server: Any
) -> None:
    from servers import Reply, answer

    # Few enough fail for the run to go on.
    scripted_server.script = lambda body: (
        Reply("no JSON") if len(scripted_server.requests) < 4 else answer(repost=False)
    )
    page = stopped(visit, address)
    # With fifty who have posted, nearly everybody sees something.
    page.locator(".v-slider__thumb-container").nth(4).focus()
    page.keyboard.press("End")
    eventually(lambda: counts(page) == (0, 50))
    choose(page, "Who decides", "a language model")
    # The model last: the button opens once what is asked for is complete and looked up.
    fill(page, "Address", scripted_server.api_base)
    fill(page, "Model (provider/name)", "openai/tiny")
    button(page, "Use this model").click()
    eventually(lambda: counts(page) == (0, 50))
    button(page, "Step").click()
    headline = page.locator(".spread-headline")
    eventually(lambda: "3 of" in headline.inner_text())
    click_on_somebody(page, SUSCEPTIBLE)
    page.get_by_text(re.compile("Its last decision: (not to repost. Why|no valid)")).wait_for()


def test_mesas_own_page(visit: Open, browser: Any, tmp_path: Path) -> None:
    pytest.importorskip("altair", reason="Mesa's visualisation imports it: pip install mesa[viz]")
    with served("models/solaraviz/app.py", tmp_path / "log") as address:
        page = visit(address)
        button(page, "Step").click()
        # The network, the counts and, once there are decisions, the fitted curves.
        eventually(lambda: page.locator("img").count() == 3)
        page.close()
    assert "Traceback" not in (tmp_path / "log").read_text()
