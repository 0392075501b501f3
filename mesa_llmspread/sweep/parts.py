"""A user's own parts on their way to the workers of a sweep.

Other processes know neither what is registered in this one nor what its script or notebook
defines, so both are sent along.
"""

from __future__ import annotations

import pickle
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mesa_llmspread.exceptions import ArgumentError

if TYPE_CHECKING:
    from mesa_llmspread.model import SpreadModel

__all__ = ["dumps", "loads", "packed", "unpacked"]


def dumps(value: Any) -> bytes:
    """Pickle a value for a worker, which may have been started before a path was added."""
    import cloudpickle

    return pickle.dumps((sys.path, cloudpickle.dumps(value)))


def loads(content: bytes) -> Any:
    """Return what :func:`dumps` pickled."""
    path, value = pickle.loads(content)
    sys.path.extend(folder for folder in path if folder not in sys.path)
    return pickle.loads(value)


def packed(model: type[SpreadModel] | None) -> bytes:
    """Pack what is registered in this process, and the model of a sweep.

    Parameters
    ----------
    model : type of SpreadModel or None
        None for ``SpreadModel`` itself.

    Returns
    -------
    bytes

    Raises
    ------
    ArgumentError
        If a part cannot be pickled.
    """
    from mesa_llmspread.deciders import registered_deciders
    from mesa_llmspread.meanfield.closure import registered_closures
    from mesa_llmspread.transmission.registry import registered_laws

    parts: dict[str, dict[str, Any]] = {
        "decider": registered_deciders(),
        "law": registered_laws(),
        "closure": registered_closures(),
        "model": {} if model is None else {model.__name__: model},
    }
    try:
        return dumps(parts)
    except Exception as error:  # whatever a user's object raises
        raise ArgumentError(
            *_first_unpicklable(parts),
            f"be picklable for the workers of a sweep ({error}), or stand with "
            "backend='sequential'",
        ) from error


@lru_cache(maxsize=1)  # a name may be registered again, and then again as it was
def unpacked(parts: bytes) -> type[SpreadModel] | None:
    """Register parts in this process.

    Parameters
    ----------
    parts : bytes
        From :func:`packed`.

    Returns
    -------
    type of SpreadModel or None
        The model.
    """
    from mesa_llmspread.deciders import register_decider
    from mesa_llmspread.transmission import register_law

    own = loads(parts)
    for name, decider in own["decider"].items():
        register_decider(name, decider)
    for law in own["law"].values():
        register_law(law)
    if own["closure"]:
        from mesa_llmspread.meanfield import register_closure

        for closure in own["closure"].values():
            register_closure(closure)
    return next(iter(own["model"].values()), None)


def _first_unpicklable(parts: dict[str, dict[str, Any]]) -> tuple[str, str]:
    """Return the kind and name of the part that cannot be pickled."""
    for kind, by_name in parts.items():
        for name, part in by_name.items():
            try:
                dumps(part)
            except Exception:
                return kind, name
    return "parts", ", ".join(name for by_name in parts.values() for name in by_name)
