"""Every error the package raises on purpose.

The tree::

    LLMSpreadError
    ├── ArgumentError (ValueError)        an argument's value is not allowed
    │   ├── DesignError                   a sweep's design cannot be run
    │   ├── RenamedError                  an argument has another name now
    │   ├── UndefinedClosureError         a law has no equations of the kind asked for
    │   └── UnknownNameError              a name is none of the known ones
    ├── ArgumentTypeError (TypeError)     an argument is of the wrong kind
    ├── InputFileError (ValueError)       a file cannot be read as what it should be
    ├── OutputError (OSError)             a result cannot be written
    ├── StepInProgressError (RuntimeError)  a model was stepped while it was stepping
    ├── RunError (RuntimeError)           a run of a sweep failed, and all was to stop at that
    ├── WorkerLostError (RuntimeError)    worker processes died under a sweep
    └── DeciderError (RuntimeError)       decisions could not be had
        ├── MissingKeyError               the model's API key is not set
        ├── ServerUnreachableError        nothing answers at the model's address
        ├── TooManyFailuresError          more decisions failed than allowed
        ├── StoppedError                  calls were stopped before all were answered
        ├── BudgetExceededError           the next call could pass the budget
        │   └── SweepBudgetError          the budget of a sweep is used up
        └── ReplayMissError               a decision to be replayed is not in the store

    OldFormatWarning (UserWarning)        a file of an earlier version lacks something

Each message names the thing, its value and the mend, on one line (a line a problem of a
design); the same parts are attributes of the error.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "BudgetExceededError",
    "DeciderError",
    "DesignError",
    "InputFileError",
    "LLMSpreadError",
    "MissingKeyError",
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


def _short(value: Any, limit: int = 80) -> str:
    """``repr`` of a value, on one line and no longer than fits an error message."""
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _rebuild(
    kind: type[LLMSpreadError], args: tuple[Any, ...], state: dict[str, Any]
) -> LLMSpreadError:
    """Make an unpickled error again without calling its constructor."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class LLMSpreadError(Exception):
    """Base of every error raised on purpose by this package."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process borders in sweeps; the default would call the
        # constructor with the finished message as its only argument.
        return _rebuild, (type(self), self.args, self.__dict__)


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

    def __init__(self, argument: str, value: Any, allowed: str) -> None:
        self.argument = argument
        self.value = value
        self.allowed = allowed
        super().__init__(f"{argument}={_short(value)}: must {allowed}")


class DesignError(ArgumentError):
    """A sweep's design cannot be run; the message names every problem, a line each.

    Parameters
    ----------
    problems : iterable of Problem
        At least one; see :class:`mesa_llmspread.sweep.checks.Problem`.
    """

    def __init__(self, problems: Iterable[Any]) -> None:
        self.problems = tuple(problems)
        listed = "".join(f"\n  {problem}" for problem in self.problems)
        LLMSpreadError.__init__(self, f"the design has {len(self.problems)} problem(s):{listed}")


class UndefinedClosureError(ArgumentError):
    """A law has no equations of the kind asked for; the message says which it has."""


class RenamedError(ArgumentError):
    """An argument, or a declaration of a class, has another name now.

    Parameters
    ----------
    argument : str
        The old name.
    value : object
        What was given.
    new : str
        The new name.
    """

    def __init__(self, argument: str, value: Any, new: str) -> None:
        self.new = new
        super().__init__(argument, value, f"be given as {new}, the argument's name now")


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
    """A name is not known; the message lists the known ones and suggests the nearest.

    If it is the name of an earlier version, the message names the new one instead.

    Parameters
    ----------
    argument : str
        The argument's name.
    value : object
        The name that was given.
    known : iterable of str
        The names that are known.
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

    def __init__(self, argument: str, value: Any, expected: str) -> None:
        self.argument = argument
        self.value = value
        self.expected = expected
        super().__init__(
            f"{argument}={_short(value)}: must be {expected}, not {type(value).__name__}"
        )


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
        self.path = Path(path)
        self.problem = problem
        self.row = row
        self.column = column
        where = str(path)
        if row is not None:
            where += f", row {row}"
        if column is not None:
            where += f", column {column!r}"
        super().__init__(f"{where}: {problem}")


class OldFormatWarning(UserWarning):
    """A file was written by an earlier version, and what it lacks was filled in."""


class OutputError(LLMSpreadError, OSError):
    """A result cannot be written.

    Parameters
    ----------
    path : path-like
        Where it should have gone.
    problem : str
        Why that failed.
    """

    def __init__(self, path: str | Path, problem: str) -> None:
        self.path = Path(path)
        self.problem = problem
        super().__init__(f"{path}: cannot write: {problem}")


class StepInProgressError(LLMSpreadError, RuntimeError):
    """A model was stepped from a second place while a step was under way."""


