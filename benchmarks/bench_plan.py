"""Whether `plan` counts enough runs: experiments of that many runs, simulated again and again.

``python benchmarks/bench_plan.py`` prints, for each effect, the runs that `plan` counts for a power
of 0.8 and the share of simulated experiments of so many runs in which the effect is found. What it
printed is kept in ``docs/plan.md``.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from _measure import machine

from mesa_llmspread import SpreadData, SpreadModel, concat, fit, trait_effects
from mesa_llmspread.experiments.plan import plan
from mesa_llmspread.transmission import ByTraits, TransmissionLaw, parse_law

STEPS = 60

# A hazard ratio per standard deviation, or a law and the law it is to be told from.
EFFECTS: dict[str, tuple[float | str, str]] = {
    "hazard ratio 1.08": (1.08, "SI"),
    "hazard ratio 1.15": (1.15, "SI"),
    "FirstRepeat(0.06, 0.04)": ("FirstRepeat(0.06, 0.04)", "SI"),
    "FirstRepeat(0.15, 0.1)": ("FirstRepeat(0.15, 0.1)", "SI"),
    "FirstRepeat(0.04, 0.06)": ("FirstRepeat(0.04, 0.06)", "SI"),
    "TwoClass(0.04, 0.12, 0.3)": ("TwoClass(0.04, 0.12, 0.3)", "SI"),
    "TwoClass(0.04, 0.09, 0.5)": ("TwoClass(0.04, 0.09, 0.5)", "SI"),
}


def experiment(truth: TransmissionLaw, runs: int, seed: int) -> SpreadData:
    """Simulate one experiment of the default design."""
    seeds = np.random.SeedSequence([seed, 77]).generate_state(runs)
    models = (SpreadModel(decider=truth, rng=int(each)).run(STEPS) for each in seeds)
    return concat([SpreadData.from_model(model) for model in models])


def found(effect: float | str, against: str, runs: int, seed: int) -> bool:
    """Return whether one experiment finds the effect, as a user of the package would."""
    if isinstance(effect, float):
        truth = ByTraits(np.log(-np.log1p(-0.05)), extraversion=np.log(effect))
        tests = trait_effects(experiment(truth, runs, seed), permutations=399, rng=seed).tests
        of_trait = tests[(tests["trait"] == "extraversion") & (tests["test"] == "main")]
        return bool(of_trait["p_value"].iloc[0] <= 0.05)
    law = parse_law(effect)
    data = experiment(law, runs, seed)
    return fit(data, law).bic < fit(data, against).bic


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=200, help="experiments of each effect")
    parser.add_argument("--effects", nargs="+", default=list(EFFECTS), choices=list(EFFECTS))
    arguments = parser.parse_args()
    print(machine())
    print("\n| effect | runs (simulation error) | power by formula | found | of |")
    print("|---|---|---|---|---|")
    start = time.process_time()
    for name in arguments.effects:
        effect, against = EFFECTS[name]
        design = plan(effect, against=against, steps=STEPS)
        runs, (low, high) = design.runs, design.interval
        share = np.mean([found(effect, against, runs, seed) for seed in range(arguments.sets)])
        numbers = f"{runs} ({low} to {high}) | {design.power_of(runs):.2f} | {share:.3f}"
        print(f"| {name} | {numbers} | {arguments.sets} |", flush=True)
    print(f"\n{time.process_time() - start:.0f} s of CPU time")


if __name__ == "__main__":
    main()
