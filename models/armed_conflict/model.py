"""The experiment's design: which runs, and the model of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mesa_llmspread import Decider, Network, OfflineEvent, SpreadModel, bundled_events
from mesa_llmspread.networks import EdgeList
from mesa_llmspread.rng import spawn_seeds

__all__ = ["ArmedConflict"]


@dataclass(frozen=True)
class ArmedConflict:
    """Several runs about each of several events, on networks of one kind.

    The defaults are those of the paper's experiment: 200 agents with the 32 Big-Five
    profiles on random 8-regular networks, 10 of whom have posted at the start.

    Parameters
    ----------
    events : sequence of OfflineEvent
        What the news is about.
    runs : int
        Runs per event.
    steps : int
        The largest number of steps of a run.
    n, k : int
        Agents, and neighbours per agent.
    network : str, Network or EdgeList
        Kind of network, or the network itself.
    initial_infected : int
        Agents who have posted at the start.
    feed : str
        Whether posts stay in view (``"persistent"``) or not (``"new"``).
    decider : str or Decider
        Who decides.
    rng : int
        Seed of the whole experiment.
    """

    events: Sequence[OfflineEvent] = bundled_events()
    runs: int = 5
    steps: int = 40
    n: int = 200
    k: int = 8
    network: str | Network | EdgeList = "random_regular"
    initial_infected: int = 10
    feed: str = "persistent"
    decider: str | Decider = "table"
    rng: int = 1

    def models(self) -> Iterator[SpreadModel]:
        """Build the model of each run, event by event."""
        seeds = iter(spawn_seeds(self.rng, len(self.events) * self.runs))
        for event in self.events:
            for _ in range(self.runs):
                yield SpreadModel(
                    n=self.n,
                    k=self.k,
                    network=self.network,
                    event=event,
                    decider=self.decider,
                    initial_infected=self.initial_infected,
                    feed=self.feed,
                    rng=next(seeds),
                )

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self.events) * self.runs
