"""A decider that can be watched and stopped, for steps that take long."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mesa_llmspread.deciders import Decider, Decision, Exposure
from mesa_llmspread.exceptions import DeciderError

__all__ = ["Paced", "Progress", "StoppedError"]

# Decisions asked for at one time. Those under way when a step is stopped are paid for in vain.
_AT_ONCE = 32
_LOOK_SECONDS = 0.1


class StoppedError(DeciderError):
    """A step was stopped before it was done; the model is as it was."""


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


class Paced(Decider):
    """Another decider's decisions in one run, asked for in portions until told to stop.

    Parameters
    ----------
    inner : Decider
        Who decides; its manifest counts ``decisions``, ``failed`` and ``cost_usd``.
    stop : threading.Event
        Set to stop.
    limit : float
        US dollars after which no more is asked for; 0 for no limit.
    """

    name = "llm"

    def __init__(self, inner: Decider, stop: threading.Event, limit: float = 0.0) -> None:
        self.inner = inner
        self.stop = stop
        self.limit = limit
        self._before = 0
        self._total = 0

    def for_run(self, n: int, rng: np.random.Generator) -> Paced:
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
            # Calls of a step that was stopped may still come in.
            min(counts["decisions"] - self._before, self._total),
            self._total,
            sum(counts["failed"].values()),
            counts["cost_usd"],
        )

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        """Ask in portions; see :meth:`Decider.decide`.

        Raises
        ------
        StoppedError
            If told to stop, or the money is spent.
        """
        self._before = self.inner.manifest()["decisions"]
        self._total = len(exposures)
        decisions: list[Decision] = []
        for start in range(0, len(exposures), _AT_ONCE):
            spent = self.progress.cost
            if self.limit and spent is not None and spent >= self.limit:
                raise StoppedError(
                    f"the spending limit of {self.limit:g} USD is reached ({spent:.2f} USD spent); "
                    "raise it, or reset"
                )
            decisions += self._portion(exposures[start : start + _AT_ONCE], rng)
        return decisions

    def _portion(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        """Wait for some decisions, or for the word to stop."""
        answers: list[list[Decision]] = []
        errors: list[Exception] = []

        def ask() -> None:
            try:
                answers.append(self.inner.decide(exposures, rng))
            except Exception as error:  # re-raised below, in the thread that waits
                errors.append(error)

        asking = threading.Thread(target=ask, name="mesa_llmspread-portion", daemon=True)
        asking.start()
        while asking.is_alive():
            if self.stop.is_set():
                raise StoppedError("stopped")
            asking.join(_LOOK_SECONDS)
        if errors:
            raise errors[0]
        return answers[0]
