"""Run the experiment, fit the laws, and write data, figures and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from mesa_llmspread import (
    LLMDecider,
    SpreadData,
    bundled_events,
    concat,
    read_edgelist,
    read_events,
)
from mesa_llmspread.analysis import Analysis, analyse
from mesa_llmspread.cli import run_app
from mesa_llmspread.deciders import as_decider
from mesa_llmspread.deciders.estimate import Estimate, total
from mesa_llmspread.events import select_events
from mesa_llmspread.files import make_folder
from mesa_llmspread.report import figures, save_figures, write_report
from models.armed_conflict.model import ArmedConflict

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run(
    events: Annotated[
        Path | None, typer.Option(help="Your events: a UCDP GED or ACLED export (CSV).")
    ] = None,
    max_events: Annotated[
        int, typer.Option(min=1, help="Of a long file, take this many, balanced over types.")
    ] = 18,
    network: Annotated[
        Path | None, typer.Option(help="Your network: an edge list, plain or gzip.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Let a language model decide: any litellm model name.")
    ] = None,
    api_base: Annotated[
        str | None, typer.Option(help="Address of the model's server, if it is your own.")
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(help="File that keeps the model's calls: run again to go on from it."),
    ] = None,
    max_calls: Annotated[
        int | None, typer.Option(help="Stop before the model is called more often.")
    ] = None,
    max_cost_usd: Annotated[
        float | None, typer.Option(help="Stop before the model's calls cost more.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what the model's calls will take.")
    ] = False,
    decider: Annotated[
        str, typer.Option(help="Who decides without --model: traits, or a law as 'SI(0.05)'.")
    ] = "traits",
    runs: Annotated[int, typer.Option(min=1, help="Runs an event.")] = 5,
    steps: Annotated[int, typer.Option(min=1, help="Largest number of steps of a run.")] = 40,
    n: Annotated[int, typer.Option(help="Agents, where the network is not a file.")] = 200,
    k: Annotated[int, typer.Option(help="Neighbours an agent.")] = 8,
    initial_infected: Annotated[int, typer.Option(help="Agents who start the news.")] = 10,
    feed: Annotated[str, typer.Option(help="persistent, or new: posts are seen once.")] = (
        "persistent"
    ),
    rng: Annotated[int, typer.Option(help="Seed: the same one gives the same results.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path(
        "results/armed_conflict"
    ),
) -> None:
    """News of armed-conflict events spreads among agents with 32 personalities.

    Without options: the bundled events, a trait policy instead of a language model, no key and
    no network. Writes data, figures and report.html.
    """
    graph = read_edgelist(network).network if network else None
    chosen = bundled_events() if events is None else read_events(events)
    experiment = ArmedConflict(
        events=select_events(chosen, max_events, rng),
        runs=runs,
        steps=steps,
        n=n,
        k=k,
        network="random_regular" if graph is None else graph,
        initial_infected=initial_infected,
        feed=feed,
        decider=LLMDecider(
            model,
            api_base=api_base,
            store=store,
            max_calls=max_calls,
            max_cost_usd=max_cost_usd,
        )
        if model
        else as_decider(decider),
        rng=rng,
    )
    if isinstance(experiment.decider, LLMDecider):
        typer.echo(f"{model}: {estimate(experiment, experiment.decider)}", err=not dry_run)
    if dry_run:
        return
    make_folder(out)
    data = simulate(experiment, out)
    with tqdm(total=len(experiment.events), desc="fitting", unit="event", disable=None) as bar:

        def fitted(_: str) -> None:
            bar.update()

        analysis = analyse(data, graph, progress=fitted)
    report = write_report(analysis, save_figures(figures(analysis), out), out / "report.html")
    show(analysis)
    typer.echo(f"\nData, figures and report are in {out}/; open {report} in a browser.")


def estimate(experiment: ArmedConflict, decider: LLMDecider) -> Estimate:
    """Say what the language model's calls will take, before any is made.

    Parameters
    ----------
    experiment : ArmedConflict
    decider : LLMDecider
        Its decider.

    Returns
    -------
    Estimate
        Of all runs together.
    """
    model = next(experiment.models())
    k = int(model.network.degrees.max())
    return total(
        decider.estimate(model.n, experiment.steps, k=k, event=event)
        for event in experiment.events
        for _ in range(experiment.runs)
    )


def simulate(experiment: ArmedConflict, out: Path) -> SpreadData:
    """Do all runs and save their record; what was done before an error is saved too.

    Parameters
    ----------
    experiment : ArmedConflict
    out : Path
        Folder for the record.

    Returns
    -------
    SpreadData
    """
    as_decider(experiment.decider).check()
    records: list[SpreadData] = []
    try:
        for model in tqdm(
            experiment.models(), desc="simulating", total=len(experiment), unit="run", disable=None
        ):
            records.append(SpreadData.from_model(model.run(experiment.steps)))
    finally:
        if records:
            concat(records).save(out)
    return concat(records)


def show(analysis: Analysis) -> None:
    """Print the table of events and the verdict over all.

    Parameters
    ----------
    analysis : Analysis
    """
    table = analysis.table().rename(columns={"final": "final share"})
    typer.echo(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    typer.echo("\nColumns named after curves: root mean square distance from the simulated one.")
    typer.echo("In band: observed points within the 95 % bands that the law predicts.")
    typer.echo(f"All events together: {analysis.overall.verdict}")


def main() -> None:
    """Run the command line."""
    run_app(app)
