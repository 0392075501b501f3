"""The Mesa model: exact laws on small graphs, replay, stopping, and arguments."""

from __future__ import annotations

import threading
from pathlib import Path

import mesa
import networkx as nx
import numpy as np
import pandas as pd
import pytest
from errors import refused
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from mesa_llmspread import (
    SI,
    Decision,
    FirstRepeat,
    OnlineOffline,
    Outcome,
    Profile,
    RateDecider,
    ScriptedDecider,
    SingleMultiple,
    SpreadAgent,
    SpreadModel,
    TwoClass,
    bundled_events,
)
from mesa_llmspread.deciders import Decider, Post
from mesa_llmspread.exceptions import (
    DeciderError,
    RenamedError,
    StepInProgressError,
)
from mesa_llmspread.networks import as_network

LAWS = {
    "SI": lambda b: SI(b),
    "OnOff": lambda a, b: OnlineOffline(a, b),
    "FirstRepeat": lambda a, b: FirstRepeat(a, b),
    "FirstRepeatStep": lambda a, b: FirstRepeat(a, b, per="occasion"),
    "SingleMultiple": lambda a, b: SingleMultiple(a, b),
    "SMcum": lambda a, b: SingleMultiple(a, b, count="cumulative"),
    "TwoClass": lambda a, b: TwoClass(a, b, high={"OCEAN"}),
}


