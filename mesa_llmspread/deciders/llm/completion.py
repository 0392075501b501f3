"""What a chat completion says, read from litellm's response and from nowhere else.

The fields are those of the chat-completions protocol. litellm moved one of them between versions,
so no other module reads its objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mesa_llmspread.deciders.llm.faults import presentable
from mesa_llmspread.deciders.llm.replies import Usage

__all__ = ["Choice", "read_choice", "read_usage"]


@dataclass(frozen=True)
class Choice:
    """The first answer of a completion.

    Attributes
    ----------
    content : str
        What the model wrote; empty where it wrote nothing.
    refusal : str
        Why the model refused; empty where it did not.
    finish_reason : str
        Why the model stopped: ``"stop"``, ``"length"``, ``"content_filter"``, ...
    tokens : sequence
        Its tokens, each with ``token`` and ``top_logprobs``; empty where the server sent none.
    """

    content: str
    refusal: str
    finish_reason: str
    tokens: Sequence[Any]


def read_choice(response: Any) -> Choice | None:
    """Return the first answer of a completion, or None if there is none.

    Parameters
    ----------
    response : litellm.ModelResponse
        A completion.

    Returns
    -------
    Choice or None
    """
    if not response.choices:
        return None
    choice = response.choices[0]
    message, logprobs = choice.message, choice.get("logprobs")
    # litellm deletes the attributes that a server did not send; older versions keep the refusal
    # among the fields that they do not know.
    other = message.get("provider_specific_fields") or {}
    return Choice(
        content=message.content or "",
        refusal=str(message.get("refusal") or other.get("refusal") or ""),
        finish_reason=str(choice.finish_reason or ""),
        tokens=(logprobs and logprobs.content) or (),
    )


def read_usage(response: Any) -> Usage:
    """Return the tokens and the cost of a completion, and the model that answered.

    Parameters
    ----------
    response : litellm.ModelResponse
        A completion.

    Returns
    -------
    Usage
    """
    usage = response.get("usage")
    # litellm writes 0 tokens if the server did not count them.
    counted = usage is not None and usage.prompt_tokens
    return Usage(
        tokens=(usage.prompt_tokens, usage.completion_tokens) if counted else None,
        cost=response._hidden_params.get("response_cost"),
        served=presentable(str(response.model or "")),
    )
