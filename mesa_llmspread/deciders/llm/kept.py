"""One call to a language model, as it is written down."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Call"]


@dataclass(frozen=True)
class Call:
    """One call as it is kept.

    Attributes
    ----------
    key : str
        Fingerprint of all that decides the answer.
    run : str
        Fingerprint of the run's secret: the same for all calls of one run.
    model, parameters, schema : str
        What was asked of: litellm's name, the sampling parameters as JSON, and the version
        of the answer's form.
    draw : str
        Tells repeated identical prompts of a run apart.
    step, agent : int
        Where in the run it was first asked.
    profile, event : str
        Whose personality, by code, and the event's id.
    outcome : str
        ``"repost"``, ``"decline"``, ``"answered"`` (not a decision) or ``"failed"``.
    answer : str or None
        The model's answer, as JSON; None where it failed.
    error : str or None
        The kind of failure.
    detail : str
        More about a failure.
    finish_reason : str or None
        Why the model stopped, as its server says.
    repost_prob : float or None
        P(repost) by the model's own log-probabilities, where these were asked for.
    prompt_tokens, completion_tokens : int or None
        None where the server did not count.
    cost : float or None
        US dollars; None where the price is unknown or no completion came back.
    served : str
        The model that answered, as its server names it.
    attempts : int
        Requests sent.
    latency : float
        Seconds from the first request to the end, waits between attempts included.
    prompt : str or None
        The messages as JSON, where the store keeps prompts.
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
    outcome: str
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
