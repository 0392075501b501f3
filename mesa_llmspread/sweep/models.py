"""The model that a sweep runs: ``SpreadModel``, or a subclass of a user's own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError
from mesa_llmspread.plugins import find_part

if TYPE_CHECKING:
    from mesa_llmspread.model import SpreadModel

__all__ = ["PLAIN", "as_model", "model_arguments", "model_name"]

#: The name of ``SpreadModel`` itself.
PLAIN = "mesa_llmspread.model:SpreadModel"

# Arguments of the model that are no plain values, which a design could keep in a file.
_NOT_PLAIN = ("self", "rng", "agent_class", "model_reporters", "agent_reporters")


def as_model(model: Any) -> type[SpreadModel]:
    """Find the class that a value stands for.

    Parameters
    ----------
    model : type of SpreadModel or str
        The class, ``package.module:MyModel``, or the name of an entry point.

    Returns
    -------
    type of SpreadModel

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If it is no subclass of SpreadModel, or its constructor does not take ``rng``.
    """
    from mesa_llmspread.model import SpreadModel

    found = model
    if isinstance(model, str):
        found = find_part(model, {}, "model")
        if found is None:
            raise ArgumentError("model", model, "be package.module:MyModel")
    if not (isinstance(found, type) and issubclass(found, SpreadModel)):
        raise ArgumentTypeError("model", found, "a subclass of SpreadModel")
    if "rng" not in _parameters(found):
        raise ArgumentError("model", model_name(found), "take rng, the seed of a run")
    return found


def model_name(model: type[SpreadModel] | str) -> str:
    """Return the qualified name of a model's class, as :func:`as_model` takes it."""
    return model if isinstance(model, str) else f"{model.__module__}:{model.__qualname__}"


def model_arguments(model: type[SpreadModel] | None = None) -> Mapping[str, Any]:
    """Return the arguments of a model that a design may have, with their defaults.

    Parameters
    ----------
    model : type of SpreadModel, optional
        ``SpreadModel`` itself by default. With ``**settings`` in its constructor, a class takes
        the arguments of its base class too.

    Returns
    -------
    mapping of str to object
        ``inspect.Parameter.empty`` for an argument without a default.
    """
    from mesa_llmspread.model import SpreadModel

    return {
        name: default
        for name, default in _parameters(model or SpreadModel).items()
        if name not in _NOT_PLAIN
    }


def _parameters(model: type[SpreadModel]) -> Mapping[str, Any]:
    """Return the parameters that a constructor takes by name, with their defaults."""
    found: dict[str, Any] = {}
    for kind in model.__mro__:
        constructor = vars(kind).get("__init__")
        if constructor is None:
            continue
        parameters = inspect.signature(constructor).parameters.values()
        for one in parameters:
            if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY):
                found.setdefault(one.name, one.default)
        if not any(one.kind is one.VAR_KEYWORD for one in parameters):
            break
    return found
