"""Cascades: hand-made ones, against networkx, and whole runs."""

from __future__ import annotations

import dataclasses

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from errors import refused
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from mesa_llmspread import (
    Decision,
    Outcome,
    Profile,
    SpreadData,
    SpreadModel,
    concat,
    random_regular,
)
from mesa_llmspread.analysis.cascades import Cascade, cascade
from mesa_llmspread.analysis.trees import Forest
from mesa_llmspread.deciders import Decider
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.reporting.plots import plot_cascade
from mesa_llmspread.simulation.rebuild import network_of
from mesa_llmspread.transmission import SI, parse_law


class Timetable(Decider):
    """Everyone posts at its own step, if it sees anything then."""

    name = "timetable"

    def __init__(self, step_of: dict[int, int]) -> None:
        self.step_of = step_of

    def decide(self, exposures, rng):
        del rng
        return [
            Decision(Outcome.REPOST if self.step_of.get(x.agent) == x.step else Outcome.DECLINE)
            for x in exposures
        ]


def run_of(graph, step_of, starters, steps=10, **options) -> SpreadData:
    """Record a run in which everyone posts by timetable."""
    model = SpreadModel(
        network=graph, decider=Timetable(step_of), initial_infected=starters, rng=1, **options
    )
    return SpreadData.from_model(model.run(steps))


@pytest.fixture(scope="module")
def data() -> SpreadData:
    """One run of 200 agents."""
    return SpreadData.from_model(SpreadModel(rng=3).run(60))


@pytest.fixture(scope="module")
def result(data: SpreadData) -> Cascade:
    return cascade(data, rng=1)


# --- Trees ---------------------------------------------------------------------------------


@st.composite
def parents(draw: st.DrawFn) -> list[int]:
    """Forests: everyone has a parent before it, or none."""
    size = draw(st.integers(1, 30))
    return [draw(st.integers(-1, row - 1)) for row in range(size)]


@given(parents())
def test_trees_measure_as_networkx_does(parent: list[int]) -> None:
    forest = Forest(parent)
    graph = nx.Graph((row, up) for row, up in enumerate(parent) if up >= 0)
    graph.add_nodes_from(range(len(parent)))
    components = list(nx.connected_components(graph))
    assert forest.trees == len(components)
    assert forest.largest_tree == max(map(len, components))
    distances, pairs = 0.0, 0
    for nodes in components:
        root, tree = min(nodes), graph.subgraph(nodes)
        depths = nx.single_source_shortest_path_length(graph, root)
        assert {node: forest.depths[node] for node in nodes} == depths
        assert all(forest.roots[node] == root for node in nodes)
        distances += nx.wiener_index(tree)
        pairs += len(nodes) * (len(nodes) - 1) // 2
    assert forest.depth == forest.depths.max()
    assert forest.generations.sum() == len(parent)
    assert forest.breadth == forest.generations.max()
    if pairs:
        assert forest.structural_virality == pytest.approx(distances / pairs)
    else:
        assert np.isnan(forest.structural_virality)


def test_a_forest_without_trees() -> None:
    empty = Forest([])
    assert (empty.trees, empty.largest_tree, empty.depth, empty.breadth) == (0, 0, 0, 0)
    assert np.isnan(empty.structural_virality)


@pytest.mark.parametrize("size", [2, 3, 10, 101])
def test_virality_of_stars_and_chains(size: int) -> None:
    # A star's is 2 - 2/n and a chain's (n + 1)/3.
    assert Forest([-1] + [0] * (size - 1)).structural_virality == pytest.approx(2 - 2 / size)
    assert Forest(range(-1, size - 1)).structural_virality == pytest.approx((size + 1) / 3)


@pytest.mark.parametrize("parent", [[0], [1, -1], [-1, -2], [-1, 2, 1]])
def test_a_parent_after_its_child(parent: list[int]) -> None:
    with pytest.raises(ArgumentError) as caught:
        Forest(parent)
    row = next(row for row, up in enumerate(parent) if not -1 <= up < row)
    assert (caught.value.argument, caught.value.value) == (f"parent[{row}]", parent[row])


