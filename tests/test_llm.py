"""Language models as deciders, against a scripted server and against a real one."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import http.server
import json
import logging
import os
import pickle
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from errors import refused
from servers import WAYS, Reply, ScriptedServer, answer, both_ways, impatient

from mesa_llmspread import SpreadModel
from mesa_llmspread.deciders import DecisionStore
from mesa_llmspread.deciders.base import Exposure, Outcome, Post
from mesa_llmspread.deciders.llm.decider import LLMDecider
from mesa_llmspread.deciders.llm.faults import presentable
from mesa_llmspread.events import bundled_events
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    DeciderError,
    MissingKeyError,
    ServerUnreachableError,
    TooManyFailuresError,
)
from mesa_llmspread.profiles import all_profiles

SECRET = "sk-proj-veryverysecretveryverysecret0123"


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def exposures(n: int, step: int = 1) -> list[Exposure]:
    event = bundled_events()[0]
    posts = (Post(500, 0, "Have you seen this?"), Post(501, 0))
    return [
        Exposure(step, agent, all_profiles()[agent % 32], event, 2, 2, 1, False, posts)
        for agent in range(n)
    ]


def decider(server: ScriptedServer, model: str = "openai/tiny", **options: Any) -> LLMDecider:
    given = {"max_failed": 1.0, **options}
    return impatient(LLMDecider(model, api_base=server.api_base, **given))


def ask(who: LLMDecider, n: int = 1, step: int = 1) -> list[Any]:
    return who.decide(exposures(n, step), np.random.default_rng(0))


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


# Answers


@both_ways
def test_true_is_a_repost_and_false_a_decline(scripted_server: ScriptedServer, model: str) -> None:
    scripted_server.script = [answer(True, "Look!", "It matters."), answer(False, "?", "No.")]
    first, second = ask(decider(scripted_server, model, max_concurrency=1), 2)
    assert first[:3] == (Outcome.REPOST, "Look!", "It matters.")
    assert second[:3] == (Outcome.DECLINE, "", "No.")
    assert len(first.key) == 32
    assert first.key != second.key


def test_the_request_is_structured_and_has_no_tools(scripted_server: ScriptedServer) -> None:
    ask(decider(scripted_server, temperature=0.3, max_tokens=99))
    (request,) = scripted_server.requests
    assert request["model"] == "tiny"
    assert request["temperature"] == 0.3
    assert request["max_tokens"] == 99
    assert "tools" not in request
    schema = request["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert list(schema["schema"]["properties"]) == ["repost", "post", "reason"]
    assert [message["role"] for message in request["messages"]] == ["system", "user"]
    assert "Haveˆyouˆseenˆthis?" in request["messages"][1]["content"]


def test_decisions_come_in_order_whatever_the_latency(scripted_server: ScriptedServer) -> None:
    profiles = [profile.describe() for profile in all_profiles()]

    def who(request: dict[str, Any]) -> Reply:
        persona = request["messages"][1]["content"]
        (index,) = (i for i, words in enumerate(profiles) if words in persona)
        reply = answer(index % 3 == 0, f"post {index}", f"reason {index}")
        return Reply(reply.content, delay=(0.0, 0.1))

    scripted_server.script = who
    decisions = ask(decider(scripted_server), 32)
    assert [d.reason for d in decisions] == [f"reason {index}" for index in range(32)]
    assert [d.outcome is Outcome.REPOST for d in decisions] == [i % 3 == 0 for i in range(32)]


@both_ways
@pytest.mark.parametrize("limit", [1, 5])
def test_no_more_calls_are_under_way_than_allowed(
    scripted_server: ScriptedServer, model: str, limit: int
) -> None:
    scripted_server.script = Reply(answer().content, delay=(0.005, 0.02))
    who = decider(scripted_server, model, max_concurrency=limit)
    ask(who)
    scripted_server.hold = lambda: scripted_server.most_in_flight < limit
    runs = [who.for_run(50, np.random.default_rng(seed)) for seed in (1, 2)]
    threads = [threading.Thread(target=ask, args=(run, 10)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(scripted_server.requests) == 21
    assert scripted_server.most_in_flight == limit


@both_ways
def test_the_same_seed_sends_the_same_requests(scripted_server: ScriptedServer, model: str) -> None:
    def requests(seed: int) -> list[str]:
        scripted_server.reset()
        run = decider(scripted_server, model).for_run(8, np.random.default_rng(seed))
        ask(run, 8)
        return sorted(json.dumps(request) for request in scripted_server.requests)

    assert requests(1) == requests(1)
    assert not set(requests(1)) & set(requests(2))


def test_each_call_of_a_run_has_a_key_and_a_seed_of_its_own(
    scripted_server: ScriptedServer,
) -> None:
    run = decider(scripted_server).for_run(8, np.random.default_rng(1))
    decisions = ask(run, 8, step=1) + ask(run, 8, step=2)
    assert len({decision.key for decision in decisions}) == 16
    assert len({request["seed"] for request in scripted_server.requests}) == 16


def test_both_ways_send_the_same_words(scripted_server: ScriptedServer) -> None:
    for options in ({}, {"feed_detail": "counts"}, {"sampling": "logprobs"}):
        sent = []
        for model in WAYS.values():
            scripted_server.reset(Reply(raw=b'{"choices": []}'))
            ask(decider(scripted_server, model, temperature=1, max_tokens=77, **options))
            (request,) = scripted_server.requests
            sent.append({**request, "model": None, "seed": type(request["seed"])})
            marker = re.compile("[0-9a-f]{12}")
            sent[-1]["messages"] = marker.sub("", json.dumps(request["messages"]))
        assert sent[0] == sent[1]


def test_the_key_depends_on_what_decides_the_answer(scripted_server: ScriptedServer) -> None:
    def key(**options: Any) -> str:
        run = decider(scripted_server, **options).for_run(1, np.random.default_rng(1))
        return str(ask(run)[0].key)

    assert key() == key(max_concurrency=3, timeout=9, max_attempts=2)
    assert len({key(), key(temperature=0.5), key(max_tokens=100)}) == 3


# What goes wrong


@both_ways
@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(None, refusal="I cannot help with that."), "refusal: I cannot help with that."),
        (Reply("", refusal="I cannot help with that."), "refusal: I cannot help with that."),
        (Reply(answer().content, refusal="No, I will not."), "refusal: No, I will not."),
        (Reply(None, finish_reason="content_filter"), "refusal: content filter"),
        (Reply(answer().content, finish_reason="content_filter"), "refusal: content filter"),
        (Reply('{"repost": tr', finish_reason="length"), "truncated: the answer reached"),
        (Reply(answer().content, finish_reason="length"), "truncated: the answer reached"),
        (Reply(None), "malformed: empty answer"),
        (Reply(""), "malformed: empty answer"),
        (Reply("Yes, I repost this: true"), "malformed: Invalid JSON"),
        (Reply('```json\n{"repost": true, "post": "", "reason": ""}\n```'), "malformed: Invalid"),
        (Reply(raw=b'{"model": "m", "choices": []}'), "malformed: no choices"),
        (Reply('{"repost": true, "post": ""}'), "malformed: reason: Field required"),
        (Reply('{"repost": "true", "post": "", "reason": ""}'), "malformed: repost: Input"),
        (Reply('{"repost": 1, "post": "", "reason": ""}'), "malformed: repost: Input"),
        (
            Reply('{"repost": true, "post": "", "reason": "", "mood": "x"}'),
            "malformed: mood: Extra inputs",
        ),
        (answer(post="x" * 501), "malformed: post: String should have at most 500"),
        (Reply('{"repost": true, "post": "\\ud800", "reason": ""}'), "malformed: Invalid JSON"),
        (Reply(status=400, error="too long"), "bad_request: HTTP 400: too long"),
        (Reply(status=403, error="flagged"), "bad_request: HTTP 403: flagged"),
        (Reply(status=422, error="odd"), "bad_request: HTTP 422"),
        (
            Reply(status=400, error="invalid_request_error: content_policy_violation"),
            "refusal: content policy",
        ),
    ],
)
def test_a_failure_of_one_decision_is_told_by_its_kind_and_not_tried_again(
    scripted_server: ScriptedServer, model: str, reply: Reply, reason: str
) -> None:
    scripted_server.script = reply
    (decision,) = ask(decider(scripted_server, model))
    assert decision.outcome is Outcome.FAILED
    assert decision.reason.startswith(reason)
    assert decision.post == ""
    assert len(scripted_server.requests) == 1


@both_ways
def test_space_around_an_answer_is_tolerated(scripted_server: ScriptedServer, model: str) -> None:
    scripted_server.script = Reply(f"\n  {answer().content} \n")
    assert ask(decider(scripted_server, model))[0].outcome is Outcome.REPOST


@both_ways
@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(status=429, error="slow down"), "rate_limit: HTTP 429: slow down"),
        (Reply(status=408), "timeout: no complete answer in time"),
        (Reply(status=500, error="oh"), "server: HTTP 500: oh"),
        (Reply(status=502, error="oh"), "server: HTTP 502: oh"),
        (Reply(status=503, error="oh"), "server: HTTP 503: oh"),
        (Reply(status=504), "timeout: no complete answer in time"),
        (Reply(status=529, error="oh"), "server: HTTP 529: oh"),
    ],
)
def test_passing_trouble_is_tried_again_a_bounded_number_of_times(
    scripted_server: ScriptedServer, model: str, reply: Reply, reason: str
) -> None:
    scripted_server.script = reply
    who = decider(scripted_server, model, max_attempts=3)
    (decision,) = ask(who)
    assert decision.outcome is Outcome.FAILED
    assert decision.reason == reason
    assert len(scripted_server.requests) == who.manifest()["calls"] == 3

    scripted_server.reset([reply, reply, answer()])
    assert ask(who)[0].outcome is Outcome.REPOST


@both_ways
@pytest.mark.parametrize(
    "raw", [b"<html>gateway</html>", b"{}", b"[]", b'{"choices": [{}]}', b"[" * 9999]
)
def test_a_body_that_is_not_a_completion_is_trouble_at_the_server(
    scripted_server: ScriptedServer, model: str, raw: bytes
) -> None:
    scripted_server.script = [Reply(raw=raw), Reply(raw=raw), answer()]
    who = decider(scripted_server, model, max_attempts=2)
    failed, answered = ask(who)[0], ask(who)[0]
    assert failed.outcome is Outcome.FAILED
    assert failed.reason.startswith("server: ")
    assert answered.outcome is Outcome.REPOST
    assert len(scripted_server.requests) == 3


@both_ways
def test_a_server_that_sends_only_what_the_protocol_requires_is_read(
    scripted_server: ScriptedServer,
    model: str,
) -> None:
    message = {"role": "assistant", "content": answer().content}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "model": "m"}
    scripted_server.script = Reply(raw=json.dumps(body).encode())
    assert ask(decider(scripted_server, model))[0].outcome is Outcome.REPOST


@both_ways
def test_a_late_answer_is_a_timeout(scripted_server: ScriptedServer, model: str) -> None:
    scripted_server.script = Reply(answer().content, delay=60.0)
    (decision,) = ask(decider(scripted_server, model, timeout=1.0, max_attempts=2))
    assert decision.outcome is Outcome.FAILED
    assert decision.reason == "timeout: no complete answer in time"
    assert len(scripted_server.requests) == 2


class _Dribbling(http.server.BaseHTTPRequestHandler):
    """Send one byte after another, and never the whole answer."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b" ")
                time.sleep(0.05)
        except OSError:
            return

    def log_message(self, *args: Any) -> None:
        """Print nothing."""


