"""The command ``llmspread``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer import Argument, Option

from mesa_llmspread._validation import checked_int
from mesa_llmspread.cli import shared
from mesa_llmspread.cli.llm import measure, personas, prompt, store_app
from mesa_llmspread.cli.shared import Force, NetworkFile, OnlyEstimate, given, read_decisions
from mesa_llmspread.cli.sweep import sweep_command
from mesa_llmspread.exceptions import ArgumentError, UnknownNameError
from mesa_llmspread.io import read_settings

__all__ = ["app", "main"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="How news of offline events spreads among LLM agents, and which law describes it.",
)
# Options that are arguments of the model, with the number of steps, and of a language model.
_SETTINGS = (
    *("n", "k", "network", "event", "population", "decider", "initial_infected", "feed"),
    *("media_prob", "rng", "steps"),
)
_LANGUAGE = ("api_base", "store", "template", "max_calls", "max_cost_usd")

Folder = Annotated[Path, Argument(help="Folder of a saved run.")]


@app.command()
def run(
    out: Annotated[Path, Argument(help="Folder for the record: a new or empty one.")],
    config: Annotated[Path | None, Option(help="YAML or JSON file of the settings below.")] = None,
    n: Annotated[int | None, Option(help="Agents (default: 200).")] = None,
    k: Annotated[int | None, Option(help="Neighbours per agent (default: 8).")] = None,
    network: Annotated[str | None, Option(help="Kind of network, or a file of edges.")] = None,
    event: Annotated[str | None, Option(help="Id of a bundled event.")] = None,
    population: Annotated[str | None, Option(help="uniform, norms, continuous or a code.")] = None,
    decider: Annotated[str | None, Option(help="table, traits, a law or llm:MODEL.")] = None,
    initial_infected: Annotated[int | None, Option(help="Starting agents (default: 10).")] = None,
    feed: Annotated[str | None, Option(help="persistent or new.")] = None,
    media_prob: Annotated[float | None, Option(help="Chance per step to see the event.")] = None,
    rng: shared.Seed = None,
    steps: shared.Steps = None,
    api_base: shared.ApiBase = None,
    store: shared.StoreFile = None,
    template: shared.Template = None,
    max_calls: shared.MaxCalls = None,
    max_cost_usd: shared.MaxCost = None,
    dry_run: OnlyEstimate = False,
    force: Force = False,
) -> None:
    """Run one model and write its record (SpreadData) into OUT.

    A law is named with its rates, such as 'SI(0.05)'. Options on the command line override those
    of the file. A run that is stopped leaves OUT as it was; the steps that were done are kept
    beside it, in OUT-partial.
    """
    values = given(**locals())
    from mesa_llmspread.data import SpreadData
    from mesa_llmspread.deciders import LLMDecider, TableDecider, language_model
    from mesa_llmspread.deciders.table import drawn_from
    from mesa_llmspread.model import SpreadModel

    if not dry_run:
        shared.check_output(out, force, store)
    settings = read_settings(config, _SETTINGS) if config else {}
    settings |= {name: values[name] for name in _SETTINGS if name in values}
    limit = checked_int("steps", settings.pop("steps", 50), 0)
    _read_network(settings)
    options = {name: values[name] for name in _LANGUAGE if name in values}
    if options or dry_run:
        _check_language_model(settings.get("decider", "table"), [*options, *["dry_run"] * dry_run])
    if options:
        settings["decider"] = language_model(settings["decider"], **options)
    model = SpreadModel(**settings)
    if isinstance(model.decider, LLMDecider) and limit > 0:
        most = int(model.network.degrees.max())
        expected = model.decider.estimate(model.n, limit, k=max(1, most), event=model.event)
        typer.echo(f"{model.decider.client.model}: {expected}", err=not dry_run)
    if dry_run:
        return
    model.decider.check()
    try:
        with typer.progressbar(length=limit, label="steps", file=sys.stderr) as bar:
            while model.running and model.clock < limit:
                model.step()
                bar.update(1)
        SpreadData.from_model(model).save(out, force=force)
    except BaseException as error:
        data = SpreadData.from_model(model) if model.clock else None
        done = f"{model.clock} of {limit} steps"
        shared.keep_unfinished(error, data, done, out, model.streams.seed, model.decider)
        raise
    typer.echo(
        f"{model.infected} of {model.n} agents have posted after {model.clock} steps "
        f"(rng={model.streams.seed}); the record is in {out}/"
    )
    if isinstance(model.decider, TableDecider):
        typer.echo(f"Decisions are {drawn_from(model.decider.table.info)}.")


@app.command()
def fit(
    folder: Folder,
    law: Annotated[str | None, Option(help="Only this law, such as FirstRepeat.")] = None,
) -> None:
    """Fit the laws to a record and print the table."""
    from mesa_llmspread.inference import compare
    from mesa_llmspread.inference import fit as fit_one

    data = read_decisions(folder)
    if law is not None:
        typer.echo(fit_one(data, law).summary())
        return
    comparison = compare(data)
    columns = ["law", "parameters", "n_params", "loglik", "bic", "delta_bic", "weight"]
    typer.echo(comparison.table[columns].to_string(index=False, float_format="{:.3f}".format))
    typer.echo(f"\n{comparison.verdict}")
    for warning in comparison.warnings:
        typer.echo(f"Note: {warning}")


@app.command()
def report(folder: Folder, network: NetworkFile = None) -> None:
    """Write figures and report.html beside a record."""
    from mesa_llmspread.analysis.event_analysis import analyse
    from mesa_llmspread.reporting.report import write_report

    analysis = analyse(read_decisions(folder), shared.read_network(network))
    typer.echo(str(write_report(analysis, folder)))


@app.command()
def cascade(
    folder: Folder,
    number: Annotated[int, Option("--run", help="Which run of the record.")] = 0,
    network: NetworkFile = None,
) -> None:
    """Describe the tree along which the news travelled in one run."""
    from mesa_llmspread.analysis.cascades import cascade as trace

    found = trace(read_decisions(folder), shared.read_network(network), run=number, rng=0)
    typer.echo(found.summary())


@app.command()
def events(
    file: Annotated[Path | None, Argument(help="A file of UCDP GED or ACLED.")] = None,
    text: Annotated[bool, Option("--text", help="Show the news texts.")] = False,
) -> None:
    """List events: the bundled ones, or those of a file."""
    from mesa_llmspread.events import bundled_events, events_frame, read_events

    listed = bundled_events() if file is None else read_events(file)
    if text:
        for event in listed:
            typer.echo(f"{event.event_id}: {event.text}")
    else:
        typer.echo(events_frame(listed).to_string(index=False))


@app.command()
def profiles(
    code: Annotated[str | None, Argument(help="A code such as OceAn: shows its persona.")] = None,
) -> None:
    """List the 32 personality profiles and their shares in people."""
    from mesa_llmspread.profiles import Profile, all_profiles, norm_shares

    if code is not None:
        typer.echo(Profile.from_code(code).describe())
        return
    typer.echo("code   share in people")
    for profile, share in zip(all_profiles(), norm_shares(), strict=True):
        typer.echo(f"{profile.code}  {share:6.1%}")


app.command("sweep")(sweep_command)
app.command()(measure)
app.command()(personas)
app.command()(prompt)
app.add_typer(store_app, name="store")


def _check_language_model(decider: Any, options: list[str]) -> None:
    """Raise where options that only a language model has are given to another decider."""
    if not isinstance(decider, str) or not decider.startswith("llm:"):
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in options)
        raise ArgumentError("decider", decider, f"be llm:MODEL with {flags}")


def _read_network(settings: dict[str, Any]) -> None:
    """Read the network where the settings name a file, which sets the number of agents."""
    from mesa_llmspread.networks import NETWORKS, read_edgelist

    network = settings.get("network")
    if not isinstance(network, str) or network in NETWORKS:
        return
    if not Path(network).exists():
        known = (*NETWORKS, "the file of an edge list (there is no such file)")
        raise UnknownNameError("network", network, known)
    for name in ("n", "k"):
        if name in settings:
            allowed = f"be left out with network={network!r}, which sets agents and neighbours"
            raise ArgumentError(name, settings[name], allowed)
    settings["network"] = read_edgelist(network)
    if isinstance(settings.get("initial_infected"), list):
        # Names of nodes are text in a file of edges, and may look like numbers.
        settings["initial_infected"] = [str(node) for node in settings["initial_infected"]]


def main() -> NoReturn:
    """Run the command ``llmspread``."""
    # As with ``python -m``: parts of one's own are found in the working folder.
    if "" not in sys.path:
        sys.path.insert(0, "")
    shared.run_app(app)
