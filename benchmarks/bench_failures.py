"""How often 95 % bands of a fitted law cover runs in which decisions fail.

``python benchmarks/bench_failures.py`` takes about ten minutes, and prints the table of
``docs/coverage.md``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mesa_llmspread import (
    Decision,
    Exposure,
    Outcome,
    SpreadData,
    SpreadModel,
    concat,
    fit,
)
from mesa_llmspread.deciders import RateDecider
from mesa_llmspread.inference.predictive import predict_runs
from mesa_llmspread.transmission import parse_law

FAILED = (0.0, 0.05, 0.2, 0.4)
RECORDS, RUNS = 12, 5

CASES = (
    ("SI(0.05)", {}),
    ("FirstRepeat(0.2, 0.04)", {}),
    ("FirstRepeat(0.2, 0.04, alpha=0.02)", {"media_prob": 0.2}),
    ("SI(0.25)", {"feed": "new"}),
)


class Unreliable(RateDecider):
    """A law of which a share of the decisions fails."""

    def __init__(self, law: str, failed_share: float) -> None:
        super().__init__(parse_law(law))
        self.failed_share = failed_share

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        """Draw as the law does, and let some fail."""
        decisions = super().decide(exposures, rng)
        failed = rng.random(len(decisions)) < self.failed_share
        return [
            Decision(Outcome.FAILED) if fails else decision
            for decision, fails in zip(decisions, failed, strict=True)
        ]


def coverage(law: str, failed_share: float, seed: int, **settings: object) -> float:
    """Return the share of the points of some runs that lie within the bands of their fit."""
    models = [
        SpreadModel(decider=Unreliable(law, failed_share), rng=100 * seed + run, **settings)
        for run in range(RUNS)
    ]
    data = concat([SpreadData.from_model(model.run(40)) for model in models])
    result = fit(data, parse_law(law))
    return predict_runs(result, data, draws=50, rng=seed).coverage


def main() -> None:
    """Print the table."""
    print(f"| law | settings | {' | '.join(f'failed {share:g}' for share in FAILED)} |")
    print(f"|---|---|{'---|' * len(FAILED)}")
    for law, settings in CASES:
        shares = [
            np.mean([coverage(law, share, seed, **settings) for seed in range(RECORDS)])
            for share in FAILED
        ]
        shown = ", ".join(f"{name}={value}" for name, value in settings.items())
        print(f"| {law} | {shown} | {' | '.join(f'{share:.2f}' for share in shares)} |", flush=True)


if __name__ == "__main__":
    main()
