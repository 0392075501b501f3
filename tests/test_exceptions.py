"""Errors: a tree, messages of one line, parts as attributes, and a way across processes."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from mesa_llmspread import exceptions
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    BudgetExceededError,
    DeciderError,
    DesignError,
    InputFileError,
    LLMSpreadError,
    MissingKeyError,
    NoLogprobsError,
    OutputError,
    RenamedError,
    ReplayMissError,
    RunError,
    ServerUnreachableError,
    StepInProgressError,
    StoppedError,
    SweepBudgetError,
    TooManyFailuresError,
    UndefinedClosureError,
    UnknownNameError,
    WorkerLostError,
)

# One of each: the error, its whole message, and its parts.
SAMPLES: list[tuple[LLMSpreadError, str, dict[str, Any]]] = [
    (LLMSpreadError("it failed"), "it failed", {}),
    (
        ArgumentError("n", 0, "be at least 1"),
        "n=0: must be at least 1",
        {"argument": "n", "value": 0, "allowed": "be at least 1"},
    ),
    (
        DesignError(["k: has no value: give at least one", "row 3, n: must be at least 1"]),
        "the design has 2 problems:\n  k: has no value: give at least one\n  row 3, n: must be "
        "at least 1",
        {"problems": ("k: has no value: give at least one", "row 3, n: must be at least 1")},
    ),
    (
        UndefinedClosureError("time", "continuous", "be 'discrete' for this law"),
        "time='continuous': must be 'discrete' for this law",
        {"argument": "time", "allowed": "be 'discrete' for this law"},
    ),
    (
        RenamedError("broadcast", 0.3, "media_prob"),
        "broadcast=0.3: must be given as media_prob, the argument's name now",
        {"argument": "broadcast", "value": 0.3, "new": "media_prob"},
    ),
    (
        UnknownNameError("network", "Smal_world", ["random_regular", "small_world"]),
        "network='Smal_world': must be one of random_regular, small_world "
        "(did you mean 'small_world'?)",
        {"argument": "network", "known": ("random_regular", "small_world")},
    ),
    (
        ArgumentTypeError("n", "ten", "a whole number"),
        "n='ten': must be a whole number, not str",
        {"argument": "n", "value": "ten", "expected": "a whole number"},
    ),
    (
        InputFileError("events.csv", "'x' is no date", row=3, column="date"),
        "events.csv, row 3, column 'date': 'x' is no date",
        {"path": Path("events.csv"), "problem": "'x' is no date", "row": 3, "column": "date"},
    ),
    (
        OutputError("out/run", "the disk is full"),
        "out/run: cannot write: the disk is full",
        {"path": Path("out/run"), "problem": "the disk is full"},
    ),
    (StepInProgressError("wait for the step"), "wait for the step", {}),
    (StoppedError("stopped"), "stopped", {}),
    (
        RunError(7, {"k": 4, "decider": "traits"}, "ZeroDivisionError: no luck"),
        "run 7 (k=4, decider='traits'): ZeroDivisionError: no luck",
        {"run": 7, "cell": {"k": 4, "decider": "traits"}, "error": "ZeroDivisionError: no luck"},
    ),
    (
        WorkerLostError({9, 7}, "TerminatedWorkerError"),
        "workers, or the scheduler, died (TerminatedWorkerError) under 2 runs: 7, 9; often "
        "because memory ran out. Runs that are done are kept: start the sweep again, perhaps "
        "with a smaller n_jobs",
        {"runs": [7, 9], "cause": "TerminatedWorkerError"},
    ),
    (DeciderError("no answer"), "no answer", {}),
    (
        MissingKeyError("acme/one", ["ACME_KEY", "ACME_ID"]),
        "model 'acme/one' needs an API key: set the environment variable ACME_KEY and ACME_ID",
        {"model": "acme/one", "variables": ("ACME_KEY", "ACME_ID")},
    ),
    (
        NoLogprobsError("tiny"),
        "model 'tiny' returns no log-probabilities; use sampling='independent' or 'pooled', or "
        "draws= to measure it",
        {"model": "tiny"},
    ),
    (
        ServerUnreachableError("tiny", "http://127.0.0.1:9"),
        "model 'tiny': no server answers at http://127.0.0.1:9; start it, or give its address "
        "with api_base",
        {"model": "tiny", "address": "http://127.0.0.1:9"},
    ),
    (
        TooManyFailuresError(7, 40, 0.05, "5 timeouts, 2 refusals"),
        "7 of 40 decisions failed (5 timeouts, 2 refusals), more than max_failed=0.05 allows; "
        "fix the cause or raise max_failed",
        {"failed": 7, "decided": 40, "max_failed": 0.05, "reasons": "5 timeouts, 2 refusals"},
    ),
    (
        BudgetExceededError("max_calls", 100, 100),
        "max_calls=100 is used up (100 spent, calls under way included); raise max_calls and run "
        "again: a store answers the calls that it has kept",
        {"argument": "max_calls", "limit": 100, "spent": 100},
    ),
    (
        SweepBudgetError(BudgetExceededError("max_calls", 100, 100), "out", 3, 8),
        "max_calls=100 is used up (100 spent, calls under way included) with 3 of 8 runs done; go "
        "on with resume('out', llm={'max_calls': MORE}), which pays for no call twice",
        {"argument": "max_calls", "folder": Path("out"), "done": 3, "runs": 8},
    ),
    (
        ReplayMissError(7, 3, "calls.sqlite"),
        "calls.sqlite: no call is kept for agent 7 at step 3; replay with the settings and the "
        "seed of the recorded run, or use mode='record'",
        {"agent": 7, "step": 3, "path": Path("calls.sqlite")},
    ),
]
IDS = [type(error).__name__ for error, _, _ in SAMPLES]


def error_classes() -> dict[str, type[LLMSpreadError]]:
    return {
        name: kind
        for name, kind in vars(exceptions).items()
        if inspect.isclass(kind) and issubclass(kind, LLMSpreadError)
    }


def test_every_error_has_its_sample_and_is_public() -> None:
    public = {name for name in exceptions.__all__ if not name.endswith("Warning")}
    assert set(IDS) == set(error_classes()) == public


@pytest.mark.parametrize(("error", "message", "parts"), SAMPLES, ids=IDS)
def test_messages_and_parts(error: LLMSpreadError, message: str, parts: dict[str, Any]) -> None:
    assert str(error) == message
    for name, value in parts.items():
        assert getattr(error, name) == value


@pytest.mark.parametrize(("error", "message", "parts"), SAMPLES, ids=IDS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_errors_survive_pickling(
    error: LLMSpreadError, message: str, parts: dict[str, Any], protocol: int
) -> None:
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is type(error)
    assert str(again) == message
    assert again.__dict__ == error.__dict__
    twice = pickle.loads(pickle.dumps(again, protocol))
    assert (str(twice), twice.__dict__) == (message, error.__dict__)


@pytest.mark.parametrize(("error", "message", "parts"), SAMPLES, ids=IDS)
def test_errors_can_be_copied(error: LLMSpreadError, message: str, parts: dict[str, Any]) -> None:
    again = copy.copy(error)
    assert type(again) is type(error)
    assert (str(again), again.__dict__) == (message, error.__dict__)


def test_notes_travel_with_an_error() -> None:
    error = ArgumentError("n", 0, "be at least 1")
    error.add_note("in run 7 of the sweep")
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["in run 7 of the sweep"]


def test_the_tree_is_as_the_docstring_draws_it() -> None:
    drawn: dict[str, tuple[str, str | None]] = {}
    path: list[str] = []
    for line in (exceptions.__doc__ or "").splitlines():
        match = re.match(r"^    ([ │]*(?:├── |└── )?)(\w+Error)(?: \((\w+)\))?", line)
        if match:
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            drawn[match[2]] = (path[depth - 1] if depth else "Exception", match[3])
    assert set(drawn) == set(error_classes())
    for name, (parent, builtin) in drawn.items():
        bases = [base.__name__ for base in error_classes()[name].__bases__]
        assert bases == [parent, *([builtin] if builtin else [])]


@pytest.mark.parametrize("value", ["two\nlines", ["a\n"] * 100, "x" * 10_000, {"k": "\r\n\t"}])
def test_any_value_makes_a_message_of_one_short_line(value: object) -> None:
    for error in (
        ArgumentError("population", value, "be a name"),
        ArgumentTypeError("population", value, "a name"),
        UnknownNameError("population", value, ("uniform", "norms")),
    ):
        assert len(str(error).splitlines()) == 1
        assert len(str(error)) < 200
        assert error.value is value


def test_a_representation_of_many_lines_becomes_one() -> None:
    class Tall:
        def __repr__(self) -> str:
            return "a\n\n  b\tc"

    assert str(ArgumentError("x", Tall(), "be short")) == "x=a b c: must be short"


def test_suggestions_ignore_case_and_need_a_likeness() -> None:
    assert "did you mean 'OCEAN'" in str(UnknownNameError("code", "ocaen", ["OCEAN", "x"]))
    assert "did you mean" not in str(UnknownNameError("code", "zebra", ["OCEAN", "x"]))
    assert "did you mean" not in str(UnknownNameError("code", 7, ["OCEAN", "x"]))


def test_a_file_error_tells_only_what_is_known() -> None:
    assert str(InputFileError("a.csv", "is empty")) == "a.csv: is empty"
    assert str(InputFileError("a.csv", "is odd", row=2)) == "a.csv, row 2: is odd"
    assert str(InputFileError("a.csv", "is odd", column="c")) == "a.csv, column 'c': is odd"
