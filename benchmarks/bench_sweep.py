"""Sweeps: two workers against one process, and against Mesa's batch_run of an ordinary model.

Every sweep does the same runs: SI(0.05), 1,000 agents on random 8-regular networks, 10
starters, at most 50 steps. The ordinary model is what a Mesa tutorial leads to (see
``bench_model.py``): every susceptible agent polls its neighbours at every step; it collects
counts only, where a sweep also writes every decision to disk. Workers are started before,
except those of batch_run, which has no other way.

    python benchmarks/bench_sweep.py [--runs 400] [--repeats 3]

The times are by the clock, so the machine should be idle.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mesa
import psutil
from _measure import machine, table
from bench_model import BETA, DEGREE, STARTERS, STEPS, PollingModel
from distributed import Client, LocalCluster
from mesa.batchrunner import batch_run
from mesa.datacollection import DataCollector

from mesa_llmspread import random_regular
from mesa_llmspread.sweep import Design, run

AGENTS, WORKERS = 1000, 2


class OrdinaryModel(PollingModel):
    """The polling model with plain arguments and a data collector, as batch_run wants it."""

    def __init__(self, n: int = AGENTS, k: int = DEGREE, rng: int = 0) -> None:
        super().__init__(random_regular(n, k, rng), rng)
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


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    runs = given.runs
    two = {"n_jobs": WORKERS}
    print(f"{machine()}, Mesa {mesa.__version__}; {runs} runs, {given.repeats} repeats")
    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        ways: dict[str, Callable[[], None]] = {
            "sequential": lambda: sweep(runs, backend="sequential"),
            "loky, 2 workers": lambda: sweep(runs, **two),
            "Dask, 2 workers": lambda: sweep(runs, backend="dask", client=client),
            "ensemble, sequential": lambda: sweep(runs, engine="ensemble", backend="sequential"),
            "ensemble, loky, 2 workers": lambda: sweep(runs, engine="ensemble", **two),
            "batch_run, ordinary model, 2 processes": lambda: ordinary_batch(runs),
        }
        for how in ({}, {"backend": "dask", "client": client}):
            for engine in ("mesa", "ensemble"):
                sweep(20, engine=engine, **two, **how)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(given.repeats):
            for name, work in ways.items():
                times[name].append(seconds(work))
                print(f"  {name}: {times[name][-1]:.2f} s", flush=True)

    def efficiency(name: str, one: str) -> str:
        pairs = zip(times[one], times[name], strict=True)
        found = [alone / (WORKERS * together) for alone, together in pairs]
        return f"{statistics.median(found):.2f} ({max(found):.2f})"

    ordinary = times["batch_run, ordinary model, 2 processes"]
    rows = []
    for name, taken in times.items():
        one = "ensemble, sequential" if name.startswith("ensemble") else "sequential"
        parallel = name != one and not name.startswith("batch_run")
        ratio = [o / t for o, t in zip(ordinary, taken, strict=True)]
        rows.append(
            [
                name,
                f"{min(taken):.2f} s",
                f"{statistics.median(taken):.2f} s",
                efficiency(name, one) if parallel else "",
                f"{statistics.median(ratio):.1f} ({max(ratio):.1f})",
            ]
        )
    header = ["", "best", "median", "efficiency: median (best)", "x batch_run: median (best)"]
    table(f"{runs} runs", header, rows)

    process, memory = psutil.Process(), []
    for many in (runs, 4 * runs):
        sweep(many, engine="ensemble", **two)
        memory.append(process.memory_info().rss / 1e6)
    print(f"\nMemory of the parent after {runs} and {4 * runs} runs: "
          f"{memory[0]:.0f} MB and {memory[1]:.0f} MB")  # fmt: skip


if __name__ == "__main__":
    main()
