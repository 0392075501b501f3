"""The command ``llmspread sweep``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from mesa_llmspread._words import counted
from mesa_llmspread.cli.shared import OnlyEstimate, Seed, Steps, given, print_table
from mesa_llmspread.exceptions import ArgumentError, InputFileError
from mesa_llmspread.io import read_settings

if TYPE_CHECKING:
    from mesa_llmspread.sweep import Sweep

__all__ = ["read_design", "sweep_command"]

_KEYS = ("parameters", "replicates", "rng", "model", "steps", "engine", "llm")
_DESIGN = """YAML or JSON: parameters (lists, all combinations), replicates, rng, model, steps,
engine, llm. CSV or Parquet: one row per combination."""
_LLM = """An option of the language models for all runs together, such as max_cost_usd=5; once for
each option."""
_Model = Annotated[str | None, Option(metavar="package.module:MyModel", help="Your own model.")]
_Option = Annotated[list[str] | None, Option(metavar="NAME=VALUE", help=_LLM)]


def sweep_command(
    out: Annotated[Path, Argument(help="Folder of the sweep.")],
    design: Annotated[Path | None, Option(help=_DESIGN)] = None,
    resume: Annotated[
        bool, Option("--resume", help="Do what is left of the sweep in OUT.")
    ] = False,
    replicates: Annotated[int | None, Option(help="Runs per combination (default: 1).")] = None,
    rng: Seed = None,
    steps: Steps = None,
    model: _Model = None,
    engine: Annotated[str | None, Option(help="mesa or compiled (default: mesa).")] = None,
    llm: _Option = None,
    dry_run: OnlyEstimate = False,
    backend: Annotated[str, Option(help="loky, dask or sequential.")] = "loky",
    n_jobs: Annotated[int | None, Option(help="Processes (default: -1, one per core).")] = None,
    client: Annotated[str | None, Option(help="Address of a Dask scheduler.")] = None,
    on_error: Annotated[str, Option(help="record or raise.")] = "record",
    progress: Annotated[str, Option(help="auto, bar or none.")] = "auto",
) -> None:
    """Do the runs of a design, each kept in OUT as soon as it is done.

    Started again with the same design, or a larger one, it does what is missing
    or failed. With --resume only OUT is needed: it holds its design. Options
    override the design file. The calls of language models and their cost are
    estimated before the first one.
    """
    from mesa_llmspread import sweep
    from mesa_llmspread.sweep.storage import holds_sweep

    if n_jobs is not None and backend == "sequential":
        raise ArgumentError("--n-jobs", n_jobs, "be left out with --backend sequential")
    if client is not None and backend != "dask":
        raise ArgumentError("--client", client, "stand with --backend dask")
    how = given(backend=backend, n_jobs=n_jobs, client=client, on_error=on_error, progress=progress)
    settings = given(
        design=design, replicates=replicates, rng=rng, model=model, steps=steps, engine=engine
    )
    options = dict(map(_option, llm or ()))
    if resume and settings:
        raise ArgumentError("--resume", list(settings), "stand without what OUT itself holds")
    if resume:
        go: Callable[..., Sweep] = partial(sweep.resume, out)
        found = sweep.dry_run(sweep.load(out).design, out=out, llm=options)
    elif design is None:
        raise ArgumentError("--design", None, "name a file, unless there is --resume")
    else:
        settings = {**read_design(settings.pop("design")), **settings}
        options = {**(settings.pop("llm", None) or {}), **options}
        how |= {name: settings.pop(name) for name in ("steps", "engine") if name in settings}
        made = sweep.Design(**settings)
        go = partial(sweep.run, made, out)
        grows = holds_sweep(out) and not made.lacks(sweep.load(out).design)
        begun = out if grows else None
        found = sweep.dry_run(made, out=begun, steps=how.get("steps", 50), llm=options)
    if dry_run and found.runs > 1:
        shown = ["cell", "decider", "runs", "calls", "most_calls", "cost_usd", "most_cost_usd"]
        print_table(found.cells[shown].fillna("unknown"), ".4g")
    if dry_run or found.runs:
        typer.echo(str(found))
    if dry_run:
        return
    try:
        done = go(llm=options or None, **how)
    except KeyboardInterrupt:
        _print_kept(out)
        raise
    states = done.runs["status"].value_counts()
    typer.echo(f"{out}: " + ", ".join(f"{count} {name}" for name, count in states.items()))
    if "failed" in states:
        first = done.runs[done.runs["status"] == "failed"].iloc[0]
        typer.echo(f"first failure, run {first['run']}: {first['error']}", err=True)
        raise typer.Exit(1)


def _print_kept(out: Path) -> None:
    """Print which runs of a sweep that was stopped are kept, and how to go on."""
    from mesa_llmspread.sweep import load

    if not (out / "manifest.json").exists():
        typer.echo("\nStopped before the first run: nothing is kept.", err=True)
        return
    sweep = load(out)
    typer.echo(
        f"\nStopped with {len(sweep.done)} of {counted(len(sweep.runs), 'run')} done, kept in "
        f"{out}/. Give the same command again to go on, or: llmspread sweep {out} --resume",
        err=True,
    )


def _option(text: str) -> tuple[str, Any]:
    """Return the name and value of NAME=VALUE; a value is read as in a design file."""
    import yaml

    name, equals, value = text.partition("=")
    if not equals:
        raise ArgumentError("--llm", text, "be NAME=VALUE, such as max_calls=1000")
    return name, yaml.safe_load(value)


def read_design(path: Path) -> dict[str, Any]:
    """Read a design from a file.

    Parameters
    ----------
    path : Path
        YAML or JSON with ``parameters`` (a mapping of lists) and, if wanted, ``replicates``,
        ``rng``, ``model``, ``steps``, ``engine`` and ``llm``; or CSV or Parquet with one row per
        combination.

    Returns
    -------
    dict
        By those names; ``parameters`` are those of :class:`~mesa_llmspread.sweep.Design`.

    Raises
    ------
    InputFileError
        If the file cannot be read, or holds anything else.
    """
    import pandas as pd

    reader: Any = {".csv": pd.read_csv, ".parquet": pd.read_parquet}.get(path.suffix)
    try:
        if reader is not None:
            return {"parameters": reader(path)}
    except (OSError, ValueError) as error:
        raise InputFileError(path, f"cannot be read: {' '.join(str(error).split())}") from error
    settings = read_settings(path, _KEYS)
    if not isinstance(settings.get("parameters"), dict):
        raise InputFileError(path, "must hold 'parameters', a mapping of lists")
    return settings
