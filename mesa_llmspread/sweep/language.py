"""Language models in a sweep: one store, one budget and one rate limit for all of its runs.

The store is what the workers share: it counts what may be spent for all of them, and answers
what was paid for before. What may be sent in a minute, or at one time, is divided among them.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import pandas as pd

from mesa_llmspread.deciders.llm.addresses import public_address
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, UnknownNameError
from mesa_llmspread.sweep.checks import arguments_of

if TYPE_CHECKING:
    from mesa_llmspread.deciders import LLMDecider

__all__ = [
    "LIMITS",
    "checked_options",
    "decider_of",
    "forget_deciders",
    "has_models",
    "share_of",
    "template_hashes",
    "with_store",
]

#: Options that may change when a sweep goes on: none of them changes a decision.
LIMITS = (
    "api_base",
    "key_variable",
    "max_attempts",
    "max_calls",
    "max_concurrency",
    "max_cost_usd",
    "mode",
    "requests_per_minute",
    "timeout",
    "tokens_per_minute",
)

_PREFIX = "llm:"


def has_models(cells: pd.DataFrame) -> bool:
    """Say whether a language model decides in a cell of a design.

    Parameters
    ----------
    cells : DataFrame
        One row a combination, one column a parameter.

    Returns
    -------
    bool
    """
    rows = cast("list[dict[str, Any]]", cells.to_dict("records"))
    deciders = (arguments_of(cell).get("decider") for cell in rows)
    return any(str(decider).startswith(_PREFIX) for decider in deciders)


def checked_options(llm: Mapping[str, Any] | None, cells: pd.DataFrame) -> dict[str, Any]:
    """Check the options of a sweep's language models.

    Parameters
    ----------
    llm : mapping or None
        Arguments of :class:`~mesa_llmspread.deciders.LLMDecider` but ``model``, as plain
        values or paths.
    cells : DataFrame
        The design's cells.

    Returns
    -------
    dict
        Plain values; the path of a store is absolute.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an option is not known, not plain, or has a value that is not allowed; or if no
        cell has a language model.
    """
    from mesa_llmspread.deciders import LLMDecider

    if llm is None:
        return {}
    if not isinstance(llm, Mapping):
        raise ArgumentTypeError("llm", llm, "a mapping of options")
    if llm and not has_models(cells):
        raise ArgumentError("llm", sorted(llm), "stand with a decider 'llm:MODEL' in the design")
    known = [name for name in inspect.signature(LLMDecider).parameters if name != "model"]
    options: dict[str, Any] = {}
    for name, value in llm.items():
        if name not in known:
            raise UnknownNameError("llm", name, known)
        options[name] = os.fspath(value) if isinstance(value, os.PathLike) else value
        if not isinstance(options[name], str | int | float | None):
            raise ArgumentTypeError(f"llm[{name!r}]", value, "a number, a text or None")
    if options.get("store") is not None:
        options["store"] = os.path.abspath(options["store"])
    LLMDecider(f"openai/{_PREFIX}", **{"store": os.devnull, **options})
    address = urlsplit(options.get("api_base") or "")
    if address.username or address.password or address.query or address.fragment:
        raise ArgumentError(
            "llm['api_base']",
            public_address(address.geturl()),
            "have no user, password, query or fragment, as it is written down; give the key's "
            "variable as key_variable",
        )
    if str(template := options.get("template")).endswith(".toml"):
        options["template"] = os.path.abspath(str(template))
    return options


def template_hashes(cells: pd.DataFrame, options: Mapping[str, Any]) -> dict[str, str]:
    """Identify the words of every language model's prompts.

    Parameters
    ----------
    cells : DataFrame
        The design's cells.
    options : mapping
        Those of language models.

    Returns
    -------
    dict of str to str
        The template's hash by decider, as the design has it.
    """
    rows = cast("list[dict[str, Any]]", cells.to_dict("records"))
    named = {str(arguments_of(cell).get("decider")) for cell in rows}
    asked = sorted(text for text in named if text.startswith(_PREFIX))
    unopened = {**options, "store": os.devnull}
    hashes = {text: decider_of(text, unopened).template.hash for text in asked}
    forget_deciders()
    return hashes


def with_store(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Say where the calls of a sweep are kept: by default in its own folder."""
    store = options.get("store") or os.path.abspath(folder / "calls.sqlite")
    return {**options, "store": store}


def share_of(options: Mapping[str, Any], workers: int) -> dict[str, Any]:
    """Give the options of one worker, which has its part of what may be sent.

    Parameters
    ----------
    options : mapping
        The sweep's options.
    workers : int
        How many workers there are.

    Returns
    -------
    dict
        Limits by the minute, and calls at one time, are divided; at least one call at a time
        is everyone's.

    Examples
    --------
    >>> share_of({"requests_per_minute": 600, "max_concurrency": 8, "max_calls": 100}, 4)
    {'requests_per_minute': 150.0, 'max_concurrency': 2, 'max_calls': 100}
    """
    from mesa_llmspread.deciders import LLMDecider

    usual = inspect.signature(LLMDecider).parameters["max_concurrency"].default
    part = {**options}
    for name in ("requests_per_minute", "tokens_per_minute"):
        if part.get(name) is not None:
            part[name] /= workers
    part["max_concurrency"] = max(1, part.get("max_concurrency", usual) // workers)
    return part


def decider_of(decider: Any, options: Mapping[str, Any]) -> Any:
    """Give what decides in a cell.

    Parameters
    ----------
    decider : object
        As the model takes it.
    options : mapping
        Those of language models.

    Returns
    -------
    object
        For ``"llm:MODEL"`` the decider with these options, the same one for all runs of this
        process; anything else as it is.
    """
    if isinstance(decider, str) and decider.startswith(_PREFIX):
        return _language_model(decider, json.dumps(options, sort_keys=True))
    return decider


# The limits by the minute hold only as long as runs share the decider that counts.
@lru_cache(maxsize=64)
def _language_model(text: str, options: str) -> LLMDecider:
    from mesa_llmspread.deciders import language_model

    return language_model(text, **json.loads(options))


def forget_deciders() -> None:
    """Let go of this process's language models, and so of their open stores."""
    _language_model.cache_clear()
