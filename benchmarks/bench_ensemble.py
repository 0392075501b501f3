"""The compiled ensemble, EoN, NDlib, Mesa and one SciPy product per step on the same networks.

``python benchmarks/bench_ensemble.py`` takes about six minutes; with ``--quick`` the networks
are smaller and it takes about two minutes. NDlib (``pip install ndlib``) is left out where it is
not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import random
import warnings
from collections.abc import Callable

import networkx as nx
import numpy as np
from _measure import cpu_seconds, machine, peak_megabytes, table, wall_seconds
from bench_model import PollingModel
from scipy.sparse import csr_array

from mesa_llmspread.networks import Network, random_regular
from mesa_llmspread.simulation.ensemble import simulate
from mesa_llmspread.transmission import (
    SI,
    ByProfile,
    FirstRepeat,
    OnlineOffline,
    SingleMultiple,
    TransmissionLaw,
    TwoClass,
)

K, BETA, STARTERS, STEPS = 8, 0.05, 10, 50

MEMORY = """
from mesa_llmspread.simulation.ensemble import simulate
from mesa_llmspread.networks import random_regular
from mesa_llmspread.transmission import SI
simulate(SI({beta}), random_regular({n}, {k}, rng=1), {starters}, {steps}, rng=1)
"""


def with_eon(graph: nx.Graph[int], runs: int) -> None:
    """Run the same discrete SI in EoN: a geometric delay on every edge, no recovery."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import EoN

    scale = 1 / math.log1p(-BETA)
    for _ in range(runs):
        EoN.fast_nonMarkov_SIR(
            graph,
            trans_time_fxn=lambda u, v: 1 + int(math.log(1 - random.random()) * scale),
            rec_time_fxn=lambda u: math.inf,
            initial_infecteds=random.sample(range(len(graph)), STARTERS),
            tmax=STEPS + 0.5,
        )


def with_eon_in_continuous_time(graph: nx.Graph[int], runs: int) -> None:
    """Run SI with the matching rate per contact; another process, but EoN's usual one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import EoN

    for _ in range(runs):
        starters = random.sample(range(len(graph)), STARTERS)
        EoN.fast_SIR(graph, -math.log1p(-BETA), 0.0, initial_infecteds=starters, tmax=STEPS)


def with_ndlib(graph: nx.Graph[int], runs: int) -> None:
    """Run NDlib's SIModel."""
    from ndlib.models.epidemics import SIModel
    from ndlib.models.ModelConfig import Configuration

    for _ in range(runs):
        model = SIModel(graph)
        config = Configuration()
        config.add_model_parameter("beta", BETA)
        starters = random.sample(range(len(graph)), STARTERS)
        config.add_model_initial_configuration("Infected", starters)
        model.set_initial_status(config)
        model.iteration_bunch(STEPS)


def with_mesa(network: Network, runs: int) -> None:
    """Run an ordinary Mesa model, in which susceptible agents poll; set-up included."""
    for seed in range(runs):
        model = PollingModel(network, seed)
        for _ in range(STEPS):
            model.step()


def with_scipy(network: Network, runs: int) -> None:
    """Count everyone's posting neighbours by a sparse product a step."""
    n, rng = network.n, np.random.default_rng(1)
    ones = np.ones(len(network.indices), np.uint8)
    adjacency = csr_array((ones, network.indices, network.indptr), shape=(n, n))
    not_posting = (1 - BETA) ** np.arange(K + 1)
    for _ in range(runs):
        posted = np.zeros(n, np.uint8)
        posted[rng.choice(n, STARTERS, replace=False)] = 1
        for _ in range(STEPS):
            posted |= rng.random(n) >= not_posting[adjacency @ posted]


def with_ensemble(network: Network, runs: int, threads: int = 1) -> None:
    simulate(SI(BETA), network, STARTERS, STEPS, runs, rng=1, threads=threads)


def competitors(network: Network) -> dict[str, tuple[Callable[[int], None], int]]:
    """Return each competitor's function of a number of runs, and the most agents it is run with."""
    graph = network.to_networkx()
    found = {
        "SciPy product a step": (lambda runs: with_scipy(network, runs), 10**7),
        "EoN.fast_nonMarkov_SIR": (lambda runs: with_eon(graph, runs), 10**6),
        "EoN.fast_SIR, gamma = 0": (lambda runs: with_eon_in_continuous_time(graph, runs), 10**6),
        "NDlib SIModel": (lambda runs: with_ndlib(graph, runs), 10**5),
        "Mesa, polling": (lambda runs: with_mesa(network, runs), 10**5),
    }
    if importlib.util.find_spec("ndlib") is None:
        del found["NDlib SIModel"]
    return found


