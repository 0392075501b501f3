"""The model: news of one event on one network, one synchronous step after another.

A step asks everyone who sees something, all at once, and applies the answers at its end; so
nothing depends on the order or the latency of replies. A post is pushed to the feeds of the
author's neighbours once, so a whole run does work in proportion to edges and decisions.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import platform
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from numbers import Integral
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import mesa
import numpy as np
from mesa.datacollection import DataCollector
from mesa.space import NetworkGrid

from mesa_llmspread._checks import (
    check_contacts,
    checked_int,
    checked_probability,
    checked_starters,
)
from mesa_llmspread.agent import SpreadAgent
from mesa_llmspread.deciders import Decision, Exposure, Outcome, as_decider
from mesa_llmspread.deciders.base import check_decisions
from mesa_llmspread.events import OfflineEvent, bundled_events, get_event
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    DeciderError,
    StepInProgressError,
    UnknownNameError,
)
from mesa_llmspread.networks import EdgeList, Network, make_network, node_names
from mesa_llmspread.profiles import Population, sample_profiles
from mesa_llmspread.record import RECORD, RunRecord
from mesa_llmspread.streams import RNGLike, Streams, agent_uniforms, as_seed

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd

__all__ = ["FEEDS", "SpreadModel"]

FEEDS = ("persistent", "new")

# Columns of the data collector's table ``exposures``, one row a decision.
_TABLE_COLUMNS = (
    "step",
    "agent",
    "profile",
    "event",
    "contacts",
    "cumulative",
    "exposure",
    "direct",
    "outcome",
    "key",
)

_REPORTERS = {
    "Susceptible": "susceptible",
    "Infected": "infected",
    "NewInfected": "new_infected",
    "Exposures": "exposures",
    "Failed": "failed",
    RECORD: "record",
}


# Members of an enumeration are looked up slowly, and these once a decision.
_REPOST, _FAILED = Outcome.REPOST, Outcome.FAILED

_by_index = attrgetter("index")


class _Collector(DataCollector):
    """Mesa's collector, whose frames leave out the record that only batch_run reads."""

    def get_model_vars_dataframe(self) -> pd.DataFrame:
        return super().get_model_vars_dataframe().drop(columns=RECORD)


