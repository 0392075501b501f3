"""The arguments of the model that a sweep runs, and the values of them that it allows.

The model is ``SpreadModel``, or a subclass of a user's own. Checks name everything that is
wrong with a design before any run starts.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mesa_llmspread._validation import check_contacts, checked_starters
from mesa_llmspread.data.schema import COUNT_COLUMNS, EXPOSURE_COLUMNS
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, LLMSpreadError
from mesa_llmspread.model import SpreadModel
from mesa_llmspread.networks import make_network
from mesa_llmspread.plugins import find_part

__all__ = [
    *("RUN_COLUMNS", "Problem", "arguments_of", "as_model", "failing", "kind_of"),
    *("model_arguments", "model_name", "plain", "problems_of", "problems_of_values"),
]

#: Columns of a design's table that are not parameters.
RUN_COLUMNS = ("run", "cell", "replicate", "rng")

# A column of this name would be mistaken for a result; an event's id is the same in both.
_RESERVED = {*RUN_COLUMNS, *COUNT_COLUMNS, *EXPOSURE_COLUMNS} - {"event"}

# A truth value is an int too, so it comes first.
_KINDS = {bool: "truth value", int: "number", float: "number", str: "text"}

# Arguments of the model whose values a file cannot hold.
_NOT_PLAIN = ("self", "rng", "agent_class", "model_reporters", "agent_reporters")

# A column's name in the text of a decider. Braces of a law's set of codes hold quotes.
_PLACE = re.compile(r"\{([A-Za-z_]\w*)\}")


class Problem(NamedTuple):
    """A reason why a design cannot be run.

    Attributes
    ----------
    argument : str
        The parameter.
    why : str
        What is wrong with it, and what is allowed.
    where : str
        Which rows of the design, or items of the parameter's list; "" for all.
    """

    argument: str
    why: str
    where: str = ""

    def __str__(self) -> str:
        place = f"{self.where}, " if self.where else ""
        named = self.why.startswith(f"{self.argument}=")
        return place + (self.why if named else f"{self.argument}: {self.why}")


def as_model(model: Any) -> type[SpreadModel]:
    """Return the model class that a value names.

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
        If it is not a subclass of SpreadModel, or its constructor has no argument ``rng``.
    """
    found = find_part(model, {}, "model") if isinstance(model, str) else model
    if found is None:
        raise ArgumentError("model", model, "be package.module:MyModel")
    if not (isinstance(found, type) and issubclass(found, SpreadModel)):
        raise ArgumentTypeError("model", found, "a subclass of SpreadModel")
    if "rng" not in _parameters(found):
        raise ArgumentError("model", model_name(found), "have an argument rng, the seed of a run")
    return found


def model_name(model: type[SpreadModel] | str) -> str:
    """Return the qualified name of a model's class, as :func:`as_model` reads it."""
    return model if isinstance(model, str) else f"{model.__module__}:{model.__qualname__}"


def model_arguments(model: type[SpreadModel] = SpreadModel) -> dict[str, Any]:
    """Return the arguments of a model that a design may vary, with their defaults.

    Parameters
    ----------
    model : type of SpreadModel, default SpreadModel
        With ``**settings`` in its constructor, a class has the arguments of its base class too.

    Returns
    -------
    dict of str to object
        ``inspect.Parameter.empty`` for an argument without a default.
    """
    known = _parameters(model)
    return {name: default for name, default in known.items() if name not in _NOT_PLAIN}


def _parameters(model: type[SpreadModel]) -> dict[str, Any]:
    """Return the named parameters of a constructor, with their defaults."""
    found: dict[str, Any] = {}
    for base in model.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        for one in parameters:
            if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY):
                found.setdefault(one.name, one.default)
        if not any(one.kind is one.VAR_KEYWORD for one in parameters):
            break
    return found


def arguments_of(cell: Mapping[str, Any], model: type[SpreadModel] = SpreadModel) -> dict[str, Any]:
    """Return the arguments of the model for a row of a design.

    Parameters
    ----------
    cell : mapping
        Values by parameter.
    model : type of SpreadModel, default SpreadModel

    Returns
    -------
    dict
        Braces in the decider are filled, and the columns that fill them are left out.

    Examples
    --------
    >>> arguments_of({"n": 100, "decider": "SI({beta})", "beta": 0.05})
    {'n': 100, 'decider': 'SI(0.05)'}
    """
    known = model_arguments(model)
    arguments = {name: value for name, value in cell.items() if name in known}
    decider, population = cell.get("decider"), cell.get("population")
    if isinstance(decider, str):
        arguments["decider"] = _PLACE.sub(lambda found: str(cell[found[1]]), decider)
    if isinstance(population, str) and population.startswith("{"):
        arguments["population"] = json.loads(population)
    return arguments


