"""Networks: what is drawn is what it should be, and what is given is checked."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from mesa_llmspread import SpreadModel, networks
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    InputFileError,
    UnknownNameError,
)
from mesa_llmspread.networks import (
    NETWORKS,
    Network,
    as_network,
    make_network,
    node_names,
    random_regular,
    read_edgelist,
    scale_free,
    small_world,
)

KARATE = nx.karate_club_graph()


def assert_sound(network: Network) -> None:
    """Check by brute force that a network is undirected, simple and sorted."""
    assert network.indptr.dtype == np.int64
    assert network.indices.dtype == np.int32
    assert network.indptr[0] == 0
    assert network.indptr[-1] == len(network.indices)
    rows = [network.neighbours(i).tolist() for i in range(network.n)]
    for i, row in enumerate(rows):
        assert row == sorted(set(row))
        assert i not in row
        assert all(i in rows[j] for j in row)


def same(one: Network, other: Network) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


# --- Network ------------------------------------------------------------------------------


def test_a_network_is_the_pair_of_its_arrays() -> None:
    indptr, indices = network = as_network(nx.path_graph(4))
    assert indptr.tolist() == [0, 1, 3, 5, 6]
    assert indices.tolist() == [1, 0, 2, 1, 3, 2]
    assert network.n == 4
    assert network.degrees.tolist() == [1, 2, 2, 1]
    assert network.neighbours(2).tolist() == [1, 3]
    assert network.edges().tolist() == [[0, 1], [1, 2], [2, 3]]


def test_networkx_and_back() -> None:
    network = as_network(KARATE)
    assert_sound(network)
    graph = network.to_networkx()
    assert list(graph) == list(range(34))
    assert set(map(frozenset, graph.edges)) == set(map(frozenset, KARATE.edges))
    assert same(as_network(graph), network)


def test_isolated_agents_stay() -> None:
    graph = nx.empty_graph(3)
    network = as_network(graph)
    assert network.degrees.tolist() == [0, 0, 0]
    assert network.edges().shape == (0, 2)
    assert list(network.to_networkx()) == [0, 1, 2]
    assert same(as_network(([0, 0, 0, 0], [])), network)


def test_agents_are_numbered_in_the_order_of_the_nodes() -> None:
    graph = nx.Graph()
    graph.add_nodes_from(["c", "a", "b"])
    graph.add_edge("a", "b")
    assert as_network(graph).edges().tolist() == [[1, 2]]
    shuffled = nx.Graph()
    shuffled.add_nodes_from([2, 0, 1])
    shuffled.add_edge(0, 1)
    assert as_network(shuffled).edges().tolist() == [[1, 2]]


def test_a_network_comes_back_as_it_is() -> None:
    network = random_regular(10, 3, rng=1)
    assert as_network(network) is network


def test_rows_of_a_pair_need_not_be_sorted() -> None:
    network = as_network((np.array([0, 2, 4, 6], np.uint16), [2, 1, 2, 0, 1, 0]))
    assert_sound(network)
    assert network.indices.tolist() == [1, 2, 0, 2, 0, 1]


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.randoms())))
def test_any_simple_graph_survives_as_a_pair(case: tuple[int, Any]) -> None:
    n, random = case
    graph = nx.gnp_random_graph(n, 0.4, seed=random.randrange(1000))
    network = as_network(graph)
    assert_sound(network)
    assert same(as_network(tuple(network)), network)
    assert nx.utils.graphs_equal(network.to_networkx(), graph)


@pytest.mark.parametrize(
    ("given_network", "allowed"),
    [
        (nx.path_graph(3, create_using=nx.DiGraph), "be undirected"),
        (nx.MultiGraph([(0, 1), (0, 1)]), "parallel edges"),
        (nx.Graph([("a", "b"), ("b", "b")]), "self-loops; node 'b' has one"),
        (nx.Graph(), "at least one node"),
        (([], []), "ends with len(indices)=0"),
        (([0], []), "ends with len(indices)=0"),
        (([1, 2], [0, 0]), "be compressed sparse rows"),
        (([0, 1], [0, 0]), "ends with len(indices)=2"),
        (([0, 2, 1, 2], [1, 2]), "be compressed sparse rows"),
        (([0, 1, 2], [1, 2]), "be compressed sparse rows"),
        (([0, 1, 2], [1, -1]), "be compressed sparse rows"),
        (([0, 2, 3], [0, 1, 0]), "self-loops; node 0 has one"),
        (([0, 1, 1], [1]), "rows of both"),
        (([0, 1, 2, 3], [1, 2, 0]), "rows of both"),
        (([0, 2, 4], [1, 1, 0, 0]), "no edge twice"),
    ],
)
def test_what_is_no_undirected_simple_network_is_refused(given_network: Any, allowed: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        as_network(given_network)
    assert (caught.value.argument, caught.value.value) == ("network", given_network)
    assert allowed in caught.value.allowed


@given(st.integers(0, 2**16), st.integers(2, 12))
def test_a_network_is_the_same_as_graph_table_and_matrix(seed: int, n: int) -> None:
    graph = nx.gnp_random_graph(n, 0.6, seed=seed)
    network = as_network(graph)
    dense = nx.to_numpy_array(graph)
    for form in (dense, 2.5 * dense, dense.astype(bool), sparse.coo_array(dense)):
        assert same(as_network(form), network)
    assert same(as_network(sparse.csc_matrix(dense)), network)
    table = nx.to_pandas_edgelist(graph)
    if set(table.to_numpy().ravel()) == set(graph):
        names = list(node_names(table, n))
        edges = {frozenset((names[i], names[j])) for i, j in as_network(table).edges()}
        assert edges == {frozenset(edge) for edge in graph.edges}


def test_names_of_a_table_are_those_of_the_agents() -> None:
    table = pd.DataFrame({"weight": [1, 2, 3], "source": list("abc"), "target": list("bca")})
    both = pd.concat([table, table.rename(columns={"source": "target", "target": "source"})])
    for edges in (table, both, table[["source", "target"]].set_axis(["u", "v"], axis=1)):
        model = SpreadModel(network=edges, decider="SI(0.5)", initial_infected=["b"], rng=1)
        assert list(model.nodes) == ["a", "b", "c"]
        assert [agent.infected for agent in model.spreaders] == [False, True, False]


@pytest.mark.parametrize(
    ("form", "allowed"),
    [
        (np.array([[0, 1], [0, 0]]), "sees the other's posts"),
        (np.array([[1, 0], [0, 0]]), "self-loops; node 0 has one"),
        (np.zeros((2, 3)), "square"),
        (np.array([[0, np.nan], [np.nan, 0]]), "missing"),
        (pd.DataFrame({"source": [1]}), "two columns"),
        (pd.DataFrame({"source": [], "target": []}), "two columns"),
        (pd.DataFrame({"source": [1, 2], "target": [2, 2]}), "row 1 joins 2 to itself"),
        (pd.DataFrame({"source": ["a", None], "target": ["b", "c"]}), "both nodes"),
    ],
)
def test_tables_and_matrices_that_are_no_network(form: Any, allowed: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        as_network(form)
    assert caught.value.argument == "network"
    assert allowed in caught.value.allowed


@pytest.mark.parametrize(
    "given_network",
    [
        None,
        5,
        np.array([["a"]]),
        [[0, 1], [1, 0], [1, 2]],
        ([0.0, 1.0], [0.0]),
        ([[0, 1]], [0]),
        ([0, 1], "a"),
    ],
)
def test_what_is_no_network_at_all_is_refused(given_network: Any) -> None:
    with pytest.raises(ArgumentTypeError) as caught:
        as_network(given_network)
    assert caught.value.argument == "network"


# --- random regular -----------------------------------------------------------------------


@given(st.data())
@settings(max_examples=200)
def test_random_regular_networks_are_regular_and_simple(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 40))
    k = data.draw(st.integers(0, n - 1).filter(lambda k: n * k % 2 == 0))
    network = random_regular(n, k, rng=data.draw(st.integers(0, 2**63 - 1)))
    assert_sound(network)
    assert (network.degrees == k).all()
    assert network.n == n


@pytest.mark.parametrize(("n", "k"), [(300, 149), (300, 150), (2001, 8), (20_000, 3)])
def test_larger_random_regular_networks_too(n: int, k: int) -> None:
    network = random_regular(n, k, rng=2)
    assert (network.degrees == k).all()
    assert same(as_network(tuple(network)), network)


def test_the_seed_says_which_network() -> None:
    network = random_regular(100, 4, rng=5)
    assert same(network, random_regular(100, 4, rng=5))
    assert same(network, random_regular(100, 4, rng=np.random.default_rng(5)))
    assert not same(network, random_regular(100, 4, rng=6))
    assert not same(random_regular(100, 4), random_regular(100, 4))


def test_small_networks_are_equally_likely() -> None:
    """On four agents there are three rings."""
    partners = [random_regular(4, 2, rng).edges()[:2, 1].tolist() for rng in range(3000)]
    for ring in ([1, 2], [1, 3], [2, 3]):
        assert abs(partners.count(ring) - 1000) < 4 * np.sqrt(3000 * 2 / 9)


def test_there_are_as_many_triangles_as_in_the_uniform_law() -> None:
    """About (k - 1)**3 / 6, nearly Poisson (Bollobas 1980)."""
    counts = [
        sum(nx.triangles(random_regular(500, 6, rng).to_networkx()).values()) / 3
        for rng in range(60)
    ]
    assert abs(np.mean(counts) - 125 / 6) < 4 * np.sqrt(125 / 6 / 60)


@pytest.mark.parametrize(
    ("n", "k", "argument"), [(1, 0, "n"), (-5, 2, "n"), (10, -1, "k"), (10, 10, "k"), (5, 3, "k")]
)
def test_impossible_regular_networks_are_refused(n: int, k: int, argument: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        random_regular(n, k)
    assert (caught.value.argument, caught.value.value) == (argument, {"n": n, "k": k}[argument])


@pytest.mark.parametrize(("n", "k"), [(10.0, 2), ("10", 2), (10, 2.0), (10, None), (True, 0)])
def test_numbers_of_agents_and_neighbours_are_ints(n: Any, k: Any) -> None:
    with pytest.raises(ArgumentTypeError) as caught:
        random_regular(n, k)
    assert caught.value.expected == "an int"


# --- other networks -----------------------------------------------------------------------


def test_a_small_world_lies_between_ring_and_chance() -> None:
    ring, between, chance = (small_world(400, 6, rewire, rng=1) for rewire in (0, 0.1, 1))
    for network in (ring, between, chance):
        assert_sound(network)
        assert len(network.edges()) == 1200
    assert (ring.degrees == 6).all()
    clustering = [nx.average_clustering(g.to_networkx()) for g in (ring, between, chance)]
    assert clustering == sorted(clustering, reverse=True)
    assert clustering[0] == pytest.approx(0.6)
    assert not same(between, small_world(400, 6, 0.1, rng=2))
    assert same(between, small_world(400, 6, 0.1, rng=1))


def test_a_scale_free_network_has_hubs() -> None:
    network = scale_free(2000, 4, rng=1)
    assert_sound(network)
    assert network.degrees.mean() == pytest.approx(8, rel=0.01)
    assert network.degrees.max() > 80
    assert same(network, scale_free(2000, 4, rng=1))
    assert not same(network, scale_free(2000, 4, rng=2))


@pytest.mark.parametrize(
    ("make", "argument", "value"),
    [
        (lambda: small_world(2, 2), "n", 2),
        (lambda: small_world(10, 0), "k", 0),
        (lambda: small_world(10, 3), "k", 3),
        (lambda: small_world(10, 10), "k", 10),
        (lambda: small_world(10, 4, 1.5), "rewire", 1.5),
        (lambda: small_world(10, 4, -0.1), "rewire", -0.1),
        (lambda: scale_free(1, 1), "n", 1),
        (lambda: scale_free(10, 0), "m", 0),
        (lambda: scale_free(10, 10), "m", 10),
        (lambda: make_network("scale_free", 10, 1), "k", 1),
    ],
)
def test_impossible_networks_are_refused(make: Any, argument: str, value: float) -> None:
    with pytest.raises(ArgumentError) as caught:
        make()
    assert (caught.value.argument, caught.value.value) == (argument, value)


def test_rewire_is_a_number() -> None:
    with pytest.raises(ArgumentTypeError) as caught:
        small_world(10, 4, "0.1")  # type: ignore[arg-type]
    assert caught.value.argument == "rewire"


@pytest.mark.parametrize("name", NETWORKS)
def test_a_name_makes_a_network(name: str) -> None:
    network = make_network(name, 200, 6, rng=1)
    assert_sound(network)
    assert network.n == 200
    assert network.degrees.mean() == pytest.approx(6, rel=0.03)
    assert same(network, getattr(networks, name)(200, 3 if name == "scale_free" else 6, rng=1))


def test_a_given_network_is_taken() -> None:
    network = as_network(KARATE)
    assert make_network(network, 200, 8) is network
    assert same(make_network(KARATE, 200, 8), network)
    assert same(make_network((network.indptr, network.indices), 200, 8), network)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        make_network("smallworld", 10, 2)
    assert (caught.value.argument, caught.value.known) == ("network", NETWORKS)


# --- files --------------------------------------------------------------------------------


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_real_network(shared: Path) -> None:
    network, labels = read_edgelist(shared / "data" / "facebook_combined.txt.gz")
    assert network.n == len(labels) == 4039
    assert len(network.edges()) == 88_234
    assert labels[:3] == ("0", "1", "2")
    assert_sound(network)
    assert network.degrees.max() == 1045


@pytest.mark.parametrize(
    "text",
    [
        "b a\na c\n",
        "b\ta\na\tc",
        "b,a\na,c\n",
        "b, a, 0.5\r\na ,c, 2\r\n",
        "# a comment\n\n  b a 0.5\n#b b\na   c {}\n",
        "\ufeffb a\na c\n",
        "b a\na b\nb a\nc a\n",
    ],
)
def test_the_ways_to_write_a_file(tmp_path: Path, text: str) -> None:
    network, labels = read_edgelist(write(tmp_path / "edges.txt", text))
    assert labels == ("b", "a", "c")
    assert network.edges().tolist() == [[0, 1], [1, 2]]


def test_names_with_blanks_need_commas(tmp_path: Path) -> None:
    edges = read_edgelist(write(tmp_path / "edges.csv", "Ann Lee,Bob Ray\nBob Ray,Zoë\n"))
    assert edges.labels == ("Ann Lee", "Bob Ray", "Zoë")
    assert edges.network.edges().tolist() == [[0, 1], [1, 2]]


@pytest.mark.parametrize("separator", ["\t", ";", " ; "])
def test_names_with_blanks_may_stand_between_tabs(tmp_path: Path, separator: str) -> None:
    lines = f"Ann Lee{separator}Bob Ray\nBob Ray{separator}Zoë{separator}0.5\n"
    edges = read_edgelist(write(tmp_path / "edges.txt", lines))
    assert edges.labels == ("Ann Lee", "Bob Ray", "Zoë")


@pytest.mark.parametrize("separator", [",", ", ", "\t", " "])
def test_names_may_stand_in_quotation_marks(tmp_path: Path, separator: str) -> None:
    names = [("Ann Lee", "Ben Fox"), ("Ben Fox", "Cem")]
    names += [("Doe, Ann", "Fox, Ben")] * ("," in separator)
    lines = "\n".join(separator.join(f'"{name}"' for name in pair) for pair in names)
    edges = read_edgelist(write(tmp_path / "edges.csv", lines))
    assert edges.labels == tuple(dict.fromkeys(name for pair in names for name in pair))
    assert edges.network.degrees.sum() == 2 * len(names)


@pytest.mark.parametrize(
    "text", ["node1 node2\nnode3 node4\n", "from to\nto moon\n", "to a\na b\n"]
)
def test_a_first_edge_like_a_header_is_an_edge(tmp_path: Path, text: str) -> None:
    labels = read_edgelist(write(tmp_path / "edges.txt", text)).labels
    assert labels == tuple(dict.fromkeys(text.split()))


names = st.text("abcxyz019_-", min_size=1, max_size=3)


@given(
    edges=st.lists(st.tuples(names, names).filter(lambda e: e[0] != e[1]), min_size=1),
    separator=st.sampled_from([" ", "\t", ",", " , "]),
    zipped=st.booleans(),
)
def test_any_file_is_read_as_networkx_would(
    tmp_path_factory: pytest.TempPathFactory,
    edges: list[tuple[str, str]],
    separator: str,
    zipped: bool,
) -> None:
    lines = [separator.join(edge) for edge in [("a", "b"), ("b", "x"), *edges]]
    content = ("\n".join(lines) + "\n").encode()
    path = tmp_path_factory.getbasetemp() / "edges"
    path.write_bytes(gzip.compress(content) if zipped else content)
    graph = nx.Graph([("a", "b"), ("b", "x"), *edges])
    network, labels = read_edgelist(path)
    assert labels == tuple(graph)
    assert same(network, as_network(graph))


@pytest.mark.parametrize(
    ("content", "row", "problem"),
    [
        (b"", None, "holds no edges"),
        (b"# only\n\n# comments\n", None, "holds no edges"),
        (b"a b\nc\n", 2, "two names, not 'c'"),
        (b"a,b\nc,\n", 2, "two names, not 'c,'"),
        (b"a,b\n,c\n", 2, "two names"),
        (b"# x\na b\n\nb b 1\n", 4, "self-loop at 'b'"),
        (b"source,target,weight\n1,2,0.5\n", 1, "'source', 'target' looks like a header"),
        (b"source,target\nann,ben\nben,cem\n", 1, "looks like a header"),
        (b"# of 2026\nFrom\tTo\nann\tben\n", 2, "looks like a header"),
        (b"node_1,node_2\nann,ben\n", 1, "looks like a header"),
        (b'a,b\n"Doe, Ann,Ben\n', 2, "quotation marks"),
        (b'"Doe, Ann" "Fox, Ben"\n', 1, "quotation marks"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", None, "is not text"),
        (b"a b\x00c\n", None, "is not text"),
        (b"\x1f\x8bnonsense", None, "broken gzip"),
        (gzip.compress(b"a b\n" * 1000, mtime=0)[:-12], None, "broken gzip"),
        (gzip.compress(b"a b\nc\n", mtime=0), 2, "two names"),
    ],
)
def test_a_bad_file_is_refused_with_its_row(
    tmp_path: Path, content: bytes, row: int | None, problem: str
) -> None:
    path = tmp_path / "edges.txt"
    path.write_bytes(content)
    with pytest.raises(InputFileError) as caught:
        read_edgelist(path)
    assert (caught.value.path, caught.value.row) == (path, row)
    assert problem in caught.value.problem


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(InputFileError) as caught:
            read_edgelist(path)
        assert caught.value.path == path
