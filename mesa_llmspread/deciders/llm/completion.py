"""A chat completion of the OpenAI protocol: what is read of it, whichever way it came."""

from __future__ import annotations

import pydantic

__all__ = ["Completion", "Token"]


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


class _Usage(_Part):
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
    usage: _Usage | None = None
    cost: float | None = None
