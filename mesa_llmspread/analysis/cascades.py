"""Cascades: from whom each spreader may have had the news, and the shape of the trees.

The record contains what an agent saw when it posted, but not which post made it do so. One run
therefore has many possible cascades, and the shape of a cascade is a distribution over them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mesa_llmspread._validation import checked_int, checked_level
from mesa_llmspread.analysis.sources import check_network, media_shares, possible_sources
from mesa_llmspread.analysis.trees import NOBODY, Forest, Ints
from mesa_llmspread.data import RunInfo, SpreadData, check_data
from mesa_llmspread.data.schema import UNKNOWN
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.profiles import Trait
from mesa_llmspread.rng import RNGLike, as_generator
from mesa_llmspread.simulation.rebuild import network_of
from mesa_llmspread.transmission import TransmissionLaw, law_of

__all__ = ["MEASURES", "Cascade", "cascade"]

_PERMUTATIONS = 999

#: The measures of a cascade's shape.
MEASURES = ("trees", "largest_tree", "depth", "breadth", "structural_virality")


@dataclass(frozen=True)
class Cascade:
    """How the news may have travelled in one run.

    Attributes
    ----------
    run : int
        The run.
    n : int
        Number of agents on the network.
    spreaders : DataFrame
        All agents that posted, by step and number: ``agent``, ``step`` (0 for a starter),
        ``profile`` (code), ``sources`` (number of possible sources; 0 for a starter). The
        rows of a :class:`~mesa_llmspread.analysis.trees.Forest` are the rows of this table.
    sources : DataFrame
        One row per possible source of a spreader: ``child`` and ``parent`` (rows of
        ``spreaders``; the parent is -1 for a starter, and for the media), ``probability``.
    measures : DataFrame
        By name (``trees, largest_tree, depth, breadth, structural_virality``): ``mean``,
        ``low`` and ``high`` over the sampled forests. The interval shows how much is unknown
        because the sources are unknown; it does not cover other runs.
    generations : DataFrame
        ``depth``, and ``mean``, ``low``, ``high`` of the number of spreaders at this depth.
    assortativity : DataFrame
        Per trait, and for ``"profile"``: ``observed``, the expected share of pairs (source and
        spreader) that have the same level of the trait, or the same profile; ``expected``,
        ``low`` and ``high``, its mean and range when profiles are shuffled among the agents
        that posted at the same step; ``p_value`` (two-sided). NaN where there is no pair.
    level : float
        Coverage of the intervals from ``low`` to ``high``.
    """

    run: int
    n: int
    spreaders: pd.DataFrame
    sources: pd.DataFrame
    measures: pd.DataFrame
    generations: pd.DataFrame
    assortativity: pd.DataFrame
    level: float

    @property
    def size(self) -> int:
        """Number of agents that posted, starters included."""
        return len(self.spreaders)

    @property
    def time_to_half(self) -> int:
        """First step at whose end half of the spreaders had posted."""
        return int(self.spreaders["step"].iloc[(self.size - 1) // 2])

    @property
    def new_spreaders(self) -> Ints:
        """Number of new spreaders at each step, from step 1 to the last one with any."""
        return np.bincount(self.spreaders["step"])[1:]

    @property
    def peak_step(self) -> int | None:
        """First step with the most new spreaders; None without new spreaders."""
        return int(self.new_spreaders.argmax()) + 1 if self.new_spreaders.size else None

    @property
    def peak_height(self) -> int:
        """Number of new spreaders at that step."""
        return int(self.new_spreaders.max(initial=0))

    @property
    def edges(self) -> pd.DataFrame:
        """Pairs of agents between which the news may have travelled.

        Returns
        -------
        DataFrame
            ``parent`` and ``child`` (agents), ``step`` (at which the child posted),
            ``probability``. Where the probabilities of a child that posted after step 0 sum to
            less than 1, the rest is the probability that it had the news from the media.
        """
        pairs = self.sources[self.sources["parent"] != NOBODY]
        child = self.spreaders.iloc[pairs["child"]]
        return pd.DataFrame(
            {
                "parent": self.spreaders["agent"].to_numpy()[pairs["parent"]],
                "child": child["agent"].to_numpy(),
                "step": child["step"].to_numpy(),
                "probability": pairs["probability"].to_numpy(),
            }
        )

    def sample(self, rng: RNGLike = None) -> Forest:
        """Draw one way in which the news may have travelled.

        Parameters
        ----------
        rng : int, numpy.random.Generator or None
            Randomness.

        Returns
        -------
        Forest
        """
        return _sample(self.sources, as_generator(rng))

    def summary(self) -> str:
        """Return the shape of the cascade, in a few lines of text."""
        peak = "nobody reposted the news"
        if self.peak_step is not None:
            new = f"most at step {self.peak_step} ({self.peak_height} new)"
            peak = f"half of them by step {self.time_to_half}, {new}"
        lines = [f"{self.size} of {self.n} agents posted; {peak}."]
        for name, row in self.measures.iterrows():
            interval = f"{row['mean']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"
            lines.append(f"{str(name).replace('_', ' ')}: {interval}")
        # Bonferroni, over the five traits and the profile.
        adjusted = self.assortativity["p_value"] * len(self.assortativity)
        alike = self.assortativity[adjusted < 1 - self.level]
        lines += [
            f"same {name} of source and spreader: {row['observed']:.1%} of the pairs, "
            f"{row['expected']:.1%} expected (p = {row['p_value']:.2g})"
            for name, row in alike.iterrows()
        ]
        if alike.empty and adjusted.notna().any():
            lines.append("sources and spreaders are no more alike than by chance")
        return "\n".join(lines)


def cascade(
    data: SpreadData,
    network: Any = None,
    *,
    run: int | None = None,
    law: str | TransmissionLaw | None = None,
    draws: int = 200,
    level: float = 0.95,
    rng: RNGLike = None,
) -> Cascade:
    """Return how the news may have travelled in one run.

    Parameters
    ----------
    data : SpreadData
    network : Network, EdgeList, networkx.Graph or pair of array_like, optional
        The network, where it was given to the model as a graph; a named one is built again
        from the run's seed.
    run : int, optional
        Which run; may be left out if there is only one.
    law : TransmissionLaw or str, optional
        Weighs the media against neighbours where an agent that posted had seen both: a law with an
        offline part. By default :class:`~mesa_llmspread.OnlineOffline`, fitted to all runs.
    draws : int, default 200
        Number of forests to sample, at least 1.
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
        If there are several runs and ``run`` is not given; if the network is unknown, or is not
        the one of the run (agents would have seen other numbers of posts than recorded); if
        the starters are unknown.

    Notes
    -----
    *Sources.* The possible sources of a spreader are the neighbours whose posts were visible
    when it posted, as likely as their posts weighed. This is exact where neighbours act alike and
    independently, as under every law of :mod:`mesa_llmspread.transmission`. If the spreader saw the
    event itself at that step, the media are one more source: with the chances ``p`` of the law from
    the posts and ``alpha`` from the event, ``log(1 - alpha)`` against ``log(1 - p)``. A spreader
    that had the news from the media is the root of a tree, as a starter is.

    *Assortativity.* Profiles are shuffled only among the agents that posted at the same step.
    The comparison therefore allows for traits that post earlier or more often than others, and
    tests only whether sources and spreaders are alike.

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
    law = None if law is None else law_of(law)
    if run is None and len(data.runs) == 1:
        (run,) = data.runs
    if run not in data.runs:
        raise ArgumentError("run", run, f"be one of {data.runs}")
    info = data.info[run]
    found = network_of(info, network)
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
    check_network(log, found, posted_at, info.seen)
    sources = possible_sources(
        log, spreaders, found, posted_at, info.seen, media_shares(data, log, law)
    )
    number = sources.groupby("child").size().to_numpy()
    spreaders["sources"] = np.where(spreaders["step"] > 0, number, 0)
    generator = as_generator(rng)
    forests = [_sample(sources, generator) for _ in range(draws)]
    values = [[getattr(forest, name) for name in MEASURES] for forest in forests]
    deepest = max(forest.depth for forest in forests)
    counts = [np.bincount(forest.depths, minlength=deepest + 1) for forest in forests]
    return Cascade(
        run,
        found.n,
        spreaders,
        sources,
        pd.DataFrame(_interval(values, level), pd.Index(MEASURES, name="measure")),
        pd.DataFrame({"depth": range(deepest + 1), **_interval(counts, level)}),
        _assortativity(spreaders, sources, level, generator),
        level,
    )


