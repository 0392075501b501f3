"""Who decides: laws, policies, language models and scripts behind one interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesa_llmspread.deciders.base import Decider, Decision, Exposure, Outcome, Post, coins
from mesa_llmspread.deciders.llm.decider import LLMDecider
from mesa_llmspread.deciders.llm.store import DecisionStore
from mesa_llmspread.deciders.llm.template import PromptTemplate
from mesa_llmspread.deciders.mixed import MixedDecider
from mesa_llmspread.deciders.rates import RateDecider
from mesa_llmspread.deciders.scripted import ScriptedDecider
from mesa_llmspread.deciders.table import TableDecider
from mesa_llmspread.deciders.traits import TraitDecider
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    LLMSpreadError,
    UnknownNameError,
)
from mesa_llmspread.plugins import find_part
from mesa_llmspread.transmission import TransmissionLaw, law_names, parse_law
from mesa_llmspread.transmission.registry import parse_call

__all__ = [
    "Decider",
    "Decision",
    "DecisionStore",
    "Exposure",
    "LLMDecider",
    "MixedDecider",
    "Outcome",
    "Post",
    "PromptTemplate",
    "RateDecider",
    "ScriptedDecider",
    "TableDecider",
    "TraitDecider",
    "as_decider",
    "coins",
    "language_model",
    "register_decider",
]


# Deciders by name: classes, or functions that make one.
_DECIDERS: dict[str, Callable[..., Any]] = {"traits": TraitDecider, "table": TableDecider}

_BUILT_IN = frozenset(_DECIDERS)


def register_decider(name: str, decider: Callable[..., Decider]) -> None:
    """Make a decider of your own known by name, in this process.

    Parameters
    ----------
    name : str
        An identifier. Registering a name again replaces it, as in a notebook.
    decider : type of Decider, or function that returns one
        Called with what stands in parentheses after the name: ``"stubborn(3)"``.

    Raises
    ------
    ArgumentError
        If the name is no identifier, or one of this package's.
    ArgumentTypeError
        If the decider cannot be called.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ArgumentError("name", name, "be an identifier, such as 'stubborn'")
    if name in _BUILT_IN or name in law_names():
        raise ArgumentError("name", name, "be a name that nothing else has")
    if not callable(decider):
        raise ArgumentTypeError("decider", decider, "a Decider class, or a function that makes one")
    _DECIDERS[name] = decider


def registered_deciders() -> dict[str, Callable[..., Any]]:
    """Return the deciders of one's own that are registered in this process, by name."""
    return {name: decider for name, decider in _DECIDERS.items() if name not in _BUILT_IN}


def as_decider(decider: Any) -> Decider:
    """Return the decider that a plain value stands for.

    Parameters
    ----------
    decider : Decider, TransmissionLaw or str
        A decider itself; a law, for a :class:`RateDecider`; or text: the name of a decider such
        as ``"traits"``, a law with its rates such as ``"SI(0.05)"``, ``"package.module:Object"``
        for either, or ``"llm:MODEL"`` with any litellm model name (see :func:`language_model`).

    Returns
    -------
    Decider

    Raises
    ------
    UnknownNameError
        If text names no decider, or no template.
    ArgumentError
        If a law's rates are not allowed.
    InputFileError
        If a template's file does not hold one.
    ArgumentTypeError
        If it is anything else.

    Examples
    --------
    >>> as_decider("FirstRepeat(0.2, 0.04)").name
    'FirstRepeat(beta_first=0.2, beta_repeat=0.04)'
    """
    if isinstance(decider, Decider):
        return decider
    if isinstance(decider, TransmissionLaw):
        return RateDecider(decider)
    if not isinstance(decider, str):
        raise ArgumentTypeError("decider", decider, "a name, a law or a Decider")
    if decider.startswith("llm:"):
        return language_model(decider)
    name, args, keywords = parse_call(
        decider, "decider", "be a name with its values, such as 'traits' or 'SI(0.05)'"
    )
    if name in law_names():
        return RateDecider(parse_law(decider, "decider"))
    found = find_part(name, _DECIDERS, "decider")
    if found is None:
        known = (*_DECIDERS, "llm:MODEL", "package.module:Object")
        raise UnknownNameError(
            "decider", decider, (*known, *(f"{law}(...)" for law in law_names()))
        )
    if callable(found) and not isinstance(found, Decider | TransmissionLaw):
        try:
            found = found(*args, **keywords)
        except LLMSpreadError:
            raise
        except (TypeError, ValueError) as error:
            raise ArgumentError(
                "decider", decider, f"have the values that {name} takes ({error})"
            ) from error
    elif args or keywords:
        raise ArgumentError("decider", decider, f"have no values: {name} is a decider already")
    if not isinstance(found, Decider | TransmissionLaw):
        raise ArgumentTypeError("decider", found, f"a Decider or a law, which {name!r} is not")
    return as_decider(found)


def language_model(text: str, **options: Any) -> LLMDecider:
    """Make the decider of a language model from text.

    Parameters
    ----------
    text : str
        ``"llm:MODEL"``, or ``"llm:MODEL?template=NAME_OR_FILE"``, so that plain text can vary
        the words of the prompts too.
    **options
        Arguments of :class:`LLMDecider`; these win over the text.

    Returns
    -------
    LLMDecider

    Raises
    ------
    UnknownNameError
        If the text sets anything but a template, or one that is not known.
    ArgumentError, ArgumentTypeError, InputFileError
        As :class:`LLMDecider`.

    Examples
    --------
    >>> language_model("llm:openai/tiny?template=no_persona").manifest()["template"]
    'no_persona'
    """
    model, asks, setting = text.removeprefix("llm:").partition("?")
    option, _, value = setting.partition("=")
    if asks and option != "template":
        raise UnknownNameError(f"decider={text!r}: setting", option, ("template",))
    return LLMDecider(model, **({"template": value} if asks else {}) | options)