@both_ways
def test_a_server_that_dribbles_is_a_timeout(model: str) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Dribbling) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/v1"
        who = LLMDecider(model, address, max_failed=1.0, timeout=1.0, max_attempts=1)
        (decision,) = ask(who)
        server.shutdown()
        thread.join()
    assert decision.reason == "timeout: no complete answer in time"


def waits(server: ScriptedServer, model: str, replies: Sequence[Reply], n: int = 1) -> list[float]:
    """Return the seconds for which a decider would wait between attempts."""
    waited: list[float] = []

    async def note(seconds: float) -> None:
        waited.append(seconds)

    who = decider(server, model, max_concurrency=1)
    who.caller.client = dataclasses.replace(who.client, sleep=note)
    server.script = lambda _: replies[(len(server.requests) - 1) % len(replies)]
    assert {decision.outcome for decision in ask(who, n)} == {Outcome.REPOST}
    return waited


@both_ways
@pytest.mark.parametrize(
    ("asked", "waited"),
    [("0.25", 0.25), ("7", 7.0), ("86400", 60.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)
def test_a_rate_limit_waits_as_long_as_the_server_asks_within_reason(
    scripted_server: ScriptedServer, model: str, asked: str, waited: float
) -> None:
    limited = Reply(status=429, headers={"Retry-After": asked})
    assert waits(scripted_server, model, [limited, answer()]) == [waited]


def test_without_advice_the_waits_grow_and_stay_short(scripted_server: ScriptedServer) -> None:
    waited = waits(scripted_server, "openai/tiny", [Reply(status=500)] * 4 + [answer()], n=20)
    for attempt in range(4):
        assert 0 <= min(waited[attempt::4]) <= max(waited[attempt::4]) <= 0.5 * 2**attempt
    assert max(waited[3::4]) > 1


# What ends a run


@both_ways
def test_a_refused_key_ends_the_run_and_is_never_shown(
    scripted_server: ScriptedServer,
    model: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    scripted_server.script = Reply(status=401, error=f"Incorrect API key provided: {SECRET}")
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(DeciderError, match=r"the API key was not accepted \(HTTP 401\)") as caught,
    ):
        ask(decider(scripted_server, model), 4)
    assert scripted_server.keys[0] == f"Bearer {SECRET}"
    assert len(scripted_server.requests) <= 4
    assert "\n" not in str(caught.value)
    out, err = capfd.readouterr()
    shown = [str(caught.value), repr(caught.value), caplog.text, out, err]
    assert not [text for text in shown if SECRET in text or SECRET[:16] in text]


@both_ways
@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(status=404, error="no model tiny"), "not known there.*HTTP 404: no model tiny"),
        (Reply(status=402, error="no money"), "cannot pay.*HTTP 402: no money"),
    ],
)
def test_what_no_other_call_would_fix_ends_the_run(
    scripted_server: ScriptedServer, model: str, reply: Reply, message: str
) -> None:
    scripted_server.script = reply
    with pytest.raises(DeciderError, match=message) as caught:
        ask(decider(scripted_server, model, max_concurrency=1), 8)
    assert model in str(caught.value)
    assert scripted_server.api_base in str(caught.value)
    assert len(scripted_server.requests) < 8


