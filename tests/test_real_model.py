"""A real model with real weights: SmolLM2-135M-Instruct, run by llama.cpp in the process."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from waiting import eventually

from mesa_llmspread import (
    LLMDecider,
    Profile,
    SpreadData,
    SpreadModel,
    bundled_events,
    measure,
)
from mesa_llmspread.deciders.llm.local import find_model
from mesa_llmspread.exceptions import InputFileError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SMALL: dict[str, Any] = {
    "profiles": ["OCEAN", "ocean"],
    "events": ["protests-0"],
    "contacts": (0, 2),
    "exposure_counts": (1, 3),
}
MEASURE = """
import sys
from mesa_llmspread import LLMDecider, measure
measure(LLMDecider("smollm2", store=sys.argv[1]), events=["protests-0", "riots-40"],
        profiles=["OCEAN", "ocean"], contacts=(0, 1, 2, 8), exposure_counts=(1, 2, 3))
"""


@pytest.fixture(autouse=True, scope="module")
def _installed() -> None:
    try:
        find_model("smollm2", with_posts=False)
    except InputFileError as error:
        pytest.skip(str(error))


def test_forty_agents_are_decided_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "sk-canary-0123456789abcdef"
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    who = LLMDecider(
        "smollm2", sampling="logprobs", feed_detail="counts", store=tmp_path / "calls.sqlite"
    )
    model = SpreadModel(n=40, k=4, initial_infected=4, decider=who, rng=1).run(steps=3)
    data = SpreadData.from_model(model)
    assert set(data.exposures["outcome"]) == {"repost", "decline"}
    assert model.infected > 4
    data.save(tmp_path / "record")
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert secret.encode() not in written
    assert b"smollm2" in written.lower()


def test_one_agent_answers_in_words(tmp_path: Path) -> None:
    store = tmp_path / "calls.sqlite"
    who = LLMDecider("smollm2", store=store, max_failed=1.0)
    model = SpreadModel(n=8, k=2, initial_infected=2, decider=who, rng=1).run(steps=1)
    replayed = LLMDecider("smollm2", store=store, mode="replay", max_failed=1.0)
    again = SpreadModel(n=8, k=2, initial_infected=2, decider=replayed, rng=1).run(steps=1)
    ours, theirs = (SpreadData.from_model(one).exposures for one in (model, again))
    pd.testing.assert_frame_equal(ours, theirs)


def test_a_measured_table_is_the_same_again_and_most_of_its_prompts_are_cached(
    tmp_path: Path,
) -> None:
    tables = [
        measure(LLMDecider("smollm2", store=tmp_path / f"{i}.sqlite"), **SMALL) for i in (1, 2)
    ]
    pd.testing.assert_frame_equal(tables[0].frame, tables[1].frame, atol=1e-3)
    direct, cached = [], []
    for profile, seen, times in itertools.product(
        ("OCEAN", "ocean"),
        (
            "You have just seen the news yourself, in the media. "
            "Nobody you follow shows the news in your feed now.",
            "In your feed you see the news from 2 people you follow.",
        ),
        (
            "This is the first time you come across the news.",
            "You came across the news before (2 times), and have not reposted it.",
        ),
    ):
        (event,) = (event for event in bundled_events() if event.event_id == "protests-0")
        p, share = ask_directly(
            f"The news:\n“{event.text}”\n\n"
            f"This is your personality: {Profile.from_code(profile).describe()}\n\n"
            f"{times} {seen}\n\nDo you repost the news now?"
        )
        direct.append(p)
        cached.append(share)
    assert np.abs(np.array(direct) - tables[0].frame["p"]).max() < 0.02
    # All but the first question of a personality reuse what comes before the occasion.
    assert np.mean([share for i, share in enumerate(cached) if i % 4]) > 0.8


SYSTEM = """\
You play one person who uses a social network. You come across a piece of news and decide \
whether to repost it to your followers. Reposting and passing by are both ordinary things to \
do: decide as this person would, at this moment.

Answer with one JSON object with exactly this field:
"repost": true if you repost the news now, false if you do not."""


def ask_directly(user: str) -> tuple[float, float]:
    """Ask llama.cpp without this package: P(true), and the share of the prompt that was cached."""
    model = find_model("smollm2", with_posts=False)
    assert model is not None
    body = {
        "model": "any",
        "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user}],
        "grammar": 'root ::= "{" "\\"repost\\": " ("true" | "false") "}"',
        "temperature": 0,
        "max_tokens": 64,
        "logprobs": True,
        "top_logprobs": 20,
    }
    request = urllib.request.Request(
        f"{model.serve()}/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        reply = json.load(response)
    (token,) = (
        token
        for token in reply["choices"][0]["logprobs"]["content"]
        if token["token"].strip() in ("true", "false")
    )
    weight = {"true": 0.0, "false": 0.0}
    for other in token["top_logprobs"]:
        if other["token"].strip() in weight:
            weight[other["token"].strip()] += math.exp(other["logprob"])
    usage = reply["usage"]
    share = usage["prompt_tokens_details"]["cached_tokens"] / usage["prompt_tokens"]
    return weight["true"] / sum(weight.values()), share


def test_an_experiment_survives_a_kill(tmp_path: Path) -> None:
    store = tmp_path / "calls.sqlite"
    command = [sys.executable, "-c", MEASURE, str(store)]
    first = subprocess.Popen(command, start_new_session=True)

    def kept() -> int:
        if not store.exists():
            return 0
        with sqlite3.connect(store) as database:
            try:
                return int(database.execute("SELECT count(*) FROM calls").fetchone()[0])
            except sqlite3.OperationalError:
                return 0

    try:
        eventually(lambda: kept() >= 5, 300)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    before = kept()
    assert 5 <= before < 48
    subprocess.run(command, check=True, timeout=600)
    assert kept() == 48
    with sqlite3.connect(store) as database:
        (attempts,) = database.execute("SELECT calls FROM spent").fetchone()
    # At most the call under way at the kill was sent twice.
    assert attempts <= 48 + 1


def test_log_probabilities_tell_how_often_the_model_reposts() -> None:
    # 400 answers to five prompts.
    occasions = {"contacts": (0, 1, 2, 4, 8), "exposure_counts": (1,)}
    design: dict[str, Any] = {**SMALL, "profiles": ["OCEAN"], **occasions}
    told = measure(LLMDecider("smollm2"), **design)
    drawn = measure(LLMDecider("smollm2"), **design, draws=80)
    z = [
        (q - p) / math.sqrt(p * (1 - p) / 80)
        for p, q in zip(told.frame["p"], drawn.frame["p"], strict=True)
    ]
    assert np.abs(z).max() < 4