# --- Hand-made runs ------------------------------------------------------------------------


def test_a_chain() -> None:
    graph = nx.path_graph(5)
    found = cascade(run_of(graph, {1: 1, 2: 3, 3: 4}, [0]), graph, rng=1)
    assert found.spreaders["agent"].tolist() == [0, 1, 2, 3]
    assert found.spreaders["step"].tolist() == [0, 1, 3, 4]
    assert found.spreaders["sources"].tolist() == [0, 1, 1, 1]
    assert found.edges.to_numpy().tolist() == [[0, 1, 1, 1.0], [1, 2, 3, 1.0], [2, 3, 4, 1.0]]
    assert found.sample(1).parent.tolist() == [-1, 0, 1, 2]
    assert found.size == 4
    assert found.time_to_half == 1
    assert (found.peak_step, found.peak_height) == (1, 1)
    assert found.new_spreaders.tolist() == [1, 0, 1, 1]
    expected = {"trees": 1, "largest_tree": 4, "depth": 3, "breadth": 1}
    assert found.measures["mean"].drop("structural_virality").to_dict() == expected
    assert found.measures["mean"]["structural_virality"] == pytest.approx(5 / 3)


def test_two_who_may_have_passed_it_on_are_equally_likely() -> None:
    graph = nx.cycle_graph(4)
    found = cascade(run_of(graph, {1: 1, 3: 1, 2: 2}, [0]), graph, draws=2000, rng=1)
    edges = found.edges.set_index(["parent", "child"])["probability"]
    assert edges.to_dict() == {(0, 1): 1, (0, 3): 1, (1, 2): 0.5, (3, 2): 0.5}
    generator = np.random.default_rng(1)
    chosen = [int(found.sample(generator).parent[3]) for _ in range(2000)]
    assert set(chosen) == {1, 2}
    assert chosen.count(1) / 2000 == pytest.approx(0.5, abs=0.05)
    assert (found.peak_step, found.peak_height) == (1, 2)


def test_posts_of_the_same_step_are_not_sources() -> None:
    graph = nx.complete_graph(3)
    found = cascade(run_of(graph, {1: 1, 2: 1}, [0]), graph, rng=1)
    assert found.edges[["parent", "child"]].to_numpy().tolist() == [[0, 1], [0, 2]]


def test_new_posts_are_seen_for_one_step_only() -> None:
    graph = nx.cycle_graph(4)
    step_of = {1: 1, 2: 2, 3: 3}
    assert len(cascade(run_of(graph, step_of, [0]), graph, rng=1).edges) == 4
    new = cascade(run_of(graph, step_of, [0], feed="new"), graph, rng=1)
    assert new.edges[["parent", "child"]].to_numpy().tolist() == [[0, 1], [1, 2], [2, 3]]


def test_the_media_begin_trees_of_their_own() -> None:
    # 0 - 1 - 2, and 3 apart; everyone sees the event itself in every step.
    graph = nx.Graph([(0, 1), (1, 2)])
    graph.add_node(3)
    run = run_of(graph, {1: 1, 2: 2, 3: 3}, [0], media_prob=1.0)
    found = cascade(run, graph, law=SI(0.2, alpha=0.2), draws=1000, rng=1)
    assert found.spreaders["sources"].tolist() == [0, 2, 2, 1]
    assert found.edges["probability"].tolist() == pytest.approx([0.5, 0.5])
    assert found.measures.loc["trees", "mean"] == pytest.approx(3, abs=0.1)
    assert found.measures.loc["trees", ["low", "high"]].tolist() == [2, 4]
    assert found.sample(1).parent[-1] == -1


