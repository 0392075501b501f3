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

# A browser, a server and what else runs share the processors: a test that fails is tried again.
pytestmark = [pytest.mark.slow, pytest.mark.flaky(reruns=2)]

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


def test_the_page_moves_by_itself_and_is_not_blank(visit: Open, address: str) -> None:
    page = visit(address)
    page.locator(".spread-network canvas").wait_for()
    eventually(lambda: counts(page)[0] >= 2)
    assert page.evaluate(PIXELS, POSTED)[0] > 300
    button(page, "Reset").click()
    for colour in (WAITING, POSTED):
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
    quick(page)
    button(page, "Run").click()
    eventually(lambda: "has ended" in page.locator(HEADLINE).inner_text())
    # Fits have the lowest priority, so beside busy processes they take long.
    eventually(lambda: "SI is" in page.locator(".spread-verdict").inner_text(), seconds=120)
    chart = page.locator(".spread-chart")
    eventually(lambda: "95 % of runs" in chart.inner_text(), seconds=120)
    assert "mean-field ODE" not in chart.inner_text()
    chart.get_by_label("Show the curves of the equations").check()
    for name in ("mean-field ODE", "mean-field map", "pair approximation", "master equations"):
        assert name in chart.inner_text()
    light(page)
    button(page, "Laws").click()
    eventually(lambda: "FirstRepeat" in page.locator(".spread-table").inner_text())
    another_law(page)
    button(page, "Personalities").click()
    cells = page.locator(".spread-profiles li b")
    codes = [profile.code for profile in all_profiles()]
    eventually(lambda: cells.all_inner_texts() == codes)
    button(page, "Posts").click()
    page.locator(".spread-feed select").select_option("OCEAN")
    eventually(lambda: set(page.locator(".spread-feed code").all_inner_texts()) <= {"OCEAN"})
    button(page, "Export").click()
    step = counts(page)[0]
    assert f".run({step})" in page.locator(".spread-panel pre").inner_text()
    with page.expect_download() as download:
        page.get_by_role("button", name="Record (zip)").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert "spread/manifest.json" in archive.namelist()


def quick(page: Any) -> None:
    """Run as fast as the page can."""
    field(page, "Steps per second").press("End")


def light(page: Any) -> None:
    """Look at the equation; a rate that is pointed at lights the curve of its law."""
    page.locator(".spread-chart summary").click()
    rate = page.locator(".spread-chart .rate").first
    assert re.search(r"beta\w* = 0\.\d+", rate.inner_text())
    thickest = "() => Math.max(...[...document.querySelectorAll('.spread-chart path')]"
    thickest += ".map((path) => Number(path.getAttribute('stroke-width'))))"
    before = page.evaluate(thickest)
    rate.focus()
    eventually(lambda: page.evaluate(thickest) > before)


def another_law(page: Any) -> None:
    """Have another law drawn, and see that the chart says so."""
    choose(page, "Law whose curve is drawn", "SingleMultiple")
    button(page, "Curve").click()
    chart = page.locator(".spread-chart")
    eventually(lambda: "fitted law: SingleMultiple" in chart.inner_text(), seconds=120)
    assert "Drawn: SingleMultiple. The law that describes the run best is" in chart.inner_text()


def test_an_agents_card_by_mouse_and_by_keyboard(visit: Open, address: str) -> None:
    page = stopped(visit, address)
    click_on_somebody(page, WAITING)
    card = page.locator(".spread-card")
    card.wait_for()
    assert "You are very" in card.inner_text()
    assert "has not posted" in card.inner_text()
    button(page, "Close the card").click()
    card.wait_for(state="detached")
    page.locator(".spread-network canvas").focus()
    page.keyboard.press("ArrowRight")
    spoken = page.locator(".spread-network [aria-live]")
    eventually(lambda: "agent" in spoken.inner_text())
    agent = re.search(r"agent (\d+)", spoken.inner_text())[1]
    page.keyboard.press("Enter")
    card.wait_for()
    assert f"Agent {agent} " in card.inner_text()


def test_what_is_wrong_is_a_sentence_on_the_page(visit: Open, address: str, tmp_path: Path) -> None:
    page = stopped(visit, address)
    before = counts(page)
    for label, wrong, used, sentence in (
        ("Seed", "-5", "1", "-5 is less than 0, so 1 stays"),
        ("Seed", "seven", "1", "“seven” is not a whole number, so 1 stays"),
        ("Most steps per run", "-3", "60", "-3 is less than 1, so 60 stays"),
    ):
        fill(page, label, wrong)
        page.get_by_text(sentence).wait_for()
        assert field(page, label).input_value() == used
    assert counts(page) == before
    fill(page, "Seed", "7")
    eventually(lambda: counts(page) == (0, 10))
    bad = tmp_path / "bad.csv"
    bad.write_text("a,b\n1,2\n")
    page.locator("input[type=file]").set_input_files(bad)
    sentence = page.get_by_text("bad.csv, row 1")
    sentence.wait_for(state="attached")
    page.locator("input[type=file]").set_input_files(next(DATA.glob("ucdp*.csv")))
    sentence.wait_for(state="detached")
    assert "Traceback" not in page.locator(".spread").inner_text()


