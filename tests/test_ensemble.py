"""The compiled model: exact numbers, other programs, limits, and what it refuses."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, UnknownNameError
from mesa_llmspread.meanfield.solve import solve
from mesa_llmspread.networks import Network, as_network, random_regular
from mesa_llmspread.profiles import codes
from mesa_llmspread.simulation.ensemble import Ensemble, simulate
from mesa_llmspread.transmission import (
    SI,
    ByProfile,
    ByTraits,
    FirstRepeat,
    Frailty,
    OnlineOffline,
    SingleMultiple,
    TransmissionLaw,
    TwoClass,
)

FEEDS = ("persistent", "new")
HALF = frozenset(codes()[16:])
LAWS: tuple[TransmissionLaw, ...] = (
    SI(0.1),
    OnlineOffline(0.02, 0.08),
    FirstRepeat(0.3, 0.05),
    FirstRepeat(0.3, 0.05, per="occasion"),
    SingleMultiple(0.05, 0.3),
    SingleMultiple(0.05, 0.3, count="cumulative"),
    TwoClass(0.03, 0.3, share_high=0.3),
    TwoClass(0.03, 0.3, high=HALF),
    ByProfile(np.linspace(0.0, 0.5, 32)),  # type: ignore[arg-type]
    SI(0.2, per="occasion"),
    OnlineOffline(0.02, 0.2, per="occasion"),
    TwoClass(0.03, 0.4, share_high=0.3, per="occasion"),
    ByTraits(-2.5, 0.5, neuroticism=-0.7),
    ByTraits(-1.5, 0.5, neuroticism=-0.7, per="occasion"),
)
KARATE = nx.convert_node_labels_to_integers(nx.karate_club_graph())


def law_of(law: str, params: Any) -> TransmissionLaw:
    """Make the law of a row of the reference numbers."""
    if law == "Profiles":
        place = np.arange(32) - 15.5
        rates = 0.05 * np.exp(0.8 * place / place.std())
        return ByProfile(tuple(1 - np.exp(-rates)))
    low, high = [0.0, *map(float, str(params).split(";"))][-2:]
    makers = {
        "SI": lambda: SI(high),
        "OnOff": lambda: OnlineOffline(low, high),
        "FirstRepeat": lambda: FirstRepeat(low, high),
        "FirstRepeatStep": lambda: FirstRepeat(low, high, per="occasion"),
        "SingleMultiple": lambda: SingleMultiple(low, high),
        "SMcum": lambda: SingleMultiple(low, high, count="cumulative"),
        "TwoClass": lambda: TwoClass(low, high, high=HALF),
    }
    return makers[law]()


# --- against numbers from elsewhere ---------------------------------------------------------


def test_exact_means_and_variances_on_small_graphs(shared: Path) -> None:
    exact = pd.read_csv(shared / "golden" / "golden_exact_small.csv")
    replicates = 20_000
    for key, rows in exact.groupby(["edges", "structure", "semantics", "params"]):
        edges, law, feed, params = key  # type: ignore[misc]
        pairs = [tuple(map(int, edge.split("-"))) for edge in edges.split()]
        graph = nx.empty_graph(1 + max(map(max, pairs)))
        graph.add_edges_from(pairs)
        result = simulate(
            law_of(law, params),
            graph,
            initial_infected=[0],
            steps=rows["t"].max(),
            replicates=replicates,
            feed=feed,
            profiles=[31 * (agent % 2) for agent in graph],
            rng=7,
        )
        share = result.infected[:, rows["t"]] / result.n
        mean, variance = rows["mean_I_over_n"].to_numpy(), rows["var_I_over_n"].to_numpy()
        error = np.sqrt(variance / replicates)
        assert (np.abs(share.mean(axis=0) - mean) <= 4 * error + 1e-9).all(), key
        fourth = ((share - mean) ** 4).mean(axis=0)
        error = np.sqrt(np.maximum(fourth - variance**2, 0) / replicates)
        assert (np.abs(share.var(axis=0) - variance) <= 4 * error + 1e-9).all(), key


def test_means_of_an_independent_simulation(shared: Path) -> None:
    """Fresh networks, n = 1,000; every law and feed in the reference numbers."""
    golden = pd.read_csv(shared / "golden" / "golden.csv").query("n == 1000")
    rng = np.random.default_rng(3)
    for key, rows in golden.groupby(["structure", "semantics", "params", "k", "n0"]):
        law, feed, params, k, n0 = key  # type: ignore[misc]
        means = [
            simulate(
                law_of(law, params),
                random_regular(1000, k, rng),
                initial_infected=n0,
                steps=rows["t"].max(),
                replicates=20,
                feed=feed,
                profiles=rng.permutation(np.arange(1000) * 32 // 1000),
                rng=rng,
            ).mean()[rows["t"]]
            for _ in range(60)
        ]
        error = np.hypot(np.std(means, axis=0, ddof=1) / np.sqrt(60), rows["abm_se"])
        z = (np.mean(means, axis=0) - rows["abm_mean"]) / error
        assert np.abs(z).max() < 4, key


def test_first_passage_times_of_eon() -> None:
    """SI is first passage: every edge passes a post on after a geometric delay."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        eon = pytest.importorskip("EoN")
    network = random_regular(200, 6, rng=1)
    graph, steps, beta = network.to_networkx(), 25, 0.08
    rng = np.random.default_rng(2)
    theirs = []
    for _ in range(400):
        times, _, infected, _ = eon.fast_nonMarkov_SIR(
            graph,
            trans_time_fxn=lambda u, v: rng.geometric(beta),
            rec_time_fxn=lambda u: np.inf,
            initial_infecteds=rng.choice(200, 5, replace=False).tolist(),
            tmax=steps + 0.5,
        )
        theirs.append(infected[np.searchsorted(times, np.arange(steps + 1), side="right") - 1])
    ours = simulate(SI(beta), network, 5, steps, replicates=4000, rng=3).infected
    error = np.sqrt(np.var(theirs, axis=0) / 400 + ours.var(axis=0) / 4000)
    assert (np.abs(np.mean(theirs, axis=0) - ours.mean(axis=0)) <= 4 * error).all()
    assert stats.ks_2samp(np.array(theirs)[:, 12], ours[:, 12]).pvalue > 1e-4


