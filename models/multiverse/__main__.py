"""Wordings beside personalities: ``python -m models.multiverse``."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from typer import Option

from mesa_llmspread.cli.shared import run_app
from mesa_llmspread.experiments.multiverse import multiverse
from mesa_llmspread.experiments.wordings import (
    TEMPLATES,
    at_temperature,
    measure_wordings,
    persona_control,
)
from mesa_llmspread.io import make_folder

# Qwen2.5-Coder-0.5B and 1.5B, SmolLM2-135M, as the store of their answers names them.
MODELS = [
    "gguf:qwen05@1d9614638d18",
    "gguf:qwen15@cc324af070c2",
    "gguf:smollm2@b179c9523d0e",
]
PROFILES = ["OCEAN", "ocean", "Ocean", "oCean", "ocEan", "oceAn", "oceaN", "oCEAN"]
TEMPERATURES = [0.5, 1.0, 1.5]
# Whether the prompt asks for a post and a reason beside the decision.
ANSWERS = {"alone": False, "full": True}
ESTIMATES = ("first", "again", "difference")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    out: Annotated[Path, Option(help="Folder; a multiverse that is there goes on.")] = Path(
        "results/multiverse"
    ),
    model: Annotated[list[str] | None, Option(help="A model to ask, once for each.")] = None,
    sample: Annotated[int, Option(min=2, help="Universes.")] = 512,
    n: Annotated[int, Option(help="Agents.")] = 500,
) -> None:
    """Repeat one analysis over models, wordings, answers, personalities, networks and feeds."""
    # The models were asked about two neighbours; agents with more get that answer.
    os.environ["PYTHONWARNINGS"] = "ignore:more posts than were measured"
    folder = make_folder(out)
    # The calls that come with it are not written over a user's own.
    store, names = folder / ("calls.sqlite" if model else "recorded.sqlite"), []
    if model is None:
        store.write_bytes(gzip.decompress(Path(__file__).with_name("calls.sqlite.gz").read_bytes()))
    for asked in model or MODELS:
        names.append(re.sub(r"^.*[:/]|@.*$|\.gguf$", "", asked))
        means = {}
        for form, words in ANSWERS.items():
            tables = measure_wordings(
                asked,
                store=store,
                mode="record" if model else "replay",
                profiles=PROFILES,
                events=["protests-0"],
                contacts=(0, 2),
                exposure_counts=(1, 3),
                words=words,
            )
            shown = persona_control(tables).drop(columns="event")
            means[form] = shown["mean"]
            typer.echo(
                f"{names[-1]}, answer {form}: without a personality, and with one (mean and SD "
                f"over profiles)\n{shown.to_string(index=False, float_format='{:.3f}'.format)}\n"
            )
            for template in TEMPLATES[:-1]:
                for temperature in TEMPERATURES:
                    path = folder / "tables" / f"{names[-1]}-{template}-{form}-{temperature}"
                    at_temperature(tables[template], temperature).save(path, force=True)
        change = means["full"] - means["alone"]
        typer.echo(
            f"{names[-1]}: a full answer moves P(repost) by {change.mean():+.3f} on average, "
            f"{change.min():+.3f} to {change.max():+.3f}\n"
        )
    found = multiverse(
        {
            "decider": f"table('{folder}/tables/{{model}}-{{template}}-{{form}}-{{temperature}}')",
            "model": names,
            "template": list(TEMPLATES[:-1]),
            "form": list(ANSWERS),
            "temperature": TEMPERATURES,
            "population": [{profile: 1} for profile in PROFILES],
            "network": ["random_regular", "small_world", "scale_free"],
            "k": [4, 8, 12],
            "feed": ["persistent", "new"],
            "n": n,
            "initial_infected": n // 20,
            "event": "protests-0",
        },
        folder / "runs",
        sample=sample,
        steps=30,
    )
    frame = found.frame
    frame.to_csv(folder / "universes.csv", index=False)
    verdicts = pd.crosstab(frame["model"], [frame["template"], frame["verdict"]])
    with pd.option_context("display.width", 200, "display.max_columns", None):
        for estimate in ESTIMATES:
            typer.echo(f"{found.describe(estimate)}\n{found.spread(estimate).round(3)}\n")
            found.plot(estimate).savefig(folder / f"{estimate}.png", dpi=100)
        typer.echo(f"{verdicts}\n\n{pd.crosstab(frame['form'], frame['verdict'])}\n")
    typer.echo(f"universes.csv and figures are in {folder}/.")


if __name__ == "__main__":
    run_app(app)
