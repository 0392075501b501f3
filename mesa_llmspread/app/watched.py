"""A language model's decisions, to be watched and stopped while a step takes long."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mesa_llmspread.deciders import Decider, Decision, Exposure
from mesa_llmspread.deciders.llm.event_loop import stopped_by
from mesa_llmspread.exceptions import BudgetExceededError, DeciderError

__all__ = ["Progress", "Watched"]


@dataclass(frozen=True)
class Progress:
    """How far a step is.

    Attributes
    ----------
    done, total : int
        Decisions had in this step, and asked for.
    failed : int
        Decisions of the run that failed.
    cost : float or None
        US dollars spent in the run; None where the price is not known.
    """

    done: int = 0
    total: int = 0
    failed: int = 0
    cost: float | None = None

    def __str__(self) -> str:
        money = "cost unknown" if self.cost is None else f"{self.cost:.2f} USD"
        return f"{self.done} of {self.total} calls, {money}, {self.failed} failed"


class Watched(Decider):
    """Another decider in one run, of which one can tell how far it is, and have it stop.

    Parameters
    ----------
    inner : Decider
        Who decides; its manifest counts ``decisions``, ``failed`` and ``cost_usd``.
    stop : threading.Event
        Set to stop: the step ends with :class:`~mesa_llmspread.exceptions.StoppedError`,
        and the model is as before it.
    """

    name = "llm"

    def __init__(self, inner: Decider, stop: threading.Event) -> None:
        self.inner = inner
        self.stop = stop
        self._before = 0
        self._total = 0

    def for_run(self, n: int, rng: np.random.Generator) -> Watched:
        """Begin the only run it is for; see :meth:`Decider.for_run`."""
        self.inner = self.inner.for_run(n, rng)
        return self

    def manifest(self) -> Mapping[str, Any]:
        """Give the inner decider's; see :meth:`Decider.manifest`."""
        return self.inner.manifest()

    @property
    def progress(self) -> Progress:
        """How far the step under way is; may be asked from any thread."""
        counts = self.inner.manifest()
        return Progress(
            counts["decisions"] - self._before,
            self._total,
            sum(counts["failed"].values()),
            counts["cost_usd"],
        )

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        """Have a step decided; see :meth:`Decider.decide`.

        Raises
        ------
        StoppedError
            If told to stop.
        DeciderError
            If the money is spent; or as the inner decider does.
        """
        self._before = self.inner.manifest()["decisions"]
        self._total = len(exposures)
        try:
            with stopped_by(self.stop):
                return self.inner.decide(exposures, rng)
        except BudgetExceededError as error:
            raise DeciderError(
                f"the spending limit of {error.limit:g} USD is reached ({error.spent:.2f} USD "
                "spent, and the next call could pass it); raise it, or reset"
            ) from None
