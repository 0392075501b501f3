"""Every error that the package raises on purpose.

The tree::

    LLMSpreadError
    ├── ArgumentError (ValueError)        an argument's value is not allowed
    │   ├── DesignError                   a sweep's design cannot be run
    │   ├── RenamedError                  an argument has another name now
    │   ├── UndefinedClosureError         a law has no equations of the kind asked for
    │   └── UnknownNameError              a name is not known
    ├── ArgumentTypeError (TypeError)     an argument is of the wrong kind
    ├── InputFileError (ValueError)       a file cannot be read as what it should be
    ├── OutputError (OSError)             a result cannot be written
    ├── StepInProgressError (RuntimeError)  a model was stepped while it was stepping
    ├── RunError (RuntimeError)           a run of a sweep failed, and the sweep was to stop at that
    ├── WorkerLostError (RuntimeError)    worker processes died under a sweep
    └── DeciderError (RuntimeError)       decisions could not be made
        ├── MissingKeyError               the model's API key is not set
        ├── ServerUnreachableError        nothing answers at the model's address
        ├── NoLogprobsError               the model's server returns no log-probabilities
        ├── TooManyFailuresError          more decisions failed than allowed
        ├── StoppedError                  calls were stopped before all were answered
        ├── BudgetExceededError           the next call could pass the budget
        │   └── SweepBudgetError          the budget of a sweep is used up
        └── ReplayMissError               a decision to be replayed is not in the store

    OldFormatWarning (UserWarning)        a file of an earlier version lacks something

Each message names the thing, its value and the fix, on one line (one line per problem of a
design); the same parts are attributes of the error.
"""

from __future__ import annotations

import copyreg
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar, dataclass_transform

from mesa_llmspread._words import counted

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "BudgetExceededError",
    "DeciderError",
    "DesignError",
    "InputFileError",
    "LLMSpreadError",
    "MissingKeyError",
    "NoLogprobsError",
    "OldFormatWarning",
    "OutputError",
    "RenamedError",
    "ReplayMissError",
    "RunError",
    "ServerUnreachableError",
    "StepInProgressError",
    "StoppedError",
    "SweepBudgetError",
    "TooManyFailuresError",
    "UndefinedClosureError",
    "UnknownNameError",
    "WorkerLostError",
]


E = TypeVar("E", bound="LLMSpreadError")


def _short(value: Any) -> str:
    """Return ``repr`` of a value, on one line and short enough for a message."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


@dataclass_transform(eq_default=False)
def _declared(kind: type[E]) -> type[E]:
    """Build an error's constructor from its fields, as ``dataclass`` does."""
    return dataclass(eq=False, repr=False)(kind)


class LLMSpreadError(Exception):
    """Base of every error raised on purpose by this package.

    Examples
    --------
    >>> try:
    ...     raise ArgumentError("k", -1, "be at least 0")
    ... except LLMSpreadError as error:
    ...     print(error)
    k=-1: must be at least 0
    """

    #: The message, as a format string of the error's attributes.
    template: ClassVar[str] = ""

    def __str__(self) -> str:
        return self.template.format(**vars(self)) if self.template else super().__str__()

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process borders in sweeps; the default would call the constructor with
        # the finished message as its only argument.
        return copyreg.__newobj__, (type(self), str(self)), vars(self)  # type: ignore[attr-defined]


@_declared
class ArgumentError(LLMSpreadError, ValueError):
    """An argument has a value that is not allowed.

    Parameters
    ----------
    argument : str
        The argument's name.
    value : object
        What was given.
    allowed : str
        What is allowed, as the end of the sentence "... must ...".
    """

    argument: str
    value: Any
    allowed: str

    def __str__(self) -> str:
        return f"{self.argument}={_short(self.value)}: must {self.allowed}"


