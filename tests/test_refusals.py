"""What cannot work is refused before anything runs, in one line that says what to do instead."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from command_line import call
from errors import refused

from mesa_llmspread import (
    SI,
    Decision,
    OnlineOffline,
    Outcome,
    SpreadData,
    SpreadModel,
    analyse,
    compare,
    fit,
    random_regular,
    read_edgelist,
    simulate,
    solve,
)
from mesa_llmspread.analysis.cascades import cascade
from mesa_llmspread.deciders import Decider
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    DeciderError,
    DesignError,
    LLMSpreadError,
)
from mesa_llmspread.sweep import Design

ARMED_CONFLICT = "mesa_llmspread.cli.demo"


def one_line(error: pytest.ExceptionInfo[LLMSpreadError]) -> str:
    text = str(error.value)
    assert len(text.splitlines()) == 1
    return text


# --- somebody must be able to see the news ------------------------------------------------------


NETWORK, ALONE = random_regular(200, 8, rng=1), nx.empty_graph(20)


@pytest.mark.parametrize(
    ("attempt", "value", "source"),
    [
        (lambda: SpreadModel(initial_infected=0), 0, "media_prob > 0"),
        (lambda: SpreadModel(initial_infected=[]), 0, "media_prob > 0"),
        (lambda: solve(SI(0.1), n=200, k=8, initial_infected=0, steps=5), 0, "alpha > 0"),
        (lambda: simulate(SI(0.1), NETWORK, initial_infected=0), 0, "alpha > 0"),
        (lambda: simulate(SI(0.1), NETWORK, initial_infected=[]), 0, "alpha > 0"),
    ],
)
def test_no_starters_and_no_other_source_of_news(
    attempt: Callable[[], object], value: object, source: str
) -> None:
    assert source in refused(attempt, "initial_infected", value).allowed


@pytest.mark.parametrize(
    ("attempt", "argument", "value", "source"),
    [
        (lambda: SpreadModel(k=0), "k", 0, "media_prob > 0"),
        (
            lambda: solve(OnlineOffline(0.0, 0.1), n=200, k=0, initial_infected=5, steps=5),
            "k",
            0,
            "alpha > 0",
        ),
        (
            lambda: SpreadModel(network=ALONE, initial_infected=1),
            "network",
            ALONE,
            "media_prob > 0",
        ),
        (lambda: simulate(SI(0.1), ALONE, initial_infected=1), "network", ALONE, "alpha > 0"),
    ],
)
def test_no_neighbours_and_no_other_source_of_news(
    attempt: Callable[[], object], argument: str, value: object, source: str
) -> None:
    assert source in refused(attempt, argument, value).allowed


def test_the_event_itself_is_a_source_of_news() -> None:
    law = OnlineOffline(0.1, 0.2)
    model = SpreadModel(n=100, k=0, initial_infected=0, media_prob=0.5, decider=law, rng=1)
    assert model.run(40).infected > 50
    alone = random_regular(100, 0)
    expected = 100 * (1 - 0.9 ** np.arange(11))
    drawn = simulate(law, alone, initial_infected=0, steps=10, replicates=500, rng=1)
    assert drawn.infected.mean(axis=0) == pytest.approx(expected, abs=1)
    for time in ("discrete", "continuous"):
        for closure in ("master", "pair", "mean_field"):
            curve = solve(law, n=100, k=0, initial_infected=0, steps=10, time=time, closure=closure)
            assert curve["infected"].tolist() == pytest.approx(expected)


def test_without_starters_the_equations_follow_the_simulation() -> None:
    law = OnlineOffline(0.05, 0.1)
    curve = solve(law, n=2000, k=6, initial_infected=0, steps=15)["infected"] / 2000
    drawn = simulate(law, random_regular(2000, 6, rng=1), 0, 15, replicates=50, rng=1).mean()
    assert np.abs(curve - drawn).max() < 0.01


def test_a_run_without_starters_is_analysed_like_others() -> None:
    model = SpreadModel(
        n=100, k=4, initial_infected=0, media_prob=0.3, decider=OnlineOffline(0.1, 0.1), rng=1
    )
    data = SpreadData.from_model(model.run(30))
    assert compare(data).best.name == "OnlineOffline"
    assert analyse(data).overall.best.name == "OnlineOffline"
    assert cascade(data, rng=1).size == data.counts["infected"].max()
    refused(lambda: fit(data, "OnlineOffline", method="curve"), "method", "curve")
    nobody = SpreadModel(n=20, k=4, initial_infected=0, media_prob=0.3, decider="SI(0.1)", rng=1)
    with pytest.raises(ArgumentError) as error:
        cascade(SpreadData.from_model(nobody.run(3)))
    assert error.value.argument == "data"


def test_a_design_without_news_is_refused_before_it_runs() -> None:
    for parameters, argument in (
        ({"k": [0, 4], "decider": "SI(0.1)"}, "k"),
        ({"initial_infected": [0, 4], "media_prob": [0.0, 0.2]}, "initial_infected"),
    ):
        with pytest.raises(DesignError) as error:
            Design(parameters)
        problems = [(problem.where, problem.argument) for problem in error.value.problems]
        assert problems == [("row 0", argument)]
    assert len(Design({"initial_infected": 0, "k": [0, 4], "media_prob": 0.2}).table) == 2


# --- whole numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_any_integer_is_a_whole_number(kind: Callable[[int], Any]) -> None:
    n, k, number, steps = kind(50), kind(4), kind(5), kind(3)
    model = SpreadModel(n=n, k=k, initial_infected=number, decider="SI(0.1)", rng=1).run(steps)
    plain = SpreadModel(n=50, k=4, initial_infected=5, decider="SI(0.1)", rng=1).run(3)
    assert SpreadData.from_model(model).counts.equals(SpreadData.from_model(plain).counts)
    json.dumps(model.info.to_dict())
    curve = solve(SI(0.1), n=n, k=k, initial_infected=number, steps=steps)
    assert curve.equals(solve(SI(0.1), n=50, k=4, initial_infected=5, steps=3))
    drawn = simulate(SI(0.1), random_regular(n, k, rng=1), number, steps, kind(2), rng=1)
    assert drawn.infected.shape == (2, 4)


@pytest.mark.parametrize("value", [True, 5.0, "5", Fraction(5), None, np.True_])
def test_other_values_are_not(value: Any) -> None:
    for argument, attempt in (
        ("initial_infected", lambda: SpreadModel(initial_infected=value)),
        ("n", lambda: SpreadModel(n=value)),
        ("initial_infected", lambda: solve(SI(0.1), n=50, k=4, initial_infected=value, steps=3)),
    ):
        with pytest.raises(ArgumentTypeError) as error:
            attempt()
        assert error.value.argument == argument
        assert error.value.value is value


# --- names of nodes -----------------------------------------------------------------------------


def test_the_record_keeps_the_names_of_nodes(tmp_path: Path) -> None:
    graph = nx.Graph([("bob", "ann"), ("ann", 3), ((1, 2), "ann"), (np.int64(9), "ann")])
    model = SpreadModel(network=graph, initial_infected=["ann"], decider="SI(1.0)", rng=1).run(2)
    data = SpreadData.load(SpreadData.from_model(model).save(tmp_path))
    names = data.agents["node"].tolist()
    assert names == ["bob", "ann", "3", "(1, 2)", "9"]
    assert data.info[0].starters == (1,)
    posted = data.exposures.query("outcome == 'repost'")["agent"]
    assert [names[agent] for agent in posted] == ["bob", "3", "(1, 2)", "9"]


def test_nodes_that_are_the_agents_numbers_have_no_other_names() -> None:
    for network in ("random_regular", nx.path_graph(20), random_regular(20, 4)):
        model = SpreadModel(n=20, k=4, network=network, rng=1)
        assert list(model.nodes) == list(range(20))
    turned = SpreadModel(network=nx.Graph([(1, 0), (0, 2)]), initial_infected=[1])
    assert SpreadData.from_model(turned).agents["node"].tolist() == ["1", "0", "2"]


def test_names_of_a_file_of_edges(tmp_path: Path) -> None:
    edges = tmp_path / "edges.csv"
    edges.write_text("17,4\n4,25\n25,ann\n")
    read = read_edgelist(edges)
    model = SpreadModel(network=read, initial_infected=["25"], decider="SI(0.1)", rng=1)
    assert list(model.nodes) == ["17", "4", "25", "ann"]
    assert model.info.starters == (2,)
    config = tmp_path / "run.yaml"
    config.write_text(f"network: {edges}\ninitial_infected: [25, ann]\ndecider: SI(0.1)\nrng: 1\n")
    call("run", tmp_path / "out", "--config", config)
    data = SpreadData.load(tmp_path / "out")
    assert data.agents["node"].tolist() == list(read.labels)
    assert data.agents["node"][list(data.info[0].starters)].tolist() == ["25", "ann"]
    assert cascade(data, read, rng=1).size >= 2
    out = tmp_path / "experiment"
    small = ("--runs", 1, "--max-events", 1, "--steps", 3, "--initial-infected", 2)
    call("--network", edges, *small, "--out", out, module=ARMED_CONFLICT)
    agents = SpreadData.load(out).agents
    assert agents.loc[agents["run"] == 0, "node"].tolist() == list(read.labels)


# --- decisions ----------------------------------------------------------------------------------


class Mine(Decider):
    """A decider of one's own that returns whatever it is told to."""

    def __init__(self, answers: Callable[[int], Any]) -> None:
        self.answers = answers

    def decide(self, exposures: Sequence[Any], rng: np.random.Generator) -> Any:
        return self.answers(len(exposures))


