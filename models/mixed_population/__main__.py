"""Populations with and without automated accounts: ``python -m models.mixed_population``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from mesa_llmspread import compare
from mesa_llmspread.cli.shared import run_app
from mesa_llmspread.experiments.mixed_population import reach, simulate_shares
from mesa_llmspread.io import make_folder

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

SHARES = (0.0, 0.1, 0.3)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="Folder for the figure.")] = Path(
        "results/mixed_population"
    ),
    people: Annotated[
        str, typer.Option(help="Who decides for people: a law or any decider.")
    ] = "FirstRepeat(0.08, 0.02)",
    runs: Annotated[int, typer.Option(min=1, help="Runs per share.")] = 10,
    steps: Annotated[int, typer.Option(min=1, help="Steps per run.")] = 40,
    n: Annotated[int, typer.Option(min=20, help="Agents.")] = 500,
    rng: Annotated[int, typer.Option(help="Seed.")] = 1,
) -> None:
    """Show how automated accounts change when people post, and which law is found then."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    found = simulate_shares(people, SHARES, runs, steps, n, rng)
    for share, data in tqdm(found, total=len(SHARES), desc="shares", disable=None):
        curves = reach(data, steps)
        mean = curves.mean()
        half = mean.index[mean >= 0.5]
        when = f"half of them by step {half[0]}" if len(half) else "never half of them"
        typer.echo(f"{share:.0%} automated: {mean.iloc[-1]:.0%} of the people have posted, {when}.")
        typer.echo(f"  All decisions together: {compare(data).verdict}")
        axes.plot(mean.index, mean, label=f"{share:.0%} automated accounts")
        axes.fill_between(mean.index, curves.min(), curves.max(), alpha=0.2)
    axes.set(xlabel="step", ylabel="share of the people who have posted", ylim=(0, 1))
    axes.legend(frameon=False)
    path = make_folder(out) / "reach.png"
    figure.savefig(path, dpi=150)
    typer.echo(f"\nBands: range of {runs} runs. The figure is {path}")


if __name__ == "__main__":
    run_app(app)
