"""Measuring a model: a designed experiment, its resume and replay, and models from GGUF files."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command_line import call
from servers import Reply, ScriptedServer, answer, make_tiny_model

from mesa_llmspread import (
    LLMDecider,
    Profile,
    ResponseTable,
    SpreadModel,
    TableDecider,
    compare_tables,
    measure,
)
from mesa_llmspread.deciders.llm.local import addresses
from mesa_llmspread.deciders.llm.measure import Experiment
from mesa_llmspread.deciders.table import TableWarning
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    BudgetExceededError,
    InputFileError,
    UnknownNameError,
)
from mesa_llmspread.reporting.table_figures import plot_table
from mesa_llmspread.sweep import Design, run

SMALL: dict[str, Any] = {
    "profiles": ["OCEAN", "ocean"],
    "events": ["protests-0", "riots-40"],
    "contacts": (0, 2),
    "exposure_counts": (1, 3),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF file with random weights."""
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf")


def decider(server: ScriptedServer, **options: Any) -> LLMDecider:
    return LLMDecider("openai/tiny", server.api_base, **options)


def openness(request: dict[str, Any]) -> Reply:
    """Repost in the media, and in the feed if the persona is imaginative."""
    user = request["messages"][1]["content"]
    return answer("in the media" in user or "very imaginative" in user)


def test_every_cell_is_asked_once_per_draw(scripted_server: ScriptedServer) -> None:
    scripted_server.script = openness
    table = measure(decider(scripted_server), draws=3, **SMALL)
    assert len(scripted_server.requests) == 2 * 2 * 2 * 2 * 3
    assert len({request["seed"] for request in scripted_server.requests}) == 48
    p = table.frame.groupby(["profile", "direct"])["p"].unique().map(list).to_dict()
    assert p == {
        ("OCEAN", False): [3.5 / 4],
        ("OCEAN", True): [3.5 / 4],
        ("ocean", False): [0.5 / 4],
        ("ocean", True): [3.5 / 4],
    }
    assert (table.frame["low"] < table.frame["p"]).all()
    assert (table.frame["p"] < table.frame["high"]).all()
    assert table.info["sampling"] == "3 draws"
    assert (table.info["model"], table.info["template"]) == ("openai/tiny", "standard")
    assert table.info["failed"] == {}
    assert [event.event_id for event in table.events] == SMALL["events"]


