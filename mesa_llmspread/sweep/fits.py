"""Analyses of a sweep: the law and its rates cell by cell, and which parameters matter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from mesa_llmspread._validation import check_name, checked_level
from mesa_llmspread._words import counted
from mesa_llmspread.events import get_event
from mesa_llmspread.exceptions import ArgumentError, LLMSpreadError
from mesa_llmspread.inference import compare, fit
from mesa_llmspread.sweep.design import salib
from mesa_llmspread.sweep.results import Sweep, read_records
from mesa_llmspread.sweep.workers import dumps, loads
from mesa_llmspread.transmission import TransmissionLaw, resolve_law

__all__ = ["fit_cells", "sensitivity"]


def fit_cells(
    sweep: Sweep,
    law: str | type[TransmissionLaw] | TransmissionLaw | None = None,
    *,
    by: str | Sequence[str] | None = None,
    level: float = 0.95,
    n_jobs: int = -1,
    **options: Any,
) -> pd.DataFrame:
    """Fit a law to the decisions of each cell of a design, several cells at a time.

    Parameters
    ----------
    sweep : Sweep
        Of Mesa runs; the compiled engine records no decisions.
    law : str, type of TransmissionLaw or TransmissionLaw, optional
        As for :func:`mesa_llmspread.fit`; by default the one that describes the cell best
        (lowest BIC).
    by : str or sequence of str, optional
        Pool the runs that have the same values of these columns of the design;
        ``"event_type"`` pools events of one type. By default every cell is fitted alone.
    level : float, default 0.95
        Coverage of the intervals.
    n_jobs : int, default -1
        Number of processes; -1 for one per core.
    **options
        The law's options.

    Returns
    -------
    DataFrame
        One row per cell and rate: the cell's columns, ``law, parameter, estimate, low,
        high, stderr, interval, n_obs, n_runs, bic, success, message``. A cell that could not
        be fitted has one row, whose ``message`` is the reason.

    Raises
    ------
    ArgumentError
        If no run is done, the sweep recorded no decisions, or an argument is not allowed.
    UnknownNameError
        If ``by`` names no column of the design, or the law is unknown.
    """
    sweep.check_decisions()
    runs, known = sweep.runs[sweep.runs["status"] == "done"], [*sweep.design.parameters]
    names = known if by is None else [by] if isinstance(by, str) else list(by)
    level = checked_level(level)
    if not names:
        raise ArgumentError("by", by, "name at least one column of the design")
    if runs.empty:
        raise ArgumentError("sweep", sweep, "have runs that are done")
    if "event" in runs:
        types = {event: get_event(event).event_type for event in runs["event"].unique()}
        runs = runs.assign(event_type=runs["event"].map(types))
        known = [*known, "event_type"]
    for name in names:
        check_name("by", name, known)
    groups = list(runs.groupby(names, sort=False))
    # The law itself goes to the workers, which may not know its name.
    template = dumps(None if law is None else resolve_law(law, **options))
    found: Iterable[list[dict[str, Any]]] = Parallel(n_jobs=n_jobs)(
        delayed(_fit_runs)([sweep.file(run) for run in part["run"]], template, level)
        for _, part in groups
    )
    return pd.DataFrame(
        [
            {**dict(zip(names, values, strict=True)), **row}
            for (values, _), rows in zip(groups, found, strict=True)
            for row in rows
        ]
    )


def _fit_runs(folders: list[Path], template: bytes, level: float) -> list[dict[str, Any]]:
    """Fit the runs in some folders; one row per rate."""
    law: TransmissionLaw | None = loads(template)
    try:
        data = read_records(folders)
        result = compare(data, level=level).best if law is None else fit(data, law, level=level)
    except LLMSpreadError as error:
        return [{"law": None if law is None else law.name, "success": False, "message": str(error)}]
    shared = ("interval", "n_obs", "n_runs", "bic", "success", "message")
    return [
        {
            "law": result.name,
            "parameter": name,
            "estimate": value,
            **dict(zip(("low", "high"), result.ci[name], strict=True)),
            "stderr": result.stderr[name],
            **{field: getattr(result, field) for field in shared},
        }
        for name, value in result.params.items()
    ]


def sensitivity(
    sweep: Sweep, outcome: str = "final", *, level: float = 0.95, rng: int = 0
) -> pd.DataFrame:
    """Return how much of an outcome's variance each parameter explains: Sobol indices.

    Parameters
    ----------
    sweep : Sweep
        Of a :meth:`~mesa_llmspread.sweep.Design.saltelli` design, all runs done.
    outcome : {"final", "half", "length"}, default "final"
        A column of :meth:`Sweep.outcomes`; averaged over replicates.
    level : float, default 0.95
        Coverage of the intervals (bootstrap).
    rng : int, default 0
        Seed of the bootstrap.

    Returns
    -------
    DataFrame
        One row per parameter: ``parameter, first, first_ci, total, total_ci``: the share of the
        variance that it explains alone, and with all its interactions; ``_ci`` is half the
        interval's width. Differences between replicates count as unexplained.

    Raises
    ------
    ArgumentError
        If the design is not a ``saltelli`` design, a run is not done, or the outcome is missing
        in a cell or the same in all cells.

    Notes
    -----
    SALib (Iwanaga, Usher & Herman 2022, doi:10.18174/sesmo.18155); estimators of Saltelli et
    al. (2010), doi:10.1016/j.cpc.2009.09.018.
    """
    origin, outcomes = sweep.design.origin, sweep.outcomes()
    if origin["kind"] != "saltelli":
        raise ArgumentError("sweep", origin["kind"], "be of a design made by Design.saltelli")
    check_name("outcome", outcome, ("final", "half", "length"))
    if left := len(sweep.design) - len(outcomes):
        raise ArgumentError("sweep", sweep, f"be finished, {counted(left, 'run')} left: resume it")
    values = outcomes.groupby("cell")[outcome].mean().to_numpy()
    if np.isnan(values).any() or np.ptp(values) == 0:
        allowed = "have a value in every cell, and not the same in all"
        raise ArgumentError("outcome", outcome, allowed)
    names = list(origin["ranges"])
    analysis, problem = salib("analyze.sobol", names)
    found = analysis.analyze(
        problem, values, calc_second_order=False, conf_level=level, seed=rng + 1
    )
    columns = {"first": "S1", "first_ci": "S1_conf", "total": "ST", "total_ci": "ST_conf"}
    return pd.DataFrame({"parameter": names, **{name: found[key] for name, key in columns.items()}})