def test_upstream_words_are_short_and_without_keys() -> None:
    said = f"bad key {SECRET},\n\x1b[31mand " + "a word " * 100
    words = presentable(said)
    assert SECRET[3:20] not in words
    assert words.isprintable()
    assert len(words) == 200


def test_keys_of_any_form_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASS_KEY", "gsk_A1b2C3")
    monkeypatch.setenv("SHORT_TOKEN", "no")
    said = "Bearer gsk_A1b2C3 and Bearer my own may not read this"
    assert presentable(said, "my own") == "Bearer [...] and Bearer [...] may not read this"


@both_ways
def test_an_unreachable_server_is_an_error_and_not_a_decline(model: str) -> None:
    address = f"http://127.0.0.1:{closed_port()}/v1"
    who = LLMDecider(model, api_base=address)
    for fail in (who.check, lambda: ask(who, 3)):
        with pytest.raises(ServerUnreachableError) as caught:
            fail()
        assert (caught.value.model, caught.value.address) == (model, address)


@both_ways
def test_a_server_that_goes_away_during_a_run_ends_it(model: str) -> None:
    server = ScriptedServer()
    server.start()
    who = decider(server, model, max_attempts=2)
    assert ask(who, 2)[0].outcome is Outcome.REPOST
    server.stop()
    with pytest.raises(ServerUnreachableError) as caught:
        ask(who, 2)
    assert caught.value.address == server.api_base