@pytest.mark.parametrize(
    ("answers", "returned", "wanted"),
    [
        (lambda n: [True] * n, "True for agent 2 at step 1", "return a Decision with"),
        (lambda n: [None] * n, "None for agent", "such as Decision("),
        (lambda n: [Outcome.REPOST] * n, "<Outcome.REPOST: 'repost'> for", "a Decision with"),
        (lambda n: [Decision("repost")] * n, "Decision(outcome='repost'", "Outcome.REPOST"),
        (
            lambda n: [Decision(Outcome.DECLINE)] * (n - 1) + [Decision(Outcome.REPOST, None)],
            "post=None",
            "text as post, reason and key",
        ),
        (lambda n: None, "None", "a list with one Decision per exposure"),
        (lambda n: np.ones(n, bool), "array(", "a list with one Decision per exposure"),
        (lambda n: (Decision(Outcome.DECLINE) for _ in range(n)), "<generator", "a list with"),
    ],
)
def test_a_decider_that_returns_no_decisions(answers: Any, returned: str, wanted: str) -> None:
    decider = Mine(answers)
    model = SpreadModel(n=30, k=4, decider=decider, rng=1)
    for _ in range(2):
        with pytest.raises(DeciderError) as error:
            model.step()
        text = one_line(error)
        assert text.startswith("decider 'Mine' returned ")
        assert returned in text
        assert wanted in text
    assert (model.clock, model.infected, model.exposures) == (0, 10, 0)
    assert model.datacollector.get_table_dataframe("exposures").empty
    decider.answers = lambda n: [Decision(Outcome.REPOST)] * n
    model.step()
    assert (model.clock, model.infected) == (1, 10 + model.exposures)