class DesignError(ArgumentError):
    """A sweep's design cannot be run; the message names its ``problems``, one per line."""

    def __init__(self, problems: Iterable[Any]) -> None:
        self.problems = tuple(problems)

    def __str__(self) -> str:
        number = counted(len(self.problems), "problem")
        return "\n  ".join([f"the design has {number}:", *map(str, self.problems)])


class UndefinedClosureError(ArgumentError):
    """A law has no equations of the kind asked for; the message says which it has."""


class RenamedError(ArgumentError):
    """An argument, or a declaration of a class, has another name now: ``new``.

    ``argument`` is the old name, ``value`` what was given.
    """

    def __init__(self, argument: str, value: Any, new: str) -> None:
        super().__init__(argument, value, f"be given as {new}, the argument's name now")
        self.new = new


#: Names of earlier versions, and what they are called now.
RENAMED = {
    "FirstRepeatStep": 'FirstRepeat(per="occasion")',
    "SingleMultipleCumulative": 'SingleMultiple(count="cumulative")',
    "broadcast": "media_prob",
    "exposure": "exposure_count",
    "manifest": "info",
    "step": "occasion",
    "structure": "law",
    "words": "labels",
}


class UnknownNameError(ArgumentError):
    """A name is not among the ``known`` ones; the message lists these and suggests the nearest.

    If it is the name of an earlier version, the message gives the new one instead.
    """

    def __init__(self, argument: str, value: Any, known: Iterable[str]) -> None:
        self.known = tuple(known)
        by_lower_case = {name.lower(): name for name in self.known}
        near = difflib.get_close_matches(str(value).lower(), by_lower_case, n=1)
        hint = f" (did you mean {by_lower_case[near[0]]!r}?)" if near else ""
        allowed = f"be one of {', '.join(self.known)}{hint}"
        new = RENAMED.get(str(value).partition("(")[0])
        if new and new.partition("(")[0] in {name.partition("(")[0] for name in self.known}:
            allowed = f"be {new}, its name now"
        super().__init__(argument, value, allowed)


@_declared
class ArgumentTypeError(LLMSpreadError, TypeError):
    """An argument is of the wrong kind.

    Parameters
    ----------
    argument : str
        The argument's name.
    value : object
        What was given.
    expected : str
        What is expected, as the end of the sentence "... must be ...".
    """

    argument: str
    value: Any
    expected: str

    def __str__(self) -> str:
        given = f"{self.argument}={_short(self.value)}"
        return f"{given}: must be {self.expected}, not {type(self.value).__name__}"


class InputFileError(LLMSpreadError, ValueError):
    """A file cannot be read as what it should be.

    Parameters
    ----------
    path : path-like
        The file.
    problem : str
        What is wrong with it and what is allowed.
    row : int, optional
        The line of the file, counted from 1 (a header line is line 1).
    column : str, optional
        The column's name.
    """

    def __init__(
        self, path: str | Path, problem: str, *, row: int | None = None, column: str | None = None
    ) -> None:
        self.path, self.problem = Path(path), problem
        self.row, self.column = row, column

    def __str__(self) -> str:
        row = "" if self.row is None else f", row {self.row}"
        column = "" if self.column is None else f", column {self.column!r}"
        return f"{self.path}{row}{column}: {self.problem}"


class OldFormatWarning(UserWarning):
    """A file was written by an earlier version, and what it lacks was filled in."""


class OutputError(LLMSpreadError, OSError):
    """A result cannot be written to a ``path``, because of a ``problem``."""

    template = "{path}: cannot write: {problem}"

    def __init__(self, path: str | Path, problem: str) -> None:
        self.path, self.problem = Path(path), problem


class StepInProgressError(LLMSpreadError, RuntimeError):
    """A model was stepped from a second place while a step was under way."""


@_declared
class RunError(LLMSpreadError, RuntimeError):
    """A run of a sweep failed, and the sweep was to stop at that.

    ``run`` is its number, ``cell`` its values by parameter, ``error`` what it raised.
    """

    run: int
    cell: Mapping[str, Any]
    error: str

    def __str__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.cell.items())
        return f"run {self.run} ({values}): {self.error}"


