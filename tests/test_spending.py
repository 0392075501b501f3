"""What decisions took: summed up by run, event and profile, and shown in the report."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from servers import Reply, ScriptedServer, answer

from mesa_llmspread import (
    LLMDecider,
    SpreadData,
    SpreadModel,
    analyse,
    bundled_events,
    concat,
    write_report,
)
from mesa_llmspread.analysis.costs import spending
from mesa_llmspread.exceptions import ArgumentError, DeciderError, UnknownNameError

KEY = "sk-planted-5417"


def recorded(server: ScriptedServer, model: str = "openai/gpt-4o-mini") -> SpreadData:
    """Run two models about two events; one answer in ten is malformed, and some repost."""
    turns = iter(range(10**6))

    def script(_: object) -> Reply:
        turn = next(turns)
        return Reply("no JSON") if turn % 10 == 9 else answer(turn % 4 == 0)

    server.script = script
    runs = []
    for seed, event in enumerate(bundled_events()[:2]):
        decider = LLMDecider(model, server.api_base, max_failed=1.0)
        settings = {"n": 40, "k": 4, "initial_infected": 3, "event": event, "rng": seed}
        runs.append(SpreadData.from_model(SpreadModel(decider=decider, **settings).run(4)))
    return concat(runs)


@pytest.mark.parametrize("by", ["run", "event", "profile"])
def test_every_grouping_adds_up_to_what_the_server_saw(
    scripted_server: ScriptedServer, by: str
) -> None:
    data = recorded(scripted_server)
    table = spending(data, by)
    asked = len(scripted_server.requests)
    assert table["calls"].sum() == table["decisions"].sum() == len(data.exposures) == asked
    assert table["failed"].sum() == (data.exposures["outcome"] == "failed").sum() > 0
    assert table["prompt_tokens"].sum() == 100 * asked
    assert table["completion_tokens"].sum() == 10 * asked
    # gpt-4o-mini: 0.15 and 0.60 US dollars a million tokens.
    assert table["cost_usd"].sum() == pytest.approx(asked * (100 * 0.15 + 10 * 0.6) / 1e6)
    if by == "event":
        assert table["group"].tolist() == [event.event_id for event in bundled_events()[:2]]


def test_a_step_that_is_stepped_again_counts_its_calls_once(
    scripted_server: ScriptedServer, tmp_path: Path
) -> None:
    turns = iter(range(10**6))
    scripted_server.script = lambda _: Reply(status=401) if next(turns) == 14 else answer(False)
    decider = LLMDecider(
        "openai/tiny", scripted_server.api_base, store=tmp_path / "calls.sqlite", max_concurrency=1
    )
    model = SpreadModel(n=40, k=4, initial_infected=8, decider=decider, rng=1)
    with pytest.raises(DeciderError):
        model.step()
    model.step()
    table = spending(SpreadData.from_model(model))
    decided = model.exposures
    assert table["decisions"].tolist() == table["calls"].tolist() == [decided]
    assert table["completion_tokens"].tolist() == [10 * decided]


def test_an_unknown_price_is_unknown(scripted_server: ScriptedServer) -> None:
    table = spending(recorded(scripted_server, "openai/tiny"), "event")
    assert table["cost_usd"].map(math.isnan).all()
    assert table["prompt_tokens"].min() > 0


def test_only_language_models_spend(scripted_server: ScriptedServer) -> None:
    with pytest.raises(ArgumentError) as caught:
        spending(SpreadData.from_model(SpreadModel(n=30, decider="traits", rng=1).run(2)))
    assert (caught.value.argument, caught.value.value) == ("data", "traits")
    with pytest.raises(UnknownNameError) as unknown:
        spending(recorded(scripted_server), "country")
    assert (unknown.value.argument, unknown.value.value) == ("by", "country")


def test_the_report_shows_it_and_no_key(
    scripted_server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    data = recorded(scripted_server)
    assert scripted_server.requests
    analysis = analyse(data)
    data.save(tmp_path)
    page = write_report(analysis, tmp_path)
    text = page.read_text()
    assert "What it took" in text
    assert "Every decision is an answer of its own." in text
    for calls in spending(data, "event")["calls"]:
        assert f'<td class="n">{calls:,}</td><td class="n">{100 * calls:,}</td>' in text
    for path in tmp_path.rglob("*"):
        assert KEY.encode() not in path.read_bytes(), path
