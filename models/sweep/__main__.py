"""Run the sweep, fit it, and draw it: ``python -m models.sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mesa_llmspread.cli.shared import run_app
from mesa_llmspread.sweep import Design, fit_cells, run
from mesa_llmspread.sweep.figures import plot_heatmap, plot_rates

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="Folder; a sweep that is there goes on.")] = Path(
        "results/sweep"
    ),
    replicates: Annotated[int, typer.Option(min=1, help="Runs of each combination.")] = 3,
    n: Annotated[int, typer.Option(help="Agents.")] = 200,
    backend: Annotated[str, typer.Option(help="loky, dask or sequential.")] = "loky",
    progress: Annotated[str, typer.Option(help="auto, bar or none.")] = "auto",
) -> None:
    """Sweep degree, event and population with the measured answers of a model."""
    design = Design(
        {
            "n": n,
            "k": [4, 8, 12],
            "event": ["battles-40", "protests-0"],
            "population": ["uniform", "norms"],
        },
        replicates=replicates,
        rng=1,
    )
    sweep = run(design, out, backend=backend, steps=40, progress=progress)  # type: ignore[arg-type]
    rates = fit_cells(sweep, "FirstRepeat")
    shown = ["k", "event", "population", "parameter", "estimate", "low", "high", "n_obs"]
    typer.echo(rates[shown].to_string(index=False, float_format="{:.3g}".format))
    rates.to_csv(out / "rates.csv", index=False)
    plot_rates(fit_cells(sweep, "FirstRepeat", by=["k", "event"]), "k", "event").savefig(
        out / "rates.png", dpi=150
    )
    plot_heatmap(sweep.outcomes(), "k", "event", "final").savefig(out / "final.png", dpi=150)
    typer.echo(f"{sweep}\nrates.csv, rates.png and final.png are in {out}")


if __name__ == "__main__":
    run_app(app)