class SpreadModel(mesa.Model):
    """News of an offline event spreads on a network of agents with personalities.

    Every argument also takes a plain string or number, so that ``mesa.batch_run``, a page
    or a command line can drive the model.

    Parameters
    ----------
    n : int, default 200
        Number of agents; a network given as a graph brings its own.
    k : int, default 8
        Neighbours an agent (mean degree where they differ). ``k=0`` and ``initial_infected=0``
        are allowed with ``broadcast > 0`` only: otherwise nobody ever sees the news.
    network : str, networkx.Graph, Network or EdgeList, default "random_regular"
        Who sees whose posts: a name of :data:`mesa_llmspread.networks.NETWORKS`, a graph, or
        what :func:`mesa_llmspread.read_edgelist` read from a file.
    event : str or OfflineEvent, optional
        What the news is about: an event, or the id of a bundled one; the first of those
        if not given.
    population : str, mapping or sequence of Profile, default "uniform"
        The agents' personalities; see :func:`mesa_llmspread.profiles.sample_profiles`.
    decider : str, Structure or Decider, default "traits"
        Who decides; see :func:`mesa_llmspread.deciders.as_decider`.
    initial_infected : int or sequence of nodes, default 10
        How many agents, drawn uniformly, or which nodes of the network, have posted at step 0.
    feed : {"persistent", "new"}, default "persistent"
        Whether a post stays in view for good, or is seen only in the step after it.
    broadcast : float, default 0
        Probability a step that a susceptible agent sees the event itself, through the media.
    rng : int, numpy.random.Generator or None
        Randomness. The same seed gives the same run, bit for bit.

    Attributes
    ----------
    clock : int
        Steps done. (Mesa's own counter differs between its versions when a step fails.)
    susceptible, infected, new_infected : int
        Agents who have not posted, who have, and who did in the last step.
    exposures, failed : int
        Decisions asked for, and not had, in the last step.
    spreaders : list of SpreadAgent by index
        All agents, in order.
    datacollector : mesa.datacollection.DataCollector
        Counts a step, and the table ``exposures`` with one row a decision.
    record : RunRecord
        All of it, as ``mesa.batch_run`` carries it.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an argument is not allowed; the message says what is.

    Examples
    --------
    >>> model = SpreadModel(n=100, k=6, decider="SI(0.1)", rng=7).run(steps=50)
    >>> model.infected
    100
    """

    def __init__(
        self,
        n: int = 200,
        k: int = 8,
        network: str | nx.Graph[Any] | Network | EdgeList = "random_regular",
        event: str | OfflineEvent | None = None,
        population: Population = "uniform",
        decider: Any = "traits",
        initial_infected: int | Sequence[Any] = 10,
        feed: str = "persistent",
        broadcast: float = 0.0,
        rng: RNGLike = None,
    ) -> None:
        seed = as_seed(rng)
        super().__init__(rng=seed)
        self._step_lock = threading.Lock()
        self._step_error: Exception | None = None
        self._mesa_step = self.step
        self.step = self._guarded_step  # type: ignore[method-assign]

        if feed not in FEEDS:
            raise UnknownNameError("feed", feed, FEEDS)
        self.feed = feed
        self.broadcast = checked_probability("broadcast", broadcast)
        self.event = _as_event(event)
        self.decider = as_decider(decider)

        self.streams = Streams(seed)
        self.network = make_network(network, n, k, self.streams.network)
        self.n = self.network.n
        named = isinstance(network, str)
        most = int(self.network.degrees.max())
        check_contacts(
            "k" if named else "network", k if named else network, most, "broadcast", self.broadcast
        )
        profiles = sample_profiles(self.n, population, self.streams.population)
        nodes = node_names(network, self.n)
        starters = _starters(initial_infected, nodes, self.streams, self.broadcast)
        self._answerer = self.decider.for_run(self.n, self.streams.decider)
        self._described = _describe(network, nodes, population, starters)

        self.grid = NetworkGrid(self.network.to_networkx())
        self.spreaders = [SpreadAgent(self, i, profile) for i, profile in enumerate(profiles)]
        for agent in self.spreaders:
            self.grid.place_agent(agent, agent.index)

        self.clock = 0
        self.susceptible, self.infected, self.new_infected = self.n, 0, 0
        self.exposures = self.failed = 0
        self._reached: list[SpreadAgent] = []
        self.record = RunRecord(self)
        self.datacollector = _Collector(
            model_reporters=_REPORTERS, tables={"exposures": _TABLE_COLUMNS}
        )
        self._publish([(self.spreaders[i], "") for i in starters])
        self.datacollector.collect(self)

    def step(self) -> None:
        """Ask everyone who sees something, then apply the answers.

        Raises
        ------
        StepInProgressError
            If a step is already under way, in another thread say.
        DeciderError
            If the decider cannot answer. The model is as it was before the step, and the
            step can be tried again.
        """
        audience, exposures = self._audience(self.clock + 1)
        try:
            decisions = self._decide(exposures)
        except Exception as error:
            if isinstance(error, DeciderError):
                error.add_note(
                    f"The model is as it was after step {self.clock}, and can be stepped again; "
                    f"rng={self.streams.seed} makes the same one anew."
                )
            # Mesa 3.5 and later never step again a model whose step has raised, so the
            # error leaves by way of _guarded_step; where Mesa itself is the caller
            # (`run_for`), it has to leave here.
            if not self._step_lock.locked():
                raise
            self._step_error = error
            return
        self.clock += 1
        self._record(audience, exposures, decisions)
        self._publish(self._apply(audience, decisions))
        self.datacollector.collect(self)

    def run(self, steps: int) -> SpreadModel:
        """Run for a number of steps, or until nobody is left who can still be reached.

        Parameters
        ----------
        steps : int
            The largest number of steps, at least 0.

        Returns
        -------
        SpreadModel
            The model itself.
        """
        for _ in range(checked_int("steps", steps, 0)):
            if not self.running:
                break
            self.step()
        return self

    @property
    def manifest(self) -> dict[str, Any]:
        """What is needed to repeat this run, and with what it was run, as plain values.

        The nodes of a network that was given are listed by name under ``nodes``, in the order
        of the agents, unless they are the numbers 0 to n - 1.
        """
        return {
            "n": self.n,
            "k": float(self.network.degrees.mean()),
            "degrees": _counts(self.network.degrees.tolist()),
            "profiles": _counts(agent.code for agent in self.spreaders),
            **self._described,
            "starter_profiles": [self.spreaders[i].code for i in self._described["starters"]],
            "feed": self.feed,
            "broadcast": self.broadcast,
            "event": _plain(self.event),
            **self._answerer.manifest(),
            "rng": self.streams.seed,
            "versions": dict(_versions()),
        }

    def _guarded_step(self) -> None:
        """Step once, unless a step is under way."""
        if not self._step_lock.acquire(blocking=False):
            raise StepInProgressError(
                "the model is already stepping; wait for that step, or use a model of your own"
            )
        try:
            self._mesa_step()
            error, self._step_error = self._step_error, None
        finally:
            self._step_lock.release()
        if error is not None:
            raise error

    def _audience(self, step: int) -> tuple[list[SpreadAgent], list[Exposure]]:
        """Find who sees something at a step, ordered by agent, and what."""
        direct: set[int] = set()
        if self.broadcast > 0:
            chance = agent_uniforms(self.streams.broadcast(step), range(self.n))
            direct = set((chance < self.broadcast).nonzero()[0].tolist())
        audience = self._reached
        if direct:
            watching = (self.spreaders[i] for i in direct if not self.spreaders[i].feed)
            audience = [*audience, *(agent for agent in watching if not agent.infected)]
            audience.sort(key=_by_index)
        event = self.event
        return audience, [agent.look(step, event, agent.index in direct) for agent in audience]

    def _decide(self, exposures: list[Exposure]) -> list[Decision]:
        """Have the exposures answered, one decision each."""
        if not exposures:
            return []
        decisions = self._answerer.decide(exposures, self.streams.decisions(self.clock + 1))
        check_decisions(self.decider, exposures, decisions)
        return decisions

    def _record(
        self,
        audience: list[SpreadAgent],
        exposures: list[Exposure],
        decisions: list[Decision],
    ) -> None:
        """Log every decision of the step, column by column."""
        self.exposures, self.failed = len(exposures), 0
        if not exposures:
            return
        outcomes, _, _, keys = zip(*decisions, strict=True)
        self.failed = outcomes.count(_FAILED)
        columns = {
            **dict(zip(Exposure._fields, zip(*exposures, strict=True), strict=True)),
            "profile": [agent.code for agent in audience],
            "event": [self.event.event_id] * len(exposures),
            "outcome": [outcome._value_ for outcome in outcomes],
            "key": keys,
        }
        for name, column in self.datacollector.tables["exposures"].items():
            column.extend(columns[name])

    def _apply(
        self, audience: list[SpreadAgent], decisions: list[Decision]
    ) -> list[tuple[SpreadAgent, str]]:
        """Have every agent take its decision; give those who post, and their words."""
        reposts = []
        for agent, decision in zip(audience, decisions, strict=True):
            agent.decision = decision
            outcome = decision.outcome
            # A decision that failed is no occasion: the next one is asked as this one was.
            if outcome is not _FAILED:
                agent.occasions += 1
            if outcome is _REPOST:
                reposts.append((agent, decision.post))
        if self.feed == "new":
            for agent in audience:
                agent.feed = ()
        return reposts

    def _publish(self, reposts: list[tuple[SpreadAgent, str]]) -> None:
        """Infect the agents who post, and put their posts into their neighbours' feeds."""
        posts = [agent.infect(self.clock, text) for agent, text in reposts]
        still = [] if self.feed == "new" else [a for a in self._reached if not a.infected]
        spreaders, graph = self.spreaders, self.grid.G
        for post in posts:
            for node in graph.neighbors(post.author):
                neighbour = spreaders[node]
                if not neighbour.infected:
                    if not neighbour.feed:
                        still.append(neighbour)
                    neighbour.receive(post)
        still.sort(key=_by_index)
        self._reached = still
        self.new_infected = len(posts)
        self.infected += len(posts)
        self.susceptible -= len(posts)
        within_reach = self._reached or self.broadcast > 0
        self.running = bool(self.susceptible and within_reach)


