"""The parts of the command line about language models: prompts, kept calls and personas."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer

from mesa_llmspread._words import counted
from mesa_llmspread.deciders.llm.store import DecisionStore
from mesa_llmspread.exceptions import InputFileError

__all__ = ["personas", "prompt", "store_export", "store_info", "store_verify"]

Template = Annotated[
    str, typer.Option(help="Words of the prompts: a name that is known, or a .toml file.")
]
StoreFile = Annotated[Path, typer.Argument(help="File of a decision store.")]


def store_info(file: StoreFile) -> None:
    """Say what a decision store holds."""
    with _opened(file) as store:
        info = store.info()
    for name, value in info.items():
        typer.echo(f"{name.replace('_', ' ')}: {_plain(value)}")


def store_export(
    file: StoreFile,
    out: Annotated[Path, typer.Argument(help="A file that ends in .csv, .jsonl or .parquet.")],
) -> None:
    """Write all calls of a decision store into a file for other programs."""
    with _opened(file) as store:
        store.export(out)
    typer.echo(str(out))


def store_verify(file: StoreFile) -> None:
    """Look for damage in a decision store; the exit status is 2 where there is some."""
    with _opened(file) as store:
        faults = store.verify()
        calls = store.info()["calls"]
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InputFileError(file, f"{faults[0].removeprefix(f'{file}, ')}{more}")
    typer.echo(f"{file}: {calls} calls, all as they were written")


def personas(
    model: Annotated[str, typer.Option(help="litellm's name of the model.")],
    api_base: Annotated[str | None, typer.Option(help="Address of its server.")] = None,
    repeats: Annotated[int, typer.Option(help="Questionnaires a profile.")] = 1,
    store: Annotated[Path | None, typer.Option(help="File that keeps the calls.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for personas.csv and .png.")] = None,
    rng: Annotated[int, typer.Option(help="Seed.")] = 0,
    template: Template = "standard",
) -> None:
    """See whether a model plays the 32 personalities: a questionnaire for each."""
    from mesa_llmspread.deciders.llm.decider import LLMDecider
    from mesa_llmspread.deciders.llm.persona_check import check_personas
    from mesa_llmspread.io import make_folder, write_whole

    decider = LLMDecider(model, api_base, store=store, template=template)
    folder = None if out is None else make_folder(out)
    check = check_personas(decider, repeats, rng)
    typer.echo(check.table.to_string(index=False, float_format=lambda value: f"{value:.2f}"))
    if check.failed:
        verb = "was" if check.failed == 1 else "were"
        typer.echo(f"\n{counted(check.failed, 'questionnaire')} {verb} not answered:")
        typer.echo(check.failures.to_string(index=False))
    if folder is not None:
        picture = io.BytesIO()
        check.figure().savefig(picture, format="png", dpi=150)
        write_whole(folder / "personas.csv", check.scores.to_csv(index=False).encode())
        write_whole(folder / "personas.png", picture.getvalue())
        typer.echo(f"scores and figure are in {folder}/")


def prompt(
    template: Template = "standard",
    event: Annotated[str | None, typer.Option(help="Id of a bundled event.")] = None,
    profile: Annotated[str, typer.Option(help="A code such as OceAn.")] = "OceAn",
    post: Annotated[
        list[str] | None,
        typer.Option(help="Words of a post in the feed; give one for each post."),
    ] = None,
    before: Annotated[int, typer.Option(help="Times the news was seen before.")] = 0,
) -> None:
    """Show what a language model is told when it decides for an agent.

    Without a post the agent has seen the event itself, in the media. The code around what is
    quoted is shown as zeros; in a run it is another one in every prompt.
    """
    from mesa_llmspread._validation import checked_int
    from mesa_llmspread.deciders.base import Exposure, Post
    from mesa_llmspread.deciders.llm.prompts import SHOWN_MARKER, build_messages, with_marker
    from mesa_llmspread.deciders.llm.template import as_template
    from mesa_llmspread.events import bundled_events, get_event
    from mesa_llmspread.profiles import Profile

    posts = tuple(Post(author, 0, words) for author, words in enumerate(post or (), start=1))
    exposure = Exposure(
        step=1,
        agent=0,
        profile=Profile.from_code(profile),
        event=bundled_events()[0] if event is None else get_event(event),
        contacts=len(posts),
        cumulative=len(posts),
        exposure_count=checked_int("before", before, least=0) + 1,
        direct=not posts,
        posts=posts,
    )
    messages = build_messages(exposure, as_template(template))
    for message in with_marker(messages, SHOWN_MARKER):
        typer.echo(f"--- {message['role']} ---\n{message['content']}\n")


def _opened(file: Path) -> DecisionStore:
    """Open a store that is there; looking must not make one."""
    if not file.is_file():
        raise InputFileError(file, "is no file")
    return DecisionStore(file)


def _plain(value: object) -> str:
    """Show a value of :meth:`DecisionStore.info`."""
    if value is None:
        return "unknown"
    if isinstance(value, dict):
        return ", ".join(f"{number} {name}" for name, number in value.items()) or "none"
    return str(value)
