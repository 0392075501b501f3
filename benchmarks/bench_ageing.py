"""Posts and news that age: costs, agreement of equations and engine, and estimates.

``python benchmarks/bench_ageing.py`` takes a quarter of an hour with 200 records of each kind;
``--records`` makes it less. What it printed is kept in ``docs/ageing.md``.
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from _measure import cpu_seconds, machine, table

from mesa_llmspread import (
    SI,
    Exponential,
    FirstRepeat,
    PowerLaw,
    RunInfo,
    SingleMultiple,
    SpreadData,
    SpreadModel,
    TransmissionLaw,
    TwoClass,
    Visibility,
    compare,
    fit_ageing,
    simulate,
    solve,
)
from mesa_llmspread.inference.ageing import AGEING
from mesa_llmspread.networks import random_regular

N, K, STARTERS, STEPS, RUNS = 200, 8, 10, 60, 5

NEVER = 10**6

# Visibilities under which nothing fades or leaves view: the same decisions as without.
STILL = {
    "windows": Visibility(NEVER),
    "exponential": Visibility(ageing=Exponential(0.0)),
    "window and exponential": Visibility(NEVER, Exponential(0.0)),
    "news": Visibility(event_ageing=1e-12),
    "power law": Visibility(ageing=PowerLaw(0.0)),
}

TRUTHS: tuple[tuple[TransmissionLaw, Visibility, str], ...] = (
    (SI(0.1), Visibility(ageing=Exponential(0.1)), "exponential"),
    (SI(0.1), Visibility(ageing=Exponential(0.4)), "exponential"),
    (SI(0.1), Visibility(ageing=PowerLaw(1.0)), "power"),
    (SI(0.1), Visibility(event_ageing=0.05), "event"),
    (FirstRepeat(0.2, 0.06), Visibility(ageing=Exponential(0.2)), "exponential"),
    (SI(0.1, alpha=0.02), Visibility(ageing=Exponential(0.2)), "exponential"),
)

# Rivals without ageing, whose findings should not be ageing.
OTHERS: tuple[TransmissionLaw, ...] = (
    SI(0.05),
    FirstRepeat(0.2, 0.04),
    TwoClass(0.02, 0.3, share_high=0.3),
    SingleMultiple(0.05, 0.2),
)


def record(law: TransmissionLaw, seen: Visibility, seed: int) -> SpreadData:
    """Return five runs of the model, whose record does not say that anything ages."""
    parts: list[pd.DataFrame] = []
    for run in range(RUNS):
        model = SpreadModel(
            n=N,
            k=K,
            initial_infected=STARTERS,
            decider=str(law),
            visibility=seen,
            media_prob=0.1 if law.offline else 0.0,
            rng=RUNS * seed + run,
        )
        parts.append(SpreadData.from_model(model.run(STEPS)).exposures.assign(run=run))
    counts = pd.DataFrame(columns=["step", "susceptible", "infected", "new_infected"])
    counts = counts.assign(run=0, exposures=0, failed=0)[:0]
    info = {run: RunInfo(N, K) for run in range(RUNS)}
    return SpreadData(pd.concat(parts, ignore_index=True), counts, info)


def costs() -> None:
    """Print how much longer the same decisions take where posts may age."""
    network, rows = random_regular(100_000, K, rng=1), []
    for law in (SI(0.05), FirstRepeat(0.2, 0.04)):

        def run(law: TransmissionLaw = law, **seen: Any) -> None:
            simulate(law, network, 1000, STEPS, 4, rng=1, threads=1, **seen)

        run()
        without = cpu_seconds(run)
        row = [str(law)]
        for seen in STILL.values():
            run(visibility=seen)
            row.append(f"{cpu_seconds(lambda seen=seen: run(visibility=seen)) / without:.1f}")
        rows.append(row)
    table("The engine, same decisions: CPU time / without", ["law", *STILL], rows)

    def mesa(seen: Visibility) -> None:
        SpreadModel(n=2000, k=K, decider="SI(0.02)", visibility=seen, rng=1).run(40)

    without = cpu_seconds(lambda: mesa(Visibility()), 3)
    row = [
        f"{cpu_seconds(lambda seen=seen: mesa(seen), 3) / without:.1f}" for seen in STILL.values()
    ]
    table("The Mesa model, same decisions: CPU time / without", [*STILL], [row])


def agreement() -> None:
    """Print how far the equations are from the mean of the engine, where nobody had looked."""
    n, steps, rows = 200_000, 40, []
    cases: list[tuple[TransmissionLaw, Visibility, dict[str, Any]]] = [
        (SI(0.15), Visibility(2), {}),
        (SI(0.15), Visibility(4), {}),
        (FirstRepeat(0.3, 0.1), Visibility(3), {}),
        (SingleMultiple(0.1, 0.4), Visibility(3), {}),
        (SingleMultiple(0.1, 0.4, count="cumulative"), Visibility(4), {}),
        (TwoClass(0.05, 0.4, 0.4), Visibility(ageing=Exponential(0.2)), {}),
        (TwoClass(0.05, 0.4, 0.4), Visibility(event_ageing=0.05), {}),
        (SI(0.1, alpha=0.05), Visibility(event_ageing=0.05), {"media_prob": 0.1}),
        (SI(0.1, alpha=0.05), Visibility(ageing=PowerLaw(1.0)), {"media_prob": 0.1}),
        (FirstRepeat(0.3, 0.05, alpha=0.05), Visibility(3, Exponential(0.2)), {"media_prob": 0.1}),
        (FirstRepeat(0.05, 0.3), Visibility(ageing=Exponential(0.2)), {"media_prob": 0.1}),
    ]
    network = random_regular(n, 6, rng=1)
    for law, seen, options in cases:
        solved = solve(
            law, n=n, k=6, initial_infected=n // 100, steps=steps, visibility=seen, **options
        )
        runs = simulate(law, network, n // 100, steps, 16, rng=1, visibility=seen, **options)
        gap = runs.mean().to_numpy() - solved["infected"].to_numpy() / n
        rows.append([str(law), str(seen), f"{np.sqrt(np.mean(gap**2)):.4f}"])
    table(f"Equations and engine, n = {n:,}, k = 6: RMSE of I/n", ["law", "visibility", ""], rows)


def curves() -> None:
    """Print how well laws without ageing imitate the curve of one with ageing."""
    from scipy.optimize import minimize

    options: dict[str, Any] = {"n": 10_000, "k": K, "initial_infected": 100, "steps": 40}

    def curve(law: TransmissionLaw, seen: Visibility | None = None) -> Any:
        return solve(law, visibility=seen, **options)["infected"].to_numpy() / 10_000

    def nearest(build: Any, start: list[float], truth: Any) -> float:
        def gap(x: Any) -> float:
            return float(np.mean((curve(*build(np.exp(x))) - truth) ** 2))

        found = minimize(gap, np.log(start), method="Nelder-Mead", options={"maxiter": 150})
        return float(np.sqrt(found.fun))

    def chance(rate: float) -> float:
        return float(1 - np.exp(-rate))

    families = {
        "SI": (lambda x: (SI(chance(x[0])),), [0.05]),
        "FirstRepeat": (lambda x: (FirstRepeat(chance(x[0]), chance(x[1])),), [0.1, 0.03]),
        "SI, delta": (
            lambda x: (SI(chance(x[0])), Visibility(None, Exponential(x[1]))),
            [0.1, 0.1],
        ),
        "SI, gamma": (lambda x: (SI(chance(x[0])), Visibility(None, PowerLaw(x[1]))), [0.1, 0.5]),
        "SI, news": (
            lambda x: (SI(chance(x[0])), Visibility(event_ageing=float(x[1]))),
            [0.1, 0.03],
        ),
    }
    truths = {
        "SI(0.08), delta 0.2": curve(SI(0.08), Visibility(None, Exponential(0.2))),
        "SI(0.08), gamma 0.7": curve(SI(0.08), Visibility(None, PowerLaw(0.7))),
        "SI(0.08), news 0.05": curve(SI(0.08), Visibility(event_ageing=0.05)),
        "FirstRepeat(0.15, 0.03)": curve(FirstRepeat(0.15, 0.03)),
    }
    rows = [
        [name, *(f"{nearest(build, start, truth):.4f}" for build, start in families.values())]
        for name, truth in truths.items()
    ]
    table("One curve, fitted by others: RMSE of I/n", ["truth", *families], rows)


def _faded(beta: float, **seen: Any) -> tuple[TransmissionLaw, Visibility]:
    return SI(beta), Visibility(**seen)


def recovery(records: int) -> None:
    """Print bias and coverage of the estimates, and how often ageing is found."""
    rows, found = [], []
    compared = -(-records // 4)
    for law, seen, kind in TRUTHS:
        name = AGEING[kind]
        true = {**law.parameters, name: seen.event_ageing or next(iter(vars(seen.ageing).values()))}
        fits, verdicts = [], Counter[str]()
        for seed in range(records):
            data = record(law, seen, seed)
            fits.append(fit_ageing(data, law, kind).estimates)
            if seed < compared:
                verdicts[_verdict(data)] += 1
        for parameter, value in true.items():
            each = pd.DataFrame([one.loc[parameter] for one in fits])
            inside = (each["low"] <= value) & (value <= each["high"])
            bias = each["value"].mean() / value - 1
            spread = np.sqrt(((each["value"] / value - 1) ** 2).mean())
            cells = [f"{value:g}", f"{bias:+.1%}", f"{spread:.1%}", f"{inside.mean():.3f}"]
            rows.append([str(law), str(seen), parameter, *cells])
        found.append([str(law), str(seen), _shares(verdicts, compared)])
    for law in OTHERS:
        verdicts = Counter(_verdict(record(law, Visibility(), seed)) for seed in range(compared))
        found.append([str(law), "", _shares(verdicts, compared)])
    header = ["law", "visibility", "parameter", "true", "bias", "RMSE", "coverage of 95 %"]
    table(f"{records} records of {RUNS} runs, n = {N}, k = {K}", header, rows)
    table(
        f"What compare() finds in {compared} records",
        ["law", "visibility", "share of records"],
        found,
    )


def _verdict(data: SpreadData) -> str:
    """Return what a comparison of the records says."""
    comparison = compare(data, ["SI", "FirstRepeat", "TwoClass", *_offline(data)])
    effect, artefact = (
        bool(comparison.findings.set_index("finding")["claimed"][row])
        for row in ("posts or the news lose their effect with age", "ageing may be behind it")
    )
    aged = comparison.ageing
    if effect and aged is not None and aged.law is not None:
        return f"{aged.law.online().name} with {aged.kind}"
    return comparison.best.name + (", perhaps ageing" if artefact else "")


def _offline(data: SpreadData) -> list[str]:
    if not data.exposures["direct"].any():
        return ["SingleMultiple"]
    return ["OnlineOffline", "FirstRepeat(offline=True)", "TwoClass(offline=True)"]


def _shares(verdicts: Counter[str], records: int) -> str:
    return ", ".join(f"{name} {count / records:.2f}" for name, count in verdicts.most_common(5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200, help="synthetic records of each kind")
    parser.add_argument("--only", nargs="*", help="costs, agreement, curves, recovery")
    arguments = parser.parse_args()
    print(machine())
    parts = {"costs": costs, "agreement": agreement, "curves": curves}
    for name, part in parts.items():
        if not arguments.only or name in arguments.only:
            part()
    if not arguments.only or "recovery" in arguments.only:
        recovery(arguments.records)


if __name__ == "__main__":
    main()
