"""The laws by name: what a name, a class, or a text such as ``"SI(0.05)"`` stands for."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, UnknownNameError
from mesa_llmspread.transmission import (
    SI,
    ByProfile,
    FirstRepeat,
    OnlineOffline,
    SingleMultiple,
    Structure,
    TwoClass,
)

__all__ = ["Form", "forms", "parse_structure", "resolve_form"]


@dataclass(frozen=True)
class Form:
    """A law without values: a class of structures and its options.

    Parameters
    ----------
    name : str
        The law's name.
    kind : type of Structure
        Its class.
    options : dict
        Arguments of the class that are not parameters, such as ``per="step"``.
    """

    name: str
    kind: type[Structure]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __call__(self, *values: float) -> Structure:
        """Make the structure with these parameter values."""
        if self.kind is ByProfile:
            return ByProfile(tuple(values))
        return self.kind(*values, **self.options)


_FORMS = {
    form.name: form
    for form in (
        Form("SI", SI),
        Form("OnlineOffline", OnlineOffline),
        Form("FirstRepeat", FirstRepeat),
        Form("FirstRepeatStep", FirstRepeat, {"per": "step"}),
        Form("SingleMultiple", SingleMultiple),
        Form("SingleMultipleCumulative", SingleMultiple, {"count": "cumulative"}),
        Form("TwoClass", TwoClass),
        Form("ByProfile", ByProfile),
    )
}


def forms() -> dict[str, Form]:
    """List the laws by name: what :func:`~mesa_llmspread.meanfield.fit` can fit.

    Returns
    -------
    dict of str to Form

    Examples
    --------
    >>> sorted(forms())[:3]
    ['ByProfile', 'FirstRepeat', 'FirstRepeatStep']
    """
    return dict(_FORMS)


def resolve_form(structure: str | type[Structure] | Structure, **options: Any) -> Form:
    """Find the law a name, class or structure stands for.

    Parameters
    ----------
    structure : str, type of Structure or Structure
        A name as in :func:`forms`, a class, or a structure, of which the options are taken
        and the values are not.
    **options
        Arguments of the class that are not parameters: ``per``, ``count`` or ``high``.

    Returns
    -------
    Form

    Raises
    ------
    UnknownNameError
        If a name is not known, or the class does not have the option.
    """
    kinds = [form.kind for form in _FORMS.values()]
    if isinstance(structure, str):
        if structure not in _FORMS:
            raise UnknownNameError("structure", structure, _FORMS)
        form = _FORMS[structure]
    elif isinstance(structure, Structure) and type(structure) in kinds:
        fields = {field.name for field in dataclasses.fields(structure)}
        taken = sorted(fields - set(structure.words) - {"betas"})
        form = Form(
            structure.name, type(structure), {key: getattr(structure, key) for key in taken}
        )
    elif isinstance(structure, type) and structure in kinds:
        form = _FORMS[structure.__name__]
    else:
        raise ArgumentTypeError(
            "structure", structure, f"a built-in law, or the name of one ({', '.join(_FORMS)})"
        )
    if not options:
        return form
    allowed = {field.name for field in dataclasses.fields(form.kind)} - set(form.kind.words)
    for option in options:
        if option not in allowed - {"betas"}:
            raise UnknownNameError("option", option, sorted(allowed - {"betas"}) or ("(none)",))
    merged = {**form.options, **options}
    name = form.kind(*(0.5 for _ in form.kind.words), **merged).name
    return Form(name, form.kind, merged)


def parse_structure(text: str, argument: str = "structure") -> Structure:
    """Read a structure from text such as ``"FirstRepeat(0.2, beta_repeat=0.04)"``.

    Only names, numbers, strings, lists, sets and mappings are read; nothing is run.

    Parameters
    ----------
    text : str
        A name of :func:`forms` with its values in parentheses.
    argument : str, default "structure"
        What to call the text in an error.

    Returns
    -------
    Structure

    Raises
    ------
    ArgumentError
        If the text is not of that form, or a name or value is not allowed.
    ArgumentTypeError
        If a value is of the wrong kind.

    Examples
    --------
    >>> parse_structure("SI(0.05)")
    SI(beta=0.05)
    """
    example = "be a structure with its values, such as 'SI(0.05)' or 'FirstRepeat(0.2, 0.04)'"
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError("not a call")
        for node in (*call.args, *(kw.value for kw in call.keywords)):
            if isinstance(node, ast.Name):
                example += f"; {node.id[:40]} is not a number"
        args = [ast.literal_eval(arg) for arg in call.args]
        keywords = {str(kw.arg): ast.literal_eval(kw.value) for kw in call.keywords}
        if len(keywords) < len(call.keywords):
            raise ValueError("a parameter is given twice")
    except (
        AttributeError,
        MemoryError,
        RecursionError,
        SyntaxError,
        TypeError,
        ValueError,
    ) as error:
        raise ArgumentError(argument, text, example) from error
    if call.func.id not in _FORMS:
        raise UnknownNameError(argument, call.func.id, _FORMS)
    form = _FORMS[call.func.id]
    values = {**form.options, **keywords}
    signature = inspect.signature(form.kind)
    try:
        signature.bind(*args, **values)
    except TypeError as error:
        wanted = ", ".join(
            name if given.default is given.empty else f"{name}={given.default!r}"
            for name, given in signature.parameters.items()
            if name not in form.options
        )
        raise ArgumentError(argument, text, f"be {form.name}({wanted}): {error}") from error
    return form.kind(*args, **values)
