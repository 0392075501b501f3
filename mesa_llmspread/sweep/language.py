"""Language models in a sweep: one store, one budget and one rate limit for all of its runs.

The workers share the store: it counts what all of them have spent, and answers what was paid
for before. Limits per minute, and calls at one time, are divided among the workers.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from mesa_llmspread._validation import check_name
from mesa_llmspread.deciders import LLMDecider, language_model
from mesa_llmspread.deciders.llm.local import addresses, use_addresses
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError
from mesa_llmspread.sweep.arguments import arguments_of

__all__ = [
    *("LIMITS", "checked_options", "decider_of", "forget_deciders", "models_of", "share_of"),
    *("template_hashes", "with_servers", "with_store"),
]

#: Options that may change when a sweep goes on: none of them changes a decision.
LIMITS = (
    *("api_base", "key_variable", "mode", "timeout", "max_attempts", "max_concurrency"),
    *("max_calls", "max_cost_usd", "requests_per_minute", "tokens_per_minute"),
)

_PREFIX = "llm:"
# Among the options of workers: where local models are served.
_SERVED = "served"
# Most calls under way at one time, over all workers, if no other number is given.
_AT_ONCE = 32
_OPTIONS = inspect.signature(LLMDecider).parameters


def models_of(cells: pd.DataFrame) -> list[str]:
    """List the language models of a design, as its deciders name them.

    Parameters
    ----------
    cells : DataFrame
        One row per combination, one column per parameter.

    Returns
    -------
    list of str
        Such as ``"llm:openai/gpt-4o-mini"``.
    """
    rows: list[Any] = cells.to_dict("records")
    deciders = {str(arguments_of(cell).get("decider")) for cell in rows}
    return sorted(decider for decider in deciders if decider.startswith(_PREFIX))


def checked_options(llm: Mapping[str, Any] | None, cells: pd.DataFrame) -> dict[str, Any]:
    """Validate the options of a sweep's language models.

    Parameters
    ----------
    llm : mapping or None
        Arguments of :class:`~mesa_llmspread.deciders.LLMDecider` except ``model``, as plain
        values or paths.
    cells : DataFrame
        The design's cells.

    Returns
    -------
    dict
        Plain values; paths are absolute.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an option is unknown, not plain, or has a value that is not allowed; or if no
        cell has a language model.
    """
    if not llm:
        return {}
    if not isinstance(llm, Mapping):
        raise ArgumentTypeError("llm", llm, "a mapping of options")
    if not models_of(cells):
        raise ArgumentError("llm", sorted(llm), "stand with a decider 'llm:MODEL' in the design")
    options: dict[str, Any] = {}
    for name, value in llm.items():
        check_name("llm", name, [known for known in _OPTIONS if known != "model"])
        options[name] = os.fspath(value) if isinstance(value, os.PathLike) else value
        if not isinstance(options[name], str | int | float | None):
            raise ArgumentTypeError(f"llm[{name!r}]", value, "a number, a text or None")
    if options.get("store") is not None:
        options["store"] = os.path.abspath(options["store"])
    LLMDecider(f"openai/{_PREFIX}", **{"store": os.devnull, **options})
    if str(template := options.get("template")).endswith(".toml"):
        options["template"] = os.path.abspath(str(template))
    return options


def template_hashes(cells: pd.DataFrame, options: Mapping[str, Any]) -> dict[str, str]:
    """Return the hash of every language model's prompt template.

    Parameters
    ----------
    cells : DataFrame
        The design's cells.
    options : mapping
        Those of language models.

    Returns
    -------
    dict of str to str
        By decider, as the design names it.
    """
    unopened = {**options, "store": os.devnull}
    hashes = {text: decider_of(text, unopened).template.hash for text in models_of(cells)}
    forget_deciders()
    return hashes


def with_store(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return options with a file for a sweep's calls: by default in its own folder."""
    store = options.get("store") or os.path.abspath(folder / "calls.sqlite")
    return {**options, "store": store}


def with_servers(options: Mapping[str, Any], models: list[str]) -> dict[str, Any]:
    """Start the servers of local models, and return options with their addresses for workers.

    Parameters
    ----------
    options : mapping
        The sweep's options.
    models : list of str
        From :func:`models_of`.

    Returns
    -------
    dict
    """
    found = [decider_of(text, options).client.local for text in models]
    for local in filter(None, found):
        local.serve()
    return {**options, _SERVED: addresses()} if any(found) else dict(options)


def share_of(options: Mapping[str, Any], workers: int) -> dict[str, Any]:
    """Return the options of one worker, which has its share of what may be sent.

    Parameters
    ----------
    options : mapping
        The sweep's options.
    workers : int
        Number of workers.

    Returns
    -------
    dict
        Limits per minute, and calls at one time, are divided; every worker may make one call
        at a time.

    Examples
    --------
    >>> share_of({"requests_per_minute": 600, "max_concurrency": 8, "max_calls": 100}, 4)
    {'requests_per_minute': 150.0, 'max_concurrency': 2, 'max_calls': 100}
    """
    share = dict(options)
    for name in ("requests_per_minute", "tokens_per_minute"):
        if share.get(name) is not None:
            share[name] /= workers
    share["max_concurrency"] = max(1, (share.get("max_concurrency") or _AT_ONCE) // workers)
    return share


def decider_of(decider: Any, options: Mapping[str, Any]) -> Any:
    """Return the decider of a cell.

    Parameters
    ----------
    decider : object
        The argument of the model.
    options : mapping
        Those of language models.

    Returns
    -------
    object
        For ``"llm:MODEL"`` the decider with these options, the same one for all runs of this
        process; any other decider as it is.
    """
    if isinstance(decider, str) and decider.startswith(_PREFIX):
        return _language_model(decider, json.dumps(options, sort_keys=True))
    return decider


# Limits per minute hold only as long as runs share the decider that counts.
@lru_cache(maxsize=64)
def _language_model(text: str, options: str) -> LLMDecider:
    arguments = json.loads(options)
    use_addresses(arguments.pop(_SERVED, ()))
    return language_model(text, **arguments)


def forget_deciders() -> None:
    """Close this process's language models, and so their stores."""
    _language_model.cache_clear()