def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_AUTH_TOKEN", raising=False)
    missing = {
        "OPENAI_API_KEY": "openai/gpt-4o-mini",
        "ANTHROPIC_API_KEY": "anthropic/claude-3-5-haiku-latest",
    }
    for variable, model in missing.items():
        for fail in (LLMDecider(model).check, lambda model=model: ask(LLMDecider(model))):
            with pytest.raises(MissingKeyError) as caught:
                fail()
            assert caught.value.model == model
            assert variable in caught.value.variables
    monkeypatch.setenv("OPENAI_API_KEY", "")
    with pytest.raises(MissingKeyError):
        LLMDecider("openai/gpt-4o-mini").check()


@both_ways
def test_a_local_server_needs_no_key(scripted_server: ScriptedServer, model: str) -> None:
    who = decider(scripted_server, model)
    who.check()
    assert scripted_server.requests == []
    ask(who)
    assert scripted_server.keys == ["Bearer not-needed"]


def test_an_unknown_provider_is_an_error() -> None:
    with pytest.raises(ArgumentError) as caught:
        LLMDecider("nosuchprovider/tiny").check()
    assert (caught.value.argument, caught.value.value) == ("model", "nosuchprovider/tiny")


def test_too_many_failures_end_the_run(scripted_server: ScriptedServer) -> None:
    replies = [answer(), Reply(status=500, error="oh"), Reply("no JSON")]
    scripted_server.script = lambda _: replies[len(scripted_server.requests) % 3]
    run = decider(scripted_server, max_failed=0.2, max_attempts=1, max_concurrency=1)
    with pytest.raises(TooManyFailuresError) as caught:
        ask(run, 60)
    # 0.2 x 60 may fail; the run ends with the next one, and no further call is made.
    assert caught.value.failed == 13
    assert re.search(r"server \d+: HTTP 500: oh", caught.value.reasons)
    assert "malformed" in caught.value.reasons
    assert len(scripted_server.requests) == caught.value.decided


