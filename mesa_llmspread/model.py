"""The model: news of one event on one network, one synchronous step after another.

A step asks every agent that sees something, all at once, and applies the decisions at its end; so
nothing depends on the order or the latency of replies. A post is pushed to the feeds of the
author's neighbours once, so a whole run does work in proportion to edges and decisions.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import mesa
from mesa.datacollection import DataCollector

from mesa_llmspread._validation import (
    check_contacts,
    checked_int,
    checked_probability,
    renamed,
    starters_among,
)
from mesa_llmspread.agent import SpreadAgent
from mesa_llmspread.data import RunInfo
from mesa_llmspread.data.run_info import package_versions
from mesa_llmspread.data.tables import RECORD
from mesa_llmspread.deciders import (
    Decider,
    Decision,
    Exposure,
    Outcome,
    as_decider,
)
from mesa_llmspread.deciders.base import check_decisions
from mesa_llmspread.events import OfflineEvent, as_event
from mesa_llmspread.exceptions import (
    ArgumentTypeError,
    DeciderError,
    StepInProgressError,
)
from mesa_llmspread.networks import make_network, node_names
from mesa_llmspread.profiles import Population, plain_population, sample_profiles
from mesa_llmspread.recorder import (
    Recorder,
    RunRecord,
    log_decisions,
    with_record,
    without_record,
)
from mesa_llmspread.rng import RNGLike, Streams, agent_uniforms, as_seed
from mesa_llmspread.space import NetworkGrid
from mesa_llmspread.transmission import Visibility, Weights, as_visibility
from mesa_llmspread.transmission.visibility import FEEDS

__all__ = ["FEEDS", "SpreadModel"]

_FAILED = Outcome.FAILED


class SpreadModel(mesa.Model):
    """News of an offline event spreads on a network of agents with personalities.

    Every argument also takes a plain string or number, so that ``mesa.batch_run``, a page
    or a command line can drive the model.

    Parameters
    ----------
    n : int, default 200
        Number of agents; a network given as a graph brings its own.
    k : int, default 8
        Neighbours per agent (mean degree where they differ). ``k=0`` and ``initial_infected=0``
        are allowed with ``media_prob > 0`` only: otherwise nobody ever sees the news.
    network : str, graph, table or array, default "random_regular"
        Who sees whose posts: a name of :data:`mesa_llmspread.networks.NETWORKS`, what
        :func:`~mesa_llmspread.as_network` takes (a graph, a table of edges, a matrix), or
        what :func:`mesa_llmspread.read_edgelist` read from a file.
    event : str or OfflineEvent, optional
        What the news is about: an event, or the id of a bundled one; the first of those
        if not given.
    population : str, mapping or sequence of Profile, default "uniform"
        The agents' personalities; see :func:`mesa_llmspread.profiles.sample_profiles`.
    decider : str, TransmissionLaw or Decider, default "table"
        Who decides; see :func:`mesa_llmspread.deciders.as_decider`.
    initial_infected : int or sequence of nodes, default 10
        How many agents, drawn uniformly, or which nodes of the network, have posted at step 0.
    feed : {"persistent", "new"}, default "persistent"
        Whether a post stays in view for good, or is seen only in the step after it.
    visibility : Visibility or str, optional
        In place of ``feed``: for how many steps a post stays in view, and how its effect fades.
        Only laws whose contacts act independently have an effect per post that can fade.
    media_prob : float, default 0
        Probability per step that a susceptible agent sees the event itself, through the media.
        At 0 the offline part of a law has no effect.
    rng : int, numpy.random.Generator or None
        Randomness. The same seed gives the same run, bit for bit.
    agent_class : type of SpreadAgent, default SpreadAgent
        The class of the agents.
    model_reporters, agent_reporters : mapping, optional
        What Mesa's collector collects besides the record, as for ``DataCollector``.

    Attributes
    ----------
    clock : int
        Steps done. (Mesa's own counter differs between its versions when a step fails.)
    susceptible, infected, new_infected : int
        Agents who have not posted, who have, and who did in the last step.
    exposures, failed : int
        Decisions in the last step, and those of them that failed.
    spreaders : list of SpreadAgent by index
        All agents, in order.
    direct, in_reach : set of int
        Indices of the agents that see the event itself at the coming step, and of those with a
        post in their feed who have not posted.
    nodes : sequence
        The names of the network's nodes, in the order of the agents.
    info, record : RunInfo, RunRecord
        What is known of the run, and its whole record as ``mesa.batch_run`` carries it.

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

    @renamed(broadcast="media_prob")
    def __init__(
        self,
        n: int = 200,
        k: int = 8,
        network: Any = "random_regular",
        event: str | OfflineEvent | None = None,
        population: Population = "uniform",
        decider: Any = "table",
        initial_infected: int | Sequence[Any] = 10,
        feed: str = "persistent",
        media_prob: float = 0.0,
        rng: RNGLike = None,
        agent_class: type[SpreadAgent] = SpreadAgent,
        model_reporters: Mapping[str, Any] | None = None,
        agent_reporters: Mapping[str, Any] | None = None,
        visibility: Visibility | str | None = None,
    ) -> None:
        seed = as_seed(rng)
        # Mesa wraps the step that it finds on the instance, and we wrap that once more.
        self.step = self._recoverable_step  # type: ignore[method-assign]
        super().__init__(rng=seed)
        self._step_lock = threading.Lock()
        self._mesa_step = self.step
        self.step = self._single_step  # type: ignore[method-assign]

        self.visibility = as_visibility(visibility, feed)
        self.weights = Weights(self.visibility)
        if not (isinstance(agent_class, type) and issubclass(agent_class, SpreadAgent)):
            raise ArgumentTypeError("agent_class", agent_class, "a subclass of SpreadAgent")
        self.media_prob = checked_probability("media_prob", media_prob)
        self.event = as_event(event)

        self.streams = Streams(seed)
        self.network = make_network(network, n, k, self.streams.network)
        self.n = self.network.n
        named = isinstance(network, str)
        most = int(self.network.degrees.max())
        argument, value = ("k", k) if named else ("network", network)
        check_contacts(argument, value, most, "media_prob", self.media_prob)
        profiles = sample_profiles(self.n, population, self.streams.population)
        self.nodes = node_names(network, self.n)
        starters = starters_among(
            self.nodes, initial_infected, self.media_prob, self.streams.starters
        )
        self.decider = decider
        self._given: dict[str, Any] = {
            "network": network if named else "given",
            "population": plain_population(population),
            "initial_infected": len(starters),
            "starters": tuple(starters),
        }

        self.clock = 0
        self.susceptible, self.infected, self.new_infected = self.n, 0, 0
        self.exposures = self.failed = self._counted = 0
        self.in_reach, self.direct = set[int](), set[int]()
        self.spreaders: list[SpreadAgent] = []
        self.spreaders += (agent_class(self, i, profile) for i, profile in enumerate(profiles))
        self.__dict__.pop("grid", None)  # an agent may have looked at it when it was made
        # Agents that see something else than their feed are all asked what they see.
        seen = agent_class.observe, agent_class.visible_posts
        self._asks_all = seen != (SpreadAgent.observe, SpreadAgent.visible_posts)
        self.record = RunRecord(self)
        self.datacollector = Recorder(model_reporters, agent_reporters)
        for i in starters:
            self.spreaders[i].infect()
        self._finish_step()

    @cached_property
    def grid(self) -> NetworkGrid:
        """Mesa's grid with the agents on its nodes, built when it is first used."""
        grid = NetworkGrid(self.network.to_networkx())
        for agent in self.spreaders:
            if agent.pos is not None:
                agent.pos = None  # Mesa warns where an agent is placed twice
                grid.place_agent(agent, agent.index)
        return grid

    def neighbours(self, index: int) -> Iterable[int]:
        """Return the indices of an agent's neighbours: those of the grid, once there is one."""
        if "grid" in vars(self):
            return self.grid.G.neighbors(index)
        return self.network.neighbours(index).tolist()

    @property
    def decider(self) -> Decider:
        """Who decides; a new one decides from the next step on."""
        return self._decider

    @decider.setter
    def decider(self, decider: Any) -> None:
        found = as_decider(decider)
        found.check_visibility(self.visibility)
        self._decider = found
        self._answerer = self._decider.for_run(self.n, self.streams.decider)

    @property
    def datacollector(self) -> DataCollector:
        """Mesa's collector; one of your own gets the columns and the table of a record too."""
        return self._datacollector

    @datacollector.setter
    def datacollector(self, collector: DataCollector) -> None:
        self._datacollector = with_record(collector)

    def step(self) -> None:
        """Collect the decision of every agent that sees something, then apply them all.

        Raises
        ------
        StepInProgressError
            If a step is in progress, for example in another thread.
        DeciderError
            If the decider cannot answer. The model is as it was before the step, and the
            step can be tried again.
        """
        audience, exposures = self._audience()
        decisions = self._decide(exposures)
        self.clock += 1
        log_decisions(self.datacollector, exposures, decisions)
        self.exposures = len(exposures)
        self.failed = sum(decision.outcome is _FAILED for decision in decisions)
        if (window := self.visibility.visible_for) is not None:
            for index in list(self.in_reach):
                self.spreaders[index].hide(self.clock - window)
        for agent, decision in zip(audience, decisions, strict=True):
            agent.act(decision)
        self._finish_step()

    def run(self, steps: int) -> SpreadModel:
        """Run for a number of steps, or until no agent can be reached any more.

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
    def info(self) -> RunInfo:
        """What is needed to repeat this run, and with what it was run."""
        decider = dict(self._answerer.manifest())
        return RunInfo(
            n=self.n,
            k=float(self.network.degrees.mean()),
            degrees=_counts(self.network.degrees.tolist()),
            visibility=str(self.visibility),
            media_prob=self.media_prob,
            events=(self.event,),
            decider=decider.pop("decider", type(self.decider).__name__),
            decider_info=decider,
            rng=self.streams.seed,
            versions=package_versions(),
            profiles=_counts(agent.code for agent in self.spreaders),
            **self._given,
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for copies and pickles: all but the lock and the record's link back."""
        state = {**self.__dict__, "_datacollector": without_record(self.datacollector)}
        del state["_step_lock"], state["record"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state, with a lock and a record of its own."""
        self.__dict__.update(state)
        self._step_lock = threading.Lock()
        self.record = RunRecord(self)
        self.datacollector.model_vars[RECORD] = [self.record] * (self.clock + 1)

    def _single_step(self) -> None:
        """Step once, unless a step is under way."""
        if not self._step_lock.acquire(blocking=False):
            raise StepInProgressError(
                "the model is already stepping; wait for that step, or use a model of your own"
            )
        try:
            self._mesa_step()
        finally:
            self._step_lock.release()

    def _recoverable_step(self) -> None:
        """Run a step of the model's class; if it fails, prepare Mesa for another try."""
        done = self.clock
        try:
            type(self).step(self)
        except Exception as error:
            if isinstance(error, DeciderError):
                error.add_note(
                    f"The model is as it was after step {self.clock}, and can be stepped again; "
                    f"rng={self.streams.seed} makes the same one again."
                )
            self.steps = done  # Mesa 3 counts steps before it does them
            # Mesa 3.5 and later never step again a model whose step has raised.
            if (schedule := getattr(self, "_default_schedule", None)) is not None:
                self.time = float(done)
                schedule.pause()
                schedule.resume()
            raise

    def _audience(self) -> tuple[list[SpreadAgent], list[Exposure]]:
        """Return the agents that see something at the coming step, ordered by index, and what."""
        self.direct = set()
        if self.media_prob > 0:
            chance = agent_uniforms(self.streams.media(self.clock + 1), range(self.n))
            self.direct = set((chance < self.media_prob).nonzero()[0].tolist())
        indices = range(self.n) if self._asks_all else sorted(self.in_reach | self.direct)
        audience, exposures = [], []
        for index in indices:
            agent = self.spreaders[index]
            exposure = agent.observe(self.event)
            if exposure is not None:
                audience.append(agent)
                exposures.append(exposure)
        return audience, exposures

    def _decide(self, exposures: list[Exposure]) -> list[Decision]:
        """Return one decision per exposure."""
        if not exposures:
            return []
        decisions = self._answerer.decide(exposures, self.streams.decisions(self.clock + 1))
        check_decisions(self.decider, exposures, decisions)
        return decisions

    def _finish_step(self) -> None:
        """Count the new spreaders, and collect."""
        self.new_infected = self.infected - self._counted
        self._counted = self.infected
        within_reach = self.in_reach or self.media_prob > 0 or self._asks_all
        self.running = bool(self.susceptible and within_reach)
        self.datacollector.collect(self)


def _counts(values: Iterable[Any]) -> dict[Any, int]:
    return dict(sorted(Counter(values).items()))