def test_prompts_come_in_an_order_that_a_server_can_reuse(scripted_server: ScriptedServer) -> None:
    scripted_server.script = openness
    measure(decider(scripted_server, max_concurrency=1), draws=1, **SMALL)
    users = [request["messages"][1]["content"] for request in scripted_server.requests]
    news = [user.split("\n")[1] for user in users]
    assert news == sorted(news, key=news.index)
    personas = [user.split("\n\n")[1] for user in users[:8]]
    assert personas == sorted(personas, key=personas.index)
    schema = scripted_server.requests[0]["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["repost"]


def test_a_decision_can_be_read_where_words_are_asked_for_too(
    scripted_server: ScriptedServer,
) -> None:
    said = []
    for words in (False, True):
        table = measure(decider(scripted_server), draws=1, words=words, **SMALL)
        system = {request["messages"][0]["content"] for request in scripted_server.requests}
        said.append('"reason"' in " ".join(system))
        assert table.info.get("words", False) is words
        scripted_server.requests.clear()
    assert said == [False, True]


def test_a_server_without_log_probabilities_is_asked_several_times(
    scripted_server: ScriptedServer,
) -> None:
    scripted_server.script = openness
    design = {**SMALL, "events": ["riots-0"], "contacts": (1,)}
    asking = decider(scripted_server, max_attempts=1)
    most = Experiment(asking, **design).estimate().most_calls
    table = measure(asking, **design)
    assert 4 * 20 < len(scripted_server.requests) <= most == 4 * 21
    assert Experiment(asking, **design, draws=2).estimate().most_calls == 4 * 2
    assert table.info["sampling"] == "20 draws"
    assert sorted(set(table.frame["p"])) == [0.5 / 21, 20.5 / 21]


def test_an_interrupted_experiment_asks_only_what_is_missing(
    scripted_server: ScriptedServer, tmp_path: Path
) -> None:
    scripted_server.script = openness
    store = tmp_path / "calls.sqlite"
    with pytest.raises(BudgetExceededError):
        measure(decider(scripted_server, store=store, max_calls=11), draws=2, **SMALL)
    asked = len(scripted_server.requests)
    assert asked == 11
    whole = measure(decider(scripted_server, store=store), draws=2, **SMALL)
    assert len(scripted_server.requests) == 32
    replayed = measure(decider(scripted_server, store=store, mode="replay"), draws=2, **SMALL)
    pd.testing.assert_frame_equal(whole.frame, replayed.frame)
    other = measure(decider(scripted_server, store=store), draws=2, rng=1, **SMALL)
    assert len(scripted_server.requests) == 64
    assert compare_tables(whole, other, margin=0.99).frame["difference"].abs().max() == 0


def test_failed_calls_are_no_data(scripted_server: ScriptedServer) -> None:
    def refuses_riots(request: dict[str, Any]) -> Reply:
        failed = "riot" in request["messages"][1]["content"]
        return Reply("I cannot help with that.") if failed else answer()

    scripted_server.script = refuses_riots
    table = measure(decider(scripted_server, max_failed=1.0), draws=2, **SMALL)
    assert set(table.frame["event"]) == {"protests-0"}
    assert table.info["failed"] == {"malformed": 16}
    assert table.info["calls"] == 32


def test_an_estimate_asks_nobody(scripted_server: ScriptedServer) -> None:
    arguments = {**SMALL, "profiles": None, "events": None}
    plan = Experiment(decider(scripted_server), **arguments, draws=5)
    assert plan.estimate().calls == 18 * 32 * 4 * 5
    assert 150 < plan.estimate().prompt_tokens / plan.estimate().calls < 400
    assert not scripted_server.requests


@pytest.mark.parametrize(
    ("options", "error", "argument"),
    [
        ({"profiles": ["OCEA"]}, ArgumentError, "code"),
        ({"profiles": [Profile(0.5, 1, 1, 1, 1)]}, ArgumentError, "profiles"),
        ({"profiles": ["OCEAN", "OCEAN"]}, ArgumentError, "profiles"),
        ({"profiles": [3]}, ArgumentTypeError, "profiles"),
        ({"events": ["riots-41"]}, UnknownNameError, "event_id"),
        ({"contacts": ()}, ArgumentError, "contacts"),
        ({"contacts": (-1,)}, ArgumentError, "contacts"),
        ({"exposure_counts": (0,)}, ArgumentError, "exposure_counts"),
        ({"draws": 0}, ArgumentError, "draws"),
    ],
)
def test_a_wrong_design_is_named(
    scripted_server: ScriptedServer, options: Any, error: type[Exception], argument: str
) -> None:
    with pytest.raises(error) as caught:
        measure(decider(scripted_server), **{**SMALL, **options})
    assert caught.value.argument == argument  # type: ignore[attr-defined]
    assert not scripted_server.requests


def test_only_language_models_are_measured() -> None:
    with pytest.raises(ArgumentTypeError) as caught:
        measure("traits")  # type: ignore[arg-type]
    assert caught.value.argument == "decider"


# Models from files


def test_a_file_of_a_model_is_measured_and_decides(tiny: Path, tmp_path: Path) -> None:
    store = tmp_path / "calls.sqlite"
    model = f"gguf:{tiny}"
    table = measure(LLMDecider(model, store=store), **SMALL)
    assert table.info["sampling"] == "logprobs"
    assert table.info["model"] == f"gguf:tiny@{table.info['sha256'][:12]}"
    assert table.frame["p"].between(0, 1, inclusive="neither").all()
    assert (table.frame["low"] == table.frame["high"]).all()
    # The record's name of the model is enough to replay it, where the file is missing.
    replayed = measure(LLMDecider(table.info["model"], store=store, mode="replay"), **SMALL)
    pd.testing.assert_frame_equal(table.frame, replayed.frame)
    # Agents ask the same server, in words and by log-probabilities.
    for sampling in ("logprobs", "independent"):
        who = LLMDecider(model, sampling=sampling, max_failed=1.0)
        run = SpreadModel(n=12, k=4, initial_infected=3, decider=who, rng=1).run(steps=1)
        assert run.info.decider_info["model"] == table.info["model"]
    other = pickle.loads(pickle.dumps(who))
    assert other.client.local.serve() == who.client.local.serve()


def test_a_run_of_the_command_line_takes_a_file(tiny: Path, tmp_path: Path) -> None:
    small = ["--n", 12, "--k", 4, "--initial-infected", 3, "--rng", 1, "--steps", 1]
    call("run", tmp_path / "run", "--decider", f"llm:gguf:{tiny}", *small)
    info = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert "gguf:tiny@" in json.dumps(info)
    assert str(tiny.parent) not in json.dumps(info)


ELSEWHERE = """
import json, sys
from mesa_llmspread import LLMDecider
from mesa_llmspread.deciders.llm.local import use_addresses
use_addresses(json.loads(sys.argv[2]))
print(LLMDecider(sys.argv[1]).client.local.serve())
"""


@pytest.mark.slow
def test_the_workers_of_a_sweep_share_one_server(tiny: Path, tmp_path: Path) -> None:
    text = f"llm:gguf:{tiny}"
    design = Design(
        {"decider": [text], "n": [8], "k": [2], "initial_infected": [2]}, replicates=3, rng=1
    )
    options = {"max_failed": 1.0, "sampling": "logprobs", "feed_detail": "counts"}
    sweep = run(design, tmp_path / "sweep", steps=1, n_jobs=2, llm=options)
    assert (sweep.runs["status"] == "done").all()
    ours = LLMDecider(f"gguf:{tiny}", feed_detail="counts").client.local
    assert ours is not None
    wanted = LLMDecider(f"gguf:{tiny}").client.local
    assert wanted is not None
    address = wanted.serve()
    command = [sys.executable, "-c", ELSEWHERE, f"gguf:{tiny}", json.dumps(addresses())]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == address != ours.serve()


def test_a_file_that_is_no_model_is_named(tmp_path: Path, tiny: Path) -> None:
    bare = tmp_path / "bare.gguf"
    bare.write_bytes(tiny.read_bytes().replace(b"chat_template", b"chat_nothing!"))
    wrong = tmp_path / "wrong.gguf"
    wrong.write_text("not a model")
    for path in (tmp_path / "none.gguf", wrong, bare, tmp_path):
        with pytest.raises(InputFileError) as caught:
            LLMDecider(f"gguf:{path}")
        assert caught.value.path == path
    torn = tmp_path / "torn.gguf"
    torn.write_bytes(tiny.read_bytes()[:-1000])
    with pytest.raises(InputFileError) as caught:
        LLMDecider(f"gguf:{torn}").check()
    assert caught.value.path == torn


# The command line


def test_the_command_writes_a_table_and_a_picture(
    scripted_server: ScriptedServer, tmp_path: Path
) -> None:
    scripted_server.script = openness
    options = ["--model", "openai/tiny", "--api-base", scripted_server.api_base, "--draws", 2]
    design = ["--event", "riots-0", "--contacts", "0,1", "--exposure-counts", "1,2"]
    prices = []
    for words in ([], ["--words"]):
        estimate = call("measure", *options, *design, *words, "--out", tmp_path / "t", "--dry-run")
        assert "128 cells; about 256 calls" in estimate
        prices.append(estimate)
    assert prices[0] != prices[1]
    assert not scripted_server.requests
    said = call("measure", *options, *design, "--out", tmp_path / "t")
    assert "openness" in said
    table = ResponseTable.load(tmp_path / "t")
    assert len(table.frame) == 128
    assert (tmp_path / "t" / "table.png").stat().st_size > 10_000
    model = SpreadModel(n=50, k=4, event="riots-0", decider=f"table('{tmp_path / 't'}')", rng=1)
    with pytest.warns(TableWarning, match="more posts than were measured"):
        assert model.run(5).infected > 10
    call("measure", *options, *design, "--out", tmp_path / "t", code=2)
    # The calls are kept, whether a store was named or not: the same again asks nothing.
    asked = len(scripted_server.requests)
    again = call("measure", *options, *design, "--out", tmp_path / "t", "--force")
    assert len(scripted_server.requests) == asked
    assert "t-calls.sqlite" in again
    assert "be numbers" in call(
        "measure", *options, "--contacts", "1;2", "--out", tmp_path / "u", code=2
    )


# Tables


def test_a_table_tells_what_matters(scripted_server: ScriptedServer) -> None:
    scripted_server.script = openness
    table = measure(decider(scripted_server), draws=4, profiles=None, **{
        name: value for name, value in SMALL.items() if name != "profiles"
    })  # fmt: skip
    shares = table.variance()["share"]
    assert shares["openness"] == pytest.approx(shares["media or feed"])
    assert shares[["openness", "media or feed", "interactions"]].sum() == pytest.approx(1)
    words = table.describe()
    assert "openness 33%" in words
    assert "in the media, first time" in words
    assert len(plot_table(table).axes) == 5


def test_two_tables_are_compared_cell_by_cell(scripted_server: ScriptedServer) -> None:
    scripted_server.script = openness
    one = measure(decider(scripted_server), draws=40, **SMALL)
    scripted_server.script = lambda request: answer(True)
    other = measure(decider(scripted_server), draws=40, **{**SMALL, "contacts": (2, 4)})
    comparison = compare_tables(one, other)
    assert len(comparison.frame) == 8
    assert comparison.largest["profile"] == "ocean"
    assert comparison.largest["difference"] == pytest.approx(40 / 41)
    assert not comparison.equivalent
    assert compare_tables(one, one, margin=0.2).equivalent
    assert not compare_tables(one, one, margin=0.01).equivalent
    with pytest.raises(ArgumentError):
        compare_tables(one, other, margin=0)
    alone = measure(decider(scripted_server), draws=1, **{**SMALL, "contacts": (8,)})
    with pytest.raises(ArgumentError):
        compare_tables(one, alone)


def test_a_measured_model_and_its_table_decide_alike(scripted_server: ScriptedServer) -> None:
    scripted_server.script = openness
    table = measure(decider(scripted_server), draws=50, **SMALL)
    law = TableDecider(table).law("riots-40")
    assert "tiny" in str(law)
    model = SpreadModel(
        n=200, k=8, event="riots-40", decider=TableDecider(table), rng=1,
        population={"OCEAN": 0.5, "ocean": 0.5}, initial_infected=20,
    )  # fmt: skip
    with pytest.warns(TableWarning):
        model.run(20)
    posted = np.array([agent.infected for agent in model.agents])
    codes = np.array([agent.profile.code for agent in model.agents])
    assert posted[codes == "OCEAN"].mean() > 0.95
