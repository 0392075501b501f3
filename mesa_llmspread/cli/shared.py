"""What several commands share: options, folders for results, and errors in one line."""

from __future__ import annotations

import contextlib
import math
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer import Option

from mesa_llmspread._words import counted
from mesa_llmspread.exceptions import (
    ArgumentError,
    InputFileError,
    LLMSpreadError,
    MissingKeyError,
    ServerUnreachableError,
)
from mesa_llmspread.io import check_new_folder, first_free

if TYPE_CHECKING:
    import pandas as pd

    from mesa_llmspread.data import SpreadData
    from mesa_llmspread.deciders import Decider, LLMDecider
    from mesa_llmspread.events import OfflineEvent
    from mesa_llmspread.model import SpreadModel
    from mesa_llmspread.networks import Network

__all__ = [
    *("DECIDERS", "ApiBase", "EventFile", "Force", "MaxCalls", "MaxCost", "MaxEvents"),
    *("MaxFailed", "NetworkFile", "OnlyEstimate", "Seed", "Steps", "StoreFile", "Template"),
    *("check_output", "command_line", "given"),
    *("print_table", "progress", "read_decisions", "read_network", "read_study", "record_runs"),
    *("refuse", "run_app", "show_estimate"),
]

#: Kinds of deciders, in the help of options.
DECIDERS = "table, traits, llm:MODEL, or a law with its rates such as 'SI(0.05)'"

Seed = Annotated[int | None, Option(help="Seed of all random draws.")]
Steps = Annotated[int | None, Option(help="Largest number of steps (default: 50).")]
ApiBase = Annotated[str | None, Option(help="Address of the language model's server.")]
StoreFile = Annotated[Path | None, Option(help="File that keeps its calls, to resume and replay.")]
Template = Annotated[str | None, Option(help="Template of its prompts: a name, or a .toml file.")]
MaxCalls = Annotated[int | None, Option(help="Stop before it is called more often.")]
MaxCost = Annotated[float | None, Option(help="Stop before its calls cost more.")]
MaxFailed = Annotated[
    float | None, Option(help="Stop if a larger share of decisions fails (default: 0.05).")
]
OnlyEstimate = Annotated[bool, Option("--dry-run", help="Only estimate calls and their cost.")]
Force = Annotated[bool, Option("--force", help="Replace a record in OUT, and all files beside it.")]
EventFile = Annotated[
    Path | None, Option(help="Your events: a UCDP GED or ACLED export, or own columns (CSV).")
]
MaxEvents = Annotated[
    int | None, Option(min=1, help="Most events, balanced over their types (default: 18).")
]
NetworkFile = Annotated[Path | None, Option(help="The run's edge list, if it had one.")]


def given(**options: Any) -> dict[str, Any]:
    """Return the options that have a value."""
    return {name: value for name, value in options.items() if value is not None}


def refuse(options: dict[str, Any], allowed: str) -> None:
    """Raise where an option is given that would do nothing."""
    for name, value in given(**options).items():
        shown = str(value) if isinstance(value, Path) else value
        raise ArgumentError(f"--{name.replace('_', '-')}", shown, allowed)


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


def command_line() -> str:
    """Return the command of this process, as it can be typed again."""
    spec = sys.modules["__main__"].__spec__
    name = f"python -m {spec.name.removesuffix('.__main__')}" if spec else Path(sys.argv[0]).name
    return f"{name} {shlex.join(sys.argv[1:])}".rstrip()


def read_study(file: Path | None, limit: int | None, rng: int) -> tuple[OfflineEvent, ...]:
    """Read the events of a study: those of a file, or the bundled ones, at most ``limit``."""
    from mesa_llmspread.events import bundled_events, read_events, select_events

    events = bundled_events() if file is None else read_events(file)
    chosen = select_events(events, 18 if limit is None else limit, rng)
    if len(chosen) < len(events):
        found = counted(len(events), "event")
        typer.echo(f"{len(chosen)} of {found} selected (--max-events)", err=True)
    return chosen


