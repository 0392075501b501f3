"""Networks in other forms, as compressed rows, for :mod:`mesa_llmspread.networks`."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, InputFileError
from mesa_llmspread.io import read_text

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd

Rows = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]
Ends = tuple[npt.NDArray[np.int64], tuple[Any, ...]]

_HEADER = re.compile(
    r"source|target|src|dst|from|to|sender|receiver|ego|alter|"
    r"(node|vertex|id|name|person|user|agent)[_ ]?(\d+|[ab])?",
    re.IGNORECASE,
)
_MUTUAL = "here each of two neighbours sees the other's posts"


def rows_of_graph(graph: nx.Graph[Any]) -> Rows:
    """Convert a networkx graph."""
    if graph.is_directed() or graph.is_multigraph():
        allowed = f"be undirected and without parallel edges, as {_MUTUAL}: nx.Graph(graph) is"
        raise ArgumentError("network", graph, allowed)
    if not graph:
        raise ArgumentError("network", graph, "have at least one node")
    for node in graph:
        if graph.has_edge(node, node):
            raise ArgumentError("network", graph, f"have no self-loops; node {node!r} has one")
    index = {node: i for i, node in enumerate(graph)}
    ends = np.fromiter(map(index.__getitem__, itertools.chain.from_iterable(graph.edges)), np.int64)
    return rows_of_edges(len(graph), ends.reshape(-1, 2))


def rows_of_pair(pair: Sequence[Any]) -> Rows:
    """Convert a pair (indptr, indices) that is an undirected simple network."""
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
    return _rows_of_counts(matrix, pair)


def rows_of_matrix(matrix: Any) -> Rows:
    """Convert an adjacency matrix, dense or of SciPy: what is not 0 is an edge."""
    from scipy.sparse import csr_array

    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.shape[0]:
        allowed = f"be a square adjacency matrix, not of shape {matrix.shape}"
        raise ArgumentError("network", matrix, allowed)
    if matrix.dtype.kind not in "biuf":
        raise ArgumentTypeError("network", matrix, "an adjacency matrix of numbers")
    given: Any = csr_array(matrix)
    if not np.isfinite(given.data).all():
        raise ArgumentError("network", matrix, "have no missing or infinite entry")
    return _rows_of_counts((given != 0).astype(np.int32).tocsr(), matrix)


def _rows_of_counts(matrix: Any, network: Any) -> Rows:
    """Convert a square sparse array of how often each edge is there, if it is simple."""
    for i in np.flatnonzero(matrix.diagonal()).tolist():
        raise ArgumentError("network", network, f"have no self-loops; node {i} has one")
    if (matrix != matrix.T).nnz:
        allowed = f"hold every edge in the rows of both its agents, as {_MUTUAL}"
        raise ArgumentError("network", network, allowed)
    matrix.sum_duplicates()
    if (matrix.data > 1).any():
        raise ArgumentError("network", network, "have no edge twice")
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32)


def ends_of_frame(frame: pd.DataFrame) -> Ends:
    """Return the edges of a table, shape (rows, 2), and the names of its nodes.

    Names stand in its first two columns, or in ``source`` and ``target`` as in networkx; they
    are numbered in order of first appearance, row by row.
    """
    import pandas as pd

    pair = ["source", "target"] if {"source", "target"} <= set(frame) else list(frame)[:2]
    if len(pair) < 2 or frame.empty:
        raise ArgumentError("network", frame, "have edges, with nodes in two columns")
    named = frame[pair]
    if named.isna().to_numpy().any():
        raise ArgumentError("network", frame, "name both nodes of every edge")
    codes, names = pd.factorize(named.to_numpy(object).ravel())
    ends = codes.astype(np.int64).reshape(-1, 2)
    for row in np.flatnonzero(ends[:, 0] == ends[:, 1]).tolist():
        allowed = f"have no self-loops; row {row} joins {names[ends[row, 0]]!r} to itself"
        raise ArgumentError("network", frame, allowed)
    return ends, tuple(names.tolist())


def read_ends(path: str | Path) -> Ends:
    """Read the edges of a file, and number the names in order of first appearance.

    Parameters
    ----------
    path : path-like
        See :func:`mesa_llmspread.networks.read_edgelist`.

    Returns
    -------
    ends : ndarray of int, shape (lines with an edge, 2)
    labels : tuple of str
    """
    numbers: dict[str, int] = {}
    ends: list[tuple[int, int]] = []
    first_row = 0
    for row, line in enumerate(io.StringIO(read_text(path), newline=None), start=1):
        line = line.strip()
        if not line or line[0] == "#":
            continue
        try:
            names = _columns(line)
        except csv.Error as error:
            problem = f"{line!r:.60} has quotation marks that do not enclose a name"
            raise InputFileError(path, problem, row=row) from error
        if len(names) < 2 or not (names[0] and names[1]):
            raise InputFileError(path, f"an edge needs two names, not {line!r:.60}", row=row)
        if names[0] == names[1]:
            raise InputFileError(path, f"self-loop at {names[0]!r}: remove the line", row=row)
        first_row = first_row or row
        u = numbers.setdefault(names[0], len(numbers))
        ends.append((u, numbers.setdefault(names[1], len(numbers))))
    if not ends:
        raise InputFileError(path, "holds no edges")
    labels = tuple(numbers)
    if _is_header(labels, ends):
        problem = f"{labels[0]!r}, {labels[1]!r} looks like a header: begin the line with #"
        raise InputFileError(path, problem, row=first_row)
    return np.array(ends), labels


def _columns(line: str) -> list[str]:
    """Return the columns of a line; what stands in quotation marks belongs to a name."""
    between = next((sign for sign in "\t,;" if sign in line), None)
    if '"' not in line:
        return [part.strip() for part in line.split(between)]
    between, text = (between, line) if between else (" ", " ".join(line.split()))
    (columns,) = csv.reader([text], delimiter=between, skipinitialspace=True, strict=True)
    return [column.strip() for column in columns]


def _is_header(labels: Sequence[str], ends: Sequence[tuple[int, int]]) -> bool:
    """Return whether the first line, the edge of nodes 0 and 1, is a header."""
    first, others = labels[:2], labels[2:]
    if others and all(map(str.isdigit, others)):
        return not any(map(str.isdigit, first))
    if any(min(edge) < 2 for edge in ends[1:]) or any(map(_HEADER.fullmatch, others)):
        return False
    return all(map(_HEADER.fullmatch, first))


def rows_of_edges(n: int, ends: npt.NDArray[np.int64]) -> Rows:
    """Convert an edge array of shape (m, 2); an edge may stand in it repeatedly."""
    from scipy.sparse import coo_array

    both = np.concatenate([ends, ends[:, ::-1]]).T
    matrix = coo_array((np.ones(both.shape[1], np.int32), both), (n, n)).tocsr()
    matrix.sort_indices()
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32)
