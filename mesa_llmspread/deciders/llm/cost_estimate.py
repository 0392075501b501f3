"""The calls, tokens and money of a run, estimated before it is started."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from mesa_llmspread._validation import checked_int, checked_probability
from mesa_llmspread.deciders.base import Exposure, Post
from mesa_llmspread.deciders.llm import prompts
from mesa_llmspread.deciders.llm.call import Answer
from mesa_llmspread.deciders.llm.client import Client
from mesa_llmspread.events import OfflineEvent, bundled_events
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.profiles import Profile

if TYPE_CHECKING:
    from mesa_llmspread.deciders.llm.decider import LLMDecider

__all__ = ["CostEstimate", "estimate", "price_of", "total"]

# A short JSON answer: true or false, some twenty words to post, and a sentence why; or the first.
_ANSWER_TOKENS, _ANSWER_ALONE_TOKENS = 80, 14
# Tokenizers differ from the one that counts by some ten per cent.
_TOKENIZERS = 1.2
_POST = "Have you seen this? It is not far from here, and nobody seems to talk about it. "


@dataclass(frozen=True)
class CostEstimate:
    """The expected calls, tokens and money of a run, and the most that they can be.

    Attributes
    ----------
    calls, most_calls : int
        Requests; the most if every call needs every attempt.
    prompt_tokens, most_prompt_tokens : int
        Tokens sent; in the worst case with the fullest feed, see :func:`estimate`.
    completion_tokens, most_completion_tokens : int
        Tokens answered; in the worst case ``max_tokens`` for every request.
    cost_usd, most_cost_usd : float or None
        US dollars at litellm's prices; None if the price is unknown.
    """

    calls: int
    most_calls: int
    prompt_tokens: int
    most_prompt_tokens: int
    completion_tokens: int
    most_completion_tokens: int
    cost_usd: float | None
    most_cost_usd: float | None

    def __str__(self) -> str:
        tokens = self.prompt_tokens + self.completion_tokens
        most_tokens = self.most_prompt_tokens + self.most_completion_tokens
        parts = [
            f"about {self.calls:,} calls, at most {self.most_calls:,}",
            f"about {tokens:,} tokens, at most {most_tokens:,}",
            "at an unknown price",
        ]
        if self.cost_usd is not None and self.most_cost_usd is not None:
            parts[-1] = f"about {_dollars(self.cost_usd)}, at most {_dollars(self.most_cost_usd)}"
        return "; ".join(parts)


def _dollars(amount: float) -> str:
    """Return an amount in cents, or with one digit where it is below a cent."""
    return f"${amount:.1g}" if 0 < amount < 0.01 else f"${amount:.2f}"


def total(estimates: Iterable[CostEstimate]) -> CostEstimate:
    """Return the sum of several estimates; a sum with an unknown part is unknown.

    Parameters
    ----------
    estimates : iterable of CostEstimate

    Returns
    -------
    CostEstimate

    Examples
    --------
    >>> one = CostEstimate(1, 2, 10, 20, 5, 10, 0.01, 0.02)
    >>> str(total([one, one]))
    'about 2 calls, at most 4; about 30 tokens, at most 60; about $0.02, at most $0.04'
    """
    listed = list(estimates)
    sums: dict[str, Any] = {}
    for field in fields(CostEstimate):
        amounts = [getattr(one, field.name) for one in listed]
        sums[field.name] = None if None in amounts else sum(amounts)
    return CostEstimate(**sums)


def estimate(
    decider: LLMDecider,
    n: int,
    steps: int,
    *,
    k: int = 8,
    profiles: int = 32,
    chance: float = 0.1,
    event: OfflineEvent | None = None,
) -> CostEstimate:
    """Estimate the calls, tokens and money of a run.

    Parameters
    ----------
    decider : LLMDecider
        Its model is not asked.
    n : int
        Number of agents.
    steps : int
        Number of steps.
    k : int, default 8
        Neighbours per agent.
    profiles : int, default 32
        Number of different personalities.
    chance : float, default 0.1
        P(repost) assumed at one exposure; above 0.
    event : OfflineEvent, optional
        What the news is about; a bundled event if not given.

    Returns
    -------
    CostEstimate

    Notes
    -----
    It is assumed that every agent sees the news from the first step on and is asked at every
    step until it posts: (1 - (1 - chance)^steps) / chance decisions per agent, and at most one
    per step. If posts are seen only when new, or not all agents are reached, there are fewer.
    Prompts are written and their tokens counted: with the short posts of half the neighbours,
    and for the worst case with posts of all neighbours, as many and as long as prompts show
    them, and a fifth more, as models split text differently. In the worst case every agent is
    asked at every step, every call needs all its attempts, and every answer has ``max_tokens``.
    Only ``max_calls`` and ``max_cost_usd`` of :class:`LLMDecider` are limits.
    """
    for name, value in (("n", n), ("steps", steps), ("k", k), ("profiles", profiles)):
        checked_int(name, value, least=1)
    if not checked_probability("chance", chance):
        raise ArgumentError("chance", chance, "be above 0")
    calls = _calls(decider, round(n * (1 - (1 - chance) ** steps) / chance), steps, k, profiles)
    most_calls = _calls(decider, n * steps, steps, k, profiles) * decider.client.max_attempts
    event, client = event or bundled_events()[0], decider.client
    prompt = client.count_tokens(decider.messages(_exposure(event, max(1, k // 2), _POST)))
    post = (_POST * prompts.MAX_POST_LENGTH)[: prompts.MAX_POST_LENGTH]
    fullest = decider.messages(_exposure(event, min(k, prompts.MAX_POSTS), post))
    most_prompt = math.ceil(_TOKENIZERS * client.count_tokens(fullest))
    return _priced(client, calls, prompt, most_calls, most_prompt)


def price_of(
    client: Client, calls: int, most_calls: int, messages: Sequence[prompts.Messages]
) -> CostEstimate:
    """Estimate the tokens and money of a number of calls with known prompts.

    Parameters
    ----------
    client : Client
        Its model is not asked.
    calls, most_calls : int
        How many, and the most that they can be with one attempt per call.
    messages : sequence of list of dict
        Prompts like theirs.

    Returns
    -------
    CostEstimate
    """
    longest = max(map(client.count_tokens, messages))
    return _priced(client, calls, longest, most_calls * client.max_attempts, longest)


def _priced(
    client: Client, calls: int, prompt: int, most_calls: int, most_prompt: int
) -> CostEstimate:
    """Return an estimate, from numbers of calls and of tokens per prompt."""
    usual = _ANSWER_TOKENS if client.form is Answer else _ANSWER_ALONE_TOKENS
    answer, most_answer = min(usual, client.max_tokens), client.max_tokens
    one, most = client.price(prompt, answer), client.price(most_prompt, most_answer)
    return CostEstimate(
        calls=calls,
        most_calls=most_calls,
        prompt_tokens=calls * prompt,
        most_prompt_tokens=most_calls * most_prompt,
        completion_tokens=calls * answer,
        most_completion_tokens=most_calls * most_answer,
        cost_usd=None if one is None else calls * one,
        most_cost_usd=None if most is None else most_calls * most,
    )


def _calls(decider: LLMDecider, decisions: int, steps: int, k: int, profiles: int) -> int:
    """Return the number of calls: fewer than decisions if a pool answers the same prompts."""
    if decider.sampling == "independent" or decider.feed_detail == "posts":
        return decisions
    draws = decider.draws if decider.sampling == "pooled" else 1
    if decider.template.words["persona"] is False:
        profiles = 1
    # Posting neighbours in view and so far, the occasion, and whether it was in the media.
    contexts = (k + 1) * (k + 2) // 2 * steps * 2
    return min(decisions, profiles * contexts * draws)


def _exposure(event: OfflineEvent, posts: int, words: str) -> Exposure:
    feed = tuple(Post(author, 0, words) for author in range(posts))
    return Exposure(1, 0, Profile.from_code("OceAn"), event, posts, posts, 1, False, feed)