def show_estimate(
    models: Callable[[], Iterator[SpreadModel]],
    events: Sequence[OfflineEvent],
    runs: int,
    steps: int,
    rng: int,
    alone: bool,
) -> None:
    """Print what the calls of a study may cost, where a language model decides.

    Parameters
    ----------
    models : callable
        Returns the models of its runs, of which the first is built.
    events : sequence of OfflineEvent
    runs : int
        Runs per event.
    steps : int
        Largest number of steps of a run.
    rng : int
        Seed of the first run.
    alone : bool
        Whether nothing else is printed, so that it goes to the standard output.
    """
    from mesa_llmspread.deciders.llm.cost_estimate import total

    model = next(models())
    k = max(1, int(model.network.degrees.max()))
    for decider, n in _language_models(model.decider, model.n) if steps > 0 else ():
        each = [decider.estimate(n, steps, k=k, event=event) for event in events]
        typer.echo(f"{decider.client.model}: {total(each * runs)}", err=not alone)
        if not alone:
            typer.echo(f"To go on if it is interrupted: the same with --rng {rng}", err=True)


def _language_models(decider: Decider, n: int) -> Iterator[tuple[LLMDecider, int]]:
    """Yield the language models that decide for n agents, each with about how many are its own."""
    from mesa_llmspread.deciders import LLMDecider, MixedDecider

    if isinstance(decider, LLMDecider):
        yield decider, n
    elif isinstance(decider, MixedDecider):
        # Which profiles occur is not known: at most, all are of one part.
        shares = decider.shares or [1.0] * len(decider.deciders)
        for part, share in zip(decider.deciders, shares, strict=True):
            yield from _language_models(part, math.ceil(n * share))


