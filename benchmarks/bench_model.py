"""The Mesa model against an ordinary Mesa SI model in which susceptible agents poll.

Both run SI(0.05) on the same random 8-regular network with the same starters; set-up is left
out. The ordinary model is what a Mesa tutorial leads to: every step, every susceptible agent
asks the NetworkGrid for its neighbours and counts those infected. The package's model logs
every decision besides.

    python benchmarks/bench_model.py [--n 10000] [--repeats 5]
"""

from __future__ import annotations

import argparse
import statistics
import time

import mesa
from mesa.space import NetworkGrid

from mesa_llmspread import SI, Network, RateDecider, SpreadModel, random_regular

BETA, STEPS, STARTERS, DEGREE = 0.05, 50, 10, 8


class PollingAgent(mesa.Agent):
    """Looks at all its neighbours at every step."""

    def __init__(self, model: mesa.Model) -> None:
        super().__init__(model)
        self.infected = False
        self.reposts = False

    def decide(self) -> None:
        """Count infected neighbours and toss a coin."""
        if not self.infected:
            neighbours = self.model.grid.get_neighbors(self.pos)
            contacts = sum(neighbour.infected for neighbour in neighbours)
            self.reposts = self.random.random() < 1 - (1 - BETA) ** contacts

    def apply(self) -> None:
        """Become infected, if so decided."""
        self.infected = self.infected or self.reposts


class PollingModel(mesa.Model):
    """An ordinary SI model."""

    def __init__(self, network: Network, seed: int) -> None:
        super().__init__(rng=seed)
        self.grid = NetworkGrid(network.to_networkx())
        for node in range(network.n):
            self.grid.place_agent(PollingAgent(self), node)
        for agent in self.random.sample(list(self.agents), STARTERS):
            agent.infected = True

    def step(self) -> None:
        """Draw everyone's decision, then apply the decisions."""
        self.agents.do("decide")
        self.agents.do("apply")

    @property
    def count(self) -> int:
        """Agents infected."""
        return sum(agent.infected for agent in self.agents)


def timed(step, steps: int) -> float:
    """Time a number of steps, in CPU seconds."""
    start = time.process_time()
    for _ in range(steps):
        step()
    return time.process_time() - start


def main() -> None:
    """Run both, one after the other, several times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    ours, theirs = [], []
    for seed in range(arguments.repeats):
        network = random_regular(arguments.n, DEGREE, rng=seed)
        model = SpreadModel(
            network=network, decider=RateDecider(SI(BETA)), initial_infected=STARTERS, rng=seed
        )
        ours.append(timed(model.step, STEPS))
        polling = PollingModel(network, seed)
        theirs.append(timed(polling.step, STEPS))
        print(
            f"run {seed}: SpreadModel {ours[-1]:.3f} s ({model.infected} infected, "
            f"{len(model.datacollector.tables['exposures']['step'])} decisions logged), "
            f"polling {theirs[-1]:.3f} s ({polling.count} infected)"
        )
    ratio = statistics.median(theirs) / statistics.median(ours)
    print(
        f"n = {arguments.n}, Mesa {mesa.__version__}: median SpreadModel "
        f"{statistics.median(ours):.3f} s, polling {statistics.median(theirs):.3f} s, "
        f"ratio {ratio:.1f}"
    )


if __name__ == "__main__":
    main()
