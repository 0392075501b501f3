"""Checks of arguments: each returns the value as a plain one, or raises an error that names it."""

from __future__ import annotations

import functools
import math
import operator
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from types import UnionType
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    RenamedError,
    UnknownNameError,
)

P = ParamSpec("P")
T = TypeVar("T")


def renamed(**new_names: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator: the function raises RenamedError for an argument's old name.

    Parameters
    ----------
    **new_names
        The new name of each old one.

    Returns
    -------
    callable
        A decorator.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            for old in new_names.keys() & kwargs.keys():
                raise RenamedError(old, kwargs[old], new_names[old])
            return function(*args, **kwargs)

        return checked

    return decorate


def check_kind(argument: str, value: Any, kind: type | UnionType, expected: str) -> None:
    """Raise ArgumentTypeError unless a value is of a kind, which ``expected`` puts into words."""
    if not isinstance(value, kind):
        raise ArgumentTypeError(argument, value, expected)


def check_name(argument: str, value: Any, known: Collection[str]) -> None:
    """Raise UnknownNameError unless a value is one of the known names."""
    if not (isinstance(value, str) and value in known):
        raise UnknownNameError(argument, value, known)


def checked_int(name: str, value: Any, least: int) -> int:
    """Return a value as an int that is large enough.

    Raises ArgumentTypeError if it is not an integer of Python, NumPy or another library, and
    ArgumentError if it is less than ``least``.

    Examples
    --------
    >>> checked_int("n", 3, least=1)
    3
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ArgumentTypeError(name, value, "an int") from None
    if number < least:
        raise ArgumentError(name, value, f"be at least {least}")
    return number


def checked_number(name: str, value: Any, low: float, high: float = math.inf) -> float:
    """Return a value as a float within limits; NaN and infinite numbers are outside of all.

    Raises ArgumentTypeError if it is not a number, and ArgumentError if it is outside the limits.

    Examples
    --------
    >>> checked_number("x", 2, 0, 5)
    2.0
    """
    kind = "a probability" if (low, high) == (0, 1) else "a finite number"
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ArgumentTypeError(name, value, kind)
    number = value.item() if isinstance(value, np.number) else value
    largest = sys.float_info.max
    if not max(low, -largest) <= number <= min(high, largest):
        limits = f"between {low:g} and {high:g}" if high < math.inf else f"of at least {low:g}"
        raise ArgumentError(name, value, f"be {kind} {limits}")
    return float(number)


def checked_probability(name: str, value: Any) -> float:
    """Return a value as a float within 0 and 1; errors as in :func:`checked_number`."""
    return checked_number(name, value, 0, 1)


def checked_level(value: Any, name: str = "level") -> float:
    """Return a probability that is neither 0 nor 1, such as the coverage of an interval."""
    if (number := checked_number(name, value, 0, 1)) in (0, 1):
        raise ArgumentError(name, value, "be above 0 and below 1")
    return number


def checked_shares(name: str, given: Any, shares: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return shares that are not negative and sum to 1, without what rounding added."""
    values = np.asarray(shares, dtype=float)
    if not (values >= 0).all() or abs(values.sum() - 1) > 1e-6:
        raise ArgumentError(
            name, given, f"have shares of at least 0 that sum to 1, not to {values.sum():g}"
        )
    return values / float(values.sum())


def checked_array(
    name: str, given: Any, expected: str, dtype: type[float] | None = None
) -> npt.NDArray[Any]:
    """Return a value as an array; ``expected`` puts into words what an array is made of."""
    try:
        return np.asarray(given, dtype)
    except (TypeError, ValueError):
        raise ArgumentTypeError(name, given, expected) from None


def checked_indices(name: str, given: Any, below: int) -> npt.NDArray[np.int64]:
    """Return a sequence of ints from 0 to ``below - 1`` as an array."""
    indices = checked_array(name, given, "a sequence of ints")
    if indices.ndim != 1 or (indices.size and not np.issubdtype(indices.dtype, np.integer)):
        raise ArgumentTypeError(name, given, "a sequence of ints")
    if indices.size and not 0 <= indices.min() <= indices.max() < below:
        raise ArgumentError(name, given, f"hold whole numbers from 0 to {below - 1}")
    return indices.astype(np.int64)


def checked_starters(value: Any, n: int, source: str, chance: float) -> int:
    """Return the number of agents who have posted at step 0, ``initial_infected``.

    Parameters
    ----------
    value : object
        What was given.
    n : int
        Number of agents.
    source : str
        The parameter that shows agents the event itself: ``media_prob`` or ``alpha``.
    chance : float
        Its value. Only if it is above 0 may the number be 0.

    Raises
    ------
    ArgumentTypeError
        If it is not an int.
    ArgumentError
        If it is not within 1 (0 where chance > 0) and n.
    """
    least = 0 if chance > 0 else 1
    number = checked_int("initial_infected", value, -(2**63))
    if not least <= number <= n:
        unless = f", or be 0 with {source} > 0" if number == 0 else ""
        raise ArgumentError("initial_infected", value, f"lie between {least} and n={n}{unless}")
    return number


def check_contacts(argument: str, value: Any, most: int, source: str, chance: float) -> None:
    """Raise ArgumentError if nobody has a neighbour and nobody sees the event itself.

    Parameters
    ----------
    argument : str
        The argument that sets the neighbours: ``k`` or ``network``.
    value : object
        What was given.
    most : int
        The largest number of neighbours of an agent.
    source, chance : str, float
        As for :func:`checked_starters`.
    """
    if most == 0 and not chance > 0:
        wanted = "have at least one edge, or have none"
        if argument == "k":
            wanted = "be at least 1, or be 0"
        raise ArgumentError(argument, value, f"{wanted} with {source} > 0")


def starters_among(
    nodes: Sequence[Any],
    initial_infected: int | Sequence[Any],
    media_prob: float,
    rng: np.random.Generator,
) -> list[int]:
    """Return the indices of the agents who have posted at step 0: so many, or those named."""
    if isinstance(initial_infected, str) or not isinstance(initial_infected, Iterable):
        number = checked_starters(initial_infected, len(nodes), "media_prob", media_prob)
        return sorted(rng.choice(len(nodes), size=number, replace=False).tolist())
    index = {node: i for i, node in enumerate(nodes)}
    chosen = list(initial_infected)
    for node in chosen:
        if node not in index:
            raise ArgumentError("initial_infected", node, "hold nodes of the network only")
    if len(set(chosen)) != len(chosen):
        raise ArgumentError("initial_infected", chosen, "hold different nodes")
    checked_starters(len(chosen), len(nodes), "media_prob", media_prob)
    return sorted(index[node] for node in chosen)
