"""Where the agents of the picture are: a layout of the network, the same every time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, diags_array
from scipy.sparse.linalg import eigsh
from scipy.spatial import cKDTree

from mesa_llmspread.model import SpreadModel
from mesa_llmspread.networks import Network

__all__ = ["layout", "picture"]

Floats = npt.NDArray[np.float64]

_ROUNDS = 60
# Agents farther apart than this do not push each other; the mean distance is about 1.
_REACH = 2.5


def picture(model: SpreadModel) -> dict[str, list[Any]]:
    """Return what stays the same in a model's picture over a run, as plain values for a browser.

    Parameters
    ----------
    model : SpreadModel

    Returns
    -------
    dict
        ``positions``: x and y of each agent in turn, between -1 and 1; ``edges``: the two
        ends of each edge in turn; ``profiles``: the agents' profile codes.
    """
    return {
        "positions": np.round(layout(model.network), 4).ravel().tolist(),
        "edges": model.network.edges().ravel().tolist(),
        "profiles": [agent.code for agent in model.spreaders],
    }


def layout(network: Network) -> Floats:
    """Return positions in which neighbours are near each other and no two agents overlap.

    Springs between neighbours and repulsion between agents that are near, cooling down
    (Fruchterman & Reingold 1991, doi:10.1002/spe.4380211102), from the first eigenvectors
    of the network.

    Parameters
    ----------
    network : Network

    Returns
    -------
    ndarray of float, shape (n, 2)
        Between -1 and 1; the same for the same network.
    """
    edges = network.edges()
    position = _start(network, np.random.default_rng(0))
    longest = np.sqrt(network.n) / 8
    for _ in range(_ROUNDS):
        near = cKDTree(position).query_pairs(_REACH, output_type="ndarray")
        force = _force(position, near, lambda distance: np.minimum(distance**-2, 20.0))
        force -= _force(position, edges, lambda distance: 0.06 * distance)
        length = np.maximum(np.hypot(*force.T), 1e-9)
        position = position + force * (np.minimum(length, longest) / length)[:, None]
        longest = max(0.94 * longest, 0.02)
    position -= (position.max(axis=0) + position.min(axis=0)) / 2
    return position / max(float(np.abs(position).max()), 1e-9)


def _start(network: Network, rng: np.random.Generator) -> Floats:
    """Return positions all over a disc, about one agent per unit of area."""
    n = network.n
    noise = rng.normal(size=(n, 2))
    root = np.sqrt(np.maximum(network.degrees, 1))
    adjacency = csr_matrix((np.ones(len(network.indices)), network.indices, network.indptr), (n, n))
    scaled = diags_array(1 / root) @ adjacency @ diags_array(1 / root)
    _, vectors = eigsh(scaled, k=3, which="LA", v0=rng.random(n), tol=1e-3)
    position = vectors[:, [1, 0]] / root[:, None]
    position -= position.mean(axis=0)
    position /= np.maximum(position.std(axis=0), 1e-9)
    return position * np.sqrt(n) * 0.31 + 0.3 * noise


def _force(
    position: Floats, pairs: npt.NDArray[Any], strength: Callable[[Floats], Floats]
) -> Floats:
    """Return the sum of the forces along pairs, each away from the other."""
    one, other = pairs.T
    apart = position[one] - position[other]
    distance = np.maximum(np.hypot(*apart.T), 0.05)
    apart *= strength(distance)[:, None]
    total = np.zeros_like(position)
    np.add.at(total, one, apart)
    np.subtract.at(total, other, apart)
    return total