def news(path: Path, *rows: str) -> Path:
    """Write a file of events: an id, a type and the people killed for each."""
    columns = "event_id,date,event_type,sub_event_type,country,location,actors,fatalities,"
    made = [f"{row},false" for row in rows]
    path.write_text("\n".join([f"{columns}civilian_targeting", *made]) + "\n")
    return path


def chosen(page: Any, label: str) -> str:
    """Return what a list shows."""
    return str(field(page, label).evaluate("list => list.selectedOptions[0].text"))


def test_one_file_of_events_after_another(visit: Open, address: str, tmp_path: Path) -> None:
    page = stopped(visit, address)
    files = page.locator("input[type=file]")
    mine = "mine-{0},2024-05-14,Riots,Mob violence,Talvara,Dessing,Rioters,{0}"
    # As a bundled event is labelled, but another one.
    like = "battles-40,2024-05-14,Battles,Armed clash,Talvara,Dessing,Rebels,40"
    place = "2024-05-14, Dessing, Talvara"
    riots = f"{place}: Riots, 1 killed (mine-1), your file"
    names = (riots, f"{place}: Battles, 40 killed (battles-40), your file")
    button(page, "Step").click()
    eventually(lambda: counts(page)[0] > 0)
    for rows, name in (
        ([mine.format(1), mine.format(2)], names[0]),
        ([like, mine.format(3)], names[1]),
        ([mine.format(1)], names[0]),
    ):
        files.set_input_files(news(tmp_path / f"{len(rows)}-{rows[0][:6]}.csv", *rows))
        eventually(lambda name=name: name == chosen(page, "Event"))
        # The run about the event before may still be there for a moment.
        eventually(lambda: counts(page)[0] == 0)
        eventually(lambda: button(page, "Step").is_enabled())
        button(page, "Step").click()
        eventually(lambda: counts(page)[0] == 1)
    # Everything is still offered, the bundled events under their own names.
    page.get_by_label("Search: Event").fill("battles")
    assert "Riots, 20" not in field(page, "Event").inner_text()
    choose(page, "Event", f"{place}: Battles, 40 killed (battles-40)")
    eventually(lambda: counts(page) == (0, 10))
    assert page.get_by_text("cannot be shown").count() == 0


def test_the_page_says_who_decides(visit: Open, address: str, scripted_server: Any) -> None:
    from servers import answer

    scripted_server.script = answer()
    page = stopped(visit, address)
    decider, unused = page.locator(".spread-decider"), page.get_by_text("is not in use yet")
    measured = "Agents decide as the language model Qwen2.5-Coder-0.5B-Instruct"
    assert measured in decider.inner_text()
    assert "No model runs now" in decider.inner_text()
    choose(page, "Who decides", "a live model …")
    unused.wait_for()
    assert measured in decider.inner_text()
    # It may be run as it is, and still says what it is.
    before = counts(page)[0]
    button(page, "Step").click()
    eventually(lambda: counts(page)[0] == before + 1)
    assert measured in decider.inner_text()
    fill(page, MODEL, "openai/tiny")
    fill(page, ADDRESS, "http://elsewhere.example/v1")
    page.get_by_text("Only addresses on this machine").wait_for()
    assert not button(page, "Use this model").is_enabled()
    # Another choice below does not end it either.
    fill(page, "Seed", "2")
    eventually(lambda: counts(page) == (0, 10))
    assert unused.count() == 1
    assert measured in decider.inner_text()
    fill(page, ADDRESS, scripted_server.api_base)
    page.get_by_text("Its price is not known").wait_for()
    assert unused.count() == 1
    button(page, "Use this model").click()
    unused.wait_for(state="detached", timeout=40_000)
    live = "A live language model decides: openai/tiny"
    eventually(lambda: live in decider.inner_text(), seconds=40)
    # Another name stands in the form, the first one decides.
    fill(page, MODEL, "openai/other")
    unused.wait_for()
    assert live in decider.inner_text()
    choose(page, "Who decides", "law: SI")
    eventually(lambda: "The law SI(0.05) decides" in decider.inner_text())
    assert unused.count() == 0


def test_a_model_without_its_key_cannot_be_used(visit: Open, address: str) -> None:
    page = stopped(visit, address)
    before = counts(page)
    choose(page, "Who decides", "a live model …")
    fill(page, MODEL, "anthropic/claude-3-haiku-20240307")
    page.get_by_text("ANTHROPIC_API_KEY is not set").wait_for(timeout=40_000)
    assert not button(page, "Use this model").is_enabled()
    assert counts(page) == before
    assert "No model runs now" in page.locator(".spread-decider").inner_text()


