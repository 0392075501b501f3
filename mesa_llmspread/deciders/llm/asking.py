"""From a question to a reply: out of the store, or through the gate and out of the model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

from pydantic import BaseModel

from mesa_llmspread.deciders.base import Outcome
from mesa_llmspread.deciders.llm.calls import Endpoint
from mesa_llmspread.deciders.llm.faults import PASSING, FailureKind
from mesa_llmspread.deciders.llm.kept import Call
from mesa_llmspread.deciders.llm.limits import Budget, Pace
from mesa_llmspread.deciders.llm.prompts import NO_MARKER, marker_for
from mesa_llmspread.deciders.llm.replies import Answer, Reply, Usage
from mesa_llmspread.deciders.llm.store import DecisionStore
from mesa_llmspread.exceptions import ArgumentError, ReplayMissError

__all__ = ["Asker", "Mode", "Place", "Question", "fingerprint"]

Mode = Literal["live", "record", "replay"]
Messages = list[dict[str, str]]

# Of a prompt's tokens what its own words do not explain: the chat format and the schema.
_OVERHEAD_TOKENS = 512


def fingerprint(content: Any) -> str:
    """Identify plain values: 32 hexadecimal digits of the SHA-256 of their canonical JSON.

    Parameters
    ----------
    content : object
        Anything JSON can hold.

    Returns
    -------
    str

    Examples
    --------
    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


class Place(NamedTuple):
    """Where in a run something is asked: step, agent, its profile's code, the event's id."""

    step: int
    agent: int
    profile: str
    event: str


@dataclass(frozen=True)
class Question:
    """One call that a run needs.

    Attributes
    ----------
    key : str
        Fingerprint of all that decides the answer.
    draw : str
        Tells repeated identical prompts of a run apart.
    run : str
        Fingerprint of the run's secret.
    place : Place
        Where it is asked.
    words : callable
        Gives the messages.
    """

    key: str
    draw: str
    run: str
    place: Place
    words: Callable[[], Messages]


