"""The paper's study with real language models: ``python -m models.real_models``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from typer import Option

from mesa_llmspread import LLMDecider, SpreadData, SpreadModel
from mesa_llmspread.cli.shared import ApiBase, MaxCalls, run_app
from mesa_llmspread.events import get_event
from mesa_llmspread.experiments.agent_by_agent import against_table
from mesa_llmspread.experiments.real_models import account_shares, study
from mesa_llmspread.experiments.real_models_report import write_report
from mesa_llmspread.io import make_folder
from mesa_llmspread.tables import DEFAULT_TABLE, table_names

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    out: Annotated[Path, Option(help="Folder for report, tables and figures.")] = Path(
        "results/real_models"
    ),
    runs: Annotated[int, Option(min=2, help="Runs per event.")] = 5,
    live: Annotated[
        str | None, Option(help="A model that decides agent by agent, instead of all else.")
    ] = None,
    api_base: ApiBase = None,
    max_calls: MaxCalls = None,
    table: Annotated[str, Option(help="The table of that model.")] = DEFAULT_TABLE,
    event: Annotated[str, Option(help="The event of that run.")] = "protests-0",
    n: Annotated[int, Option(min=20, help="Agents of that run.")] = 100,
    steps: Annotated[int, Option(min=1, help="Most steps of that run.")] = 15,
    posts: Annotated[
        bool, Option(help="Quote posts and ask for words, where the table asked for neither.")
    ] = False,
    rng: Annotated[int, Option(help="Seed.")] = 1,
) -> None:
    """Repeat the paper's study for every shipped table of a real language model."""
    folder = make_folder(out)
    if live is not None:
        detail = "posts" if posts else "counts"
        store = folder / f"{table}-{detail}.sqlite"
        decider = LLMDecider(live, api_base, feed_detail=detail, store=store, max_calls=max_calls)
        typer.echo(str(decider.estimate(n, steps, event=get_event(event))), err=True)
        run = SpreadModel(n=n, initial_infected=n // 20, event=event, decider=decider, rng=rng)
        data = SpreadData.from_model(run.run(steps))
        typer.echo(str(against_table(data, table)))
        return
    studies, accounts = [], []
    for name in table_names():
        typer.echo(f"{name} ...", err=True)
        studies.append(study(name, runs=runs, rng=rng))
        accounts.append(account_shares(name, rng=rng).assign(model=name))
    typer.echo(write_report(studies, pd.concat(accounts), folder))
    typer.echo(f"\nReport, tables and figures are in {folder}/.")


if __name__ == "__main__":
    run_app(app)
