"""Sweeps: two workers against one process, and against Mesa's batch_run of an ordinary model.

Every sweep does the same runs: SI(0.05), 1,000 agents on random 8-regular networks, 10
starters, at most 50 steps. The ordinary model is what a Mesa tutorial leads to (see
``bench_model.py``): networkx draws its graph, and every susceptible agent polls its neighbours
at every step. It collects counts only, where a sweep also writes every decision to disk.
Workers are started before, except those of batch_run, which has no other way.

    python benchmarks/bench_sweep.py [--runs 400] [--repeats 3]

Times by the clock need an idle machine. CPU times of all processes are printed beside them: they
say what the workers cost in addition, and compare with batch_run on a busy machine too.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mesa
import networkx as nx
import psutil
from _measure import machine, table
from bench_model import BETA, DEGREE, STARTERS, STEPS, PollingAgent, PollingModel
from distributed import Client, LocalCluster
from mesa.batchrunner import batch_run
from mesa.datacollection import DataCollector
from mesa.space import NetworkGrid

from mesa_llmspread.sweep import Design, run

AGENTS, WORKERS = 1000, 2
BATCH_RUN = "batch_run, ordinary model, 2 processes"


class OrdinaryModel(PollingModel):
    """The polling model as batch_run wants it: plain arguments, its own graph, a collector."""

    def __init__(self, n: int = AGENTS, k: int = DEGREE, rng: int = 0) -> None:
        mesa.Model.__init__(self, rng=rng)
        self.grid = NetworkGrid(nx.random_regular_graph(k, n, seed=rng))
        for node in range(n):
            self.grid.place_agent(PollingAgent(self), node)
        for agent in self.random.sample(list(self.agents), STARTERS):
            agent.infected = True
        self.datacollector = DataCollector({"Infected": _infected})
        self.datacollector.collect(self)

    def step(self) -> None:
        """Step, count, and stop when nobody is left."""
        super().step()
        self.datacollector.collect(self)
        self.running = _infected(self) < len(self.agents)


def _infected(model: mesa.Model) -> int:
    return sum(agent.infected for agent in model.agents)


def ordinary_batch(runs: int) -> None:
    """Mesa's batch_run, of either version."""
    options: dict[str, Any] = {"number_processes": WORKERS, "display_progress": False}
    seeds = list(range(runs))
    if mesa.__version__ >= "3.5":
        batch_run(OrdinaryModel, {}, rng=seeds, max_steps=STEPS, **options)
    else:
        batch_run(OrdinaryModel, {"rng": seeds}, max_steps=STEPS - 1, **options)


def design(runs: int) -> Design:
    cell = {"n": AGENTS, "k": DEGREE, "decider": f"SI({BETA})", "initial_infected": STARTERS}
    return Design(cell, replicates=runs, rng=1)


def sweep(runs: int, **how: Any) -> None:
    """One sweep into a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        run(design(runs), Path(folder), steps=STEPS, **how)


def cpu_of_family() -> float:
    """CPU seconds of this process, its children that have ended, and those that live."""
    own = psutil.Process()
    living = [child.cpu_times() for child in own.children(recursive=True)]
    return sum(own.cpu_times()[:4]) + sum(times.user + times.system for times in living)


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of CPU in all processes."""
    cpu, clock = cpu_of_family(), time.perf_counter()
    work()
    return time.perf_counter() - clock, cpu_of_family() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    runs = given.runs
    two = {"n_jobs": WORKERS}
    print(f"{machine()}, Mesa {mesa.__version__}; {runs} runs, {given.repeats} repeats")
    with (
        LocalCluster(
            n_workers=WORKERS,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        ways: dict[str, Callable[[], None]] = {
            "sequential": lambda: sweep(runs, backend="sequential"),
            "loky, 2 workers": lambda: sweep(runs, **two),
            "Dask, 2 workers": lambda: sweep(runs, backend="dask", client=client),
            "compiled, sequential": lambda: sweep(runs, engine="compiled", backend="sequential"),
            "compiled, loky, 2 workers": lambda: sweep(runs, engine="compiled", **two),
            BATCH_RUN: lambda: ordinary_batch(runs),
        }
        for how in ({}, {"backend": "dask", "client": client}):
            for engine in ("mesa", "compiled"):
                sweep(20, engine=engine, **two, **how)
        sweep(20, engine="compiled", backend="sequential")
        clock: dict[str, list[float]] = {name: [] for name in ways}
        cpu: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(given.repeats):
            for name, work in ways.items():
                for into, taken in zip((clock, cpu), measured(work), strict=True):
                    into[name].append(taken)
                print(f"  {name}: {clock[name][-1]:.2f} s, CPU {cpu[name][-1]:.2f} s", flush=True)

    def ratios(above: list[float], below: list[float]) -> str:
        found = [a / b for a, b in zip(above, below, strict=True)]
        return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"

    rows = []
    for name in ways:
        one = "compiled, sequential" if name.startswith("compiled") else "sequential"
        shared = [WORKERS * taken for taken in clock[name]]
        parallel = name not in (one, BATCH_RUN)
        rows.append(
            [
                name,
                f"{min(clock[name]):.2f} / {statistics.median(clock[name]):.2f}",
                f"{min(cpu[name]):.2f} / {statistics.median(cpu[name]):.2f}",
                ratios(clock[one], shared) if parallel else "",
                ratios(cpu[one], cpu[name]) if parallel else "",
                ratios(clock[BATCH_RUN], clock[name]),
                ratios(cpu[BATCH_RUN], cpu[name]),
            ]
        )
    header = ["best / median, or median (range)", "clock s", "CPU s", "efficiency", "by CPU"]
    table(f"{runs} runs", [*header, "x batch_run", "by CPU"], rows)

    process, memory = psutil.Process(), []
    for many in (runs, 4 * runs):
        sweep(many, engine="compiled", **two)
        memory.append(process.memory_info().rss / 1e6)
    print(f"\nMemory of the parent after {runs} and {4 * runs} runs: "
          f"{memory[0]:.0f} MB and {memory[1]:.0f} MB")  # fmt: skip


if __name__ == "__main__":
    main()
