"""Who decides: laws, policies, language models and scripts behind one interface."""

from __future__ import annotations

from typing import Any

from mesa_llmspread.deciders.base import Decider, Decision, Exposure, Outcome, Post
from mesa_llmspread.deciders.llm import LLMDecider
from mesa_llmspread.deciders.rates import RateDecider
from mesa_llmspread.deciders.scripted import ScriptedDecider
from mesa_llmspread.deciders.store import DecisionStore
from mesa_llmspread.deciders.template import PromptTemplate
from mesa_llmspread.deciders.traits import TraitDecider
from mesa_llmspread.exceptions import ArgumentTypeError, UnknownNameError
from mesa_llmspread.laws import forms, parse_structure
from mesa_llmspread.transmission import Structure

__all__ = [
    "Decider",
    "Decision",
    "DecisionStore",
    "Exposure",
    "LLMDecider",
    "Outcome",
    "Post",
    "PromptTemplate",
    "RateDecider",
    "ScriptedDecider",
    "TraitDecider",
    "as_decider",
    "language_model",
]


def as_decider(decider: Any) -> Decider:
    """Find the decider that a plain value stands for.

    Parameters
    ----------
    decider : Decider, Structure or str
        A decider itself; a law, for a :class:`RateDecider`; or text: ``"traits"``, a law
        with its rates such as ``"SI(0.05)"``, or ``"llm:MODEL"`` with any litellm model name
        (see :func:`language_model`).

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
    if isinstance(decider, Structure):
        return RateDecider(decider)
    if not isinstance(decider, str):
        raise ArgumentTypeError("decider", decider, "a name, a law or a Decider")
    if decider == "traits":
        return TraitDecider()
    if decider.startswith("llm:"):
        return language_model(decider)
    if "(" in decider:
        return RateDecider(parse_structure(decider, "decider"))
    raise UnknownNameError(
        "decider", decider, ("traits", "llm:MODEL", *(f"{name}(...)" for name in forms()))
    )


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
