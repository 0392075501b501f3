"""How often 95 % bands of a fitted law cover runs that differ, and in which decisions fail.

``python benchmarks/bench_failures.py`` takes ten minutes per law, and prints the tables of
``docs/coverage.md``; ``--records``, ``--laws`` and ``--failed`` choose parts of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from _measure import machine, table

from mesa_llmspread import (
    Decision,
    Exposure,
    Outcome,
    SpreadData,
    SpreadModel,
    TransmissionLaw,
    concat,
    fit,
)
from mesa_llmspread.deciders import RateDecider
from mesa_llmspread.inference.predictive import predict_runs
from mesa_llmspread.transmission import parse_law, probability_to_rate, rate_to_probability

LAWS = ("SI(0.05)", "FirstRepeat(0.2, 0.04)")
FAILED, SPREADS, RUNS, STEPS = (0.0, 0.05, 0.2, 0.4), (0.0, 0.3), (1, 5, 10), 40

# Runs of a record for which bands are drawn, and values of the parameters that are tried.
_SHOWN, _DRAWS = 2, 50


class Unreliable(RateDecider):
    """A law of which a share of the decisions fails."""

    def __init__(self, law: TransmissionLaw, failed_share: float) -> None:
        super().__init__(law)
        self.failed_share = failed_share

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        """Draw as the law does, and let some fail."""
        decisions = super().decide(exposures, rng)
        failed = rng.random(len(decisions)) < self.failed_share
        return [
            Decision(Outcome.FAILED) if fails else decision
            for decision, fails in zip(decisions, failed, strict=True)
        ]


def recorded(law: TransmissionLaw, failed_share: float, spread: float, seed: int) -> SpreadData:
    """Return a run whose rates are multiplied by a lognormal factor of its own."""
    factor = np.exp(np.random.default_rng([seed, 1]).normal(0.0, spread))
    rates = {
        name: float(rate_to_probability(factor * probability_to_rate(value)))
        for name, value in law.parameters.items()
    }
    decider = Unreliable(law.replace(rates), failed_share)
    return SpreadData.from_model(SpreadModel(decider=decider, rng=seed).run(STEPS))


def coverage(
    law: TransmissionLaw, failed_share: float, spread: float, seed: int
) -> list[tuple[float, float]]:
    """Return by number of runs the share of points within bands: of runs fitted, and of a new one.

    Records of fewer runs are parts of those of more.
    """
    runs = [recorded(law, failed_share, spread, 100 * seed + run) for run in range(max(RUNS) + 1)]
    found = []
    for number in RUNS:
        data = concat(runs[:number])
        result = fit(data, law)
        options = {"draws": _DRAWS, "rng": seed}
        own = predict_runs(result, data.select(data.runs[:_SHOWN]), **options)
        other = predict_runs(result, runs[-1], new=True, **options)
        found.append((own.coverage, other.coverage))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100)
    parser.add_argument("--laws", nargs="*", default=LAWS)
    parser.add_argument("--failed", nargs="*", type=float, default=FAILED)
    arguments = parser.parse_args()
    print(machine(), flush=True)
    for name in arguments.laws:
        rows = []
        for spread in SPREADS:
            for failed_share in arguments.failed:
                each = np.array(
                    [
                        coverage(parse_law(name), failed_share, spread, seed)
                        for seed in range(arguments.records)
                    ]
                )
                cells = [f"{share:.3f}" for share in each.mean(axis=0).T.ravel()]
                errors = each.std(axis=0).max() / np.sqrt(arguments.records)
                rows.append([f"{spread:g}", f"{failed_share:g}", *cells, f"{errors:.3f}"])
                print(*rows[-1], flush=True)
        header = ["between runs", "failed", *(f"{who} {r}" for who in ("own", "new") for r in RUNS)]
        table(f"{name}: share of points within 95 % bands", [*header, "largest error"], rows)


if __name__ == "__main__":
    main()
