"""One recorded run, as a process that can be killed: ``drill_run.py ADDRESS STORE OUT AGENTS``."""

from __future__ import annotations

import sys
from pathlib import Path

from mesa_llmspread.data import SpreadData
from mesa_llmspread.deciders import LLMDecider
from mesa_llmspread.model import SpreadModel


def main(address: str, store: str, out: str, agents: str) -> None:
    """Run the model and save its record."""
    decider = LLMDecider("openai/tiny", address, store=store, max_concurrency=8)
    model = SpreadModel(n=int(agents), k=6, decider=decider, rng=11).run(steps=8)
    SpreadData.from_model(model).save(Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
