"""A language model on the page: watched, stopped, limited, and never told a key it may not have."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers import Reply, ScriptedServer, answer
from waiting import eventually

from mesa_llmspread import Decision, DecisionStore, LLMDecider, Outcome, SpreadData, SpreadModel
from mesa_llmspread.app.allowed import allowed_address, allowed_keys, refusal
from mesa_llmspread.app.card import decided
from mesa_llmspread.app.llm_form import look_up
from mesa_llmspread.app.session import Session
from mesa_llmspread.app.settings import LLMSettings, Settings
from mesa_llmspread.app.watched import Watched
from mesa_llmspread.deciders.llm.calls import key_variables
from mesa_llmspread.exceptions import (
    ArgumentError,
    DeciderError,
    MissingKeyError,
    StoppedError,
)

KEY = "planted-key-0123456789abcdef"


def slow(seconds: float) -> Reply:
    quick = answer()
    return Reply(content=quick.content, delay=seconds)


def watched(server: ScriptedServer, stop: threading.Event, **settings: Any) -> Watched:
    decider = LLMDecider("openai/tiny", api_base=server.api_base, **settings)
    decider.check()
    return Watched(decider, stop)


def while_stepping(model: SpreadModel, action: Callable[[], None]) -> Exception | None:
    """Do something while a step is under way; give the step's error."""
    errors: list[Exception] = []

    def step() -> None:
        try:
            model.step()
        except Exception as error:
            errors.append(error)

    stepping = threading.Thread(target=step)
    stepping.start()
    action()
    stepping.join(60)
    assert not stepping.is_alive()
    return errors[0] if errors else None


def test_a_stopped_step_asks_nothing_more_and_never_was(scripted_server: ScriptedServer) -> None:
    # Who waited for the answers would wait for ever.
    scripted_server.script = slow(300.0)
    stop = threading.Event()
    decider = watched(scripted_server, stop, max_concurrency=4)
    model = SpreadModel(n=200, decider=decider, rng=1)

    def stop_when_asked() -> None:
        eventually(lambda: len(scripted_server.requests) == 4)
        stop.set()

    assert isinstance(while_stepping(model, stop_when_asked), StoppedError)
    assert (model.clock, model.infected) == (0, 10)
    assert all(agent.decision is None for agent in model.spreaders)
    assert decider.progress.done == 0
    eventually(lambda: scripted_server.in_flight == 0)
    assert len(scripted_server.requests) == 4

    stop.clear()
    scripted_server.script = answer()
    model.step()
    assert model.clock == 1
    asked = model.exposures
    assert str(decider.progress) == f"{asked} of {asked} calls, cost unknown, 0 failed"
    assert len(scripted_server.requests) == 4 + asked


def test_a_word_to_stop_that_comes_early_counts(scripted_server: ScriptedServer) -> None:
    stop = threading.Event()
    model = SpreadModel(n=60, decider=watched(scripted_server, stop), rng=1)
    stop.set()
    with pytest.raises(StoppedError):
        model.step()
    assert scripted_server.requests == []


def test_progress_is_exact_while_a_step_is_under_way(scripted_server: ScriptedServer) -> None:
    # The first ten come at once, three of them without an answer; then nothing more does.
    replies = iter([answer()] * 7 + [Reply("no JSON")] * 3)
    scripted_server.script = lambda body: next(replies, slow(300.0))
    stop = threading.Event()
    decider = watched(scripted_server, stop, max_concurrency=12)
    model = SpreadModel(n=200, decider=decider, rng=1)
    seen = []

    def watch_and_stop() -> None:
        eventually(lambda: decider.progress.done == 10 and len(scripted_server.requests) == 22)
        seen.append(decider.progress)
        stop.set()

    assert isinstance(while_stepping(model, watch_and_stop), StoppedError)
    assert (seen[0].done, seen[0].failed) == (10, 3)
    assert seen[0].total > 22


def test_a_closed_session_stops_its_calls(scripted_server: ScriptedServer) -> None:
    scripted_server.script = slow(300.0)
    llm = LLMSettings("openai/tiny", scripted_server.api_base, limit=0.0)
    session = Session(Settings(n=60, decider="llm", llm=llm), running=True)
    eventually(lambda: scripted_server.in_flight > 5)
    session.close()
    session._thread.join(60)
    assert not session._thread.is_alive()
    eventually(lambda: scripted_server.in_flight == 0)


def test_the_spending_limit_is_the_deciders(scripted_server: ScriptedServer) -> None:
    llm = LLMSettings("openai/gpt-4o", scripted_server.api_base, limit=0.02)
    decider = Settings(llm=llm).make_decider()
    decider.check()
    model = SpreadModel(n=200, decider=Watched(decider, threading.Event()), rng=1)
    with pytest.raises(DeciderError, match=r"spending limit of 0\.02 USD is reached \(0\.0\d USD"):
        model.step()
    assert model.clock == 0
    assert 0 < decider.endpoint.price(100, 10) * len(scripted_server.requests) <= 0.02


