"""Who sees whose posts: undirected simple networks, as compressed rows.

A :class:`Network` holds every agent's neighbours in one array, row after row, for millions of
agents; networkx graphs are converted to it and from it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mesa_llmspread._edgelist import read_ends
from mesa_llmspread._random_regular import neighbours
from mesa_llmspread._validation import checked_int, checked_probability
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, UnknownNameError
from mesa_llmspread.rng import RNGLike, as_generator

if TYPE_CHECKING:
    import networkx as nx

__all__ = [
    "NETWORKS",
    "EdgeList",
    "Network",
    "as_network",
    "make_network",
    "node_names",
    "random_regular",
    "read_edgelist",
    "scale_free",
    "small_world",
]

#: Names of the networks that :func:`make_network` can make.
NETWORKS = ("random_regular", "small_world", "scale_free")


# Number of paths of two edges above which transitivity is that of a random part of the agents.
_MOST_PATHS = 20_000_000


class Network(NamedTuple):
    """An undirected simple network of n agents in compressed sparse rows.

    It is the pair ``(indptr, indices)``, trusted as it is; :func:`as_network` validates one.

    Attributes
    ----------
    indptr : ndarray of int64, shape (n + 1,)
        Where each agent's row of neighbours begins, and the last one ends.
    indices : ndarray of int32, shape (2 * number of edges,)
        The neighbours, sorted inside each row; every edge stands in both rows.
    """

    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int32]

    @property
    def n(self) -> int:
        """Number of agents."""
        return len(self.indptr) - 1

    @property
    def degrees(self) -> npt.NDArray[np.int64]:
        """Number of neighbours of each agent, shape (n,)."""
        return np.diff(self.indptr)

    @property
    def transitivity(self) -> float:
        """Share of the pairs of an agent's neighbours that are neighbours themselves, 0 to 1."""
        from scipy.sparse import csr_array

        ones = np.ones(len(self.indices), np.int32)
        matrix: Any = csr_array((ones, self.indices, self.indptr), (self.n, self.n))
        agents = np.random.default_rng(0).permutation(self.n)
        agents = agents[(matrix @ self.degrees)[agents].cumsum() <= _MOST_PATHS]
        rows, degrees = matrix[agents], self.degrees[agents]
        closed = (rows @ matrix).multiply(rows).sum()
        return float(closed / max(1, (degrees * (degrees - 1)).sum()))

    def neighbours(self, i: int) -> npt.NDArray[np.int32]:
        """Return the neighbours of agent i, in ascending order."""
        return self.indices[self.indptr[i] : self.indptr[i + 1]]

    def edges(self) -> npt.NDArray[np.int64]:
        """Return the edges.

        Returns
        -------
        ndarray of int64, shape (number of edges, 2)
            Each edge once, the smaller agent first, in ascending order.
        """
        rows = np.repeat(np.arange(self.n), self.degrees)
        once = rows < self.indices
        return np.column_stack([rows[once], self.indices[once]])

    def to_networkx(self) -> nx.Graph[int]:
        """Return the network as a networkx graph with nodes 0 to n - 1."""
        import networkx as nx

        graph: nx.Graph[int] = nx.Graph()
        graph.add_nodes_from(range(self.n))
        graph.add_edges_from(self.edges().tolist())
        return graph


class EdgeList(NamedTuple):
    """A ``network`` read from a file, and the ``labels`` that its agents have there."""

    network: Network
    labels: tuple[str, ...]


def as_network(network: Any) -> Network:
    """Return a network, given in one of several forms, as compressed rows.

    Parameters
    ----------
    network : Network, EdgeList, networkx.Graph or pair of array_like (indptr, indices)
        A graph's agents are numbered in its node order. A pair must be an undirected
        simple network; its rows need not be sorted.

    Returns
    -------
    Network
        A ``Network`` is returned as it is, unchecked.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If it is something else, or a graph is directed, a multigraph or empty, has self-loops,
        or a pair's arrays are not an undirected simple network.

    Examples
    --------
    >>> as_network(([0, 1, 3, 4], [1, 2, 0, 1])).edges().tolist()
    [[0, 1], [1, 2]]
    """
    import networkx as nx

    if isinstance(network, Network):
        return network
    if isinstance(network, EdgeList):
        return network.network
    if isinstance(network, nx.Graph):
        return _from_graph(network)
    if isinstance(network, tuple | list) and len(network) == 2:
        return _from_pair(network)
    raise ArgumentTypeError(
        "network", network, "a Network, a networkx.Graph or a pair (indptr, indices)"
    )


