"""Which runs: a table of a model's arguments, times replicates, each run with its seed.

A design's columns are arguments of ``SpreadModel``, and values that stand in braces in its
``decider``: ``"SI({beta})"`` takes its rate from the column ``beta``.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import qmc

from mesa_llmspread._validation import checked_int
from mesa_llmspread.data.schema import COUNT_COLUMNS, EXPOSURE_COLUMNS
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, DesignError
from mesa_llmspread.rng import RNGLike, as_seed, spawn_seeds
from mesa_llmspread.sweep.checks import Problem, places, problems_of
from mesa_llmspread.sweep.models import PLAIN, as_model

if TYPE_CHECKING:
    from mesa_llmspread.model import SpreadModel

__all__ = ["RUN_COLUMNS", "Design"]

#: Columns of :attr:`Design.table` that are no parameters.
RUN_COLUMNS = ("run", "cell", "replicate", "rng")

# A column of this name would be taken for a result; an event's id is the same in both.
_RESERVED = {*RUN_COLUMNS, *COUNT_COLUMNS, *EXPOSURE_COLUMNS} - {"event"}


class Design:
    """The runs of a sweep.

    Parameters
    ----------
    parameters : mapping of str to list, or DataFrame
        A mapping gives every combination of its lists' values (a single value counts as a
        list of one); a DataFrame gives its rows. Values are numbers, texts or truth values;
        a population may also be a mapping code -> share.
    replicates : int, default 1
        Runs of each row.
    rng : int, numpy.random.Generator or None
        Randomness, from which every run gets a seed of its own. The first runs do not
        change when there are more replicates.
    model : type of SpreadModel or str, optional
        A subclass of your own, or ``package.module:MyModel``: arguments of its constructor are
        parameters too. It must take ``rng``.

    Attributes
    ----------
    cells : DataFrame
        One row a combination, one column a parameter.
    replicates : int
    seed : int
        From which the runs' seeds are derived.
    seed_given : bool
        Whether it was an argument, or drawn anew.
    origin : dict
        How the cells were made, as plain values.
    model : type of SpreadModel or str
        The model's class; its name where the design was read from the folder of a sweep.

    Raises
    ------
    DesignError
        If an argument is unknown, a list is empty or holds values of different kinds, or the
        model does not allow a value. It names all problems at once.

    Examples
    --------
    >>> design = Design({"k": [4, 8], "decider": "SI({beta})", "beta": [0.02, 0.1]}, rng=1)
    >>> design.cells["k"].tolist(), design.cells["beta"].tolist()
    ([4, 4, 8, 8], [0.02, 0.1, 0.02, 0.1])
    """

    def __init__(
        self,
        parameters: Mapping[str, Any] | pd.DataFrame,
        replicates: int = 1,
        rng: RNGLike = None,
        model: type[SpreadModel] | str = PLAIN,
    ) -> None:
        factorial = not isinstance(parameters, pd.DataFrame)
        if factorial and not isinstance(parameters, Mapping):
            raise ArgumentTypeError("parameters", parameters, "a mapping of lists or a DataFrame")
        self.replicates = checked_int("replicates", replicates, 1)
        self.seed = as_seed(rng)
        self.seed_given = rng is not None
        kind = as_model(model)
        self.model: type[SpreadModel] | str = kind
        self.origin: dict[str, Any] = {"kind": "factorial" if factorial else "rows"}
        columns, problems = _columns(parameters)
        rows_are_known = not (problems and factorial)
        combine = itertools.product if factorial else zip
        self.cells = pd.DataFrame(
            list(combine(*columns.values())), columns=list(columns), dtype=object
        ).infer_objects()
        problems += problems_of(self.cells, kind, rows_are_known)
        if problems:
            raise DesignError(problems)
        # The cell and replicate of each run.
        self._places = [
            (cell, copy) for copy in range(self.replicates) for cell in range(len(self.cells))
        ]

    @classmethod
    def latin_hypercube(
        cls,
        ranges: Mapping[str, Any],
        cells: int,
        replicates: int = 1,
        rng: RNGLike = None,
        model: type[SpreadModel] | str = PLAIN,
    ) -> Design:
        """Spread points over ranges so that each range is covered evenly.

        Parameters
        ----------
        ranges : mapping
            For each parameter a pair ``(low, high)`` (whole numbers give whole numbers, both
            ends included), a list to choose from, or one fixed value.
        cells : int
            Number of points.
        replicates, rng, model
            As for a design.

        Returns
        -------
        Design

        Raises
        ------
        DesignError
            As for a design.

        Notes
        -----
        McKay, Beckman & Conover (1979), doi:10.2307/1268522.

        Examples
        --------
        >>> ranges = {"k": (4, 16), "decider": "SI({beta})", "beta": (0.01, 0.1)}
        >>> Design.latin_hypercube(ranges, cells=8, rng=1).cells.shape
        (8, 3)
        """
        seed, axes = as_seed(rng), _axes(ranges)
        cells = checked_int("cells", cells, 1)
        points = qmc.LatinHypercube(len(axes), rng=np.random.default_rng(seed)).random(cells)
        return cls._sampled("latin_hypercube", ranges, points, replicates, seed, model)

    @classmethod
    def sobol(
        cls,
        ranges: Mapping[str, Any],
        cells: int,
        replicates: int = 1,
        rng: RNGLike = None,
        model: type[SpreadModel] | str = PLAIN,
    ) -> Design:
        """Spread points over ranges by a scrambled Sobol sequence.

        Parameters
        ----------
        ranges : mapping
            As for :meth:`latin_hypercube`.
        cells : int
            Number of points, a power of 2.
        replicates, rng, model
            As for a design.

        Returns
        -------
        Design

        Raises
        ------
        DesignError
            As for a design.
        """
        seed, axes = as_seed(rng), _axes(ranges)
        points = _sobol_points("cells", cells, len(axes), seed)
        return cls._sampled("sobol", ranges, points, replicates, seed, model)

    @classmethod
    def saltelli(
        cls,
        ranges: Mapping[str, Any],
        points: int,
        replicates: int = 1,
        rng: RNGLike = None,
        model: type[SpreadModel] | str = PLAIN,
    ) -> Design:
        """Make the design that :func:`~mesa_llmspread.sweep.sensitivity` needs.

        Parameters
        ----------
        ranges : mapping
            As for :meth:`latin_hypercube`.
        points : int
            A power of 2, N. With D parameters that vary there are N (D + 2) cells.
        replicates, rng, model
            As for a design.

        Returns
        -------
        Design

        Raises
        ------
        DesignError
            As for a design.

        Notes
        -----
        Saltelli et al. (2010), doi:10.1016/j.cpc.2009.09.018: two samples A and B, and A with
        one column of B at a time; rows in the order that SALib reads.
        """
        seed, dims = as_seed(rng), len(_axes(ranges))
        both = _sobol_points("points", points, 2 * dims, seed)
        a, b = both[:, :dims], both[:, dims:]
        blocks = np.repeat(a[:, None, :], dims + 2, axis=1)
        for i in range(dims):
            blocks[:, i + 1, i] = b[:, i]
        blocks[:, dims + 1] = b
        return cls._sampled("saltelli", ranges, blocks.reshape(-1, dims), replicates, seed, model)

    @classmethod
    def _sampled(
        cls,
        kind: str,
        ranges: Mapping[str, Any],
        points: npt.NDArray[np.float64],
        replicates: int,
        seed: int,
        model: type[SpreadModel] | str,
    ) -> Design:
        """Stretch points of the unit cube over ranges."""
        axes = iter(points.T)
        columns = {
            name: _stretched(next(axes), value) if _varies(value) else [value] * len(points)
            for name, value in ranges.items()
        }
        design = cls(pd.DataFrame(columns), replicates, seed, model)
        design.origin = {"kind": kind, "ranges": {name: ranges[name] for name in _axes(ranges)}}
        return design

    @classmethod
    def trusted(
        cls,
        runs: pd.DataFrame,
        parameters: Sequence[str],
        seed: int,
        origin: Mapping[str, Any],
        model: str,
    ) -> Design:
        """Make a design again that was checked before, with the runs of its table."""
        design = cls.__new__(cls)
        first = runs[runs["replicate"] == 0].sort_values("cell")
        design.cells = first[list(parameters)].reset_index(drop=True)
        design.replicates = int(runs["replicate"].max()) + 1
        design.seed, design.seed_given, design.origin = seed, True, dict(origin)
        design.model = model
        design._places = list(zip(runs["cell"].tolist(), runs["replicate"].tolist(), strict=True))
        return design

    @property
    def parameters(self) -> list[str]:
        """Names of the parameters."""
        return list(self.cells.columns)

    @property
    def table(self) -> pd.DataFrame:
        """One row a run: ``run, cell, replicate``, the parameters, and the seed ``rng``."""
        cells, replicates = zip(*self._places, strict=True)
        table = self.cells.iloc[list(cells)].reset_index(drop=True)
        table.insert(0, "run", np.arange(len(table)))
        table.insert(1, "cell", cells)
        table.insert(2, "replicate", replicates)
        return table.assign(rng=spawn_seeds(self.seed, len(table)))

    def lacks(self, other: Design) -> list[str]:
        """Say why another design's runs are not all among those of this one.

        Parameters
        ----------
        other : Design

        Returns
        -------
        list of str
            Nothing if :meth:`added_to` the other one gives this design.
        """
        if set(self.parameters) != set(other.parameters):
            there, here = ", ".join(other.parameters), ", ".join(self.parameters)
            return [f"the design has other parameters there ({there}) than here ({here})"]
        reasons = []
        if self.seed_given and self.seed != other.seed:
            reasons.append(f"rng is {other.seed} there and {self.seed} here")
        missing = other._keys.keys() - self._keys.keys()
        ordered = self.origin["kind"] != "saltelli" or [*self._keys][: len(other.cells)] == [
            *other._keys
        ]
        if missing or not ordered:
            some = f": {len(missing)} of {len(other.cells)} are not in this one" if missing else ""
            reasons.append(f"the design has other cells there{some}")
        if self.replicates < other.replicates:
            reasons.append(f"it has {other.replicates} replicates there, {self.replicates} here")
        return reasons

    def added_to(self, other: Design) -> Design:
        """Add the runs of this design to a smaller one, whose runs stay what they are.

        Parameters
        ----------
        other : Design
            It must have nothing that this one :meth:`lacks`.

        Returns
        -------
        Design
            The other's cells and runs keep their numbers and seeds; what is new comes after.
        """
        new = [i for key, i in self._keys.items() if key not in other._keys]
        grown = Design.__new__(Design)
        grown.cells = pd.concat(
            [other.cells, self.cells.iloc[new][other.parameters]], ignore_index=True
        )
        grown.replicates, grown.origin = self.replicates, self.origin
        grown.seed, grown.seed_given, grown.model = other.seed, True, self.model
        there = set(other._places)
        wanted = itertools.product(range(self.replicates), range(len(grown.cells)))
        more = [(cell, copy) for copy, cell in wanted if (cell, copy) not in there]
        grown._places = [*other._places, *more]
        return grown

    @property
    def _keys(self) -> dict[Any, int]:
        """The cells' numbers by what tells them apart: values, and a count of equal ones."""
        seen: Counter[Any] = Counter()
        keys = {}
        columns = [self.cells[name].tolist() for name in sorted(self.parameters)]
        for i, values in enumerate(zip(*columns, strict=True)):
            keys[values, seen[values]] = i
            seen[values] += 1
        return keys

    def __len__(self) -> int:
        """Count the runs."""
        return len(self._places)


