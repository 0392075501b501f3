"""Posts that fade: equations against the engine, what fading costs, and what fits recover.

    python benchmarks/ageing.py equations
    python benchmarks/ageing.py cost
    python benchmarks/ageing.py recovery --sets 200

Each part prints its table as it goes.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from typing import Any

import numpy as np

from mesa_llmspread import (
    SI,
    ByProfile,
    Exponential,
    FirstRepeat,
    OnlineOffline,
    PowerLaw,
    SpreadData,
    SpreadModel,
    TwoClass,
    Visibility,
    concat,
    fit,
    random_regular,
    simulate,
    solve,
)
from mesa_llmspread.inference.ageing import AGEING, fit_ageing
from mesa_llmspread.inference.decisions import Log
from mesa_llmspread.transmission import parse_law

FADING = (
    Visibility(2),
    Visibility(5),
    Visibility(ageing=Exponential(0.3)),
    Visibility(ageing=PowerLaw(1.0)),
    Visibility(event_ageing=0.05),
    Visibility(3, Exponential(0.2), event_ageing=0.05),
)
LAWS = (
    SI(0.25),
    OnlineOffline(0.05, 0.2),
    TwoClass(0.05, 0.4, 0.4),
    ByProfile(np.linspace(0.05, 0.4, 32)),
    FirstRepeat(0.3, 0.1),
    FirstRepeat(0.1, 0.3, alpha=0.05),
)
RECOVERED = (
    ("SI(0.1)", Visibility(ageing=Exponential(0.1)), "exponential"),
    ("SI(0.15)", Visibility(ageing=Exponential(0.4)), "exponential"),
    ("SI(0.2)", Visibility(ageing=PowerLaw(1.0)), "power"),
    ("SI(0.08)", Visibility(event_ageing=0.05), "event"),
    ("FirstRepeat(0.3, 0.1)", Visibility(ageing=Exponential(0.3)), "exponential"),
    ("SI(0.1, alpha=0.02)", Visibility(ageing=Exponential(0.3)), "exponential"),
)


def equations(n: int = 100_000) -> None:
    """Print the distance of the equations from the mean of 8 simulated runs, with the media."""
    print(f"RMSE of the share that has posted, k = 6, n = {n:,}, 1 % starters, 30 steps, media .02")
    for law in LAWS:
        for seen in FADING:
            options: dict[str, Any] = {"visibility": seen, "media_prob": 0.02}
            exact = solve(law, n=n, k=6, initial_infected=n // 100, steps=30, **options)
            runs = [
                simulate(law, random_regular(n, 6, rng=seed), n // 100, 30, 4, rng=seed, **options)
                for seed in range(2)
            ]
            mean = np.mean([run.infected for run in runs], axis=(0, 1))
            gap = np.sqrt(np.mean((mean - exact["infected"]) ** 2)) / n
            print(f"{gap:.4f}  {law}  {seen}", flush=True)


def cost(n: int = 1_000_000) -> None:
    """Print how long decisions take, as a multiple of the same law without fading."""
    network = random_regular(n, 8, rng=1)
    print(f"engine, SI(0.05), k = 8, n = {n:,}, 40 steps: seconds, and times that without fading")
    base = 0.0
    for seen in (Visibility(), *FADING):
        for size in (1000, n):  # compiled by the first
            graph = network if size == n else random_regular(size, 8, rng=1)
            start = time.process_time()
            simulate(SI(0.05), graph, size // 100, 40, rng=1, threads=1, visibility=seen)
            spent = time.process_time() - start
        base = base or spent
        print(f"{spent:.2f} s  {spent / base:.1f}  {seen}", flush=True)
    print("Mesa, n = 2,000: microseconds per decision, and times that without fading")
    base = 0.0
    for seen in (Visibility(), *FADING):
        start = time.process_time()
        model = SpreadModel(n=2000, initial_infected=20, decider="SI(0.05)", visibility=seen, rng=1)
        decisions = len(SpreadData.from_model(model.run(40)).exposures)
        spent = (time.process_time() - start) / decisions * 1e6
        base = base or spent
        print(f"{spent:.0f}  {spent / base:.1f}  {seen}", flush=True)


def recovery(sets: int) -> None:
    """Print coverage of the 95 % intervals, bias, and which law has the lowest BIC."""
    print(f"{sets} data sets of 5 runs of 200 agents, k = 8, 5 starters")
    for text, seen, kind in RECOVERED:
        truth, name = parse_law(text), AGEING[kind]
        value = seen.event_ageing or next(iter(vars(seen.ageing).values()))
        inside, found, best = 0, [], []
        for number in range(sets):
            log = Log(_data(text, seen, number, media=0.1 * truth.offline))
            fits = {each: fit_ageing(log, truth, each) for each in AGEING}
            row = fits[kind].estimates.loc[name]
            inside += bool(row["low"] <= value <= row["high"])
            found.append(row["value"])
            bics = {each: fits[each].bic for each in AGEING}
            for other in {"SI", "FirstRepeat", type(truth).__name__}:
                options = {"offline": True} if truth.offline else {}
                bics[other] = fit(log.data, other, interval="profile", **options).bic
            best.append(min(bics, key=bics.__getitem__))
        chosen = {one: best.count(one) for one in sorted(set(best))}
        print(
            f"{text}, {seen}: {name} {np.mean(found):.4f} (true {value}, sd {np.std(found):.4f}), "
            f"coverage {inside / sets:.3f}, lowest BIC {chosen}",
            flush=True,
        )


def _data(law: str, seen: Visibility, number: int, media: float) -> SpreadData:
    """Return the record of five runs, which does not tell that posts fade."""
    runs = [
        SpreadModel(
            n=200, initial_infected=5, decider=law, visibility=seen, media_prob=media,
            rng=1000 * number + seed,
        ).run(40)
        for seed in range(5)
    ]  # fmt: skip
    data = concat([SpreadData.from_model(run) for run in runs])
    info = {run: dataclasses.replace(info, visibility=None) for run, info in data.info.items()}
    return SpreadData(data.exposures, data.counts, info, data.agents)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["equations", "cost", "recovery"])
    parser.add_argument("--sets", type=int, default=200)
    given = parser.parse_args()
    if given.part == "recovery":
        recovery(given.sets)
    else:
        {"equations": equations, "cost": cost}[given.part]()