@pytest.mark.parametrize(("failing", "ends"), [(1, False), (2, True)])
def test_a_share_of_failures_is_taken_of_twenty_decisions_at_least(
    scripted_server: ScriptedServer, failing: int, ends: bool
) -> None:
    scripted_server.script = [*(Reply("no JSON"),) * failing, answer()]
    run = decider(scripted_server, max_failed=0.05, max_concurrency=1)
    if ends:
        with pytest.raises(TooManyFailuresError):
            ask(run, 4)
    else:
        assert [d.outcome for d in ask(run, 4)].count(Outcome.FAILED) == 1


def test_failures_do_not_leak_from_run_to_run(scripted_server: ScriptedServer) -> None:
    scripted_server.script = [Reply("no JSON"), answer(), Reply("no JSON"), answer()]
    shared = decider(scripted_server, max_failed=0.05, max_concurrency=1)
    for seed in (1, 2):
        run = shared.for_run(2, np.random.default_rng(seed))
        ask(run, 2)
        assert run.manifest()["failed"] == {"malformed": 1}
        assert run.manifest()["decisions"] == 2
    assert shared.manifest()["calls"] == 0


# The manifest


def test_the_manifest_is_plain_and_complete(scripted_server: ScriptedServer) -> None:
    scripted_server.script = [answer(), answer(False), Reply("no JSON"), Reply(status=400)]
    run = decider(scripted_server, max_concurrency=1)
    assert run.manifest()["tokens"] == {"prompt": 0, "completion": 0}
    ask(run, 4)
    manifest = json.loads(json.dumps(run.manifest()))
    assert manifest.pop("template_hash").isalnum()
    one, none = {"prompt": 100, "completion": 10}, {"prompt": 0, "completion": 0}
    rest = {"calls": 1, "cost_usd": None}
    assert manifest == {
        "decider": "llm",
        "model": "openai/tiny",
        "api_base": scripted_server.api_base,
        "temperature": 1.0,
        "max_tokens": 512,
        "sampling": "independent",
        "feed_detail": "posts",
        "template": "standard",
        "template_version": "2",
        "schema": "1",
        "model_served": ["tiny"],
        "calls": 4,
        "decisions": 4,
        "failed": {"bad_request": 1, "malformed": 1},
        "tokens": {"prompt": 300, "completion": 30},
        "cost_usd": None,
        "by_profile": {
            "ocean": {"decisions": 1, "failed": 0, "tokens": one, **rest},
            "oceaN": {"decisions": 1, "failed": 0, "tokens": one, **rest},
            "oceAn": {"decisions": 1, "failed": 1, "tokens": one, **rest},
            "oceAN": {"decisions": 1, "failed": 1, "tokens": none, **rest},
        },
    }