def test_a_named_variables_key_goes_to_the_server_and_nowhere_else(
    scripted_server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "another-key")
    decider = LLMDecider(
        "openai/tiny",
        api_base=scripted_server.api_base,
        key_variable="CLASS_KEY",
        store=DecisionStore(tmp_path / "store.sqlite", store_prompts=True),
    )
    model = SpreadModel(n=20, k=4, initial_infected=2, decider=decider, rng=1)
    with pytest.raises(MissingKeyError, match="CLASS_KEY"):
        model.step()
    assert scripted_server.requests == []
    # Read when a call is made, not before.
    monkeypatch.setenv("CLASS_KEY", KEY)
    model.step()
    assert set(scripted_server.keys) == {f"Bearer {KEY}"}

    data = SpreadData.from_model(model)
    folder = data.save(tmp_path / "spread")
    assert data.info[data.runs[0]].decider_info["key_variable"] == "CLASS_KEY"
    kept = [path for path in (*folder.iterdir(), *tmp_path.glob("store*")) if path.is_file()]
    assert len(kept) >= 4
    assert not [path for path in kept if KEY.encode() in path.read_bytes()]
    assert KEY.encode() not in pickle.dumps(decider)
    assert KEY not in repr(decider.endpoint) + json.dumps(model.info.to_dict())

    scripted_server.reset(Reply(status=401, error=f"Incorrect API key provided: {KEY}"))
    with pytest.raises(DeciderError) as caught:
        model.step()
    assert KEY not in str(caught.value) + repr(caught.value.__context__)


@pytest.mark.parametrize("name", ["sk-abc", "0f3e5c7a9b", "abcdef0123456789", "", 3])
def test_a_key_is_no_name_and_is_not_shown(name: Any) -> None:
    with pytest.raises(ArgumentError, match=r"key_variable='\.\.\.': must be the name") as caught:
        LLMDecider("openai/tiny", key_variable=name)
    assert not str(name) or str(name) not in str(caught.value)


def test_which_variables_a_key_is_read_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    assert key_variables("anthropic/claude-3-haiku-20240307") == {"ANTHROPIC_API_KEY": False}
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    assert key_variables("anthropic/claude-3-haiku-20240307") == {"ANTHROPIC_API_KEY": True}
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert key_variables("openai/gpt-4o") == {"OPENAI_API_KEY": False}
    assert key_variables("openai/tiny", "http://127.0.0.1:8080/v1") == {}
    assert key_variables("ollama/llama3.1") == {}


def test_a_key_goes_nowhere_but_where_the_operator_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert allowed_address("")
    assert allowed_address("http://localhost:11434")
    assert not allowed_address("https://elsewhere.example/v1")
    assert not allowed_address("http://localhost@elsewhere.example/v1")
    assert not allowed_address("http://[")
    # Some providers call the address that a model is named by.
    assert refusal(LLMSettings("huggingface/https://elsewhere.example/v1"))
    monkeypatch.setenv("LLMSPREAD_API_BASES", "https://a.example/v1 https://elsewhere.example/v1")
    assert allowed_address("https://elsewhere.example/v1")


def test_a_visitor_names_only_the_variables_that_the_operator_lists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LLMSPREAD_KEY_VARIABLES", raising=False)
    asked = LLMSettings("openai/tiny", key_variable="DATABASE_PASSWORD")
    assert allowed_keys() == []
    assert refusal(asked) == "The operator has not listed the variable DATABASE_PASSWORD."
    monkeypatch.setenv("LLMSPREAD_KEY_VARIABLES", "CLASS_KEY DATABASE_PASSWORD")
    assert refusal(asked) == ""


def test_what_the_form_says_of_a_model() -> None:
    assert look_up(LLMSettings()) is None
    assert look_up(LLMSettings("openai/tiny", "https://elsewhere.example/v1")) is None
    priced = look_up(LLMSettings("openai/gpt-4o"))
    assert priced is not None
    assert priced.priced
    assert list(priced.keys) == ["OPENAI_API_KEY"]
    local = look_up(LLMSettings("openai/tiny", "http://127.0.0.1:8080/v1"))
    assert local is not None
    assert not local.priced
    unknown = look_up(LLMSettings("no-such-provider"))
    assert unknown is not None
    assert "provider litellm knows" in unknown.problem


def test_the_lines_that_make_the_run_again_name_the_limit_and_the_variable() -> None:
    llm = LLMSettings("openai/gpt-4o", limit=2.0, key_variable="CLASS_KEY")
    lines = Settings(decider="llm", llm=llm).python()
    assert "LLMDecider('openai/gpt-4o', max_cost_usd=2.0, key_variable='CLASS_KEY')" in lines


def test_a_decision_in_words() -> None:
    failed = Decision(Outcome.FAILED, reason="timeout: no complete answer in time")
    assert decided(failed).endswith("no valid answer (timeout: no complete answer in time).")
    assert "not to repost. Why: Old news." in decided(Decision(Outcome.DECLINE, reason="Old news."))
    assert decided(Decision(Outcome.REPOST)).endswith("to repost.")
