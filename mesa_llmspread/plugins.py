"""Parts of your own by name: registered, on an import path, or of an installed package.

Wherever a name is taken (``batch_run``, sweeps, the command line, the page), three kinds work:
the name of a part that was registered in this process, ``package.module:Object``, and the name
of an entry point in the group ``mesa_llmspread``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from typing import Any

from mesa_llmspread.exceptions import ArgumentError

__all__ = ["GROUP", "find_part"]

#: Group of entry points in which installed packages offer parts.
GROUP = "mesa_llmspread"


def find_part(name: str, registered: Mapping[str, Any], argument: str) -> Any | None:
    """Return a part by its name.

    Parameters
    ----------
    name : str
        A registered name, ``package.module:Object``, or the name of an entry point.
    registered : mapping of str to object
        The parts that are registered in this process; these win.
    argument : str
        What to call the name in an error.

    Returns
    -------
    object or None
        None if there is no such part.

    Raises
    ------
    ArgumentError
        If ``package.module:Object``, or what the entry point names, cannot be imported.

    Examples
    --------
    >>> find_part("collections:OrderedDict", {}, "part")
    <class 'collections.OrderedDict'>
    """
    if name in registered:
        return registered[name]
    module, colon, path = name.partition(":")
    if colon:
        try:
            found = importlib.import_module(module)
            for attribute in path.split("."):
                found = getattr(found, attribute)
        except Exception as error:  # whatever the module raises
            raise _not_importable(name, argument, error) from error
        return found
    for entry in importlib.metadata.entry_points(group=GROUP, name=name):
        try:
            return entry.load()
        except Exception as error:
            raise _not_importable(name, argument, error) from error
    return None


def _not_importable(name: str, argument: str, error: Exception) -> ArgumentError:
    why = " ".join(f"{type(error).__name__}: {error}".split())
    return ArgumentError(argument, name, f"be importable as package.module:Object ({why})")
