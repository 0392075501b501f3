"""The laws of the SI family at scale: many replicates, millions of agents.

The same stochastic model as a ``SpreadModel`` with a ``RateDecider`` (synchronous steps, one
decision a step for each susceptible agent that sees something), as compiled array code
without Mesa. The work of a run is proportional to the edges passed and the decisions made,
not to agents times steps, and an agent takes a few bytes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from mesa_llmspread._validation import check_contacts, checked_int, checked_starters
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, UnknownNameError
from mesa_llmspread.networks import Network, as_network
from mesa_llmspread.rng import RNGLike, as_seed
from mesa_llmspread.transmission import TransmissionLaw, check_memory

if TYPE_CHECKING:
    import networkx as nx

    from mesa_llmspread.simulation._kernels import Law

__all__ = ["Ensemble", "Feed", "simulate"]

Feed = Literal["persistent", "new"]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Replicates of one stochastic model.

    Parameters
    ----------
    infected : ndarray of int, shape (replicates, steps + 1)
        Number of agents that have posted, after each step of each replicate.
    n : int
        Number of agents.

    Examples
    --------
    >>> Ensemble(np.array([[1, 2], [1, 4]]), n=4).mean().tolist()
    [0.25, 0.75]
    """

    infected: npt.NDArray[np.int64]
    n: int

    def mean(self) -> pd.Series[float]:
        """Average the infected share I(t)/n over the replicates, by step."""
        return pd.Series(self.infected.mean(axis=0) / self.n, self._steps, name="mean")

    def quantiles(self, probs: Sequence[float] = (0.025, 0.5, 0.975)) -> pd.DataFrame:
        """Give quantiles of the infected share I(t)/n over the replicates.

        Parameters
        ----------
        probs : sequence of float
            Which quantiles, each 0 to 1.

        Returns
        -------
        DataFrame
            One row a step, one column a quantile, named by its probability.
        """
        return pd.DataFrame(
            np.quantile(self.infected, probs, axis=0).T / self.n, self._steps, list(probs)
        )

    def to_frame(self) -> pd.DataFrame:
        """Lay the replicates out as one long table: run, step, susceptible, infected."""
        runs, steps = self.infected.shape
        infected = self.infected.ravel()
        return pd.DataFrame(
            {
                "run": np.repeat(np.arange(runs), steps),
                "step": np.tile(np.arange(steps), runs),
                "susceptible": self.n - infected,
                "infected": infected,
            }
        )

    @property
    def _steps(self) -> pd.Index[int]:
        return pd.RangeIndex(self.infected.shape[1], name="step")


def simulate(
    law: TransmissionLaw,
    network: Network | nx.Graph[Any] | tuple[npt.ArrayLike, npt.ArrayLike],
    initial_infected: int | Sequence[int] | npt.NDArray[np.integer[Any]] = 10,
    steps: int = 50,
    replicates: int = 1,
    feed: Feed = "persistent",
    profiles: Sequence[int] | npt.NDArray[np.integer[Any]] | None = None,
    rng: RNGLike = None,
    threads: int | None = None,
) -> Ensemble:
    """Run replicates of the stochastic model of a law on one network.

    Steps are synchronous: who posts at step t depends on who had posted before it. With
    ``OnlineOffline`` every susceptible agent sees the event itself in every step, whether
    neighbours have posted or not.

    Parameters
    ----------
    law : TransmissionLaw
        The law, with its parameters' values.
    network : Network, networkx.Graph or pair of array_like (indptr, indices)
        Who sees whose posts; see :func:`~mesa_llmspread.networks.as_network`.
    initial_infected : int or sequence of int, default 10
        How many agents, drawn uniformly for each replicate, or which agents have posted at
        the start; none of them, and a network without edges, only where alpha > 0 shows the
        event itself.
    steps : int, default 50
        Number of steps.
    replicates : int, default 1
        Number of runs; the first ones do not change when there are more.
    feed : {"persistent", "new"}, default "persistent"
        Whether a post stays visible for good, or in the step after it only.
    profiles : sequence of int, shape (n,), optional
        Index of each agent's profile in ``all_profiles()``. If not given, profiles are drawn
        uniformly for each replicate; latent classes are always drawn. Laws without profiles
        take no notice.
    rng : int, numpy.random.Generator or None
        Randomness; every replicate has a stream of its own.
    threads : int, optional
        How many replicates run at a time; by default one a processor. The result does not
        depend on it.

    Returns
    -------
    Ensemble

    Raises
    ------
    ArgumentError
        If steps < 0, replicates < 1, threads < 1, starters or profiles do not fit the
        network, or the network is not undirected and simple.
    ArgumentTypeError
        If an argument is of the wrong kind.
    UnknownNameError
        If the feed is not known.

    Examples
    --------
    >>> from mesa_llmspread import SI
    >>> from mesa_llmspread.networks import random_regular
    >>> ring = random_regular(3, 2)
    >>> simulate(SI(1.0), ring, initial_infected=[0], steps=2).infected.tolist()
    [[1, 3, 3]]
    """
    from mesa_llmspread.simulation._kernels import spread

    if not isinstance(law, TransmissionLaw):
        raise ArgumentTypeError("law", law, "a law with values, such as SI(0.05)")
    alpha = law.parameters.get("alpha", 0.0)
    if feed not in get_args(Feed):
        raise UnknownNameError("feed", feed, get_args(Feed))
    for _, part in law.mixture_components():
        check_memory(part)
    graph = as_network(network)
    check_contacts("network", network, int(graph.degrees.max()), "alpha", alpha)
    starters, n_starters = _starters(initial_infected, graph.n, alpha)
    steps = checked_int("steps", steps, 0)
    replicates = checked_int("replicates", replicates, 1)
    workers = _processors() if threads is None else checked_int("threads", threads, 1)
    coded, codes = _coded(law, graph, feed, _checked_profiles(profiles, graph.n))

    infected = np.empty((replicates, steps + 1), np.int64)
    seeds = np.random.SeedSequence(as_seed(rng)).generate_state(2 * replicates, np.uint64)
    seeds = seeds.reshape(replicates, 2)

    def run(part: slice) -> None:
        spread(
            graph.indptr,
            graph.indices,
            coded,
            codes,
            starters,
            n_starters,
            seeds[part],
            infected[part],
        )

    workers = min(workers, replicates)
    if workers == 1:
        run(slice(None))
    else:
        # Several parts a thread, so that none waits long for the slowest.
        bounds = np.linspace(0, replicates, min(4 * workers, replicates) + 1).astype(int)
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(run, map(slice, bounds[:-1], bounds[1:])))
    return Ensemble(infected, graph.n)


