"""A chat completion of the OpenAI protocol: what is read of it, whichever way it came."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import pydantic

__all__ = ["Completion", "token_repost_prob"]

_REPOST_VALUE = re.compile(r'"repost"\s*:\s*(?=true|false)')


class _Part(pydantic.BaseModel):
    """A part of a completion; what is not read is ignored, and may be missing."""

    model_config = pydantic.ConfigDict(extra="ignore", from_attributes=True)


class _Alternative(_Part):
    token: str
    logprob: float


class Token(_Part):
    """One token of an answer, and the likeliest in its place."""

    token: str
    top_logprobs: list[_Alternative] = []


class _Logprobs(_Part):
    content: list[Token] | None = None


class _Message(_Part):
    content: str | None = None
    refusal: str | None = None


class _Choice(_Part):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Tokens(_Part):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Completion(_Part):
    """A completion.

    Attributes
    ----------
    choices : list
        Its answers: one was asked for, but a server may send none.
    model : str or None
        The model that answered, as its server names it.
    usage : object or None
        ``prompt_tokens`` and ``completion_tokens``; 0 tokens of a prompt mean unknown.
    cost : float or None
        US dollars, from litellm; None if unknown.
    """

    choices: list[_Choice]
    model: str | None = None
    usage: _Tokens | None = None
    cost: float | None = None


def token_repost_prob(tokens: Sequence[Token]) -> float | None:
    """Return P(repost) from the log-probabilities of an answer's tokens.

    Parameters
    ----------
    tokens : sequence of Token

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
