"""What one run has asked of a model, and what came of it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from mesa_llmspread.deciders.llm.call import Call

__all__ = ["Decided", "Usage"]


@dataclass
class Decided:
    """The decisions of a run: how many by profile and failure, and an example per failure.

    Attributes
    ----------
    number : Counter
        Keys are a profile's code and the kind of failure, None for an answer.
    examples : dict of str to str
        What went wrong once, by kind.
    expected : int
        How many there will be when the step under way is done.
    """

    number: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    expected: int = 0

    def add(self, profile: str, error: str | None, detail: str) -> None:
        """Count one decision."""
        self.number[profile, error] += 1
        if error is not None:
            self.examples.setdefault(error, detail)

    @property
    def failed(self) -> Counter[str]:
        """Failed decisions by kind."""
        failed: Counter[str] = Counter()
        for (_, error), number in self.number.copy().items():
            if error is not None:
                failed[error] += number
        return failed

    @property
    def reasons(self) -> str:
        """The kinds of failure, the most common first, each with a number and an example."""
        return "; ".join(
            f"{kind} {number}: {self.examples[kind]}" for kind, number in self.failed.most_common()
        )


@dataclass
class _Taken:
    """Requests, completions, tokens and money of a part of a run."""

    number: Counter[str] = field(default_factory=Counter)
    costs: list[float] = field(default_factory=list)

    def add(self, call: Call) -> None:
        """Count what a call took."""
        self.number["calls"] += call.attempts
        if call.finish_reason is None:
            return
        self.number.update(
            completions=1,
            counted=call.prompt_tokens is not None,
            prompt=call.prompt_tokens or 0,
            completion=call.completion_tokens or 0,
        )
        if call.cost is not None:
            self.costs.append(call.cost)

    def manifest(self) -> dict[str, Any]:
        """Return requests, tokens and money; a sum with an unknown part is unknown."""
        number, costs = self.number.copy(), list(self.costs)
        tokens = {"prompt": number["prompt"], "completion": number["completion"]}
        priced = len(costs) == number["completions"] > 0
        return {
            "calls": number["calls"],
            "tokens": tokens if number["counted"] == number["completions"] else None,
            # Summed exactly: the sum does not depend on the order in which answers came.
            "cost_usd": math.fsum(costs) if priced else None,
        }


@dataclass
class Usage:
    """Decisions, calls, tokens and money of one run.

    Attributes
    ----------
    decided : Decided
        Its decisions; another object in every step, so that an answer that comes after the
        end of a step that does not count is not counted either.
    """

    decided: Decided = field(default_factory=Decided)
    _keys: set[str] = field(default_factory=set)
    _served: set[str] = field(default_factory=set)
    _whole: _Taken = field(default_factory=_Taken)
    _profiles: dict[str, _Taken] = field(default_factory=dict)

    def begin_step(self, decisions: int) -> Decided:
        """Begin to count a step; return what was counted before, to go back to on an error."""
        before = self.decided
        total = before.number.total() + decisions
        self.decided = Decided(before.number.copy(), dict(before.examples), total)
        return before

    def add(self, call: Call, kept: bool) -> None:
        """Count what a call took.

        Parameters
        ----------
        call : Call
        kept : bool
            Whether it comes from a store: then it counts once, also if a step is repeated.
        """
        if kept and call.key in self._keys:
            return
        self._keys.add(call.key)
        if call.finish_reason is not None:
            self._served.add(call.served)
        self._whole.add(call)
        self._profiles.setdefault(call.profile, _Taken()).add(call)

    def manifest(self) -> dict[str, Any]:
        """Return the counts as plain values; any thread may ask at any time."""
        decisions, failed = Counter[str](), Counter[str]()
        for (code, error), number in self.decided.number.copy().items():
            decisions[code] += number
            failed[code] += number * (error is not None)
        taken = self._profiles.copy()
        return {
            "model_served": sorted(self._served.copy()),
            "decisions": decisions.total(),
            "failed": dict(sorted(self.decided.failed.items())),
            **self._whole.manifest(),
            "by_profile": {
                code: {"decisions": decisions[code], "failed": failed[code]}
                | taken.get(code, _Taken()).manifest()
                for code in sorted({*decisions, *taken})
            },
        }