# --- options that would do nothing --------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--store", "calls.sqlite"], "decider='table': must be llm:MODEL with --store"),
        (["--dry-run"], "decider='table': must be llm:MODEL with --dry-run"),
        (["--api-base", "http://x"], "must be llm:MODEL with --api-base"),
        (["--template", "standard"], "must be llm:MODEL with --template"),
        (["--max-calls", "5"], "must be llm:MODEL with --max-calls"),
        (["--max-cost-usd", "5", "--dry-run"], "llm:MODEL with --max-cost-usd, --dry-run"),
        (["--max-failed", "2", "--decider", "llm:openai/x"], "max_failed=2.0: must be a prob"),
        (["--decider", "SI(0.1)", "--store", "x"], "decider='SI(0.1)': must be llm:MODEL with"),
        (["--steps", "-1"], "steps=-1: must be at least 0"),
        (["--network", "EDGES", "--n", "500"], "n=500: must be left out with network="),
        (["--network", "EDGES", "--k", "4"], "k=4: must be left out with network="),
        (["--k", "0"], "k=0: must be at least 1, or be 0 with media_prob > 0"),
        (["--initial-infected", "0"], "between 1 and n=200, or be 0 with media_prob > 0"),
        (["--network", "nofile.txt"], "the file of an edge list (there is no such file)"),
        (["--network", "small_wold"], "did you mean 'small_world'?"),
        (["--decider", "SI(nan)"], "decider='SI(nan)': .*; nan is not a number"),
        (["--decider", "FirstRepeat(0.1)"], "missing a required argument: 'beta_repeat'"),
    ],
)
def test_a_run_refuses(tmp_path: Path, options: list[str], words: str) -> None:
    edges = tmp_path / "edges.txt"
    edges.write_text("0 1\n1 2\n")
    options = [str(edges) if option == "EDGES" else option for option in options]
    said = call("run", tmp_path / "out", *options, code=2)
    assert len(said.splitlines()) == 1
    for part in words.split(".*"):
        assert part in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--store", "calls.sqlite"], "--store='calls.sqlite': must stand with --model"),
        (["--dry-run"], "--dry-run=True: must stand with --model"),
        (["--api-base", "http://x"], "--api-base='http://x': must stand with --model"),
        (["--max-calls", "5"], "--max-calls=5: must stand with --model"),
        (["--max-cost-usd", "5"], "--max-cost-usd=5.0: must stand with --model"),
        (["--max-failed", "0.5"], "--max-failed=0.5: must stand with --model"),
        (["--model", "openai/x", "--decider", "SI(0.1)"], "--decider='SI(0.1)': must be left out"),
        (["--network", "EDGES", "--n", "5"], "--n=5: must be left out with --network"),
    ],
)
def test_the_experiment_refuses(tmp_path: Path, options: list[str], words: str) -> None:
    edges = tmp_path / "edges.txt"
    edges.write_text("0 1\n1 2\n")
    options = [str(edges) if option == "EDGES" else option for option in options]
    said = call(*options, "--out", tmp_path / "out", code=2, module=ARMED_CONFLICT)
    assert len(said.splitlines()) == 1
    assert words in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--steps", "-1"], "steps=-1: must be at least 0"),
        (["--client", "tcp://127.0.0.1:1"], "must stand with --backend dask"),
        (["--backend", "sequential", "--n-jobs", "2"], "must be left out with --backend seq"),
        (["--llm", "max_calls=3"], "llm:MODEL"),
    ],
)
def test_a_sweep_refuses(tmp_path: Path, options: list[str], words: str) -> None:
    design = tmp_path / "design.yaml"
    design.write_text("parameters:\n  n: [20]\n  k: [4]\n  decider: [SI(0.1)]\nsteps: 2\n")
    said = call("sweep", tmp_path / "out", "--design", design, *options, code=2)
    assert len(said.splitlines()) == 1
    assert words in said
    assert not (tmp_path / "out").exists()


