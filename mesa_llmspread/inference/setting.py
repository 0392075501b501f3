"""Laws in the setting of a recorded run: the same network, starters, feed and media."""

from __future__ import annotations

from typing import Any

import numpy as np

from mesa_llmspread.data import RunInfo, SpreadData
from mesa_llmspread.inference.scale import Floats
from mesa_llmspread.meanfield.solve import solve
from mesa_llmspread.networks import Network
from mesa_llmspread.rng import RNGLike, as_generator
from mesa_llmspread.simulation.rebuild import dealt_profiles
from mesa_llmspread.transmission import TransmissionLaw

__all__ = ["by_setting", "failed_share", "simulated_share", "solved_share"]


def by_setting(data: SpreadData) -> list[SpreadData]:
    """Split a record into groups of runs that had the same setting."""
    names = ("n", "k", "network", "initial_infected", "feed", "visibility", "media_prob")
    groups: dict[Any, list[int]] = {}
    for run, info in data.info.items():
        groups.setdefault(tuple(getattr(info, name) for name in names), []).append(run)
    return [data.select(runs) for runs in groups.values()]


def failed_share(data: SpreadData, run: int | None = None) -> float:
    """Return the share of decisions that failed, of one run or all; 0 where none is recorded."""
    outcomes = data.exposures["outcome"]
    if run is not None:
        outcomes = outcomes[data.exposures["run"] == run]
    return float((outcomes == "failed").mean()) if len(outcomes) else 0.0


def solved_share(
    law: TransmissionLaw,
    info: RunInfo,
    steps: int,
    profiles: Floats | None,
    failed_share: float = 0.0,
    **equations: Any,
) -> Floats:
    """Solve a law's equations in the setting of a run.

    Parameters
    ----------
    law : TransmissionLaw
        The law with its values.
    info : RunInfo
        The run's.
    steps : int
    profiles : ndarray of float, shape (32,), or None
        Share of each profile, if the law uses profiles.
    failed_share : float, default 0
        As :func:`failed_share` returns it.
    **equations
        ``closure`` and ``time``, as in :func:`~mesa_llmspread.meanfield.solve`.

    Returns
    -------
    ndarray of float, shape (steps + 1,)
        Share of the agents that have posted.
    """
    n = info.known("n")
    degrees = {degree: count / n for degree, count in info.known("degrees").items()}
    solved = solve(
        law,
        n=n,
        k=next(iter(degrees)) if len(degrees) == 1 else degrees,
        initial_infected=info.known("initial_infected"),
        steps=steps,
        visibility=info.seen,
        media_prob=info.media_prob,
        failed_share=failed_share,
        profile_shares=profiles,
        **equations,
    )
    return np.asarray(solved["infected"], dtype=float) / n


def simulated_share(
    law: TransmissionLaw,
    data: SpreadData,
    run: int,
    network: Network,
    steps: int,
    rng: RNGLike,
    **options: Any,
) -> Floats:
    """Simulate a law in the setting of a run.

    Parameters
    ----------
    law : TransmissionLaw
        The law with its values.
    data : SpreadData
        The record.
    run : int
        Which of its runs.
    network : Network
        Its network.
    steps : int
    rng : int, numpy.random.Generator or None
        Randomness; it also deals the run's profiles to the agents, if the law uses them.
    **options
        ``replicates`` and others of :func:`~mesa_llmspread.simulate`.

    Returns
    -------
    ndarray of float, shape (replicates, steps + 1)
        Share of the agents that have posted.
    """
    from mesa_llmspread.simulation.ensemble import simulate

    info = data.info[run]
    result = simulate(
        law,
        network,
        initial_infected=list(info.starters or ()) or info.known("initial_infected"),
        steps=steps,
        visibility=info.seen,
        media_prob=info.media_prob,
        failed_share=failed_share(data, run),
        profiles=dealt_profiles(data, run, as_generator(rng)) if law.uses_profile else None,
        rng=rng,
        **options,
    )
    return result.infected / info.known("n")
