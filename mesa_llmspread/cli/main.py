"""The command ``llmspread``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer import Argument, Option

from mesa_llmspread._words import counted
from mesa_llmspread.cli import shared
from mesa_llmspread.cli.demo import demo
from mesa_llmspread.cli.llm import measure, personas, prompt, store_app
from mesa_llmspread.cli.plan import plan
from mesa_llmspread.cli.shared import Force, NetworkFile, OnlyEstimate, given, read_decisions
from mesa_llmspread.cli.sweep import sweep_command
from mesa_llmspread.exceptions import ArgumentError, UnknownNameError
from mesa_llmspread.io import read_settings

if TYPE_CHECKING:
    from mesa_llmspread.data import SpreadData
    from mesa_llmspread.model import SpreadModel

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="How news of offline events spreads among LLM agents, and which law describes it.",
)
# Options that are arguments of the model, with the number of steps, and of a language model.
_SETTINGS = (
    *("n", "k", "network", "event", "population", "decider", "initial_infected", "feed"),
    *("visibility", "media_prob", "rng", "steps"),
)
_LANGUAGE = ("api_base", "store", "template", "max_calls", "max_cost_usd", "max_failed")
_NETWORKS = "random_regular, small_world, scale_free, or a file of edges"
_POPULATIONS = "uniform, norms (as in people), continuous, or a code such as OceAn"

Folder = Annotated[Path, Argument(help="Folder of a saved run.")]


def _print_version(asked: bool) -> None:
    """Print the version, and end."""
    if asked:
        from importlib.metadata import version

        typer.echo(version("mesa_llmspread"))
        raise typer.Exit


app.command()(demo)


@app.callback()
def options(
    version: Annotated[
        bool, Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the command itself."""


