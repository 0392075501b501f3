"""Run the experiment, fit the laws, and write data, figures and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from mesa_llmspread import (
    LLMDecider,
    Network,
    SpreadData,
    bundled_events,
    concat,
    read_edgelist,
    read_events,
)
from mesa_llmspread._words import p_words
from mesa_llmspread.analysis.event_analysis import Analysis, analyse
from mesa_llmspread.cli.main import check_output, keep_unfinished, run_app
from mesa_llmspread.deciders import as_decider
from mesa_llmspread.deciders.llm.cost_estimate import CostEstimate as Estimate
from mesa_llmspread.deciders.llm.cost_estimate import total
from mesa_llmspread.events import select_events
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.io import first_free, new_folder
from mesa_llmspread.reporting.report import write_report
from models.armed_conflict.model import ArmedConflict

RESULTS = Path("results/armed_conflict")

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
        str | None,
        typer.Option(
            help="Who decides without --model: traits, or a law as 'SI(0.05)'. [default: traits]"
        ),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs an event.")] = 5,
    steps: Annotated[int, typer.Option(min=1, help="Largest number of steps of a run.")] = 40,
    n: Annotated[
        int | None, typer.Option(help="Agents, where the network is not a file. [default: 200]")
    ] = None,
    k: Annotated[
        int | None,
        typer.Option(help="Neighbours per agent, where it is not a file. [default: 8]"),
    ] = None,
    initial_infected: Annotated[int, typer.Option(help="Agents who start the news.")] = 10,
    feed: Annotated[str, typer.Option(help="persistent, or new: posts are seen once.")] = (
        "persistent"
    ),
    rng: Annotated[int, typer.Option(help="Seed: the same one gives the same results.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the results, a new or empty one.  [default: results/armed_conflict, "
            "or the first of -2, -3, ... that is free]"
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the results that are in the folder.")
    ] = False,
) -> None:
    """News of armed-conflict events spreads among agents with 32 personalities.

    Without options: the bundled events, a trait policy instead of a language model, no key and
    no network. Writes data, figures and report.html, at the end and all at once; runs that were
    done before it is stopped are kept beside them, in a folder whose name ends in -partial.
    """
    options = {
        "api_base": api_base,
        "store": store,
        "max_calls": max_calls,
        "max_cost_usd": max_cost_usd,
    }
    if model is None:
        _refuse({**options, "dry_run": dry_run or None}, "stand with --model")
    else:
        _refuse({"decider": decider}, "be left out with --model, which decides")
    if network is not None:
        _refuse({"n": n, "k": k}, "be left out with --network, which sets agents and neighbours")
    if out is None:
        out = RESULTS if force else first_free(RESULTS)
    if not dry_run:
        check_output(out, force, store)
    edges = read_edgelist(network) if network else None
    chosen = bundled_events() if events is None else read_events(events)
    experiment = ArmedConflict(
        events=select_events(chosen, max_events, rng),
        runs=runs,
        steps=steps,
        n=200 if n is None else n,
        k=8 if k is None else k,
        network="random_regular" if edges is None else edges,
        initial_infected=initial_infected,
        feed=feed,
        decider=as_decider(decider or "traits") if model is None else LLMDecider(model, **options),  # type: ignore[arg-type]
        rng=rng,
    )
    if isinstance(experiment.decider, LLMDecider):
        name = experiment.decider.client.model
        typer.echo(f"{name}: {estimate(experiment, experiment.decider)}", err=not dry_run)
    if dry_run:
        return
    as_decider(experiment.decider).check()
    records: list[SpreadData] = []
    try:
        simulate(experiment, records)
        analysis = analyse_all(concat(records), edges.network if edges else None)
        with new_folder(out, force) as new:
            analysis.data.save(new)
            write_report(analysis, new)
    except BaseException as error:
        data = concat(records) if records else None
        done = f"{len(records)} of {len(experiment)} runs"
        keep_unfinished(error, data, done, out, rng, as_decider(experiment.decider))
        raise
    show(analysis)
    typer.echo(
        f"\nData, figures and report are in {out}/; open {out / 'report.html'} in a browser."
    )


def _refuse(options: dict[str, Any], allowed: str) -> None:
    """Raise where an option is given that would do nothing."""
    for name, value in options.items():
        if value is not None:
            shown = str(value) if isinstance(value, Path) else value
            raise ArgumentError(f"--{name.replace('_', '-')}", shown, allowed)


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


def simulate(experiment: ArmedConflict, records: list[SpreadData]) -> None:
    """Do all runs.

    Parameters
    ----------
    experiment : ArmedConflict
    records : list of SpreadData
        Gets the record of each run as soon as it is done.
    """
    for model in tqdm(
        experiment.models(), desc="simulating", total=len(experiment), unit="run", disable=None
    ):
        records.append(SpreadData.from_model(model.run(experiment.steps)))


def analyse_all(data: SpreadData, network: Network | None) -> Analysis:
    """Fit the laws, with a bar that counts events.

    Parameters
    ----------
    data : SpreadData
    network : Network or None
        The network, if it was given.

    Returns
    -------
    Analysis
    """
    events = len({info.event.event_id for info in data.info.values()})
    with tqdm(total=events, desc="fitting", unit="event", disable=None) as bar:

        def fitted(_: str) -> None:
            bar.update()

        return analyse(data, network, progress=fitted)


def show(analysis: Analysis) -> None:
    """Print the table of events and the verdict over all.

    Parameters
    ----------
    analysis : Analysis
    """
    table = analysis.table().rename(columns={"law": "law", "final": "final share"})
    fits = [p_words(part.comparison.table["fit_p_value"].iloc[0]) for part in analysis.events]
    table.insert(2, "goodness of fit", fits)
    typer.echo(table.to_string(index=False, na_rep="–", float_format=lambda value: f"{value:.3f}"))
    typer.echo("\nColumns named after curves: root mean square distance from the simulated one.")
    typer.echo("In band: observed points within the 95 % bands that the law predicts.")
    typer.echo(f"All events together: {analysis.verdict}")


def main() -> None:
    """Run the command line."""
    run_app(app)
