"""The network and the profiles of a run, built again from what is known of it.

Equations and the compiled engine run on these, to be compared with the model's own run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mesa_llmspread.data import RunInfo, SpreadData
from mesa_llmspread.exceptions import ArgumentError, UndefinedClosureError
from mesa_llmspread.networks import Network, as_network, make_network
from mesa_llmspread.profiles import Trait, by_code
from mesa_llmspread.rng import Streams
from mesa_llmspread.transmission import TransmissionLaw

__all__ = ["dealt_profiles", "network_of", "profile_shares"]

Floats = npt.NDArray[np.float64]


def network_of(info: RunInfo, network: Any = None) -> Network | None:
    """Return the network of a run: the one given, or the run's own, built again from its seed.

    Parameters
    ----------
    info : RunInfo
        The run's, ``data.info[run]``.
    network : Network, graph, table or array, optional
        The network, where it was given to the model as a graph.

    Returns
    -------
    Network or None
        None where the network was a graph and is not given, or where its recipe now gives
        other degrees than the run had (another version of networkx).

    Raises
    ------
    ArgumentError
        If the given network does not have as many nodes as the run had.

    Examples
    --------
    >>> from mesa_llmspread import SpreadData, SpreadModel
    >>> model = SpreadModel(n=20, k=4, network="small_world", rng=1)
    >>> again = network_of(SpreadData.from_model(model).info[0])
    >>> bool((again.edges() == model.network.edges()).all())
    True
    """
    n, name = info.known("n"), info.network
    if network is not None:
        found = as_network(network)
        if found.n != n:
            raise ArgumentError("network", f"{found.n} nodes", f"have n={n}, as the run had")
        return found
    if name in ("given", "unknown"):
        return None
    k = info.known("k")
    asked = [round(k)]
    if name == "scale_free":
        # The mean degree lies below the k asked for: newcomers bring m (n - m) edges in all.
        edges = round(k * n / 2)
        asked = [2 * m for m in range(1, n) if m * (n - m) == edges]
    for k in asked:
        made = make_network(name, n, k, Streams(info.known("rng")).network)
        if Counter(made.degrees.tolist()) == info.degrees:
            return made
    return None


def profile_shares(data: SpreadData, runs: Sequence[int], law: TransmissionLaw) -> Floats:
    """Return the share of each of the 32 profiles among the agents of some runs, for equations.

    Parameters
    ----------
    data : SpreadData
    runs : sequence of int
    law : TransmissionLaw
        Which the equations are of.

    Returns
    -------
    ndarray of float, shape (32,)
        In the order of ``all_profiles()``.

    Raises
    ------
    UndefinedClosureError
        If the law uses trait levels, and the agents have others than the 32 profiles.
    """
    if law.uses_traits and not all(_is_binary(_levels(data, run)) for run in runs):
        raise UndefinedClosureError(
            "law", law, "not use trait levels, where agents have others than the 32 profiles"
        )
    counts = np.sum([by_code(data.info[run].known("profiles")) for run in runs], axis=0)
    return np.asarray(counts / counts.sum())


def dealt_profiles(
    data: SpreadData, run: int, rng: np.random.Generator
) -> npt.NDArray[np.intp] | Floats:
    """Return the profiles that a run had, in random order of the agents.

    Parameters
    ----------
    data : SpreadData
    run : int
    rng : numpy.random.Generator
        Randomness.

    Returns
    -------
    ndarray
        As ``simulate`` takes them: one index, 0 to 31, per agent; or five trait levels, where
        they are known and not those of the 32 profiles.
    """
    info, levels = data.info[run], _levels(data, run)
    if len(levels) == info.n and np.isfinite(levels).all() and not _is_binary(levels):
        return rng.permutation(levels)
    counts = by_code(info.known("profiles")).astype(int)
    return rng.permutation(np.repeat(np.arange(32), counts))


def _levels(data: SpreadData, run: int) -> Floats:
    """Return the trait levels of the agents that a record knows of a run."""
    agents = data.agents[data.agents["run"] == run]
    return agents[[trait.value for trait in Trait]].to_numpy()


def _is_binary(levels: Floats) -> bool:
    """Return whether all levels are those of the 32 profiles."""
    return bool((np.abs(levels) == 1).all())
