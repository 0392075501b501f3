"""Whether personas are told apart, with models that play them well, badly, or not at all."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from servers import Reply, ScriptedServer

from mesa_llmspread.cli import llm as commands
from mesa_llmspread.deciders import DecisionStore, LLMDecider
from mesa_llmspread.deciders.llm.persona_check import ITEMS, check_personas
from mesa_llmspread.exceptions import DeciderError
from mesa_llmspread.profiles import Trait, all_profiles


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def player(noise: float, sign: int = 1, flat: str = "") -> Any:
    """A model that reads its persona and rates accordingly, with noise; flat in some traits."""
    letters = [trait.letter for trait in Trait]

    def rate(request: dict[str, Any]) -> Reply:
        said = request["messages"][0]["content"]
        (profile,) = (p for p in all_profiles() if p.describe() in said)
        rng = np.random.default_rng(request["seed"])
        ratings = []
        for _, letter, key in ITEMS:
            level = 0 if letter in flat else profile.levels[letters.index(letter)]
            rating = 3 + sign * key * 1.5 * level + noise * rng.normal()
            ratings.append(int(np.clip(round(rating), 1, 5)))
        return Reply(json.dumps({"ratings": ratings}))

    return rate


def decider(server: ScriptedServer, **options: Any) -> LLMDecider:
    return LLMDecider("openai/tiny", server.api_base, **options)


def test_the_items_are_balanced() -> None:
    assert len({words for words, _, _ in ITEMS}) == 20
    for trait in Trait:
        assert sum(letter == trait.letter for _, letter, _ in ITEMS) == 4


def test_good_players_are_told_from_flat_ones(scripted_server: ScriptedServer) -> None:
    scripted_server.script = player(0.5, flat="ON")
    check = check_personas(decider(scripted_server), repeats=2)
    verdicts = dict(zip(check.table["trait"], check.table["verdict"], strict=True))
    assert {t for t, v in verdicts.items() if v == "played"} == {
        "conscientiousness",
        "extraversion",
        "agreeableness",
    }
    assert len(scripted_server.requests) == 64
    assert len(check.scores) == 64 * 5
    assert check.failed == 0
    assert len(check.figure().axes) == 5


def test_a_reversed_player_is_told(scripted_server: ScriptedServer) -> None:
    scripted_server.script = player(0.0, sign=-1)
    table = check_personas(decider(scripted_server)).table
    assert set(table["verdict"]) == {"reversed"}
    assert (table["cohens_d"] == -np.inf).all()
    assert table["alpha"].to_numpy() == pytest.approx(1.0)
    assert (table["low"] > table["high"]).all()


def test_a_server_is_told_how_many_ratings_there_are(scripted_server: ScriptedServer) -> None:
    """A small local model that is held to the schema cannot rate on without end."""
    scripted_server.script = player(0.5)
    check = check_personas(decider(scripted_server))
    form = scripted_server.requests[0]["response_format"]["json_schema"]["schema"]
    ratings = form["properties"]["ratings"]
    assert ratings["minItems"] == ratings["maxItems"] == len(ITEMS)
    assert check.table["stderr"].gt(np.sqrt(2 / 16)).all()


def test_a_small_difference_is_neither_played_nor_reversed(scripted_server: ScriptedServer) -> None:
    scripted_server.script = player(3.0, flat="OCEAN")
    check = check_personas(decider(scripted_server), repeats=4)
    assert set(check.table["verdict"]) == {"not played"}


def test_answers_are_kept_and_replayed(
    scripted_server: ScriptedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted_server.script = player(0.5)
    path = tmp_path / "calls.sqlite"
    first = check_personas(decider(scripted_server, store=path))
    assert DecisionStore(path).info()["outcomes"] == {"answered": 32}
    again = check_personas(LLMDecider("openai/tiny", store=path, mode="replay"))
    assert first.table.equals(again.table)
    assert len(scripted_server.requests) == 32
    commands.personas("openai/tiny", api_base=scripted_server.api_base, store=path, out=tmp_path)
    assert "extraversion" in capsys.readouterr().out
    assert (tmp_path / "personas.csv").is_file()
    assert (tmp_path / "personas.png").is_file()
    assert len(scripted_server.requests) == 32


def test_questionnaires_that_fail_are_counted(
    scripted_server: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    good = player(0.5)
    bad = [Reply('{"ratings": [1, 2]}'), Reply(json.dumps({"ratings": [6] * 20}))]

    def some(request: dict[str, Any]) -> Reply:
        return bad[request["seed"] % 2] if request["seed"] % 5 == 0 else good(request)

    scripted_server.script = some
    check = check_personas(decider(scripted_server))
    assert check.failed == sum(request["seed"] % 5 == 0 for request in scripted_server.requests)
    assert check.failures.iloc[0].tolist() == [
        "malformed",
        check.failed,
        check.failures["example"].iloc[0],
    ]
    assert "rating" in check.failures["example"].iloc[0]
    commands.personas("openai/tiny", api_base=scripted_server.api_base)
    printed = capsys.readouterr().out
    assert f"{check.failed} questionnaires were not answered:" in printed
    assert re.search(rf"malformed +{check.failed} +.*rating", printed)


def test_why_questionnaires_failed_is_said(
    scripted_server: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = [Reply('{"ratings": [1, 2]}'), Reply('{"rat', finish_reason="length")]
    turns = iter(range(10**6))
    scripted_server.script = lambda _: bad[next(turns) % 4 == 0]
    with pytest.raises(DeciderError, match="32 of 32 questionnaires were not answered") as caught:
        check_personas(decider(scripted_server))
    assert re.search(
        r"\(malformed 24: ratings: .*; truncated 8: the answer reached max_tokens\)",
        str(caught.value),
    )
    good = player(0.5)
    turns = iter(range(10**6))
    scripted_server.script = lambda body: bad[1] if next(turns) == 0 else good(body)
    commands.personas("openai/tiny", api_base=scripted_server.api_base)
    assert "1 questionnaire was not answered:" in capsys.readouterr().out