def by_the_book(
    law: TransmissionLaw, graph: nx.Graph, steps: int, feed: str, rng: np.random.Generator
) -> list[int]:
    """The definition of the model, word for word, with every agent asked at every step."""
    n = len(graph)
    adjacent = nx.to_numpy_array(graph, weight=None).astype(int)
    posted = np.zeros(n, bool)
    posted[rng.choice(n, 2, replace=False)] = True
    fresh, exposure = posted.copy(), np.zeros(n, int)
    profile = rng.integers(32, size=n)
    high = rng.random(n) < getattr(law, "share_high", 0)
    latent = isinstance(law, TwoClass) and law.high is None
    counts = [2]
    for _ in range(steps):
        contacts = adjacent @ (posted if feed == "persistent" else fresh)
        exposure += contacts > 0
        laws = [part for _, part in law.classes()] if latent else [law, law]
        low_prob, high_prob = (
            part.evaluate(contacts, exposure, True, profile, adjacent @ posted) for part in laws
        )
        fresh = ~posted & (rng.random(n) < np.where(high, high_prob, low_prob))
        posted |= fresh
        counts.append(int(posted.sum()))
    return counts


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("law", LAWS, ids=str)
def test_the_definition_on_an_irregular_graph(law: TransmissionLaw, feed: Any) -> None:
    rng = np.random.default_rng(4)
    theirs = np.array([by_the_book(law, KARATE, 8, feed, rng) for _ in range(600)])
    ours = simulate(law, KARATE, 2, 8, replicates=5000, feed=feed, rng=5).infected
    error = np.sqrt(theirs.var(axis=0) / 600 + ours.var(axis=0) / 5000)
    assert (np.abs(theirs.mean(axis=0) - ours.mean(axis=0)) <= 4 * error).all()


