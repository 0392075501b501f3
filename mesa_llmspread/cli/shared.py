"""What several commands share: options, folders for results, and errors in one line."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer import Option

from mesa_llmspread.exceptions import (
    ArgumentError,
    InputFileError,
    LLMSpreadError,
    MissingKeyError,
    ServerUnreachableError,
)
from mesa_llmspread.io import check_new_folder, first_free

if TYPE_CHECKING:
    from mesa_llmspread.data import SpreadData
    from mesa_llmspread.deciders import Decider
    from mesa_llmspread.networks import Network

__all__ = [
    *("ApiBase", "Force", "MaxCalls", "MaxCost", "NetworkFile", "OnlyEstimate", "Seed", "Steps"),
    *("StoreFile", "Template", "check_output", "given", "keep_unfinished", "read_decisions"),
    *("read_network", "run_app"),
]

Seed = Annotated[int | None, Option(help="Seed of all random draws.")]
Steps = Annotated[int | None, Option(help="Largest number of steps (default: 50).")]
ApiBase = Annotated[str | None, Option(help="Address of the language model's server.")]
StoreFile = Annotated[Path | None, Option(help="File that keeps its calls, to resume and replay.")]
Template = Annotated[str | None, Option(help="Template of its prompts: a name, or a .toml file.")]
MaxCalls = Annotated[int | None, Option(help="Stop before it is called more often.")]
MaxCost = Annotated[float | None, Option(help="Stop before its calls cost more.")]
OnlyEstimate = Annotated[bool, Option("--dry-run", help="Only estimate calls and their cost.")]
Force = Annotated[bool, Option("--force", help="Replace a record in OUT, and all files beside it.")]
NetworkFile = Annotated[Path | None, Option(help="The run's edge list, if it had one.")]


def given(**options: Any) -> dict[str, Any]:
    """Return the options that have a value."""
    return {name: value for name, value in options.items() if value is not None}


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
    target = check_new_folder(out, force)
    if store is not None and store.resolve().is_relative_to(target):
        raise ArgumentError("--store", str(store), f"be outside {out}, which is written as a whole")


def keep_unfinished(
    error: BaseException, data: SpreadData | None, done: str, out: Path, rng: int, decider: Decider
) -> None:
    """Save the finished part of a run that was stopped, and print how to go on.

    Parameters
    ----------
    error : BaseException
        What stopped it.
    data : SpreadData or None
        The finished part; None if no step is finished.
    done : str
        How much was done, in words.
    out : Path
        Where the whole would have been saved; it stays as it is.
    rng : int
        The seed.
    decider : Decider
    """
    from mesa_llmspread.deciders import LLMDecider

    if data is None and not isinstance(error, KeyboardInterrupt):
        return
    kept = "nothing is kept"
    if data is not None:
        with contextlib.suppress(LLMSpreadError):
            kept = f"kept in {data.save(first_free(out.with_name(f'{out.name}-partial')))}/"
    typer.echo(f"\nStopped with {done} done: {kept}; {out} is as it was.", err=True)
    more = ": the results will be the same"
    if isinstance(decider, LLMDecider):
        more = "; with --store FILE no call would be made, and paid for, twice"
        if store := decider.caller.store:
            more = f" and --store {store.path}: no call that is kept is made again"
    typer.echo(f"To finish, run the same command again, with --rng {rng}{more}.", err=True)


def read_decisions(folder: Path) -> SpreadData:
    """Read a record that can be analysed; raise InputFileError if it has no decisions."""
    from mesa_llmspread.data import SpreadData

    data = SpreadData.load(folder)
    if (data.exposures["outcome"] == "failed").all():
        failed = len(data.exposures)
        why = f"all {failed} failed" if failed else "in its steps nobody saw a post"
        raise InputFileError(folder, f"has no decisions to analyse: {why}")
    return data


def read_network(file: Path | None) -> Network | None:
    """Read the network of a run from its edge list, if there is one."""
    from mesa_llmspread.networks import read_edgelist

    return read_edgelist(file).network if file else None


def run_app(command: typer.Typer) -> NoReturn:
    """Run a command line: errors are one line, and the exit status tells their kind.

    0: done. 1: the run itself went wrong. 2: something about the call has to be fixed.
    """
    try:
        command()
    except LLMSpreadError as error:
        typer.echo(f"error: {error}", err=True)
        for note in getattr(error, "__notes__", ()):
            typer.echo(note, err=True)
        fix_first = isinstance(error, MissingKeyError | ServerUnreachableError)
        raise SystemExit(1 if isinstance(error, RuntimeError) and not fix_first else 2) from None
    raise SystemExit(0)
