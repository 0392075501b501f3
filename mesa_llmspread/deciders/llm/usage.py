"""The decisions, calls, tokens and money of one run."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from mesa_llmspread.deciders.llm.call import Call

__all__ = ["Decided", "Usage"]


@dataclass
class Decided:
    """The decisions of a run: counts by profile and failure, and an example of each failure.

    Attributes
    ----------
    number : Counter
        Keys are a profile's code and the kind of failure, None for an answer.
    failed : Counter
        Failed decisions by kind.
    examples : dict of str to str
        What went wrong once, by kind.
    expected : int
        How many there will be at the end of the step under way.
    """

    number: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    expected: int = 0

    def add(self, profile: str, error: str | None, detail: str) -> None:
        """Count one decision."""
        self.number[profile, error] += 1
        if error is not None:
            self.examples.setdefault(error, detail)
            self.failed[error] += 1

    @property
    def reasons(self) -> str:
        """The kinds of failure, the most common first, each with a number and an example."""
        kinds = self.failed.copy().most_common()
        return "; ".join(f"{kind} {number}: {self.examples[kind]}" for kind, number in kinds)


@dataclass
class Usage:
    """Decisions, calls, tokens and money of one run.

    Attributes
    ----------
    decided : Decided
        Its decisions; a new object in every step, so that an answer that comes after the end
        of a step that does not count is not counted either.
    """

    decided: Decided = field(default_factory=Decided)
    _keys: set[str] = field(default_factory=set)
    _served: set[str] = field(default_factory=set)
    # Exact sums, by profile and quantity: they do not depend on the order of the answers.
    _taken: Counter[tuple[str, str]] = field(default_factory=Counter)

    def begin_step(self, decisions: int) -> Decided:
        """Begin to count a step; return the counts before it, to restore after an error."""
        before, self.decided = self.decided, copy.deepcopy(self.decided)
        self.decided.expected = before.number.total() + decisions
        return before

    def add(self, call: Call, kept: bool) -> None:
        """Count the requests, tokens and money of a call.

        Parameters
        ----------
        call : Call
        kept : bool
            Whether it is from a store: then it counts once, also if a step is repeated.
        """
        if kept and call.key in self._keys:
            return
        self._keys.add(call.key)
        taken: dict[str, Any] = {"calls": call.attempts}
        if call.finish_reason is not None:
            self._served.add(call.served)
            taken |= {
                "completions": 1,
                "counted": call.prompt_tokens is not None,
                "prompt": call.prompt_tokens or 0,
                "completion": call.completion_tokens or 0,
                "priced": call.cost is not None,
                "cost": Fraction(call.cost or 0),
            }
        for name, amount in taken.items():
            self._taken[call.profile, name] += amount

    def manifest(self) -> dict[str, Any]:
        """Return the counts as plain values; any thread may ask at any time."""
        taken, number = self._taken.copy(), self.decided.number.copy()
        by_profile: dict[str, Counter[str]] = {}
        for (code, name), amount in taken.items():
            by_profile.setdefault(code, Counter())[name] += amount
        for (code, error), amount in number.items():
            counts = by_profile.setdefault(code, Counter())
            counts.update(decisions=amount, failed=amount if error is not None else 0)
        whole: Counter[str] = sum(by_profile.values(), Counter())
        return {
            "model_served": sorted(self._served.copy()),
            "decisions": whole["decisions"],
            "failed": dict(sorted(self.decided.failed.copy().items())),
            **_amounts(whole),
            "by_profile": {
                code: {"decisions": counts["decisions"], "failed": counts["failed"]}
                | _amounts(counts)
                for code, counts in sorted(by_profile.items())
            },
        }


def _amounts(counts: Counter[str]) -> dict[str, Any]:
    """Return requests, tokens and money; a sum with an unknown part is unknown."""
    completions = counts["completions"]
    tokens = {"prompt": counts["prompt"], "completion": counts["completion"]}
    return {
        "calls": counts["calls"],
        "tokens": tokens if counts["counted"] == completions else None,
        "cost_usd": float(counts["cost"]) if counts["priced"] == completions > 0 else None,
    }
