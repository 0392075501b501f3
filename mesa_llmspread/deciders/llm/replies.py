"""What a model must answer, and how a call to it ended."""

from __future__ import annotations

from dataclasses import dataclass

import pydantic

from mesa_llmspread.deciders.llm.faults import FailureKind
from mesa_llmspread.deciders.llm.prompts import MAX_POST_LENGTH

__all__ = ["SCHEMA_VERSION", "Answer", "Reply", "Usage"]

#: Changes whenever the fields of :class:`Answer` do.
SCHEMA_VERSION = "1"


class Answer(pydantic.BaseModel):
    """What a model must answer: JSON with exactly these fields."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    repost: bool
    post: str = pydantic.Field(max_length=MAX_POST_LENGTH)
    reason: str = pydantic.Field(max_length=MAX_POST_LENGTH)


@dataclass(frozen=True)
class Usage:
    """What one completion took.

    Attributes
    ----------
    tokens : tuple of int or None
        Tokens of the prompt and of the completion; None where the server did not say.
    cost : float or None
        Price in US dollars; None where litellm does not know the model's.
    served : str
        The model that answered, as the server names it.
    """

    tokens: tuple[int, int] | None
    cost: float | None
    served: str


@dataclass(frozen=True)
class Reply:
    """How one call ended.

    Attributes
    ----------
    answer : Answer or None
        What the model answered; None where the decision failed.
    kind : str or None
        The kind of failure; None where there is an answer.
    detail : str
        More about a failure, short and fit to be shown.
    attempts : int
        Requests sent.
    usage : Usage or None
        What it took; None where no completion came back.
    finish_reason : str or None
        Why the model stopped, as its server says; None where no completion came back.
    latency : float
        Seconds from the first request to the end, waits between attempts included.
    repost_prob : float or None
        P(repost) by the model's own log-probabilities, where these were asked for.
    """

    answer: pydantic.BaseModel | None = None
    kind: FailureKind | None = None
    detail: str = ""
    attempts: int = 1
    usage: Usage | None = None
    finish_reason: str | None = None
    latency: float = 0.0
    repost_prob: float | None = None
