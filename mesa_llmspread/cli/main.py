"""The command ``llmspread``."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from mesa_llmspread._validation import checked_int
from mesa_llmspread.cli.llm import (
    personas,
    prompt,
    store_export,
    store_info,
    store_verify,
)
from mesa_llmspread.cli.sweep import sweep_command
from mesa_llmspread.exceptions import (
    ArgumentError,
    InputFileError,
    LLMSpreadError,
    MissingKeyError,
    ServerUnreachableError,
    UnknownNameError,
)
from mesa_llmspread.io import read_settings

if TYPE_CHECKING:
    from mesa_llmspread.data import SpreadData
    from mesa_llmspread.deciders import Decider

__all__ = ["app", "check_output", "keep_unfinished", "main", "run_app"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="How news of offline events spreads among LLM agents, and which law describes it.",
)

store = typer.Typer(no_args_is_help=True, help="Look into a file of kept language-model calls.")
store.command("info")(store_info)
store.command("export")(store_export)
store.command("verify")(store_verify)

Folder = Annotated[Path, typer.Argument(help="Folder of a saved run.")]

# Arguments of a model that a run can be given, and how many steps it takes.
_SETTINGS = (
    "n",
    "k",
    "network",
    "event",
    "population",
    "decider",
    "initial_infected",
    "feed",
    "media_prob",
    "rng",
    "steps",
)


@app.command()
def run(
    out: Annotated[Path, typer.Argument(help="Folder for the record: a new or empty one.")],
    config: Annotated[
        Path | None, typer.Option(help="YAML or JSON file with any of the settings below.")
    ] = None,
    n: Annotated[int | None, typer.Option(help="Agents.  [default: 200]")] = None,
    k: Annotated[int | None, typer.Option(help="Neighbours an agent.  [default: 8]")] = None,
    network: Annotated[
        str | None, typer.Option(help="Kind of network, or an edge list's file.")
    ] = None,
    event: Annotated[str | None, typer.Option(help="Id of a bundled event.")] = None,
    population: Annotated[
        str | None, typer.Option(help="uniform, norms, continuous, or a code such as OceAn.")
    ] = None,
    decider: Annotated[
        str | None, typer.Option(help="traits, a law such as 'SI(0.05)', or llm:MODEL.")
    ] = None,
    api_base: Annotated[
        str | None, typer.Option(help="Address of the language model's server.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option(help="File that keeps its calls, to resume and replay.")
    ] = None,
    template: Annotated[
        str | None, typer.Option(help="Words of its prompts: a name, or a .toml file.")
    ] = None,
    max_calls: Annotated[
        int | None, typer.Option(help="Stop before it is called more often.")
    ] = None,
    max_cost_usd: Annotated[
        float | None, typer.Option(help="Stop before its calls cost more.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what its calls will take.")
    ] = False,
    initial_infected: Annotated[
        int | None, typer.Option(help="Agents who start the news.  [default: 10]")
    ] = None,
    feed: Annotated[str | None, typer.Option(help="persistent or new.")] = None,
    media_prob: Annotated[
        float | None, typer.Option(help="Chance a step of seeing the event itself.")
    ] = None,
    rng: Annotated[int | None, typer.Option(help="Seed.")] = None,
    steps: Annotated[
        int | None, typer.Option(help="Largest number of steps. [default: 50]")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the record in OUT, and all that is beside it.")
    ] = False,
) -> None:
    """Run one model and write its record (SpreadData) into OUT.

    Options on the command line win over those of the file. A run that is stopped leaves OUT as it
    was; the steps that were done are kept beside it, in OUT-partial.
    """
    from mesa_llmspread.data import SpreadData
    from mesa_llmspread.deciders import LLMDecider, language_model
    from mesa_llmspread.model import SpreadModel

    if not dry_run:
        check_output(out, force, store)
    given = {key: value for key, value in locals().items() if key in _SETTINGS}
    settings = {
        **(read_settings(config, _SETTINGS) if config else {}),
        **{key: value for key, value in given.items() if value is not None},
    }
    limit = checked_int("steps", settings.pop("steps", 50), 0)
    _read_network(settings)
    asked = {
        "api_base": api_base,
        "store": store,
        "template": template,
        "max_calls": max_calls,
        "max_cost_usd": max_cost_usd,
    }
    options = {name: value for name, value in asked.items() if value is not None}
    if options or dry_run:
        _check_language_model(settings.get("decider", "traits"), [*options, *["dry_run"] * dry_run])
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
        keep_unfinished(error, data, done, out, model.streams.seed, model.decider)
        raise
    typer.echo(
        f"{model.infected} of {model.n} agents have posted after {model.clock} steps "
        f"(rng={model.streams.seed}); the record is in {out}/"
    )


@app.command()
def fit(
    folder: Folder,
    law: Annotated[
        str | None, typer.Option(help="Fit one law, such as FirstRepeat, instead of all.")
    ] = None,
) -> None:
    """Fit the laws to a record and print the table."""
    from mesa_llmspread.inference import compare
    from mesa_llmspread.inference import fit as fit_one

    data = _with_decisions(folder)
    if law is not None:
        typer.echo(fit_one(data, law).summary())
        return
    comparison = compare(data)
    columns = ["law", "parameters", "n_params", "loglik", "bic", "delta_bic", "weight"]
    table = comparison.table[columns]
    typer.echo(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    typer.echo(f"\n{comparison.verdict}")
    for warning in comparison.warnings:
        typer.echo(f"Note: {warning}")


@app.command()
def report(
    folder: Folder,
    network: Annotated[
        Path | None, typer.Option(help="The edge list, where the run was given one.")
    ] = None,
) -> None:
    """Write figures and report.html beside a record."""
    from mesa_llmspread.analysis.event_analysis import analyse
    from mesa_llmspread.networks import read_edgelist
    from mesa_llmspread.reporting.report import write_report

    data = _with_decisions(folder)
    analysis = analyse(data, read_edgelist(network).network if network else None)
    typer.echo(str(write_report(analysis, folder)))


@app.command()
def cascade(
    folder: Folder,
    number: Annotated[int, typer.Option("--run", help="Which run of the record.")] = 0,
    network: Annotated[
        Path | None, typer.Option(help="The edge list, where the run was given one.")
    ] = None,
) -> None:
    """Describe the tree along which the news travelled in one run."""
    from mesa_llmspread.analysis.cascades import cascade as trace
    from mesa_llmspread.networks import read_edgelist

    data = _with_decisions(folder)
    graph = read_edgelist(network).network if network else None
    typer.echo(trace(data, graph, run=number, rng=0).summary())


@app.command()
def events(
    file: Annotated[
        Path | None, typer.Argument(help="A UCDP GED or ACLED export; the bundled events if none.")
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Show the news texts.")] = False,
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
    code: Annotated[
        str | None, typer.Argument(help="A code such as OceAn: shows its persona.")
    ] = None,
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
app.command("personas")(personas)
app.command("prompt")(prompt)
app.add_typer(store, name="store")


def check_output(out: Path, force: bool, store: Path | None) -> None:
    """Check, before a long run, that its results can be written into a folder.

    Parameters
    ----------
    out : Path
    force : bool
        Whether a record that is there is to be replaced.
    store : Path or None
        File of a language model's calls.

    Raises
    ------
    OutputError
        If the folder cannot be written, or holds something that is not to be replaced.
    ArgumentError
        If the store is in the folder, which is written, or replaced, as a whole.
    """
    from mesa_llmspread.io import check_new_folder

    target = check_new_folder(out, force)
    if store is not None and store.resolve().is_relative_to(target):
        raise ArgumentError("--store", str(store), f"be outside {out}, which is written as a whole")


def keep_unfinished(
    error: BaseException, data: SpreadData | None, done: str, out: Path, rng: int, decider: Decider
) -> None:
    """Save what there is of a run that was stopped, and print where it is and how to go on.

    Parameters
    ----------
    error : BaseException
        What stopped it.
    data : SpreadData or None
        What was done; None if that is nothing.
    done : str
        How much was done, in words.
    out : Path
        Where the whole would have been saved; it stays as it is.
    rng : int
        The seed.
    decider : Decider
    """
    from mesa_llmspread.deciders import LLMDecider
    from mesa_llmspread.io import first_free

    if data is None and not isinstance(error, KeyboardInterrupt):
        return
    kept = "nothing is kept"
    if data is not None:
        with contextlib.suppress(LLMSpreadError):
            kept = f"kept in {data.save(first_free(out.with_name(f'{out.name}-partial')))}/"
    typer.echo(f"\nStopped with {done} done: {kept}; {out} is as it was.", err=True)
    again = f"To do the whole, give the same command again, with --rng {rng}"
    if not isinstance(decider, LLMDecider):
        again += ": it gives the same results"
    elif decider.caller.store is None:
        again += "; with --store FILE no call would be asked, and paid for, twice"
    else:
        again += f" and --store {decider.caller.store.path}: no call that is kept is asked again"
    typer.echo(f"{again}.", err=True)


def _with_decisions(folder: Path) -> SpreadData:
    """Load a record that can be analysed."""
    from mesa_llmspread.data import SpreadData

    data = SpreadData.load(folder)
    if (data.exposures["outcome"] == "failed").all():
        failed = len(data.exposures)
        why = f"all {failed} failed" if failed else "in its steps nobody saw a post"
        raise InputFileError(folder, f"no decisions to analyse: {why}")
    return data


def _check_language_model(decider: Any, options: list[str]) -> None:
    """Raise where options that only a language model has are given to another decider."""
    if not isinstance(decider, str) or not decider.startswith("llm:"):
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in options)
        raise ArgumentError("decider", decider, f"be llm:MODEL with {flags}")


def _read_network(settings: dict[str, Any]) -> None:
    """Read the network where the settings name a file, which brings its own agents."""
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


def run_app(command: typer.Typer) -> NoReturn:
    """Run a command line: errors are one line, and the exit status says which kind.

    0: done. 1: the run itself went wrong. 2: something about the call has to be mended.
    """
    try:
        command()
    except LLMSpreadError as error:
        typer.echo(f"error: {error}", err=True)
        for note in getattr(error, "__notes__", ()):
            typer.echo(note, err=True)
        mend_first = isinstance(error, MissingKeyError | ServerUnreachableError)
        raise SystemExit(1 if isinstance(error, RuntimeError) and not mend_first else 2) from None
    raise SystemExit(0)


def main() -> NoReturn:
    """Run the command ``llmspread``."""
    # As with ``python -m``: parts of one's own are found in the folder that one works in.
    if "" not in sys.path:
        sys.path.insert(0, "")
    run_app(app)
