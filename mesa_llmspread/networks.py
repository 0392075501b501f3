"""Who sees whose posts: undirected simple networks, as compressed rows.

A :class:`Network` holds every agent's neighbours in one array, row after row, which is what
array code wants and what a million agents fit in; networkx graphs are converted to it and
from it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mesa_llmspread._edgelist import read_ends
from mesa_llmspread._random_regular import simple_pairing
from mesa_llmspread._validation import checked_int, checked_probability
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    UnknownNameError,
)
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

Ints = npt.NDArray[np.integer[Any]]

#: Names of the networks that :func:`make_network` can make.
NETWORKS = ("random_regular", "small_world", "scale_free")


class Network(NamedTuple):
    """An undirected simple network of n agents in compressed sparse rows.

    It is the pair ``(indptr, indices)``. Make one with a function of this module:
    :func:`as_network` checks what it is given, a ``Network`` is trusted.

    Attributes
    ----------
    indptr : ndarray of int64, shape (n + 1,)
        Where each agent's row of neighbours begins, and the last one ends.
    indices : ndarray of int32, shape (2 * number of edges,)
        The neighbours, sorted inside each row; every edge stands in both rows.

    Examples
    --------
    >>> network = random_regular(10, 3, rng=1)
    >>> network.n, len(network.edges()), set(network.degrees.tolist())
    (10, 15, {3})
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

    def neighbours(self, i: int) -> npt.NDArray[np.int32]:
        """Give the neighbours of agent i, in ascending order."""
        return self.indices[self.indptr[i] : self.indptr[i + 1]]

    def edges(self) -> npt.NDArray[np.int64]:
        """List the edges.

        Returns
        -------
        ndarray of int64, shape (number of edges, 2)
            Each edge once, the smaller agent first, in ascending order.
        """
        rows = np.repeat(np.arange(self.n), self.degrees)
        once = rows < self.indices
        return np.column_stack([rows[once], self.indices[once]])

    def to_networkx(self) -> nx.Graph[int]:
        """Make the networkx graph with nodes 0 to n - 1."""
        import networkx as nx

        graph: nx.Graph[int] = nx.Graph()
        graph.add_nodes_from(range(self.n))
        # What add_edges_from does, less its checks, which take most of the time.
        rows = graph._adj  # type: ignore[attr-defined]
        for u, v in self.edges().tolist():
            rows[u][v] = rows[v][u] = {}
        return graph


class EdgeList(NamedTuple):
    """A network read from a file.

    Attributes
    ----------
    network : Network
        The network.
    labels : tuple of str, length n
        The name each agent has in the file.
    """

    network: Network
    labels: tuple[str, ...]