def test_frailty_is_a_gamma_distributed_factor_of_every_agent() -> None:
    n, k, steps, rng = 4000, 8, 30, np.random.default_rng(3)
    law, network = Frailty(0.2, 3.0), random_regular(n, k, rng=1)
    neighbours = network.indices.reshape(n, k)
    loops = []
    for _ in range(100):
        posted = np.arange(n) < 40
        hazard = -np.log1p(-law.beta) * rng.gamma(1 / law.variance, law.variance, n)
        shares = [posted.mean()]
        for _ in range(steps):
            seen = posted[neighbours].sum(axis=1)
            posted = posted | (rng.random(n) < -np.expm1(-hazard * seen))
            shares.append(posted.mean())
        loops.append(shares)
    mean, starters = np.mean(loops, axis=0), np.arange(40)
    simulated = simulate(law, network, starters, steps, 400, rng=1).mean()
    np.testing.assert_allclose(simulated, mean, atol=0.01)
    curve = solve(law, n=n, k=k, initial_infected=40, steps=steps)
    np.testing.assert_allclose(curve["infected"] / n, mean, atol=0.01)


@pytest.mark.parametrize("leaves", [5, 100, 5000, 40_000])
def test_any_degree_is_counted_right(leaves: int) -> None:
    """All leaves but one have posted: the hub posts with 1 - (1 - beta)**(leaves - 1)."""
    beta = 1 - 0.5 ** (1 / (leaves - 1))
    posted = list(range(1, leaves))
    star = as_network(nx.star_graph(leaves))
    profiles = np.zeros(leaves + 1, int)
    for law in (SI(beta), FirstRepeat(beta, 1.0), ByProfile((beta,) + (1.0,) * 31)):
        result = simulate(law, star, posted, 1, replicates=400, profiles=profiles, rng=1)
        hits = (result.infected[:, 1] == leaves).sum()
        assert abs(hits - 200) < 4 * np.sqrt(100), law.name


# --- randomness -------------------------------------------------------------------------------


def test_every_agent_is_as_likely_to_start() -> None:
    """With certain transmission the first step shows how many neighbours the starter has."""
    graph = nx.star_graph(4)
    graph.add_nodes_from(range(5, 10))
    first = simulate(SI(1.0), graph, 1, 1, replicates=20_000, rng=1).infected[:, 1]
    observed = [(first == size).sum() for size in (1, 2, 5)]
    assert sum(observed) == 20_000
    assert stats.chisquare(observed, [10_000, 8000, 2000]).pvalue > 1e-4


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_the_number_of_threads_changes_nothing(law: TransmissionLaw) -> None:
    network = random_regular(100, 4, rng=1)
    alone = simulate(law, network, 3, 20, replicates=23, rng=9, threads=1).infected
    for threads in (2, 5, 40, None):
        together = simulate(law, network, 3, 20, replicates=23, rng=9, threads=threads)
        assert (together.infected == alone).all()


def test_the_seed_says_which_runs() -> None:
    network = random_regular(100, 4, rng=1)
    runs = [simulate(SI(0.1), network, 3, 20, 8, rng=rng).infected for rng in (1, 1, 2, None)]
    assert (runs[0] == runs[1]).all()
    assert (runs[0] != runs[2]).any()
    assert (runs[0] != runs[3]).any()
    assert len(np.unique(runs[0], axis=0)) == 8
    one, other = (
        simulate(SI(0.1), network, 3, 20, 8, rng=np.random.default_rng(1)) for _ in range(2)
    )
    assert (one.infected == other.infected).all()


def test_more_replicates_or_steps_leave_the_first_as_they_were() -> None:
    network = random_regular(100, 4, rng=1)
    few = simulate(SI(0.1), network, 3, 10, 4, rng=1).infected
    many = simulate(SI(0.1), network, 3, 20, 9, rng=1).infected
    assert (many[:4, :11] == few).all()