@contextlib.contextmanager
def progress(total: int, label: str) -> Iterator[Callable[[int], object]]:
    """Show progress on the error stream: a bar in a terminal, else one line per tenth.

    Parameters
    ----------
    total : int
    label : str
        What is counted, such as ``"steps"``.

    Yields
    ------
    callable
        To be called with how many more are done.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, desc=label, file=sys.stderr) as bar:
            yield bar.update
        return
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        before, done = done, done + more
        if more and done * 10 // total > before * 10 // total:
            typer.echo(f"{label}: {done} of {total}", err=True)

    yield advance


def record_runs(
    models: Iterable[SpreadModel],
    count: int,
    steps: int,
    finish: Callable[[SpreadData], None],
    *,
    out: Path,
    rng: int,
) -> None:
    """Do runs and finish their record; where this is stopped, save what was done.

    Parameters
    ----------
    models : iterable of SpreadModel
        One per run.
    count : int
        How many they are.
    steps : int
        Largest number of steps of a run.
    finish : callable
        Called with the record of all runs.
    out : Path
        Where ``finish`` saves it; what was done is saved beside it.
    rng : int
        The seed.
    """
    from mesa_llmspread.data import SpreadData, concat

    records: list[SpreadData] = []
    model: SpreadModel | None = None
    try:
        with progress(count * steps, "simulating, steps") as advance:
            for model in models:
                while model.running and model.clock < steps:
                    model.step()
                    advance(1)
                records.append(SpreadData.from_model(model))
                advance(steps - model.clock)
        finish(concat(records))
    except BaseException as error:
        done = f"{len(records)} of {count} runs"
        if count == 1 and model is not None:
            records = [SpreadData.from_model(model)] if model.clock else []
            done = f"{model.clock} of {steps} steps"
        if model is not None and (records or isinstance(error, KeyboardInterrupt)):
            _keep_unfinished(records, done, out, rng, model.decider)
        raise


def _keep_unfinished(
    records: list[SpreadData], done: str, out: Path, rng: int, decider: Decider
) -> None:
    """Save the finished part of a study that was stopped, and print how to go on."""
    from mesa_llmspread.data import concat
    from mesa_llmspread.deciders import LLMDecider

    kept = "nothing is kept"
    if records:
        with contextlib.suppress(LLMSpreadError):
            folder = first_free(out.with_name(f"{out.name}-partial"))
            kept = f"kept in {concat(records).save(folder)}/"
    typer.echo(f"\nStopped with {done} done: {kept}; {out} is as it was.", err=True)
    more = ": the results will be the same"
    if isinstance(decider, LLMDecider):
        more = "; with --store FILE no call would be made, and paid for, twice"
        if store := decider.caller.store:
            more = f" and --store {store.path}: no call that is kept is made again"
    typer.echo(f"To finish, run the same command again, with --rng {rng}{more}.", err=True)


def print_table(frame: pd.DataFrame, floats: str = ".3f") -> None:
    """Print a table that fits the terminal, or 80 columns: long cells are wrapped.

    Parameters
    ----------
    frame : DataFrame
    floats : str
        Format of its floating-point numbers.
    """
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False, highlight=False, emoji=False)
    texts = {str(name): [_cell(value, floats) for value in frame[name]] for name in frame}
    words = [max(map(len, " ".join([name, *cells]).split())) for name, cells in texts.items()]
    # Words are broken only where the longest of all columns do not fit beside each other.
    room = console.width - 2 * (len(words) - 1)
    whole = next((w for w in range(40, 1, -1) if sum(min(w, word) for word in words) <= room), 1)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for (name, cells), word in zip(texts.items(), words, strict=True):
        width = min(whole, word)
        table.add_column(
            name,
            justify="right" if pd.api.types.is_numeric_dtype(frame[name]) else "left",
            overflow="fold",
            min_width=width,
            no_wrap=max(map(len, [name, *cells])) <= width,
        )
    for row in zip(*texts.values(), strict=True):
        table.add_row(*row)
    console.print(table)


def _cell(value: Any, floats: str) -> str:
    """Return the text of a cell."""
    if isinstance(value, float):
        return "–" if value != value else format(value, floats)
    return "–" if value is None else str(value)


def read_decisions(*folders: Path) -> SpreadData:
    """Read records that can be analysed, as one.

    Parameters
    ----------
    *folders : Path

    Returns
    -------
    SpreadData

    Raises
    ------
    InputFileError
        If a folder has no record, a record has no decisions, or a run comes twice.
    """
    from mesa_llmspread.data import SpreadData, concat

    records, known = [], dict[str, Path]()
    for folder in folders:
        data = SpreadData.load(folder)
        if (data.exposures["outcome"] == "failed").all():
            failed = len(data.exposures)
            why = f"all {failed} failed" if failed else "in its steps nobody saw a post"
            raise InputFileError(folder, f"has no decisions to analyse: {why}")
        begun = _beginnings(data)
        if both := begun.keys() & known.keys():
            seed, other = begun[min(both)], known[min(both)]
            raise InputFileError(folder, f"holds the run with seed {seed} that {other} holds too")
        known |= dict.fromkeys(begun, folder)
        records.append(data)
    return concat(records) if len(records) > 1 else records[0]


def _beginnings(data: SpreadData) -> dict[str, int]:
    """Return the seed of each run, by what tells it from others: setting and first decisions."""
    first = data.exposures.loc[data.exposures["step"] == 1, ["run", "agent", "outcome"]]
    begun = {}
    for run, info in data.info.items():
        # What else is known of a decider grows with the run, such as the number of its calls.
        who = {name: info.decider_info.get(name) for name in ("law", "parameters", "model")}
        setting = replace(info, decider_info=who, versions={})
        decisions = first[first["run"] == run].drop(columns="run")
        if info.rng is not None:
            begun[f"{setting}\n{decisions.to_csv(index=False)}"] = info.rng
    return begun


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
