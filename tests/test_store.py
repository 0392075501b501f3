"""Kept calls: records that resume and replay, budgets, and a file that several share."""

from __future__ import annotations

import asyncio
import datetime
import json
import multiprocessing
import os
import pickle
import selectors
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from servers import Reply, ScriptedServer, answer, impatient

from mesa_llmspread.cli import llm as commands
from mesa_llmspread.data import SpreadData
from mesa_llmspread.deciders import LLMDecider, Outcome
from mesa_llmspread.deciders.base import Exposure, Post
from mesa_llmspread.deciders.llm.call import Call
from mesa_llmspread.deciders.llm.limits import Limits, Pace
from mesa_llmspread.deciders.llm.persona_check import check_personas
from mesa_llmspread.deciders.llm.store import DecisionStore
from mesa_llmspread.events import OfflineEvent, bundled_events
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    BudgetExceededError,
    InputFileError,
    OutputError,
    ReplayMissError,
    TooManyFailuresError,
    UnknownNameError,
)
from mesa_llmspread.model import SpreadModel
from mesa_llmspread.profiles import all_profiles


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.sqlite"


def call(key: str = "k", **values: Any) -> Call:
    given = {
        "key": key,
        "run": "r",
        "model": "openai/tiny",
        "parameters": "{}",
        "schema": "1",
        "draw": "1:0",
        "step": 1,
        "agent": 0,
        "profile": "ocean",
        "event": "e",
        "outcome": "repost",
        "answer": '{"repost": true, "post": "Oh", "reason": "why"}',
        "finish_reason": "stop",
        "prompt_tokens": 100,
        "completion_tokens": 10,
        "cost": 0.25,
    }
    return Call(**{**given, **values})


def failed(key: str, error: str = "server", **values: Any) -> Call:
    nothing = dict.fromkeys(("answer", "finish_reason", "prompt_tokens", "completion_tokens"))
    return call(key, outcome="failed", error=error, **{**nothing, "cost": None, **values})


def exposures(n: int, step: int = 1) -> list[Exposure]:
    event = bundled_events()[0]
    return [
        Exposure(
            step, agent, all_profiles()[agent % 32], event, 1, 1, 1, False, (Post(99, 0, "!"),)
        )
        for agent in range(n)
    ]


def decider(server: ScriptedServer, path: Path | None = None, **options: Any) -> LLMDecider:
    return impatient(LLMDecider("openai/tiny", api_base=server.api_base, store=path, **options))


def ask(who: LLMDecider, n: int = 1, step: int = 1, seed: int = 1) -> list[Any]:
    run = who.for_run(n, np.random.default_rng(seed))
    return run.decide(exposures(n, step), np.random.default_rng(0))


def by_prompt(request: dict[str, Any]) -> Reply:
    """Answers that depend on the request alone, some of them malformed."""
    seed = request["seed"]
    return Reply("no JSON") if seed % 7 == 0 else answer(seed % 3 == 0, f"post {seed}")


def run(decider: LLMDecider, **settings: Any) -> SpreadData:
    given = {"n": 24, "k": 4, "initial_infected": 3, "rng": 5, **settings}
    return SpreadData.from_model(SpreadModel(decider=decider, **given).run(steps=8))


# The file


def test_what_is_kept_is_found_in_another_process(path: Path) -> None:
    with DecisionStore(path) as store:
        assert store.get("k") is None
        store.keep(call(latency=0.5))
        assert pickle.loads(pickle.dumps(store)).get("k") == (call(latency=0.5), False)


def test_the_first_answer_stays(path: Path) -> None:
    one, other = DecisionStore(path), DecisionStore(path)
    assert one.keep(call()) == call()
    assert other.keep(call(served="another")) == call()
    assert other.info()["calls"] == 1


def test_only_passing_failures_are_asked_again(path: Path) -> None:
    store = DecisionStore(path)
    for one in (failed("a"), failed("b", "refusal"), call("c")):
        store.keep(one)
    store.ask_again(["a", "b", "c"], ("server",))
    assert [store.get(key)[1] for key in "abc"] == [True, False, False]
    assert store.keep(call("a")) == call("a")
    assert store.get("a") == (call("a"), False)
    assert store.keep(call("b")).error == "refusal"
    assert store.verify() == []


