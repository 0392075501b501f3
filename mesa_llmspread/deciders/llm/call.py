"""One call to a language model: what is asked, what came back, and what it took.

A decider fills in the first half, the client the second half, and the store keeps both.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, ClassVar

import pydantic

from mesa_llmspread.deciders.base import Decision, Outcome
from mesa_llmspread.deciders.llm.prompts import MAX_POST_LENGTH, Messages

__all__ = ["Answer", "AnswerAlone", "Call", "Form", "fingerprint"]


class Form(pydantic.BaseModel):
    """The fields of an answer; change the version whenever they change."""

    version: ClassVar[str]


class AnswerAlone(Form):
    """What a model must answer where nobody reads its words; more fields are ignored."""

    version = "alone-1"
    model_config = pydantic.ConfigDict(extra="ignore", strict=True)

    repost: bool


class Answer(AnswerAlone):
    """What a model must answer where others read its words: JSON with exactly these fields."""

    version = "1"
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    post: str = pydantic.Field(max_length=MAX_POST_LENGTH)
    reason: str = pydantic.Field(max_length=MAX_POST_LENGTH)


def fingerprint(content: Any) -> str:
    """Return 32 hexadecimal digits that identify plain values.

    Parameters
    ----------
    content : object
        Anything that JSON can hold.

    Returns
    -------
    str
        The beginning of the SHA-256 of the canonical JSON.

    Examples
    --------
    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Call:
    """One call, from the decider through the client to the store.

    Attributes
    ----------
    key : str
        Fingerprint of everything that determines the answer.
    run : str
        Fingerprint of the run's secret: the same for all calls of one run.
    model, parameters, schema : str
        litellm's name of the model, the sampling parameters as JSON, and the version of the
        answer's form.
    draw : str
        Distinguishes repeated identical prompts of a run.
    step, agent : int
        Where in the run it was first asked.
    profile, event : str
        The agent's profile code, and the event's id.
    outcome : str
        ``"repost"``, ``"decline"``, ``"answered"`` (not a decision) or ``"failed"``; empty
        before the model is asked.
    answer : str or None
        The model's answer, as JSON; None if it failed.
    error : str or None
        The kind of failure; None if there is an answer.
    detail : str
        More about a failure, short and safe to show.
    finish_reason : str or None
        Why the model stopped, as its server reports; None if no completion came back.
    repost_prob : float or None
        P(repost) by the model's own log-probabilities, if these were asked for.
    prompt_tokens, completion_tokens : int or None
        None if the server did not count them.
    cost : float or None
        US dollars; None if the price is unknown or no completion came back.
    served : str
        The model that answered, as its server names it.
    attempts : int
        Requests sent.
    latency : float
        Seconds from the first request to the end, waits between attempts included.
    prompt : str or None
        The messages as JSON; None in a store that does not keep prompts.
    """

    key: str
    run: str
    model: str
    parameters: str
    schema: str
    draw: str
    step: int
    agent: int
    profile: str
    event: str
    outcome: str = ""
    answer: str | None = None
    error: str | None = None
    detail: str = ""
    finish_reason: str | None = None
    repost_prob: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None
    served: str = ""
    attempts: int = 1
    latency: float = 0.0
    prompt: str | None = None

    @property
    def messages(self) -> Messages:
        """The messages that the model is sent."""
        messages: Messages = json.loads(self.prompt or "[]")
        return messages

    @property
    def seed(self) -> int:
        """The sampling seed: as reproducible as the prompt, and never the same twice in a run."""
        return int(self.key[:7], 16)

    def decision(self) -> Decision:
        """Return the decision; an agent that declines posts nothing, whatever the model wrote."""
        if self.answer is None:
            return Decision(Outcome.FAILED, reason=f"{self.error}: {self.detail}", key=self.key)
        answer, outcome = json.loads(self.answer), Outcome(self.outcome)
        post = answer.get("post", "") if outcome is Outcome.REPOST else ""
        return Decision(outcome, post, answer.get("reason", ""), self.key)
