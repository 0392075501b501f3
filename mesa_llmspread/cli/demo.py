"""The command ``llmspread demo``: the paper's experiment, from its runs to a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from mesa_llmspread.cli import shared

if TYPE_CHECKING:
    from mesa_llmspread.analysis.event_analysis import Analysis
    from mesa_llmspread.data import SpreadData

__all__ = ["app", "demo", "main", "show"]

# Headings of the table of curves.
_SHORT = {
    "mean-field ODE": "ODE",
    "mean-field map": "map",
    "pair approximation": "pair",
    "master equations": "master",
    "stochastic model": "stochastic",
}
_CURVES = """
fit: p-value of the law's goodness of fit.

Final share that has posted; distance of each curve (mean-field ODE and map,
pair approximation, master equations, stochastic model) from the simulated one,
root mean square; share of observed points in the law's 95 % bands:
"""
RESULTS = Path("results/armed_conflict")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def demo(
    events: shared.EventFile = None,
    max_events: shared.MaxEvents = None,
    network: Annotated[
        Path | None, Option(help="Your network: an edge list, plain or gzip.")
    ] = None,
    model: Annotated[
        str | None, Option(help="The model that decides: a name of litellm, or gguf:PATH.")
    ] = None,
    api_base: shared.ApiBase = None,
    store: shared.StoreFile = None,
    max_calls: shared.MaxCalls = None,
    max_cost_usd: shared.MaxCost = None,
    max_failed: shared.MaxFailed = None,
    dry_run: shared.OnlyEstimate = False,
    decider: Annotated[
        str | None,
        Option(help=f"Who decides without --model: {shared.DECIDERS} (default: table)."),
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
    force: shared.Force = False,
) -> None:
    """Run the paper's experiment: news of armed conflict among agents with 32 personalities.

    Without options: the bundled events, a measured table instead of a running
    language model, no key and no network. Writes data, figures and report.html,
    at the end and all at once; runs that were done before it is stopped are
    kept beside them, in a folder whose name ends in -partial.
    """
    options = shared.given(
        api_base=api_base,
        store=store,
        max_calls=max_calls,
        max_cost_usd=max_cost_usd,
        max_failed=max_failed,
    )
    if model is None:
        shared.refuse({**options, "dry_run": dry_run or None}, "stand with --model")
    else:
        shared.refuse({"decider": decider}, "be left out with --model, which decides")
    sizes = shared.given(n=n, k=k)
    if network is not None:
        shared.refuse(sizes, "be left out with --network, which sets agents and neighbours")
    from mesa_llmspread.deciders import LLMDecider, as_decider
    from mesa_llmspread.experiments.event_study import EventStudy
    from mesa_llmspread.io import first_free, new_folder
    from mesa_llmspread.networks import read_edgelist

    if out is None:
        out = RESULTS if force else first_free(RESULTS)
    if not dry_run:
        shared.check_output(out, force, store)
    edges = read_edgelist(network) if network else None
    chosen = shared.read_study(events, max_events, rng)
    who = as_decider(decider or "table") if model is None else LLMDecider(model, **options)
    settings = {
        **sizes,
        "network": edges or "random_regular",
        "initial_infected": initial_infected,
        "feed": feed,
        "decider": who,
    }
    study = EventStudy(chosen, runs, rng, settings)
    shared.show_estimate(study.models, chosen, runs, steps, rng, dry_run)
    if dry_run:
        return
    who.check()
    analyses: list[Analysis] = []

    def finish(data: SpreadData) -> None:
        from mesa_llmspread.analysis.event_analysis import analyse
        from mesa_llmspread.reporting.report import write_report

        with shared.progress(len(chosen), "fitting, events") as advance:
            graph = edges.network if edges else None

            def fitted(_: str) -> None:
                advance(1)

            analyses.append(analyse(data, graph, progress=fitted))
        with new_folder(out, force) as new:
            data.save(new)
            write_report(analyses[0], new, network=graph, command=shared.command_line())

    shared.record_runs(study.models(), len(study), steps, finish, out=out, rng=rng)
    show(analyses[0])
    typer.echo(
        f"\nData, figures and report are in {out}/; open {out / 'report.html'} in a browser."
    )


def show(analysis: Analysis) -> None:
    """Print the law and the curves of each event, and the verdict over all.

    Parameters
    ----------
    analysis : Analysis
    """
    from mesa_llmspread._words import p_words

    table = analysis.table()
    fits = [p_words(part.fit_p_value) for part in analysis.events]
    shared.print_table(table[["event", "law"]].assign(fit=fits, rates=table["rates"]))
    typer.echo(_CURVES)
    distances = table.drop(columns=["law", "rates"]).rename(columns=_SHORT)
    shared.print_table(distances)
    typer.echo(f"\nAll events together: {analysis.verdict}")
    for note in analysis.notes:
        typer.echo(f"Note: {note}")


def main() -> None:
    """Run the command line."""
    shared.run_app(app)
