"""Limits on calls: places, requests and tokens per minute, calls and money in all.

A limit per minute makes calls wait; a budget ends the run before the call that could pass it.
Until a call is back, it is charged at the most it can cost, so that the calls under way cannot
pass the budget together.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from mesa_llmspread._validation import checked_int, checked_number
from mesa_llmspread.deciders.llm.store import DecisionStore
from mesa_llmspread.exceptions import BudgetExceededError

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

__all__ = ["Limits", "Pace"]

_LOOK_AGAIN_SECONDS = 0.05
_MOST = 1e15
_LEAST = {"requests_per_minute": 1e-3, "tokens_per_minute": 1e-3, "max_cost_usd": 0.0}


class Pace:
    """A rate per minute, whose turns the calls of one process wait for, in order.

    Parameters
    ----------
    per_minute : float
        The rate.

    Notes
    -----
    A leaky bucket with room for a second's worth, so that no minute holds a burst of two.
    """

    def __init__(self, per_minute: float) -> None:
        from aiolimiter import AsyncLimiter

        # Room for one at least: a bucket cannot release more at once than it holds.
        self._room = max(1.0, per_minute / 60)
        self._bucket: AsyncLimiter = AsyncLimiter(self._room, 60 * self._room / per_minute)
        self._queue = asyncio.Lock()

    async def take(self, amount: float = 1.0) -> None:
        """Wait until there is enough.

        Parameters
        ----------
        amount : float
            How many; more than the bucket holds take several turns.
        """
        # One at a time: the bucket alone would let small amounts pass large ones for ever.
        async with self._queue:
            while amount > 0:
                portion = min(amount, self._room)
                await self._bucket.acquire(portion)
                amount -= portion


@dataclass
class Limits:
    """Limits on the calls of all runs that share a decider.

    Parameters
    ----------
    ledger : DecisionStore
        Counts requests and money, for all processes that share it.
    max_concurrency : int
        Most calls under way at one time.
    requests_per_minute, tokens_per_minute : float or None
        Most requests, and tokens, that this process sends per minute.
    max_calls : int or None
        Most requests, repeated ones included.
    max_cost_usd : float or None
        Most US dollars.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If a limit is out of its range or of the wrong kind.
    """

    ledger: DecisionStore
    max_concurrency: int = 32
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    max_calls: int | None = None
    max_cost_usd: float | None = None

    def __post_init__(self) -> None:
        self.max_concurrency = checked_int("max_concurrency", self.max_concurrency, 1)
        if self.max_calls is not None:
            self.max_calls = checked_int("max_calls", self.max_calls, 1)
        for name, least in _LEAST.items():
            if (value := getattr(self, name)) is not None:
                setattr(self, name, checked_number(name, value, least, _MOST))
        self._loop: asyncio.AbstractEventLoop | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    def place(self) -> asyncio.Semaphore:
        """Return the semaphore that one call holds from its first attempt to its last."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # Calls wait on their own loop; another process has another one.
            paces = (self.requests_per_minute, self.tokens_per_minute)
            self._loop, self._places = loop, asyncio.Semaphore(self.max_concurrency)
            self._requests, self._tokens = (None if p is None else Pace(p) for p in paces)
            self._under_way = 0
        return self._places

    async def take(self, tokens: float, most: float) -> None:
        """Wait for a request's turn, and charge it to the budget.

        Parameters
        ----------
        tokens : float
            Tokens of its prompt and its longest answer.
        most : float
            The most it can cost, in US dollars; 0 if the price is unknown. If only the calls
            under way may cost more than is left, it waits until they are back.

        Raises
        ------
        BudgetExceededError
            If there is not enough left.
        """
        self.place()
        if self._requests is not None:
            await self._requests.take()
        if self._tokens is not None:
            await self._tokens.take(tokens)
        while not self.ledger.reserve(most, self.max_calls, self.max_cost_usd):
            calls, spent = self.ledger.spent()
            if self.max_calls is not None and calls >= self.max_calls:
                raise BudgetExceededError("max_calls", self.max_calls, calls)
            if self.max_cost_usd is not None and not self._under_way:
                raise BudgetExceededError("max_cost_usd", self.max_cost_usd, spent)
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        self._under_way += 1

    def settle(self, most: float, cost: float | None) -> None:
        """Correct the charge of a request that is back.

        Parameters
        ----------
        most : float
            Its charge.
        cost : float or None
            Its cost, in US dollars; None if it is unknown: then the charge stays.
        """
        self._under_way -= 1
        if most and cost is not None:
            self.ledger.refund(most - cost)