def test_like_passes_on_to_like() -> None:
    # Two rings that are not connected; those on one are open, those on the other are not.
    graph = nx.disjoint_union(nx.cycle_graph(40), nx.cycle_graph(40))
    population = [Profile(1 if i < 40 else -1, 1, -1, 1, -1) for i in range(80)]
    step_of = {40 * ring + i: i for ring in (0, 1) for i in range(1, 20)}
    table = cascade(
        run_of(graph, step_of, [0, 40], steps=30, population=population), graph, rng=1
    ).assortativity
    assert table.loc["openness", "observed"] == 1
    assert table.loc["profile", "observed"] == 1
    assert table.loc["openness", "expected"] < 0.7
    assert table.loc["openness", "p_value"] <= 0.01
    # Traits that everyone shares say nothing.
    assert table.loc["extraversion", ["observed", "expected", "p_value"]].tolist() == [1, 1, 1]


# --- Whole runs ----------------------------------------------------------------------------


def test_the_log_is_all_there(data: SpreadData, result: Cascade) -> None:
    assert result.size == data.counts["infected"].iloc[-1]
    new = data.counts["new_infected"].to_numpy()[1 : len(result.new_spreaders) + 1]
    assert result.new_spreaders.tolist() == new.tolist()
    infected = data.counts["infected"]
    assert result.time_to_half == int((infected >= infected.max() / 2).argmax())
    reposts = data.exposures.query("outcome == 'repost'").set_index("agent")["contacts"]
    sources = result.spreaders[result.spreaders["step"] > 0].set_index("agent")["sources"]
    assert sources.to_dict() == reposts.to_dict()
    assert result.spreaders["profile"].str.len().eq(5).all()


def test_edges_are_edges_and_their_probabilities_sum_to_one(
    data: SpreadData, result: Cascade
) -> None:
    graph = network_of(data.info[0]).to_networkx()
    edges = result.edges
    assert all(graph.has_edge(*pair) for pair in edges[["parent", "child"]].to_numpy())
    step = result.spreaders.set_index("agent")["step"]
    assert (step[edges["parent"]].to_numpy() < edges["step"].to_numpy()).all()
    sums = edges.groupby("child")["probability"].sum()
    assert sums.to_numpy() == pytest.approx(np.ones(result.size - 10))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    feed=st.sampled_from(["persistent", "new"]),
    media_prob=st.sampled_from([0.0, 0.05]),
    network=st.sampled_from(["random_regular", "small_world", "scale_free"]),
    starters=st.integers(1, 40),
)
@example(seed=571762917, feed="persistent", media_prob=0.05, network="small_world", starters=39)
@example(seed=1465597361, feed="new", media_prob=0.05, network="small_world", starters=3)
def test_any_run_makes_forests(
    seed: int, feed: str, media_prob: float, network: str, starters: int
) -> None:
    model = SpreadModel(
        n=40,
        k=4,
        network=network,
        feed=feed,
        media_prob=media_prob,
        decider="traits",
        initial_infected=starters,
        rng=seed,
    )
    found = cascade(SpreadData.from_model(model.run(15)), draws=5, rng=seed)
    assert found.size == model.infected
    assert found.measures.loc["trees", "mean"] >= starters
    assert (found.measures["low"].drop("structural_virality") >= 0).all()
    assert found.generations["mean"].sum() == pytest.approx(found.size)
    forest = found.sample(seed)
    assert np.isin(np.flatnonzero(found.spreaders["step"] == 0), forest.roots).all()
    assert f"{found.size} of 40 agents posted" in found.summary()


def test_dealing_profiles_anew_is_calibrated() -> None:
    # Profiles are dealt to nodes at random and the law knows none: p-values are uniform.
    p_values = []
    for seed in range(30):
        model = SpreadModel(n=60, k=4, decider="SI(0.1)", rng=seed).run(30)
        table = cascade(SpreadData.from_model(model), draws=1, rng=seed).assortativity
        p_values.extend(table["p_value"].drop("profile"))
    assert 0.4 < np.mean(p_values) < 0.62
    assert np.mean(np.array(p_values) < 0.1) < 0.2