def as_network(network: Any) -> Network:
    """Take a network as compressed rows, whatever it is given as.

    Parameters
    ----------
    network : Network, EdgeList, networkx.Graph or pair of array_like (indptr, indices)
        A graph's agents are numbered in its node order. A pair must be an undirected
        simple network; its rows need not be sorted.

    Returns
    -------
    Network
        A ``Network`` comes back as it is, unchecked.

    Raises
    ------
    ArgumentTypeError
        If it is none of these.
    ArgumentError
        If a graph is directed, a multigraph or empty, has self-loops, or a pair's arrays are
        not an undirected simple network.

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
        return _from_pair(network[0], network[1])
    raise ArgumentTypeError(
        "network", network, "a Network, a networkx.Graph or a pair (indptr, indices)"
    )


def node_names(network: Any, n: int) -> Sequence[Any]:
    """List the names of a network's nodes, in the order of the agents.

    Parameters
    ----------
    network : str, Network, EdgeList, networkx.Graph or pair of array_like
        As :func:`make_network` takes it.
    n : int
        Number of agents.

    Returns
    -------
    sequence
        A graph's nodes, the names in a file, or the numbers 0 to n - 1.
    """
    if isinstance(network, EdgeList):
        return network.labels
    return list(network.nodes) if hasattr(network, "nodes") else range(n)


def _from_graph(graph: nx.Graph[Any]) -> Network:
    """Convert a networkx graph in one pass over its adjacency."""
    if graph.is_directed() or graph.is_multigraph():
        raise ArgumentError("network", graph, "be undirected and without parallel edges")
    nodes = list(graph)
    if not nodes:
        raise ArgumentError("network", graph, "have at least one node")
    degrees = np.fromiter((len(row) for _, row in graph.adjacency()), np.int64, len(nodes))
    names: Iterator[Any] = itertools.chain.from_iterable(row for _, row in graph.adjacency())
    if nodes != list(range(len(nodes))):
        names = map({node: i for i, node in enumerate(nodes)}.__getitem__, names)
    indptr = np.concatenate([[0], np.cumsum(degrees)])
    network = Network(indptr, np.fromiter(names, np.int32, int(indptr[-1])))
    loop = _self_loop(network)
    if loop is not None:
        raise ArgumentError("network", graph, f"have no self-loops; node {nodes[loop]!r} has one")
    return _transposed(network)


def _from_pair(given_indptr: Any, given_indices: Any) -> Network:
    """Check that a pair is an undirected simple network."""
    indptr, indices = np.asarray(given_indptr), np.asarray(given_indices)
    for name, array in (("indptr", indptr), ("indices", indices)):
        # An empty list becomes an array of floats; it is a fine list of no neighbours.
        if array.ndim != 1 or not (np.issubdtype(array.dtype, np.integer) or array.size == 0):
            raise ArgumentTypeError(f"network {name}", array, "a one-dimensional array of ints")
    n, size = len(indptr) - 1, len(indices)
    if n < 1 or indptr[0] != 0 or indptr[-1] != size or (indptr[1:] < indptr[:-1]).any():
        raise ArgumentError("network indptr", indptr, f"rise from 0 to len(indices)={size}")
    if size and not 0 <= indices.min() <= indices.max() < n:
        raise ArgumentError("network indices", indices, f"lie within 0 and n - 1 = {n - 1}")
    network = Network(indptr.astype(np.int64), indices.astype(np.int32))
    loop = _self_loop(network)
    if loop is not None:
        raise ArgumentError("network", network, f"have no self-loops; agent {loop} has one")
    reverse = _transposed(network)
    network = _transposed(reverse)
    same_degrees = np.array_equal(network.indptr, reverse.indptr)
    if not (same_degrees and np.array_equal(network.indices, reverse.indices)):
        raise ArgumentError("network", network, "hold every edge in the rows of both its agents")
    ends_row = np.zeros(size, dtype=bool)
    ends_row[network.indptr[1:][network.degrees > 0] - 1] = True
    if ((np.diff(network.indices) == 0) & ~ends_row[:-1]).any():
        raise ArgumentError("network", network, "have no edge twice")
    return network


def _self_loop(network: Network) -> int | None:
    """Give the first agent that is its own neighbour."""
    rows = np.repeat(np.arange(network.n, dtype=np.int32), network.degrees)
    loops = np.flatnonzero(rows == network.indices)
    return int(rows[loops[0]]) if len(loops) else None


def _transposed(network: Network) -> Network:
    """Turn every edge round, which sorts the rows."""
    from scipy.sparse import csr_array

    n, (indptr, indices) = network.n, network
    matrix = csr_array((np.ones(len(indices), np.int8), indices, indptr), shape=(n, n)).tocsc()
    return Network(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32))


def _from_edges(n: int, ends: Ints) -> Network:
    """Make the network of an edge array of shape (m, 2); an edge may stand in it repeatedly."""
    u, v = ends.astype(np.int64).T
    keys = np.unique(np.concatenate([u * n + v, v * n + u]))
    rows, columns = np.divmod(keys, n)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n))])
    return Network(indptr, columns.astype(np.int32))


def random_regular(n: int, k: int, rng: RNGLike = None) -> Network:
    """Draw a random network in which every agent has exactly k neighbours.

    The configuration model (Bollobas 1980, doi:10.1016/S0195-6698(80)80030-8): k stubs an
    agent, paired at random. The few pairs that make a self-loop or repeat an edge (about
    k**2 / 4, whatever n is) are mended by swapping ends with random other pairs; what this
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
    ArgumentError
        If n < 2, k < 0, k >= n, or n * k is odd.
    ArgumentTypeError
        If n or k is not an int.

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
    generator = as_generator(rng)
    dense = k > (n - 1) // 2
    pairing = None
    while pairing is None:
        pairing = simple_pairing(n, n - 1 - k if dense else k, generator)
    neighbours = pairing.ravel()
    if dense:
        rest = ~np.eye(n, dtype=bool)
        np.put_along_axis(rest, pairing, False, axis=1)
        neighbours = np.nonzero(rest)[1].astype(np.int32)
    return Network(np.arange(n + 1, dtype=np.int64) * k, neighbours)


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
    ArgumentError
        If n < 3, k < 2, k >= n, k is odd, or rewire is outside [0, 1].
    ArgumentTypeError
        If n or k is not an int, or rewire is not a number.

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
    ArgumentError
        If n < 2, m < 1 or m >= n.
    ArgumentTypeError
        If n or m is not an int.

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
    """Make the network that a name stands for, or take the one given.

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
    UnknownNameError
        If the name is not known.
    ArgumentError, ArgumentTypeError
        If n, k or a given network is not allowed; see the functions that make it.
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

    One edge a line: two names, separated by a comma or by blanks; further columns, such as
    weights, are not used. Lines that begin with ``#`` are comments. An edge that stands
    there several times, or in both directions, is one edge.

    Parameters
    ----------
    path : path-like
        The file; whether it is gzipped is seen from its content.

    Returns
    -------
    EdgeList
        The network, and the agents' names in order of first appearance.

    Raises
    ------
    InputFileError
        If the file cannot be read, is not text, holds no edge, or has a line with fewer
        than two names, a self-loop or a header.
    """
    ends, labels = read_ends(path)
    return EdgeList(_from_edges(len(labels), ends), labels)
