"""The page in a real browser: what fits on which screen, and what everybody can use."""

from __future__ import annotations

from typing import Any

import pytest
from browsing import (
    CANVAS,
    HEADLINE,
    SIZES,
    TWO_FRAMES,
    Open,
    button,
)
from waiting import eventually

# A browser, a server and what else runs share the processors: a test that fails is tried again.
pytestmark = [pytest.mark.slow, pytest.mark.flaky(reruns=2)]


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


def test_a_page_without_its_scripts_says_so(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.route("**/_solara/cdn/**", lambda route: route.abort())
    page.goto(address)
    page.get_by_text("This page cannot be shown: its scripts are not on the server").wait_for()
    page.get_by_text("pip install 'mesa_llmspread[offline]'").wait_for()
    page.close()