def test_the_same_seed_gives_the_same_cascade(data: SpreadData, result: Cascade) -> None:
    again = cascade(data, rng=1)
    pd.testing.assert_frame_equal(again.measures, result.measures)
    pd.testing.assert_frame_equal(again.assortativity, result.assortativity)


def test_one_run_of_several(data: SpreadData, result: Cascade) -> None:
    other = SpreadData.from_model(SpreadModel(n=50, k=4, network="small_world", rng=8).run(20))
    both = concat([other, data])
    for wrong in (None, 7):
        with pytest.raises(ArgumentError) as caught:
            cascade(both, run=wrong)
        assert (caught.value.argument, caught.value.value) == ("run", wrong)
    pd.testing.assert_frame_equal(cascade(both, run=1, rng=1).measures, result.measures)
    assert cascade(both, run=0).n == 50


def test_a_record_keeps_its_cascade_on_disk(data: SpreadData, result: Cascade, tmp_path) -> None:
    loaded = cascade(SpreadData.load(data.save(tmp_path / "run")), rng=1)
    pd.testing.assert_frame_equal(loaded.spreaders, result.spreaders)


def test_nobody_passes_it_on() -> None:
    graph = nx.path_graph(5)
    found = cascade(run_of(graph, {}, [0, 4], steps=3), graph, rng=1)
    assert (found.size, found.time_to_half, found.peak_step, found.peak_height) == (2, 0, None, 0)
    assert found.measures.loc["depth", "mean"] == 0
    assert np.isnan(found.measures.loc["structural_virality", "mean"])
    assert found.assortativity.isna().all().all()
    assert found.edges.empty
    assert "nobody reposted the news" in found.summary()


def test_everybody_posts_at_once() -> None:
    graph = nx.complete_graph(6)
    found = cascade(run_of(graph, dict.fromkeys(range(6), 1), [0]), graph, rng=1)
    assert (found.time_to_half, found.peak_step, found.peak_height) == (1, 1, 5)
    assert found.measures["mean"]["structural_virality"] == pytest.approx(2 - 2 / 6)


def test_failed_decisions_pass_nothing_on(data: SpreadData) -> None:
    declines = data.exposures["outcome"] == "decline"
    failed = data.exposures.assign(outcome=data.exposures["outcome"].where(~declines, "failed"))
    found = cascade(dataclasses.replace(data, exposures=failed), rng=1)
    assert found.size == data.counts["infected"].iloc[-1]


# --- Networks ------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["random_regular", "small_world", "scale_free"])
@pytest.mark.parametrize(("n", "k"), [(20, 8), (61, 10), (200, 4)])
def test_a_named_network_is_made_again(network: str, n: int, k: int) -> None:
    model = SpreadModel(n=n, k=k, network=network, rng=4)
    again = network_of(SpreadData.from_model(model).info[0])
    assert again is not None
    assert np.array_equal(again.edges(), model.network.edges())


def test_a_given_network_has_to_be_given_again() -> None:
    graph = nx.path_graph(5)
    data = run_of(graph, {1: 1}, [0])
    for network, value in ((None, None), (nx.path_graph(6), "6 nodes")):
        with pytest.raises(ArgumentError) as caught:
            cascade(data, network)
        assert (caught.value.argument, caught.value.value) == ("network", value)


def test_a_graph_with_names_is_numbered_as_the_model_numbers_it() -> None:
    graph = nx.Graph([("eve", "bob"), ("bob", "ann")])
    data = run_of(graph, {1: 1, 2: 2}, ["eve"])
    assert cascade(data, graph, rng=1).edges["child"].tolist() == [1, 2]


def test_another_network_is_noticed(data: SpreadData) -> None:
    with pytest.raises(ArgumentError) as caught:
        cascade(data, random_regular(200, 8, rng=99))
    assert caught.value.argument == "network"
    assert "posting neighbours of agent" in caught.value.value


# --- Records that are not whole ------------------------------------------------------------


