r"""A run that a model decided agent by agent, beside its own probabilities and its table's.

Where a run differs from what the model's table expects, is the table wrong, or was it chance? The
run is replayed from its calls; then the model is asked once more at every exposure, for its own
P(repost) by log-probabilities, so that nothing is drawn.

    python benchmarks/bench_own_chances.py --model gguf:qwen15.gguf --table qwen2.5-coder-1.5b \
        --calls tests/data/qwen2.5-coder-1.5b-counts.sqlite.gz
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
from pathlib import Path

import numpy as np
from _measure import machine, table

from mesa_llmspread import LLMDecider, Profile, SpreadData, SpreadModel, TableDecider
from mesa_llmspread.deciders import Exposure
from mesa_llmspread.inference.decisions import Log


def main(model: str, name: str, calls: Path, event: str, seed: int) -> None:
    print(machine(), model)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "calls.sqlite"
        store.write_bytes(gzip.decompress(calls.read_bytes()))
        decider = LLMDecider(model, feed_detail="counts", store=store, mode="replay")
        run = SpreadModel(n=100, initial_infected=5, event=event, decider=decider, rng=seed)
        data = SpreadData.from_model(run.run(15))
    asking = LLMDecider(model, feed_detail="counts", sampling="logprobs")
    asking = asking.for_run(1, np.random.default_rng(1))
    profiles = data.agents.set_index("agent")["profile"]
    asked = []
    for made in data.exposures.itertuples():
        profile = Profile.from_code(profiles[made.agent])
        place = (made.contacts, made.cumulative, made.exposure_count, bool(made.direct))
        seen = Exposure(made.step, made.agent, profile, run.event, *place)
        asked.append(asking.call(seen, asking.prompt(seen), "own"))
    with asking.caller.step(len(asked), asked):
        own = np.array([call.repost_prob for call in asking.caller.ask(asked)], float)
    law = TableDecider(name, events="strict").law(run.event)
    log = Log(data)
    first, p = log.seen.exposure_count == 1, law.prob(log.seen)
    rows = []
    for kind, of in {"first": first, "later": ~first, "all": first | ~first}.items():
        reposts, z = log.repost[of].sum(), []
        for chance in (own[of], p[of]):
            sd = np.sqrt((chance * (1 - chance)).sum())
            z += [f"{chance.sum():.1f}", f"{(reposts - chance.sum()) / sd:+.1f}"]
        rows.append((kind, f"{of.sum()}", f"{reposts:.0f}", *z))
    table(
        "Reposts, and what the model's own probabilities and its table's expect",
        ("", "decisions", "reposts", "own", "z", "table", "z"),
        rows,
    )
    apart = np.abs(p - own)
    print(f"|table - own|: {apart.mean():.3f} on average, {apart.max():.3f} at most")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="gguf:PATH, or any with log-probabilities")
    parser.add_argument("--table", required=True, help="the model's table")
    parser.add_argument("--calls", type=Path, required=True, help="the run's calls (.sqlite.gz)")
    parser.add_argument("--event", default="protests-0")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    main(options.model, options.table, options.calls, options.event, options.seed)
