"""Deciders: laws, policies, language models and scripts behind one interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesa_llmspread._validation import check_kind
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
_BUILT_IN: dict[str, Callable[..., Any]] = {"traits": TraitDecider, "table": TableDecider}
_REGISTERED: dict[str, Callable[..., Any]] = {}


def register_decider(name: str, decider: Callable[..., Decider]) -> None:
    """Register a decider of your own under a name, in this process.

    Parameters
    ----------
    name : str
        An identifier. Registering a name again replaces it, as in a notebook.
    decider : type of Decider, or function that returns one
        Called with the values in parentheses after the name: ``"stubborn(3)"``.

    Raises
    ------
    ArgumentError
        If the name is not an identifier, or is one of this package's.
    ArgumentTypeError
        If the decider cannot be called.

    Examples
    --------
    >>> register_decider("rare", lambda share: RateDecider(parse_law(f"SI({share})")))
    >>> as_decider("rare(0.01)").name
    'SI(beta=0.01)'
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ArgumentError("name", name, "be an identifier, such as 'stubborn'")
    if name in _BUILT_IN or name in law_names():
        raise ArgumentError("name", name, "be a name that nothing else has")
    if not callable(decider):
        raise ArgumentTypeError("decider", decider, "a Decider class, or a function that makes one")
    _REGISTERED[name] = decider


def registered_deciders() -> dict[str, Callable[..., Any]]:
    """Return the deciders of your own that are registered in this process, by name."""
    return dict(_REGISTERED)


def as_decider(decider: Any) -> Decider:
    """Return the decider that a plain value stands for.

    Parameters
    ----------
    decider : Decider, TransmissionLaw, str or callable
        A decider itself; a law, for a :class:`RateDecider`; text: the name of a decider such as
        ``"traits"``, a law with its rates such as ``"SI(0.05)"``, ``"package.module:Object"`` for
        either, or ``"llm:MODEL"`` with any litellm model name (see :func:`language_model`); or a
        class or function that returns one of these without arguments.

    Returns
    -------
    Decider

    Raises
    ------
    UnknownNameError
        If the name of a decider, or of a template, is unknown.
    ArgumentError
        If values are not allowed.
    InputFileError
        If a file does not hold a template.
    ArgumentTypeError
        If it is anything else.

    Examples
    --------
    >>> as_decider("FirstRepeat(0.2, 0.04)").name
    'FirstRepeat(beta_first=0.2, beta_repeat=0.04)'
    """
    found, args, keywords = decider, list[Any](), dict[str, Any]()
    if isinstance(decider, str):
        if decider.startswith("llm:"):
            return language_model(decider)
        wanted = "be a name with its values, such as 'traits' or 'SI(0.05)'"
        name, args, keywords = parse_call(decider, "decider", wanted)
        if name in law_names():
            return RateDecider(parse_law(decider, "decider"))
        known = {**_BUILT_IN, **_REGISTERED}
        found = find_part(name, known, "decider")
        if found is None:
            laws = [f"{law}(...)" for law in law_names()]
            names = (*known, "llm:MODEL", "package.module:Object", *laws)
            raise UnknownNameError("decider", decider, names)
    if callable(found) or args or keywords:
        try:
            found = found(*args, **keywords)
        except (TypeError, ValueError) as error:
            if isinstance(error, LLMSpreadError):
                raise
            problem = f"be a Decider or a law, with the values that it takes ({error})"
            raise ArgumentError("decider", decider, problem) from error
    if isinstance(found, TransmissionLaw):
        return RateDecider(found)
    check_kind("decider", found, Decider, "a name, a law or a Decider")
    return found


def language_model(text: str, **options: Any) -> LLMDecider:
    """Return the decider of a language model from text.

    Parameters
    ----------
    text : str
        ``"llm:MODEL"``, or ``"llm:MODEL?template=NAME_OR_FILE"``, which also chooses the words
        of the prompts.
    **options
        Arguments of :class:`LLMDecider`; these override the text.

    Returns
    -------
    LLMDecider

    Raises
    ------
    UnknownNameError
        If the text sets anything but a template, or the template is unknown.
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