def test_a_cascade_says_how_to_give_the_network(tmp_path: Path) -> None:
    edges = tmp_path / "edges.txt"
    edges.write_text("0 1\n1 2\n2 0\n")
    out = tmp_path / "out"
    call("run", out, "--network", edges, "--initial-infected", 1, "--decider", "SI(0.5)")
    said = call("cascade", out, code=2)
    assert "--network FILE" in said
    assert len(said.splitlines()) == 1
    assert "agents posted" in call("cascade", out, "--network", edges)


def test_a_file_is_not_the_name_of_a_network() -> None:
    # The message names what a file needs, and the names that there are.
    allowed = refused(lambda: SpreadModel(network="nofile.txt"), "network", "nofile.txt").allowed
    assert "read_edgelist" in allowed
    assert "random_regular" in allowed


# --- files of settings --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("n: 50\nsteps\nk: 4\n", 2),
        ("n: 50\n# all of them\nsteps\n", 3),
        ("n: 50\nsteps 40\n", 2),
    ],
)
def test_a_stray_line_of_settings_is_named(tmp_path: Path, text: str, row: int) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(text)
    said = call("run", tmp_path / "out", "--config", config, code=2)
    assert f"run.yaml, row {row}: is not valid YAML: must be a name, a colon and a value" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("parameters:\n  n: [50]\nsteps\n", "row 3: is not valid YAML: must be a name"),
        ("parameters:\n  n: [50]\n  k\nsteps: 4\n", "row 3: is not valid YAML: must be a name"),
        ("parameters:\n  n: [50,\n    60\nsteps: 4\n", "row 4: is not valid YAML: expected ','"),
        ("parameters: 5\n", "must hold 'parameters', a mapping of lists"),
        ("parameters:\n  n: [50]\nstep: 4\n", "did you mean 'steps'?"),
    ],
)
def test_a_bad_design_file_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    design = tmp_path / "design.yaml"
    design.write_text(text)
    said = call("sweep", tmp_path / "out", "--design", design, code=2)
    assert words in said
    assert len(said.splitlines()) == 1


def test_files_that_are_no_settings(tmp_path: Path) -> None:
    for name, content, words in (
        ("a.json", b'{"n": 50,\n "k" 4}', "row 2: is not valid JSON: Expecting ':' delimiter"),
        ("b.yaml", b"\xff\xfe", "is not text"),
        ("c.yaml", b"n: \x01", "is not valid YAML"),
        ("d.json", b"[" * 100_000, "is not valid"),
        ("e.yaml", b"steps\n", "settings by name"),
        ("f.yaml", b"steps\nn: 50\n", "row 2: is not valid YAML"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        said = call("run", tmp_path / "out", "--config", path, code=2)
        assert words in said
        assert len(said.splitlines()) == 1
