"""Run the experiment, fit the laws, and write data, figures and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm
from typer import Option

from mesa_llmspread import (
    LLMDecider,
    Network,
    SpreadData,
    analyse,
    bundled_events,
    concat,
    read_edgelist,
    read_events,
    write_report,
)
from mesa_llmspread._words import p_words
from mesa_llmspread.analysis.event_analysis import Analysis
from mesa_llmspread.cli.shared import (
    ApiBase,
    Force,
    MaxCalls,
    MaxCost,
    OnlyEstimate,
    StoreFile,
    check_output,
    given,
    keep_unfinished,
    run_app,
)
from mesa_llmspread.deciders import as_decider
from mesa_llmspread.deciders.llm.cost_estimate import CostEstimate as Estimate
from mesa_llmspread.deciders.llm.cost_estimate import total
from mesa_llmspread.events import select_events
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.io import first_free, new_folder
from models.armed_conflict.model import ArmedConflict

RESULTS = Path("results/armed_conflict")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run(
    events: Annotated[
        Path | None, Option(help="Your events: a UCDP GED or ACLED export (CSV).")
    ] = None,
    max_events: Annotated[
        int, Option(min=1, help="How many events of a long file, balanced over types.")
    ] = 18,
    network: Annotated[
        Path | None, Option(help="Your network: an edge list, plain or gzip.")
    ] = None,
    model: Annotated[
        str | None, Option(help="The model that decides: a name of litellm, or gguf:PATH.")
    ] = None,
    api_base: ApiBase = None,
    store: StoreFile = None,
    max_calls: MaxCalls = None,
    max_cost_usd: MaxCost = None,
    dry_run: OnlyEstimate = False,
    decider: Annotated[
        str | None,
        Option(help="Who decides without --model: traits (default), or a law as 'SI(0.05)'."),
    ] = None,
    runs: Annotated[int, Option(min=1, help="Runs per event.")] = 5,
    steps: Annotated[int, Option(min=1, help="Largest number of steps of a run.")] = 40,
    n: Annotated[
        int | None, Option(help="Agents, where the network is not a file (default: 200).")
    ] = None,
    k: Annotated[
        int | None, Option(help="Neighbours per agent, where it is not a file (default: 8).")
    ] = None,
    initial_infected: Annotated[int, Option(help="Agents who start the news.")] = 10,
    feed: Annotated[str, Option(help="persistent, or new: posts are seen once.")] = "persistent",
    rng: Annotated[int, Option(help="Seed: the same seed has the same results.")] = 1,
    out: Annotated[
        Path | None,
        Option(
            help="Folder for the results, a new or empty one (default: results/armed_conflict, "
            "or the first of -2, -3, ... that is free)."
        ),
    ] = None,
    force: Force = False,
) -> None:
    """News of armed-conflict events spreads among agents with 32 personalities.

    Without options: the bundled events, a measured table instead of a running language model, no
    key and no network. Writes data, figures and report.html, at the end and all at once; runs
    that were done before it is stopped are kept beside them, in a folder whose name ends in
    -partial.
    """
    options = given(api_base=api_base, store=store, max_calls=max_calls, max_cost_usd=max_cost_usd)
    if model is None:
        _refuse({**options, **given(dry_run=dry_run or None)}, "stand with --model")
    else:
        _refuse(given(decider=decider), "be left out with --model, which decides")
    sizes = given(n=n, k=k)
    if network is not None:
        _refuse(sizes, "be left out with --network, which sets agents and neighbours")
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
        **sizes,
        network="random_regular" if edges is None else edges,
        initial_infected=initial_infected,
        feed=feed,
        decider=as_decider(decider or "table") if model is None else LLMDecider(model, **options),
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
        shown = str(value) if isinstance(value, Path) else value
        raise ArgumentError(f"--{name.replace('_', '-')}", shown, allowed)


def estimate(experiment: ArmedConflict, decider: LLMDecider) -> Estimate:
    """Estimate the language model's calls and their cost, before any is made.

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
        The record of each run is appended as soon as it is done.
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
    table = analysis.table().rename(columns={"final": "final share"})
    fits = [p_words(part.comparison.table["fit_p_value"].iloc[0]) for part in analysis.events]
    table.insert(2, "goodness of fit", fits)
    typer.echo(table.to_string(index=False, na_rep="–", float_format="{:.3f}".format))
    typer.echo("\nColumns named after curves: root mean square distance from the simulated one.")
    typer.echo("In band: observed points within the 95 % bands that the law predicts.")
    typer.echo(f"All events together: {analysis.verdict}")
    for note in analysis.notes:
        typer.echo(f"Note: {note}")


def main() -> None:
    """Run the command line."""
    run_app(app)