def copies(graph: nx.Graph, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Make a network of many separate copies of a graph: as many independent runs in one."""
    one = as_network(graph)
    indices = (one.indices + one.n * np.arange(number)[:, None]).ravel()
    degrees = np.tile(one.degrees, number)
    return np.concatenate([[0], np.cumsum(degrees)]), indices


def check_exact(shared: Path, graph_name: str, law: str, feed: str, number: int) -> None:
    """Compare many runs on a small graph with the exact mean and variance."""
    table = pd.read_csv(shared / "golden" / "golden_exact_small.csv")
    table = table[
        (table["graph"] == graph_name) & (table["structure"] == law) & (table["semantics"] == feed)
    ]
    edges = [tuple(map(int, edge.split("-"))) for edge in table["edges"].iloc[0].split()]
    graph = nx.Graph(edges)
    graph = nx.relabel_nodes(graph, {node: node for node in sorted(graph)})
    ordered = nx.Graph()
    ordered.add_nodes_from(sorted(graph))
    ordered.add_edges_from(edges)
    n = len(ordered)
    written = LAWS[law](*map(float, str(table["params"].iloc[0]).split(";")))
    low, high = Profile.from_code("ocean"), Profile.from_code("OCEAN")
    model = SpreadModel(
        network=copies(ordered, number),
        population=[high if i % 2 else low for i in range(n)] * number,
        decider=written,
        initial_infected=list(range(0, n * number, n)),
        feed=feed,
        media_prob=1.0 if law == "OnOff" else 0.0,
        rng=2026,
    )
    for expected in table.itertuples():
        posted = np.array([agent.infected for agent in model.spreaders]).reshape(number, n)
        share = posted.mean(axis=1)
        if expected.var_I_over_n == 0:
            assert share == pytest.approx(expected.mean_I_over_n)
        else:
            z = (share.mean() - expected.mean_I_over_n) / np.sqrt(expected.var_I_over_n / number)
            assert abs(z) < 4, (expected.t, z)
            spread = (share - expected.mean_I_over_n) ** 2
            z = (spread.mean() - expected.var_I_over_n) / (spread.std() / np.sqrt(number))
            assert abs(z) < 4, (expected.t, z)
        model.step()


GRID = [
    pytest.param(graph, law, feed, id=f"{graph}-{law}-{feed}")
    for graph in ("K4", "Q3")
    for law in LAWS
    for feed in ("persistent", "new")
]


@pytest.mark.parametrize(("graph", "law", "feed"), GRID)
def test_exact_mean_and_variance(shared: Path, graph: str, law: str, feed: str) -> None:
    check_exact(shared, graph, law, feed, number=1500)


@pytest.mark.slow
@pytest.mark.parametrize(("graph", "law", "feed"), GRID)
def test_exact_mean_and_variance_in_20000_runs(
    shared: Path, graph: str, law: str, feed: str
) -> None:
    check_exact(shared, graph, law, feed, number=20_000)


def test_separate_models_follow_the_exact_law_too(shared: Path) -> None:
    """Runs with seeds of their own, not copies in one model."""
    table = pd.read_csv(shared / "golden" / "golden_exact_small.csv")
    exact = table.query("graph == 'K4' and structure == 'SI' and semantics == 'persistent'")
    exact = exact.set_index("t")
    graph = nx.complete_graph(4)
    number = 600
    share = np.array(
        [
            SpreadModel(network=graph, decider="SI(0.2)", initial_infected=[0], rng=seed)
            .run(3)
            .infected
            / 4
            for seed in range(number)
        ]
    )
    z = (share.mean() - exact.loc[3, "mean_I_over_n"]) / np.sqrt(
        exact.loc[3, "var_I_over_n"] / number
    )
    assert abs(z) < 4


def log(model: SpreadModel) -> pd.DataFrame:
    return model.datacollector.get_table_dataframe("exposures")


@pytest.mark.parametrize("decider", ["SI(0.1)", "traits", "TwoClass(0.02, 0.3, share_high=0.4)"])
def test_the_same_seed_gives_the_same_run(decider: str) -> None:
    first, second = (SpreadModel(n=60, k=4, decider=decider, rng=5).run(15) for _ in range(2))
    pd.testing.assert_frame_equal(log(first), log(second))
    other = SpreadModel(n=60, k=4, decider=decider, rng=6).run(15)
    assert not log(first).equals(log(other))


def test_a_generator_is_taken_and_recorded_as_a_seed() -> None:
    model = SpreadModel(n=60, k=4, rng=np.random.default_rng(3)).run(5)
    again = SpreadModel(n=60, k=4, rng=model.info.rng).run(5)
    pd.testing.assert_frame_equal(log(model), log(again))


def test_one_more_agent_changes_nothing_elsewhere() -> None:
    graph = nx.random_regular_graph(4, 50, seed=1)
    larger = graph.copy()
    larger.add_edges_from([(50, 51)])
    small, large = (
        SpreadModel(network=g, initial_infected=[0, 1], decider="traits", rng=9).run(20)
        for g in (graph, larger)
    )
    kept = log(large)
    kept = kept[kept["agent"] < 50].reset_index(drop=True)
    pd.testing.assert_frame_equal(log(small), kept)


def test_streams_do_not_share_randomness() -> None:
    one = SpreadModel(n=80, k=4, population="uniform", rng=4)
    other = SpreadModel(n=80, k=4, population="norms", initial_infected=3, rng=4)
    assert (one.network.indices == other.network.indices).all()
    assert [a.code for a in one.spreaders] != [a.code for a in other.spreaders]


def test_what_an_agent_sees_when_posts_stay() -> None:
    path = nx.path_graph(4)
    decider = ScriptedDecider(lambda e: (e.agent, e.step) in {(1, 2), (2, 4)})
    model = SpreadModel(network=path, initial_infected=[0], decider=decider, rng=1).run(4)
    seen = [
        (e.step, e.agent, e.contacts, e.cumulative, e.exposure_count) for e, _ in decider.history
    ]
    assert seen == [
        (1, 1, 1, 1, 1),
        (2, 1, 1, 1, 2),
        (3, 2, 1, 1, 1),
        (4, 2, 1, 1, 2),
    ]
    assert [agent.posted_at for agent in model.spreaders] == [0, 2, 4, None]
    assert model.running


def test_new_posts_are_seen_once() -> None:
    star = nx.star_graph(3)
    decider = ScriptedDecider(lambda e: e.agent == 0 and e.step == 1)
    model = SpreadModel(network=star, initial_infected=[1], decider=decider, feed="new", rng=1).run(
        10
    )
    seen = [(e.step, e.agent, e.contacts) for e, _ in decider.history]
    assert seen == [(1, 0, 1), (2, 2, 1), (2, 3, 1)]
    assert not model.running
    assert model.clock == 2


def test_new_posts_are_counted_with_all_before_them() -> None:
    graph = nx.Graph([(0, 1), (0, 2), (2, 3)])
    decider = ScriptedDecider(lambda e: e.agent == 2)
    SpreadModel(network=graph, initial_infected=[1, 3], decider=decider, feed="new", rng=1).run(3)
    of_zero = [(e.step, e.contacts, e.cumulative) for e, _ in decider.history if e.agent == 0]
    assert of_zero == [(1, 1, 1), (2, 1, 2)]


def test_decisions_of_a_step_do_not_see_each_other() -> None:
    complete = nx.complete_graph(6)
    decider = ScriptedDecider(lambda e: True)
    SpreadModel(network=complete, initial_infected=[0], decider=decider, rng=1).run(1)
    assert [e.contacts for e, _ in decider.history] == [1] * 5


def test_failed_decisions_leave_agents_as_they_were() -> None:
    decider = ScriptedDecider(
        lambda e: Outcome.FAILED if e.step == 1 else Decision(Outcome.REPOST, "words", "why")
    )
    model = SpreadModel(network=nx.path_graph(2), initial_infected=[0], decider=decider, rng=1)
    model.step()
    assert (model.failed, model.exposures, model.infected) == (1, 1, 1)
    model.step()
    assert [e.exposure_count for e, _ in decider.history] == [1, 1]
    agent = model.spreaders[1]
    assert agent.post == Post(1, 2, "words")
    assert (agent.decision.reason, agent.state, model.failed) == ("why", "infected", 0)
    assert log(model)["outcome"].tolist() == ["failed", "repost"]


def test_an_old_argument_gives_the_new_one() -> None:
    with pytest.raises(RenamedError) as caught:
        SpreadModel(broadcast=0.3)  # type: ignore[call-arg]
    assert (caught.value.argument, caught.value.new) == ("broadcast", "media_prob")


def test_media_prob_shows_the_event_itself() -> None:
    decider = ScriptedDecider(lambda e: False)
    SpreadModel(n=1000, k=4, initial_infected=1, media_prob=0.3, decider=decider, rng=2).run(5)
    exposures = [e for e, _ in decider.history]
    direct = np.mean([e.direct for e in exposures if e.contacts == 0])
    assert direct == 1
    assert len([e for e in exposures if e.direct]) == pytest.approx(0.3 * 999 * 5, rel=0.1)
    assert [e.agent for e in exposures if e.step == 1] == sorted(
        e.agent for e in exposures if e.step == 1
    )


def test_it_stops_when_nobody_can_be_reached() -> None:
    two_pairs = nx.Graph([(0, 1), (2, 3)])
    model = SpreadModel(network=two_pairs, initial_infected=[0], decider="SI(1.0)", rng=1)
    assert model.run(50).clock == 1
    assert (model.infected, model.running) == (2, False)
    everyone = SpreadModel(network=two_pairs, initial_infected=[0, 1, 2, 3], rng=1)
    assert not everyone.running


def test_a_decider_that_raises_leaves_the_model_ready_to_step_again() -> None:
    class Fragile(Decider):
        broken = True

        def decide(self, exposures, rng):
            if self.broken:
                raise DeciderError("no answer")
            return [Decision(Outcome.DECLINE)] * len(exposures)

    decider = Fragile()
    model = SpreadModel(n=30, k=4, decider=decider, rng=1)
    for _ in range(2):
        with pytest.raises(DeciderError):
            model.step()
    assert model.clock == 0
    assert log(model).empty
    decider.broken = False
    model.step()
    assert (model.clock, len(log(model))) == (1, model.exposures)


def test_a_decider_with_too_few_answers_is_an_error() -> None:
    class Short(Decider):
        name = "short"

        def decide(self, exposures, rng):
            return []

    with pytest.raises(DeciderError):
        SpreadModel(n=30, k=4, decider=Short(), rng=1).step()


def test_a_step_cannot_overlap_another() -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(exposure):
        entered.set()
        assert leave.wait(10)
        return False

    model = SpreadModel(n=30, k=4, decider=ScriptedDecider(slow), rng=1)
    thread = threading.Thread(target=model.step)
    thread.start()
    assert entered.wait(10)
    with pytest.raises(StepInProgressError):
        model.step()
    leave.set()
    thread.join()
    assert model.clock == 1
    if hasattr(model, "steps"):  # Mesa 4 does not count steps
        assert model.steps == 1


def test_counts_a_step() -> None:
    model = SpreadModel(n=100, k=6, decider="SI(0.2)", rng=3).run(30)
    counts = model.datacollector.get_model_vars_dataframe()
    assert (counts["Susceptible"] + counts["Infected"] == 100).all()
    assert (counts["Infected"].diff().dropna() == counts["NewInfected"].iloc[1:]).all()
    assert counts["Exposures"].sum() == len(log(model))
    assert counts["Infected"].is_monotonic_increasing


def test_it_is_an_ordinary_mesa_model() -> None:
    model = SpreadModel(n=30, k=4, rng=1)
    assert isinstance(model, mesa.Model)
    assert len(model.agents) == 30
    agent = model.grid.get_cell_list_contents([7])[0]
    assert (agent.index, agent.pos) == (7, 7)
    agent.remove()
    assert len(model.agents) == 29
    assert model.grid.get_cell_list_contents([7]) == []


class Neighbourly(SpreadAgent):
    """An agent that looks at the grid when it is made."""

    def __init__(self, model: SpreadModel, index: int, profile: Profile) -> None:
        super().__init__(model, index, profile)
        self.degree = model.grid.G.degree(index)


def test_the_grid_is_the_same_whenever_it_is_first_used() -> None:
    early = SpreadModel(n=60, k=4, decider="SI(0.3)", agent_class=Neighbourly, rng=1)
    assert {agent.degree for agent in early.spreaders} == {4}
    late = SpreadModel(n=60, k=4, decider="SI(0.3)", rng=1)
    early.spreaders[5].remove()
    late.spreaders[5].remove()
    runs = [model.run(10).datacollector.get_model_vars_dataframe() for model in (early, late)]
    assert_frame_equal(*runs)
    for model in (early, late):
        contents = [model.grid.get_cell_list_contents([node]) for node in range(60)]
        placed = [[agent] for agent in model.spreaders]
        assert contents == [*placed[:5], [], *placed[6:]]
        assert sorted(model.grid.G.edges) == sorted(map(tuple, model.network.edges().tolist()))


def test_posts_follow_the_edges_of_a_grid_that_is_changed() -> None:
    model = SpreadModel(n=40, k=4, decider="SI(1.0)", initial_infected=1, rng=1)
    model.grid.G.remove_edges_from(list(model.grid.G.edges))
    model.run(3)
    assert model.infected == 5  # the neighbours of the start had its post before


@pytest.mark.skipif(not hasattr(mesa, "batch_run"), reason="Mesa 4 has no batch_run")
def test_batch_run_drives_it() -> None:
    rows = mesa.batch_run(
        SpreadModel,
        {"n": [30], "k": [4, 6], "decider": ["SI(0.5)"], "rng": [1]},
        max_steps=20,
        display_progress=False,
        number_processes=1,
    )
    # Mesa 3.3 reports the state before the last step, Mesa 3.5 the one after it.
    assert all(row["Infected"] > 10 for row in rows)


def test_a_given_graph_keeps_its_names_for_starters() -> None:
    graph = nx.Graph([("b", "a"), ("a", "c")])
    model = SpreadModel(network=graph, initial_infected=["c"], decider="SI(1.0)", rng=1)
    assert [agent.infected for agent in model.spreaders] == [False, False, True]
    assert "agent" not in graph.nodes["a"]


def test_info_describes_the_run() -> None:
    info = SpreadModel(n=40, k=4, decider="FirstRepeat(0.2, 0.1)", rng=11).info
    assert info.n == 40
    assert info.degrees == {4: 40}
    assert sum(info.profiles.values()) == 40
    assert info.decider_info["parameters"] == {"beta_first": 0.2, "beta_repeat": 0.1}
    assert info.event == bundled_events()[0]
    assert (info.rng, info.initial_infected) == (11, 10)
    assert info.versions["mesa"] == mesa.__version__


@pytest.mark.parametrize(
    ("arguments", "argument", "value"),
    [
        ({"n": 9, "k": 3}, "k", 3),
        ({"n": 5, "k": 5}, "k", 5),
        ({"n": 1}, "n", 1),
        ({"initial_infected": 201}, "initial_infected", 201),
        ({"initial_infected": 0}, "initial_infected", 0),
        ({"initial_infected": [0, 0]}, "initial_infected", [0, 0]),
        ({"initial_infected": [999]}, "initial_infected", 999),
        ({"initial_infected": "all"}, "initial_infected", "all"),
        ({"media_prob": 1.5}, "media_prob", 1.5),
        ({"media_prob": "often"}, "media_prob", "often"),
        ({"decider": "SI(-0.1)"}, "beta", -0.1),
        ({"decider": "SI(1.1)"}, "beta", 1.1),
        ({"decider": "gpt"}, "decider", "gpt"),
        ({"decider": "SIR(0.1)"}, "decider", "SIR(0.1)"),
        ({"decider": 3}, "decider", 3),
        ({"population": "oceanic"}, "population", "oceanic"),
        ({"population": {"OCEAN": 0.4}}, "population", {"OCEAN": 0.4}),
        ({"population": {"XXXXX": 1.0}}, "population", "XXXXX"),
        ({"event": "party"}, "event_id", "party"),
        ({"event": 3}, "event", 3),
        ({"network": "ring"}, "network", "ring"),
        ({"feed": "newest"}, "feed", "newest"),
        ({"rng": "43"}, "rng", "43"),
        ({"rng": -1}, "rng", -1),
    ],
)
def test_bad_arguments_are_named(arguments: dict, argument: str, value: object) -> None:
    refused(lambda: SpreadModel(**arguments), argument, value)


def test_a_negative_number_of_steps_is_an_error() -> None:
    refused(lambda: SpreadModel(n=20, k=4, rng=1).run(-1), "steps", -1)


@given(
    seed=st.integers(0, 2**32),
    beta=st.floats(0, 1),
    feed=st.sampled_from(["persistent", "new"]),
    media_prob=st.sampled_from([0.0, 0.4]),
)
@settings(max_examples=25, deadline=None)
def test_invariants(seed: int, beta: float, feed: str, media_prob: float) -> None:
    model = SpreadModel(
        n=24,
        k=3,
        decider=RateDecider(FirstRepeat(beta, beta / 2)),
        initial_infected=2,
        feed=feed,
        media_prob=media_prob,
        rng=seed,
    ).run(12)
    table = log(model)
    posted = table[table["outcome"] == "repost"]
    assert not posted["agent"].duplicated().any()
    assert len(posted) + 2 == model.infected
    assert (table["contacts"] <= table["cumulative"]).all()
    assert (table["cumulative"] <= 3).all()
    assert ((table["contacts"] > 0) | table["direct"]).all()
    occasions = table.groupby("agent")["exposure_count"].apply(list)
    assert all(seen == list(range(1, len(seen) + 1)) for seen in occasions)
