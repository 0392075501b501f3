"""The commands about language models: prompts, kept calls and personas."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from mesa_llmspread._words import counted
from mesa_llmspread.cli import shared
from mesa_llmspread.cli.shared import ApiBase, StoreFile, Template, given
from mesa_llmspread.exceptions import ArgumentError, InputFileError
from mesa_llmspread.io import make_folder, write_whole

if TYPE_CHECKING:
    from mesa_llmspread.deciders import DecisionStore

__all__ = ["measure", "personas", "prompt", "store_app"]

Calls = Annotated[Path, Argument(help="File of a decision store.")]
Model = Annotated[str, Option(help="A model of litellm, gguf:PATH, or smollm2.")]
Seed = Annotated[int, Option(help="Seed of all random draws.")]

store_app = typer.Typer(no_args_is_help=True, help="Show a file of kept language-model calls.")


@store_app.command("info")
def store_info(file: Calls) -> None:
    """Print what a decision store holds."""
    with _opened(file) as store:
        info = store.info()
    for name, value in info.items():
        typer.echo(f"{name.replace('_', ' ')}: {_plain(value)}")


@store_app.command("export")
def store_export(
    file: Calls,
    out: Annotated[Path, Argument(help="A file that ends in .csv, .jsonl or .parquet.")],
) -> None:
    """Write all calls of a decision store into a file for other programs."""
    with _opened(file) as store:
        store.export(out)
    typer.echo(str(out))


@store_app.command("verify")
def store_verify(file: Calls) -> None:
    """Look for damage in a decision store; the exit status is 2 where there is some."""
    with _opened(file) as store:
        faults = store.verify()
        calls = store.info()["calls"]
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InputFileError(file, f"{faults[0].removeprefix(f'{file}, ')}{more}")
    typer.echo(f"{file}: {counted(calls, 'call')}, all as they were written")


def personas(
    model: Model,
    api_base: ApiBase = None,
    repeats: Annotated[int, Option(help="Questionnaires per profile.")] = 1,
    store: StoreFile = None,
    out: Annotated[Path | None, Option(help="Folder for personas.csv and .png.")] = None,
    rng: Seed = 0,
    template: Template = None,
) -> None:
    """Test whether a model plays the 32 personalities, with a questionnaire for each."""
    from mesa_llmspread.deciders import LLMDecider
    from mesa_llmspread.deciders.llm.persona_check import check_personas

    decider = LLMDecider(model, api_base, **given(store=store, template=template))
    folder = None if out is None else make_folder(out)
    check = check_personas(decider, repeats, rng)
    shared.print_table(check.table, ".2f")
    if check.failed:
        verb = "was" if check.failed == 1 else "were"
        typer.echo(f"\n{counted(check.failed, 'questionnaire')} {verb} not answered:")
        shared.print_table(check.failures)
    if folder is not None:
        write_whole(folder / "personas.csv", check.scores.to_csv(index=False).encode())
        _write_figure(folder / "personas.png", check.figure())
        typer.echo(f"scores and figure are in {folder}/")


def measure(
    model: Model,
    out: Annotated[Path, Option(help="Folder for the table and its picture.")],
    event: Annotated[list[str] | None, Option(help="Id of an event, once for each.")] = None,
    profile: Annotated[list[str] | None, Option(help="A code, once for each.")] = None,
    contacts: Annotated[str, Option(help="Neighbours in view; 0: only the media.")] = "0,1,2,4,8",
    exposure_counts: Annotated[str, Option(help="Occasions; 1 is the first.")] = "1,2,4",
    draws: Annotated[int | None, Option(help="Answers per cell (default: logprobs).")] = None,
    words: Annotated[bool, Option("--words", help="Ask for words too; read the decision.")] = False,
    rng: Seed = 0,
    api_base: ApiBase = None,
    store: StoreFile = None,
    template: Template = None,
    max_calls: shared.MaxCalls = None,
    max_cost_usd: shared.MaxCost = None,
    dry_run: shared.OnlyEstimate = False,
    force: shared.Force = False,
) -> None:
    """Measure how a model responds: P(repost) by profile, event and occasion.

    Without --event and --profile, all bundled events and all 32 profiles are
    measured. Writes a response table into OUT, which a run can use without the
    model, as --decider "table('OUT')". Calls are kept in OUT-calls.sqlite if no
    store is given: after an interruption, run it again.
    """
    from mesa_llmspread.deciders import LLMDecider
    from mesa_llmspread.deciders.llm.measure import DRAWS, Experiment
    from mesa_llmspread.reporting.table_figures import plot_table

    if store is None and not dry_run:
        store = Path(f"{out}-calls.sqlite")
    options = given(store=store, template=template, max_calls=max_calls, max_cost_usd=max_cost_usd)
    decider = LLMDecider(model, api_base, **options)
    numbers = (_numbers("contacts", contacts), _numbers("exposure_counts", exposure_counts))
    experiment = Experiment(decider, profile or None, event or None, *numbers, draws, rng, words)
    if not dry_run:
        shared.check_output(out, force, store)
    cells = counted(len(experiment.exposures), "cell")
    more = f" ({DRAWS} answers per cell, if the server has no log-probabilities)"
    more = more if experiment.may_draw else ""
    typer.echo(f"{decider.client.model}: {cells}; {experiment.estimate()}{more}", err=not dry_run)
    if dry_run:
        return
    table = experiment.run()
    table.save(out, force=force)
    _write_figure(out / "table.png", plot_table(table))
    typer.echo(f"{table.describe()}\nThe table is in {out}/, the calls are in {store}")


def prompt(
    template: Template = None,
    event: Annotated[str | None, Option(help="Id of a bundled event.")] = None,
    profile: Annotated[str, Option(help="A code such as OceAn.")] = "OceAn",
    post: Annotated[list[str] | None, Option(help="Text of a post, once for each.")] = None,
    before: Annotated[int, Option(help="How often the news was seen before.")] = 0,
) -> None:
    """Print the prompt of a language model that decides for an agent.

    Without a post the agent has seen the event itself, in the media. The code
    around quoted text is printed as zeros; in a run every prompt has another
    code.
    """
    from mesa_llmspread._validation import checked_int
    from mesa_llmspread.deciders.base import Exposure, Post
    from mesa_llmspread.deciders.llm.prompts import SHOWN_MARKER, build_messages, with_markers
    from mesa_llmspread.deciders.llm.template import as_template
    from mesa_llmspread.events import as_event
    from mesa_llmspread.profiles import Profile

    posts = tuple(Post(author, 0, words) for author, words in enumerate(post or (), start=1))
    exposure = Exposure(
        step=1,
        agent=0,
        profile=Profile.from_code(profile),
        event=as_event(event),
        contacts=len(posts),
        cumulative=len(posts),
        exposure_count=checked_int("before", before, least=0) + 1,
        direct=not posts,
        posts=posts,
    )
    messages = build_messages(exposure, as_template(template or "standard"))
    for message in with_markers(messages, SHOWN_MARKER, SHOWN_MARKER):
        typer.echo(f"--- {message['role']} ---\n{message['content']}\n")


def _write_figure(path: Path, figure: Any) -> None:
    """Write a figure as PNG."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150)
    write_whole(path, picture.getvalue())


def _numbers(name: str, text: str) -> list[int]:
    """Return the numbers of an option such as '0,1,8'."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError as error:
        raise ArgumentError(name, text, "be numbers such as 0,1,8") from error


def _opened(file: Path) -> DecisionStore:
    """Open a store that is there, without creating one."""
    from mesa_llmspread.deciders import DecisionStore

    if not file.is_file():
        raise InputFileError(file, "is not a file")
    return DecisionStore(file)


def _plain(value: object) -> str:
    """Return the text of a value of :meth:`DecisionStore.info`."""
    if value is None:
        return "unknown"
    if isinstance(value, dict):
        return ", ".join(f"{number} {name}" for name, number in value.items()) or "none"
    return str(value)
