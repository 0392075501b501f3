"""What ``compare`` claims where the truth is known, inside the family of laws and outside it.

``python benchmarks/bench_verdicts.py`` prints one row per truth as it goes: in how many sets of
five runs with 200 agents each finding was claimed. ``--truths`` and ``--sets`` run a part. What
it printed is kept in ``docs/coverage.md``.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt
import pandas as pd
from _measure import machine
from bench_coverage import RUNS, K, log_of

from mesa_llmspread import RunInfo, SpreadData, compare
from mesa_llmspread.transmission import SI, ByTraits, FirstRepeat, TransmissionLaw, TwoClass

N = 200

FINDINGS = {
    "one rate is enough": "one rate",
    "first and later exposures differ": "first, later",
    "several neighbours act differently from one": "several",
    "agents differ": "agents differ",
    "there are two classes of agents": "two classes",
    "personality matters": "personality",
    "the event itself makes agents post": "the event",
    "rates differ between runs": "runs differ",
    "AIC and BIC disagree": "AIC, BIC disagree",
}


def gamma(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw the agents' factors from a gamma distribution with mean 1 and variance 1."""
    return rng.gamma(1.0, 1.0, N)


def lognormal(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw the agents' factors from a lognormal distribution with mean 1 and variance 1."""
    return rng.lognormal(-np.log(2) / 2, np.sqrt(np.log(2)), N)


def runs_differ(spread: float) -> Callable[[np.random.Generator], float]:
    """Return a draw of a run's factor, by the standard deviation of its logarithm."""
    return lambda rng: float(np.exp(rng.normal(0, spread)))


def small_world(rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw the neighbours in a clustered network in which all agents have K."""
    graph = nx.watts_strogatz_graph(N, K, 0.0)
    nx.double_edge_swap(graph, nswap=N * K // 20, max_tries=10**5, seed=rng)
    return np.array([list(graph[agent]) for agent in range(N)])


def extravert(ratio: float) -> ByTraits:
    """Return a law in which one trait multiplies the rate, per standard deviation."""
    return ByTraits(-2.8, extraversion=float(np.log(ratio)))


#: The law, and what goes beyond it, drawn for every run where it is a function.
TRUTHS: dict[str, tuple[TransmissionLaw, dict[str, Any]]] = {
    "SI": (SI(0.06), {}),
    "FirstRepeat": (FirstRepeat(0.2, 0.04), {}),
    "TwoClass": (TwoClass(0.02, 0.3, share_high=0.3), {}),
    "traits, HR 1.2": (extravert(1.2), {}),
    "traits, HR 1.35": (extravert(1.35), {}),
    "traits, HR 1.6": (extravert(1.6), {}),
    "gamma frailty": (SI(0.08), {"factors": gamma}),
    "lognormal frailty": (SI(0.08), {"factors": lognormal}),
    "runs differ (sd 0.3)": (SI(0.06), {"factors": runs_differ(0.3)}),
    "runs differ (sd 0.6)": (SI(0.06), {"factors": runs_differ(0.6)}),
    "FirstRepeat, runs differ (sd 0.6)": (FirstRepeat(0.2, 0.04), {"factors": runs_differ(0.6)}),
    "traits HR 1.35, runs differ (sd 0.6)": (extravert(1.35), {"factors": runs_differ(0.6)}),
    "SI with an offline part": (SI(0.06, alpha=0.05), {}),
    "FirstRepeat with an offline part": (FirstRepeat(0.2, 0.04, alpha=0.05), {}),
    "FirstRepeat, 20 % fail": (FirstRepeat(0.2, 0.04), {"failed": 0.2}),
    "SI on a clustered network": (SI(0.06), {"neighbours": small_world}),
    "FirstRepeat on a clustered network": (FirstRepeat(0.2, 0.04), {"neighbours": small_world}),
    "posts that age (0.4 per step)": (SI(0.2), {"fading": 0.4}),
}


def record(truth: str, seed: int) -> SpreadData:
    """Return a set of five runs."""
    law, beyond = TRUTHS[truth]
    rng = np.random.default_rng([seed, *truth.encode()])
    logs = [
        log_of(
            law,
            N,
            run,
            rng,
            **{name: given(rng) if callable(given) else given for name, given in beyond.items()},
        )
        for run in range(RUNS)
    ]
    exposures, counts = (pd.concat(tables, ignore_index=True) for tables in zip(*logs, strict=True))
    info = RunInfo(N, K, population="uniform")
    return SpreadData(exposures, counts, dict.fromkeys(range(RUNS), info))


def claims(truth: str, sets: int) -> tuple[Counter[str], Counter[str]]:
    """Count what was claimed, and which law was the best, in some sets."""
    claimed, best = Counter[str](), Counter[str]()
    for seed in range(sets):
        found = compare(record(truth, seed))
        claimed.update(found.findings.query("claimed")["finding"])
        claimed["no law fits"] += bool(found.misfit)
        best[found.best.name.removesuffix("(offline=True)")] += 1
    return claimed, best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=30, help="sets of five runs of each truth")
    parser.add_argument("--truths", nargs="+", default=list(TRUTHS), choices=list(TRUTHS))
    arguments = parser.parse_args()
    print(machine())
    print(f"\n{arguments.sets} sets of each truth, {RUNS} runs of {N} agents each\n")
    columns = ["truth", *FINDINGS.values(), "does not fit", "best law (by BIC)"]
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    start = time.process_time()
    for truth in arguments.truths:
        claimed, best = claims(truth, arguments.sets)
        cells = [str(claimed[name]) for name in (*FINDINGS, "no law fits")]
        laws = ", ".join(f"{name} {count}" for name, count in best.most_common())
        print(f"| {truth} | {' | '.join(cells)} | {laws} |", flush=True)
    print(f"\n{time.process_time() - start:.0f} s of CPU time")


if __name__ == "__main__":
    main()
