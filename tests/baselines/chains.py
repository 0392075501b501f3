"""Exact mean and variance of the share of agents that have posted, on small graphs.

The whole Markov chain is enumerated: a state is who has posted, who did so in the last step,
and (where a law needs it) who has decided before. All agents decide at the same time, so the
probability of a next state is a product over agents.
"""

from __future__ import annotations

import itertools

import networkx as nx
from plain_laws import (
    Law,
    first_repeat,
    first_repeat_per_occasion,
    online_offline,
    si,
    single_multiple,
    single_multiple_cumulative,
    two_class,
    two_class_by_profile,
)

COLUMNS = (
    "graph", "edges", "starter", "law", "visibility", "media_prob", "failed_prob", "t",
    "mean", "variance",
)  # fmt: skip
STEPS = 6

#: Name, graph, and the agent that has posted at the start.
GRAPHS = (
    ("K4", nx.complete_graph(4), 0),
    ("Q3", nx.convert_node_labels_to_integers(nx.hypercube_graph(3), ordering="sorted"), 0),
    ("P5", nx.path_graph(5), 1),
)
LAWS = (
    (si(0.2), 0.0),
    (first_repeat(0.4, 0.1), 0.0),
    (first_repeat_per_occasion(0.4, 0.1), 0.0),
    (single_multiple(0.1, 0.4), 0.0),
    (single_multiple_cumulative(0.1, 0.4), 0.0),
    (two_class_by_profile(0.1, 0.4), 0.0),
    (online_offline(0.05, 0.2), 1.0),
    (online_offline(0.2, 0.2), 0.3),
)
#: A sighting of the event is an occasion too, also for a law that it does not move.
OCCASIONS_FROM_MEDIA = (first_repeat(0.4, 0.1), 0.3, 0.0)
#: A decision that fails changes nothing and is no occasion.
FAILING = (first_repeat(0.4, 0.1), 0.0, 0.4)
#: Classes that are drawn per run.
LATENT = two_class(0.1, 0.4, 0.3)


def rows() -> list[tuple[object, ...]]:
    """Return all rows of the table, in the order of COLUMNS."""
    found: list[tuple[object, ...]] = []
    for (name, graph, starter), visibility in itertools.product(GRAPHS, ("persistent", "new")):
        n = len(graph)
        edges = " ".join(f"{a}-{b}" for a, b in sorted(map(sorted, graph.edges)))
        cases = [(law, media, 0.0) for law, media in LAWS]
        if name != "Q3":
            cases += [OCCASIONS_FROM_MEDIA, FAILING]
        tables = []
        for case in cases:
            groups = [agent % len(case[0].shares) for agent in range(n)]
            tables.append((*case, shares(graph, starter, visibility, *case, groups)))
        if name != "Q3":
            tables.append((LATENT, 0.0, 0.0, drawn_groups(graph, starter, visibility, LATENT)))
        for law, media, failed, table in tables:
            for t, chances in enumerate(table):
                mean = sum(p * x / n for x, p in chances.items())
                variance = sum(p * (x / n - mean) ** 2 for x, p in chances.items())
                case = (name, edges, starter, law.text, visibility, media, failed)
                found.append((*case, t, mean, variance))
    return found


def drawn_groups(
    graph: nx.Graph, starter: int, visibility: str, law: Law
) -> list[dict[int, float]]:
    """Return the distribution per step where each agent's group is drawn: a mixture."""
    mixture: list[dict[int, float]] = [{} for _ in range(STEPS + 1)]
    for groups in itertools.product(range(len(law.shares)), repeat=len(graph)):
        weight = 1.0
        for group in groups:
            weight *= law.shares[group]
        table = shares(graph, starter, visibility, law, 0.0, 0.0, list(groups))
        for t, chances in enumerate(table):
            for infected, p in chances.items():
                mixture[t][infected] = mixture[t].get(infected, 0.0) + weight * p
    return mixture


def shares(
    graph: nx.Graph,
    starter: int,
    visibility: str,
    law: Law,
    media: float,
    failed: float,
    groups: list[int],
) -> list[dict[int, float]]:
    """Return the distribution of the number of agents that have posted, per step."""
    start = (frozenset([starter]), frozenset([starter]), frozenset())
    states = {start: 1.0}
    table = [count(states)]
    for _ in range(STEPS):
        following: dict[tuple, float] = {}
        for state, p in states.items():
            for after, chance in successors(graph, visibility, law, media, failed, groups, state):
                if visibility == "persistent":
                    after = (after[0], frozenset(), after[2])  # who was last makes no difference
                following[after] = following.get(after, 0.0) + p * chance
        states = following
        table.append(count(states))
    return table


def count(states: dict[tuple, float]) -> dict[int, float]:
    """Return the distribution of the number of agents that have posted."""
    chances: dict[int, float] = {}
    for (posted, _, _), p in states.items():
        chances[len(posted)] = chances.get(len(posted), 0.0) + p
    return chances


def successors(
    graph: nx.Graph,
    visibility: str,
    law: Law,
    media: float,
    failed: float,
    groups: list[int],
    state: tuple,
) -> list[tuple[tuple, float]]:
    """Return each state that can follow a state, with its probability."""
    posted, latest, decided = state
    visible = posted if visibility == "persistent" else latest
    outcomes = [((posted, frozenset(), decided), 1.0)]
    for agent in graph:
        if agent in posted:
            continue
        neighbours = set(graph[agent])
        m, past = len(neighbours & visible), len(neighbours & posted)
        first = agent not in decided
        posts = media * law.chance(first, m, past, True, groups[agent])
        if m > 0:
            posts += (1 - media) * law.chance(first, m, past, False, groups[agent])
        posts *= 1 - failed
        decides = (1.0 if m > 0 else media) * (1 - failed)
        branches = [
            (posts, True, True),
            (decides - posts, False, True),
            (1 - decides, False, False),
        ]
        grown = []
        for (now, new, seen), p in outcomes:
            for chance, does_post, does_decide in branches:
                if chance <= 0:
                    continue
                after = (
                    now | {agent} if does_post else now,
                    new | {agent} if does_post else new,
                    seen | {agent} if does_decide and law.remembers else seen,
                )
                grown.append((after, p * chance))
        # Equal states are joined, so that there are never more than needed.
        joined: dict[tuple, float] = {}
        for after, p in grown:
            joined[after] = joined.get(after, 0.0) + p
        outcomes = list(joined.items())
    return [((now, new, seen - now), p) for (now, new, seen), p in outcomes]
