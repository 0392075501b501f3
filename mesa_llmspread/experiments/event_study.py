"""Several runs about each of several events: the design of the paper's experiment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mesa_llmspread.events import OfflineEvent, bundled_events
from mesa_llmspread.model import SpreadModel
from mesa_llmspread.rng import spawn_seeds

__all__ = ["EventStudy"]


@dataclass(frozen=True)
class EventStudy:
    """Several runs about each of several events.

    The defaults are those of the paper's experiment: 200 agents with the 32 Big-Five
    profiles on random 8-regular networks, 10 of whom have posted at the start.

    Parameters
    ----------
    events : sequence of OfflineEvent
        What the news is about.
    runs : int
        Runs per event.
    rng : int
        Seed of the whole study.
    settings : mapping
        Other arguments of :class:`~mesa_llmspread.SpreadModel`.

    Examples
    --------
    >>> study = EventStudy(bundled_events()[:2], runs=3, settings={"n": 50, "k": 4})
    >>> [model.event.event_id for model in study.models()]
    ['battles-0', 'battles-0', 'battles-0', 'battles-3', 'battles-3', 'battles-3']
    """

    events: Sequence[OfflineEvent] = bundled_events()
    runs: int = 5
    rng: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)

    def models(self) -> Iterator[SpreadModel]:
        """Build the model of each run, event by event."""
        seeds = iter(spawn_seeds(self.rng, len(self)))
        for event in self.events:
            for _ in range(self.runs):
                yield SpreadModel(**self.settings, event=event, rng=next(seeds))

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self.events) * self.runs
