"""Parts of your own by name: registered, on an import path, or of an installed package.

Wherever a name is taken (``batch_run``, sweeps, the command line, the page), three kinds work:
the name of a part that was registered in this process, ``package.module:Object``, and the name
of an entry point in the group ``mesa_llmspread``.
"""

from __future__ import annotations

import importlib.metadata
import pkgutil
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
    try:
        if ":" in name:
            return pkgutil.resolve_name(name)
        for entry in importlib.metadata.entry_points(group=GROUP, name=name):
            return entry.load()
    except Exception as error:  # whatever the module raises
        why = " ".join(f"{type(error).__name__}: {error}".split())
        allowed = f"be importable as package.module:Object ({why})"
        raise ArgumentError(argument, name, allowed) from error
    return None
