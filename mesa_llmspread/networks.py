"""Who sees whose posts: undirected simple networks, as compressed rows.

A :class:`Network` holds every agent's neighbours in one array, row after row, for millions of
agents; networkx graphs are converted to it and from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mesa_llmspread import _adjacency
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

    Examples
    --------
    >>> network = random_regular(10, 4, rng=1)
    >>> network.n, network.degrees.tolist()
    (10, [4, 4, 4, 4, 4, 4, 4, 4, 4, 4])
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

    Networks are undirected: each of two neighbours sees the other's posts. A directed graph or
    an asymmetric matrix is refused; ``nx.Graph(graph)`` reads every link as mutual.

    Parameters
    ----------
    network : Network, EdgeList, networkx.Graph, DataFrame, adjacency matrix or pair of array_like
        A graph's agents are numbered in its node order. A DataFrame is a list of edges, in the
        columns ``source`` and ``target`` or the first two; an edge may stand there repeatedly. An
        adjacency matrix is a NumPy or SciPy sparse array of shape (n, n): what is not 0 is an
        edge. A pair is (indptr, indices), whose rows need not be sorted.

    Returns
    -------
    Network
        A ``Network`` is returned as it is, unchecked.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If it is something else, or a graph is directed, a multigraph or empty, has self-loops,
        or arrays are not an undirected simple network.

    Examples
    --------
    >>> as_network(([0, 1, 3, 4], [1, 2, 0, 1])).edges().tolist()
    [[0, 1], [1, 2]]
    >>> import pandas as pd
    >>> as_network(pd.DataFrame({"source": ["Ana", "Ben"], "target": ["Ben", "Cem"]})).n
    3
    """
    import networkx as nx
    import pandas as pd
    from scipy.sparse import issparse

    if isinstance(network, Network):
        return network
    if isinstance(network, EdgeList):
        return network.network
    if isinstance(network, pd.DataFrame):
        ends, names = _adjacency.ends_of_frame(network)
        return Network(*_adjacency.rows_of_edges(len(names), ends))
    if isinstance(network, nx.Graph):
        return Network(*_adjacency.rows_of_graph(network))
    if issparse(network) or isinstance(network, np.ndarray):
        return Network(*_adjacency.rows_of_matrix(network))
    if isinstance(network, tuple | list) and len(network) == 2:
        return Network(*_adjacency.rows_of_pair(network))
    allowed = "a graph, a table of edges, an adjacency matrix or a pair (indptr, indices)"
    raise ArgumentTypeError("network", network, allowed)


def node_names(network: Any, n: int) -> Sequence[Any]:
    """Return the names of a network's nodes, in the order of its n agents.

    These are a graph's nodes, the names in a file or table, or the numbers 0 to n - 1, for a
    network as :func:`make_network` takes it.
    """
    import pandas as pd

    if isinstance(network, EdgeList):
        return network.labels
    if isinstance(network, pd.DataFrame):
        return _adjacency.ends_of_frame(network)[1]
    return list(network.nodes) if hasattr(network, "nodes") else range(n)


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

    Examples
    --------
    >>> float(small_world(100, 4, rng=1).degrees.mean())
    4.0
    """
    import networkx as nx

    n = checked_int("n", n, 3)
    k = checked_int("k", k, 2)
    if k >= n or k % 2:
        raise ArgumentError("k", k, f"be even and less than n={n}")
    rewire = checked_probability("rewire", rewire)
    seed = int(as_generator(rng).integers(2**32))
    return as_network(nx.watts_strogatz_graph(n, k, rewire, seed=seed))


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

    Examples
    --------
    >>> int(scale_free(100, 2, rng=1).degrees.min())
    2
    """
    import networkx as nx

    n = checked_int("n", n, 2)
    m = checked_int("m", m, 1)
    if m >= n:
        raise ArgumentError("m", m, f"be less than n={n}")
    seed = int(as_generator(rng).integers(2**32))
    return as_network(nx.barabasi_albert_graph(n, m, seed=seed))


def make_network(network: Any, n: int, k: int, rng: RNGLike = None) -> Network:
    """Build the network that a name stands for, or return the one given.

    Parameters
    ----------
    network : str, or anything that :func:`as_network` takes
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
    weights, are not used. A name in double quotation marks may hold commas and blanks. Lines
    that begin with ``#`` are comments. An edge that stands there several times, or in both
    directions, is one edge.

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

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "edges.txt")
    >>> _ = file.write_text("Ana,Ben")
    >>> read_edgelist(file).labels
    ('Ana', 'Ben')
    """
    ends, labels = _adjacency.read_ends(path)
    return EdgeList(Network(*_adjacency.rows_of_edges(len(labels), ends)), labels)