def node_names(network: Any, n: int) -> Sequence[Any]:
    """Return the names of a network's nodes, in the order of its n agents.

    These are a graph's nodes, the names in a file, or the numbers 0 to n - 1, for a network as
    :func:`make_network` takes it.
    """
    if isinstance(network, EdgeList):
        return network.labels
    return list(network.nodes) if hasattr(network, "nodes") else range(n)


def _from_graph(graph: nx.Graph[Any]) -> Network:
    """Convert a networkx graph."""
    if graph.is_directed() or graph.is_multigraph():
        raise ArgumentError("network", graph, "be undirected and without parallel edges")
    if not graph:
        raise ArgumentError("network", graph, "have at least one node")
    for node in graph:
        if graph.has_edge(node, node):
            raise ArgumentError("network", graph, f"have no self-loops; node {node!r} has one")
    index = {node: i for i, node in enumerate(graph)}
    ends = np.fromiter(map(index.__getitem__, itertools.chain.from_iterable(graph.edges)), np.int64)
    return _from_edges(len(graph), ends.reshape(-1, 2))


def _from_pair(pair: Sequence[Any]) -> Network:
    """Convert a pair of arrays that is an undirected simple network."""
    from scipy.sparse import csr_array

    indptr, indices = map(np.asarray, pair)
    for array in (indptr, indices):
        # An empty list becomes an array of floats; it is a fine list of no neighbours.
        if array.ndim != 1 or not (np.issubdtype(array.dtype, np.integer) or array.size == 0):
            raise ArgumentTypeError("network", pair, "a pair of one-dimensional arrays of ints")
    n, size = len(indptr) - 1, len(indices)
    if n < 1 or indptr[-1] != size:
        raise ArgumentError("network", pair, f"have an indptr that ends with len(indices)={size}")
    parts = np.ones(size, np.int32), indices.astype(np.int32), indptr.astype(np.int64)
    try:
        matrix: Any = csr_array(parts, (n, n))
        matrix.check_format()
    except ValueError as error:
        raise ArgumentError("network", pair, f"be compressed sparse rows: {error}") from error
    for i in np.flatnonzero(matrix.diagonal()).tolist():
        raise ArgumentError("network", pair, f"have no self-loops; node {i} has one")
    if (matrix != matrix.T).nnz:
        raise ArgumentError("network", pair, "hold every edge in the rows of both its agents")
    matrix.sum_duplicates()
    if (matrix.data > 1).any():
        raise ArgumentError("network", pair, "have no edge twice")
    return Network(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32))


def _from_edges(n: int, ends: npt.NDArray[np.int64]) -> Network:
    """Build the network of an edge array of shape (m, 2); an edge may stand in it repeatedly."""
    from scipy.sparse import coo_array

    both = np.concatenate([ends, ends[:, ::-1]]).T
    matrix = coo_array((np.ones(both.shape[1], np.int32), both), (n, n)).tocsr()
    matrix.sort_indices()
    return Network(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32))


def random_regular(n: int, k: int, rng: RNGLike = None) -> Network:
    """Draw a random network in which every agent has exactly k neighbours.

    The configuration model (Bollobas 1980, doi:10.1016/S0195-6698(80)80030-8): k stubs
    per agent, paired at random. The few pairs that make a self-loop or repeat an edge (about
    k**2 / 4, for any n) are replaced by swapping ends with random other pairs; what this
    adds to the uniform law vanishes as n grows. Where k exceeds half of n, the complement
    is drawn.

    Parameters
    ----------
    n : int
        Number of agents, at least 2.
    k : int
        Neighbours of each agent, 0 to n - 1.
    rng : int, numpy.random.Generator or None
        Randomness.

    Returns
    -------
    Network

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If n < 2, k < 0, k >= n, n * k is odd, or one of them is not an int.

    Examples
    --------
    >>> random_regular(4, 3).edges().tolist()
    [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    """
    n = checked_int("n", n, 2)
    k = checked_int("k", k, 0)
    if k >= n:
        raise ArgumentError("k", k, f"be less than n={n}")
    if n * k % 2:
        raise ArgumentError("k", k, f"make n * k even; with n={n}, k={k} neighbours do not pair up")
    return Network(np.arange(n + 1, dtype=np.int64) * k, neighbours(n, k, as_generator(rng)))


