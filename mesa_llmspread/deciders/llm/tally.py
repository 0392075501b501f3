"""What one run has asked of a model, and what came of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mesa_llmspread.deciders.base import Decision, Outcome
from mesa_llmspread.deciders.llm.replies import Reply

__all__ = ["Decisions", "Tally"]


@dataclass
class _Sums:
    """Decisions, calls, tokens and money of a part of a run."""

    decisions: int = 0
    failed: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    uncounted: int = 0
    cost: float = 0.0
    priced: int = 0
    unpriced: int = 0

    def add(self, reply: Reply) -> None:
        """Count what a reply took."""
        self.calls += reply.attempts
        if reply.usage is None:
            return
        if reply.usage.tokens is None:
            self.uncounted += 1
        else:
            self.prompt_tokens += reply.usage.tokens[0]
            self.completion_tokens += reply.usage.tokens[1]
        if reply.usage.cost is None:
            self.unpriced += 1
        else:
            self.priced += 1
            self.cost += reply.usage.cost

    def plain(self) -> dict[str, Any]:
        """Give calls, tokens and money; a sum with an unknown part is unknown."""
        tokens = {"prompt": self.prompt_tokens, "completion": self.completion_tokens}
        return {
            "calls": self.calls,
            "tokens": None if self.uncounted else tokens,
            "cost_usd": self.cost if self.priced and not self.unpriced else None,
        }


class Decisions(NamedTuple):
    """The decisions that a tally had counted at one moment."""

    decided: int
    failed: Counter[str]
    examples: dict[str, str]
    of_profiles: dict[str, tuple[int, int]]


@dataclass
class Tally:
    """Counts of one run; changed on the calls' loop alone.

    Attributes
    ----------
    decided : int
        Decisions that were answered or failed.
    failed : Counter
        Of these, the failed ones by kind.
    """

    decided: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    served: set[str] = field(default_factory=set)
    counted: set[str] = field(default_factory=set)
    whole: _Sums = field(default_factory=_Sums)
    profiles: dict[str, _Sums] = field(default_factory=lambda: defaultdict(_Sums))

    def add(self, reply: Reply, profile: str, key: str | None = None) -> None:
        """Count what one reply took, once.

        Parameters
        ----------
        reply : Reply
        profile : str
            For whose decision, by code.
        key : str, optional
            Of the call, where it is kept: a step that is stepped again gets it again.
        """
        if key is not None:
            if key in self.counted:
                return
            self.counted.add(key)
        if reply.usage is not None:
            self.served.add(reply.usage.served)
        self.whole.add(reply)
        self.profiles[profile].add(reply)

    def decide(self, decision: Decision, profile: str) -> None:
        """Count one decision.

        Parameters
        ----------
        decision : Decision
        profile : str
            Whose, by code.
        """
        self.decided += 1
        self.profiles[profile].decisions += 1
        if decision.outcome is Outcome.FAILED:
            kind, _, detail = decision.reason.partition(": ")
            self.failed[kind] += 1
            self.profiles[profile].failed += 1
            self.examples.setdefault(kind, detail)

    def decisions(self) -> Decisions:
        """Note the decisions so far, for :meth:`forget_decisions`."""
        of_profiles = {code: (part.decisions, part.failed) for code, part in self.profiles.items()}
        return Decisions(self.decided, self.failed.copy(), dict(self.examples), of_profiles)

    def forget_decisions(self, since: Decisions) -> None:
        """Take back the decisions of a step that is not to count; what they took stays.

        Parameters
        ----------
        since : Decisions
            From before the step.
        """
        self.decided, self.failed, self.examples, of_profiles = since
        for code, part in self.profiles.items():
            part.decisions, part.failed = of_profiles.get(code, (0, 0))

    def count_again(self, keys: Iterable[str]) -> None:
        """Count the calls that are made anew, should they come.

        Parameters
        ----------
        keys : iterable of str
        """
        self.counted.difference_update(keys)

    def reasons(self) -> str:
        """List the kinds of failure, the most common first, each with a number and an example.

        Returns
        -------
        str
        """
        return "; ".join(
            f"{kind} {number}: {self.examples[kind]}" for kind, number in self.failed.most_common()
        )

    def manifest(self) -> dict[str, Any]:
        """Give the counts as plain values.

        Returns
        -------
        dict
        """
        return {
            "model_served": sorted(self.served),
            "decisions": self.decided,
            "failed": dict(sorted(self.failed.items())),
            **self.whole.plain(),
            "by_profile": {
                code: {"decisions": sums.decisions, "failed": sums.failed, **sums.plain()}
                for code, sums in sorted(self.profiles.items())
            },
        }
