"""A browser, a server of the page, and what a visitor does there, as fixtures and functions."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from waiting import eventually

ROOT = Path(__file__).parents[1]
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
MODEL, ADDRESS = "Model (provider/name, or gguf:FILE)", "Address (empty: the provider's)"
CANVAS = ".spread-network canvas"
SIZES = [(390, 844), (768, 1024), (1280, 720), (1920, 1080)]
ASSETS = Path(sys.prefix) / "share" / "solara" / "cdn" / "@widgetti"


@contextlib.contextmanager
def served(app: str, log: Path, host: str = "127.0.0.1", **environment: str) -> Iterator[str]:
    """Run an app on this machine and yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "solara", "run", app, "--host", host]
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


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def address(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("app") / "log"
    with served("app.py", log, OPENAI_API_KEY="sk-very-secret") as address:
        yield address
    assert "Traceback" not in log.read_text()


Open = Callable[..., Any]


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:
    """Open pages, each in its own browser session; no errors, no requests to other machines."""
    troubles: list[str] = []
    contexts = []

    def open_page(address: str, width: int = 1280, height: int = 720, **more: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda m: troubles.append(m.text) if m.type == "error" else None)
        page.on("request", lambda r: None if is_own(r.url) else troubles.append(r.url))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


def is_own(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))


def button(page: Any, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True)


def counts(page: Any) -> tuple[int, int]:
    """Return the step and the number of agents that have posted, from the headline."""
    text = page.locator(HEADLINE).inner_text()
    posted, step = re.search(r"(\d+) ha\w+ shared this news(?: after (\d+))?", text).groups("0")
    return int(step), int(posted)


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

    def still() -> bool:
        """Return whether no step that was under way comes any more."""
        before = counts(page)
        page.wait_for_timeout(500)
        return counts(page) == before

    eventually(still)
    if over():
        button(page, "Reset").click()
        eventually(step.is_enabled)
    return page


def field(page: Any, label: str) -> Any:
    """Return a field of the form, whose group is opened."""
    found = page.get_by_label(label, exact=True)
    found.evaluate(
        "field => { const group = field.closest('details'); if (group) group.open = true }"
    )
    return found


def fill(page: Any, label: str, text: str) -> None:
    field(page, label).fill(text)
    page.keyboard.press("Tab")


def choose(page: Any, label: str, option: str) -> None:
    field(page, label).select_option(label=option)


def quick(page: Any) -> None:
    """Run as fast as the page can."""
    field(page, "Steps per second").press("End")


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


WAITING, POSTED = [0x3B, 0x8E, 0xC2], [0xD5, 0x5E, 0x00]


TWO_FRAMES = "() => new Promise(d => requestAnimationFrame(() => requestAnimationFrame(d)))"


def click_on_somebody(page: Any, colour: list[int]) -> None:
    """Click on an agent of a colour, once the canvas shows what the headline says."""
    canvas = page.locator(".spread-network canvas")
    step, posted = counts(page)
    wanted = f"{posted} have posted after step {step}."
    eventually(lambda: wanted in canvas.get_attribute("aria-label"))
    page.evaluate(TWO_FRAMES)
    x, y = page.evaluate(PIXELS, colour)[1]
    canvas.click(position={"x": x, "y": y})