def test_starters_that_nobody_knows(data: SpreadData) -> None:
    info = {0: dataclasses.replace(data.info[0], starters=None)}
    with pytest.raises(ArgumentError) as caught:
        cascade(SpreadData(data.exposures, data.counts, info))
    assert (caught.value.argument, caught.value.value) == ("info.starters", None)


def test_a_post_that_is_missing(data: SpreadData) -> None:
    first = data.exposures.index[data.exposures["outcome"] == "repost"][0]
    with pytest.raises(ArgumentError) as caught:
        cascade(SpreadData(data.exposures.drop(first), data.counts, data.info))
    number = data.counts["infected"].max() - 1
    assert caught.value.argument == "data"
    assert caught.value.value == f"{number} posts by {number} agents"


@pytest.mark.parametrize(("name", "value"), [("draws", 0), ("level", 1.0)])
def test_arguments_that_are_not_allowed(data: SpreadData, name: str, value: float) -> None:
    with pytest.raises(ArgumentError) as caught:
        cascade(data, **{name: value})
    assert (caught.value.argument, caught.value.value) == (name, value)


def test_the_figure_shows_every_step(result: Cascade) -> None:
    figure = plot_cascade(result)
    assert isinstance(figure, Figure)
    left, right = figure.axes
    assert [bar.get_height() for bar in left.patches] == result.new_spreaders.tolist()
    assert len(right.patches) == len(result.generations)
    figure.draw_without_rendering()


def test_the_media_are_weighed_by_the_law() -> None:
    """Agents see the event all the time, and hardly ever post because of it."""
    law = "SI(0.1, alpha=0.0005)"
    model = SpreadModel(n=1000, k=8, initial_infected=2, media_prob=1.0, decider=law, rng=2).run(60)
    data = SpreadData.from_model(model)
    log = data.exposures.query("outcome == 'repost'")
    # Roots of trees: starters, those that saw no post, and a small share of the others.
    known = 2 + (log["contacts"] == 0).sum()
    for weigher in (None, law, parse_law(law)):
        trees = cascade(data, law=weigher, rng=1).measures.loc["trees", "mean"]
        assert known <= trees < known + 12
    # Equally likely sources would make many more.
    assert (1 / (1 + log.loc[log["contacts"] > 0, "contacts"])).sum() > 100


def test_a_law_that_is_none_is_refused_without_media_too(data: SpreadData) -> None:
    refused(lambda: cascade(data, run=data.runs[0], law=5), "law", 5)  # type: ignore[arg-type]


def test_posts_that_have_faded_weigh_less_than_the_media() -> None:
    """A neighbour's rate is that of the media, times what its posts still weigh."""
    law, seen = "SI(0.05, alpha=0.05)", "Visibility(ageing=Exponential(1.0))"
    model = SpreadModel(n=500, k=8, media_prob=1.0, decider=law, visibility=seen, rng=1).run(40)
    result = cascade(SpreadData.from_model(model), law=parse_law(law), rng=1)
    posted = result.spreaders["step"].to_numpy()
    sources = result.sources.assign(step=posted[result.sources["child"]])
    edges = sources[sources["parent"] >= 0]
    weight = np.exp(posted[edges["parent"]] - edges["step"] + 1.0).groupby(edges["child"]).sum()
    media = sources[(sources["parent"] < 0) & (sources["step"] > 0)].set_index("child")
    expected = 1 / (1 + weight.reindex(media.index, fill_value=0.0))
    assert media["probability"].to_numpy() == pytest.approx(expected.to_numpy())


def test_a_window_limits_the_sources() -> None:
    model = SpreadModel(n=200, k=6, visibility="Visibility(2)", decider="SI(0.3)", rng=1).run(40)
    result = cascade(SpreadData.from_model(model), rng=1)
    posted = result.spreaders["step"].to_numpy()
    pairs = result.sources[result.sources["parent"] >= 0]
    assert set(posted[pairs["child"]] - posted[pairs["parent"]]) == {1, 2}
    assert result.sources.groupby("child")["probability"].sum().to_numpy() == pytest.approx(1.0)
