"""Who decides: laws, policies, language models and scripts behind one interface."""

from __future__ import annotations

from typing import Any

from mesa_llmspread.deciders.base import Decider, Decision, Exposure, Outcome, Post
from mesa_llmspread.deciders.llm import LLMDecider
from mesa_llmspread.deciders.rates import RateDecider
from mesa_llmspread.deciders.scripted import ScriptedDecider
from mesa_llmspread.deciders.store import DecisionStore
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
    "RateDecider",
    "ScriptedDecider",
    "TraitDecider",
    "as_decider",
]


def as_decider(decider: Any) -> Decider:
    """Find the decider that a plain value stands for.

    Parameters
    ----------
    decider : Decider, Structure or str
        A decider itself; a law, for a :class:`RateDecider`; or text: ``"traits"``, a law
        with its rates such as ``"SI(0.05)"``, or ``"llm:MODEL"`` with any litellm model name.

    Returns
    -------
    Decider

    Raises
    ------
    UnknownNameError
        If text names no decider.
    ArgumentError
        If a law's rates are not allowed.
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
        return LLMDecider(decider.removeprefix("llm:"))
    if "(" in decider:
        return RateDecider(parse_structure(decider, "decider"))
    raise UnknownNameError(
        "decider", decider, ("traits", "llm:MODEL", *(f"{name}(...)" for name in forms()))
    )
