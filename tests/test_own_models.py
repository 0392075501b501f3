"""Agents and models of one's own: what is overridden is honoured, what fails passes through."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from typing import Any

import mesa
import networkx as nx
import numpy as np
import pytest
from mesa.datacollection import DataCollector

from mesa_llmspread import (
    Decider,
    Decision,
    Exposure,
    OfflineEvent,
    Outcome,
    SpreadAgent,
    SpreadData,
    SpreadModel,
)
from mesa_llmspread.deciders import Post
from mesa_llmspread.exceptions import ArgumentTypeError, DeciderError


class HalfBlind(SpreadAgent):
    """Sees every other post."""

    def visible_posts(self, event: OfflineEvent) -> Sequence[Post]:
        return super().visible_posts(event)[::2]


class Shy(SpreadAgent):
    """Looks only from the third step on, and never posts at once."""

    def observe(self, event: OfflineEvent) -> Exposure | None:
        return super().observe(event) if self.model.clock >= 2 else None

    def act(self, decision: Decision) -> None:
        ripe = self.decision is not None
        super().act(decision if ripe else Decision(Outcome.DECLINE))


class Counting(SpreadModel):
    """Counts its steps after the model's own."""

    def __init__(self, share: float = 0.5, **settings: Any) -> None:
        super().__init__(**settings)
        self.share = share
        self.done = 0

    def step(self) -> None:
        super().step()
        self.done += 1


class Moody(Decider):
    """Fails where it is told to."""

    name = "moody"
    error = DeciderError("no mood")

    def __init__(self, fails: bool = True) -> None:
        self.fails = fails

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        if self.fails:
            raise self.error
        return [Decision(Outcome.REPOST, "hear, hear", "a reason")] * len(exposures)


def contacts(model: SpreadModel) -> list[int]:
    return model.datacollector.get_table_dataframe("exposures")["contacts"].tolist()


