"""The page as its visitors see it: in a real browser."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from waiting import eventually

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
        family = psutil.Process(server.pid).children(recursive=True)
        server.terminate()
        server.wait(20)
    # Nothing of it goes on.
    assert psutil.wait_procs(family, timeout=10)[1] == []


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
    keys = {"OPENAI_API_KEY": "sk-very-secret", "CLASS_KEY": "sk-class-secret"}
    with served("app.py", log, LLMSPREAD_KEY_VARIABLES="CLASS_KEY", **keys) as address:
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


def choose(page: Any, label: str, option: str) -> None:
    page.get_by_label(label).locator("xpath=..").click()
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
    for name in ("mean-field ODE", "mean-field map", "pair approximation", "master equations"):
        assert name in chart.inner_text()
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
    choose(page, "Who decides", "a language model")
    fill(page, "Model (provider/name)", "openai/tiny")
    fill(page, "Address", "http://elsewhere.example/v1")
    page.get_by_text("has not listed").wait_for()
    fill(page, "Address", scripted_server.api_base)
    page.get_by_text("Its price is not known").wait_for()
    choose(page, "Key, from the server's variable", "CLASS_KEY (set)")
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
    scripted_server.script = type(quick)(content=quick.content, delay=300.0)
    before = counts(page)
    eventually(lambda: scripted_server.in_flight == 32)
    button(page, "Stop").click()
    eventually(lambda: button(page, "Step").is_enabled(), seconds=3)
    assert counts(page)[0] <= before[0] + 1
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
    choose(page, "Who decides", "a language model")
    fill(page, "Model (provider/name)", "openai/tiny")
    fill(page, "Address", scripted_server.api_base)
    button(page, "Use this model").click()
    eventually(lambda: counts(page) == (0, 50), seconds=40)
    button(page, "Step").click()
    headline = page.locator(".spread-headline")
    eventually(lambda: "3 of" in headline.inner_text(), seconds=40)
    canvas = page.locator(".spread-network canvas")
    eventually(lambda: page.evaluate(PIXELS, SUSCEPTIBLE)[1] is not None)
    time.sleep(0.6)
    x, y = page.evaluate(PIXELS, SUSCEPTIBLE)[1]
    canvas.click(position={"x": x, "y": y})
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
