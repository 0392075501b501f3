"""The page in a real browser: its settings, files of events, and the lesson."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browsing import (
    CANVAS,
    HEADLINE,
    Open,
    button,
    choose,
    counts,
    field,
    fill,
    stopped,
)
from waiting import eventually

# A browser, a server and what else runs share the processors: a test that fails is tried again.
pytestmark = [pytest.mark.slow, pytest.mark.flaky(reruns=2)]

DATA = Path(__file__).parent / "data"


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


def test_the_lesson_sets_the_page(visit: Open, address: str) -> None:
    page = stopped(visit, address)
    button(page, "Lesson").click()
    for _ in range(4):
        button(page, "Next").click()
    page.get_by_text("5 of 5").wait_for()
    button(page, "Show it").click()
    eventually(lambda: "1000 simulated people" in page.locator(HEADLINE).inner_text())