def _spreaders(log: pd.DataFrame, info: RunInfo, agents: pd.DataFrame) -> pd.DataFrame:
    """Return the agents that posted, by step and number."""
    at_start = list(info.known("starters"))
    profiles = agents.set_index("agent")["profile"].reindex(at_start, fill_value=UNKNOWN)
    starters = pd.DataFrame({"agent": at_start, "step": 0, "profile": profiles.to_numpy()})
    # Without starters the columns would have no type.
    starters = starters.astype({"agent": "int64", "step": "int64", "profile": "str"})
    posted = log.loc[log["outcome"] == "repost", ["agent", "step", "profile"]]
    return pd.concat([starters, posted]).sort_values(["step", "agent"], ignore_index=True)


def _check_complete(spreaders: pd.DataFrame, infected: int) -> None:
    """Raise ArgumentError unless the record holds one post per agent that posted, and any."""
    agents = spreaders["agent"].nunique()
    if not len(spreaders) == agents == infected:
        raise ArgumentError(
            "data",
            f"{len(spreaders)} posts by {agents} agents",
            f"hold one post for each of the {infected} agents that have posted by its counts",
        )
    if spreaders.empty:
        raise ArgumentError("data", "0 posts", "be of a run in which at least one agent posted")


def _sample(sources: pd.DataFrame, rng: np.random.Generator) -> Forest:
    """Draw one source per spreader."""
    # The probabilities of a child's sources sum to 1, so all of them up to a child to its number.
    until, children = sources["probability"].cumsum(), sources["child"].to_numpy()
    last = np.flatnonzero(np.diff(children, append=children[-1] + 1))
    drawn = np.arange(len(last)) + rng.random(len(last))
    chosen = np.clip(np.searchsorted(until, drawn, side="right"), np.r_[0, last[:-1] + 1], last)
    return Forest(sources["parent"].to_numpy()[chosen])


