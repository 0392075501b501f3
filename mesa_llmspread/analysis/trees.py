"""Forests of reposts, and their shape: depth, breadth and structural virality."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mesa_llmspread.exceptions import ArgumentError

__all__ = ["NOBODY", "Forest", "Ints"]

Ints = npt.NDArray[np.int64]

#: The parent of a spreader that had the news from nobody on the network.
NOBODY = -1


@dataclass(frozen=True)
class Forest:
    """One way in which the news may have travelled: one tree per spreader without a parent.

    Parameters
    ----------
    parent : array_like of int, shape (spreaders,)
        The row of the spreader from which each spreader had the news. It comes before the
        spreader's own row; -1 for the root of a tree.

    Raises
    ------
    ArgumentError
        If a parent does not come before its child.

    Examples
    --------
    A star of three and a chain of three:

    >>> forest = Forest([-1, -1, 0, 0, 1, 4])
    >>> forest.depths.tolist(), forest.roots.tolist()
    ([0, 0, 1, 1, 1, 2], [0, 1, 0, 0, 1, 1])
    >>> forest.trees, forest.largest_tree, forest.depth, forest.breadth
    (2, 3, 2, 3)
    >>> round(forest.structural_virality, 3)
    1.333
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
        """Reposts between the root of its tree and each spreader, shape (spreaders,)."""
        return self._rooted[0]

    @property
    def roots(self) -> Ints:
        """Row of the root of each spreader's tree, shape (spreaders,)."""
        return self._rooted[1]

    @property
    def generations(self) -> Ints:
        """Number of spreaders at each depth, over all trees, shape (depth + 1,)."""
        return np.bincount(self.depths)

    @property
    def trees(self) -> int:
        """Number of trees."""
        return int(np.count_nonzero(self.parent == NOBODY))

    @property
    def largest_tree(self) -> int:
        """Number of spreaders in the largest tree."""
        return int(np.bincount(self.roots).max(initial=0))

    @property
    def depth(self) -> int:
        """Depth of the deepest tree."""
        return int(self.depths.max(initial=0))

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
        size = np.bincount(self.roots)[self.roots]
        below = np.ones_like(size)
        for depth in range(self.depth, 0, -1):
            rows = np.flatnonzero(self.depths == depth)
            np.add.at(below, self.parent[rows], below[rows])
        # An edge with s spreaders below it, in a tree of n, lies between s (n - s) pairs.
        distances, pairs = float(np.sum(below * (size - below))), float(np.sum(size - 1) / 2)
        return distances / pairs if pairs else float("nan")