def test_an_agent_that_overlooks_half_its_feed() -> None:
    settings: dict[str, Any] = {"k": 8, "decider": "SI(0.0)", "initial_infected": 100, "rng": 1}
    plain = SpreadModel(**settings).run(1)
    blind = SpreadModel(**settings, agent_class=HalfBlind).run(1)
    assert all(type(agent) is HalfBlind for agent in blind.agents)
    assert contacts(blind) == [-(-m // 2) for m in contacts(plain)]
    fast = SpreadModel(k=8, decider="SI(0.1)", rng=1).run(40)
    slow = SpreadModel(k=8, decider="SI(0.1)", rng=1, agent_class=HalfBlind).run(40)
    curves = [model.datacollector.model_vars["Infected"][:10] for model in (fast, slow)]
    assert sum(curves[1]) < sum(curves[0])


def test_what_an_agent_observes_and_does_can_be_changed() -> None:
    model = SpreadModel(n=60, k=4, decider="SI(1.0)", rng=2, agent_class=Shy).run(10)
    log = SpreadData.from_model(model).exposures
    assert log["step"].min() == 3
    # The decider said yes, the agent waited for its second occasion.
    assert (log.groupby("agent").size() == 2).all()
    assert model.infected == 60
    assert [agent.posted_at for agent in model.agents if agent.posted_at == 3] == []


def test_an_agent_class_is_checked() -> None:
    with pytest.raises(ArgumentTypeError) as caught:
        SpreadModel(agent_class=mesa.Agent)  # type: ignore[arg-type]
    assert (caught.value.argument, caught.value.value) == ("agent_class", mesa.Agent)


def test_reporters_add_to_the_built_in_ones() -> None:
    model = SpreadModel(
        n=50,
        k=4,
        decider="SI(0.2)",
        rng=1,
        model_reporters={"Share": lambda m: m.infected / m.n},
        agent_reporters={"Posted": "infected"},
    ).run(5)
    frame = model.datacollector.get_model_vars_dataframe()
    assert (frame["Share"] == frame["Infected"] / 50).all()
    agents = model.datacollector.get_agent_vars_dataframe()
    assert agents["Posted"].groupby(level=0).sum().tolist() == frame["Infected"].tolist()
    plain = SpreadModel(n=50, k=4, decider="SI(0.2)", rng=1).run(5)
    counts = SpreadData.from_model(model).counts
    assert counts.equals(SpreadData.from_model(plain).counts)


class OwnCollector(SpreadModel):
    """Has a collector of its own and collects as Mesa's tutorials do."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.datacollector = DataCollector({"Share": lambda m: m.infected / m.n})
        self.datacollector.collect(self)

    def step(self) -> None:
        super().step()
        self.datacollector.collect(self)


def test_a_collector_of_ones_own_is_a_record_too() -> None:
    settings: dict[str, Any] = {"n": 50, "k": 4, "decider": "SI(0.2)", "rng": 1}
    model, plain = OwnCollector(**settings).run(5), SpreadModel(**settings).run(5)
    own, usual = SpreadData.from_model(model), SpreadData.from_model(plain)
    assert own.counts.equals(usual.counts)
    assert own.exposures.equals(usual.exposures)
    assert model.datacollector.get_model_vars_dataframe()["Share"].iloc[-1] == model.infected / 50


def test_an_error_passes_through_the_subclass() -> None:
    decider = Moody()
    model = Counting(n=400, k=4, decider=decider, rng=1)
    for _ in range(3):
        with pytest.raises(DeciderError) as caught:
            model.step()
        assert caught.value is decider.error
        assert (model.clock, model.steps, model.done, model.infected) == (0, 0, 0, 10)
    decider.fails = False
    model.run(3)
    assert (model.clock, model.steps, model.done) == (3, 3, 3)
    whole = Counting(n=400, k=4, decider=Moody(fails=False), rng=1).run(3)
    again = SpreadData.from_model(model)
    assert again.exposures.equals(SpreadData.from_model(whole).exposures)
    assert again.counts.equals(SpreadData.from_model(whole).counts)


@pytest.mark.skipif(not hasattr(mesa.Model, "run_for"), reason="this Mesa has no run_for")
def test_an_error_under_mesas_own_loop_can_be_stepped_again() -> None:
    decider = Moody()
    model = Counting(n=400, k=4, decider=decider, rng=1)
    with pytest.raises(DeciderError):
        model.run_for(3)
    decider.fails = False
    model.run_for(3)
    assert (model.clock, model.steps, model.done) == (3, 3, 3)


def test_posts_and_reasons_are_kept() -> None:
    model = SpreadModel(n=30, k=4, decider=Moody(fails=False), rng=1).run(2)
    log = SpreadData.from_model(model).exposures
    assert set(log["post"]) == {"hear, hear"}
    assert set(log["reason"]) == {"a reason"}


def test_another_decider_takes_over() -> None:
    model = SpreadModel(n=100, k=4, decider="SI(0.0)", rng=1).run(2)
    assert model.infected == 10
    model.decider = "SI(1.0)"
    assert model.decider.name == "SI(beta=1)"
    model.run(1)
    assert model.infected > 10


def test_an_agent_that_leaves_is_not_counted_nor_asked() -> None:
    line = nx.path_graph(4)
    model = SpreadModel(network=line, initial_infected=[0], decider="SI(1.0)", rng=1)
    model.spreaders[1].remove()
    model.run(5)
    assert (model.infected, model.susceptible) == (1, 2)
    assert [agent.index for agent in model.agents] == [0, 2, 3]
    assert not model.running
    model.spreaders[0].remove()
    assert model.infected == 0


def test_an_agent_that_is_made_to_post_is_seen_and_counted() -> None:
    line = nx.path_graph(5)
    model = SpreadModel(network=line, initial_infected=[0], decider="SI(1.0)", rng=1)
    model.spreaders[4].infect("breaking")
    assert (model.infected, model.susceptible) == (2, 3)
    assert [post.text for post in model.spreaders[3].feed] == ["breaking"]
    model.run(2)
    assert [agent.posted_at for agent in model.spreaders] == [0, 1, 2, 1, 0]
    counts = SpreadData.from_model(model).counts
    assert (counts["new_infected"].cumsum() == counts["infected"]).all()
    model.spreaders[4].infect("again")
    assert model.infected == 5


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("feed", ["persistent", "new"])
def test_a_copy_goes_on_as_the_original_does(copied: Any, feed: str) -> None:
    settings: dict[str, Any] = {"n": 80, "k": 6, "feed": feed, "media_prob": 0.05, "rng": 3}
    model = Counting(**settings, decider="TwoClass(0.05, 0.5, share_high=0.4)").run(4)
    other = copied(model)
    assert other.datacollector is not model.datacollector
    model.run(4)
    assert (other.clock, other.infected) == (4, other.datacollector.model_vars["Infected"][-1])
    other.run(4)
    assert other.done == 8
    one, two = SpreadData.from_model(model), SpreadData.from_model(other)
    assert one.exposures.equals(two.exposures)
    assert one.counts.equals(two.counts)
    assert other.record.data().counts.equals(two.counts)
    other.decider = "SI(1.0)"
    assert model.decider.name != other.decider.name