def test_prompts_are_kept_on_request_only(path: Path, tmp_path: Path) -> None:
    assert DecisionStore(path).keep(call(prompt="words")).prompt is None
    assert DecisionStore(path).get("k")[0].prompt is None
    assert DecisionStore(tmp_path / "b.db", store_prompts=True).keep(call(prompt="w")).prompt == "w"


def test_info_says_what_is_known(path: Path) -> None:
    store = DecisionStore(path)
    assert store.info()["tokens"] == {"prompt": 0, "completion": 0}
    store.keep(call("a"))
    store.keep(failed("b", run="s"))
    store.reserve(0.5)
    info = json.loads(json.dumps(store.info()))
    assert info == {
        "path": str(path),
        "calls": 2,
        "runs": 2,
        "prompts_kept": 0,
        "models": {"openai/tiny": 2},
        "outcomes": {"failed": 1, "repost": 1},
        "errors": {"server": 1},
        "tokens": {"prompt": 100, "completion": 10},
        "cost_usd": 0.25,
        "requests_sent": 1,
        "spent_usd": 0.5,
    }
    store.keep(call("c", cost=None, prompt_tokens=None, completion_tokens=None))
    assert store.info()["cost_usd"] is None
    assert store.info()["spent_usd"] is None
    assert store.info()["tokens"] is None


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_calls_go_to_other_programs(path: Path, tmp_path: Path, suffix: str) -> None:
    store = DecisionStore(path)
    store.keep(call("b", agent=1))
    store.keep(call("a"))
    store.keep(failed("c", agent=2))
    out = store.export(tmp_path / f"calls.{suffix}")
    read = {
        "csv": pd.read_csv,
        "jsonl": lambda file: pd.read_json(file, lines=True),
        "parquet": pd.read_parquet,
    }
    table = read[suffix](out)
    assert list(table["key"]) == ["a", "b", "c"]
    assert list(table["post"].fillna("")) == ["Oh", "Oh", ""]
    assert list(table["prompt_tokens"])[:2] == [100, 100]


def test_a_spreadsheet_runs_no_word_of_a_model(path: Path, tmp_path: Path) -> None:
    store, words = DecisionStore(path), '=HYPERLINK("http://evil.example")'
    answered = json.dumps({"repost": True, "post": words, "reason": "-1"})
    store.keep(call("a", answer=answered, prompt_tokens=None))
    store.keep(call("b", prompt_tokens=7))
    table = pd.read_csv(store.export(tmp_path / "calls.csv"), dtype=str, keep_default_na=False)
    assert list(table.loc[0, ["post", "reason"]]) == [f"'{words}", "'-1"]
    assert list(table["prompt_tokens"]) == ["", "7"]
    whole = pd.read_parquet(store.export(tmp_path / "calls.parquet"))
    assert whole.loc[0, "post"] == words


def test_an_export_of_another_kind_is_refused(path: Path) -> None:
    with pytest.raises(ArgumentError) as caught:
        DecisionStore(path).export("calls.xlsx")
    assert (caught.value.argument, caught.value.value) == ("path", "calls.xlsx")


def test_damage_is_found(path: Path) -> None:
    store = DecisionStore(path)
    for key in "abc":
        store.keep(call(key, latency=1.0, cost=1e-7))
    assert store.verify() == []
    store.close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE calls SET outcome = 'decline' WHERE key = 'b'")
    database.close()
    (fault,) = store.verify()
    assert "call b: was changed" in fault


def test_other_files_are_not_stores(tmp_path: Path) -> None:
    text, other, newer = (tmp_path / name for name in ("text", "other", "newer"))
    text.write_text("no database " * 100)
    for file, statement in ((other, "CREATE TABLE t (x)"), (newer, "PRAGMA user_version = 9")):
        if file is newer:
            DecisionStore(file).info()
        database = sqlite3.connect(file)
        database.execute(statement)
        database.commit()
        database.close()
    for file, problem in ((text, "not a sound store"), (other, "else"), (newer, "format 9")):
        with pytest.raises(InputFileError) as caught:
            DecisionStore(file).info()
        assert caught.value.path == file
        assert problem in caught.value.problem
    nowhere = tmp_path / "nowhere" / "calls.sqlite"
    with pytest.raises(OutputError) as unwritable:
        DecisionStore(nowhere).info()
    assert unwritable.value.path == nowhere
    with pytest.raises(ArgumentTypeError) as wrong:
        DecisionStore(3)  # type: ignore[arg-type]
    assert (wrong.value.argument, wrong.value.value) == ("path", 3)


