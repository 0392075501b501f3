"""The fields of a law's class: its parameters, and values and texts for them."""

from __future__ import annotations

import dataclasses
import inspect
import json
from functools import cache
from typing import Any

import numpy as np

from mesa_llmspread.exceptions import ArgumentError

__all__ = ["as_text", "middle", "parameter_names"]


@cache
def parameter_names(law: type[Any]) -> tuple[str, ...]:
    """Return the names of the fields annotated ``float``, the parameters of a law's class.

    Parameters
    ----------
    law : type of TransmissionLaw

    Returns
    -------
    tuple of str

    Raises
    ------
    ArgumentError
        If the class declares fields and is not a dataclass.
    """
    declared = [
        kind for kind in inspect.get_annotations(law).values() if "ClassVar" not in str(kind)
    ]
    if declared and "__dataclass_params__" not in vars(law):
        allowed = "be a frozen dataclass: decorate the class with @dataclass(frozen=True)"
        raise ArgumentError("law", law.__name__, allowed)
    return tuple(field.name for field in dataclasses.fields(law) if field.type in (float, "float"))


def as_text(value: Any) -> str:
    """Return an option's value as text that ``parse_law`` reads.

    Parameters
    ----------
    value : object

    Returns
    -------
    str
    """
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return repr(sorted(value) if isinstance(value, frozenset) else value)


def middle(low: float, high: float) -> float:
    """Return a number within limits, of which one or both may be infinite.

    Parameters
    ----------
    low, high : float

    Returns
    -------
    float
    """
    if np.isfinite(high - low):
        return (low + high) / 2
    return low + 1.0 if np.isfinite(low) else high - 1.0 if np.isfinite(high) else 0.0
