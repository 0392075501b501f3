"""Language models as deciders: any model litellm can call, one structured call a decision.

The same seed gives the same prompts and, from servers that honour a sampling seed, the same
answers; the order and latency of replies never matter. A refusal or an error is a failed
decision and never a declined one, and a run with too many of them ends with an error.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mesa_llmspread.deciders import loop
from mesa_llmspread.deciders.base import Decider, Decision, Exposure, Outcome
from mesa_llmspread.deciders.calls import SCHEMA_VERSION, Endpoint, Reply, public_address
from mesa_llmspread.deciders.prompts import (
    TEMPLATE_VERSION,
    build_messages,
    marker_for,
    template_hash,
)
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, TooManyFailuresError

__all__ = ["LLMDecider"]

# A share of failures is taken of at least this many decisions, so that one unlucky answer
# at the start of a run does not end it.
_FEWEST = 20


class LLMDecider(Decider):
    """A language model in the role of every agent.

    Parameters
    ----------
    model : str
        litellm's name of the model, ``provider/model``: ``"openai/gpt-4o-mini"``,
        ``"anthropic/claude-..."``, ``"ollama/llama3.1"``. For a local server that speaks the
        OpenAI protocol, ``"openai/"`` and the name it gives the model, with ``api_base``.
        The key is taken from the environment variable litellm documents for the provider.
    api_base : str, optional
        Address of the server; by default the provider's own. A server at an ``openai/``
        model's ``api_base`` needs no key.
    temperature : float, default 1.0
        Sampling temperature, 0 to 2.
    max_concurrency : int, default 32
        Most calls under way at one time, over all runs that share this decider.
    timeout : float, default 60
        Longest time of one attempt, in seconds.
    max_attempts : int, default 5
        Most attempts of one call. Rate limits, timeouts and server errors are tried again,
        after the time the server asks for or longer and longer ones; bad requests, refusals
        and malformed answers are not.
    max_failed : float, default 0.05
        Largest share of failed decisions in a run, counted over at least 20 decisions.
    max_tokens : int, default 512
        Longest answer, in tokens.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an argument is out of its range or of the wrong kind.

    Notes
    -----
    A failed decision's ``reason`` starts with its kind: ``refusal``, ``truncated``,
    ``malformed``, ``bad_request``, ``timeout``, ``rate_limit`` or ``server``. A wrong key, an
    unknown model or an unreachable server ends the run at once.

    Examples
    --------
    >>> decider = LLMDecider("openai/tiny", api_base="http://127.0.0.1:8080/v1")
    >>> decider.manifest()["model"]
    'openai/tiny'
    """

    name = "llm"

    def __init__(
        self,
        model: str,
        api_base: str | None = None,
        temperature: float = 1.0,
        max_concurrency: int = 32,
        timeout: float = 60.0,
        max_attempts: int = 5,
        max_failed: float = 0.05,
        max_tokens: int = 512,
    ) -> None:
        if not isinstance(model, str):
            raise ArgumentTypeError("model", model, "a str such as 'openai/gpt-4o-mini'")
        if not model.strip():
            raise ArgumentError("model", model, "be a name such as 'openai/gpt-4o-mini'")
        if api_base is not None:
            if not isinstance(api_base, str):
                raise ArgumentTypeError("api_base", api_base, "a str or None")
            public_address(api_base)
        self._endpoint = Endpoint(
            model=model,
            api_base=api_base,
            temperature=_number("temperature", temperature, 0, 2),
            max_tokens=_whole("max_tokens", max_tokens),
            timeout=_number("timeout", timeout, 1e-3, math.inf),
            max_attempts=_whole("max_attempts", max_attempts),
        )
        self.max_failed = _number("max_failed", max_failed, 0, 1)
        self._slots = loop.Slots(_whole("max_concurrency", max_concurrency))
        self._checked = False
        self._secret = b""
        self._tally = _Tally()

    def check(self) -> None:
        """See that the model can be called, without calling it.

        Also done before the first call of a run.

        Raises
        ------
        ArgumentError
            If litellm does not know the model's provider.
        MissingKeyError
            If the provider needs a key and none is set.
        ServerUnreachableError
            If nothing answers at the address.
        """
        self._endpoint.check()
        self._checked = True

    def __getstate__(self) -> dict[str, Any]:
        # Another process has another environment, and a copy another moment.
        return {**self.__dict__, "_checked": False}

    def for_run(self, n: int, rng: np.random.Generator) -> LLMDecider:
        """Give a decider with counts of its own and the run's secret, on the same slots.

        Parameters
        ----------
        n : int
            Number of agents; not used.
        rng : numpy.random.Generator
            The secret that brackets quoted posts is drawn from it.

        Returns
        -------
        LLMDecider
        """
        run = copy.copy(self)
        run._secret = rng.bytes(16)
        run._tally = _Tally()
        return run

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        """Ask the model once for each exposure, many at a time.

        Parameters
        ----------
        exposures : sequence of Exposure
            Ordered by agent.
        rng : numpy.random.Generator
            The step's stream; used only where there was no :meth:`for_run`.

        Returns
        -------
        list of Decision
            In the order of the exposures.

        Raises
        ------
        TooManyFailuresError
            If more than ``max_failed`` of the run's decisions failed; as soon as that is
            certain, so that no further calls are paid for.
        DeciderError
            If the key is missing or wrong, the model is unknown, or no server answers.
        """
        if not self._checked:
            self.check()
        if not self._secret:
            self._secret = rng.bytes(16)
        allowed = self.max_failed * max(self._tally.decided + len(exposures), _FEWEST)
        return loop.run(loop.together(self._decide(seen, allowed) for seen in exposures))

    async def _decide(self, exposure: Exposure, allowed: float) -> Decision:
        """Answer one exposure, unless that makes more failures than the batch may have."""
        async with self._slots.free():
            # Before the call too: a place may come free just as another call ends the run.
            self._stop_beyond(allowed)
            messages = build_messages(exposure, marker_for(self._secret, exposure))
            key = self._key(messages)
            # Seeded by the key: as reproducible as the prompt, and never the same twice in
            # a run, because each prompt has a marker of its own.
            reply = await self._endpoint.ask(messages, seed=int(key[:7], 16))
        self._tally.add(reply)
        self._stop_beyond(allowed)
        return _decision(reply, key)

    def _stop_beyond(self, allowed: float) -> None:
        """End the run where more decisions failed than it may have, rounding aside."""
        tally = self._tally
        if (failed := tally.failed.total()) > allowed + 1e-9:
            raise TooManyFailuresError(failed, tally.decided, self.max_failed, tally.reasons())

    def _key(self, messages: list[dict[str, str]]) -> str:
        """Identify a call by everything that decides its answer."""
        call = {
            "model": self._endpoint.model,
            "parameters": {
                "temperature": self._endpoint.temperature,
                "max_tokens": self._endpoint.max_tokens,
            },
            "messages": messages,
            "schema": SCHEMA_VERSION,
        }
        canonical = json.dumps(call, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:32]

    def manifest(self) -> Mapping[str, Any]:
        """Say what was asked of which model, and what came of it, as plain values.

        Returns
        -------
        dict
            ``tokens`` and ``cost_usd`` are those of completions that came back, and None
            where a server did not count or litellm knows no price.
        """
        address = self._endpoint.api_base
        return {
            "decider": self.name,
            "model": self._endpoint.model,
            "api_base": None if address is None else public_address(address),
            "temperature": self._endpoint.temperature,
            "max_tokens": self._endpoint.max_tokens,
            "template": TEMPLATE_VERSION,
            "template_hash": template_hash(),
            "schema": SCHEMA_VERSION,
            **self._tally.manifest(),
        }


@dataclass
class _Tally:
    """What one run has asked for and got; changed on the calls' loop alone."""

    calls: int = 0
    decided: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    uncounted: int = 0
    cost: float = 0.0
    priced: int = 0
    unpriced: int = 0
    served: set[str] = field(default_factory=set)

    def add(self, reply: Reply) -> None:
        """Count one reply."""
        self.calls += reply.attempts
        self.decided += 1
        if reply.kind is not None:
            self.failed[reply.kind] += 1
            self.examples.setdefault(reply.kind, reply.detail)
        if reply.usage is None:
            return
        self.served.add(reply.usage.served)
        if reply.usage.tokens is None:
            self.uncounted += 1
        else:
            self.prompt_tokens += reply.usage.tokens[0]
            self.completion_tokens += reply.usage.tokens[1]
        if reply.usage.cost is None:
            self.unpriced += 1
        else:
            self.priced += 1
            self.cost += reply.usage.cost

    def reasons(self) -> str:
        """List the kinds of failure, the most common first, each with a number and an example."""
        return "; ".join(
            f"{kind} {number}: {self.examples[kind]}" for kind, number in self.failed.most_common()
        )

    def manifest(self) -> dict[str, Any]:
        """Give the counts as plain values; a sum with an unknown part is unknown."""
        tokens = {"prompt": self.prompt_tokens, "completion": self.completion_tokens}
        return {
            "model_served": sorted(self.served),
            "calls": self.calls,
            "decisions": self.decided,
            "failed": dict(sorted(self.failed.items())),
            "tokens": None if self.uncounted else tokens,
            "cost_usd": self.cost if self.priced and not self.unpriced else None,
        }


def _decision(reply: Reply, key: str) -> Decision:
    """Turn a reply into a decision; who declines posts nothing, whatever it wrote."""
    if reply.answer is None:
        return Decision(Outcome.FAILED, reason=f"{reply.kind}: {reply.detail}", key=key)
    if reply.answer.repost:
        return Decision(Outcome.REPOST, reply.answer.post, reply.answer.reason, key)
    return Decision(Outcome.DECLINE, reason=reply.answer.reason, key=key)


def _number(argument: str, value: Any, low: float, high: float) -> float:
    """Check a number and its range."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ArgumentTypeError(argument, value, "a number")
    if not (low <= value <= high and math.isfinite(value)):
        limit = f"and at most {high:g}" if math.isfinite(high) else "and finite"
        raise ArgumentError(argument, value, f"be at least {low:g} {limit}")
    return float(value)


def _whole(argument: str, value: Any) -> int:
    """Check a whole number from 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ArgumentTypeError(argument, value, "a whole number")
    if value < 1:
        raise ArgumentError(argument, value, "be at least 1")
    return int(value)