@both_ways
def test_failures_are_counted_by_their_kind_and_paid_for(
    scripted_server: ScriptedServer, model: str
) -> None:
    scripted_server.script = [
        Reply(None, refusal="I cannot help with that."),
        Reply(None, finish_reason="content_filter"),
        Reply('{"repost": tr', finish_reason="length"),
        answer(),
    ]
    run = decider(scripted_server, model, max_concurrency=1)
    ask(run, 4)
    assert run.manifest()["failed"] == {"refusal": 2, "truncated": 1}
    assert run.manifest()["tokens"] == {"prompt": 400, "completion": 40}


@both_ways
def test_unknown_tokens_are_unknown(scripted_server: ScriptedServer, model: str) -> None:
    scripted_server.script = [answer(), Reply(answer().content, usage=False)]
    run = decider(scripted_server, model, max_concurrency=1)
    ask(run, 2)
    assert run.manifest()["tokens"] is None


def test_a_known_price_is_counted(scripted_server: ScriptedServer) -> None:
    run = LLMDecider("openai/gpt-4o-mini", api_base=scripted_server.api_base)
    assert run.manifest()["cost_usd"] is None
    ask(run, 2)
    cost = run.manifest()["cost_usd"]
    assert 1e-6 < cost < 1e-3


# Arguments, copies and loops


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"model": ""}, ArgumentError),
        ({"model": 3}, ArgumentTypeError),
        ({"api_base": "127.0.0.1:8080"}, ArgumentError),
        ({"api_base": "file:///etc/passwd"}, ArgumentError),
        ({"api_base": "http://host:port/"}, ArgumentError),
        ({"api_base": 8080}, ArgumentTypeError),
        ({"temperature": 2.1}, ArgumentError),
        ({"temperature": float("nan")}, ArgumentError),
        ({"temperature": "hot"}, ArgumentTypeError),
        ({"max_concurrency": 0}, ArgumentError),
        ({"max_concurrency": 1.5}, ArgumentTypeError),
        ({"timeout": 0}, ArgumentError),
        ({"timeout": float("inf")}, ArgumentError),
        ({"max_attempts": 0}, ArgumentError),
        ({"max_failed": 1.5}, ArgumentError),
        ({"max_tokens": True}, ArgumentTypeError),
    ],
)
def test_wrong_arguments_are_named(
    options: dict[str, Any], error: type[ArgumentError | ArgumentTypeError]
) -> None:
    with pytest.raises(error) as caught:
        LLMDecider(**{"model": "openai/tiny", **options})
    assert [caught.value.argument] == list(options)


@pytest.mark.parametrize(
    "address",
    [
        "http://me:hunter2@host",
        "https://h/v1?key=hunter2",
        "http://h/#hunter2",
        "ftp://me:hunter2@h/?hunter2",
    ],
)
def test_an_address_with_credentials_is_refused_and_not_shown(address: str) -> None:
    error = refused(lambda: LLMDecider("openai/tiny", address), "api_base")
    assert "hunter2" not in str(error)


@both_ways
def test_it_works_inside_a_running_event_loop(scripted_server: ScriptedServer, model: str) -> None:
    async def cell() -> Sequence[Any]:
        return ask(decider(scripted_server, model), 3)

    assert [d.outcome for d in asyncio.run(cell())] == [Outcome.REPOST] * 3


@both_ways
def test_it_can_be_pickled_and_copied_after_use(
    scripted_server: ScriptedServer, model: str
) -> None:
    who = decider(scripted_server, model, max_concurrency=2)
    ask(who, 6)
    for other in (pickle.loads(pickle.dumps(who)), copy.deepcopy(who)):
        scripted_server.reset(Reply(answer().content, delay=0.01))
        scripted_server.hold = lambda: scripted_server.most_in_flight < 2
        ask(other, 6)
        assert scripted_server.most_in_flight == 2