def _keep_many(path: Path, offset: int) -> int:
    store = DecisionStore(path)
    taken = 0
    for number in range(100):
        store.keep(call(f"{(number + offset) % 150}", agent=offset))
        taken += store.reserve(0.0, max_calls=250)
    return taken


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_processes_share_a_file(path: Path, method: str) -> None:
    store = DecisionStore(path)
    if method == "fork":
        store.info()  # an open connection, which a child must not use
    with multiprocessing.get_context(method).Pool(3) as pool:
        taken = pool.starmap(_keep_many, [(path, offset) for offset in (0, 50, 100)])
    assert sum(taken) == 250
    assert store.spent() == (250, 0.0)
    assert store.info()["calls"] == 150
    assert store.verify() == []


# Recording, resuming, replaying


def test_a_record_is_asked_once(scripted_server: ScriptedServer, path: Path) -> None:
    scripted_server.script = by_prompt
    first = run(decider(scripted_server, path, max_failed=1.0))
    asked = len(scripted_server.requests)
    assert asked == len(first.exposures) == DecisionStore(path).info()["calls"]
    assert set(first.exposures["outcome"]) == {"repost", "decline", "failed"}
    second = run(decider(scripted_server, path, max_failed=1.0))
    assert len(scripted_server.requests) == asked
    pd.testing.assert_frame_equal(first.exposures, second.exposures)
    assert first.info == second.info
    run(decider(scripted_server, path, max_failed=1.0), rng=6)
    assert len(scripted_server.requests) > asked


def test_a_record_is_what_a_live_run_is(scripted_server: ScriptedServer, path: Path) -> None:
    scripted_server.script = by_prompt
    live, record = (run(decider(scripted_server, p, max_failed=1.0)) for p in (None, path))
    pd.testing.assert_frame_equal(live.exposures, record.exposures)
    assert live.info == record.info


REPLAY = """
import sys
from pathlib import Path
from mesa_llmspread import LLMDecider, SpreadData, SpreadModel

decider = LLMDecider("openai/tiny", store=sys.argv[1], mode="replay", max_failed=1.0)
model = SpreadModel(n=24, k=4, initial_infected=3, rng=5, decider=decider).run(steps=8)
SpreadData.from_model(model).save(Path(sys.argv[2]))
assert "litellm" not in sys.modules
"""


def test_a_replay_needs_no_server_and_no_library(
    scripted_server: ScriptedServer, path: Path, tmp_path: Path
) -> None:
    scripted_server.script = by_prompt
    recorded = run(decider(scripted_server, path, max_failed=1.0))
    asked = len(scripted_server.requests)
    command = [sys.executable, "-c", REPLAY, path, tmp_path / "replayed"]
    root = str(Path(__file__).parents[1])
    subprocess.run(command, env={**os.environ, "PYTHONPATH": root}, check=True, timeout=120)
    replayed = SpreadData.load(tmp_path / "replayed")
    pd.testing.assert_frame_equal(recorded.exposures, replayed.exposures)
    pd.testing.assert_frame_equal(recorded.counts, replayed.counts)
    assert len(scripted_server.requests) == asked


def test_calls_that_were_recorded_before_are_replayed(tmp_path: Path) -> None:
    # If this fails, users' stores can no longer be replayed.
    data = Path(__file__).with_name("data")
    path = shutil.copy(data / "calls_1.sqlite", tmp_path)
    recorded = json.loads((data / "calls_1.json").read_text(encoding="utf-8"))
    place = ("Riots", "", "Talvara", "Dessing", (), 0, False, "A bridge was closed.")
    event = OfflineEvent("e1", datetime.date(2024, 5, 14), *place)
    posts = (Post(500, 0, "Have you seen this?"), Post(501, 0))
    settings = {"store": path, "mode": "replay", "max_failed": 1.0, "template": "persona_first"}
    run = LLMDecider("openai/tiny", **settings).for_run(6, np.random.default_rng(1))
    decisions = []
    for step in (1, 2):
        seen = [
            Exposure(step, a, all_profiles()[a % 2], event, 2, 3, step, a % 2 == 0, posts)
            for a in range(6)
        ]
        decisions += run.decide(seen, np.random.default_rng(step))
    assert [[d[0].value, *d[1:]] for d in decisions] == recorded["independent"]
    assert run.manifest()["calls"] == recorded["independent calls"]
    check = check_personas(LLMDecider("openai/tiny", **settings), rng=3)
    assert check.table["low"].tolist() == recorded["personas"]
    assert DecisionStore(path).info() == {**recorded["info"], "path": str(path)}
    assert DecisionStore(path).verify() == []


