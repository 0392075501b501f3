"""The page in a real browser: who decides, and live language models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from browsing import (
    ADDRESS,
    HEADLINE,
    MODEL,
    WAITING,
    Open,
    button,
    choose,
    click_on_somebody,
    counts,
    field,
    fill,
    served,
    stopped,
)
from servers import Reply, answer
from waiting import eventually

# A browser, a server and what else runs share the processors: a test that fails is tried again.
pytestmark = [pytest.mark.slow, pytest.mark.flaky(reruns=2)]


def test_the_page_says_who_decides(visit: Open, address: str, scripted_server: Any) -> None:
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


def test_a_model_whose_server_does_not_answer_is_not_in_use(visit: Open, address: str) -> None:
    page = stopped(visit, address)
    choose(page, "Who decides", "a live model …")
    fill(page, ADDRESS, "http://127.0.0.1:9/v1")
    fill(page, MODEL, "openai/tiny")
    button(page, "Use this model").click()
    page.get_by_text("No server answers at").wait_for()
    page.get_by_text("is not in use yet").wait_for()
    # It can be tried again.
    eventually(button(page, "Use this model").is_enabled)
    assert "No model runs now" in page.locator(".spread-decider").inner_text()


def test_a_model_without_its_key_cannot_be_used(visit: Open, address: str) -> None:
    page = stopped(visit, address)
    before = counts(page)
    choose(page, "Who decides", "a live model …")
    fill(page, MODEL, "anthropic/claude-3-haiku-20240307")
    page.get_by_text("ANTHROPIC_API_KEY is not set").wait_for(timeout=40_000)
    assert not button(page, "Use this model").is_enabled()
    assert counts(page) == before
    assert "No model runs now" in page.locator(".spread-decider").inner_text()


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


def test_a_slow_language_model_never_blocks_the_page(
    visit: Open, address: str, scripted_server: Any
) -> None:
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
