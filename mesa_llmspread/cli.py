"""The command ``llmspread``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from mesa_llmspread.deciders.commands import (
    personas,
    prompt,
    store_export,
    store_info,
    store_verify,
)
from mesa_llmspread.exceptions import (
    ArgumentError,
    InputFileError,
    LLMSpreadError,
    MissingKeyError,
    ServerUnreachableError,
    UnknownNameError,
)
from mesa_llmspread.sweep.command import sweep_command

if TYPE_CHECKING:
    from mesa_llmspread.deciders.llm import LLMDecider

__all__ = ["app", "main", "run_app"]

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
    "broadcast",
    "rng",
    "steps",
)


@app.command()
def run(
    out: Annotated[Path, typer.Argument(help="Folder for the record.")],
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
    broadcast: Annotated[
        float | None, typer.Option(help="Chance a step of seeing the event itself.")
    ] = None,
    rng: Annotated[int | None, typer.Option(help="Seed.")] = None,
    steps: Annotated[
        int | None, typer.Option(help="Largest number of steps. [default: 50]")
    ] = None,
) -> None:
    """Run one model and write its record (SpreadData) into OUT.

    Options on the command line win over those of the file.
    """
    from mesa_llmspread.data import SpreadData
    from mesa_llmspread.deciders import LLMDecider
    from mesa_llmspread.files import make_folder
    from mesa_llmspread.model import SpreadModel
    from mesa_llmspread.networks import read_edgelist

    given = {key: value for key, value in locals().items() if key in _SETTINGS}
    settings = {
        **(_read_settings(config) if config else {}),
        **{key: value for key, value in given.items() if value is not None},
    }
    limit = settings.pop("steps", 50)
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise ArgumentError("steps", limit, "be a whole number")
    if isinstance(settings.get("network"), str) and Path(settings["network"]).is_file():
        settings["network"] = read_edgelist(settings["network"]).network
    asked = {
        "api_base": api_base,
        "store": store,
        "template": template,
        "max_calls": max_calls,
        "max_cost_usd": max_cost_usd,
    }
    if options := {name: value for name, value in asked.items() if value is not None}:
        settings["decider"] = _language_model(settings.get("decider"), options)
    model = SpreadModel(**settings)
    if isinstance(model.decider, LLMDecider) and limit > 0:
        most = int(model.network.degrees.max())
        expected = model.decider.estimate(model.n, limit, k=max(1, most), event=model.event)
        typer.echo(f"{model.decider.endpoint.model}: {expected}", err=not dry_run)
    if dry_run:
        return
    make_folder(out)
    model.decider.check()
    try:
        with typer.progressbar(length=limit, label="steps", file=sys.stderr) as bar:
            while model.running and model.clock < limit:
                model.step()
                bar.update(1)
    finally:
        # Of a run that an error ends, what was done before it.
        SpreadData.from_model(model).save(out)
    typer.echo(
        f"{model.infected} of {model.n} agents have posted after {model.clock} steps "
        f"(rng={model.streams.seed}); the record is in {out}/"
    )


@app.command()
def fit(
    folder: Folder,
    structure: Annotated[
        str | None, typer.Option(help="Fit one law, such as FirstRepeat, instead of all.")
    ] = None,
) -> None:
    """Fit the laws to a record and print the table."""
    from mesa_llmspread.data import SpreadData
    from mesa_llmspread.meanfield import compare
    from mesa_llmspread.meanfield import fit as fit_one

    data = SpreadData.load(folder)
    if structure is not None:
        typer.echo(fit_one(data, structure).summary())
        return
    comparison = compare(data)
    columns = ["structure", "parameters", "n_params", "loglik", "bic", "delta_bic", "weight"]
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
    from mesa_llmspread.analysis import analyse
    from mesa_llmspread.data import SpreadData
    from mesa_llmspread.networks import read_edgelist
    from mesa_llmspread.report import figures, save_figures, write_report

    data = SpreadData.load(folder)
    analysis = analyse(data, read_edgelist(network).network if network else None)
    pictures = save_figures(figures(analysis), folder)
    typer.echo(str(write_report(analysis, pictures, folder / "report.html")))


@app.command()
def cascade(
    folder: Folder,
    number: Annotated[int, typer.Option("--run", help="Which run of the record.")] = 0,
    network: Annotated[
        Path | None, typer.Option(help="The edge list, where the run was given one.")
    ] = None,
) -> None:
    """Describe the tree along which the news travelled in one run."""
    from mesa_llmspread.cascade import cascade as trace
    from mesa_llmspread.data import SpreadData
    from mesa_llmspread.networks import read_edgelist

    data = SpreadData.load(folder)
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


def _language_model(decider: Any, options: dict[str, Any]) -> LLMDecider:
    """Make the decider of a language model with options of its own."""
    from mesa_llmspread.deciders import language_model

    if not isinstance(decider, str) or not decider.startswith("llm:"):
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in options)
        mend = f"be llm:MODEL with {flags}"
        raise ArgumentError("decider", decider, mend)
    return language_model(decider, **options)


def _read_settings(path: Path) -> dict[str, Any]:
    """Read a run's settings from a YAML or JSON file."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        settings = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise InputFileError(path, error.strerror or "cannot be read") from error
    except (ValueError, yaml.YAMLError) as error:
        place = getattr(error, "problem_mark", None)
        row = place.line + 1 if place else getattr(error, "lineno", None)
        raise InputFileError(path, "is not valid YAML or JSON", row=row) from error
    if not isinstance(settings, dict):
        raise InputFileError(path, "must hold settings by name, such as 'n: 500'")
    for name in settings:
        if name not in _SETTINGS:
            raise InputFileError(path, str(UnknownNameError("setting", name, _SETTINGS)))
    return settings


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
    run_app(app)
