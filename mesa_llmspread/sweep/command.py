"""The command ``llmspread sweep``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mesa_llmspread.exceptions import ArgumentError, InputFileError, UnknownNameError

__all__ = ["read_design", "sweep_command"]

_KEYS = ("parameters", "replicates", "rng", "steps", "engine")


def sweep_command(
    out: Annotated[Path, typer.Argument(help="Folder of the sweep.")],
    design: Annotated[
        Path | None,
        typer.Option(
            help="YAML or JSON: parameters (lists, all combinations), replicates, rng, steps, "
            "engine. CSV or Parquet: a row a combination."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the sweep in OUT: do what is left.")
    ] = False,
    replicates: Annotated[int | None, typer.Option(help="Runs a combination. [default: 1]")] = None,
    rng: Annotated[int | None, typer.Option(help="Seed of the whole sweep.")] = None,
    steps: Annotated[
        int | None, typer.Option(help="Largest number of steps. [default: 50]")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="mesa or ensemble. [default: mesa]")] = None,
    backend: Annotated[str, typer.Option(help="loky, dask or sequential.")] = "loky",
    n_jobs: Annotated[int, typer.Option(help="Processes; -1: one a core.")] = -1,
    client: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler, for --backend dask.")
    ] = None,
    on_error: Annotated[str, typer.Option(help="record or raise.")] = "record",
    progress: Annotated[str, typer.Option(help="auto, bar or none.")] = "auto",
) -> None:
    """Do the runs of a design, each kept in OUT as soon as it is done.

    With --resume only OUT is needed: it knows its design. Options win over the design file.
    """
    from mesa_llmspread.sweep import execution
    from mesa_llmspread.sweep.design import Design

    how: dict[str, Any] = {
        "backend": backend,
        "n_jobs": n_jobs,
        "client": client,
        "on_error": on_error,
        "progress": progress,
    }
    given = {"replicates": replicates, "rng": rng, "steps": steps, "engine": engine}
    given = {name: value for name, value in given.items() if value is not None}
    if resume:
        if design is not None or given:
            named = ["design"] if design is not None else list(given)
            raise ArgumentError("--resume", named, "stand without what OUT knows itself")
        sweep = execution.resume(out, **how)
    else:
        if design is None:
            raise ArgumentError("--design", None, "name a file, unless there is --resume")
        if (out / "manifest.json").exists():
            raise ArgumentError("OUT", str(out), "be an empty folder; go on with it by --resume")
        settings = {**read_design(design), **given}
        chosen = {name: settings.pop(name) for name in ("steps", "engine") if name in settings}
        sweep = execution.run(Design(**settings), out, **chosen, **how)
    states = sweep.runs["status"].value_counts()
    typer.echo(f"{out}: " + ", ".join(f"{count} {name}" for name, count in states.items()))
    if "failed" in states:
        first = sweep.runs[sweep.runs["status"] == "failed"].iloc[0]
        typer.echo(f"first failure, run {first['run']}: {first['error']}", err=True)
        raise typer.Exit(1)


def read_design(path: Path) -> dict[str, Any]:
    """Read a design from a file.

    Parameters
    ----------
    path : Path
        YAML or JSON with ``parameters`` (a mapping of lists) and, if wanted, ``replicates``,
        ``rng``, ``steps`` and ``engine``; or CSV or Parquet with one row a combination.

    Returns
    -------
    dict
        By those names; ``parameters`` as :class:`~mesa_llmspread.sweep.Design` takes them.

    Raises
    ------
    InputFileError
        If the file cannot be read, or holds anything else.
    """
    import pandas as pd
    import yaml

    try:
        if path.suffix == ".csv":
            return {"parameters": pd.read_csv(path)}
        if path.suffix == ".parquet":
            return {"parameters": pd.read_parquet(path)}
        text = path.read_text(encoding="utf-8")
        settings = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise InputFileError(path, error.strerror or str(error)) from error
    except (ValueError, yaml.YAMLError) as error:
        raise InputFileError(path, f"cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict) or not isinstance(settings.get("parameters"), dict):
        raise InputFileError(path, "must hold 'parameters', a mapping of lists")
    for name in settings:
        if name not in _KEYS:
            raise InputFileError(path, str(UnknownNameError("setting", name, _KEYS)))
    return settings