class WorkerLostError(LLMSpreadError, RuntimeError):
    """Worker processes died under a sweep, so that it cannot go on by itself.

    ``runs`` were under way whenever one died; ``cause`` is what the supervisor reported.
    """

    def __init__(self, runs: Iterable[int], cause: str) -> None:
        self.runs, self.cause = sorted(runs), cause

    def __str__(self) -> str:
        few = ", ".join(map(str, self.runs[:5])) + (", ..." if len(self.runs) > 5 else "")
        return (
            f"workers, or the scheduler, died ({self.cause}) under "
            f"{counted(len(self.runs), 'run')}: {few}; often because memory ran out. Runs that "
            "are done are kept: start the sweep again, perhaps with a smaller n_jobs"
        )


class DeciderError(LLMSpreadError, RuntimeError):
    """Decisions could not be made."""


class MissingKeyError(DeciderError):
    """The API key of a ``model`` is not set; ``variables`` of the environment hold it."""

    def __init__(self, model: str, variables: Iterable[str]) -> None:
        self.model, self.variables = model, tuple(variables)

    def __str__(self) -> str:
        names = " and ".join(self.variables)
        return f"model {self.model!r} needs an API key: set the environment variable {names}"


@_declared
class ServerUnreachableError(DeciderError):
    """No server of a ``model`` answers at the ``address`` that was tried."""

    model: str
    address: str
    template = (
        "model {model!r}: no server answers at {address}; start it, or give its address with "
        "api_base"
    )


@_declared
class NoLogprobsError(DeciderError):
    """The server of a ``model`` returns no log-probabilities."""

    model: str
    template = (
        "model {model!r} returns no log-probabilities; use sampling='independent' or 'pooled', or "
        "draws= to measure it"
    )


@_declared
class TooManyFailuresError(DeciderError):
    """More decisions failed than allowed, so the results would be misleading.

    ``failed`` of ``decided`` did, for these ``reasons``; a share of ``max_failed`` is allowed.
    """

    failed: int
    decided: int
    max_failed: float
    reasons: str
    template = (
        "{failed} of {decided} decisions failed ({reasons}), more than max_failed={max_failed:g} "
        "allows; fix the cause or raise max_failed"
    )


class StoppedError(DeciderError):
    """Calls were stopped before all of them were answered."""


@_declared
class BudgetExceededError(DeciderError):
    """The next call could pass the budget, so it was not made.

    ``argument`` is ``max_calls`` or ``max_cost_usd``, ``limit`` its value, ``spent`` what is used
    of it, calls under way included.
    """

    argument: str
    limit: float
    spent: float
    template = (
        "{argument}={limit:g} is used up ({spent:.6g} spent, calls under way included); raise "
        "{argument} and run again: a store answers the calls that it has kept"
    )


class SweepBudgetError(BudgetExceededError):
    """The budget of a sweep in a ``folder`` is used up, with ``done`` of ``runs`` runs done.

    Built from the ``error`` that a run raised.
    """

    template = (
        "{argument}={limit:g} is used up ({spent:.6g} spent, calls under way included) with "
        "{done} of {runs} runs done; go on with resume('{folder}', llm={{{argument!r}: MORE}}), "
        "which pays for no call twice"
    )

    def __init__(
        self, error: BudgetExceededError, folder: str | Path, done: int, runs: int
    ) -> None:
        super().__init__(error.argument, error.limit, error.spent)
        self.folder, self.done, self.runs = Path(folder), done, runs


class ReplayMissError(DeciderError):
    """The decision of an ``agent`` at a ``step`` is not in the store at ``path``, for replay."""

    template = (
        "{path}: no call is kept for agent {agent} at step {step}; replay with the settings and "
        "the seed of the recorded run, or use mode='record'"
    )

    def __init__(self, agent: int, step: int, path: str | Path) -> None:
        self.agent, self.step, self.path = agent, step, Path(path)
