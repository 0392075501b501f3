"""The runs of a sweep: a table of a model's arguments, times replicates, each run with its seed.

A design's columns are arguments of ``SpreadModel``, and values that stand in braces in its
``decider``: the rate of ``"SI({beta})"`` is read from the column ``beta``.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import qmc

from mesa_llmspread._validation import checked_int
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, DesignError
from mesa_llmspread.model import SpreadModel
from mesa_llmspread.rng import RNGLike, as_seed, spawn_seeds
from mesa_llmspread.sweep import arguments
from mesa_llmspread.sweep.arguments import RUN_COLUMNS, Problem, kind_of, plain

__all__ = ["Design", "salib"]


class Design:
    """The runs of a sweep.

    Parameters
    ----------
    parameters : mapping of str to list, or DataFrame
        With a mapping, every combination of its lists' values (a single value counts as a
        list of one); with a DataFrame, its rows. Values are numbers, texts or truth values;
        a population may also be a mapping code -> share.
    replicates : int, default 1
        Runs per row.
    rng : int, numpy.random.Generator or None
        Randomness, from which every run gets a seed of its own. The first runs do not
        change when there are more replicates.
    model : type of SpreadModel or str, optional
        A subclass of your own, or ``package.module:MyModel``: arguments of its constructor are
        parameters too. It must have an argument ``rng``.

    Attributes
    ----------
    table : DataFrame
        One row per run: ``run, cell, replicate``, the parameters, and the seed ``rng``.
    seed : int
        From which the runs' seeds are derived.
    seed_given : bool
        Whether it was an argument, or drawn at random.
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
        model: type[SpreadModel] | str = SpreadModel,
    ) -> None:
        factorial = not isinstance(parameters, pd.DataFrame)
        if factorial and not isinstance(parameters, Mapping):
            raise ArgumentTypeError("parameters", parameters, "a mapping of lists or a DataFrame")
        self.seed, self.seed_given = as_seed(rng), rng is not None
        self.model: type[SpreadModel] | str = arguments.as_model(model)
        self.origin: dict[str, Any] = {"kind": "factorial" if factorial else "rows"}
        columns = {
            str(name): [plain(value) for value in (_as_list(given) if factorial else given)]
            for name, given in parameters.items()
        }
        problems = [] if columns else [Problem("parameters", "hold no parameter")]
        for name, values in columns.items():
            problems += arguments.problems_of_values(name, values, "item" if factorial else "row")
        # The other columns are checked too, so that all problems are named at once.
        bad = {problem.argument for problem in problems}
        good = {name: values for name, values in columns.items() if name not in bad}
        combine = itertools.product if factorial else zip
        cells = pd.DataFrame(list(combine(*good.values())), columns=list(good), dtype=object)
        cells = cells.infer_objects()
        found = arguments.problems_of(cells, self.model)
        # Rows of a design without some of its columns have other numbers.
        problems += [one._replace(where="") for one in found] if bad and factorial else found
        if problems:
            raise DesignError(problems)
        copies = range(checked_int("replicates", replicates, 1))
        places = [(cell, copy) for copy in copies for cell in range(len(cells))]
        self.table = _table(cells, places, self.seed)

    @classmethod
    def latin_hypercube(cls, ranges: Mapping[str, Any], cells: int, **options: Any) -> Design:
        """Spread points over ranges so that each range is covered evenly.

        Parameters
        ----------
        ranges : mapping
            For each parameter a pair ``(low, high)`` (of whole numbers if both are, ends
            included), a list to choose from, or one fixed value.
        cells : int
            Number of points.
        **options
            ``replicates``, ``rng`` and ``model``, as for a design.

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
        return cls._sampled("latin_hypercube", ranges, checked_int("cells", cells, 1), **options)

    @classmethod
    def sobol(cls, ranges: Mapping[str, Any], cells: int, **options: Any) -> Design:
        """Spread points over ranges by a scrambled Sobol sequence.

        Parameters
        ----------
        ranges, **options
            As for :meth:`latin_hypercube`.
        cells : int
            Number of points, a power of 2.

        Returns
        -------
        Design

        Raises
        ------
        DesignError
            As for a design.
        """
        return cls._sampled("sobol", ranges, _power_of_2("cells", cells), **options)

    @classmethod
    def saltelli(cls, ranges: Mapping[str, Any], points: int, **options: Any) -> Design:
        """Build the design that :func:`~mesa_llmspread.sweep.sensitivity` needs, with SALib.

        Parameters
        ----------
        ranges, **options
            As for :meth:`latin_hypercube`.
        points : int
            A power of 2, N. With D parameters that vary there are N (D + 2) cells.

        Returns
        -------
        Design

        Raises
        ------
        DesignError
            As for a design.
        ArgumentError
            If SALib is not installed.

        Notes
        -----
        Saltelli et al. (2010), doi:10.1016/j.cpc.2009.09.018.
        """
        return cls._sampled("saltelli", ranges, _power_of_2("points", points), **options)

    @classmethod
    def _sampled(
        cls, kind: str, ranges: Mapping[str, Any], number: int, rng: RNGLike = None, **options: Any
    ) -> Design:
        """Build a design of points of the unit cube, stretched over ranges and choices."""
        varied = {name: over for name, over in ranges.items() if isinstance(over, tuple | list)}
        if not varied:
            raise ArgumentError("ranges", dict(ranges), "have a parameter with a range or choices")
        seed = as_seed(rng)
        drawn = np.random.default_rng(seed)
        if kind == "saltelli":
            sampler, problem = salib("sample.sobol", list(varied))
            points = sampler.sample(problem, number, calc_second_order=False, seed=drawn)
        else:
            sampler = qmc.Sobol if kind == "sobol" else qmc.LatinHypercube
            points = sampler(len(varied), rng=drawn).random(number)
        axes = dict(zip(varied, points.T, strict=True))
        values = {
            name: _stretched(name, over, axes[name]) if name in axes else [over] * len(points)
            for name, over in ranges.items()
        }
        design = cls(pd.DataFrame(values), rng=seed, **options)
        design.origin = {"kind": kind, "ranges": varied}
        return design

    @classmethod
    def from_table(
        cls, table: pd.DataFrame, seed: int, origin: dict[str, Any], model: type[SpreadModel] | str
    ) -> Design:
        """Build a design from its attributes, without checks."""
        design = cls.__new__(cls)
        design.table, design.seed, design.origin, design.model = table, seed, origin, model
        design.seed_given = True
        return design

    @property
    def cells(self) -> pd.DataFrame:
        """One row per combination, one column per parameter."""
        first = self.table[self.table["replicate"] == 0].sort_values("cell")
        return first.drop(columns=list(RUN_COLUMNS)).reset_index(drop=True)

    @property
    def replicates(self) -> int:
        """Runs per row."""
        return int(self.table["replicate"].max()) + 1

    @property
    def parameters(self) -> list[str]:
        """Names of the parameters."""
        return [str(name) for name in self.table if name not in RUN_COLUMNS]

    def lacks(self, other: Design) -> list[str]:
        """Return the reasons why another design's runs are not all among those of this one.

        Parameters
        ----------
        other : Design

        Returns
        -------
        list of str
            Empty if this design can be :meth:`added_to` the other one.
        """
        if set(self.parameters) != set(other.parameters):
            old, new = ", ".join(other.parameters), ", ".join(self.parameters)
            return [f"the design has other parameters there ({old}) than here ({new})"]
        reasons = []
        if self.seed_given and self.seed != other.seed:
            reasons.append(f"rng is {other.seed} there and {self.seed} here")
        here, there = self._keys, other._keys
        missing = len(set(there) - set(here))
        # The rows of a sensitivity analysis belong together in their order.
        if missing or (self.origin["kind"] == "saltelli" and here[: len(there)] != there):
            some = f": {missing} of {len(there)} are not in this one" if missing else ""
            reasons.append(f"the design has other cells there{some}")
        if self.replicates < other.replicates:
            reasons.append(f"it has {other.replicates} replicates there, {self.replicates} here")
        return reasons

    def added_to(self, other: Design) -> Design:
        """Return a smaller design with the runs of this one added.

        Parameters
        ----------
        other : Design
            The smaller design, of which this one :meth:`lacks` nothing.

        Returns
        -------
        Design
            The other's cells and runs keep their numbers and seeds; the new ones come after.
        """
        known = set(other._keys)
        new = [i for i, key in enumerate(self._keys) if key not in known]
        cells = pd.concat([other.cells, self.cells.iloc[new][other.parameters]], ignore_index=True)
        places = list(zip(other.table["cell"], other.table["replicate"], strict=True))
        wanted = itertools.product(range(self.replicates), range(len(cells)))
        there = set(places)
        places += [(cell, copy) for copy, cell in wanted if (cell, copy) not in there]
        table = _table(cells, places, other.seed)
        return Design.from_table(table, other.seed, self.origin, self.model)

    @property
    def _keys(self) -> list[Any]:
        """What identifies each cell: its values, and a count of equal ones."""
        cells = self.cells[sorted(self.parameters)]
        copies = cells.groupby(list(cells)).cumcount().tolist()
        return list(zip(cells.itertuples(index=False, name=None), copies, strict=True))

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self.table)


def _table(cells: pd.DataFrame, places: Sequence[tuple[int, int]], seed: int) -> pd.DataFrame:
    """Build the table of runs from the cell and replicate of each."""
    table = pd.DataFrame(places, columns=["cell", "replicate"]).rename_axis("run").reset_index()
    rows = cells.iloc[table["cell"]].reset_index(drop=True)
    return table.join(rows).assign(rng=spawn_seeds(seed, len(table)))


def _as_list(value: Any) -> list[Any]:
    """Return a list of values; one value is a list of one."""
    one = isinstance(value, str | Mapping) or not isinstance(value, Iterable)
    return [value] if one else list(value)


def _power_of_2(name: str, points: Any) -> int:
    """Return a number of points of a Sobol sequence, which is balanced at powers of 2 only."""
    number = checked_int(name, points, 1)
    if number & (number - 1):
        raise ArgumentError(name, number, "be a power of 2")
    return number


def _stretched(name: str, over: Any, points: npt.NDArray[np.float64]) -> list[Any]:
    """Stretch points of [0, 1) over a range or a list of choices."""
    if isinstance(over, list):
        if not over:
            raise ArgumentError(name, over, "hold at least one value")
        return [over[int(point * len(over))] for point in points]
    if [kind_of(plain(end)) for end in over] != ["number", "number"] or not over[0] < over[1]:
        raise ArgumentError(name, over, "be a pair (low, high) of numbers, low < high")
    low, high = map(plain, over)
    if isinstance(low, int) and isinstance(high, int):
        return [low + int(point * (high - low + 1)) for point in points]
    return (low + points * (high - low)).tolist()


def salib(module: str, names: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """Import a module of SALib, and describe parameters that vary between 0 and 1.

    Parameters
    ----------
    module : str
        Its name within the package.
    names : sequence of str
        The parameters.

    Returns
    -------
    module, dict

    Raises
    ------
    ArgumentError
        If SALib is not installed.
    """
    problem = {"num_vars": len(names), "names": names, "bounds": [[0.0, 1.0]] * len(names)}
    try:
        return importlib.import_module(f"SALib.{module}"), problem
    except ImportError as error:
        fix = "have SALib installed: pip install 'mesa_llmspread[sensitivity]'"
        raise ArgumentError("design", "saltelli", fix) from error
