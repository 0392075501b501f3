"""Taking plain values as arguments, or saying why not."""

from __future__ import annotations

from typing import Any

import numpy as np

from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError

__all__ = ["checked_int", "checked_probability"]


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
        If it is not an int.
    ArgumentError
        If it is less than ``least``.

    Examples
    --------
    >>> checked_int("n", 3, least=1)
    3
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ArgumentTypeError(name, value, "an int")
    if value < least:
        raise ArgumentError(name, value, f"be at least {least}")
    return int(value)


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
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ArgumentTypeError(name, value, "a probability")
    if not 0 <= value <= 1:
        raise ArgumentError(name, value, "be a probability between 0 and 1")
    return float(value)
