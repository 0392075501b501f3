"""The page in a real browser: runs, the network, the curve and the laws."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from browsing import (
    CANVAS,
    HEADLINE,
    PIXELS,
    POSTED,
    WAITING,
    Open,
    button,
    choose,
    click_on_somebody,
    counts,
    field,
    fill,
    quick,
    served,
    stopped,
)
from waiting import eventually

from mesa_llmspread import all_profiles

# A browser, a server and what else runs share the processors: a test that fails is tried again.
pytestmark = [pytest.mark.slow, pytest.mark.flaky(reruns=2)]


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


def test_two_visitors_have_a_model_each(visit: Open, address: str) -> None:
    one, other = stopped(visit, address), stopped(visit, address)
    for page in (one, other):
        button(page, "Reset").click()
        eventually(lambda page=page: counts(page) == (0, 10))
    fill(other, "Seed", "2")
    button(one, "Step").click()
    eventually(lambda: counts(one)[0] == 1)
    assert counts(other) == (0, 10)


def test_mesas_own_page(visit: Open, browser: Any, tmp_path: Path) -> None:
    pytest.importorskip("altair", reason="Mesa's visualisation imports it: pip install mesa[viz]")
    with served("models/solaraviz/app.py", tmp_path / "log") as address:
        page = visit(address)
        button(page, "Step").click()
        # The network, the counts and, once there are decisions, the fitted curves.
        eventually(lambda: page.locator("img").count() == 3)
        page.close()
    assert "Traceback" not in (tmp_path / "log").read_text()