@cache
def _versions() -> dict[str, str]:
    """Look up with what runs are made."""
    packages = ("mesa_llmspread", "mesa", "numpy", "networkx")
    versions = {package: importlib.metadata.version(package) for package in packages}
    return {**versions, "python": platform.python_version()}


def _as_event(event: str | OfflineEvent | None) -> OfflineEvent:
    """Find the event that an argument stands for."""
    if event is None:
        return bundled_events()[0]
    if isinstance(event, str):
        return get_event(event)
    if not isinstance(event, OfflineEvent):
        raise ArgumentTypeError("event", event, "an OfflineEvent or the id of a bundled one")
    return event


def _starters(
    initial_infected: int | Sequence[Any],
    nodes: Sequence[Any],
    streams: Streams,
    broadcast: float,
) -> list[int]:
    """Find the indices of the agents who have posted at step 0."""
    n = len(nodes)
    if isinstance(initial_infected, Integral) and not isinstance(initial_infected, bool):
        number = checked_starters(initial_infected, n, "broadcast", broadcast)
        return sorted(streams.starters.choice(n, size=number, replace=False).tolist())
    if isinstance(initial_infected, bool | str) or not isinstance(initial_infected, Iterable):
        raise ArgumentTypeError("initial_infected", initial_infected, "a number or a list of nodes")
    index = {node: i for i, node in enumerate(nodes)}
    chosen_nodes = list(initial_infected)
    for node in chosen_nodes:
        if node not in index:
            raise ArgumentError("initial_infected", node, "hold nodes of the network only")
    if len(set(chosen_nodes)) != len(chosen_nodes):
        raise ArgumentError("initial_infected", chosen_nodes, "hold different nodes")
    checked_starters(len(chosen_nodes), n, "broadcast", broadcast)
    return sorted(index[node] for node in chosen_nodes)