def _coded(
    law: TransmissionLaw, network: Network, feed: Feed, profiles: npt.NDArray[np.int64] | None
) -> tuple[Law, npt.NDArray[Any]]:
    """Put a law, and the code every agent starts with, in the form the compiled loop takes."""
    from mesa_llmspread.simulation._kernels import Law

    most = int(network.degrees.max())
    given = profiles if law.uses_profile else None
    if given is not None and len(law.mixture_components()) > 1:
        raise ArgumentError(
            "profiles", "given", f"be left out for {law}, whose latent classes use them"
        )
    shares, laws = zip(*([(1.0, law)] if given is not None else law.classes()), strict=True)
    memories = {part.memory for part in laws}
    if feed == "new" and "cumulative" in memories and len(memories) > 1:
        raise ArgumentError("law", law, "have classes that all count past neighbours, or none")
    cuts = np.cumsum(shares)[:-1]
    occasions = np.array([1, 2] if "first_repeat" in memories else [1])
    profiles = np.arange(32 if given is not None else 1)
    table = np.concatenate([_probabilities(part, most, occasions, profiles) for part in laws])
    classes, _, counts = table.shape
    count_bits = (counts - 1).bit_length()
    class_shift = count_bits + (len(occasions) - 1).bit_length()
    listed = 1 << (class_shift + (classes - 1).bit_length())
    forgotten = 0
    if feed == "new":
        forgotten = listed | (0 if "cumulative" in memories else (1 << count_bits) - 1)
    thresholds = np.zeros((classes, len(occasions), 1 << count_bits))
    thresholds[:, :, :counts] = table
    coded = Law(
        thresholds=_in_53_bits(thresholds.ravel()),
        listed=listed,
        posted=2 * listed,
        kept=(4 * listed - 1) & ~forgotten,
        remembered=(1 << count_bits) * (len(occasions) - 1),
        stays=int(feed == "persistent"),
        class_shift=class_shift,
        class_cuts=_in_53_bits(cuts),
        offline=float(law.evaluate(0, direct=True)) if law.offline else 0.0,
    )
    codes = np.zeros(network.n, np.min_scalar_type(4 * listed - 1))
    if given is not None:
        codes[:] = given << class_shift
    return coded, codes


def _probabilities(
    law: TransmissionLaw,
    most: int,
    occasions: npt.NDArray[np.int64],
    profiles: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Tabulate a law by profile, first or later occasion (where it matters) and count."""
    counts = np.arange(most + 1)
    return law.evaluate(counts, exposure_count=occasions[:, None], profile=profiles[:, None, None])


def _in_53_bits(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    """Give the number below which 53 random bits lie with a probability."""
    return np.rint(probabilities * 2.0**53).astype(np.uint64)


def _starters(given: Any, n: int, alpha: float) -> tuple[npt.NDArray[np.int64], int]:
    """Take the agents that have posted at the start, or how many are to be drawn."""
    if np.ndim(given) == 0:
        return np.empty(0, np.int64), checked_starters(given, n, "alpha", alpha)
    agents = _checked_agents("initial_infected", given, n)
    if len(np.unique(agents)) < len(agents):
        raise ArgumentError("initial_infected", given, "name no agent twice")
    checked_starters(len(agents), n, "alpha", alpha)
    return agents, len(agents)


def _checked_profiles(given: Any, n: int) -> npt.NDArray[np.int64] | None:
    """Take one profile an agent, or none at all."""
    if given is None:
        return None
    profiles = _checked_agents("profiles", given, 32)
    if len(profiles) != n:
        raise ArgumentError("profiles", given, f"hold one index an agent: {n}, not {len(profiles)}")
    return profiles


def _checked_agents(name: str, given: Any, below: int) -> npt.NDArray[np.int64]:
    """Take a sequence of indices from 0 to ``below - 1``, or say why not."""
    indices = np.asarray(given)
    if indices.ndim != 1 or (indices.size and not np.issubdtype(indices.dtype, np.integer)):
        raise ArgumentTypeError(name, given, "a sequence of ints")
    if indices.size and not 0 <= indices.min() <= indices.max() < below:
        raise ArgumentError(name, given, f"hold indices from 0 to {below - 1}")
    return indices.astype(np.int64)


def _processors() -> int:
    """Count the processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