SCRIPT = """
import multiprocessing, sys
import numpy as np
from mesa_llmspread.deciders.base import Exposure, Outcome, Post
from mesa_llmspread.deciders.llm.decider import LLMDecider
from mesa_llmspread.events import bundled_events
from mesa_llmspread.profiles import all_profiles

assert "litellm" not in sys.modules


def outcomes(decider):
    event = bundled_events()[0]
    seen = [
        Exposure(1, agent, all_profiles()[agent], event, 1, 1, 1, False, (Post(9, 0),))
        for agent in range(5)
    ]
    return [decision.outcome.value for decision in decider.decide(seen, np.random.default_rng(0))]


if __name__ == "__main__":
    decider = LLMDecider("openai/tiny", api_base=sys.argv[1], max_concurrency=2, max_failed=1.0)
    print(outcomes(decider))
    assert "litellm" not in sys.modules  # which takes seconds and 160 MB
    for method in sys.argv[2:]:
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(pool.apply(outcomes, (decider,)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("methods", [(), ("spawn",), ("fork",)])
def test_a_script_leaves_nothing_open_and_processes_have_loops_of_their_own(
    scripted_server: ScriptedServer, tmp_path: Path, methods: tuple[str, ...]
) -> None:
    if methods == ("fork",) and sys.platform == "win32":
        pytest.skip("no fork on Windows")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    flags = [] if methods else ["-W", "error::ResourceWarning", "-W", "error::RuntimeWarning"]
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, *flags, str(script), scripted_server.api_base, *methods],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(["repost"] * 5)] * (1 + len(methods))
    if not methods:
        assert done.stderr == ""


# A real server


@pytest.mark.slow
def test_a_real_server_decides(llama_server: str) -> None:
    run = LLMDecider("openai/tiny", api_base=llama_server).for_run(16, np.random.default_rng(1))
    run.check()
    decisions = ask(run, 16)
    outcomes = {decision.outcome for decision in decisions}
    assert outcomes >= {Outcome.REPOST, Outcome.DECLINE}
    assert all(d.post == "" for d in decisions if d.outcome is not Outcome.REPOST)
    manifest = run.manifest()
    assert manifest["decisions"] == 16
    assert manifest["model_served"] == ["tiny"]
    assert manifest["tokens"]["prompt"] > 16 * 1000
    assert manifest["tokens"]["completion"] > 16 * 20


@pytest.mark.slow
def test_a_real_server_answers_200_decisions_of_a_run(llama_server: str, tmp_path: Path) -> None:
    store = tmp_path / "calls.sqlite"
    decider = LLMDecider("openai/tiny", llama_server, store=store, max_failed=1.0)
    settings = {"n": 150, "k": 6, "initial_infected": 20, "rng": 2}
    model = SpreadModel(decider=decider, **settings)
    while sum(model.datacollector.model_vars["Exposures"]) < 200:
        model.step()
    table = model.datacollector.get_table_dataframe("exposures")
    assert len(table) >= 200
    assert (table["outcome"] != "failed").mean() > 0.95
    assert {"repost", "decline"} <= set(table["outcome"])
    assert DecisionStore(store).info()["calls"] == len(table)
    replay = LLMDecider("openai/tiny", store=store, mode="replay", max_failed=1.0)
    again = SpreadModel(decider=replay, **settings).run(model.clock)
    assert again.datacollector.get_table_dataframe("exposures").equals(table)


def test_a_real_server_repeats_itself_with_the_same_seed(llama_server: str) -> None:
    def decisions(seed: int) -> list[Any]:
        who = LLMDecider("openai/tiny", api_base=llama_server, max_concurrency=1)
        return ask(who.for_run(4, np.random.default_rng(seed)), 4)

    assert decisions(1) == decisions(1)
    assert decisions(1) != decisions(2)


def test_a_real_server_cuts_long_answers(llama_server: str) -> None:
    run = LLMDecider(
        "openai/tiny", api_base=llama_server, max_failed=1.0, max_tokens=5, max_attempts=1
    )
    (decision,) = ask(run)
    assert decision.outcome is Outcome.FAILED
    assert decision.reason.startswith(("truncated:", "server:", "malformed:"))


def test_a_real_server_that_lacks_the_address_is_named(llama_server: str) -> None:
    wrong = llama_server.removesuffix("/v1") + "/nowhere"
    with pytest.raises(DeciderError, match=f"{wrong}.*HTTP 404"):
        ask(LLMDecider("openai/tiny", api_base=wrong))