class RunError(LLMSpreadError, RuntimeError):
    """A run of a sweep failed, and the sweep was to stop at that.

    Parameters
    ----------
    run : int
        Its number.
    cell : mapping
        Its values by parameter.
    error : str
        What it raised.
    """

    def __init__(self, run: int, cell: Mapping[str, Any], error: str) -> None:
        self.run = run
        self.cell = dict(cell)
        self.error = error
        values = ", ".join(f"{name}={value!r}" for name, value in cell.items())
        super().__init__(f"run {run} ({values}): {error}")


class WorkerLostError(LLMSpreadError, RuntimeError):
    """Worker processes died under a sweep, so that it cannot go on by itself.

    Parameters
    ----------
    runs : iterable of int
        What was under way whenever one died.
    cause : str
        What the workers' keeper says of it.
    """

    def __init__(self, runs: Iterable[int], cause: str) -> None:
        self.runs = sorted(runs)
        self.cause = cause
        few = ", ".join(map(str, self.runs[:5])) + (", ..." if len(self.runs) > 5 else "")
        super().__init__(
            f"workers, or the scheduler, died ({cause}) under {len(self.runs)} run(s): {few}; "
            "often for want of memory. What is done is kept: start the sweep again, perhaps "
            "with a smaller n_jobs"
        )


class DeciderError(LLMSpreadError, RuntimeError):
    """Decisions could not be had."""


class MissingKeyError(DeciderError):
    """The API key of a model is not set.

    Parameters
    ----------
    model : str
        The model's name.
    variables : sequence of str
        The environment variables that hold its key.
    """

    def __init__(self, model: str, variables: Iterable[str]) -> None:
        self.model = model
        self.variables = tuple(variables)
        names = " and ".join(self.variables)
        super().__init__(f"model {model!r} needs an API key: set the environment variable {names}")


class ServerUnreachableError(DeciderError):
    """Nothing answers at the model's address.

    Parameters
    ----------
    model : str
        The model's name.
    address : str
        The address that was tried.
    """

    def __init__(self, model: str, address: str) -> None:
        self.model = model
        self.address = address
        super().__init__(
            f"model {model!r}: no server answers at {address}; "
            "start it, or give its address with api_base"
        )


class TooManyFailuresError(DeciderError):
    """More decisions failed than allowed, so the run would not mean what it says.

    Parameters
    ----------
    failed, decided : int
        How many decisions failed, out of how many asked for.
    max_failed : float
        The largest allowed share of failures.
    reasons : str
        The most common reasons, in words.
    """

    def __init__(self, failed: int, decided: int, max_failed: float, reasons: str) -> None:
        self.failed = failed
        self.decided = decided
        self.max_failed = max_failed
        self.reasons = reasons
        super().__init__(
            f"{failed} of {decided} decisions failed ({reasons}), more than "
            f"max_failed={max_failed:g} allows; mend the cause or raise max_failed"
        )


class StoppedError(DeciderError):
    """Calls were stopped before all of them were answered."""


class BudgetExceededError(DeciderError):
    """The next call could pass the budget, so it was not made.

    Parameters
    ----------
    argument : str
        The limit that holds: ``max_calls`` or ``max_cost_usd``.
    limit : float
        Its value.
    spent : float
        What has been spent of it, calls under way included.
    """

    def __init__(self, argument: str, limit: float, spent: float) -> None:
        self.argument = argument
        self.limit = limit
        self.spent = spent
        super().__init__(
            f"{argument}={limit:g} is used up ({spent:.6g} spent, calls under way included); "
            f"raise {argument} and run again: a store answers what it has kept"
        )


class SweepBudgetError(BudgetExceededError):
    """The budget of a sweep is used up.

    Parameters
    ----------
    error : BudgetExceededError
        What a run met with.
    folder : path-like
        The sweep's.
    done, runs : int
        How many runs are done, out of how many.
    """

    def __init__(
        self, error: BudgetExceededError, folder: str | Path, done: int, runs: int
    ) -> None:
        super().__init__(error.argument, error.limit, error.spent)
        self.folder = Path(folder)
        self.done, self.runs = done, runs
        self.args = (
            f"{error.argument}={error.limit:g} is used up ({error.spent:.6g} spent, calls under "
            f"way included) with {done} of {runs} runs done; go on with "
            f"resume({str(folder)!r}, llm={{{error.argument!r}: MORE}}), which pays for no call "
            "twice",
        )


class ReplayMissError(DeciderError):
    """A decision to be replayed is not in the store.

    Parameters
    ----------
    agent, step : int
        Whose decision, and when.
    path : path-like
        The store's file.
    """

    def __init__(self, agent: int, step: int, path: str | Path) -> None:
        self.agent = agent
        self.step = step
        self.path = Path(path)
        super().__init__(
            f"{path}: no call is kept for agent {agent} at step {step}; replay with the settings "
            "and the seed of the recorded run, or use mode='record'"
        )
