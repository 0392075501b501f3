"""What a worker does: one run of a design, from its arguments to the content of its file."""

from __future__ import annotations

import gc
import importlib.metadata
import platform
import traceback
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from mesa_llmspread.data import RunInfo
from mesa_llmspread.data.collected import agents_of
from mesa_llmspread.exceptions import ArgumentError, BudgetExceededError
from mesa_llmspread.sweep.checks import arguments_of
from mesa_llmspread.sweep.language import decider_of
from mesa_llmspread.sweep.models import model_arguments
from mesa_llmspread.sweep.runfile import encode

if TYPE_CHECKING:
    from mesa_llmspread.model import SpreadModel

__all__ = [
    "ENGINES",
    "Failure",
    "Job",
    "Outcome",
    "engine_law",
    "failed",
    "perform",
    "unsettle",
    "versions",
]


# Of 1,000 agents and their network, and as many again.
_OBJECTS_OF_A_RUN = 50_000


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
    engine : str
        A name of :data:`ENGINES`.
    """

    run: int
    cell: dict[str, Any]
    rng: int
    steps: int
    engine: str


class Failure(NamedTuple):
    """Why a run has no result: the error in one line, and where it came from."""

    error: str
    traceback: str


class Outcome(NamedTuple):
    """What came of a run: the content of its file, why there is none, or why all must halt."""

    run: int
    content: bytes | None
    failure: Failure | None = None
    halt: BudgetExceededError | None = None


def perform(
    job: Job, llm: Mapping[str, Any] | None, model: type[SpreadModel] | None = None
) -> Outcome:
    """Do one run; whatever goes wrong in it becomes part of the outcome.

    Parameters
    ----------
    job : Job
    llm : mapping or None
        Options of language models; None if there is none.
    model : type of SpreadModel, optional
        What to run with the engine "mesa"; ``SpreadModel`` itself by default.

    Returns
    -------
    Outcome
    """
    _settle()
    try:
        return Outcome(job.run, ENGINES[job.engine](job, llm or {}, model))
    except BudgetExceededError as error:
        return Outcome(job.run, None, halt=error)
    except Exception as error:  # one bad run must not stop the others, whatever it raises
        return failed(job, error)


def failed(job: Job, error: Exception) -> Outcome:
    """Return the outcome of a run that raised an error, which is being handled."""
    text = f"{type(error).__name__}: {error}"
    return Outcome(job.run, None, Failure(text, traceback.format_exc()))


@cache
def _settle() -> tuple[int, int, int]:
    """Spare the garbage collector, once a process, work in vain; give its old thresholds.

    A model makes many objects that all live until its run is over, and are then let go of at
    once (see :func:`_forget`): there is nothing to find in between.
    """
    usual = gc.get_threshold()
    gc.set_threshold(_OBJECTS_OF_A_RUN, *usual[1:])
    return usual


def unsettle() -> None:
    """Leave the garbage collector of this process as it was."""
    if _settle.cache_info().currsize:
        gc.set_threshold(*_settle())
        _settle.cache_clear()


@cache
def versions() -> dict[str, str]:
    """Name the versions that results depend on."""
    packages = ("mesa_llmspread", "mesa", "numpy", "networkx", "numba", "pyarrow")
    found = {package: importlib.metadata.version(package) for package in packages}
    return {**found, "python": platform.python_version()}


def _mesa(job: Job, llm: Mapping[str, Any], kind: type[SpreadModel] | None) -> bytes:
    """Run the Mesa model."""
    from mesa_llmspread.model import SpreadModel

    arguments = arguments_of(job.cell, kind)
    if "decider" in arguments:
        arguments["decider"] = decider_of(arguments["decider"], llm)
    model = (kind or SpreadModel)(**arguments, rng=job.rng)
    try:
        model.run(job.steps)
        series = model.datacollector.model_vars
        counts = {
            "step": range(model.clock + 1),
            "susceptible": series["Susceptible"],
            "infected": series["Infected"],
            "new_infected": series["NewInfected"],
            "exposures": series["Exposures"],
            "failed": series["Failed"],
        }
        exposures = model.datacollector.tables["exposures"]
        return encode(job.run, counts, exposures, agents_of(model), model.info)
    finally:
        _forget(model)


def _forget(model: Any) -> None:
    """Let go of a model, at once: model and agents know each other, which is slow to find out.

    Mesa 3.3 keeps all models besides, in a class's private counter.
    """
    import mesa

    counters = vars(mesa.Agent).get("_ids")
    if counters is not None:
        counters.pop(model, None)
    vars(model).clear()


def engine_law(arguments: Mapping[str, Any]) -> Any:
    """Give the law that the compiled engine runs for some arguments of the model.

    Parameters
    ----------
    arguments : mapping
        As ``SpreadModel`` takes them.

    Returns
    -------
    TransmissionLaw

    Raises
    ------
    ArgumentError
        If the decider is no law, or the engine cannot do what the model does with it.
    """
    from mesa_llmspread.deciders import RateDecider, as_decider

    full = {**model_arguments(), **arguments}
    decider, media_prob = as_decider(full["decider"]), full["media_prob"]
    if not isinstance(decider, RateDecider):
        raise ArgumentError(
            "decider", full["decider"], "be a law, such as 'SI(0.05)', for engine='ensemble'"
        )
    law = decider.law
    if law.memory == "first_repeat" and media_prob > 0:
        raise ArgumentError(
            "media_prob",
            media_prob,
            f"be 0 with {law.name} and engine='ensemble', where seeing "
            "the event itself counts as no occasion",
        )
    return law.seen_by(media_prob)


def _ensemble(job: Job, *_: Any) -> bytes:
    """Run the compiled engine, on the network and from the starters that the seed gives Mesa."""
    import numpy as np

    from mesa_llmspread.networks import make_network
    from mesa_llmspread.profiles import sample_profiles
    from mesa_llmspread.rng import Streams
    from mesa_llmspread.simulation.ensemble import simulate

    arguments = arguments_of(job.cell)
    full = {**model_arguments(), **arguments}
    law = engine_law(arguments)
    streams = Streams(job.rng)
    network = make_network(full["network"], full["n"], full["k"], streams.network)
    starters = streams.starters.choice(network.n, size=full["initial_infected"], replace=False)
    profiles = None
    if law.uses_profile:
        drawn = sample_profiles(network.n, full["population"], streams.population)
        profiles = [profile.index for profile in drawn]
    infected = simulate(
        law,
        network,
        initial_infected=starters,
        steps=job.steps,
        feed=full["feed"],
        profiles=profiles,
        rng=job.rng,
        threads=1,
    ).infected[0]
    new = np.diff(infected, prepend=0)
    # Mesa's model stops when nobody is left, or nobody can see anything any more.
    over = infected == network.n
    if full["feed"] == "new" and not law.offline:
        over |= new == 0
    end = int(over.argmax()) + 1 if over.any() else len(infected)
    counts = {
        "step": np.arange(end),
        "susceptible": network.n - infected[:end],
        "infected": infected[:end],
        "new_infected": new[:end],
        "exposures": pa.nulls(end, pa.int64()),
        "failed": np.zeros(end, int),
    }
    info = RunInfo(
        n=network.n,
        k=float(network.degrees.mean()),
        feed=full["feed"],
        media_prob=full["media_prob"],
        network=full["network"],
        initial_infected=len(starters),
        population=full["population"],
        decider=full["decider"],
        rng=job.rng,
        versions=versions(),
    )
    return encode(job.run, counts, {}, {}, info)


#: What runs a job, by name.
ENGINES = {"mesa": _mesa, "ensemble": _ensemble}
