"""Trees of who had the news from whom, and their shape."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from mesa_llmspread.exceptions import ArgumentError

__all__ = ["NOBODY", "Forest", "Sources"]

Ints = npt.NDArray[np.int64]

#: The parent of whoever has the news from nobody on the network.
NOBODY = -1


@dataclass(frozen=True)
class Forest:
    """One way the news may have travelled: a tree for everyone who had it from nobody.

    Parameters
    ----------
    parent : array_like of int, shape (spreaders,)
        The row of the spreader that each spreader had the news from, which comes before its
        own; -1 for the root of a tree.

    Raises
    ------
    ArgumentError
        If a parent does not come before its child.

    Examples
    --------
    A star of three and a chain of three:

    >>> forest = Forest([-1, -1, 0, 0, 1, 4])
    >>> forest.trees()["structural_virality"].round(3).tolist()
    [1.333, 1.333]
    >>> forest.depths.tolist(), forest.breadth
    ([0, 0, 1, 1, 1, 2], 3)
    """

    parent: Ints

    def __post_init__(self) -> None:
        parent = np.asarray(self.parent, dtype=np.int64)
        wrong = np.flatnonzero((parent < NOBODY) | (parent >= np.arange(len(parent))))
        if len(wrong):
            raise ArgumentError(
                f"parent[{wrong[0]}]", int(parent[wrong[0]]), "be -1 or a row before its own"
            )
        object.__setattr__(self, "parent", parent)

    @cached_property
    def _rooted(self) -> tuple[Ints, Ints]:
        """Depth and root of every spreader, by doubling the jumps towards the root."""
        up = np.where(self.parent == NOBODY, np.arange(len(self.parent)), self.parent)
        depths = (self.parent != NOBODY).astype(np.int64)
        while depths[up].any():
            depths, up = depths + depths[up], up[up]
        return depths, up

    @property
    def depths(self) -> Ints:
        """Steps between each spreader and the root of its tree, shape (spreaders,)."""
        return self._rooted[0]

    @property
    def roots(self) -> Ints:
        """Row of the root of each spreader's tree, shape (spreaders,)."""
        return self._rooted[1]

    @property
    def depth(self) -> int:
        """Depth of the deepest tree."""
        return int(self.depths.max(initial=0))

    @property
    def generations(self) -> Ints:
        """Spreaders at each depth, over all trees, shape (depth + 1,)."""
        return np.bincount(self.depths)

    @property
    def breadth(self) -> int:
        """The largest number of spreaders at one depth, over all trees."""
        return int(self.generations.max(initial=0))

    @property
    def structural_virality(self) -> float:
        """Mean distance between two spreaders of the same tree; NaN without such a pair.

        For a single tree it is the structural virality of Goel et al. (2016),
        doi:10.1287/mnsc.2015.2158.
        """
        trees = self.trees()
        pairs = trees["size"] * (trees["size"] - 1)
        total = (trees["structural_virality"] * pairs).sum()
        return float(total / pairs.sum()) if pairs.any() else float("nan")

    def descendants(self) -> Ints:
        """Count everyone who had the news by way of each spreader, itself included."""
        count = np.ones(len(self.parent), dtype=np.int64)
        for depth in range(self.depth, 0, -1):
            rows = np.flatnonzero(self.depths == depth)
            np.add.at(count, self.parent[rows], count[rows])
        return count

    def trees(self) -> pd.DataFrame:
        """Measure every tree.

        Returns
        -------
        DataFrame
            One row a tree: ``root`` (its row), ``size`` (spreaders, the root included),
            ``depth`` (the longest way from the root), ``breadth`` (the most spreaders at
            one depth) and ``structural_virality`` (the mean distance between two of its
            spreaders, Goel et al. 2016; NaN for a root alone).

        Notes
        -----
        Distances are summed edge by edge: an edge with s spreaders below it, in a tree of
        n, lies on the ways between s (n - s) pairs.
        """
        depths, roots = self._rooted
        root, tree = np.unique(roots, return_inverse=True)
        size = np.bincount(tree, minlength=len(root))
        deepest = np.zeros(len(root), dtype=np.int64)
        np.maximum.at(deepest, tree, depths)
        levels = np.zeros((len(root), self.depth + 1), dtype=np.int64)
        np.add.at(levels, (tree, depths), 1)
        below = self.descendants()
        crossings = np.bincount(tree, weights=below * (size[tree] - below), minlength=len(root))
        pairs = size * (size - 1) / 2
        virality = np.divide(crossings, pairs, out=np.full(len(root), np.nan), where=pairs > 0)
        return pd.DataFrame(
            {
                "root": root,
                "size": size,
                "depth": deepest,
                "breadth": levels.max(axis=1),
                "structural_virality": virality,
            }
        )


class Sources(NamedTuple):
    """From whom each spreader may have had the news, in compressed rows.

    Attributes
    ----------
    indptr : ndarray of int64, shape (spreaders + 1,)
        Where each spreader's sources begin, and the last ones end.
    source : ndarray of int64
        Rows of spreaders who posted before; -1 where it is nobody on the network.
    """

    indptr: Ints
    source: Ints

    def sample(self, rng: np.random.Generator) -> Forest:
        """Draw one source a spreader, every one equally likely."""
        number = np.diff(self.indptr)
        return Forest(self.source[self.indptr[:-1] + rng.integers(number)])
