"""How often the tests of traits reject where nothing is to be found, and where something is.

Many synthetic records of each truth go through ``trait_effects``. ``python
benchmarks/bench_traits.py`` prints every truth; name some of them to run the study in parts, and
``--records`` to make it shorter. What it printed is kept in ``docs/traits.md``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
from _measure import machine

from mesa_llmspread import OfflineEvent, RunInfo, SpreadData, bundled_events, trait_effects
from mesa_llmspread.networks import random_regular
from mesa_llmspread.profiles import Trait, codes, trait_levels

N, K, STARTERS, STEPS = 200, 8, 10, 60

TRAITS = [trait.value for trait in Trait]
LEVELS, CODES = trait_levels(), np.array(codes())

# Three events of each of the six types.
EVENTS = tuple(bundled_events())

Slopes = Callable[[OfflineEvent, np.random.Generator], npt.NDArray[np.float64]]


def no_effect(event: OfflineEvent, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return slopes of the log hazard where no trait has an effect."""
    return np.zeros(5)


def extraversion(ratio: float, event_type: str = "", spread: float = 0.0) -> Slopes:
    """Return slopes with an effect of extraversion, on one event type or all."""

    def slopes(event: OfflineEvent, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        found = np.zeros(5)
        found[2] = spread * rng.normal()
        if event_type in ("", event.event_type):
            found[2] += np.log(ratio)
        return found

    return slopes


@dataclass(frozen=True)
class Truth:
    """What decisions are made by: rates per contact, and what makes agents and runs differ."""

    runs: int = 5
    first: float = 0.06
    repeat: float = 0.06
    run_sd: float = 0.0
    frailty: float = 0.0
    failed: float = 0.0
    slopes: Slopes = field(default=no_effect)


TRUTHS: dict[str, Truth] = {
    "one run": Truth(runs=1),
    "five runs": Truth(),
    "runs differ": Truth(runs=18, run_sd=0.6),
    "frailty": Truth(frailty=1.0),
    "one run, frailty": Truth(runs=1, frailty=1.0),
    "FirstRepeat": Truth(first=0.2, repeat=0.04),
    "failures": Truth(failed=0.2),
    "extraversion 1.6": Truth(slopes=extraversion(1.6)),
    "extraversion 1.6, one run": Truth(runs=1, slopes=extraversion(1.6)),
    "extraversion 1.15": Truth(slopes=extraversion(1.15)),
    "Riots 1.2, runs differ": Truth(runs=18, run_sd=0.6, slopes=extraversion(1.2, "Riots")),
    "slopes differ by event": Truth(runs=18, slopes=extraversion(1.0, spread=0.3)),
}


def run_of(
    truth: Truth, run: int, rng: np.random.Generator
) -> tuple[dict[str, npt.NDArray[np.generic]], OfflineEvent]:
    """Run the stochastic model in array code; return the columns of its decisions."""
    event = EVENTS[run % len(EVENTS)]
    neighbours = random_regular(N, K, rng).indices.reshape(N, K)
    profile = rng.integers(0, 32, N)
    factor = np.exp(LEVELS[profile] @ truth.slopes(event, rng) + truth.run_sd * rng.normal())
    if truth.frailty:
        factor = factor * rng.gamma(1 / truth.frailty, truth.frailty, N)
    hazards = -np.log1p([-truth.first, -truth.repeat])
    posted = np.zeros(N, dtype=bool)
    posted[rng.choice(N, STARTERS, replace=False)] = True
    occasions, parts = np.zeros(N, dtype=np.int64), []
    for step in range(1, STEPS + 1):
        contacts = posted[neighbours].sum(axis=1)
        seeing = np.flatnonzero(~posted & (contacts > 0))
        failed = rng.random(len(seeing)) < truth.failed
        hazard = hazards[np.minimum(occasions[seeing], 1)] * contacts[seeing] * factor[seeing]
        repost = ~failed & (rng.random(len(seeing)) < -np.expm1(-hazard))
        outcome = np.select([failed, repost], ["failed", "repost"], "decline")
        count = occasions[seeing] + 1
        parts.append((np.full(len(seeing), step), seeing, contacts[seeing], count, outcome))
        occasions[seeing[~failed]] += 1
        posted[seeing[repost]] = True
    names = ("step", "agent", "contacts", "exposure_count", "outcome")
    columns = dict(zip(names, map(np.concatenate, zip(*parts, strict=True)), strict=True))
    columns["profile"] = CODES[profile[columns["agent"]]]
    columns["run"] = np.full(len(columns["agent"]), run)
    return columns, event


def record(truth: Truth, seed: int) -> SpreadData:
    """Return a record of the runs of a truth."""
    rng = np.random.default_rng([seed, truth.runs])
    runs = [run_of(truth, run, rng) for run in range(truth.runs)]
    exposures = pd.concat([pd.DataFrame(columns) for columns, _ in runs], ignore_index=True)
    empty = dict.fromkeys(("post", "reason", "key"), "")
    exposures = exposures.assign(
        event="synthetic", cumulative=exposures["contacts"], direct=False, **empty
    )
    counts = pd.DataFrame({"run": range(len(runs)), "step": 0, "susceptible": N - STARTERS})
    counts = counts.assign(infected=STARTERS, new_infected=0, exposures=0, failed=0)
    info = {
        run: RunInfo(N, K, events=(event,), population="uniform")
        for run, (_, event) in enumerate(runs)
    }
    return SpreadData(exposures, counts, info)


def study(truth: Truth, records: int, permutations: int) -> pd.DataFrame:
    """Return the share of records in which each test rejects at 5 %, and each interval holds."""
    tables = []
    for seed in range(records):
        found = trait_effects(record(truth, seed), permutations=permutations, rng=seed)
        tests = found.tests
        rejected = (tests["p_value"] <= 0.05).astype(float)
        joint = (tests["trait"] == "all traits").map({True: "all traits", False: ""})
        extravert = (tests["trait"] == "extraversion").map({True: "extraversion", False: "others"})
        riots = (tests["event_type"] == "Riots").map({True: " Riots", False: ""})
        label = tests["test"] + riots + " of " + joint.where(joint != "", extravert)
        shares = rejected.groupby(label).mean()
        shares["any, Holm"] = float((tests["p_holm"] <= 0.05).any())
        table = found.table.set_index("term")
        covered = (table["low"] <= 1) & (table["high"] >= 1)
        shares["interval misses 1, extraversion"] = 1.0 - covered["extraversion"]
        shares["interval misses 1, others"] = 1.0 - covered[TRAITS].drop("extraversion").mean()
        tables.append(shares)
    every = pd.DataFrame(tables)
    return pd.DataFrame({"share": every.mean(), "error": every.std() / np.sqrt(len(every))})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truths", nargs="*", default=list(TRUTHS), help=", ".join(TRUTHS))
    parser.add_argument("--records", type=int, default=1000, help="synthetic records of each")
    parser.add_argument("--permutations", type=int, default=499)
    arguments = parser.parse_args()
    print(machine())
    for name in arguments.truths:
        start = time.process_time()
        shares = study(TRUTHS[name], arguments.records, arguments.permutations)
        print(f"\n### {name}: {arguments.records} records\n")
        print(shares.round(3).to_string(), flush=True)
        print(f"{time.process_time() - start:.0f} s of CPU time")


if __name__ == "__main__":
    main()