def small_world(n: int, k: int, rewire: float = 0.1, rng: RNGLike = None) -> Network:
    """Draw a Watts-Strogatz network: a ring of near neighbours, some edges rewired.

    Parameters
    ----------
    n : int
        Number of agents, at least 3.
    k : int
        Mean number of neighbours: even, 2 to n - 1.
    rewire : float, default 0.1
        Probability that an edge's far end moves to a random agent.
    rng : int, numpy.random.Generator or None
        Randomness.

    Returns
    -------
    Network

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If n < 3, k < 2, k >= n, k is odd, one of them is not an int, or rewire is not a
        probability.

    References
    ----------
    Watts & Strogatz 1998, doi:10.1038/30918.
    """
    import networkx as nx

    n = checked_int("n", n, 3)
    k = checked_int("k", k, 2)
    if k >= n or k % 2:
        raise ArgumentError("k", k, f"be even and less than n={n}")
    rewire = checked_probability("rewire", rewire)
    seed = int(as_generator(rng).integers(2**32))
    return _from_graph(nx.watts_strogatz_graph(n, k, rewire, seed=seed))


def scale_free(n: int, m: int, rng: RNGLike = None) -> Network:
    """Draw a Barabasi-Albert network: every newcomer links to m agents, the popular ones first.

    Parameters
    ----------
    n : int
        Number of agents, at least 2.
    m : int
        Edges that each newcomer brings, 1 to n - 1; the mean degree is about 2 * m.
    rng : int, numpy.random.Generator or None
        Randomness.

    Returns
    -------
    Network

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If n < 2, m < 1, m >= n, or one of them is not an int.

    References
    ----------
    Barabasi & Albert 1999, doi:10.1126/science.286.5439.509.
    """
    import networkx as nx

    n = checked_int("n", n, 2)
    m = checked_int("m", m, 1)
    if m >= n:
        raise ArgumentError("m", m, f"be less than n={n}")
    seed = int(as_generator(rng).integers(2**32))
    return _from_graph(nx.barabasi_albert_graph(n, m, seed=seed))


def make_network(network: Any, n: int, k: int, rng: RNGLike = None) -> Network:
    """Build the network that a name stands for, or return the one given.

    Parameters
    ----------
    network : str, Network, EdgeList, networkx.Graph or pair of array_like (indptr, indices)
        A name of :data:`NETWORKS`; ``"scale_free"`` lets every newcomer bring k // 2 edges,
        so that the mean degree is about k. Anything else goes through :func:`as_network`,
        and ``n`` and ``k`` are not used.
    n : int
        Number of agents.
    k : int
        (Mean) number of neighbours.
    rng : int, numpy.random.Generator or None
        Randomness.

    Returns
    -------
    Network

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the name, n, k or a given network is not allowed; see the functions that build it.
    """
    if not isinstance(network, str):
        return as_network(network)
    if network == "random_regular":
        return random_regular(n, k, rng)
    if network == "small_world":
        return small_world(n, k, rng=rng)
    if network == "scale_free":
        return scale_free(n, checked_int("k", k, 2) // 2, rng)
    if "." in network or "/" in network:
        known = f"be one of {', '.join(NETWORKS)}, or what read_edgelist returns for a file"
        raise ArgumentError("network", network, known)
    raise UnknownNameError("network", network, NETWORKS)


def read_edgelist(path: str | Path) -> EdgeList:
    """Read a network from a file of edges, plain or gzipped.

    One edge per line: two names, separated by a comma or by blanks; further columns, such as
    weights, are not used. Lines that begin with ``#`` are comments. An edge that stands
    there several times, or in both directions, is one edge.

    Parameters
    ----------
    path : path-like
        The file; whether it is gzipped is seen from its content.

    Returns
    -------
    EdgeList
        Its labels are in order of first appearance.

    Raises
    ------
    InputFileError
        If the file cannot be read, is not text, holds no edge, or has a line with fewer
        than two names, a self-loop or a header.
    """
    ends, labels = read_ends(path)
    return EdgeList(_from_edges(len(labels), ends), labels)