def _columns(
    parameters: Mapping[str, Any] | pd.DataFrame,
) -> tuple[dict[str, list[Any]], list[Problem]]:
    """Take each parameter's values as plain ones; None, or nothing, stands for a bad one."""
    columns, problems = {}, []
    rows = isinstance(parameters, pd.DataFrame)
    for name in parameters:
        if not isinstance(name, str) or name in _RESERVED:
            problems.append(Problem(str(name), "is no parameter's name: it is kept for results"))
            continue
        given = parameters[name]
        values = [_plain(value) for value in (given if rows else _as_list(given))]
        bad, found = _unusable(name, values, "row" if rows else "item")
        kept = [None if i in bad else value for i, value in enumerate(values)]
        columns[name] = kept if rows else [value for value in kept if value is not None]
        if not columns[name]:
            del columns[name]
        problems += found
    if not len(parameters.columns if rows else parameters):  # type: ignore[union-attr]
        problems.append(Problem("parameters", "hold no parameter"))
    return columns, problems


def _as_list(value: Any) -> list[Any]:
    """Take a list of values, or one value as a list of one."""
    one = isinstance(value, str | Mapping) or not isinstance(value, Iterable)
    return [value] if one else list(value)


def _plain(value: Any) -> Any:
    """Turn NumPy's numbers into Python's, and a mapping into the text that stands for it."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return json.dumps({str(key): _plain(share) for key, share in value.items()})
    return value


def _kind(value: Any) -> str:
    """Name the kind of a plain value, "" if it is none."""
    if isinstance(value, bool):
        return "truth value"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else ""


def _unusable(name: str, values: Sequence[Any], word: str) -> tuple[set[int], list[Problem]]:
    """Find the values of a parameter that are no plain values of one kind."""
    if not values:
        return set(), [Problem(name, "has no value: give at least one")]
    kinds = [_kind(value) for value in values]
    kind = next((kind for kind in kinds if kind), "")
    reasons: dict[str, list[int]] = {}
    for i, (value, own) in enumerate(zip(values, kinds, strict=True)):
        if value is None or value != value:
            reasons.setdefault("has no value there", []).append(i)
        elif not own:
            what = f"is {type(value).__name__}: must be a number, a text or a truth value"
            reasons.setdefault(what, []).append(i)
        elif own != kind:
            what = f"mixes kinds: {value!r} is a {own}, {values[kinds.index(kind)]!r} a {kind}"
            reasons.setdefault(what, []).append(i)
    bad = {i for positions in reasons.values() for i in positions}
    return bad, [Problem(name, why, places(rows, word)) for why, rows in reasons.items()]


def _varies(value: Any) -> bool:
    """Whether a parameter of a sampled design has a range or choices."""
    return isinstance(value, tuple | list)


def _axes(ranges: Mapping[str, Any]) -> list[str]:
    """List the parameters that vary, after a look at their ranges."""
    for name, value in ranges.items():
        if not isinstance(value, tuple):
            continue
        numbers = all(_kind(_plain(end)) == "number" for end in value)
        if len(value) != 2 or not numbers or not value[0] < value[1]:
            raise ArgumentError(name, value, "be a pair (low, high) of numbers, low < high")
    names = [name for name, value in ranges.items() if _varies(value)]
    if not names:
        raise ArgumentError("ranges", dict(ranges), "have a parameter with a range or choices")
    return names


def _sobol_points(name: str, points: int, dims: int, seed: int) -> npt.NDArray[np.float64]:
    """Draw a scrambled Sobol sequence, which is balanced at powers of 2 only."""
    points = checked_int(name, points, 1)
    if points & (points - 1):
        raise ArgumentError(name, points, "be a power of 2")
    return qmc.Sobol(dims, rng=np.random.default_rng(seed)).random(points)


def _stretched(points: npt.NDArray[np.float64], over: Any) -> list[Any]:
    """Stretch points of [0, 1) over a range or a list of choices."""
    if isinstance(over, list):
        return [over[int(point * len(over))] for point in points]
    low, high = (_plain(end) for end in over)
    if isinstance(low, int) and isinstance(high, int):
        return [low + int(point * (high - low + 1)) for point in points]
    return [float(low + point * (high - low)) for point in points]