def test_a_miss_names_the_agent_and_the_step(scripted_server: ScriptedServer, path: Path) -> None:
    ask(decider(scripted_server, path), 4, step=3)
    replay = LLMDecider("openai/tiny", store=path, mode="replay")
    assert [d.outcome for d in ask(replay, 4, step=3)] == [Outcome.REPOST] * 4
    with pytest.raises(ReplayMissError) as caught:
        ask(replay, 5, step=3)
    assert (caught.value.agent, caught.value.step, caught.value.path) == (4, 3, path)
    # No advice to go on: a replay never asks.
    assert not hasattr(caught.value, "__notes__")


def test_there_must_be_something_to_replay(path: Path) -> None:
    with pytest.raises(ArgumentError) as caught:
        LLMDecider("openai/tiny", store=path, mode="replay").check()
    assert (caught.value.argument, caught.value.value) == ("store", str(path))
    assert not path.exists()


def test_a_step_ended_by_failures_is_asked_again_where_that_may_help(
    scripted_server: ScriptedServer, path: Path
) -> None:
    trouble = {3: Reply(status=503), 5: Reply("no JSON")}
    scripted_server.script = lambda _: trouble.get(len(scripted_server.requests), answer())
    who = decider(scripted_server, path, max_failed=0.05, max_concurrency=1, max_attempts=1)
    run = who.for_run(8, np.random.default_rng(1))
    rng = np.random.default_rng(0)
    with pytest.raises(TooManyFailuresError):
        run.decide(exposures(8), rng)
    assert DecisionStore(path).info()["errors"] == {"malformed": 1, "server": 1}
    # The same run object can go on: what did not come about does not count.
    decisions = run.decide(exposures(8), rng)
    assert Counter(d.outcome for d in decisions) == {Outcome.REPOST: 7, Outcome.FAILED: 1}
    assert run.manifest()["decisions"] == 8
    assert run.manifest()["failed"] == {"malformed": 1}
    # Five calls before the end, then the one with trouble and the three never made.
    assert len(scripted_server.requests) == 5 + 1 + 3
    assert DecisionStore(path).verify() == []


def test_the_store_holds_the_prompt_that_was_sent(
    scripted_server: ScriptedServer, path: Path
) -> None:
    ask(decider(scripted_server), 1)
    (live,) = scripted_server.requests
    who = LLMDecider(
        "openai/tiny",
        api_base=scripted_server.api_base,
        store=DecisionStore(path, store_prompts=True),
    )
    (decision,) = ask(who, 1)
    assert scripted_server.requests[1]["messages"] == live["messages"]
    kept, _ = DecisionStore(path).get(decision.key)
    assert json.loads(kept.prompt) == live["messages"]
    assert kept.latency > 0


def test_two_runs_at_once_agree(scripted_server: ScriptedServer, path: Path) -> None:
    lock = threading.Lock()
    turns = iter(range(1000))

    def never_the_same(_: dict[str, Any]) -> Reply:
        with lock:
            return Reply(answer(next(turns) % 2 == 0).content, delay=(0.0, 0.05))

    scripted_server.script = never_the_same
    results: dict[int, list[Any]] = {}
    threads = [
        threading.Thread(
            target=lambda i=i: results.update({i: ask(decider(scripted_server, path), 12)})
        )
        for i in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0] == results[1]


def test_a_file_that_another_process_is_just_making_is_waited_for(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.2, lambda: other.execute("ROLLBACK"))
    release.start()
    with DecisionStore(path) as store:
        assert store.info()["calls"] == 0
    release.join()
    other.close()


@pytest.mark.parametrize(
    ("options", "error", "argument"),
    [
        ({"mode": "recrd"}, UnknownNameError, "mode"),
        ({"mode": "record"}, ArgumentError, "mode"),
        ({"mode": "replay"}, ArgumentError, "mode"),
        ({"store": "x", "mode": "live"}, ArgumentError, "mode"),
        ({"store": 3}, ArgumentTypeError, "store"),
        ({"max_calls": 0}, ArgumentError, "max_calls"),
        ({"max_cost_usd": -1}, ArgumentError, "max_cost_usd"),
        ({"requests_per_minute": 0}, ArgumentError, "requests_per_minute"),
        ({"tokens_per_minute": "many"}, ArgumentTypeError, "tokens_per_minute"),
    ],
)
def test_wrong_arguments_are_named(
    options: dict[str, Any], error: type[ArgumentError | ArgumentTypeError], argument: str
) -> None:
    with pytest.raises(error) as caught:
        LLMDecider("openai/tiny", **options)
    assert type(caught.value) is error
    assert caught.value.argument == argument
    assert caught.value.value == options[argument]


