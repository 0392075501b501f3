"""A language model on the page: its progress, stopping, the spending limit, and keys."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pickle
import subprocess
import sys
import threading
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers import Reply, ScriptedServer, answer
from waiting import eventually

from mesa_llmspread import DecisionStore, LLMDecider, SpreadData, SpreadModel
from mesa_llmspread.app.export import ANSWERS, python_lines, zipped
from mesa_llmspread.app.live_models import Access, LookUp, Watched, access_of, look_up, read_models
from mesa_llmspread.app.session import THREADS, Session
from mesa_llmspread.app.settings import LLMSettings, Settings
from mesa_llmspread.deciders.llm.event_loop import stopped_by
from mesa_llmspread.deciders.llm.providers import key_variables
from mesa_llmspread.exceptions import (
    ArgumentError,
    BudgetExceededError,
    DeciderError,
    InputFileError,
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
    session = Session(Settings(n=60, decider="llm", llm=llm), access=Access(free=True))
    session.run()
    eventually(lambda: scripted_server.in_flight > 5)
    session.close()
    eventually(lambda: scripted_server.in_flight == 0)
    eventually(lambda: THREADS not in [thread.name for thread in threading.enumerate()])


def test_a_stopped_step_of_a_session_never_was(scripted_server: ScriptedServer) -> None:
    scripted_server.script = slow(300.0)
    llm = LLMSettings("openai/tiny", scripted_server.api_base, max_cost_usd=0.0)
    session = Session(Settings(n=60, decider="llm", llm=llm), access=Access(free=True))
    session.run()
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
        eventually(lambda: session.view.settings.decider == "SI")
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
    session = Session(settings, access=Access(free=True))
    session.run()
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


def test_what_a_free_visitor_may_call() -> None:
    access = Access(free=True)
    for address in ("", "http://localhost:11434", "http://127.0.0.1:8080/v1", "http://[::1]:80"):
        assert access.refusal(LLMSettings("openai/tiny", address)) == ""
    for address in (
        "https://elsewhere.example/v1",
        "http://localhost@elsewhere.example",
        "http://[",
    ):
        assert access.refusal(LLMSettings("openai/tiny", address))
    # Some providers call the address that a model is named by.
    assert access.refusal(LLMSettings("huggingface/https://elsewhere.example/v1"))
    assert access.refusal(LLMSettings("openai/tiny", key_variable="DATABASE_PASSWORD"))


LOCAL = {"host": ["127.0.0.1:8765"], "origin": ["http://127.0.0.1:8765"]}


@pytest.mark.parametrize(
    ("server", "headers", "free"),
    [
        ("127.0.0.1", LOCAL, True),
        ("localhost", {"host": ["localhost:8765"]}, True),
        ("::1", {"host": ["[::1]:8765"]}, True),
        # Beyond this machine: by the server, through a proxy, from another site, or not known.
        ("0.0.0.0", LOCAL, False),
        ("192.168.1.20", LOCAL, False),
        ("127.0.0.1", LOCAL | {"x-forwarded-for": ["10.0.0.7"]}, False),
        ("127.0.0.1", LOCAL | {"host": ["spread.example.org"]}, False),
        ("127.0.0.1", LOCAL | {"origin": ["https://evil.example"]}, False),
        ("", LOCAL, False),
    ],
)
def test_only_on_this_machine_may_a_visitor_name_models(
    server: str, headers: dict[str, list[str]], free: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLMSPREAD_MODELS", raising=False)
    monkeypatch.setenv("SERVER_NAME", server)
    assert access_of(headers) == Access(free=free)


def test_visitors_have_the_models_that_the_operator_lists(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(
        "models:\n"
        "  - model: openai/gpt-4o-mini\n    key_variable: CLASS_KEY\n    max_cost_usd: 2\n"
        "  - model: gguf:/models/small.gguf\n"
    )
    monkeypatch.setenv("LLMSPREAD_MODELS", str(file))
    monkeypatch.setenv("SERVER_NAME", "127.0.0.1")
    access = access_of(LOCAL)
    listed = LLMSettings("openai/gpt-4o-mini", max_cost_usd=2.0, key_variable="CLASS_KEY")
    assert access == Access((listed, LLMSettings("gguf:/models/small.gguf")))
    assert access.refusal(listed) == ""
    for changed in (
        {"api_base": "http://127.0.0.1:1/"},
        {"key_variable": ""},
        {"max_cost_usd": 9.0},
    ):
        assert access.refusal(dataclasses.replace(listed, **changed))
    # It is read once.
    file.write_text("models: 3\n")
    assert access_of(LOCAL) == access


@pytest.mark.parametrize(
    "text",
    [
        "models: 3",
        "models: [{api_base: x}]",
        f"models: [{{model: a, api_key: {KEY}}}]",
        f"models: [{{model: a, max_cost_usd: {KEY}}}]",
        f"models: [{{model: a, key_variable: {KEY}}}]",
        f"models: [{{model: a, api_base: 'http://me:{KEY}@host'}}]",
        f"models: [{KEY}]",
        f"models:\n  - model: a\n    api_key={KEY}\n    max_cost_usd: 1\n",
    ],
)
def test_a_wrong_list_of_models_is_refused_without_its_values(text: str, tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(text)
    with pytest.raises(InputFileError) as caught:
        read_models(file)
    assert caught.value.path == file
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_settings_left_empty_are_not_there(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("models:\n  - model: openai/tiny\n    max_cost_usd:\n    key_variable:\n")
    assert read_models(file) == (LLMSettings("openai/tiny"),)


@pytest.mark.parametrize("listed", ["{model: openai/tiny}", f"{{model: a, api_key: {KEY}}}"])
def test_a_server_starts_without_statistics_and_only_with_a_sound_list(
    listed: str, tmp_path: Path
) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(f"models: [{listed}]")
    served = "import mesa_llmspread.app.main\nfrom solara.server.settings import telemetry\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{served}print(telemetry.mixpanel_enable)"],
        env={**os.environ, "LLMSPREAD_MODELS": str(file)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert KEY not in done.stdout + done.stderr
    assert (done.returncode, done.stdout) == ((1, "") if KEY in listed else (0, "False\n"))


def test_a_session_calls_only_what_its_visitor_may(scripted_server: ScriptedServer) -> None:
    session = Session(Settings(n=60, decider="SI"))
    eventually(lambda: session.view.model is not None and not session.view.busy)
    before = session.view
    llm = LLMSettings("openai/tiny", scripted_server.api_base, max_cost_usd=0.0)
    session.apply(Settings(n=60, decider="llm", llm=llm), run=True)
    assert session.view.problem
    assert (session.view.run, session.view.busy) == (before.run, "")
    session.close()
    assert scripted_server.requests == []


def test_what_the_form_shows_of_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert look_up(LLMSettings("openai/gpt-4o")) == LookUp(priced=True)
    monkeypatch.delenv("OPENAI_API_KEY")
    assert look_up(LLMSettings("openai/gpt-4o")) == LookUp(("OPENAI_API_KEY",), True)
    assert look_up(LLMSettings("openai/tiny", "http://127.0.0.1:8080/v1")) == LookUp()
    with pytest.raises(ArgumentError) as caught:
        look_up(LLMSettings("no-such-provider"))
    assert caught.value.value == "no-such-provider"
    with pytest.raises(InputFileError):
        look_up(LLMSettings("gguf:/no/such/file.gguf"))


def test_the_exported_lines_make_the_run_again_without_a_call(
    scripted_server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted_server.script = answer()
    # There is no limit where no price is known, and no key afterwards.
    llm = LLMSettings("openai/tiny", scripted_server.api_base, key_variable="CLASS_KEY")
    monkeypatch.setenv("CLASS_KEY", KEY)
    settings = Settings(n=20, k=4, initial_infected=2, decider="llm", llm=llm)
    session = Session(settings, access=Access((llm,)))
    try:
        eventually(lambda: session.view.model is not None and not session.view.busy)
        session.step()
        eventually(lambda: session.view.data is not None)
        view = session.view
        zipfile.ZipFile(io.BytesIO(zipped(view.data, view.answers))).extractall(tmp_path)
    finally:
        session.close()
    assert view.answers is not None
    assert not view.answers.exists()
    assert (tmp_path / ANSWERS).is_file()
    asked = len(scripted_server.requests)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLASS_KEY")
    names: dict[str, Any] = {}
    exec(python_lines(view.settings, view.clock), names)
    assert names["model"].infected == view.infected[-1]
    assert len(scripted_server.requests) == asked
