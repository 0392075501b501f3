"""How good the estimates are: bias, error, coverage of the intervals, and choice of the law.

Many synthetic records of each law, five runs each, go through ``compare`` as a user's would.
``python benchmarks/bench_coverage.py`` takes a quarter of an hour for 100 records of each law at
n = 200 and n = 1,000; ``--records`` and ``--sizes`` make it less. What it printed is kept in
``docs/coverage.md``.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import numpy as np
import numpy.typing as npt
import pandas as pd
from _measure import machine

from mesa_llmspread import RunInfo, SpreadData, compare
from mesa_llmspread.inference import Comparison
from mesa_llmspread.networks import random_regular
from mesa_llmspread.profiles import codes
from mesa_llmspread.transmission import (
    SI,
    ByProfile,
    FirstRepeat,
    OnlineOffline,
    SingleMultiple,
    TransmissionLaw,
    TwoClass,
)

K, STARTERS, STEPS, RUNS = 8, 10, 60, 5

# Probability per step that an agent sees the event itself, where that matters.
MEDIA_PROB = 0.1

CODES = np.array(codes())

# Rates of the 32 profiles: log-normal, drawn once.
BETAS = tuple(
    float(beta) for beta in 0.05 * np.exp(np.random.default_rng(3).normal(0, 0.6, 32)).clip(0, 8)
)

TRUTHS: tuple[TransmissionLaw, ...] = (
    SI(0.05),
    OnlineOffline(0.1, 0.04),
    FirstRepeat(0.2, 0.04),
    FirstRepeat(0.3, 0.1, per="occasion"),
    SingleMultiple(0.05, 0.2),
    TwoClass(0.02, 0.3, share_high=0.3),
    ByProfile(BETAS),
)


def log_of(
    law: TransmissionLaw,
    n: int,
    run: int,
    rng: np.random.Generator,
    *,
    neighbours: npt.NDArray[np.int64] | None = None,
    factors: npt.NDArray[np.float64] | float = 1.0,
    failed: float = 0.0,
    fading: float = 0.0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Run the stochastic model in array code, with one row per decision as SpreadModel logs it.

    Beyond the law, the rates of agents may be multiplied by ``factors``, decisions may fail with a
    chance, and the hazard of a post may fade with its age at a rate.
    """
    if neighbours is None:
        neighbours = random_regular(n, K, rng).indices.reshape(n, K)
    profile = rng.integers(0, 32, n)
    latent = isinstance(law, TwoClass)
    parts = [part for _, part in law.classes()] if latent else [law]
    share_high = law.share_high if isinstance(law, TwoClass) else 0.0
    high = (rng.random(n) < share_high).astype(int)
    media_prob = MEDIA_PROB if law.offline else 0.0
    posted_at = np.full(n, -1)
    posted_at[rng.choice(n, STARTERS, replace=False)] = 0
    occasions = np.zeros(n, dtype=np.int64)
    rows, infected = [], [STARTERS]
    for step in range(1, STEPS + 1):
        posted = posted_at >= 0
        contacts = posted[neighbours].sum(axis=1)
        direct = rng.random(n) < media_prob
        seeing = np.flatnonzero(~posted & ((contacts > 0) | direct))
        fails = rng.random(len(seeing)) < failed
        occasions[seeing[~fails]] += 1
        seen = {
            "contacts": contacts[seeing],
            "exposure_count": np.maximum(occasions[seeing], 1),
            "direct": direct[seeing],
        }
        chances = np.array([part.evaluate(profile=profile[seeing], **seen) for part in parts])
        chance = chances[high[seeing], np.arange(len(seeing))]
        power = np.broadcast_to(factors, n)[seeing]
        if fading:
            ages = step - 1 - posted_at[neighbours[seeing]]
            weight = np.where(posted[neighbours[seeing]], np.exp(-fading * ages), 0.0).sum(axis=1)
            power = power * weight / np.maximum(contacts[seeing], 1)
        repost = ~fails & (rng.random(len(seeing)) < 1 - (1 - chance) ** power)
        rows.append(
            pd.DataFrame(
                {
                    "run": run,
                    "step": step,
                    "agent": seeing,
                    "profile": CODES[profile[seeing]],
                    "event": "synthetic",
                    "cumulative": seen["contacts"],
                    "outcome": np.select([fails, repost], ["failed", "repost"], "decline"),
                    **dict.fromkeys(("post", "reason", "key"), ""),
                    **seen,
                }
            )
        )
        posted_at[seeing[repost]] = step
        infected.append(int((posted_at >= 0).sum()))
    count = np.array(infected)
    counts = pd.DataFrame({"run": run, "step": range(len(count)), "infected": count})
    counts = counts.assign(susceptible=n - count, new_infected=0, exposures=0, failed=0)
    return pd.concat(rows, ignore_index=True), counts


