"""Given networks: message passing against enumerated chains and simulation; curves; clustering."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from scipy.sparse import csr_array

from mesa_llmspread import (
    SI,
    ByProfile,
    ByTraits,
    FirstRepeat,
    OnlineOffline,
    SingleMultiple,
    SpreadData,
    SpreadModel,
    TransmissionLaw,
    TwoClass,
    fit,
    node_risk,
    random_regular,
    read_edgelist,
    scale_free,
    simulate,
    small_world,
    solve,
)
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, UndefinedClosureError

TREE = nx.Graph([(0, 1), (1, 2), (1, 3), (3, 4)])
BETAS = np.linspace(0.1, 0.9, 32)
PROFILES = [3, 31, 12, 20, 0]


def exact(
    graph: nx.Graph, chance: np.ndarray, alpha: float, starters: list[int], steps: int, feed: str
) -> np.ndarray:
    """Enumerate the whole Markov chain; return P(posted) by step and node."""
    n = len(graph)
    matrix = nx.to_numpy_array(graph, nodelist=range(n))
    start = tuple(i in starters for i in range(n))
    states = {(start, start): 1.0}
    found = [np.array(start, dtype=float)]
    for _ in range(steps):
        after: dict[Any, float] = {}
        for (posted, seen), weight in states.items():
            contacts = matrix @ np.array(seen)
            p = 1 - (1 - alpha) * (1 - chance) ** contacts
            free = [i for i in range(n) if not posted[i]]
            for moves in itertools.product((False, True), repeat=len(free)):
                move = dict(zip(free, moves, strict=True))
                new = tuple(move.get(i, False) for i in range(n))
                then = tuple(a or b for a, b in zip(posted, new, strict=True))
                key = then, then if feed == "persistent" else new
                chances = [p[i] if goes else 1 - p[i] for i, goes in move.items()]
                after[key] = after.get(key, 0.0) + weight * float(np.prod(chances))
        states = after
        found.append(sum(weight * np.array(posted, float) for (posted, _), weight in after.items()))
    return np.array(found)


@pytest.mark.parametrize("feed", ["persistent", "new"])
@pytest.mark.parametrize(
    ("law", "chance", "alpha", "starters"),
    [
        (SI(0.3), np.full(5, 0.3), 0.0, [0]),
        (SI(1.0), np.ones(5), 0.0, [3]),
        (OnlineOffline(0.1, 0.4), np.full(5, 0.4), 0.1, [0, 4]),
        (ByProfile(BETAS), BETAS[PROFILES], 0.0, [2]),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_exact_on_a_tree(
    law: TransmissionLaw, chance: np.ndarray, alpha: float, starters: list[int], feed: str
) -> None:
    by_step = exact(TREE, chance, alpha, starters, 4, feed)
    found = node_risk(law, TREE, starters, 4, feed=feed, profiles=PROFILES)
    assert found["probability"].to_numpy() == pytest.approx(by_step[-1], abs=1e-12)
    mean = np.arange(1, 5) @ np.diff(by_step, axis=0)
    reached = by_step[-1] > 0
    step = found["expected_step"].to_numpy()
    assert step[reached] == pytest.approx((mean / np.maximum(by_step[-1], 1e-300))[reached])
    assert np.isnan(step[~reached]).all()


def test_latent_classes_and_random_starters_on_a_tree() -> None:
    law, share = TwoClass(0.1, 0.8, share_high=0.3), 0.3
    expected = np.zeros(5)
    for starter, high in itertools.product(range(5), itertools.product((0, 1), repeat=5)):
        chance = np.where(high, 0.8, 0.1)
        weight = np.prod(np.where(high, share, 1 - share)) / 5
        expected += weight * exact(TREE, chance, 0.0, [starter], 3, "persistent")[-1]
    found = node_risk(law, TREE, [1], 3)["probability"]
    by_class = [
        np.prod(np.where(high, share, 1 - share))
        * exact(TREE, np.where(high, 0.8, 0.1), 0.0, [1], 3, "persistent")[-1]
        for high in itertools.product((0, 1), repeat=5)
    ]
    assert found.to_numpy() == pytest.approx(np.sum(by_class, axis=0), abs=1e-12)
    # Starters are taken to be independent of each other, which a fixed number are not quite.
    assert node_risk(law, TREE, 1, 3)["probability"].to_numpy() == pytest.approx(expected, abs=0.12)


def test_levels_are_the_profiles_they_stand_for() -> None:
    law = ByTraits(-2.0, extraversion=0.7, neuroticism=-0.3)
    levels = np.array([[1, -1, -1, -1, 1], [1] * 5, [-1] * 5, [-1, 1, 1, -1, 1], [1, 1, 1, 1, -1]])
    codes = (levels > 0) @ [16, 8, 4, 2, 1]
    one, other = (node_risk(law, TREE, [0], 5, profiles=given) for given in (levels, codes))
    assert one.equals(other)
    assert not one.equals(node_risk(law, TREE, [0], 5))


def test_a_large_random_network_has_the_master_equations() -> None:
    network = random_regular(4000, 6, rng=1)
    for feed in ("persistent", "new"):
        risk = node_risk(SI(0.15), network, 40, 12, feed=feed)["probability"]
        curve = solve(SI(0.15), n=4000, k=6, initial_infected=40, steps=12, feed=feed)
        assert risk.to_numpy() == pytest.approx(curve["infected"].iloc[-1] / 4000, abs=1e-9)


def test_it_orders_the_nodes_of_a_real_network_as_simulation_does(shared: Path) -> None:
    edges = read_edgelist(shared / "data" / "facebook_combined.txt.gz")
    beta, steps, replicates, starters = 0.03, 8, 600, 40
    found = node_risk(SI(beta), edges, starters, steps)
    assert found["node"].tolist() == list(edges.labels)
    n, rng = edges.network.n, np.random.default_rng(1)
    ones = np.ones(len(edges.network.indices), np.float32)
    matrix = csr_array((ones, edges.network.indices, edges.network.indptr), (n, n))
    posted = rng.random((n, replicates)).argsort(axis=0) < starters
    for _ in range(steps):
        spared = (1 - beta) ** (matrix @ posted.astype(np.float32))
        posted |= rng.random(posted.shape, dtype=np.float32) > spared
    assert np.corrcoef(found["probability"], posted.mean(axis=1))[0, 1] > 0.98
    assert edges.network.transitivity == pytest.approx(0.5192, abs=1e-4)


@pytest.mark.parametrize(
    "law", [FirstRepeat(0.2, 0.1), SingleMultiple(0.1, 0.2), SI(0.1, "occasion")]
)
def test_laws_it_cannot_follow_are_refused(law: TransmissionLaw) -> None:
    with pytest.raises(UndefinedClosureError) as caught:
        node_risk(law, TREE, 1, 3)
    assert (caught.value.argument, caught.value.value) == ("law", law)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("profiles", {"law": ByProfile(BETAS), "profiles": [1, 2]}),
        ("profiles", {"law": ByProfile(BETAS), "profiles": [1, 2, 3, 4, 32]}),
        ("profiles", {"law": TwoClass(0.1, 0.5, high={"OCEAN"}), "profiles": [[1.0] * 4] * 5}),
        ("initial_infected", {"initial_infected": 6}),
        ("initial_infected", {"initial_infected": [5]}),
        ("initial_infected", {"initial_infected": [0, 0]}),
        ("initial_infected", {"initial_infected": []}),
        ("steps", {"steps": -1}),
        ("network", {"network": nx.empty_graph(5)}),
    ],
)
def test_arguments_that_do_not_fit(name: str, options: dict[str, Any]) -> None:
    given = {"law": SI(0.1), "network": TREE, "initial_infected": 1, "steps": 2} | options
    with pytest.raises(ArgumentError) as caught:
        node_risk(**given)
    assert caught.value.argument == name


def test_it_wants_a_law() -> None:
    with pytest.raises(ArgumentTypeError) as caught:
        node_risk(0.1, TREE, 1, 3)  # type: ignore[arg-type]
    assert caught.value.argument == "law"


def test_a_given_network_is_solved_by_simulation() -> None:
    network = small_world(500, 6, rng=1)
    law = FirstRepeat(0.2, 0.05)
    curve = solve(law, network=network, initial_infected=10, steps=15)
    assert curve.attrs == {"method": "simulation", "replicates": 200, "rng": 0}
    runs = simulate(law, network, 10, 15, replicates=400, rng=5)
    error = runs.infected[:, -1].std() / np.sqrt(200)
    assert curve["infected"].iloc[-1] == pytest.approx(runs.infected[:, -1].mean(), abs=5 * error)
    assert (curve["low"] <= curve["infected"]).all()
    assert (curve["infected"] <= curve["high"]).all()
    assert (curve["susceptible"] + curve["infected"] == 500).all()
    master = solve(law, n=500, k=6, initial_infected=10, steps=15)["infected"].iloc[-1]
    assert abs(curve["infected"].iloc[-1] - master) > 20 * error


def test_shares_of_profiles_count_on_a_given_network() -> None:
    law, only = ByProfile(np.r_[0.0, np.full(31, 0.5)]), np.eye(32)[0]
    network = small_world(100, 4, rng=1)
    curve = solve(law, network=network, initial_infected=5, steps=5, profile_shares=only)
    assert (curve["infected"] == 5).all()


@pytest.mark.parametrize(
    ("name", "value"), [("n", 5), ("k", 2), ("closure", "pair"), ("time", "continuous")]
)
def test_what_describes_equations_is_refused_with_a_network(name: str, value: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        solve(SI(0.1), network=TREE, initial_infected=1, steps=2, **{name: value})
    assert caught.value.argument == name


def test_transitivity_is_that_of_networkx() -> None:
    for network in (small_world(200, 6, rng=2), scale_free(300, 3, rng=1)):
        assert network.transitivity == pytest.approx(nx.transitivity(network.to_networkx()))
    assert random_regular(4, 1).transitivity == 0


@pytest.mark.parametrize(("network", "warned"), [("small_world", True), ("random_regular", False)])
def test_a_curve_fitted_on_a_clustered_network_comes_with_a_warning(
    network: str, warned: bool
) -> None:
    model = SpreadModel(n=300, k=6, network=network, decider="SI(0.1)", rng=1).run(15)
    found = fit(SpreadData.from_model(model), "SI", method="curve")
    assert any("clustered" in note for note in found.warnings) == warned
