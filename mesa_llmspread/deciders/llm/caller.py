"""The path of a call: from the store; or through the limits and the client into the store."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mesa_llmspread.deciders.llm import event_loop
from mesa_llmspread.deciders.llm.call import Call, fingerprint
from mesa_llmspread.deciders.llm.client import Client
from mesa_llmspread.deciders.llm.faults import PASSING, Fault
from mesa_llmspread.deciders.llm.limits import Limits
from mesa_llmspread.deciders.llm.prompts import Messages, marker_for, with_markers
from mesa_llmspread.deciders.llm.store import DecisionStore
from mesa_llmspread.deciders.llm.usage import Decided, Usage
from mesa_llmspread.exceptions import (
    ArgumentError,
    BudgetExceededError,
    DeciderError,
    ReplayMissError,
    TooManyFailuresError,
)

__all__ = ["Caller", "Mode"]

Mode = Literal["live", "record", "replay"]

# The share of failures is of at least this many decisions, so that one unlucky answer at the
# start of a run does not end it.
_FEWEST = 20
# Tokens of a prompt beside its words: the chat format and the form.
_OVERHEAD_TOKENS = 512


@dataclass
class Caller:
    """Make the calls of one run, and count them.

    Parameters
    ----------
    client : Client
        The model.
    mode : {"live", "record", "replay"}
        Ask the model; ask what the store does not hold, and keep it there; or never ask.
    store : DecisionStore or None
        None if, and only if, the mode is live.
    limits : Limits
        Limits on the calls.
    max_failed : float
        Largest share of failed decisions.
    secret : bytes
        Of the run; empty before there is one.
    usage : Usage
        The counts of the run.
    checked : bool
        Whether :meth:`check` has passed.
    """

    client: Client
    mode: Mode
    store: DecisionStore | None
    limits: Limits
    max_failed: float
    secret: bytes = b""
    usage: Usage = field(default_factory=Usage)
    checked: bool = False

    def __getstate__(self) -> dict[str, Any]:
        # Another process has another environment, and a copy another moment.
        return {**self.__dict__, "checked": False}

    def for_run(self, secret: bytes, **changes: Any) -> Caller:
        """Return the caller of another run, with counts of its own and the same limits."""
        return replace(self, secret=secret, usage=Usage(), **changes)

    def check(self) -> None:
        """Check that calls can be made, without making one."""
        if self.mode == "replay":
            assert self.store is not None
            if not self.store.path.is_file():
                raise ArgumentError("store", str(self.store.path), "be a file to replay")
        else:
            limit, model = self.limits.max_cost_usd, self.client.model
            if limit is not None and self.client.price(1, 1) is None:
                wanted = f"be None: the price of {model!r} is unknown; limit calls with max_calls"
                raise ArgumentError("max_cost_usd", limit, wanted)
            self.client.check()
        self.checked = True

    def call(
        self, step: int, agent: int, profile: str, event: str, messages: Messages, draw: str
    ) -> Call:
        """Return a call that is ready to be asked.

        Parameters
        ----------
        step, agent, profile, event
            Where it belongs, for the store; see :class:`Call`.
        messages : list of dict
            The prompt, without its marker.
        draw : str
            Distinguishes repeated identical prompts of a run.

        Returns
        -------
        Call
        """
        client = self.client
        # Two runs never share an answer, unless they have the same seed.
        run = hashlib.sha256(b"run" + self.secret).hexdigest()[:16]
        known = dict[str, Any](model=client.model, schema=client.form.version, draw=draw, run=run)
        key = fingerprint({**known, "parameters": client.parameters, "prompt": messages})
        codes = (marker_for(self.secret, marked) for marked in (key, f"{run} {event}"))
        known["parameters"] = json.dumps(client.parameters, sort_keys=True)
        known["prompt"] = json.dumps(with_markers(messages, *codes), ensure_ascii=False)
        return Call(key=key, step=step, agent=agent, profile=profile, event=event, **known)

    @contextlib.contextmanager
    def step(self, decisions: int, calls: Sequence[Call]) -> Iterator[None]:
        """Count the decisions of a step; if it ends with an error, none of them counts.

        Parameters
        ----------
        decisions : int
            How many.
        calls : sequence of Call
            All that are made for them. After too many failures, those that may do better next
            time are marked in the store, to be asked again.
        """
        if not self.checked:
            self.check()
        before = self.usage.begin_step(decisions)
        try:
            yield
        except BaseException as error:
            self.usage.decided = before
            if isinstance(error, DeciderError) and self.mode != "replay":
                error.add_note(self._how_to_resume())
            if isinstance(error, TooManyFailuresError) and self.store and self.mode == "record":
                self.store.ask_again([call.key for call in calls], PASSING)
            raise

    def ask(self, calls: Sequence[Call]) -> list[Call]:
        """Return calls with their answers, from the store or from the model.

        Parameters
        ----------
        calls : sequence of Call

        Returns
        -------
        list of Call
            In the same order.

        Raises
        ------
        DeciderError
            As :meth:`LLMDecider.decide`.
        """
        answered = [self._kept(call) for call in calls]
        for call in filter(None, answered):
            self._count(call, self.usage.decided, kept=True)
        self.stop_beyond()
        missing = [call for call, kept in zip(calls, answered, strict=True) if kept is None]
        fresh = iter(event_loop.run(self._send_all, missing) if missing else ())
        return [next(fresh) if call is None else call for call in answered]

    def stop_beyond(self) -> None:
        """Raise TooManyFailuresError if more decisions of the run failed than may."""
        decided = self.usage.decided
        failed, number = decided.failed.total(), decided.number.total()
        if failed > self.max_failed * max(decided.expected, _FEWEST) + 1e-9:  # rounding aside
            raise TooManyFailuresError(failed, number, self.max_failed, decided.reasons)

    def _count(self, call: Call, decided: Decided, kept: bool) -> None:
        """Count a call, and its decision."""
        self.usage.add(call, kept)
        decided.add(call.profile, call.error, call.detail)

    def _kept(self, call: Call) -> Call | None:
        """Return the call that the store keeps, if it does."""
        if self.store is None:
            return None
        kept, again = self.store.get(call.key) or (None, False)
        if self.mode == "record":
            return None if again else kept
        if kept is None:
            raise ReplayMissError(call.agent, call.step, self.store.path)
        return kept

    async def _send_all(self, calls: Sequence[Call]) -> list[Call]:
        """Send calls, many at a time; the first error cancels the others and is raised."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._send(call)) for call in calls]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        answered = []
        for back in (task.result() for task in tasks):
            # Only now: the calls that were under way are paid for, and came back.
            if isinstance(back, BudgetExceededError):
                raise back
            answered.append(back)
        return answered

    async def _send(self, call: Call) -> Call | BudgetExceededError:
        """Send one call within the limits, and keep the answer before anyone uses it."""
        decided = self.usage.decided
        async with self.limits.place():
            # Also before the call: another one may just have ended the run.
            self.stop_beyond()
            try:
                call = await self._tried(call)
            except BudgetExceededError as error:
                return error
            call = call if self.store is None else self.store.keep(call)
            self._count(call, decided, kept=False)
            self.stop_beyond()
            return call

    async def _tried(self, call: Call) -> Call:
        """Send a call as often as it takes, and return it with its answer or its last fault."""
        retrying, start = self.client.retrying(), time.monotonic()
        back: Call | Fault = await retrying(self._attempt, call)
        answered = self.client.failed(call, back) if isinstance(back, Fault) else back
        attempts = int(retrying.statistics["attempt_number"])
        return replace(answered, attempts=attempts, latency=time.monotonic() - start)

    async def _attempt(self, call: Call) -> Call | Fault:
        """Send one request within the limits."""
        client, limits, messages = self.client, self.limits, call.messages
        tokens, most = 0, 0.0
        if limits.tokens_per_minute is not None:
            tokens = client.count_tokens(messages) + client.max_tokens
        if limits.max_cost_usd is not None:
            # Tokens are made of bytes: a text has no more of them than bytes.
            size = sum(len(message["content"].encode()) for message in messages)
            most = client.price(size + _OVERHEAD_TOKENS, client.max_tokens) or 0.0
        await limits.take(tokens, most)
        # Until the answer is there, nobody knows whether it will be charged.
        cost: float | None = None
        try:
            back = await client.send(call)
            cost = back.cost
            return back
        finally:
            limits.settle(most, cost)

    def _how_to_resume(self) -> str:
        """Return how a run that ended with an error can go on."""
        if self.store is None:
            return "No answer is kept; use a store, such as store='calls.sqlite', to resume runs."
        return (
            f"Every answer is kept in {self.store.path}: the same run, with the same rng and this "
            "store, goes on from there and asks only what is missing."
        )