def record(law: TransmissionLaw, n: int, seed: int, spread: float = 0.0) -> SpreadData:
    """Return a record of five runs; log rates may vary between runs by a standard deviation."""
    rng = np.random.default_rng([seed, n])
    logs = []
    for run in range(RUNS):
        own = law
        if spread:
            factor = np.exp(rng.normal(0, spread))
            own = type(law)(*(float(1 - (1 - beta) ** factor) for beta in law.parameters.values()))
        logs.append(log_of(own, n, run, rng))
    exposures, counts = (pd.concat(tables, ignore_index=True) for tables in zip(*logs, strict=True))
    return SpreadData(exposures, counts, {run: RunInfo(n, K) for run in range(RUNS)})


def accuracy(law: TransmissionLaw, found: list[Comparison]) -> list[list[str]]:
    """Compare the estimates of the true law with its values, parameter by parameter."""
    truth = law.parameters
    results = [comparison.results[law.name] for comparison in found]
    rows = []
    for name, true in truth.items():
        known = [result for result in results if name in result.params]
        value = np.array([result.params[name] for result in known])
        ends = np.array([result.ci[name] for result in known])
        inside = (ends[:, 0] <= true) & (true <= ends[:, 1])
        rows.append(
            [
                name,
                true,
                np.nanmean(value) / true - 1,
                np.sqrt(np.nanmean((value / true - 1) ** 2)),
                inside.mean(),
            ]
        )
    if isinstance(law, ByProfile):
        figures = np.array([row[2:] for row in rows], dtype=float)
        rows = [["32 rates", float("nan"), *figures.mean(axis=0)]]
    return [
        [
            law.name,
            name,
            "" if np.isnan(true) else f"{true:g}",
            f"{bias:+.1%}",
            f"{error:.1%}",
            f"{coverage:.2f}",
        ]
        for name, true, bias, error, coverage in rows
    ]


def markdown(header: list[str], rows: list[list[str]]) -> None:
    """Print a table."""
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def study(n: int, records: int) -> None:
    """Print the tables for one number of agents."""
    start = time.process_time()
    estimates, chosen, fits = [], [], []
    names = [law.name for law in TRUTHS]
    for law in TRUTHS:
        found = [compare(record(law, n, seed)) for seed in range(records)]
        estimates += accuracy(law, found)
        best = Counter(comparison.best.name for comparison in found)
        p_values = np.array([_fit_p_value(comparison, law.name) for comparison in found])
        chosen.append([law.name, *(str(best[name]) for name in names)])
        fits.append([law.name, f"{np.mean(p_values < 0.05):.2f}"])
    varying = FirstRepeat(0.2, 0.04)
    found = [compare(record(varying, n, seed, 0.3), ["SI", varying]) for seed in range(records)]
    estimates += [[f"{row[0]}, runs differ", *row[1:]] for row in accuracy(varying, found)]
    print(f"\n### n = {n:,}: {records} records of each law, {RUNS} runs each\n")
    markdown(["law", "parameter", "true", "bias", "RMSE", "coverage of 95 %"], estimates)
    print("\nChosen by BIC (rows: the truth):\n")
    markdown(["truth", *names], chosen)
    print("\nShare of records in which goodness of fit rejects the true law at 5 %:\n")
    markdown(["law", "rejected"], fits)
    print(f"\n{time.process_time() - start:.0f} s of CPU time")


def _fit_p_value(comparison: Comparison, name: str) -> float:
    table = comparison.table.set_index("law")
    return float(table["fit_p_value"][name])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100, help="synthetic records of each law")
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 1000], help="agents")
    arguments = parser.parse_args()
    print(machine())
    for n in arguments.sizes:
        study(n, arguments.records)


if __name__ == "__main__":
    main()
