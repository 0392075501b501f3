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

from mesa_llmspread import DecisionStore, LLMDecider, SpreadData, SpreadModel
from mesa_llmspread.app.language_model import (
    Watched,
    allowed_address,
    allowed_keys,
    look_up,
    refusal,
)
from mesa_llmspread.app.session import THREADS, Session
from mesa_llmspread.app.settings import LLMSettings, Settings
from mesa_llmspread.deciders.llm.client import key_variables
from mesa_llmspread.deciders.llm.event_loop import stopped_by
from mesa_llmspread.exceptions import (
    ArgumentError,
    BudgetExceededError,
    DeciderError,
    MissingKeyError,
    StoppedError,
)

KEY = "planted-key-0123456789abcdef"


def slow(seconds: float) -> Reply:
    quick = answer()
    return Reply(content=quick.content, delay=seconds)


def watched(server: ScriptedServer, **settings: Any) -> Watched:
    decider = LLMDecider("openai/tiny", api_base=server.api_base, **settings)
    decider.check()
    return Watched(decider)


def while_stepping(
    model: SpreadModel, stop: threading.Event, action: Callable[[], None]
) -> Exception | None:
    """Do something during a step that an event can stop; return the step's error."""
    errors: list[Exception] = []

    def step() -> None:
        try:
            with stopped_by(stop):
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
    decider = watched(scripted_server, max_concurrency=4)
    model = SpreadModel(n=200, decider=decider, rng=1)

    def stop_when_asked() -> None:
        eventually(lambda: len(scripted_server.requests) == 4)
        stop.set()

    assert isinstance(while_stepping(model, stop, stop_when_asked), StoppedError)
    assert (model.clock, model.infected) == (0, 10)
    assert all(agent.decision is None for agent in model.spreaders)
    assert decider.progress.done == 0
    eventually(lambda: scripted_server.in_flight == 0)
    assert len(scripted_server.requests) == 4

    scripted_server.script = answer()
    model.step()
    assert model.clock == 1
    asked = model.exposures
    assert str(decider.progress) == f"{asked} of {asked} calls, cost unknown, 0 failed"
    assert len(scripted_server.requests) == 4 + asked


def test_stop_counts_before_the_first_call(scripted_server: ScriptedServer) -> None:
    stop = threading.Event()
    stop.set()
    model = SpreadModel(n=60, decider=watched(scripted_server), rng=1)
    assert isinstance(while_stepping(model, stop, stop.set), StoppedError)
    assert scripted_server.requests == []


def test_progress_is_exact_while_a_step_is_under_way(scripted_server: ScriptedServer) -> None:
    # The first ten come at once, three of them without an answer; then nothing more does.
    replies = iter([answer()] * 7 + [Reply("no JSON")] * 3)
    scripted_server.script = lambda body: next(replies, slow(300.0))
    stop = threading.Event()
    decider = watched(scripted_server, max_concurrency=12)
    model = SpreadModel(n=200, decider=decider, rng=1)
    seen = []

    def watch_and_stop() -> None:
        eventually(lambda: decider.progress.done == 10 and len(scripted_server.requests) == 22)
        seen.append(decider.progress)
        stop.set()

    assert isinstance(while_stepping(model, stop, watch_and_stop), StoppedError)
    assert (seen[0].done, seen[0].failed) == (10, 3)
    assert seen[0].total > 22


def test_a_closed_session_stops_its_calls(scripted_server: ScriptedServer) -> None:
    scripted_server.script = slow(300.0)
    llm = LLMSettings("openai/tiny", scripted_server.api_base, max_cost_usd=0.0)
    session = Session(Settings(n=60, decider="llm", llm=llm), running=True)
    eventually(lambda: scripted_server.in_flight > 5)
    session.close()
    eventually(lambda: scripted_server.in_flight == 0)
    eventually(lambda: THREADS not in [thread.name for thread in threading.enumerate()])


def test_a_stopped_step_of_a_session_never_was(scripted_server: ScriptedServer) -> None:
    scripted_server.script = slow(300.0)
    llm = LLMSettings("openai/tiny", scripted_server.api_base, max_cost_usd=0.0)
    session = Session(Settings(n=60, decider="llm", llm=llm), running=True)
    try:
        eventually(lambda: scripted_server.in_flight > 5)
        assert session.progress is not None
        assert session.progress.total > 5
        session.stop()
        eventually(lambda: not session.view.busy)
        assert (session.view.clock, session.view.problem, session.progress) == (0, "", None)
        eventually(lambda: scripted_server.in_flight == 0)
        # Another choice ends the calls too.
        session.run()
        eventually(lambda: scripted_server.in_flight > 5)
        session.apply(Settings(n=60, decider="SI"))
        eventually(lambda: session.view.decided_by == "the law SI(0.05)")
        eventually(lambda: scripted_server.in_flight == 0)
    finally:
        session.close()


def test_the_spending_limit_is_the_deciders(scripted_server: ScriptedServer) -> None:
    llm = LLMSettings("openai/gpt-4o", scripted_server.api_base, max_cost_usd=0.02)
    settings = Settings(n=200, decider="llm", llm=llm)
    decider = settings.make_decider()
    with pytest.raises(BudgetExceededError) as caught:
        settings.make_model(Watched(decider)).step()
    assert (caught.value.argument, caught.value.limit) == ("max_cost_usd", 0.02)
    assert 0 < decider.client.price(100, 10) * len(scripted_server.requests) <= 0.02
    session = Session(settings, running=True)
    try:
        eventually(lambda: bool(session.view.problem))
        assert "spending limit of 0.02 USD is reached" in session.view.problem
        assert session.view.clock == 0
    finally:
        session.close()


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
    with pytest.raises(MissingKeyError) as missing:
        model.step()
    assert "CLASS_KEY" in str(missing.value)
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
    assert KEY not in repr(decider.client) + json.dumps(model.info.to_dict())

    scripted_server.reset(Reply(status=401, error=f"Incorrect API key provided: {KEY}"))
    with pytest.raises(DeciderError) as caught:
        model.step()
    assert KEY not in str(caught.value) + repr(caught.value.__context__)


@pytest.mark.parametrize("name", ["sk-abc", "0f3e5c7a9b", "abcdef0123456789", "", 3])
def test_a_key_is_no_name_and_is_not_shown(name: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        LLMDecider("openai/tiny", key_variable=name)
    assert caught.value.argument == "key_variable"
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


def test_what_the_form_shows_of_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    assert look_up(LLMSettings()) is None
    assert look_up(LLMSettings("openai/tiny", "https://elsewhere.example/v1")) is None
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("LLMSPREAD_KEY_VARIABLES", "CLASS_KEY")
    keys = {"": "OPENAI_API_KEY (set)", "CLASS_KEY": "CLASS_KEY (not set)"}
    assert look_up(LLMSettings("openai/gpt-4o")) == (keys, True)
    monkeypatch.delenv("OPENAI_API_KEY")
    keys[""] = "none needed, or set"
    assert look_up(LLMSettings("openai/tiny", "http://127.0.0.1:8080/v1")) == (keys, False)
    with pytest.raises(ArgumentError) as caught:
        look_up(LLMSettings("no-such-provider"))
    assert caught.value.value == "no-such-provider"


def test_the_lines_that_make_the_run_again_name_the_limit_and_the_variable() -> None:
    llm = LLMSettings("openai/gpt-4o", max_cost_usd=2.0, key_variable="CLASS_KEY")
    lines = Settings(decider="llm", llm=llm).python()
    assert "LLMDecider('openai/gpt-4o', max_cost_usd=2.0, key_variable='CLASS_KEY')" in lines
