"""Laws in the setting of a recorded run: the same network, starters, feed and media."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mesa_llmspread.data import RunInfo
from mesa_llmspread.inference.scale import Floats
from mesa_llmspread.meanfield.solve import solve
from mesa_llmspread.networks import Network
from mesa_llmspread.rng import RNGLike, as_generator
from mesa_llmspread.simulation.rebuild import dealt_profiles, profile_counts
from mesa_llmspread.transmission import TransmissionLaw

__all__ = ["simulated_share", "solved_share"]


def solved_share(
    law: TransmissionLaw,
    info: RunInfo,
    steps: int,
    profiles: npt.NDArray[np.int64] | None = None,
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
    profiles : ndarray of int, shape (32,), optional
        Number of agents with each profile; the run's if not given.
    **equations
        ``closure`` and ``time``, as in :func:`~mesa_llmspread.meanfield.solve`.

    Returns
    -------
    ndarray of float, shape (steps + 1,)
        Share of the agents that have posted.
    """
    n = info.known("n")
    degrees = {degree: count / n for degree, count in info.known("degrees").items()}
    if law.uses_profile and profiles is None:
        profiles = profile_counts(info)
    solved = solve(
        law.seen_by(info.media_prob),
        n=n,
        k=next(iter(degrees)) if len(degrees) == 1 else degrees,
        initial_infected=info.known("initial_infected"),
        steps=steps,
        feed=info.feed,
        profile_shares=None if profiles is None else profiles / profiles.sum(),
        **equations,
    )
    return np.asarray(solved["infected"], dtype=float) / n


def simulated_share(
    law: TransmissionLaw,
    info: RunInfo,
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
    info : RunInfo
        The run's.
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

    result = simulate(
        law.seen_by(info.media_prob),
        network,
        initial_infected=info.known("initial_infected"),
        steps=steps,
        feed=info.feed,
        profiles=dealt_profiles(info, as_generator(rng)) if law.uses_profile else None,
        rng=rng,
        **options,
    )
    return result.infected / info.known("n")
