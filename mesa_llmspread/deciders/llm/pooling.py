"""Many decisions from few calls: answers to the same prompt, pooled.

Agents that see the same words are the same to a language model. If there are more of them than
a run can pay for, a number of calls tells how often the model reposts on that prompt, and the
other decisions are drawn with that probability. They are then no longer independent answers of
the model: what is learnt from them is no more certain than the calls behind them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mesa_llmspread.deciders.base import Decider, Decision, Exposure, Outcome
from mesa_llmspread.deciders.llm.call import Call, fingerprint
from mesa_llmspread.rng import agent_uniforms

if TYPE_CHECKING:
    from mesa_llmspread.deciders.llm.decider import LLMDecider

__all__ = ["PooledDecider", "repost_chance", "token_repost_prob"]

_REPOST_VALUE = re.compile(r'"repost"\s*:\s*(?=true|false)')


class PooledDecider(Decider):
    """A language model in one run, with few calls per prompt.

    Parameters
    ----------
    model : LLMDecider
        The model in this run.
    draws : int
        Most calls per prompt.
    own : bool
        Whether a call decides the exposure that it was made for, or only tells the
        probability.
    """

    name = "llm"

    def __init__(self, model: LLMDecider, draws: int, own: bool) -> None:
        self.model = model
        self.draws = draws
        self.own = own
        self._answers: dict[str, list[Call]] = {}

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        """Answer from calls and from the pool; see :meth:`LLMDecider.decide`."""
        model, caller = self.model, self.model.caller
        messages = [model.prompt(seen) for seen in exposures]
        prompts = [fingerprint(words) for words in messages]
        taken = Counter({prompt: len(answers) for prompt, answers in self._answers.items()})
        calls: list[Call] = []
        places: dict[int, int] = {}
        for i, (seen, prompt) in enumerate(zip(exposures, prompts, strict=True)):
            if taken[prompt] < self.draws:
                places[i] = len(calls)
                calls.append(model.call(seen, messages[i], f"pool:{taken[prompt]}"))
            taken[prompt] += 1
        with caller.step(len(exposures), calls):
            answered = caller.ask(calls)
            known = {prompt: list(self._answers.get(prompt, ())) for prompt in prompts}
            for i, place in places.items():
                known[prompts[i]].append(answered[place])
            agents = [seen.agent for seen in exposures]
            coins, picks = agent_uniforms(rng, agents), agent_uniforms(rng, agents)
            decisions = []
            for i, seen in enumerate(exposures):
                pool = known[prompts[i]]
                if i in places and self.own:
                    decisions.append(answered[places[i]].decision())
                else:
                    decisions.append(_drawn(pool, float(coins[i]), float(picks[i])))
                if i not in places:
                    failed = decisions[i].outcome is Outcome.FAILED
                    error, detail = (pool[0].error, pool[0].detail) if failed else (None, "")
                    caller.usage.decided.add(seen.profile.code, error, detail)
            caller.stop_beyond()
        self._answers |= known
        return decisions

    def for_run(self, n: int, rng: np.random.Generator) -> Decider:
        """Return the decider of another run; see :meth:`Decider.for_run`."""
        return self.model.for_run(n, rng)

    def check(self) -> None:
        """Check the model; see :meth:`Decider.check`."""
        self.model.check()

    def manifest(self) -> Mapping[str, Any]:
        """Describe the model; see :meth:`Decider.manifest`."""
        return self.model.manifest()


def repost_chance(answers: Iterable[Call]) -> float | None:
    """Return the probability of a repost that answers to one prompt tell.

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


def _drawn(answers: Sequence[Call], coin: float, pick: float) -> Decision:
    """Draw a decision, and its words from an answer with the same outcome."""
    chance = repost_chance(answers)
    if chance is None:
        return answers[0].decision()
    outcome = Outcome.REPOST if coin < chance else Outcome.DECLINE
    alike = [call for call in answers if call.outcome == outcome.value]
    return alike[int(pick * len(alike))].decision() if alike else Decision(outcome)


def token_repost_prob(tokens: Sequence[Any]) -> float | None:
    """Return P(repost) from the log-probabilities of an answer's tokens.

    Parameters
    ----------
    tokens : sequence
        Tokens of the OpenAI protocol, each with ``token`` and ``top_logprobs``.

    Returns
    -------
    float or None
        P(true) / (P(true) + P(false)) where the value of "repost" begins; None if neither is
        among the alternatives.

    Notes
    -----
    A token may hold what comes before the value, or only its first letters.
    """
    match = _REPOST_VALUE.search("".join(token.token for token in tokens))
    if match is None:
        return None
    end = 0
    for token in tokens:
        end += len(token.token)
        if end > match.end():
            break
    weights = {"true": 0.0, "false": 0.0}
    for other in token.top_logprobs:
        word = other.token.lstrip('": \n\t')
        for value in weights:
            if word and (value.startswith(word) or word.startswith(value)):
                weights[value] += math.exp(other.logprob)
    total = sum(weights.values())
    return weights["true"] / total if total else None