def _interval(values: Any, level: float) -> dict[str, Any]:
    """Return the mean and range over the first axis."""
    tail = (1 - level) / 2
    low, high = np.quantile(values, (tail, 1 - tail), axis=0)
    return {"mean": np.mean(values, axis=0), "low": low, "high": high}


def _assortativity(
    spreaders: pd.DataFrame, sources: pd.DataFrame, level: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Compare how alike sources and spreaders are with shuffled profiles."""
    names = pd.Index([*(trait.value for trait in Trait), "profile"], name="trait")
    columns = ["observed", "expected", "low", "high", "p_value"]
    pairs = sources[sources["parent"] != NOBODY]
    if not pairs["probability"].sum() > 0 or (spreaders["profile"] == UNKNOWN).any():
        return pd.DataFrame(np.nan, names, columns)
    child, parent, weight = (pairs[name].to_numpy() for name in sources)
    high = np.array([[letter.isupper() for letter in code] for code in spreaders["profile"]])
    step = spreaders["step"].to_numpy()

    def alike(order: Ints) -> npt.NDArray[np.float64]:
        same = high[order[child]] == high[order[parent]]
        return np.asarray(weight @ np.column_stack([same, same.all(axis=1)]) / weight.sum())

    observed = alike(np.arange(len(step)))
    # Rows are in order of steps: sorting by (step, random number) shuffles within each step.
    shuffled = [alike(np.lexsort((rng.random(len(step)), step))) for _ in range(_PERMUTATIONS)]
    # Equal shares may differ in their last digits.
    above, below = (
        np.sum(way * (np.array(shuffled) - observed) >= -1e-12, axis=0) + 1 for way in (1, -1)
    )
    p_value = np.minimum(1.0, 2 * np.minimum(above, below) / (_PERMUTATIONS + 1))
    values = [observed, *_interval(shuffled, level).values(), p_value]
    return pd.DataFrame(np.transpose(values), names, columns)