def test_a_law_that_does_not_fit_is_said_beside_the_curves(visit: Open, address: str) -> None:
    page = stopped(visit, address)
    choose(page, "Who decides", "invented rules about personality")
    field(page, "Agents").press("End")
    eventually(lambda: "2000 simulated people" in page.locator(HEADLINE).inner_text())
    quick(page)
    button(page, "Run").click()
    verdict = page.locator(".spread-verdict")
    eventually(lambda: "does not fit the decisions" in verdict.inner_text())
    eventually(lambda: "its estimates: " in verdict.inner_text(), seconds=60)
    assert "is enough" not in verdict.inner_text()
    button(page, "Laws").click()
    eventually(lambda: "p < 0.001" in page.locator(".spread-table").inner_text())


PANELS = ("Curve", "Personalities", "Laws", "Posts", "Export")


VIEWS = [(size, colours) for size in SIZES for colours in ("light", "dark")]
OFTEN = [((390, 844), "light"), ((1280, 720), "dark")]


@pytest.mark.parametrize(
    ("size", "colours"),
    [pytest.param(*view, marks=[] if view in OFTEN else pytest.mark.slow) for view in VIEWS],
)
def test_every_panel_at_every_size_is_accessible_and_fits(
    size: tuple[int, int], colours: str, visit: Open, address: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = visit(address, *size, color_scheme=colours, has_touch=size[0] < 900)
    page.locator(CANVAS).wait_for()
    eventually(lambda: page.locator(".spread-chart .rate").count() > 0, seconds=120)
    for name in PANELS:
        button(page, name).click()
        page.locator(f"button[aria-current]:text-is('{name}')").wait_for()
        page.evaluate(TWO_FRAMES)
        width = "document.scrollingElement.scrollWidth - innerWidth"
        assert page.evaluate(width) <= 0, name
        found = axe.run(page).response["violations"]
        serious = [(each["id"], each["nodes"][0]["target"]) for each in found]
        assert serious == [], name
        if name != "Export":  # whose lines name the model's arguments
            assert "infected" not in page.locator(".spread").inner_text().lower()


@pytest.mark.parametrize("size", SIZES)
def test_the_first_screen_says_what_it_is_about(
    size: tuple[int, int], visit: Open, address: str
) -> None:
    page = visit(address, *size)
    page.locator(CANVAS).wait_for()
    sentences = [
        page.get_by_text("The news: An armed clash"),
        page.locator(HEADLINE, has_text="simulated people follow each other"),
        page.get_by_text("No model runs now"),
        page.locator(".spread-legend span", has_text="has shared it"),
        button(page, "Stop"),
    ]
    for part in [*sentences, page.locator(CANVAS)]:
        box = part.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= size[0]
        assert box["y"] + box["height"] <= size[1]


def test_two_fingers_zoom_and_one_scrolls(visit: Open, address: str) -> None:
    page = visit(address, 390, 844, has_touch=True)
    page.locator(CANVAS).wait_for()
    assert "user-scalable" not in page.locator("meta[name=viewport]").get_attribute("content")
    assert (
        page.locator(CANVAS).evaluate("canvas => getComputedStyle(canvas).touchAction") == "pan-y"
    )
    button(page, "Stop").dispatch_event("click")
    eventually(
        lambda: button(page, "Run").is_enabled() or "ended" in page.locator(HEADLINE).inner_text()
    )
    page.evaluate(TWO_FRAMES)
    before = page.locator(CANVAS).evaluate(DRAWN)
    page.locator(CANVAS).evaluate(PINCH)
    eventually(lambda: page.locator(CANVAS).evaluate(DRAWN) != before)


DRAWN = "canvas => canvas.toDataURL()"
PINCH = """canvas => {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    canvas.setPointerCapture = () => {};
    const send = (type, pointerId, x) => canvas.dispatchEvent(new PointerEvent(type, {
        pointerId, pointerType: 'touch', bubbles: true,
        clientX: left + x * width, clientY: top + height / 2,
    }));
    send('pointerdown', 1, 0.4), send('pointerdown', 2, 0.6);
    send('pointermove', 1, 0.2), send('pointermove', 2, 0.8);
    send('pointerup', 1, 0.2), send('pointerup', 2, 0.8);
}"""


def test_keys_run_stop_step_and_reset(visit: Open, address: str) -> None:
    page = stopped(visit, address)
    # Every key is waited for by what it changes.
    before = counts(page)[0]
    page.locator("body").press("ArrowRight")
    eventually(lambda: counts(page)[0] == before + 1)
    eventually(button(page, "Reset").is_enabled)
    button(page, "Reset").focus()
    page.keyboard.press("Enter")
    eventually(lambda: counts(page) == (0, 10))
    eventually(button(page, "Step").is_enabled)
    page.locator("body").press("ArrowRight")
    eventually(lambda: counts(page)[0] == 1)
    eventually(button(page, "Run").is_enabled)
    page.locator("body").press("r")
    eventually(lambda: counts(page) == (0, 10))
    eventually(button(page, "Run").is_enabled)
    page.locator(HEADLINE).click()
    page.locator("body").press(" ")
    eventually(lambda: counts(page)[0] >= 1)
    # In a field they are letters.
    field(page, "Seed").press("r")
    assert counts(page)[0] >= 1


def test_one_tree_is_drawn(visit: Open, address: str) -> None:
    page = stopped(visit, address)
    quick(page)
    if "has ended" not in page.locator(HEADLINE).inner_text():
        button(page, "Run").click()
    eventually(lambda: "has ended" in page.locator(HEADLINE).inner_text())
    # Everybody who did not post first has one source.
    posted = counts(page)[1]
    eventually(lambda: page.locator(CANVAS).get_attribute("data-tree") == str(posted - 10))


def test_settings_that_change_during_a_run(visit: Open, address: str) -> None:
    page = visit(address)
    page.locator(CANVAS).wait_for()
    choose(page, "Who decides", "law: SI")
    eventually(lambda: "The law SI" in page.locator(".spread-decider").inner_text())
    # The new run goes on by itself, if it has not been reached too late.
    eventually(lambda: counts(page)[0] >= 2)
    field(page, "Agents").press("Home")
    eventually(lambda: page.locator(HEADLINE).inner_text().startswith("20 simulated"))
    assert int(field(page, "Neighbours per agent").get_attribute("max")) < 20
    button(page, "Defaults").click()
    eventually(lambda: page.locator(HEADLINE).inner_text().startswith("200 simulated"))


def test_beyond_this_machine_visitors_call_no_model(
    browser: Any, visit: Open, tmp_path: Path
) -> None:
    with served("app.py", tmp_path / "log", host="0.0.0.0") as address:
        page = stopped(visit, address)
        offered = field(page, "Who decides").inner_text()
        assert "table: Qwen2.5-Coder-0.5B-Instruct" in offered
        assert "law: SI" in offered
        assert "live" not in offered
        page.close()


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
    eventually(lambda: "1000 simulated people" in page.locator(HEADLINE).inner_text())


def test_a_slow_language_model_never_blocks_the_page(
    visit: Open, address: str, scripted_server: Any
) -> None:
    from servers import answer

    scripted_server.script = answer(post="<img src=x onerror=alert(1)> **news**")
    scripted_server.hold = lambda: True
    page = stopped(visit, address)
    choose(page, "Who decides", "a live model …")
    fill(page, ADDRESS, scripted_server.api_base)
    fill(page, MODEL, "openai/tiny")
    page.get_by_text("Its price is not known").wait_for()
    button(page, "Use this model").click()
    eventually(lambda: counts(page) == (0, 10))
    eventually(lambda: button(page, "Run").is_enabled())
    button(page, "Run").click()
    progress = page.locator(".spread-progress")
    progress.wait_for()
    eventually(lambda: scripted_server.in_flight == 32)
    words = re.search(r"0 of (\d+) calls, .*, 0 failed", progress.inner_text())
    assert words
    button(page, "Laws").click()
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
    button(page, "Posts").click()
    page.locator(".spread-feed .words", has_text="<img src=x onerror").first.wait_for()
    assert "sk-very-secret" not in page.content()
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
    field(page, "Agents that post first").press("End")
    eventually(lambda: counts(page) == (0, 50))
    choose(page, "Who decides", "a live model …")
    # The model last: the button opens once what is asked for is complete and looked up.
    fill(page, ADDRESS, scripted_server.api_base)
    fill(page, MODEL, "openai/tiny")
    button(page, "Use this model").click()
    eventually(lambda: counts(page) == (0, 50))
    button(page, "Step").click()
    eventually(lambda: "3 of" in page.locator(HEADLINE).inner_text())
    click_on_somebody(page, WAITING)
    page.get_by_text(re.compile("Its last decision: (not to post. Why|no valid)")).wait_for()


def test_mesas_own_page(visit: Open, browser: Any, tmp_path: Path) -> None:
    pytest.importorskip("altair", reason="Mesa's visualisation imports it: pip install mesa[viz]")
    with served("models/solaraviz/app.py", tmp_path / "log") as address:
        page = visit(address)
        button(page, "Step").click()
        # The network, the counts and, once there are decisions, the fitted curves.
        eventually(lambda: page.locator("img").count() == 3)
        page.close()
    assert "Traceback" not in (tmp_path / "log").read_text()