# Budgets and paces


@pytest.mark.parametrize("kept", [True, False])
def test_calls_stop_at_the_limit_whoever_makes_them(
    scripted_server: ScriptedServer, path: Path, kept: bool
) -> None:
    who = decider(scripted_server, path if kept else None, max_calls=10)
    ask(who, 4)
    with pytest.raises(BudgetExceededError) as caught:
        ask(who, 12, seed=2)
    assert (caught.value.argument, caught.value.limit, caught.value.spent) == ("max_calls", 10, 10)
    assert len(scripted_server.requests) == 10
    if kept:
        # The calls that were under way came back and are not paid for again.
        more = decider(scripted_server, path, max_calls=16)
        assert len(ask(more, 12, seed=2)) == 12


def test_attempts_count_as_calls(scripted_server: ScriptedServer, path: Path) -> None:
    scripted_server.script = Reply(status=500)
    with pytest.raises(BudgetExceededError):
        ask(decider(scripted_server, path, max_calls=3, max_attempts=5))
    assert len(scripted_server.requests) == 3


@pytest.mark.parametrize("kept", [True, False])
def test_money_stops_at_the_limit(scripted_server: ScriptedServer, path: Path, kept: bool) -> None:
    who = LLMDecider(
        "openai/gpt-4o-mini",
        scripted_server.api_base,
        store=path if kept else None,
        max_tokens=20,
        max_cost_usd=0.002,
    )
    with pytest.raises(BudgetExceededError) as caught:
        ask(who, 160)
    assert (caught.value.argument, caught.value.limit) == ("max_cost_usd", 0.002)
    # Every call is charged at its worst while it is under way, and at what it cost when it is
    # back: the limit is not passed, and many more calls fit than at the worst.
    assert 0.001 < caught.value.spent <= 0.002
    one = 100 * 0.15e-6 + 10 * 0.6e-6
    assert len(scripted_server.requests) * one == pytest.approx(caught.value.spent)


