"""The same kind of sweep by Mesa's own ``batch_run``: ``python -m models.sweep.batch``."""

from __future__ import annotations

from typing import Annotated

import typer
from mesa.batchrunner import batch_run

from mesa_llmspread import SpreadData, SpreadModel, compare
from mesa_llmspread.cli.shared import run_app

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    n: Annotated[int, typer.Option(help="Agents.")] = 200,
    processes: Annotated[int, typer.Option(help="Processes.")] = 2,
) -> None:
    """Run two laws at two degrees, and ask which law the decisions of each run follow."""
    rows = batch_run(
        SpreadModel,
        {"n": n, "k": [4, 8], "decider": ["SI(0.05)", "FirstRepeat(0.2, 0.04)"], "rng": 1},
        number_processes=processes,
        max_steps=50,
        display_progress=False,
    )
    data = SpreadData.from_batch_run(rows)
    truth = {row["RunId"]: row for row in rows}
    for run, number in zip(data.runs, sorted(truth), strict=True):
        best = compare(data.select([run]))
        row = truth[number]
        typer.echo(f"k={row['k']}, {row['decider']}: {best.verdict}")


if __name__ == "__main__":
    run_app(app)
