"""What calls may take: requests and tokens a minute, and calls and money in all.

A limit by the minute makes calls wait; a budget ends the run before the call that could
pass it. A call is charged at the most it can cost until it is back, so that the calls under
way cannot pass the budget together.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Protocol

from mesa_llmspread.exceptions import BudgetExceededError

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

__all__ = ["Budget", "Ledger", "MemoryLedger", "Pace"]


_LOOK_AGAIN_SECONDS = 0.05


class Ledger(Protocol):
    """Where requests and money are counted; see the methods of these names of DecisionStore."""

    def reserve(
        self, cost: float, max_calls: int | None = None, max_cost: float | None = None
    ) -> bool:
        """Take one request out of what may be spent, if there is enough left."""

    def refund(self, cost: float) -> None:
        """Give back what a request was feared to cost and did not."""

    def spent(self) -> tuple[int, float]:
        """Say how many requests and US dollars have been taken."""


class MemoryLedger:
    """A ledger that lasts as long as its process, where there is no store."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0
        self._cost = 0.0

    def __reduce__(self) -> tuple[type[MemoryLedger], tuple[()]]:
        return MemoryLedger, ()

    def reserve(
        self, cost: float, max_calls: int | None = None, max_cost: float | None = None
    ) -> bool:
        """Take one request out of what may be spent, if there is enough left."""
        with self._lock:
            if max_calls is not None and self._calls >= max_calls:
                return False
            if max_cost is not None and self._cost + cost > max_cost:
                return False
            self._calls += 1
            self._cost += cost
            return True

    def refund(self, cost: float) -> None:
        """Give back what a request was feared to cost and did not."""
        with self._lock:
            self._cost -= cost

    def spent(self) -> tuple[int, float]:
        """Say how many requests and US dollars have been taken."""
        return self._calls, self._cost


class Budget:
    """Calls and money that may be spent.

    Parameters
    ----------
    ledger : Ledger
        Where they are counted: a store, for all processes that share it.
    max_calls : int or None
        Most requests, repeated ones included.
    max_cost_usd : float or None
        Most US dollars.
    """

    def __init__(self, ledger: Ledger, max_calls: int | None, max_cost_usd: float | None) -> None:
        self.ledger = ledger
        self.max_calls = max_calls
        self.max_cost_usd = max_cost_usd
        self._under_way = 0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_under_way": 0}

    async def take(self, cost: float) -> None:
        """Pay for one request in advance.

        Where only what others under way may cost is in the way, wait until they are back.

        Parameters
        ----------
        cost : float
            The most it can cost, in US dollars; 0 where no price is known.

        Raises
        ------
        BudgetExceededError
            If there is not enough left.
        """
        while not self.ledger.reserve(cost, self.max_calls, self.max_cost_usd):
            calls, spent = self.ledger.spent()
            if self.max_calls is not None and calls >= self.max_calls:
                raise BudgetExceededError("max_calls", self.max_calls, calls)
            if self.max_cost_usd is not None and not self._under_way:
                raise BudgetExceededError("max_cost_usd", self.max_cost_usd, spent)
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        self._under_way += 1

    def settle(self, reserved: float, cost: float | None) -> None:
        """Correct what a request was charged, now that it is back.

        Parameters
        ----------
        reserved : float
            What it was charged.
        cost : float or None
            What it cost, in US dollars; None where nobody knows: it stays charged.
        """
        self._under_way -= 1
        if reserved and cost is not None:
            self.ledger.refund(reserved - cost)


class Pace:
    """A number of things a minute that calls of one process wait for, in order.

    Parameters
    ----------
    per_minute : float
        How many.

    Notes
    -----
    A leaky bucket with room for a second's worth, so that no minute holds a burst of two.
    """

    def __init__(self, per_minute: float) -> None:
        self.per_minute = per_minute
        # Room for one at least: a bucket cannot give more at once than it holds.
        self._room = max(1.0, per_minute / 60)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: asyncio.Lock
        self._bucket: AsyncLimiter

    def __reduce__(self) -> tuple[type[Pace], tuple[Any, ...]]:
        return Pace, (self.per_minute,)

    async def take(self, amount: float = 1.0) -> None:
        """Wait until there is enough.

        Parameters
        ----------
        amount : float
            How many; more than the bucket holds take several turns.
        """
        self._fit_loop()
        # One at a time: the bucket alone would let small amounts pass large ones for ever.
        async with self._queue:
            while amount > 0:
                portion = min(amount, self._room)
                await self._bucket.acquire(portion)
                amount -= portion

    def _fit_loop(self) -> None:
        """Have a bucket on the running loop; that of another process is another one."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            from aiolimiter import AsyncLimiter

            self._loop, self._queue = loop, asyncio.Lock()
            self._bucket = AsyncLimiter(self._room, 60 * self._room / self.per_minute)
