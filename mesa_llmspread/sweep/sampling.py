"""Samples of parameters: points of the unit cube, stretched over ranges and choices."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import qmc

from mesa_llmspread._validation import checked_int
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.sweep.arguments import kind_of, plain

__all__ = ["power_of_2", "salib", "salib_problem", "sampled", "varying"]


def sampled(kind: str, ranges: Mapping[str, Any], number: int, seed: int) -> dict[str, list[Any]]:
    """Draw a sample of parameters.

    Parameters
    ----------
    kind : {"latin_hypercube", "sobol", "saltelli"}
    ranges : mapping
        As for :meth:`~mesa_llmspread.sweep.Design.latin_hypercube`.
    number : int
        Number of points.
    seed : int

    Returns
    -------
    dict of str to list
        Values by parameter.
    """
    names, rng = list(varying(ranges)), np.random.default_rng(seed)
    if kind == "latin_hypercube":
        points = qmc.LatinHypercube(len(names), rng=rng).random(number)
    elif kind == "sobol":
        points = qmc.Sobol(len(names), rng=rng).random(number)
    else:
        sample = salib("sample.sobol").sample
        points = sample(salib_problem(names), number, calc_second_order=False, seed=rng)
    axes = dict(zip(names, points.T, strict=True))
    return {
        name: _stretched(axes[name], value) if name in axes else [value] * len(points)
        for name, value in ranges.items()
    }


def varying(ranges: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ranges and choices of the parameters that vary, checked."""
    for name, value in ranges.items():
        if isinstance(value, tuple):
            kinds = [kind_of(plain(end)) for end in value]
            if kinds != ["number", "number"] or not value[0] < value[1]:
                raise ArgumentError(name, value, "be a pair (low, high) of numbers, low < high")
    found = {name: value for name, value in ranges.items() if isinstance(value, tuple | list)}
    if not found:
        raise ArgumentError("ranges", dict(ranges), "have a parameter with a range or choices")
    return found


def power_of_2(name: str, points: Any) -> int:
    """Return a number of points of a Sobol sequence, which is balanced at powers of 2 only."""
    number = checked_int(name, points, 1)
    if number & (number - 1):
        raise ArgumentError(name, number, "be a power of 2")
    return number


def _stretched(points: npt.NDArray[np.float64], over: Any) -> list[Any]:
    """Stretch points of [0, 1) over a range or a list of choices."""
    if isinstance(over, list):
        return [over[int(point * len(over))] for point in points]
    low, high = map(plain, over)
    if isinstance(low, int) and isinstance(high, int):
        return [low + int(point * (high - low + 1)) for point in points]
    return (low + points * (high - low)).tolist()


def salib_problem(names: Sequence[str]) -> dict[str, Any]:
    """Return SALib's description of parameters that vary between 0 and 1."""
    return {"num_vars": len(names), "names": names, "bounds": [[0.0, 1.0]] * len(names)}


def salib(module: str) -> Any:
    """Import a module of SALib.

    Parameters
    ----------
    module : str
        Its name within the package.

    Returns
    -------
    module

    Raises
    ------
    ArgumentError
        If SALib is not installed.
    """
    try:
        return importlib.import_module(f"SALib.{module}")
    except ImportError as error:
        raise ArgumentError(
            "design", "saltelli", "have SALib installed: pip install 'mesa_llmspread[sensitivity]'"
        ) from error
