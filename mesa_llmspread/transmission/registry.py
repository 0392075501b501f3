"""The laws by name: what a name, a class, or a text such as ``"SI(0.05)"`` stands for."""

from __future__ import annotations

import ast
import inspect
from typing import Any, TypeVar

from mesa_llmspread._validation import check_kind, check_name
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, UnknownNameError
from mesa_llmspread.plugins import find_part
from mesa_llmspread.transmission.heterogeneity import ByProfile, ByTraits, Frailty, TwoClass
from mesa_llmspread.transmission.law import TransmissionLaw
from mesa_llmspread.transmission.laws import SI, FirstRepeat, OnlineOffline, SingleMultiple

__all__ = ["law_names", "law_of", "parse_call", "parse_law", "register_law", "resolve_law"]

LawType = TypeVar("LawType", bound=type[TransmissionLaw])

_CONTACTS: tuple[type[TransmissionLaw], ...] = (SI, OnlineOffline, FirstRepeat, SingleMultiple)
_AGENTS: tuple[type[TransmissionLaw], ...] = (TwoClass, Frailty, ByProfile, ByTraits)

_LAWS = {law.__name__: law for law in _CONTACTS + _AGENTS}

_BUILT_IN = frozenset(_LAWS)

# What Python raises for text that is not a call with plain values.
_UNREADABLE = (MemoryError, RecursionError, SyntaxError, TypeError, ValueError)


def register_law(law: LawType) -> LawType:
    """Register a law of your own by its class's name, in this process.

    Parameters
    ----------
    law : type of TransmissionLaw
        Registering a class of the same name again replaces it, as in a notebook.

    Returns
    -------
    type of TransmissionLaw
        The class itself, so that this works as a decorator.

    Raises
    ------
    ArgumentTypeError
        If it is not a subclass of TransmissionLaw.
    ArgumentError
        If the name is that of a law of this package.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import numpy as np
    >>> @register_law
    ... @dataclass(frozen=True)
    ... class Saturating(TransmissionLaw):
    ...     beta: float
    ...     def prob(self, seen):
    ...         return np.where(seen.contacts > 0, self.beta, 0.0)
    >>> parse_law("Saturating(0.1)").beta
    0.1
    """
    if not (isinstance(law, type) and issubclass(law, TransmissionLaw)):
        raise ArgumentTypeError("law", law, "a subclass of TransmissionLaw")
    if law.__name__ in _BUILT_IN:
        raise ArgumentError("law", law.__name__, "have a name that no law of the package has")
    _LAWS[law.__name__] = law
    return law


def registered_laws() -> dict[str, type[TransmissionLaw]]:
    """Return the laws of your own that are registered in this process, by name."""
    return {name: law for name, law in _LAWS.items() if name not in _BUILT_IN}


def law_names() -> list[str]:
    """Return the names of the laws that are known by name.

    Returns
    -------
    list of str

    Examples
    --------
    >>> sorted(law_names())[:3]
    ['ByProfile', 'ByTraits', 'FirstRepeat']
    """
    return list(_LAWS)


def resolve_law(
    law: str | type[TransmissionLaw] | TransmissionLaw, **options: Any
) -> TransmissionLaw:
    """Return the law that a name, a class or a law stands for.

    Parameters
    ----------
    law : str, type of TransmissionLaw or TransmissionLaw
        A name of :func:`law_names` or ``package.module:Object``, with options in parentheses
        where they are not defaults; a class; or a law.
    **options
        Fields of the class that are not parameters: ``per``, ``count`` or ``high``.

    Returns
    -------
    TransmissionLaw
        With values that mean nothing, unless a law was given: its options count.

    Raises
    ------
    UnknownNameError
        If a name is not known, or the class does not have the option.
    ArgumentTypeError
        If it is something else.

    Examples
    --------
    >>> resolve_law("FirstRepeat", per="occasion").name
    'FirstRepeat(per="occasion")'
    """
    if isinstance(law, str):
        name, args, given = parse_call(law, "law", "be the name of a law")
        kind = _find(name, "law")
        has_values = args or given.keys() - kind.option_names()
        law, options = (parse_law(law), options) if has_values else (kind, {**given, **options})
    if isinstance(law, TransmissionLaw):
        if not options:
            return law
        options = {**law.options, **options}
        law = type(law)
    if not (isinstance(law, type) and issubclass(law, TransmissionLaw)):
        raise ArgumentTypeError("law", law, "a name, a TransmissionLaw class or a TransmissionLaw")
    if inspect.isabstract(law):
        raise ArgumentTypeError("law", law, "a law that has a prob() method")
    for option in options:
        check_name("option", option, sorted(law.option_names()) or ("(none)",))
    try:
        return law.example(**options)
    except TypeError as error:
        if isinstance(error, ArgumentTypeError):
            raise
        wanted = f"be given as a law with its values ({error})"
        raise ArgumentError("law", law.__name__, wanted) from error


