"""What holds on one given network: its clustering, and the curve that simulations of it have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mesa_llmspread.meanfield.equations import Floats
from mesa_llmspread.networks import Network
from mesa_llmspread.rng import RNGLike, as_seed, spawn_seeds
from mesa_llmspread.simulation.ensemble import simulate
from mesa_llmspread.transmission import TransmissionLaw

__all__ = ["CLUSTERED", "clustering_note", "simulated_curve"]

#: Transitivity above which the equations, which know no triangles, are known to be wrong.
CLUSTERED = 0.1

# Standard error of the mean about .002 of n on a network of 4,000 nodes. Who has which profile
# is drawn several times: where few nodes are large, it matters.
_REPLICATES, _DEALS = 200, 40


def clustering_note(network: Network) -> str:
    """Return a sentence on why the equations are wrong for a network, or "" if they are not.

    Parameters
    ----------
    network : Network

    Returns
    -------
    str

    Examples
    --------
    >>> from mesa_llmspread.networks import small_world
    >>> clustering_note(small_world(200, 6, rewire=0, rng=1))[:45]
    'The network is clustered (transitivity 0.60):'
    """
    transitivity = network.transitivity
    if transitivity <= CLUSTERED:
        return ""
    return (
        f"The network is clustered (transitivity {transitivity:.2f}): curves of equations, and "
        "rates fitted to curves, are wrong for it; simulated curves on the network itself, and "
        "rates fitted to decisions, are not affected."
    )


def simulated_curve(
    law: TransmissionLaw,
    network: Network,
    initial_infected: int,
    steps: int,
    profile_shares: Sequence[float] | Floats | None,
    rng: RNGLike,
    **settings: Any,
) -> pd.DataFrame:
    """Simulate a law on a network; the arguments, and settings, are those of ``solve``.

    Returns
    -------
    DataFrame
        As ``solve`` returns it, with ``low`` and ``high`` in addition.
    """
    seed = as_seed(rng)
    dealt = profile_shares is not None and law.uses_profile
    number, runs = (_DEALS if dealt else 1), []
    for each in spawn_seeds(seed, number):
        draw = np.random.default_rng(each).choice
        who = draw(32, network.n, p=profile_shares) if dealt else None
        many = {"replicates": _REPLICATES // number, "profiles": who, "rng": each, **settings}
        runs.append(simulate(law, network, initial_infected, steps, **many).infected)
    infected = np.concatenate(runs).mean(axis=0)
    low, high = np.quantile(np.concatenate(runs), (0.025, 0.975), axis=0)
    curve = pd.DataFrame({"step": range(steps + 1), "susceptible": network.n - infected})
    curve = curve.assign(infected=infected, low=low, high=high)
    curve.attrs = {"method": "simulation", "replicates": _REPLICATES, "rng": seed}
    return curve
