"""What an error is about: its argument and value, whatever its words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError

ANYTHING = object()


def refused(attempt: Callable[[], object], argument: str, value: object = ANYTHING) -> Any:
    """Return the error of an attempt, which names an argument, and its value, on one line."""
    with pytest.raises((ArgumentError, ArgumentTypeError)) as caught:
        attempt()
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.argument == argument
    assert value is ANYTHING or caught.value.value == value
    return caught.value
