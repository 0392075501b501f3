"""What a design may not hold, found before any run starts and all at once."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from mesa_llmspread._validation import check_contacts, checked_int, checked_starters
from mesa_llmspread.exceptions import ArgumentError, LLMSpreadError
from mesa_llmspread.networks import make_network
from mesa_llmspread.sweep.models import PLAIN, model_arguments, model_name

if TYPE_CHECKING:
    from mesa_llmspread.model import SpreadModel

__all__ = [
    "Problem",
    "arguments_of",
    "failing",
    "places",
    "problems_of",
]

# A column's name in the text of a decider. Braces of a law's set of codes hold quotes.
_PLACE = re.compile(r"\{([A-Za-z_]\w*)\}")


class Problem(NamedTuple):
    """Something that keeps a design from being run.

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


def arguments_of(cell: Mapping[str, Any], model: type[SpreadModel] | None = None) -> dict[str, Any]:
    """Turn a row of a design into arguments of the model.

    Parameters
    ----------
    cell : mapping
        Values by parameter.
    model : type of SpreadModel, optional
        ``SpreadModel`` itself by default.

    Returns
    -------
    dict
        What the model takes: braces in the decider are filled, and what fills them is
        left out.

    Examples
    --------
    >>> arguments_of({"n": 100, "decider": "SI({beta})", "beta": 0.05})
    {'n': 100, 'decider': 'SI(0.05)'}
    """
    decider = cell.get("decider", "")
    used = set(_PLACE.findall(decider)) if isinstance(decider, str) else set()
    known = model_arguments(model)
    arguments = {name: value for name, value in cell.items() if name in known}
    if used:
        arguments["decider"] = _PLACE.sub(lambda found: str(cell[found[1]]), decider)
    population = cell.get("population")
    if isinstance(population, str) and population.startswith("{"):
        arguments["population"] = json.loads(population)
    return arguments


def problems_of(
    cells: pd.DataFrame, model: type[SpreadModel], rows_are_known: bool = True
) -> list[Problem]:
    """Find everything in a design's cells that the model would not take.

    Parameters
    ----------
    cells : DataFrame
        One row a combination, one column a parameter.
    model : type of SpreadModel
        With a subclass, arguments of the same name as those of SpreadModel are checked one by
        one; what it makes of them together is its own affair.
    rows_are_known : bool, default True
        Whether the rows are those of the design; not so while some of its columns are left
        out.

    Returns
    -------
    list of Problem
    """
    own = model_name(model) != PLAIN
    names = model_arguments(model)
    deciders: Iterable[Any] = cells["decider"].unique() if "decider" in cells else ()
    used = sorted({name for text in deciders for name in _PLACE.findall(str(text))})
    problems = [
        Problem(
            name,
            f"is no argument of {model.__name__ if own else 'the model'} (they are "
            f"{', '.join(names)}), and no decider holds {{{name}}}"
            + ("" if own else "; a model of your own: model=MyModel"),
        )
        for name in map(str, cells.columns)
        if name not in names and name not in used
    ]
    problems += [
        Problem(name, f"has no value: {model.__name__} has no default for it")
        for name, default in names.items()
        if default is inspect.Parameter.empty and name not in cells
    ]
    for name in used:
        if name not in cells:
            why = f"holds {{{name}}}, and there is no column {name!r} with values"
            problems.append(Problem("decider", why))
            without = ~cells["decider"].str.contains(f"{{{name}}}", regex=False, na=False)
            cells = cells.assign(decider=cells["decider"].where(without))
    checks: list[tuple[list[str], Callable[[dict[str, Any]], object]]] = [
        *(([name], _check_alone) for name in ("event", "population", "feed", "media_prob")),
        (["decider", *used], _check_alone),
    ]
    if not own:
        checks += [
            (["k", "n", "network"], _check_network),
            (["initial_infected", "n"], _check_starters),
            (["initial_infected", "k", "media_prob"], _check_source),
        ]
    for columns, check in checks:
        problems += failing(cells, columns, check, rows_are_known)
    return problems


def failing(
    cells: pd.DataFrame,
    columns: Sequence[str],
    check: Callable[[dict[str, Any]], object],
    rows_are_known: bool = True,
) -> list[Problem]:
    """Check every combination of some columns' values once.

    Parameters
    ----------
    cells : DataFrame
        One row a combination.
    columns : sequence of str
        The columns that the check is about; those that the cells lack are left out, and so
        are rows that lack a value.
    check : callable
        Called with the arguments that the values stand for; raises what is wrong.
    rows_are_known : bool, default True
        Whether to name the rows.

    Returns
    -------
    list of Problem
    """
    present = [name for name in columns if name in cells]
    if not present:
        return []
    problems = []
    for _, part in cells.groupby(present, sort=False):
        try:
            check(arguments_of({name: part[name].tolist()[0] for name in present}))
        except LLMSpreadError as error:
            named = getattr(error, "argument", None)
            argument = named if named in present else present[0]
            where = places(part.index.tolist()) if rows_are_known else ""
            problems.append(Problem(argument, str(error), where))
    return problems


def places(rows: Sequence[int], word: str = "row") -> str:
    """Name rows: the first, and how many more."""
    more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    return f"{word} {rows[0]}{more}"


def _check_alone(arguments: dict[str, Any]) -> None:
    """Let the model itself judge an argument, with very few agents."""
    from mesa_llmspread.model import SpreadModel

    SpreadModel(**{"n": 4, "k": 2, "initial_infected": 1, "rng": 0, **arguments})


def _check_network(arguments: dict[str, Any]) -> None:
    """Draw a network, which is what shows whether it can be drawn."""
    full = {**model_arguments(), **arguments}
    make_network(full["network"], full["n"], full["k"], rng=0)


def _check_starters(arguments: dict[str, Any]) -> None:
    """See that there are as many agents as starters."""
    full = {**model_arguments(), **arguments}
    starters = checked_int("initial_infected", full["initial_infected"], 0)
    if isinstance(full["n"], int) and starters > full["n"]:
        raise ArgumentError("initial_infected", starters, f"lie between 1 and n={full['n']}")


def _check_source(arguments: dict[str, Any]) -> None:
    """Validate that somebody can see the news at all."""
    full = {**model_arguments(), **arguments}
    if full["media_prob"] == 0 and full["initial_infected"] == 0:
        checked_starters(0, full["n"], "media_prob", 0.0)
    if full["media_prob"] == 0 and full["k"] == 0:
        check_contacts("k", 0, 0, "media_prob", 0.0)