def plain(value: Any) -> Any:
    """Return NumPy's numbers as Python's, and a mapping as the text that stands for it."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return json.dumps({str(key): plain(share) for key, share in value.items()})
    return value


def kind_of(value: Any) -> str:
    """Return the kind of a plain value, "" for any other value."""
    if value != value:  # NaN
        return ""
    return next((kind for base, kind in _KINDS.items() if isinstance(value, base)), "")


def problems_of_values(name: str, values: Sequence[Any], word: str) -> list[Problem]:
    """Return what is wrong with a parameter's values: they must be plain, and of one kind."""
    if name in _RESERVED:
        return [Problem(name, "is not a parameter's name: it is the name of a result's column")]
    if not values:
        return [Problem(name, "has no value: name at least one")]
    kinds = [kind_of(value) for value in values]
    first = next(filter(None, kinds), None)
    bad = [i for i, kind in enumerate(kinds) if kind != first]
    why = "must hold only numbers, only texts or only truth values"
    return [Problem(name, f"{why}, not {values[bad[0]]!r}", _rows(bad, word))] if bad else []


def problems_of(cells: pd.DataFrame, model: type[SpreadModel]) -> list[Problem]:
    """Return everything in a design's cells that the model does not allow.

    Parameters
    ----------
    cells : DataFrame
        One row per combination, one column per parameter.
    model : type of SpreadModel
        With a subclass, arguments that SpreadModel has too are checked one by one; their
        combinations are not.

    Returns
    -------
    list of Problem
    """
    names, own = model_arguments(model), model is not SpreadModel
    texts = cells["decider"].astype(str) if "decider" in cells else pd.Series(dtype=str)
    used = sorted({name for text in texts.unique() for name in _PLACE.findall(text)})
    problems = [
        Problem(
            name,
            f"is not an argument of {model.__name__} (they are {', '.join(names)}), and no decider "
            f"holds {{{name}}}" + ("" if own else "; for a model of your own: model=MyModel"),
        )
        for name in cells.columns
        if name not in names and name not in used
    ]
    problems += [
        Problem(name, f"has no value: {model.__name__} has no default for it")
        for name, default in names.items()
        if default is inspect.Parameter.empty and name not in cells
    ]
    for name in sorted(set(used) - set(cells.columns)):
        problems.append(Problem("decider", f"holds {{{name}}}, and no column {name!r} has values"))
        cells = cells.assign(
            decider=cells["decider"].where(~texts.str.contains(f"{{{name}}}", regex=False))
        )
    for columns in (["event"], ["population"], ["feed"], ["media_prob"], ["decider", *used]):
        problems += failing(cells, columns, _check_values)
    if not own:
        problems += failing(cells, ["k", "n", "network"], _check_network)
        problems += failing(cells, ["initial_infected", "n", "media_prob"], _check_starters)
        problems += failing(cells, ["k", "media_prob"], _check_neighbours)
    return problems


def failing(
    cells: pd.DataFrame, columns: Sequence[str], check: Callable[[dict[str, Any]], object]
) -> list[Problem]:
    """Check every combination of some columns' values once.

    Parameters
    ----------
    cells : DataFrame
        One row per combination.
    columns : sequence of str
        The columns that the check is about; those that the cells lack are left out, and so
        are rows that lack a value.
    check : callable
        Called with the arguments that the values stand for; raises what is wrong.

    Returns
    -------
    list of Problem
    """
    present = [name for name in columns if name in cells]
    found: dict[tuple[str, str], list[int]] = {}
    for _, part in cells.groupby(present, sort=False) if present else ():
        try:
            check(arguments_of({name: part[name].tolist()[0] for name in present}))
        except LLMSpreadError as error:
            named = getattr(error, "argument", None)
            argument = named if named in present else present[0]
            found.setdefault((argument, str(error)), []).extend(part.index.tolist())
    return [Problem(argument, why, _rows(rows)) for (argument, why), rows in found.items()]


def _rows(rows: Sequence[int], word: str = "row") -> str:
    """Name some rows: the first, and how many more."""
    return f"{word} {min(rows)}" + (f" and {len(rows) - 1} more" if len(rows) > 1 else "")


def _check_values(arguments: dict[str, Any]) -> None:
    """Build the model with very few agents, which checks its arguments."""
    SpreadModel(**{"n": 4, "k": 2, "initial_infected": 1, "rng": 0, **arguments})


def _check_network(arguments: dict[str, Any]) -> None:
    """Draw a network: not every n has every k."""
    full = {**model_arguments(), **arguments}
    make_network(full["network"], full["n"], full["k"], rng=0)


def _check_starters(arguments: dict[str, Any]) -> None:
    full = {**model_arguments(), **arguments}
    checked_starters(full["initial_infected"], full["n"], "media_prob", full["media_prob"])


def _check_neighbours(arguments: dict[str, Any]) -> None:
    full = {**model_arguments(), **arguments}
    check_contacts("k", full["k"], full["k"], "media_prob", full["media_prob"])
