"""A decider that answers from a script, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from mesa_llmspread._validation import check_kind
from mesa_llmspread.deciders.base import Decider, Decision, Exposure, Outcome
from mesa_llmspread.exceptions import DeciderError

__all__ = ["ScriptedDecider"]

Reply = Decision | Outcome | bool


class ScriptedDecider(Decider):
    """Answer from a script: for tests, lessons and worked examples.

    Parameters
    ----------
    script : callable, or iterable of answers
        A function that takes an :class:`Exposure` and returns the answer, or the answers in
        the order in which they will be asked for. An answer is a :class:`Decision`, an
        :class:`Outcome`, or a bool (True for a repost).

    Attributes
    ----------
    history : list of (Exposure, Decision)
        Everything asked and answered so far.

    Examples
    --------
    >>> from mesa_llmspread import SpreadModel
    >>> decider = ScriptedDecider(lambda exposure: exposure.contacts >= 2)
    >>> model = SpreadModel(n=50, k=4, decider=decider, rng=1)
    >>> model.step()
    >>> all(d.outcome is Outcome.REPOST for e, d in decider.history if e.contacts >= 2)
    True
    """

    name = "scripted"

    def __init__(self, script: Callable[[Exposure], Reply] | Iterable[Reply]) -> None:
        self.history: list[tuple[Exposure, Decision]] = []
        if callable(script):
            self._answer = script
        else:
            answers = iter(script)
            self._answer = lambda exposure: next(answers)

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        """Answer from the script; see :meth:`Decider.decide`.

        Raises
        ------
        DeciderError
            If a script of answers is at its end.
        ArgumentTypeError
            If the script returns anything but an answer.
        """
        decisions = []
        for exposure in exposures:
            try:
                decisions.append(_as_decision(self._answer(exposure)))
            except StopIteration:
                where = f"agent {exposure.agent} at step {exposure.step}"
                raise DeciderError(f"the script has no answer left for {where}") from None
        self.history.extend(zip(exposures, decisions, strict=True))
        return decisions


def _as_decision(answer: Reply) -> Decision:
    """Return an answer as a decision."""
    if isinstance(answer, bool | np.bool_):
        answer = Outcome.REPOST if answer else Outcome.DECLINE
    if isinstance(answer, Outcome):
        answer = Decision(answer)
    check_kind("script", answer, Decision, "made of Decision, Outcome or bool answers")
    return answer
