"""Taking plain values as arguments, or saying why not."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np

from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, RenamedError

__all__ = [
    "check_contacts",
    "checked_int",
    "checked_level",
    "checked_number",
    "checked_probability",
    "checked_starters",
    "renamed",
]

P = ParamSpec("P")
T = TypeVar("T")


def renamed(**new_names: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a function raise RenamedError where an argument is given by its old name.

    Parameters
    ----------
    **new_names
        The new name of each old one.

    Returns
    -------
    callable
        A decorator.

    Examples
    --------
    >>> @renamed(broadcast="media_prob")
    ... def share(media_prob): ...
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            for old, new in new_names.items():
                if old in kwargs:
                    raise RenamedError(old, kwargs[old], new)
            return function(*args, **kwargs)

        return checked

    return decorate


def checked_int(name: str, value: Any, least: int) -> int:
    """Take a value as an int that is large enough.

    Parameters
    ----------
    name : str
        The argument's name.
    value : object
        What was given.
    least : int
        The smallest allowed value.

    Returns
    -------
    int

    Raises
    ------
    ArgumentTypeError
        If it is not an integer of Python, NumPy or another library.
    ArgumentError
        If it is less than ``least``.

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


def checked_probability(name: str, value: Any) -> float:
    """Take a value as a probability.

    Parameters
    ----------
    name : str
        The argument's name.
    value : object
        What was given.

    Returns
    -------
    float

    Raises
    ------
    ArgumentTypeError
        If it is not a number.
    ArgumentError
        If it does not lie within 0 and 1.
    """
    number = _as_float(name, value, "a probability")
    if not 0 <= number <= 1:
        raise ArgumentError(name, value, "be a probability between 0 and 1")
    return number


def checked_starters(value: Any, n: int, source: str, chance: float) -> int:
    """Validate the number of agents who have posted at step 0.

    Parameters
    ----------
    value : object
        The number that was given as ``initial_infected``.
    n : int
        Number of agents.
    source : str
        The parameter that shows agents the event itself: ``media_prob`` or ``alpha``.
    chance : float
        Its value. Nobody has to have posted where it is above 0.

    Returns
    -------
    int

    Raises
    ------
    ArgumentTypeError
        If it is not an int.
    ArgumentError
        If it is not within 1 (0 where chance > 0) and n.
    """
    number = checked_int("initial_infected", value, -(2**63))
    least = 0 if chance > 0 else 1
    if not least <= number <= n:
        unless = f", or be 0 with {source} > 0" if number == 0 else ""
        raise ArgumentError("initial_infected", value, f"lie between {least} and n={n}{unless}")
    return number


def check_contacts(argument: str, value: Any, most: int, source: str, chance: float) -> None:
    """Raise where no agent has a neighbour and the event itself is not seen either.

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

    Raises
    ------
    ArgumentError
        If nobody could ever see the news.
    """
    if most == 0 and not chance > 0:
        wanted = "be at least 1" if argument == "k" else "have at least one edge"
        without = "be 0" if argument == "k" else "have none"
        raise ArgumentError(argument, value, f"{wanted}, or {without} with {source} > 0")


def checked_level(value: Any) -> float:
    """Return the coverage of an interval, ``level``, as a number within 0 and 1.

    Parameters
    ----------
    value : object
        What was given.

    Returns
    -------
    float

    Raises
    ------
    ArgumentTypeError
        If it is not a number.
    ArgumentError
        If it does not lie between 0 and 1, both excluded.
    """
    number = _as_float("level", value, "a number between 0 and 1")
    if not 0 < number < 1:
        raise ArgumentError("level", value, "lie between 0 and 1")
    return number


def checked_number(name: str, value: Any, low: float, high: float) -> float:
    """Take a value as a number within limits.

    Parameters
    ----------
    name : str
        The argument's name.
    value : object
        What was given.
    low, high : float
        The smallest and largest allowed value.

    Returns
    -------
    float

    Raises
    ------
    ArgumentTypeError
        If it is not a number.
    ArgumentError
        If it does not lie within the limits.
    """
    if (low, high) == (0.0, 1.0):
        return checked_probability(name, value)
    number = _as_float(name, value, "a number")
    if not low <= number <= high:
        raise ArgumentError(name, value, f"lie between {low:g} and {high:g}")
    return number


def _as_float(name: str, value: Any, wanted: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ArgumentTypeError(name, value, wanted)
    return float(value)