def test_a_seed_gives_the_same_run_everywhere() -> None:
    lattice = nx.grid_2d_graph(6, 6, periodic=True)
    run = simulate(SI(0.3), lattice, [0], 8, rng=2026).infected[0]
    assert run.tolist() == [1, 3, 5, 11, 16, 24, 27, 33, 35]


def test_networks_are_taken_in_every_form() -> None:
    network = as_network(KARATE)
    expected = simulate(SI(0.1), network, 2, 10, rng=1).infected
    for form in (KARATE, tuple(network), (network.indptr.tolist(), network.indices.tolist())):
        assert (simulate(SI(0.1), form, 2, 10, rng=1).infected == expected).all()
    frozen = Network(*(array.copy() for array in network))
    for array in frozen:
        array.flags.writeable = False
    assert (simulate(SI(0.1), frozen, 2, 10, rng=1).infected == expected).all()


# --- limits and identities --------------------------------------------------------------------


@pytest.mark.parametrize("feed", FEEDS)
def test_laws_that_say_the_same_draw_the_same(feed: Any) -> None:
    network = random_regular(200, 6, rng=1)
    profiles = np.arange(200) % 32
    expected, *others = (
        simulate(law, network, 5, 20, 10, feed, profiles, rng=1).infected
        for law in (
            SI(0.1),
            OnlineOffline(0.0, 0.1),
            FirstRepeat(0.1, 0.1),
            TwoClass(0.1, 0.1, high=HALF),
            ByProfile((0.1,) * 32),
        )
    )
    for infected in others:
        assert (infected == expected).all()


@pytest.mark.parametrize("feed", FEEDS)
def test_nothing_spreads_with_rate_zero(feed: Any) -> None:
    laws = (SI(0), FirstRepeat(0, 0), SingleMultiple(0, 0), TwoClass(0, 0), ByProfile((0,) * 32))
    for law in (*laws, OnlineOffline(0, 0)):
        assert (simulate(law, KARATE, 5, 10, 3, feed).infected == 5).all()


@pytest.mark.parametrize("feed", FEEDS)
def test_certain_transmission_is_breadth_first_search(feed: Any) -> None:
    graph = nx.random_labeled_tree(300, seed=1)
    steps = list(nx.single_source_shortest_path_length(graph, 7).values())
    within = np.cumsum(np.bincount(steps))
    graph.add_nodes_from(range(300, 310))
    infected = simulate(SI(1), graph, [7], len(within) + 5, 2, feed).infected
    assert (infected[:, : len(within)] == within).all()
    assert (infected[:, len(within) :] == 300).all()


def test_seeing_the_event_itself_needs_no_neighbours() -> None:
    """Each agent alone: geometric times to post."""
    alone = random_regular(100, 0)
    infected = simulate(OnlineOffline(0.05, 1), alone, 0, 30, 2000, rng=1).infected
    expected = 1 - 0.95 ** np.arange(31)
    error = np.sqrt(100 * expected * (1 - expected) / 2000)
    assert (np.abs(infected.mean(axis=0) - 100 * expected) <= 4 * error).all()
    assert simulate(OnlineOffline(1, 0), alone, 0, 2).infected.tolist() == [[0, 100, 100]]
    assert (simulate(OnlineOffline(1e-300, 0), alone, 0, 5).infected == 0).all()


