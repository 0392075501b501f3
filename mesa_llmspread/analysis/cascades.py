"""How the news travelled: who could have had it from whom, and the shape of the trees.

The log says what an agent saw when it posted, not whose post moved it. So a run has many
possible cascades, and a cascade's shape is a distribution over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mesa_llmspread._validation import checked_int, checked_level
from mesa_llmspread.analysis._trees import NOBODY, Forest, Sources
from mesa_llmspread.data import SpreadData, check_data
from mesa_llmspread.data.run_info import RunInfo
from mesa_llmspread.data.schema import UNKNOWN
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.networks import Network, as_network
from mesa_llmspread.profiles import Trait
from mesa_llmspread.rng import RNGLike, as_generator
from mesa_llmspread.simulation.rebuild import network_of

__all__ = ["Cascade", "cascade"]

Ints = npt.NDArray[np.int64]

_PERMUTATIONS = 999

_MEASURES = ("trees", "largest_tree", "depth", "breadth", "structural_virality")


@dataclass(frozen=True)
class Cascade:
    """How the news travelled in one run.

    Attributes
    ----------
    run : int
        The run.
    n : int
        Agents on the network.
    spreaders : DataFrame
        Everyone who posted, by step and number: ``agent``, ``step`` (0 for a starter),
        ``profile`` (code), ``sources`` (how many it may have had the news from; 0 for a
        starter). Rows of a :class:`Forest` are rows of this table.
    sources : Sources
        From whom each may have had it.
    measures : DataFrame
        By name (``trees, largest_tree, depth, breadth, structural_virality``): ``mean``,
        ``low`` and ``high`` over the sampled forests. The interval says how much is unknown
        because nobody knows whose post moved whom; it does not cover other runs.
    generations : DataFrame
        ``depth``, ``mean``, ``low``, ``high``: spreaders at each depth, likewise.
    assortativity : DataFrame
        For each trait, and ``"profile"``: ``observed``, the expected share of pairs (who
        posted, who passed it on) that are on the same side of the trait, or have the same
        profile; ``expected``, ``low`` and ``high``, its mean and range when profiles are
        dealt anew among those who posted at the same step; ``p_value`` (two-sided).
        NaN where nobody had the news from anybody.
    level : float
        Coverage of every ``low`` to ``high``.
    """

    run: int
    n: int
    spreaders: pd.DataFrame
    sources: Sources
    measures: pd.DataFrame
    generations: pd.DataFrame
    assortativity: pd.DataFrame
    level: float

    @property
    def size(self) -> int:
        """Agents who posted, starters included."""
        return len(self.spreaders)

    @property
    def time_to_half(self) -> int:
        """First step by whose end half of the final number of spreaders had posted."""
        return int(self.spreaders["step"].iloc[(self.size - 1) // 2])

    @property
    def new_spreaders(self) -> Ints:
        """New spreaders of each step from step 1 to the last that had any."""
        return np.bincount(self.spreaders["step"])[1:]

    @property
    def peak_step(self) -> int | None:
        """First step with the most new spreaders; None if there were none."""
        return int(self.new_spreaders.argmax()) + 1 if self.new_spreaders.size else None

    @property
    def peak_height(self) -> int:
        """New spreaders in that step."""
        return int(self.new_spreaders.max(initial=0))

    @property
    def edges(self) -> pd.DataFrame:
        """Who may have had the news from whom: the expected forest.

        Returns
        -------
        DataFrame
            ``parent`` and ``child`` (agents), ``step`` (at which the child posted),
            ``probability``. What is missing to 1 for a child that posted after step 0 is
            the probability that it had the news from the media.
        """
        child, parent, probability = _pairs(self.sources)
        agent, step = self.spreaders["agent"].to_numpy(), self.spreaders["step"].to_numpy()
        return pd.DataFrame(
            {
                "parent": agent[parent],
                "child": agent[child],
                "step": step[child],
                "probability": probability,
            }
        )

    def sample(self, rng: RNGLike = None) -> Forest:
        """Draw one way the news may have travelled.

        Parameters
        ----------
        rng : int, numpy.random.Generator or None
            Randomness.

        Returns
        -------
        Forest
        """
        return self.sources.sample(as_generator(rng))

    def summary(self) -> str:
        """Say what the cascade looked like, in a few lines."""
        peak = (
            "nobody passed it on"
            if self.peak_step is None
            else f"half by step {self.time_to_half}, most at step {self.peak_step} "
            f"({self.peak_height} new)"
        )
        lines = [f"{self.size} of {self.n} agents posted; {peak}."]
        for name, row in self.measures.iterrows():
            words = str(name).replace("_", " ")
            lines.append(f"{words}: {row['mean']:.3g} [{row['low']:.3g}, {row['high']:.3g}]")
        # Bonferroni, over the five traits and the profile.
        adjusted = self.assortativity["p_value"] * len(self.assortativity)
        alike = self.assortativity[adjusted < 1 - self.level]
        for name, row in alike.iterrows():
            lines.append(
                f"same {name} from spreader to spreader: {row['observed']:.1%} of pairs, "
                f"{row['expected']:.1%} expected (p = {row['p_value']:.2g})"
            )
        if alike.empty and adjusted.notna().any():
            lines.append("spreaders are no more alike along the tree than by chance")
        return "\n".join(lines)


def cascade(
    data: SpreadData,
    network: Any = None,
    *,
    run: int | None = None,
    draws: int = 200,
    level: float = 0.95,
    rng: RNGLike = None,
) -> Cascade:
    """Find out how the news travelled in one run.

    Parameters
    ----------
    data : SpreadData
    network : Network, EdgeList, networkx.Graph or pair of array_like, optional
        The network, where it was given to the model as a graph; a named one is made again
        from the run's seed.
    run : int, optional
        Which run; may be left out where there is one.
    draws : int, default 200
        Forests to sample, at least 1.
    level : float, default 0.95
        Coverage of the intervals.
    rng : int, numpy.random.Generator or None
        Randomness of the sampled forests and of the permutations.

    Returns
    -------
    Cascade

    Raises
    ------
    ArgumentError
        If there are several runs and none is named; if the network is unknown, or is not
        the one of the run (agents would have seen other numbers of posts than the log
        says); if the record does not say who the starters were.

    Notes
    -----
    *Attribution.* A spreader may have had the news from every neighbour whose post it had in
    view when it posted (all who had posted before, or with ``feed="new"`` those who posted
    one step before), each equally likely; this is exact wherever neighbours act alike and
    independently, as under every law of :mod:`mesa_llmspread.transmission`. If it saw the
    event itself in that step, the media count as one source more, and then it begins a tree
    of its own, as the starters do.

    *Assortativity.* Dealing profiles anew only among those who posted at the same step keeps
    in the comparison that some traits post earlier or more often than others; what is left
    is whether like passes on to like.

    Examples
    --------
    >>> from mesa_llmspread import SpreadModel
    >>> model = SpreadModel(n=100, k=6, decider="SI(0.1)", initial_infected=1, rng=7).run(50)
    >>> result = cascade(SpreadData.from_model(model), rng=1)
    >>> result.size, result.peak_step, float(result.measures.loc["trees", "mean"])
    (100, 16, 1.0)
    """
    check_data(data)
    draws = checked_int("draws", draws, 1)
    level = checked_level(level)
    if run is None and len(data.runs) == 1:
        (run,) = data.runs
    if run not in data.runs:
        raise ArgumentError("run", run, f"be one of {data.runs}")
    info = data.info[run]
    found = network_of(info, None if network is None else as_network(network))
    if found is None:
        raise ArgumentError(
            "network",
            network,
            "be the graph that was given to the model; on the command line: --network FILE, with "
            "its edge list",
        )
    log = data.exposures[data.exposures["run"] == run]
    spreaders = _spreaders(log, info, data.agents[data.agents["run"] == run])
    _check_complete(spreaders, int(data.counts_of(run)["infected"].max()))
    posted_at = np.full(found.n, np.iinfo(np.int64).max)
    posted_at[spreaders["agent"]] = spreaders["step"]
    _check_network(log, found, posted_at, info.feed)
    sources = _sources(log, spreaders, found, posted_at, info.feed)
    spreaders["sources"] = np.where(spreaders["step"] > 0, np.diff(sources.indptr), 0)
    generator = as_generator(rng)
    forests = [sources.sample(generator) for _ in range(draws)]
    return Cascade(
        run,
        found.n,
        spreaders,
        sources,
        _measures(forests, level),
        _generations(forests, level),
        _assortativity(spreaders, sources, level, generator),
        level,
    )


def _spreaders(log: pd.DataFrame, info: RunInfo, agents: pd.DataFrame) -> pd.DataFrame:
    """List everyone who posted, by step and number."""
    at_start = list(info.known("starters"))
    profiles = agents.set_index("agent")["profile"].reindex(at_start, fill_value=UNKNOWN)
    starters = pd.DataFrame({"agent": at_start, "step": 0, "profile": profiles.to_numpy()})
    # Where nobody had posted at the start, columns of an empty list would be of no type.
    starters = starters.astype({"agent": "int64", "step": "int64", "profile": "str"})
    posted = log.loc[log["outcome"] == "repost", ["agent", "step", "profile"]]
    return pd.concat([starters, posted]).sort_values(["step", "agent"], ignore_index=True)


def _check_complete(spreaders: pd.DataFrame, infected: int) -> None:
    """Check that the log holds everyone who posted, once, and that somebody did."""
    agents = spreaders["agent"].nunique()
    if not len(spreaders) == agents == infected:
        raise ArgumentError(
            "data",
            f"{len(spreaders)} posts by {agents} agents",
            f"log one post for each of the {infected} agents that its counts say have posted",
        )
    if spreaders.empty:
        raise ArgumentError("data", "0 posts", "be of a run in which somebody posted")


def _check_network(log: pd.DataFrame, network: Network, posted_at: Ints, feed: str) -> None:
    """Check that on this network everyone saw as many posts as the log says."""
    for _, rows in log.groupby("step"):
        step = int(rows["step"].iloc[0])
        visible = posted_at == step - 1 if feed == "new" else posted_at < step
        total = np.concatenate([[0], np.cumsum(visible[network.indices])])
        contacts = np.diff(total[network.indptr])[rows["agent"]]
        wrong = np.flatnonzero(contacts != rows["contacts"])
        if len(wrong):
            first = rows.iloc[wrong[0]]
            raise ArgumentError(
                "network",
                f"{contacts[wrong[0]]} posting neighbours of agent {first['agent']} at step {step}",
                f"be the one of the run, whose log says {first['contacts']}",
            )


def _sources(
    log: pd.DataFrame, spreaders: pd.DataFrame, network: Network, posted_at: Ints, feed: str
) -> Sources:
    """List from whom each spreader may have had the news."""
    row = np.full(network.n, NOBODY, dtype=np.int64)
    row[spreaders["agent"]] = np.arange(len(spreaders))
    child, parent = np.repeat(np.arange(network.n), network.degrees), network.indices
    gap = posted_at[child] - posted_at[parent]
    edges = (row[child] != NOBODY) & (gap == 1 if feed == "new" else gap > 0)
    direct = log.loc[(log["outcome"] == "repost") & log["direct"], "agent"]
    roots = np.concatenate([np.flatnonzero(spreaders["step"] == 0), row[direct]])
    children = np.concatenate([row[child[edges]], roots])
    parents = np.concatenate([row[parent[edges]], np.full(len(roots), NOBODY)])
    number = np.bincount(children, minlength=len(spreaders))
    if not number.all():
        agent, step = spreaders.loc[number.argmin(), ["agent", "step"]]
        value = f"repost of agent {agent} at step {step}"
        raise ArgumentError("data", value, "come after seeing something")
    indptr = np.concatenate([[0], np.cumsum(number)])
    return Sources(indptr, parents[np.argsort(children, kind="stable")])


def _pairs(sources: Sources) -> tuple[Ints, Ints, npt.NDArray[np.float64]]:
    """List the possible pairs: rows of child and parent, and how likely each is."""
    number = np.diff(sources.indptr)
    child = np.repeat(np.arange(len(number)), number)
    on_network = sources.source != NOBODY
    return child[on_network], sources.source[on_network], (1 / number[child])[on_network]


def _interval(values: Any, level: float) -> dict[str, Any]:
    """Mean and range over the first axis."""
    tail = (1 - level) / 2
    low, high = np.quantile(values, (tail, 1 - tail), axis=0)
    return {"mean": np.mean(values, axis=0), "low": low, "high": high}


def _measures(forests: Sequence[Forest], level: float) -> pd.DataFrame:
    """Measure the sampled forests."""
    values = [
        (
            np.count_nonzero(forest.parent == NOBODY),
            np.bincount(forest.roots).max(),
            forest.depth,
            forest.breadth,
            forest.structural_virality,
        )
        for forest in forests
    ]
    table = pd.DataFrame(_interval(values, level), index=list(_MEASURES))
    return table.rename_axis("measure")


def _generations(forests: Sequence[Forest], level: float) -> pd.DataFrame:
    """Count the spreaders at each depth of the sampled forests."""
    deepest = max(forest.depth for forest in forests)
    counts = [np.bincount(forest.depths, minlength=deepest + 1) for forest in forests]
    return pd.DataFrame({"depth": range(deepest + 1), **_interval(counts, level)})


def _assortativity(
    spreaders: pd.DataFrame, sources: Sources, level: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Compare how alike pairs are with pairs whose profiles were dealt anew."""
    names = [*(trait.value for trait in Trait), "profile"]
    columns = ["observed", "expected", "low", "high", "p_value"]
    child, parent, probability = _pairs(sources)
    if not len(child) or (spreaders["profile"] == UNKNOWN).any():
        return pd.DataFrame(np.nan, index=pd.Index(names, name="trait"), columns=columns)
    high = np.array([[letter.isupper() for letter in code] for code in spreaders["profile"]])
    step = spreaders["step"].to_numpy()

    def alike(order: Ints) -> npt.NDArray[np.float64]:
        same = high[order[child]] == high[order[parent]]
        kinds = np.column_stack([same, same.all(axis=1)])
        return np.asarray(probability @ kinds / probability.sum())

    observed = alike(np.arange(len(step)))
    # Rows are in order of steps, so sorting by (step, chance) shuffles inside each step.
    null = np.array(
        [alike(np.lexsort((rng.random(len(step)), step))) for _ in range(_PERMUTATIONS)]
    )
    # Equal shares may differ in their last digits.
    above = (null >= observed - 1e-12).sum(axis=0) + 1
    below = (null <= observed + 1e-12).sum(axis=0) + 1
    p_value = np.minimum(1.0, 2 * np.minimum(above, below) / (_PERMUTATIONS + 1))
    spread = _interval(null, level)
    values = [observed, spread["mean"], spread["low"], spread["high"], p_value]
    return pd.DataFrame(np.transpose(values), index=pd.Index(names, name="trait"), columns=columns)