def parse_law(text: str, argument: str = "law") -> TransmissionLaw:
    """Read a law from text such as ``"FirstRepeat(0.2, beta_repeat=0.04)"``.

    Only names, numbers, strings, lists, sets and mappings are read; nothing is run.

    Parameters
    ----------
    text : str
        A name of :func:`law_names`, or ``package.module:Object``, with values in parentheses.
    argument : str, default "law"
        What to call the text in an error.

    Returns
    -------
    TransmissionLaw

    Raises
    ------
    ArgumentError
        If the text is not of that form, or a name or value is not allowed.
    ArgumentTypeError
        If a value is of the wrong type.

    Examples
    --------
    >>> parse_law("SI(0.05)")
    SI(alpha=0.0, beta=0.05, per='contact')
    """
    name, args, keywords = parse_call(
        text, argument, "be a law with its values, such as 'SI(0.05)' or 'FirstRepeat(0.2, 0.04)'"
    )
    kind = _find(name, argument)
    signature = inspect.signature(kind)
    try:
        signature.bind(*args, **keywords)
    except TypeError as error:
        wanted = ", ".join(
            field if given.default is given.empty else f"{field}={given.default!r}"
            for field, given in signature.parameters.items()
        )
        raise ArgumentError(argument, text, f"be {name}({wanted}): {error}") from error
    return kind(*args, **keywords)


def law_of(law: str | TransmissionLaw, argument: str = "law") -> TransmissionLaw:
    """Return a law with its values, given as such or as text.

    Parameters
    ----------
    law : str or TransmissionLaw
    argument : str, default "law"
        What to call it in an error.

    Returns
    -------
    TransmissionLaw

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the text is not of a law with its values, or it is something else.

    Examples
    --------
    >>> law_of("SI(0.05)") == law_of(SI(0.05))
    True
    """
    if isinstance(law, str):
        return parse_law(law, argument)
    if not isinstance(law, TransmissionLaw):
        raise ArgumentTypeError(argument, law, "a law with its values, such as SI(0.05)")
    return law


def parse_call(text: str, argument: str, wanted: str) -> tuple[str, list[Any], dict[str, Any]]:
    """Read a name and plain values from text such as ``"name(1, key='a')"``.

    Parameters
    ----------
    text : str
        A name or ``package.module:Object``, with or without values in parentheses.
    argument : str
        What to call the text in an error.
    wanted : str
        What it should be, for the error.

    Returns
    -------
    name : str
    args : list
    keywords : dict

    Raises
    ------
    ArgumentError
        If the text is not of that form.

    Examples
    --------
    >>> parse_call("a.b:C(1, x=[2])", "law", "be a call")
    ('a.b:C', [1], {'x': [2]})
    """
    check_kind(argument, text, str, "text such as 'name(0.1)'")
    name, bracket, values = text.strip().partition("(")
    try:
        module, colon, attribute = name.rpartition(":")
        dotted = f"{module}.{attribute}".split(".") if colon else [name]
        # Names of entry points may have hyphens.
        if not all(part.replace("-", "_").isidentifier() for part in dotted):
            raise ValueError("not a name")
        call = ast.parse(f"_({values}" if bracket else "_()", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError("not a call")
        for node in (*call.args, *(kw.value for kw in call.keywords)):
            if isinstance(node, ast.Name):
                wanted += f"; {node.id[:40]} is not a number"
        args = [ast.literal_eval(arg) for arg in call.args]
        keywords = {str(kw.arg): ast.literal_eval(kw.value) for kw in call.keywords}
        if len(keywords) < len(call.keywords):
            raise ValueError("a parameter is given twice")
    except _UNREADABLE as error:
        raise ArgumentError(argument, text, wanted) from error
    return name, args, keywords


def _find(name: str, argument: str) -> type[TransmissionLaw]:
    """Return a class by name."""
    found = find_part(name, _LAWS, argument)
    if found is None:
        raise UnknownNameError(argument, name, _LAWS)
    if not (isinstance(found, type) and issubclass(found, TransmissionLaw)):
        raise ArgumentTypeError(argument, found, "a subclass of TransmissionLaw")
    return found
