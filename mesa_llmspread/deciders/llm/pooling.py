"""Many decisions from few calls: answers to the same prompt, pooled.

Agents that see the same words are the same to a language model. If there are more of them than
a run can pay for, a number of calls tells how often the model reposts on that prompt, and the
other decisions are drawn with that probability. They are then not independent answers of the
model: results from them are no more certain than the calls behind them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mesa_llmspread.deciders.base import Decision, Exposure, Outcome, coins
from mesa_llmspread.deciders.llm.call import Call, fingerprint

if TYPE_CHECKING:
    from mesa_llmspread.deciders.llm.decider import LLMDecider

__all__ = ["Pool", "repost_chance"]


@dataclass
class Pool:
    """The answers of a language model in one run, by prompt.

    Parameters
    ----------
    draws : int
        Most calls per prompt.
    own : bool
        Whether a call decides the exposure that it was made for, or only tells the
        probability.
    """

    draws: int
    own: bool
    _answers: dict[str, list[Call]] = field(default_factory=dict)

    def decide(
        self, model: LLMDecider, exposures: Sequence[Exposure], rng: np.random.Generator
    ) -> list[Decision]:
        """Return decisions from calls and from the pool; see :meth:`LLMDecider.decide`."""
        caller, messages = model.caller, [model.prompt(seen) for seen in exposures]
        prompts = [fingerprint(words) for words in messages]
        taken = Counter({prompt: len(answers) for prompt, answers in self._answers.items()})
        calls: dict[int, Call] = {}
        for i, prompt in enumerate(prompts):
            if taken[prompt] < self.draws:
                calls[i] = model.call(exposures[i], messages[i], f"pool:{taken[prompt]}")
            taken[prompt] += 1
        with caller.step(len(exposures), list(calls.values())):
            answered = dict(zip(calls, caller.ask(list(calls.values())), strict=True))
            known = {prompt: list(self._answers.get(prompt, ())) for prompt in prompts}
            for i, call in answered.items():
                known[prompts[i]].append(call)
            decisions = []
            for i, coin in enumerate(coins(exposures, rng).tolist()):
                pool = known[prompts[i]]
                own = i in answered and self.own
                decision = answered[i].decision() if own else _drawn(pool, coin)
                decisions.append(decision)
                if i not in answered:
                    failed = decision.outcome is Outcome.FAILED
                    problem = (pool[0].error, pool[0].detail) if failed else (None, "")
                    caller.usage.decided.add(exposures[i].profile.code, *problem)
            caller.stop_beyond()
        self._answers |= known
        return decisions


def repost_chance(answers: Iterable[Call]) -> float | None:
    """Estimate the probability of a repost from the answers to one prompt.

    Parameters
    ----------
    answers : iterable of Call
        Failed ones do not count.

    Returns
    -------
    float or None
        The model's own P(repost) if there is one; else (r + 1/2) / (n + 1) with r reposts in n
        answers, the mean of the posterior Beta distribution from Jeffreys' prior, which is
        never 0 or 1. None if there is no answer.
    """
    valid = [call for call in answers if call.answer is not None]
    if not valid:
        return None
    if valid[0].repost_prob is not None:
        return valid[0].repost_prob
    reposts = sum(call.outcome == Outcome.REPOST.value for call in valid)
    return (reposts + 0.5) / (len(valid) + 1)


def _drawn(answers: Sequence[Call], coin: float) -> Decision:
    """Draw a decision, and its words from an answer with the same outcome, with one coin."""
    chance = repost_chance(answers)
    if chance is None:
        return answers[0].decision()
    repost = coin < chance
    outcome = Outcome.REPOST if repost else Outcome.DECLINE
    alike = [call for call in answers if call.outcome == outcome.value]
    # Given the outcome, the coin is uniform on its side of the chance.
    pick = coin / chance if repost else (coin - chance) / (1 - chance)
    return alike[int(pick * len(alike)) % len(alike)].decision() if alike else Decision(outcome)