def one_run(n: int) -> None:
    network = random_regular(n, K, rng=1)
    ours = cpu_seconds(lambda: with_ensemble(network, 1))
    rows = [["ensemble", f"{ours:.4f}", "1"]]
    for name, (run, most) in competitors(network).items():
        if n <= most:
            seconds = cpu_seconds(lambda run=run: run(1), 2 if n < 50_000 else 1)
            rows.append([name, f"{seconds:.3f}", f"{seconds / ours:.0f}"])
    table(f"One run, n = {n:,}", ("", "CPU s", "ratio"), rows)


def many_runs() -> None:
    network = random_regular(1000, K, rng=1)
    ours = cpu_seconds(lambda: with_ensemble(network, 1000), 10) / 1000
    rows = [["ensemble, one thread", f"{1 / ours:.0f}", "1"]]
    for name, (run, _) in competitors(network).items():
        seconds = cpu_seconds(lambda run=run: run(20), 2) / 20
        rows.append([name, f"{1 / seconds:.0f}", f"{seconds / ours:.0f}"])
    table("Replicates of n = 1,000", ("", "a second", "ratio"), rows)

    rows, alone = [], None
    for threads in (1, 2):
        cpu = cpu_seconds(lambda threads=threads: with_ensemble(network, 20_000, threads))
        wall = wall_seconds(lambda threads=threads: with_ensemble(network, 20_000, threads))
        alone = alone or wall
        rows.append([str(threads), f"{20_000 / wall:.0f}", f"{alone / wall:.2f}", f"{cpu:.3f}"])
    table("Threads", ("", "a second", "speed-up", "CPU s in all"), rows)


def laws(beta: float) -> tuple[TransmissionLaw, ...]:
    return (
        SI(beta),
        OnlineOffline(0.001, beta),
        FirstRepeat(2 * beta, beta),
        FirstRepeat(4 * beta, 2 * beta, per="occasion"),
        SingleMultiple(beta, 4 * beta),
        TwoClass(beta / 2, 2 * beta),
        ByProfile(tuple(np.linspace(beta / 2, 2 * beta, 32))),
    )


def other_laws(n: int) -> None:
    network = random_regular(n, K, rng=1)
    profiles = np.arange(n) % 32
    plain, rows = None, []
    # A post that is seen once has to be more contagious to spread as far.
    for feed, beta in (("persistent", BETA), ("new", 5 * BETA)):
        for law in laws(beta):
            for given in (None, profiles) if law.uses_profile else (None,):

                def run(law=law, feed=feed, given=given) -> None:
                    simulate(law, network, STARTERS, STEPS, feed=feed, profiles=given, rng=1)

                run()
                seconds = cpu_seconds(run)
                plain = plain or seconds
                name = f"{law.name}, {feed}" + (", profiles given" if given is not None else "")
                rows.append([name, f"{seconds:.4f}", f"{seconds / plain:.2f}"])
    table(f"Other laws and feeds, one run, n = {n:,}", ("", "CPU s", "of plain SI"), rows)


def memory(sizes: tuple[int, ...]) -> None:
    rows = []
    for n in sizes:
        code = MEMORY.format(beta=BETA, n=n, k=K, starters=STARTERS, steps=STEPS)
        rows.append([f"{n:,}", f"{peak_megabytes(code):.0f}"])
    table("Peak memory, network made and one run", ("n", "MB"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller networks")
    quick = parser.parse_args().quick
    print(machine())
    print(f"SI(beta={BETA}), {K}-regular network, {STARTERS} starters, {STEPS} steps")
    with_ensemble(random_regular(100, K, rng=1), 1)  # compiled, or loaded from the cache
    many_runs()
    for n in (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000):
        one_run(n)
    other_laws(100_000 if quick else 1_000_000)
    memory((1000, 100_000) if quick else (1000, 1_000_000, 10_000_000))


if __name__ == "__main__":
    main()