@app.command()
def run(
    out: Annotated[Path, Argument(help="Folder for the record: a new or empty one.")],
    config: Annotated[Path | None, Option(help="YAML or JSON file of the settings below.")] = None,
    n: Annotated[int | None, Option(help="Agents (default: 200).")] = None,
    k: Annotated[int | None, Option(help="Neighbours per agent (default: 8).")] = None,
    network: Annotated[str | None, Option(help=f"{_NETWORKS} (default: random_regular).")] = None,
    event: Annotated[str | None, Option(help="Id of a bundled event (default: the first).")] = None,
    events: shared.EventFile = None,
    max_events: shared.MaxEvents = None,
    runs: Annotated[int, Option(min=1, help="Runs per event.")] = 1,
    population: Annotated[str | None, Option(help=f"{_POPULATIONS} (default: uniform).")] = None,
    decider: Annotated[
        str | None, Option(help=f"Who decides: {shared.DECIDERS} (default: table).")
    ] = None,
    initial_infected: Annotated[int | None, Option(help="Starting agents (default: 10).")] = None,
    feed: Annotated[
        str | None, Option(help="persistent, or new: posts are seen once (default: persistent).")
    ] = None,
    visibility: Annotated[
        str | None, Option(help="How long posts are visible, such as 'Visibility(3)'.")
    ] = None,
    media_prob: Annotated[
        float | None, Option(help="Chance per step to see the event itself (default: 0).")
    ] = None,
    rng: shared.Seed = None,
    steps: shared.Steps = None,
    api_base: shared.ApiBase = None,
    store: shared.StoreFile = None,
    template: shared.Template = None,
    max_calls: shared.MaxCalls = None,
    max_cost_usd: shared.MaxCost = None,
    max_failed: shared.MaxFailed = None,
    dry_run: OnlyEstimate = False,
    force: Force = False,
) -> None:
    """Run a model, once or several times, and write the record (SpreadData) into OUT.

    Options on the command line override those of the file. With --runs or
    --events the runs have the seeds RNG, RNG + 1, ..., and are one record. A
    run that is stopped leaves OUT as it was; what was done is kept beside it,
    in OUT-partial.
    """
    values = given(**locals())
    from mesa_llmspread._validation import checked_int
    from mesa_llmspread.deciders import TableDecider, as_decider, language_model
    from mesa_llmspread.deciders.table import drawn_from
    from mesa_llmspread.events import as_event
    from mesa_llmspread.model import SpreadModel
    from mesa_llmspread.rng import as_seed

    if not dry_run:
        shared.check_output(out, force, store)
    settings = read_settings(config, _SETTINGS) if config else {}
    settings |= {name: values[name] for name in _SETTINGS if name in values}
    limit = checked_int("steps", settings.pop("steps", 50), 0)
    seed = as_seed(settings.pop("rng", None))
    one = settings.pop("event", None)
    if events:
        shared.refuse({"event": one}, "be left out with --events, which names a file")
    else:
        shared.refuse({"max_events": max_events}, "stand with --events")
    _read_network(settings)
    given_decider = settings.pop("decider", "table")
    language = {name: values[name] for name in _LANGUAGE if name in values}
    if language or dry_run:
        _check_language_model(given_decider, [*language, *(["dry_run"] if dry_run else [])])
    who = language_model(given_decider, **language) if language else as_decider(given_decider)
    chosen = shared.read_study(events, max_events, seed) if events else (as_event(one),)

    def models() -> Iterator[SpreadModel]:
        for i in range(len(chosen) * runs):
            yield SpreadModel(**settings, decider=who, event=chosen[i // runs], rng=seed + i)

    shared.show_estimate(models, chosen, runs, limit, seed, dry_run)
    if dry_run:
        return
    who.check()

    def finish(data: SpreadData) -> None:
        data.save(out, force=force)
        posted = [int(curve["infected"].iloc[-1]) for _, curve in data.counts.groupby("run")]
        many = f" in {len(posted)} runs" if len(posted) > 1 else ""
        typer.echo(
            f"{sum(posted)} of {len(data.agents)} agents have posted after "
            f"{counted(int(data.counts['step'].max()), 'step')}{many} (rng={seed}); "
            f"the record is in {out}/"
        )

    shared.record_runs(models(), len(chosen) * runs, limit, finish, out=out, rng=seed)
    if isinstance(who, TableDecider):
        typer.echo(f"Decisions are {drawn_from(who.table.info)}.")


@app.command()
def fit(
    folders: Annotated[list[Path], Argument(help="Folders of saved runs, fitted together.")],
    law: Annotated[
        list[str] | None,
        Option(help="Only this law, such as FirstRepeat; may be repeated, to compare some."),
    ] = None,
) -> None:
    """Fit the laws to one or several records and print the table."""
    from mesa_llmspread.inference import compare
    from mesa_llmspread.inference import fit as fit_one

    data = read_decisions(*folders)
    if law and len(law) == 1:
        typer.echo(fit_one(data, law[0]).summary())
        return
    comparison = compare(data, law) if law else compare(data)
    table = comparison.table[["law", "parameters", "loglik", "bic", "delta_bic", "weight"]]
    table = table.assign(weight=table["weight"].map("{:.3f}".format))
    table = table.rename(columns={"loglik": "log L", "bic": "BIC", "delta_bic": "ΔBIC"})
    shared.print_table(table, ".1f")
    typer.echo(f"\n{comparison.verdict}")
    for warning in comparison.warnings:
        typer.echo(f"Note: {warning}")


@app.command("app", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def page(context: typer.Context) -> None:
    """Open the page in a browser: watch news spread, and a law being fitted to it.

    Options are those of `solara run`: --port 8765, --host localhost, --no-open,
    --production, ...
    """
    from solara.__main__ import cli

    cli.main(["run", "mesa_llmspread.app.main", "--no-check-version", *context.args])


@app.command()
def report(folder: Folder, network: NetworkFile = None) -> None:
    """Write figures and report.html beside a record."""
    from mesa_llmspread.reporting.report import write_report

    graph, command = shared.read_network(network), shared.command_line()
    page = write_report(read_decisions(folder), folder, network=graph, command=command)
    typer.echo(str(page))


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
        shown = ["event_id", "date", "event_type", "location", "country", "fatalities"]
        shared.print_table(events_frame(listed)[shown].rename(columns={"fatalities": "killed"}))


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
app.command()(plan)
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