def _describe(
    network: Any, nodes: Sequence[Any], population: Population, starters: list[int]
) -> dict[str, Any]:
    """Name what was given, as plain values for the manifest."""
    if isinstance(population, str):
        described: Any = population
    elif isinstance(population, dict):
        described = {str(code): float(share) for code, share in population.items()}
    else:
        described = "given"
    return {
        "network": network if isinstance(network, str) else "given",
        **_named_nodes(nodes, starters),
        "population": described,
        "initial_infected": len(starters),
        "starters": starters,
    }


def _named_nodes(nodes: Sequence[Any], starters: list[int]) -> dict[str, list[Any]]:
    """List the names of a network's nodes by agent, unless they are the agents' numbers."""
    names = [_plain_name(node) for node in nodes]
    if [str(name) for name in names] == [str(i) for i in range(len(names))]:
        return {}
    return {"nodes": names, "starter_nodes": [names[i] for i in starters]}


def _plain_name(node: Any) -> str | int | float:
    """Turn a node's name into a value that JSON holds: itself, or else its text."""
    if isinstance(node, np.generic):
        node = node.item()
    plain = isinstance(node, str | int) or (isinstance(node, float) and math.isfinite(node))
    return node if plain else str(node)


def _counts(values: Iterable[Any]) -> dict[str, int]:
    """Count each value, in order, under its text."""
    return {str(value): count for value, count in sorted(Counter(values).items())}


def _plain(event: OfflineEvent) -> dict[str, Any]:
    """Give an event as plain values."""
    return {**dataclasses.asdict(event), "date": event.date.isoformat()}