@dataclass(frozen=True)
class Asker:
    """How a question gets its reply.

    Parameters
    ----------
    endpoint : Endpoint
        The model.
    mode : {"live", "record", "replay"}
        Ask the model; ask it what the store does not know, and keep it there; or never ask.
    store : DecisionStore or None
        None where, and only where, the mode is live.
    budget : Budget
        What may be spent.
    requests, tokens : Pace or None
        What may be sent in a minute.
    """

    endpoint: Endpoint
    mode: Mode
    store: DecisionStore | None
    budget: Budget
    requests: Pace | None
    tokens: Pace | None

    def check(self) -> None:
        """See that questions can be asked, without asking one.

        Raises
        ------
        ArgumentError
            If there is nothing to replay, or the price of a model with a budget is unknown.
        DeciderError
            If the key is missing, or nothing answers at the address.
        """
        if self.mode == "replay":
            assert self.store is not None
            if not self.store.path.is_file():
                raise ArgumentError("store", str(self.store.path), "be a file to replay")
            return
        if self.budget.max_cost_usd is not None and self.endpoint.price(1, 1) is None:
            raise ArgumentError(
                "max_cost_usd",
                self.budget.max_cost_usd,
                f"be None, as the price of {self.endpoint.model!r} is unknown; "
                "limit the calls with max_calls",
            )
        self.endpoint.check()

    def question(
        self, place: Place, draw: str, secret: bytes, words: Callable[[str], Messages]
    ) -> Question:
        """Make a question out of a prompt.

        Parameters
        ----------
        place : Place
            Where it is asked.
        draw : str
            Tells repeated identical prompts of a run apart.
        secret : bytes
            The run's secret: two runs never share an answer, unless they have the same seed.
        words : callable
            Gives the messages for a marker.

        Returns
        -------
        Question
        """
        run = hashlib.sha256(b"run" + secret).hexdigest()[:16]
        key = fingerprint(
            {
                "model": self.endpoint.model,
                "parameters": self.endpoint.parameters,
                "schema": self.endpoint.schema,
                "prompt": words(NO_MARKER),
                "draw": draw,
                "run": run,
            }
        )
        return Question(key, draw, run, place, lambda: words(marker_for(secret, key)))

    def look_up(self, question: Question) -> Reply | None:
        """Find the reply that is kept.

        Parameters
        ----------
        question : Question

        Returns
        -------
        Reply or None

        Raises
        ------
        ReplayMissError
            If there is none, and none may be asked for.
        """
        if self.store is None:
            return None
        kept = self.store.get(question.key)
        if kept is not None:
            call, again = kept
            if self.mode == "replay" or not again:
                return _reply(call, self.endpoint.form)
        if self.mode == "replay":
            raise ReplayMissError(question.place.agent, question.place.step, self.store.path)
        return None

    async def ask(self, question: Question) -> Reply:
        """Call the model, and keep what it says before anyone uses it.

        Parameters
        ----------
        question : Question

        Returns
        -------
        Reply
            The one that is kept, where another process asked the same and was first.

        Raises
        ------
        DeciderError
            If no call to this model can succeed, or the budget is used up.
        """
        messages = question.words()
        # Seeded by the key: as reproducible as the prompt, and never the same twice in a run.
        reply = await self.endpoint.ask(messages, int(question.key[:7], 16), self)
        if self.store is None:
            return reply
        return _reply(self.store.keep(self._call(question, messages, reply)), self.endpoint.form)

    def let_ask_again(self, questions: Sequence[Question]) -> list[str]:
        """Have passing failures of unused decisions asked again when the run is resumed.

        Parameters
        ----------
        questions : sequence of Question

        Returns
        -------
        list of str
            Keys of those that will be.
        """
        if self.store is None or self.mode != "record":
            return []
        keys = [question.key for question in questions]
        self.store.ask_again(keys, PASSING)
        return [key for key in keys if (kept := self.store.get(key)) is not None and kept[1]]

    def how_to_resume(self) -> str:
        """Say what is left of a run that an error has ended."""
        if self.store is None:
            return "No answer is kept; give a store, such as store='calls.sqlite', to resume runs."
        return (
            f"Every answer is kept in {self.store.path}: the same run, with the same rng and this "
            "store, goes on from there and asks only what is missing."
        )

    async def enter(self, messages: Messages) -> float:
        """Wait for a request's turn and pay for it in advance; see :class:`calls.Gate`."""
        if self.requests is not None:
            await self.requests.take()
        if self.tokens is not None:
            expected = self.endpoint.count_tokens(messages) + self.endpoint.max_tokens
            await self.tokens.take(expected)
        reserved = 0.0
        if self.budget.max_cost_usd is not None:
            # Tokens are made of bytes, so a text has no more of these than of those.
            most = sum(len(message["content"].encode()) for message in messages)
            price = self.endpoint.price(most + _OVERHEAD_TOKENS, self.endpoint.max_tokens)
            reserved = price or 0.0
        await self.budget.take(reserved)
        return reserved

    def leave(self, reserved: float, cost: float | None) -> None:
        """Correct what a request was charged; see :class:`calls.Gate`."""
        self.budget.settle(reserved, cost)

    def _call(self, question: Question, messages: Messages, reply: Reply) -> Call:
        """Put a reply into the form in which it is kept."""
        usage = reply.usage or Usage(None, None, "")
        prompt_tokens, completion_tokens = usage.tokens or (None, None)
        return Call(
            key=question.key,
            run=question.run,
            model=self.endpoint.model,
            parameters=json.dumps(self.endpoint.parameters, sort_keys=True),
            schema=self.endpoint.schema,
            draw=question.draw,
            **question.place._asdict(),
            outcome=_outcome(reply),
            answer=None if reply.answer is None else reply.answer.model_dump_json(),
            error=reply.kind,
            detail=reply.detail,
            finish_reason=reply.finish_reason,
            repost_prob=reply.repost_prob,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cost=None if usage.cost is None else float(usage.cost),
            served=usage.served,
            attempts=reply.attempts,
            latency=reply.latency,
            prompt=json.dumps(messages, ensure_ascii=False),
        )


def _outcome(reply: Reply) -> str:
    """Name what a reply is: a decision, another answer, or a failure."""
    if reply.answer is None:
        return Outcome.FAILED.value
    if isinstance(reply.answer, Answer):
        return (Outcome.REPOST if reply.answer.repost else Outcome.DECLINE).value
    return "answered"


def _reply(call: Call, form: type[BaseModel]) -> Reply:
    """Take a kept call for the reply it was."""
    usage = None
    if call.finish_reason is not None:
        tokens = None
        if call.prompt_tokens is not None and call.completion_tokens is not None:
            tokens = call.prompt_tokens, call.completion_tokens
        usage = Usage(tokens, call.cost, call.served)
    return Reply(
        answer=None if call.answer is None else form.model_validate_json(call.answer),
        kind=cast("FailureKind | None", call.error),
        detail=call.detail,
        attempts=call.attempts,
        usage=usage,
        finish_reason=call.finish_reason,
        latency=call.latency,
        repost_prob=call.repost_prob,
    )