def test_an_unknown_price_cannot_be_limited(scripted_server: ScriptedServer) -> None:
    with pytest.raises(ArgumentError) as caught:
        ask(decider(scripted_server, None, max_cost_usd=1.0))
    assert (caught.value.argument, caught.value.value) == ("max_cost_usd", 1.0)
    assert scripted_server.requests == []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next thing to do instead of waiting for it."""

    def __init__(self) -> None:
        selector = selectors.DefaultSelector()
        wait = selector.select

        def jump(timeout: float | None = None) -> Any:
            # A little more than asked for, or a rounded sum might never be reached.
            self.now += timeout + 1e-6 if timeout else 0.0
            return wait(0)

        self.now = 0.0
        selector.select = jump  # type: ignore[method-assign]
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def taken(per_minute: float, amounts: list[float]) -> list[float]:
    """Return when each of several, who come at once, has its amount, in seconds."""

    async def take_all() -> list[float]:
        pace = Pace(per_minute)

        async def take(amount: float) -> float:
            await pace.take(amount)
            return loop.time()

        return list(await asyncio.gather(*map(take, amounts)))

    loop = VirtualLoop()
    try:
        return loop.run_until_complete(take_all())
    finally:
        loop.close()


def test_calls_wait_for_their_turn_in_order() -> None:
    assert taken(600, [1.0] * 40) == pytest.approx(
        [0.0] * 10 + [i / 10 for i in range(1, 31)], abs=1e-3
    )
    # Slower than one per second, and more at once than there is room for.
    assert taken(30, [1.0] * 4) == pytest.approx([0.0, 2.0, 4.0, 6.0], abs=1e-3)
    assert taken(30, [25.0, 5.0]) == pytest.approx([48.0, 58.0], abs=1e-3)


def paced(limits: Limits, tokens: float, times: int) -> float:
    """Return when the last of some requests may be sent, on a loop of their own."""

    async def take() -> float:
        await asyncio.gather(*(limits.take(tokens, 0.0) for _ in range(times)))
        return loop.time()

    loop = VirtualLoop()
    try:
        return loop.run_until_complete(take())
    finally:
        loop.close()


def test_limits_hold_on_every_loop_and_in_every_copy() -> None:
    store = DecisionStore(":memory:")
    requests = Limits(store, requests_per_minute=60)
    tokens = Limits(store, tokens_per_minute=600)
    for _ in range(2):
        assert paced(requests, 5.0, 4) == pytest.approx(3.0, abs=1e-3)
        assert paced(tokens, 50.0, 2) == pytest.approx(9.0, abs=1e-3)
        requests, tokens = pickle.loads(pickle.dumps((requests, tokens)))


def test_attempts_and_prompts_count_for_the_pace(scripted_server: ScriptedServer) -> None:
    amounts: list[float] = []

    class Noted(Limits):
        async def take(self, tokens: float, most: float) -> None:
            amounts.append(tokens)
            await super().take(tokens, most)

    scripted_server.script = [Reply(status=500), answer()]
    who = decider(scripted_server, max_tokens=99)
    who.caller.limits = Noted(DecisionStore(":memory:"), tokens_per_minute=9e6)
    ask(who)
    # A prompt of some hundred words counts with its longest answer.
    assert len(amounts) == 2
    assert 99 + 300 < amounts[0] < 99 + 1500


# Estimates


def test_an_estimate_says_what_is_unknown() -> None:
    about = LLMDecider("openai/tiny", max_attempts=3).estimate(100, 10, chance=0.5)
    assert about.calls == round(100 * (1 - 0.5**10) / 0.5)
    assert about.most_calls == 100 * 10 * 3
    assert about.cost_usd is about.most_cost_usd is None
    assert "at an unknown price" in str(about)
    assert 300 < about.prompt_tokens / about.calls < 1500
    assert about.most_completion_tokens == about.most_calls * 512


def test_an_estimate_knows_prices_and_pools() -> None:
    def about(**options: Any) -> Any:
        return LLMDecider("openai/gpt-4o-mini", **options).estimate(10**6, 5, k=2)

    assert 0 < about().cost_usd < about().most_cost_usd
    assert "$" in str(about())
    pooled = about(sampling="pooled", feed_detail="counts", draws=3)
    assert pooled.calls == 32 * (6 * 5 * 2) * 3
    assert about(sampling="logprobs", feed_detail="counts").calls == 32 * 6 * 5 * 2
    assert about(sampling="pooled").calls == about().calls


def test_a_run_stays_below_its_estimate(scripted_server: ScriptedServer) -> None:
    scripted_server.script = by_prompt
    who = decider(scripted_server, max_failed=1.0)
    data = run(who)
    about = who.estimate(24, 8, k=4)
    assert len(data.exposures) <= about.most_calls
    sent = [who.client.count_tokens(each["messages"]) for each in scripted_server.requests]
    assert max(sent) <= about.most_prompt_tokens / about.most_calls < 5000
    assert np.mean(sent) == pytest.approx(about.prompt_tokens / about.calls, rel=0.25)


def test_a_small_cost_is_not_nothing() -> None:
    about = LLMDecider("openai/gpt-4o-mini").estimate(20, 1)
    assert "about $0.00," not in str(about)


@pytest.mark.parametrize("options", [{"n": 0}, {"steps": 0}, {"chance": 0.0}, {"k": 0}])
def test_an_estimate_of_nothing_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError) as caught:
        LLMDecider("openai/tiny").estimate(**{"n": 10, "steps": 3, **options})
    assert {caught.value.argument: caught.value.value} == options


# The command line


def test_commands_look_at_a_store(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputFileError) as missing:
        commands.store_info(path)
    assert missing.value.path == path
    assert not path.exists()
    with DecisionStore(path) as store:
        store.keep(call("a"))
        store.keep(failed("b"))
    commands.store_info(path)
    commands.store_export(path, tmp_path / "out.csv")
    commands.store_verify(path)
    said = capsys.readouterr().out
    assert "outcomes: 1 failed, 1 repost" in said
    assert "2 calls, all as they were written" in said
    assert (tmp_path / "out.csv").is_file()
    database = sqlite3.connect(path)
    database.execute("UPDATE calls SET step = 2")
    database.commit()
    database.close()
    with pytest.raises(InputFileError) as damaged:
        commands.store_verify(path)
    assert damaged.value.path == path
    assert "call a: was changed" in damaged.value.problem
    assert "(and 1 more)" in damaged.value.problem
