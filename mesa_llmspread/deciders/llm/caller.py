"""The one path of a call: from the store; or through the limits and the client into the store."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from mesa_llmspread.deciders.llm import event_loop
from mesa_llmspread.deciders.llm.call import Call, fingerprint
from mesa_llmspread.deciders.llm.client import Client
from mesa_llmspread.deciders.llm.faults import PASSING, Fault
from mesa_llmspread.deciders.llm.limits import Limits
from mesa_llmspread.deciders.llm.prompts import Messages, marker_for, with_markers
from mesa_llmspread.deciders.llm.store import DecisionStore
from mesa_llmspread.deciders.llm.usage import Usage
from mesa_llmspread.exceptions import (
    ArgumentError,
    BudgetExceededError,
    DeciderError,
    ReplayMissError,
    TooManyFailuresError,
)

__all__ = ["Caller", "Mode"]

Mode = Literal["live", "record", "replay"]

# A share of failures is taken of at least this many decisions, so that one unlucky answer
# at the start of a run does not end it.
_FEWEST = 20
# Of a prompt's tokens what its own words do not explain: the chat format and the form.
_OVERHEAD_TOKENS = 512


@dataclass
class Caller:
    """What makes the calls of one run, and counts them.

    Parameters
    ----------
    client : Client
        The model.
    mode : {"live", "record", "replay"}
        Ask the model; ask it what the store does not hold, and keep it there; or never ask.
    store : DecisionStore or None
        None if, and only if, the mode is live.
    limits : Limits
        What calls may take.
    max_failed : float
        Largest share of failed decisions.
    secret : bytes
        Of the run; empty before there is one.
    usage : Usage
        What was asked, and what came of it.
    checked : bool
        Whether :meth:`check` was passed.
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
            limit = self.limits.max_cost_usd
            if limit is not None and self.client.price(1, 1) is None:
                raise ArgumentError(
                    "max_cost_usd",
                    limit,
                    f"be None, as the price of {self.client.model!r} is unknown; "
                    "limit the calls with max_calls",
                )
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
        known_by = {
            "model": client.model,
            "parameters": client.parameters,
            "schema": client.schema,
            "prompt": messages,
            "draw": draw,
            "run": run,
        }
        key = fingerprint(known_by)
        codes = (marker_for(self.secret, known) for known in (key, f"{run} {event}"))
        sent = with_markers(messages, *codes)
        return Call(
            key=key,
            run=run,
            model=client.model,
            parameters=json.dumps(client.parameters, sort_keys=True),
            schema=client.schema,
            draw=draw,
            step=step,
            agent=agent,
            profile=profile,
            event=event,
            prompt=json.dumps(sent, ensure_ascii=False),
        )

    @contextlib.contextmanager
    def step(self, decisions: int, calls: Sequence[Call]) -> Iterator[None]:
        """Count the decisions of a step; if it ends with an error none of them counts.

        Parameters
        ----------
        decisions : int
            How many.
        calls : sequence of Call
            All that are made for them. After too many failures, those that may do better are
            marked in the store, to be asked again.
        """
        if not self.checked:
            self.check()
        before = self.usage.begin_step(decisions)
        try:
            yield
        except BaseException as error:
            self.usage.decided = before
            if isinstance(error, DeciderError):
                error.add_note(self._how_to_resume())
            if isinstance(error, TooManyFailuresError) and self.store and self.mode == "record":
                self.store.ask_again([call.key for call in calls], PASSING)
            raise

    def ask(self, calls: Sequence[Call]) -> list[Call]:
        """Return calls with what came back, from the store or from the model.

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
            As :meth:`decide`.
        """
        decided = self.usage.decided
        answered = [self._kept(call) for call in calls]
        for call in filter(None, answered):
            self.usage.add(call, kept=True)
            decided.add(call.profile, call.error, call.detail)
        self.stop_beyond()
        missing = [call for call, kept in zip(calls, answered, strict=True) if kept is None]
        fresh = iter(event_loop.run(self._send_all, missing) if missing else ())
        return [next(fresh) if call is None else call for call in answered]

    def stop_beyond(self) -> None:
        """Raise if more decisions of the run failed than may, rounding aside."""
        decided = self.usage.decided
        failed = decided.failed.total()
        if failed > self.max_failed * max(decided.expected, _FEWEST) + 1e-9:
            number = decided.number.total()
            raise TooManyFailuresError(failed, number, self.max_failed, decided.reasons)

    def _kept(self, call: Call) -> Call | None:
        """Return the call that the store keeps, if it does."""
        if self.store is None:
            return None
        kept = self.store.get(call.key)
        if kept is not None and (self.mode == "replay" or not kept[1]):
            return kept[0]
        if self.mode == "replay":
            raise ReplayMissError(call.agent, call.step, self.store.path)
        return None

    async def _send_all(self, calls: Sequence[Call]) -> list[Call]:
        """Send calls, many at a time; the first error cancels the others and is raised."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._send(call)) for call in calls]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        answered = [task.result() for task in tasks]
        for error in answered:
            # Only now: the calls that were under way are paid for, and came back.
            if isinstance(error, BudgetExceededError):
                raise error
        return cast("list[Call]", answered)

    async def _send(self, call: Call) -> Call | BudgetExceededError:
        """Send one call within the limits, and keep what came back before anyone uses it."""
        decided = self.usage.decided
        async with self.limits.place():
            # Also before the call: another one may just have ended the run.
            self.stop_beyond()
            retrying, start, fault = self.client.retrying(), time.monotonic(), None
            try:
                call = await retrying(self._attempt, call)
            except BudgetExceededError as error:
                return error
            except Fault as met:
                fault = met
            # Not in the handler, so that no error shows the upstream one behind it.
            call = self.client.failed(call, fault) if fault else call
            attempts = int(retrying.statistics["attempt_number"])
            call = replace(call, attempts=attempts, latency=time.monotonic() - start)
            call = call if self.store is None else self.store.keep(call)
            self.usage.add(call, kept=False)
            decided.add(call.profile, call.error, call.detail)
            self.stop_beyond()
            return call

    async def _attempt(self, call: Call) -> Call:
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
            answered = await client.send(call)
            cost = answered.cost
            return answered
        except Fault as fault:
            cost = None if fault.kind == "timeout" else 0.0
            raise
        finally:
            limits.settle(most, cost)

    def _how_to_resume(self) -> str:
        """Return what is kept of a run that ended with an error, in words."""
        if self.store is None:
            return "No answer is kept; use a store, such as store='calls.sqlite', to resume runs."
        return (
            f"Every answer is kept in {self.store.path}: the same run, with the same rng and this "
            "store, goes on from there and asks only what is missing."
        )
