"""The equations of the laws, as plain loops over the numbers of neighbours.

Three closures in discrete time (maps) and in continuous time (differential equations), each
written for every law at once from its definition: an agent's type is its group and, where the
law remembers, whether it has decided before. ``check_with_eon`` compares with EoN where it has
the same equations.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from plain_laws import (
    Law,
    by_group,
    first_repeat,
    first_repeat_per_occasion,
    online_offline,
    si,
    single_multiple,
    single_multiple_cumulative,
    two_class,
)
from scipy.integrate import solve_ivp

COLUMNS = (
    "law", "visibility", "k", "n", "initial_infected", "t",
    "mean_field_discrete", "pair_discrete", "master_discrete",
    "mean_field_continuous", "pair_continuous", "master_continuous",
)  # fmt: skip
STEPS = 30
MIXED = {1: 0.2, 3: 0.4, 8: 0.4}


def profile_betas() -> list[float]:
    """Return the 32 rates of the ByProfile law of the tables, in the order of the profiles."""
    deviation = math.sqrt(sum((c - 15.5) ** 2 for c in range(32)) / 32)
    return [1 - math.exp(-0.05 * math.exp(0.8 * (c - 15.5) / deviation)) for c in range(32)]


def cases() -> list[tuple[Law, str, int, int]]:
    """Return law, visibility, number of neighbours, and starters among 1000 agents."""
    return [
        (si(0.12), "persistent", 4, 10),
        (si(0.5833333333), "new", 4, 20),
        (online_offline(0.01, 0.08), "persistent", 4, 10),
        (online_offline(0.01, 0.42), "new", 4, 20),
        (first_repeat(0.3, 0.08), "persistent", 4, 10),
        (first_repeat(0.05, 0.2), "persistent", 6, 20),
        (first_repeat(0.7, 0.35), "new", 4, 20),
        (first_repeat_per_occasion(0.3, 0.1), "persistent", 4, 10),
        (first_repeat_per_occasion(0.6, 0.3), "new", 5, 20),
        (single_multiple(0.05, 0.2), "persistent", 4, 10),
        (single_multiple(0.4, 0.8), "new", 6, 20),
        (single_multiple_cumulative(0.4666666667, 0.9333333333), "new", 4, 20),
        (two_class(0.04, 0.24, 0.5), "persistent", 4, 10),
        (two_class(0.02, 0.3, 0.3), "persistent", 8, 10),
        (two_class(0.2333333333, 0.9333333333, 0.5), "new", 4, 20),
        (by_group("ByProfile", profile_betas(), [1 / 32] * 32), "persistent", 4, 10),
    ]


def rows() -> list[tuple[object, ...]]:
    """Return all rows of the table, in the order of COLUMNS; None where nothing is defined."""
    found: list[tuple[object, ...]] = []
    for law, visibility, k, starters in cases():
        rho = starters / 1000
        nothing = [None] * (STEPS + 1)
        columns = [nothing] * 6
        if not law.counts_past:
            columns[0] = mean_field_map(law, visibility, k, rho)
        columns[2] = master_map(law, visibility, k, rho)
        if visibility == "persistent":
            columns[1] = pair_map(law, k, rho)
            if law.has_continuous:
                columns[3:] = [
                    equations(law, k, rho) for equations in (mean_field_ode, pair_ode, master_ode)
                ]
        for t in range(STEPS + 1):
            values = (column[t] for column in columns)
            found.append((law.text, visibility, k, 1000, starters, t, *values))
    return found


# Types of susceptible agents


def types_of(law: Law) -> list[tuple[int, bool]]:
    """Return the types: (group, first occasion to come)."""
    moments = (True, False) if law.remembers else (True,)
    return [(group, first) for group in range(len(law.shares)) for first in moments]


def start_of(law: Law) -> list[float]:
    """Return the share of each type among susceptible agents at the start."""
    return [law.shares[group] if first else 0.0 for group, first in types_of(law)]


def stays(law: Law, m: int, past: int) -> np.ndarray:
    """Return K[a, b]: probability that an agent of type a does not post, and is then of type b."""
    types = types_of(law)
    table = np.zeros((len(types), len(types)))
    for a, (group, first) in enumerate(types):
        survives = 1 - law.chance(first, m, past, True, group)
        after = (group, first and not (law.remembers and m > 0))
        table[a, types.index(after)] = survives
    return table


def generator(law: Law, m: int) -> np.ndarray:
    """Return G[a, b], the rates of change between types: continuous time.

    A decision of probability p per step becomes the rate -log(1 - p). Where the first occasion
    differs, every visible post is seen at the times of a Poisson process of rate one.
    """
    types = types_of(law)
    table = np.zeros((len(types), len(types)))
    for a, (group, first) in enumerate(types):
        if law.poisson is not None:
            first_beta, later_beta = law.poisson
            if first:
                table[a, a] = -m
                table[a, types.index((group, False))] = (1 - first_beta) * m
            else:
                table[a, a] = -later_beta * m
        elif law.rates is not None:
            alpha, beta = law.rates[group]
            table[a, a] = math.log(1 - alpha) + m * math.log(1 - beta)
        else:
            table[a, a] = math.log(1 - law.chance(True, m, m, True, group))
    return table


def binomial(successes: int, trials: int, p: float) -> float:
    """Return the probability of a number of successes."""
    ways = math.comb(trials, successes)
    return ways * p**successes * (1 - p) ** (trials - successes)


def average(tables: list[np.ndarray], trials: int, chances: np.ndarray) -> np.ndarray:
    """Average tables over the number of visible posts; row a with the chance chances[a]."""
    result = np.zeros_like(tables[0])
    for m in range(trials + 1):
        for a, p in enumerate(chances):
            result[a] += binomial(m, trials, p) * tables[m][a]
    return result


# Discrete time


def mean_field_map(law: Law, visibility: str, k: int, rho: float) -> list[float]:
    """Neighbours are drawn anew in every step."""
    tables = [stays(law, m, m) for m in range(k + 1)]
    s = (1 - rho) * np.array(start_of(law))
    infected, visible = [rho], rho
    for _ in range(STEPS):
        s = s @ average(tables, k, np.full(len(s), visible))
        infected.append(1 - s.sum())
        visible = infected[-1] - (infected[-2] if visibility == "new" else 0.0)
    return infected


def pair_map(law: Law, k: int, rho: float) -> list[float]:
    """Edges are followed; other neighbours are independent of them."""
    tables = [stays(law, m, m) for m in range(k + 1)]
    s = (1 - rho) * np.array(start_of(law))
    pairs = np.outer(s, s)
    infected = [rho]
    for _ in range(STEPS):
        q = np.array([1 - pairs[a].sum() / s[a] if s[a] > 0 else 0.0 for a in range(len(s))])
        edge = average(tables, k - 1, q)
        s, pairs = s @ average(tables, k, q), edge.T @ pairs @ edge
        infected.append(1 - s.sum())
    return infected


def master_map(law: Law, visibility: str, k: int, rho: float) -> list[float]:
    """Neighbours are independent branches of a tree, followed exactly.

    The states of a susceptible agent with d neighbours: its type, j neighbours whose posts are
    visible, and s susceptible ones. (Where posts stay, s = d - j.)
    """
    start = start_of(law)

    def begin(d: int) -> dict[tuple[int, int, int], float]:
        return {
            (a, j, d - j): (1 - rho) * share * binomial(j, d, rho)
            for a, share in enumerate(start)
            for j in range(d + 1)
            if share > 0
        }

    def decide(states: dict, d: int) -> dict:
        after: dict[tuple[int, int, int], float] = {}
        for (a, j, s), p in states.items():
            table = stays(law, j, d - s)
            for b in np.flatnonzero(table[a]):
                key = (int(b), j, s)
                after[key] = after.get(key, 0.0) + p * table[a, b]
        return after

    def move(states: dict, hazard: float) -> dict:
        after: dict[tuple[int, int, int], float] = {}
        for (a, j, s), p in states.items():
            for more in range(s + 1):
                seen = j + more if visibility == "persistent" else more
                key = (a, seen, s - more)
                after[key] = after.get(key, 0.0) + p * binomial(more, s, hazard)
        return after

    agent, neighbour = begin(k), begin(k - 1)
    infected = [rho]
    for _ in range(STEPS):
        before = sum(neighbour.values())
        # A neighbour's own count leaves out the edge it is looked at along: the agent at its
        # other end is susceptible.
        agent, neighbour = decide(agent, k), decide(neighbour, k - 1)
        hazard = 1 - sum(neighbour.values()) / before
        agent, neighbour = move(agent, hazard), move(neighbour, hazard)
        infected.append(1 - sum(agent.values()))
    return infected


# Continuous time


def integrate(
    slope: Callable[[float, np.ndarray], np.ndarray],
    start: np.ndarray,
    share: Callable[[np.ndarray], float],
) -> list[float]:
    """Integrate differential equations; return 1 - share per whole step."""
    times = np.arange(STEPS + 1)
    found = solve_ivp(
        slope, (0, STEPS), start, method="DOP853", t_eval=times, rtol=1e-11, atol=1e-13
    )
    return [1 - share(state) for state in found.y.T]


def mean_field_ode(law: Law, k: int, rho: float) -> list[float]:
    tables = [generator(law, m) for m in range(k + 1)]

    def slope(t: float, s: np.ndarray) -> np.ndarray:
        return s @ average(tables, k, np.full(len(s), 1 - s.sum()))

    return integrate(slope, (1 - rho) * np.array(start_of(law)), np.sum)


def pair_ode(law: Law, k: int, rho: float) -> list[float]:
    tables = [generator(law, m) for m in range(k + 1)]
    s0 = (1 - rho) * np.array(start_of(law))
    size = len(s0)

    def slope(t: float, state: np.ndarray) -> np.ndarray:
        s, pairs = state[:size], state[size:].reshape(size, size)
        q = np.array([1 - pairs[a].sum() / s[a] if s[a] > 0 else rho for a in range(size)])
        edge = average(tables, k - 1, q)
        return np.concatenate([s @ average(tables, k, q), (edge.T @ pairs + pairs @ edge).ravel()])

    start = np.concatenate([s0, np.outer(s0, s0).ravel()])
    return integrate(slope, start, lambda state: state[:size].sum())


def master_ode(law: Law, k: int, rho: float) -> list[float]:
    """P[j, a]: susceptible agents of type a with j infected neighbours; Q: with one edge cut."""
    tables = [generator(law, m) for m in range(k + 1)]
    start = (1 - rho) * np.array(start_of(law))
    p0 = np.array([binomial(j, k, rho) * start for j in range(k + 1)])
    q0 = np.array([binomial(j, k - 1, rho) * start for j in range(k)])

    def decisions(states: np.ndarray) -> np.ndarray:
        return np.array([row @ tables[j] for j, row in enumerate(states)])

    def neighbours(states: np.ndarray, hazard: float) -> np.ndarray:
        d = len(states) - 1
        change = np.zeros_like(states)
        for j in range(d):
            flow = hazard * (d - j) * states[j]
            change[j] -= flow
            change[j + 1] += flow
        return change

    def slope(t: float, state: np.ndarray) -> np.ndarray:
        p, q = state[: p0.size].reshape(p0.shape), state[p0.size :].reshape(q0.shape)
        decided = decisions(q)
        hazard = -decided.sum() / q.sum()
        return np.concatenate(
            [
                (decisions(p) + neighbours(p, hazard)).ravel(),
                (decided + neighbours(q, hazard)).ravel(),
            ]
        )

    both = np.concatenate([p0.ravel(), q0.ravel()])
    return integrate(slope, both, lambda state: state[: p0.size].sum())


# EoN


def eon_rows() -> list[tuple[object, ...]]:
    """Return curves that EoN computes, on networks of one degree (6) and of several (MIXED).

    Columns: closure, time, visibility, degrees, beta, t, value.
    """
    import EoN

    rate = -math.log(1 - 0.08)
    steps = np.arange(STEPS + 1)
    found: list[tuple[object, ...]] = []
    for label, degrees in (("regular", {6: 1.0}), ("mixed", MIXED)):

        def psi(x: float, degrees: dict = degrees) -> float:
            return sum(share * x**d for d, share in degrees.items())

        def slope(x: float, degrees: dict = degrees) -> float:
            return sum(d * share * x ** (d - 1) for d, share in degrees.items())

        agents = np.array([1000 * degrees.get(d, 0.0) for d in range(max(degrees) + 1)])
        curves = {
            ("master", "continuous", "persistent", 0.08): EoN.EBCM_uniform_introduction(
                1000, psi, slope, rate, 0.0, 0.02, tmax=STEPS, tcount=STEPS + 1
            ),
            ("master", "discrete", "new", 0.4): EoN.EBCM_discrete_uniform_introduction(
                1000, psi, slope, 0.4, 0.02, tmax=STEPS
            ),
            ("mean_field", "continuous", "persistent", 0.08): EoN.SIR_heterogeneous_meanfield(
                0.98 * agents, 0.02 * agents, 0 * agents, rate, 0.0, tmax=STEPS, tcount=STEPS + 1
            ),
        }
        if label == "regular":
            curves["pair", "continuous", "persistent", 0.08] = EoN.SIR_homogeneous_pairwise(
                980, 20, 0, 6 * 980 * 20 / 1000, 6 * 980**2 / 1000, 6, rate, 0.0,
                tmax=STEPS, tcount=STEPS + 1,
            )  # fmt: skip
        text = " ".join(f"{d}:{share}" for d, share in degrees.items())
        for (closure, time, visibility, beta), result in curves.items():
            times, susceptible = np.asarray(result[0]), np.asarray(result[1])
            assert np.allclose(times, steps), (closure, label)
            for t in steps:
                value = 1 - susceptible[t] / 1000
                found.append((closure, time, visibility, text, beta, int(t), value))
    return found


def check_with_eon() -> dict[str, float]:
    """Compare the equations of this module with EoN's; return the largest deviations."""
    regular = {}
    for closure, time, visibility, degrees, _, _, value in eon_rows():
        if degrees == "6:1.0":
            regular.setdefault((closure, time, visibility), []).append(value)
    ours = {
        ("master", "continuous", "persistent"): master_ode(si(0.08), 6, 0.02),
        ("master", "discrete", "new"): master_map(si(0.4), "new", 6, 0.02),
        ("mean_field", "continuous", "persistent"): mean_field_ode(si(0.08), 6, 0.02),
        ("pair", "continuous", "persistent"): pair_ode(si(0.08), 6, 0.02),
    }
    return {
        " ".join(key): float(np.abs(np.array(ours[key]) - curve).max())
        for key, curve in regular.items()
    }
