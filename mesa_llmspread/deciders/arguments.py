"""Checks of what a decider with a language model is given."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from mesa_llmspread.deciders.llm.asking import Mode
from mesa_llmspread.deciders.llm.limits import Pace
from mesa_llmspread.deciders.llm.store import DecisionStore
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, UnknownNameError

__all__ = ["amount", "kept_where", "number", "optional", "pace", "variable", "whole"]

T = TypeVar("T")


def kept_where(
    store: DecisionStore | str | os.PathLike[str] | None, mode: str | None
) -> tuple[DecisionStore | None, Mode]:
    """Find the store, and the mode that goes with it."""
    if mode not in (None, "live", "record", "replay"):
        raise UnknownNameError("mode", mode, ("live", "record", "replay"))
    if store is None:
        if mode in ("record", "replay"):
            raise ArgumentError("mode", mode, "be 'live' where there is no store")
        return None, "live"
    if mode == "live":
        raise ArgumentError("mode", mode, "be 'record' or 'replay' where there is a store")
    if not isinstance(store, DecisionStore):
        if not isinstance(store, str | os.PathLike):
            raise ArgumentTypeError("store", store, "a DecisionStore or a path")
        store = DecisionStore(store)
    return store, cast("Mode", mode or "record")


def pace(argument: str, per_minute: Any) -> Pace | None:
    """Check a limit by the minute."""
    if per_minute is None:
        return None
    return Pace(number(argument, per_minute, 1e-3, math.inf))


def amount(argument: str, value: Any) -> float:
    """Check an amount of money."""
    return number(argument, value, 0, math.inf)


def optional(check: Callable[[str, Any], T], argument: str, value: Any) -> T | None:
    """Check a value that may be left out."""
    return None if value is None else check(argument, value)


def number(argument: str, value: Any, low: float, high: float) -> float:
    """Check a number and its range."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ArgumentTypeError(argument, value, "a number")
    if not (low <= value <= high and math.isfinite(value)):
        limit = f"and at most {high:g}" if math.isfinite(high) else "and finite"
        raise ArgumentError(argument, value, f"be at least {low:g} {limit}")
    return float(value)


def whole(argument: str, value: Any) -> int:
    """Check a whole number from 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ArgumentTypeError(argument, value, "a whole number")
    if value < 1:
        raise ArgumentError(argument, value, "be at least 1")
    return int(value)


def variable(argument: str, value: Any) -> str:
    """Check the name of an environment variable; what is none may be a key, so it is not shown."""
    if not (isinstance(value, str) and re.fullmatch(r"[A-Z_][A-Z0-9_]*", value)):
        raise ArgumentError(
            argument, "...", "be the name of an environment variable such as 'MY_KEY', not a key"
        )
    return value
