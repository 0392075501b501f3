"""Where the agents stand: a layout of the network, computed once and the same every time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, diags_array
from scipy.sparse.linalg import eigsh
from scipy.spatial import cKDTree

from mesa_llmspread.model import SpreadModel
from mesa_llmspread.networks import Network

__all__ = ["Stage", "layout", "make_stage"]

Floats = npt.NDArray[np.float64]

_ROUNDS = 60
# Agents farther apart than this do not push each other; the mean distance is about 1.
_REACH = 2.5


@dataclass(frozen=True)
class Stage:
    """What of a network stays the same over a run, as plain values for a browser.

    Attributes
    ----------
    positions : list of float, length 2 n
        x and y of every agent in turn, each between -1 and 1.
    edges : list of int, length 2 m
        The two ends of every edge in turn.
    profiles : list of str, length n
        The agents' profile codes.
    """

    positions: list[float]
    edges: list[int]
    profiles: list[str]


def make_stage(model: SpreadModel) -> Stage:
    """Lay a model's network out.

    Parameters
    ----------
    model : SpreadModel

    Returns
    -------
    Stage
    """
    return Stage(
        np.round(layout(model.network), 4).ravel().tolist(),
        model.network.edges().ravel().tolist(),
        [agent.code for agent in model.spreaders],
    )


def layout(network: Network) -> Floats:
    """Place agents so that neighbours are near and nobody stands on another.

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
    n = network.n
    edges = network.edges()
    position = _start(network, np.random.default_rng(0))
    longest = np.sqrt(n) / 8
    for _ in range(_ROUNDS):
        near = cKDTree(position).query_pairs(_REACH, output_type="ndarray")
        force = _pull(position, near, lambda distance: np.minimum(distance**-2, 20.0))
        force -= _pull(position, edges, lambda distance: 0.06 * distance)
        length = np.maximum(np.hypot(*force.T), 1e-9)
        position = position + force * (np.minimum(length, longest) / length)[:, None]
        longest = max(0.94 * longest, 0.02)
    position -= (position.max(axis=0) + position.min(axis=0)) / 2
    return position / max(float(np.abs(position).max()), 1e-9)


def _start(network: Network, rng: np.random.Generator) -> Floats:
    """Spread the agents over a disc with about one agent a unit of area."""
    n = network.n
    noise = rng.normal(size=(n, 2))
    if n < 5:
        return noise
    scale = diags_array(1 / np.sqrt(np.maximum(network.degrees, 1)))
    ones = np.ones(len(network.indices))
    adjacency = csr_matrix((ones, network.indices, network.indptr), shape=(n, n))
    _, vectors = eigsh(scale @ adjacency @ scale, k=3, which="LA", v0=rng.random(n), tol=1e-3)
    position = vectors[:, [1, 0]] / np.sqrt(np.maximum(network.degrees, 1))[:, None]
    position -= position.mean(axis=0)
    spread = np.maximum(position.std(axis=0), 1e-9)
    return position / spread * np.sqrt(n) * 0.31 + 0.3 * noise


def _pull(position: Floats, pairs: npt.NDArray[Any], strength: Any) -> Floats:
    """Add up the forces along pairs, each away from the other."""
    one, other = pairs.T
    apart = position[one] - position[other]
    distance = np.maximum(np.hypot(*apart.T), 0.05)
    apart *= strength(distance)[:, None]
    n = len(position)
    return np.column_stack(
        [
            np.bincount(one, apart[:, axis], n) - np.bincount(other, apart[:, axis], n)
            for axis in (0, 1)
        ]
    )
