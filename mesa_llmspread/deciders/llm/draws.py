"""Many decisions from few calls: answers to the same prompt, pooled.

Agents who see the same words are the same to a language model. Where there are more of them
than a run can pay for, a share of calls says how often the model reposts on that prompt, and
the other decisions are drawn with that chance. They are then no longer independent answers
of the model: what is learnt from them is no surer than the calls behind them.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from mesa_llmspread.deciders.base import Decision, Exposure, Outcome
from mesa_llmspread.rng import agent_uniforms

__all__ = ["Drawn", "Pool", "repost_chance", "token_repost_prob"]

_REPOST_VALUE = re.compile(r'"repost"\s*:\s*(?=true|false)')


class Drawn(NamedTuple):
    """One answer of the model: the decision, and P(repost) where the model gave it."""

    decision: Decision
    repost_prob: float | None = None


@dataclass
class Pool:
    """The answers of one run, by prompt.

    Parameters
    ----------
    draws : int
        Most calls a prompt.
    direct : bool
        Whether a call decides the exposure it was made for, or only gives the chance.
    """

    draws: int
    direct: bool
    answers: dict[str, list[Drawn]] = field(default_factory=lambda: defaultdict(list))

    def plan(self, prompts: Sequence[str]) -> list[int | None]:
        """Say which exposures of a step need a call.

        Parameters
        ----------
        prompts : sequence of str
            What each exposure's prompt is identified by.

        Returns
        -------
        list of int or None
            The number of the draw, or None where the pool will answer.
        """
        taken = Counter({prompt: len(self.answers[prompt]) for prompt in set(prompts)})
        plan: list[int | None] = []
        for prompt in prompts:
            plan.append(taken[prompt] if taken[prompt] < self.draws else None)
            taken[prompt] += 1
        return plan

    def answer(
        self,
        exposures: Sequence[Exposure],
        prompts: Sequence[str],
        fresh: Sequence[Drawn | None],
        rng: np.random.Generator,
    ) -> list[Decision]:
        """Decide all exposures of a step; :meth:`learn` is for when they count.

        Parameters
        ----------
        exposures : sequence of Exposure
            The step's.
        prompts : sequence of str
            What each one's prompt is identified by.
        fresh : sequence of Drawn or None
            What its call brought, where there was one.
        rng : numpy.random.Generator
            The step's stream.

        Returns
        -------
        list of Decision
        """
        known = {prompt: list(self.answers[prompt]) for prompt in prompts}
        for prompt, drawn in zip(prompts, fresh, strict=True):
            if drawn is not None:
                known[prompt].append(drawn)
        agents = [exposure.agent for exposure in exposures]
        coins, picks = agent_uniforms(rng, agents).tolist(), agent_uniforms(rng, agents).tolist()
        return [
            drawn.decision
            if self.direct and drawn is not None
            else _toss(known[prompt], coin, pick)
            for prompt, drawn, coin, pick in zip(prompts, fresh, coins, picks, strict=True)
        ]

    def learn(self, prompts: Sequence[str], fresh: Sequence[Drawn | None]) -> None:
        """Take in the answers of a step's calls.

        Parameters
        ----------
        prompts, fresh : sequence
            As for :meth:`answer`.
        """
        for prompt, drawn in zip(prompts, fresh, strict=True):
            if drawn is not None:
                self.answers[prompt].append(drawn)


def repost_chance(answers: Iterable[Drawn]) -> float | None:
    """Chance of a repost, as answers to one prompt give it.

    Parameters
    ----------
    answers : iterable of Drawn
        Failed ones do not count.

    Returns
    -------
    float or None
        The model's own P(repost) where it gave one; else (r + 1/2) / (n + 1) with r reposts
        in n answers, the mean of the posterior Beta distribution from Jeffreys' prior, which is
        never 0 or 1. None where there is no answer.

    Examples
    --------
    >>> repost_chance([Drawn(Decision(Outcome.REPOST)), Drawn(Decision(Outcome.DECLINE))])
    0.5
    """
    valid = [drawn for drawn in answers if drawn.decision.outcome is not Outcome.FAILED]
    if not valid:
        return None
    if valid[0].repost_prob is not None:
        return valid[0].repost_prob
    reposts = sum(drawn.decision.outcome is Outcome.REPOST for drawn in valid)
    return (reposts + 0.5) / (len(valid) + 1)


def _toss(answers: Sequence[Drawn], coin: float, pick: float) -> Decision:
    """Draw a decision, and its words from an answer that decided so."""
    chance = repost_chance(answers)
    if chance is None:
        return answers[0].decision
    outcome = Outcome.REPOST if coin < chance else Outcome.DECLINE
    alike = [drawn.decision for drawn in answers if drawn.decision.outcome is outcome]
    return alike[int(pick * len(alike))] if alike else Decision(outcome)


def token_repost_prob(tokens: Sequence[Any]) -> float | None:
    """Read P(repost) from the log-probabilities of an answer's tokens.

    Parameters
    ----------
    tokens : sequence
        Tokens as the OpenAI protocol gives them, each with ``token`` and ``top_logprobs``.

    Returns
    -------
    float or None
        P(true) / (P(true) + P(false)) where the value of "repost" begins; None where neither
        is among the alternatives.

    Notes
    -----
    A token may hold what comes before the value, or only its first letters.
    """
    text = "".join(token.token for token in tokens)
    match = _REPOST_VALUE.search(text)
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
