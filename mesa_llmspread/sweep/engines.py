"""One run of a design, from its arguments to the files of its record."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from mesa_llmspread.data import RunInfo
from mesa_llmspread.data.files import record_files
from mesa_llmspread.data.run_info import package_versions
from mesa_llmspread.data.schema import SCHEMA, arrow_table
from mesa_llmspread.data.tables import model_tables
from mesa_llmspread.deciders import RateDecider, as_decider
from mesa_llmspread.events import as_event
from mesa_llmspread.exceptions import ArgumentError, BudgetExceededError
from mesa_llmspread.model import SpreadModel
from mesa_llmspread.networks import make_network
from mesa_llmspread.profiles import sample_profiles
from mesa_llmspread.rng import Streams
from mesa_llmspread.simulation.ensemble import simulate
from mesa_llmspread.sweep.arguments import arguments_of, model_arguments
from mesa_llmspread.sweep.language import decider_of
from mesa_llmspread.transmission import TransmissionLaw, as_visibility

__all__ = ["Job", "Outcome", "compiled_law", "failed", "perform"]


class Job(NamedTuple):
    """One run to do.

    Attributes
    ----------
    run : int
        Its number.
    cell : dict
        Values by parameter.
    rng : int
        Its seed.
    steps : int
        The largest number of steps.
    engine : {"mesa", "compiled"}
    """

    run: int
    cell: dict[str, Any]
    rng: int
    steps: int
    engine: str


class Outcome(NamedTuple):
    """The result of a run: the files of its record, an error, or a budget that is used up."""

    run: int
    files: dict[str, bytes] | None = None
    error: str = ""
    traceback: str = ""
    halt: BudgetExceededError | None = None


def perform(job: Job, llm: Mapping[str, Any], model: type[SpreadModel] = SpreadModel) -> Outcome:
    """Do one run; an error becomes a part of the outcome.

    Parameters
    ----------
    job : Job
    llm : mapping
        Options of language models.
    model : type of SpreadModel, default SpreadModel
        What to run with the engine "mesa".

    Returns
    -------
    Outcome
    """
    try:
        compiled = job.engine == "compiled"
        tables, info = _compiled_run(job) if compiled else _mesa_run(job, llm, model)
        return Outcome(job.run, record_files(tables, {job.run: info}))
    except BudgetExceededError as error:
        return Outcome(job.run, halt=error)
    except Exception as error:  # one bad run must not stop the others, whatever it raises
        return failed(job, error)


def failed(job: Job, error: Exception) -> Outcome:
    """Return the outcome of a run that raised the error which is being handled."""
    text = f"{type(error).__name__}: {error}"
    return Outcome(job.run, error=text, traceback=traceback.format_exc())


def compiled_law(arguments: Mapping[str, Any]) -> TransmissionLaw:
    """Return the law that the compiled engine runs for some arguments of the model.

    Parameters
    ----------
    arguments : mapping
        Those of ``SpreadModel``.

    Returns
    -------
    TransmissionLaw

    Raises
    ------
    ArgumentError
        If the decider is not a law.
    """
    full = {**model_arguments(), **arguments}
    decider = as_decider(full["decider"])
    if not isinstance(decider, RateDecider):
        allowed = "be a law, such as 'SI(0.05)', for engine='compiled'"
        raise ArgumentError("decider", full["decider"], allowed)
    return decider.law


def _mesa_run(
    job: Job, llm: Mapping[str, Any], kind: type[SpreadModel]
) -> tuple[dict[str, pa.Table], RunInfo]:
    """Run the Mesa model."""
    arguments = arguments_of(job.cell, kind)
    if "decider" in arguments:
        arguments["decider"] = decider_of(arguments["decider"], llm)
    model = kind(**arguments, rng=job.rng)
    try:
        return model_tables(model.run(job.steps), job.run), model.info
    finally:
        # Mesa 3.3 keeps every model of a process; an empty one needs almost no memory.
        model.__dict__.clear()


def _compiled_run(job: Job) -> tuple[dict[str, pa.Table], RunInfo]:
    """Run the compiled engine, with the network and starters that the seed draws for Mesa."""
    given = {**model_arguments(), **arguments_of(job.cell)}
    law, streams = compiled_law(given), Streams(job.rng)
    seen = as_visibility(given["visibility"], given["feed"])
    network = make_network(given["network"], given["n"], given["k"], streams.network)
    n, number = network.n, given["initial_infected"]
    starters = streams.starters.choice(n, size=number, replace=False).tolist()
    profiles = None
    if law.uses_profile:
        drawn = sample_profiles(n, given["population"], streams.population)
        profiles = [one.levels if law.uses_traits else one.index for one in drawn]
    infected = simulate(
        law,
        network,
        initial_infected=starters,
        steps=job.steps,
        visibility=seen,
        media_prob=given["media_prob"],
        profiles=profiles,
        rng=job.rng,
        threads=1,
    ).infected[0]
    new = np.diff(infected, prepend=0)
    # Mesa's model stops when nobody who has not posted can see anything any more; counts tell it
    # at the latest when no post is in view.
    over = infected == n
    if not given["media_prob"]:
        ones = np.ones(len(network.indices))
        links = csr_array((ones, network.indices, network.indptr), (n, n))
        _, part = connected_components(links, directed=False)
        over = infected == np.isin(part, part[starters]).sum()
        if seen.visible_for:
            over |= np.convolve(new > 0, np.ones(seen.visible_for))[: len(new)] == 0
    end = int(over.argmax()) + 1 if over.any() else len(infected)
    counts = {
        "step": range(end),
        "susceptible": n - infected[:end],
        "infected": infected[:end],
        "new_infected": new[:end],
        "exposures": [None] * end,
        "failed": [0] * end,
    }
    columns: dict[str, dict[str, Any]]
    columns = {name: {column.name: [] for column in SCHEMA[name]} for name in SCHEMA}
    columns["counts"] |= counts
    kept = ["feed", "visibility", "media_prob"]
    kept += ["network", "initial_infected", "population", "decider"]
    info = RunInfo(
        n=n,
        k=float(network.degrees.mean()),
        events=(as_event(given["event"]),),
        rng=job.rng,
        versions=package_versions(),
        starters=starters,
        **{name: given[name] for name in kept},
    )
    return {name: arrow_table(name, table, job.run) for name, table in columns.items()}, info
