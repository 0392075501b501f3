"""One piece of a prompt template: text with named places, checked before anything is asked."""

from __future__ import annotations

from collections.abc import Iterable
from string import Formatter
from typing import Any

from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError

__all__ = ["check_text"]


def check_text(
    name: str, text: Any, placeholders: Iterable[str] = (), one_line: bool = False
) -> None:
    """See that a piece of a template is text with the places that will be filled, and no other.

    Parameters
    ----------
    name : str
        What the piece is called.
    text : object
        What was given for it. A brace that is meant as such is written twice.
    placeholders : iterable of str
        The names that must each stand in it, in braces, once or more.
    one_line : bool, default False
        Whether it has to be a single line.

    Raises
    ------
    ArgumentError
        If the text is blank, lacks a placeholder or has an unknown one, has a single brace, or
        has more lines than it may.
    ArgumentTypeError
        If it is no text.

    Examples
    --------
    >>> check_text("times", "{number} times", ["number"])
    >>> check_text("times", " ", ["number"])
    Traceback (most recent call last):
        ...
    mesa_llmspread.exceptions.ArgumentError: times=' ': must not be blank
    """
    if not isinstance(text, str):
        raise ArgumentTypeError(name, text, "text, in quotes")
    if not text.strip():
        raise ArgumentError(name, text, "not be blank")
    if one_line and len(text.splitlines()) > 1:
        raise ArgumentError(name, text, "be a single line")
    wanted = list(placeholders)
    if len(wanted) == 1:
        rule = f"have {{{wanted[0]}}} as its only placeholder"
    elif wanted:
        rule = f"have the placeholders {' and '.join(f'{{{place}}}' for place in wanted)}"
    else:
        rule = "have no placeholder"
    twice = "a brace that is no placeholder is written twice, {{ or }}"
    try:
        found = _placeholders(text)
    except ValueError as error:
        raise ArgumentError(name, text, f"{rule}; {twice}") from error
    if unknown := [place for place in found if place not in wanted]:
        raise ArgumentError(name, text, f"{rule}, not {{{unknown[0]}}}; {twice}")
    if missing := [place for place in wanted if place not in found]:
        raise ArgumentError(name, text, f"{rule}; {{{missing[0]}}} is missing")


def _placeholders(text: str) -> list[str]:
    """List what stands in braces; conversions and formats belong to the name, so none is known."""
    return [
        place + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
        for _, place, form, conversion in Formatter().parse(text)
        if place is not None
    ]
