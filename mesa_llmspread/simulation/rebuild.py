"""The network and the profiles of a run, built again from what is known of it.

Equations and the compiled engine run on these, to be compared with the model's own run.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from mesa_llmspread.data.run_info import RunInfo
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.networks import Network, make_network
from mesa_llmspread.profiles import by_code
from mesa_llmspread.rng import Streams

__all__ = ["dealt_profiles", "network_of", "profile_counts"]


def network_of(info: RunInfo, network: Network | None = None) -> Network | None:
    """Return the network of a run: the one given, or the run's own, built again from its seed.

    Parameters
    ----------
    info : RunInfo
        The run's, ``data.info[run]``.
    network : Network, optional
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
        if network.n != n:
            raise ArgumentError("network", f"{network.n} nodes", f"have n={n}, as the run had")
        return network
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


def profile_counts(info: RunInfo) -> npt.NDArray[np.int64]:
    """Count the agents of each of the 32 profiles in a run.

    Parameters
    ----------
    info : RunInfo
        The run's.

    Returns
    -------
    ndarray of int, shape (32,)
        In the order of ``all_profiles()``.
    """
    return by_code(info.known("profiles")).astype(np.int64)


def dealt_profiles(info: RunInfo, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Return the profiles that a run had, in random order of the agents.

    Parameters
    ----------
    info : RunInfo
        The run's.
    rng : numpy.random.Generator
        Randomness.

    Returns
    -------
    ndarray of int, shape (n,)
        One index, 0 to 31, per agent.
    """
    return rng.permutation(np.repeat(np.arange(32), profile_counts(info)))