@pytest.mark.parametrize("feed", FEEDS)
def test_a_higher_rate_never_gives_fewer(feed: Any) -> None:
    network = random_regular(500, 6, rng=1)
    for kind in (SI, lambda b: FirstRepeat(b, b / 2), lambda b: SingleMultiple(b / 2, b)):
        final = [
            simulate(kind(beta), network, 5, 15, 300, feed, rng=1).mean().iloc[-1]
            for beta in (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
        ]
        assert final == sorted(final)


def test_profiles_are_used_as_given() -> None:
    """On a star, only the leaves of the profile that posts do."""
    profiles = np.repeat([0, 31, 5], [1, 4, 6])
    law = ByProfile((0,) * 31 + (1,))
    result = simulate(law, nx.star_graph(10), [0], 1, 5, profiles=profiles)
    assert (result.infected[:, 1] == 5).all()
    known = TwoClass(0, 1, high={codes()[5]})
    result = simulate(known, nx.star_graph(10), [0], 1, 5, profiles=profiles.tolist())
    assert (result.infected[:, 1] == 7).all()


@settings(deadline=None)
@given(
    n=st.integers(2, 30),
    starters=st.integers(1, 30),
    steps=st.integers(0, 12),
    law=st.sampled_from(LAWS),
    feed=st.sampled_from(FEEDS),
    seed=st.integers(0, 2**32),
)
def test_counts_never_fall(
    n: int, starters: int, steps: int, law: TransmissionLaw, feed: Any, seed: int
) -> None:
    starters = min(starters, n)
    graph = nx.gnp_random_graph(n, 0.2, seed=seed)
    graph.add_edge(0, 1)
    result = simulate(law, graph, starters, steps, 3, feed, rng=seed)
    assert result.infected.shape == (3, steps + 1)
    assert (result.infected[:, 0] == starters).all()
    assert (np.diff(result.infected, axis=1) >= 0).all()
    assert (result.infected <= n).all()


# --- Ensemble ---------------------------------------------------------------------------------


def test_what_an_ensemble_tells() -> None:
    result = Ensemble(np.array([[1, 2, 4], [1, 1, 2], [1, 3, 3]]), n=4)
    assert result.mean().tolist() == [0.25, 0.5, 0.75]
    assert result.mean().index.name == "step"
    quantiles = result.quantiles((0, 0.5, 1))
    assert quantiles.index.name == "step"
    assert quantiles.columns.tolist() == [0, 0.5, 1]
    assert quantiles.loc[2].tolist() == [0.5, 0.75, 1.0]
    assert result.quantiles().columns.tolist() == [0.025, 0.5, 0.975]
    frame = result.to_frame()
    assert frame.columns.tolist() == ["run", "step", "susceptible", "infected"]
    assert len(frame) == 9
    assert frame.query("run == 1 and step == 2").values.tolist() == [[1, 2, 2, 2]]


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("initial_infected", 35),
        ("initial_infected", -1),
        ("initial_infected", [34]),
        ("initial_infected", [-1]),
        ("initial_infected", [1, 2, 1]),
        ("steps", -1),
        ("replicates", 0),
        ("threads", 0),
        ("profiles", [0] * 33),
        ("profiles", [32] * 34),
        ("rng", -1),
        ("network", nx.MultiGraph([(0, 1), (0, 1)])),
    ],
)
def test_values_that_are_not_allowed(argument: str, value: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        simulate(**{"law": SI(0.1), "network": KARATE, argument: value})
    assert (caught.value.argument, caught.value.value) == (argument, value)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("law", SI),
        ("network", 5),
        ("initial_infected", 1.5),
        ("initial_infected", [0.5]),
        ("initial_infected", "a"),
        ("initial_infected", [[1]]),
        ("initial_infected", [[1], [1, 2]]),
        ("steps", 2.0),
        ("replicates", True),
        ("threads", "2"),
        ("profiles", ["ocean"] * 34),
        ("profiles", [["a"] * 5] * 34),
        ("profiles", [[0.0] * 5] * 33 + [[0.0]]),
        ("rng", "1"),
    ],
)
def test_things_of_another_kind(argument: str, value: Any) -> None:
    with pytest.raises(ArgumentTypeError) as caught:
        simulate(**{"law": ByTraits(-1.0), "network": KARATE, argument: value})
    assert (caught.value.argument, caught.value.value) == (argument, value)


def test_an_unknown_feed() -> None:
    with pytest.raises(UnknownNameError) as caught:
        simulate(SI(0.1), KARATE, feed="persistant")  # type: ignore[arg-type]
    assert (caught.value.argument, caught.value.known) == ("feed", FEEDS)
