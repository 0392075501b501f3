"""Few calls for many decisions: pooled answers and log-probabilities."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from servers import Reply, ScriptedServer, answer

from mesa_llmspread.data import SpreadData
from mesa_llmspread.deciders import Decider, Decision, LLMDecider, Outcome
from mesa_llmspread.deciders.base import Exposure, Post
from mesa_llmspread.deciders.llm.call import Call
from mesa_llmspread.deciders.llm.completion import token_repost_prob
from mesa_llmspread.deciders.llm.pooling import repost_chance
from mesa_llmspread.events import bundled_events
from mesa_llmspread.exceptions import (
    ArgumentError,
    NoLogprobsError,
    TooManyFailuresError,
    UnknownNameError,
)
from mesa_llmspread.model import SpreadModel
from mesa_llmspread.profiles import Profile


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def call(outcome: str, repost_prob: float | None = None) -> Call:
    answer = None if outcome == "failed" else "{}"
    place = (1, 0, "OceAn", "e", outcome, answer)
    return Call("k", "r", "openai/tiny", "{}", "1", "1:0", *place, repost_prob=repost_prob)


REPOST, DECLINE, FAILED = map(call, ("repost", "decline", "failed"))


def exposures(n: int, step: int = 1, code: str = "OceAn") -> list[Exposure]:
    posts = tuple(Post(90 + i, 0, f"post {step} {i}") for i in range(2))
    profile, event = Profile.from_code(code), bundled_events()[0]
    return [Exposure(step, agent, profile, event, 2, 2, 1, False, posts) for agent in range(n)]


def decider(server: ScriptedServer, sampling: str, **options: Any) -> Decider:
    who = LLMDecider("openai/tiny", server.api_base, sampling=sampling, **options)
    return who.for_run(100, np.random.default_rng(1))


def decide(who: Decider, n: int, step: int = 1, code: str = "OceAn") -> list[Decision]:
    return who.decide(exposures(n, step, code), np.random.default_rng(step))


def by_seed(request: dict[str, Any]) -> Reply:
    return answer(request["seed"] % 4 == 0, f"post {request['seed']}")


def test_chances_are_smoothed_and_failures_do_not_count() -> None:
    assert repost_chance([]) is None
    assert repost_chance([FAILED]) is None
    assert repost_chance([REPOST, FAILED]) == 0.75
    assert repost_chance([DECLINE] * 19) == 0.5 / 20
    assert repost_chance([DECLINE, REPOST, REPOST]) == 2.5 / 4
    assert repost_chance([call("decline", 0.125)]) == 0.125


def test_draws_have_the_chance_and_the_words_of_the_pool(scripted_server: ScriptedServer) -> None:
    repost, decline = answer(True, "repost words"), answer(False, "decline words")
    scripted_server.script = [repost, decline, decline, Reply("no JSON")]
    options = {"draws": 4, "max_failed": 1.0, "max_concurrency": 1}
    n = 5000
    decisions = decide(decider(scripted_server, "pooled", **options), n)
    assert len(scripted_server.requests) == 4
    assert [d.outcome.value for d in decisions[:4]] == ["repost", "decline", "decline", "failed"]
    drawn = decisions[4:]
    reposts = [d for d in drawn if d.outcome is Outcome.REPOST]
    p = 1.5 / 4
    assert len(reposts) == pytest.approx(n * p, abs=4 * math.sqrt(n * p * (1 - p)))
    assert {d.post for d in reposts} == {"repost words"}
    assert {d.outcome for d in drawn} == {Outcome.REPOST, Outcome.DECLINE}


def test_draws_about_two_events_are_independent(scripted_server: ScriptedServer) -> None:
    scripted_server.script = [answer(True), answer(False)]
    options = {"draws": 2, "max_concurrency": 1, "feed_detail": "counts"}
    who = decider(scripted_server, "pooled", **options)
    one = exposures(2000)
    event = dataclasses.replace(one[0].event, event_id="another")
    other = [exposure._replace(event=event) for exposure in one]
    decisions = who.decide(one + other, np.random.default_rng(1))
    reposts = [decision.outcome is Outcome.REPOST for decision in decisions]
    same = np.equal(reposts[2:2000], reposts[2002:]).mean()
    assert same == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(2000))


def test_a_pool_without_an_answer_fails_and_without_words_has_none(
    scripted_server: ScriptedServer,
) -> None:
    scripted_server.script = [Reply("no JSON"), answer(False)]
    who = decider(scripted_server, "pooled", draws=1, max_failed=1.0)
    first, second = decide(who, 2)
    assert first == second
    assert second.outcome is Outcome.FAILED
    assert who.manifest()["failed"] == {"malformed": 2}
    assert Decision(Outcome.REPOST) in decide(who, 500, code="ocean")


def test_too_many_failures_end_a_pooled_run(scripted_server: ScriptedServer) -> None:
    scripted_server.script = Reply("no JSON")
    who = decider(scripted_server, "pooled", draws=1, max_failed=0.2)
    with pytest.raises(TooManyFailuresError) as caught:
        decide(who, 30)
    assert (caught.value.failed, caught.value.decided, caught.value.max_failed) == (30, 30, 0.2)
    # The step does not count, so it can be repeated.
    assert who.manifest()["decisions"] == 0
    scripted_server.script = answer()
    assert decide(who, 30)[0].outcome is Outcome.REPOST
    assert len(scripted_server.requests) == 2


def test_without_a_run_each_batch_has_a_pool_of_its_own(scripted_server: ScriptedServer) -> None:
    who = LLMDecider("openai/tiny", scripted_server.api_base, sampling="pooled", draws=2)
    for _ in range(2):
        decide(who, 5)
    assert len(scripted_server.requests) == 4


def test_no_prompt_is_asked_more_often_than_allowed(scripted_server: ScriptedServer) -> None:
    scripted_server.script = by_seed
    who = decider(scripted_server, "pooled", draws=5, feed_detail="counts")
    first = decide(who, 3)
    assert len(scripted_server.requests) == 3
    assert len({d.key for d in first}) == 3
    decide(who, 10, step=2)
    assert len(scripted_server.requests) == 5
    # Another personality is another prompt.
    decide(who, 10, step=3, code="ocean")
    assert len(scripted_server.requests) == 10
    assert len({str(request["messages"]) for request in scripted_server.requests}) == 2
    assert len({request["seed"] for request in scripted_server.requests}) == 10
    assert who.manifest()["decisions"] == 23
    assert who.manifest()["calls"] == 10
    assert (who.manifest()["sampling"], who.manifest()["draws"]) == ("pooled", 5)


def test_counts_name_numbers_and_quote_nobody(scripted_server: ScriptedServer) -> None:
    decide(decider(scripted_server, "independent", feed_detail="counts"), 1)
    decide(decider(scripted_server, "independent", feed_detail="posts"), 1)
    counts, posts = (request["messages"][1]["content"] for request in scripted_server.requests)
    assert "from 2 people you follow" in counts
    assert "postˆ1ˆ0" not in counts
    assert "postˆ1ˆ0" in posts


@pytest.mark.parametrize("sampling", ["pooled", "independent"])
def test_a_pooled_record_can_be_resumed_and_replayed(
    scripted_server: ScriptedServer, tmp_path: Path, sampling: str
) -> None:
    def run(**options: Any) -> tuple[SpreadData, int]:
        scripted_server.reset(by_seed)
        who = LLMDecider("openai/tiny", sampling=sampling, draws=3, feed_detail="counts", **options)
        model = SpreadModel(n=60, k=4, population="OceAn", decider=who, rng=3).run(steps=6)
        return SpreadData.from_model(model), len(scripted_server.requests)

    address, store = scripted_server.api_base, tmp_path / "calls.sqlite"
    live, paid = run(api_base=address)
    assert (paid < len(live.exposures) / 2) is (sampling == "pooled")
    for options in ({"api_base": address}, {"api_base": address}, {"mode": "replay"}):
        data, paid = run(store=store, **options)
        pd.testing.assert_frame_equal(live.exposures, data.exposures)
    assert paid == 0


def test_two_runs_do_not_share_their_pools(scripted_server: ScriptedServer) -> None:
    shared = LLMDecider("openai/tiny", scripted_server.api_base, sampling="pooled", draws=2)
    for seed in (1, 2):
        decide(shared.for_run(5, np.random.default_rng(seed)), 5)
    assert len(scripted_server.requests) == 4


# Log-probabilities

Token = namedtuple("Token", "token top_logprobs logprob", defaults=((), 0.0))


def tokens(*pieces: str, likely: dict[str, float]) -> list[Token]:
    top = tuple(Token(word, (), math.log(p)) for word, p in likely.items())
    return [Token(piece, top if "|" in piece else ()) for piece in pieces]


@pytest.mark.parametrize(
    ("pieces", "likely", "chance"),
    [
        (['{"', "repost", '":', " true|", ","], {" true": 0.3, " false": 0.6, " x": 0.1}, 1 / 3),
        (['{"repost"', ":", "t|", "rue", "}"], {"t": 0.2, "f": 0.2, "n": 0.5}, 0.5),
        (['{"repost"', ":true|", "}"], {":true": 0.9, ":false": 0.1, "true": 0.0001}, 0.9),
        (['{"repost"', ": ", "false|", ","], {"false": 1.0}, 0.0),
        (['{"repost"', ": ", "false|", ","], {"null": 1.0}, None),
        (['{"post"', ": ", "false|", ","], {"false": 1.0}, None),
    ],
)
def test_the_chance_is_read_where_the_value_begins(
    pieces: list[str], likely: dict[str, float], chance: float | None
) -> None:
    given = [
        token._replace(token=token.token.replace("|", ""))
        for token in tokens(*pieces, likely=likely)
    ]
    read = token_repost_prob(given)
    assert read == (None if chance is None else pytest.approx(chance, abs=1e-3))


def test_a_real_server_says_how_likely_it_is(llama_server: str, tmp_path: Path) -> None:
    who = LLMDecider(
        "openai/tiny", llama_server, sampling="logprobs", store=tmp_path / "calls.sqlite"
    ).for_run(2000, np.random.default_rng(1))
    decisions = decide(who, 2000) + decide(who, 1, step=2, code="ocean")
    assert who.manifest()["calls"] == 2
    assert who.manifest()["decisions"] == 2001
    from mesa_llmspread.deciders import DecisionStore

    frame = DecisionStore(tmp_path / "calls.sqlite").to_frame()
    p = frame.loc[frame["profile"] == "OceAn", "repost_prob"].item()
    assert 0 < p < 1
    reposts = Counter(d.outcome for d in decisions[:2000])[Outcome.REPOST]
    assert reposts == pytest.approx(2000 * p, abs=4 * math.sqrt(2000 * p * (1 - p)) + 1)


def test_a_server_without_log_probabilities_is_told(scripted_server: ScriptedServer) -> None:
    with pytest.raises(NoLogprobsError) as caught:
        decide(decider(scripted_server, "logprobs"), 1)
    assert caught.value.model == "openai/tiny"


@pytest.mark.parametrize(
    ("options", "error", "argument"),
    [
        ({"sampling": "poled"}, UnknownNameError, "sampling"),
        ({"feed_detail": "count"}, UnknownNameError, "feed_detail"),
        ({"sampling": "logprobs", "temperature": 0.5}, ArgumentError, "temperature"),
        ({"draws": 0}, ArgumentError, "draws"),
    ],
)
def test_wrong_arguments_are_named(
    options: dict[str, Any], error: type[ArgumentError], argument: str
) -> None:
    with pytest.raises(error) as caught:
        LLMDecider("openai/tiny", **options)
    assert (caught.value.argument, caught.value.value) == (argument, options[argument])
