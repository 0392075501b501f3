"""The laws of the SI family at scale: many replicates, millions of agents.

The same stochastic model as a ``SpreadModel`` with a ``RateDecider`` (synchronous steps, one
decision per step for each susceptible agent that sees something), as compiled array code
without Mesa. The work of a run is proportional to the edges passed and the decisions made,
not to agents times steps, and an agent takes a few bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mesa_llmspread._figures import axes_for
from mesa_llmspread._validation import (
    check_contacts,
    checked_array,
    checked_indices,
    checked_int,
    checked_probability,
    checked_starters,
)
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.networks import Network, as_network
from mesa_llmspread.profiles import trait_levels
from mesa_llmspread.rng import RNGLike, as_seed
from mesa_llmspread.transmission import (
    Feed,
    TransmissionLaw,
    Visibility,
    as_visibility,
    check_ages,
    check_declarations,
    law_of,
    probability_to_rate,
)

if TYPE_CHECKING:
    import networkx as nx
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mesa_llmspread.simulation._kernels import Law

__all__ = ["Ensemble", "people_of", "simulate", "starters_of"]


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
        """Return the infected share I(t)/n by step, averaged over the replicates."""
        return pd.Series(self.infected.mean(axis=0) / self.n, self._steps, name="mean")

    def quantiles(self, probs: Sequence[float] = (0.025, 0.5, 0.975)) -> pd.DataFrame:
        """Return quantiles of the infected share I(t)/n over the replicates.

        Parameters
        ----------
        probs : sequence of float
            Which quantiles, each 0 to 1.

        Returns
        -------
        DataFrame
            One row per step, one column per quantile, named by its probability.
        """
        return pd.DataFrame(
            np.quantile(self.infected, probs, axis=0).T / self.n, self._steps, list(probs)
        )

    def to_frame(self) -> pd.DataFrame:
        """Return the replicates as one long table: run, step, susceptible, infected."""
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

    def plot(self, ax: Axes | None = None) -> Figure:
        """Draw the mean infected share, and the band of 95 % of the replicates.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure if not given.

        Returns
        -------
        matplotlib.figure.Figure
        """
        figure, axes = axes_for(ax)
        band = self.quantiles((0.025, 0.975))
        axes.fill_between(band.index, band[0.025], band[0.975], alpha=0.2, lw=0)
        axes.plot(self.mean(), label="stochastic model")
        axes.set(xlabel="step", ylabel="share that has posted", ylim=(0, 1.02))
        return figure

    @property
    def _steps(self) -> pd.Index[int]:
        return pd.RangeIndex(self.infected.shape[1], name="step")


def simulate(
    law: TransmissionLaw | str,
    network: Network | nx.Graph[Any] | tuple[npt.ArrayLike, npt.ArrayLike],
    initial_infected: int | Sequence[int] | npt.NDArray[np.integer[Any]] = 10,
    steps: int = 50,
    replicates: int = 1,
    feed: Feed = "persistent",
    profiles: npt.ArrayLike | None = None,
    rng: RNGLike = None,
    threads: int | None = None,
    *,
    visibility: Visibility | str | None = None,
    media_prob: float | None = None,
    failed_share: float = 0.0,
) -> Ensemble:
    """Run replicates of the stochastic model of a law on one network.

    Steps are synchronous: who posts at step t depends on who had posted before it.

    Parameters
    ----------
    law : TransmissionLaw or str
        The law, with its parameters' values; text such as ``"SI(0.05)"`` will do.
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
    profiles : sequence of int, shape (n,), or of float, shape (n, 5), optional
        Index of each agent's profile in ``all_profiles()``, or its five trait levels. If not
        given, profiles are drawn uniformly for each replicate; latent classes are always drawn.
        Laws without profiles ignore them.
    rng : int, numpy.random.Generator or None
        Randomness; every replicate has a stream of its own.
    threads : int, optional
        How many replicates run at a time; by default one per processor. The result does not
        depend on it.
    visibility : Visibility or str, optional
        In place of ``feed``: for how many steps a post stays in view, and how its effect fades.
        Only laws whose contacts act independently have an effect per post that can fade.
    media_prob : float, optional
        Probability per step that a susceptible agent sees the event itself; if not given, 1
        for a law with an offline part, else 0.
    failed_share : float, default 0
        Share of the decisions that fail, and leave the agent as it was.

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
    from joblib import cpu_count

    law = law_of(law)
    direct = float(law.offline)
    if media_prob is not None:
        direct = checked_probability("media_prob", media_prob)
    failed_share = checked_probability("failed_share", failed_share)
    alpha = law.alpha * direct
    seen = as_visibility(visibility, feed)
    check_ages(law, seen)
    for _, part in law.mixture_components():
        check_declarations(part, direct > 0)
    graph = as_network(network)
    check_contacts("network", network, int(graph.degrees.max()), "alpha", alpha)
    starters, n_starters = starters_of(initial_infected, graph.n, alpha)
    steps = checked_int("steps", steps, 0)
    replicates = checked_int("replicates", replicates, 1)
    workers = cpu_count() if threads is None else checked_int("threads", threads, 1)
    people = None if profiles is None else people_of(profiles, graph.n)
    people = people if law.uses_profile else None
    coded, codes, count_bits, tables = _coded(law, graph, seen, people, direct, failed_share)

    infected = np.empty((replicates, steps + 1), np.int64)
    seeds = np.random.SeedSequence(as_seed(rng)).generate_state(2 * replicates, np.uint64)
    seeds = seeds.reshape(replicates, 2)

    def run(part: slice) -> None:
        rest = (codes, starters, n_starters, seeds[part], infected[part])
        if seen.feed:
            from mesa_llmspread.simulation._kernels import spread

            return spread(graph.indptr, graph.indices, coded, *rest)
        links, window = (graph.indptr, graph.indices), seen.visible_for
        if not seen.ages:
            from mesa_llmspread.simulation._windows import spread_windows

            cumulative = any(part.memory == "cumulative" for _, part in law.mixture_components())
            return spread_windows(*links, coded, (window, count_bits, cumulative), *rest)
        from mesa_llmspread.simulation._fading import Fading, spread_fading

        weights = np.r_[0.0, seen.weights(steps)], seen.event_weights(steps + 1)
        rates = probability_to_rate(tables)
        fading = Fading(*weights, rates, count_bits, window or 0, law.alpha, direct)
        return spread_fading(*links, coded, fading, *rest)

    workers = min(workers, replicates)
    # Several parts per thread, so that none waits long for the slowest.
    bounds = np.linspace(0, replicates, min(4 * workers, replicates) + 1).astype(int)
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(run, map(slice, bounds[:-1], bounds[1:])))
    return Ensemble(infected, graph.n)


def starters_of(value: Any, n: int, alpha: float) -> tuple[npt.NDArray[np.int64], int]:
    """Return which agents have posted at the start, if they are named, and how many.

    Parameters
    ----------
    value : int or sequence of int
        As :func:`simulate` takes ``initial_infected``.
    n : int
        Number of agents.
    alpha : float
        Probability per step that the event itself makes an agent post.

    Returns
    -------
    starters : ndarray of int
        Empty where only their number is given.
    number : int

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If they do not fit n agents.
    """
    name, expected = "initial_infected", "an int or a sequence of ints"
    named = checked_array(name, value, expected).ndim > 0
    starters = checked_indices(name, value if named else [], n)
    if len(np.unique(starters)) < len(starters):
        raise ArgumentError(name, value, "name no agent twice")
    return starters, checked_starters(len(starters) if named else value, n, "alpha", alpha)


def people_of(profiles: Any, n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the row of each agent among different people, and the trait levels of those.

    Parameters
    ----------
    profiles : sequence of int, shape (n,), or of float, shape (n, 5)
        As :func:`simulate` takes them.
    n : int
        Number of agents.

    Returns
    -------
    index : ndarray of int, shape (n,)
    levels : ndarray of float, shape (people, 5)

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If they do not fit n agents.
    """
    expected = "one index, or a row of five trait levels, for each agent"
    if checked_array("profiles", profiles, expected).ndim == 2:
        rows = checked_array("profiles", profiles, expected, float)
        levels, index = np.unique(rows, axis=0, return_inverse=True)
    else:
        levels, index = trait_levels(), checked_indices("profiles", profiles, 32)
    if levels.shape[1] != 5 or index.size != n:
        wanted = f"hold one index, or a row of five trait levels, for each of n={n} agents"
        raise ArgumentError("profiles", profiles, wanted)
    return index.ravel(), levels


def _coded(
    law: TransmissionLaw,
    network: Network,
    seen: Visibility,
    people: tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]] | None,
    direct: float,
    failed_share: float,
) -> tuple[Law, npt.NDArray[Any], int, npt.NDArray[np.float64]]:
    """Return a law, and the code that every agent starts with, as the compiled loop takes them.

    Also the number of bits that count contacts, and the online chances of one contact.
    """
    from mesa_llmspread.simulation._kernels import Law

    if people is not None and len(law.mixture_components()) > 1:
        allowed = f"be left out for {law}, whose latent classes use them"
        raise ArgumentError("profiles", people[0], allowed)
    shares, laws = zip(*(law.classes() if people is None else [(1.0, law)]), strict=True)
    memories = {part.memory for part in laws}
    if seen.visible_for and "cumulative" in memories and len(memories) > 1:
        raise ArgumentError("law", law, "have classes that all count past neighbours, or none")
    cuts = np.cumsum(shares)[:-1]
    # The laws by class, first or later occasion (where it matters) and count.
    occasions = np.array([1, 2] if "first_repeat" in memories else [1])
    index, levels = people or (np.zeros(network.n, np.int64), trait_levels()[:1])
    profile = (levels > 0) @ [16, 8, 4, 2, 1]
    number = np.arange(network.degrees.max() + 1)
    who = {"profile": profile[:, None, None], "levels": levels[:, None, None]}
    tables = [part.online().evaluate(number, occasions[:, None], **who) for part in laws]
    online, heard = np.concatenate(tables), 1.0 - failed_share
    table = heard * (1.0 - (1.0 - law.alpha * direct) * (1.0 - online))
    classes, _, counts = table.shape
    count_bits = (counts - 1).bit_length()
    class_shift = count_bits + (len(occasions) - 1).bit_length()
    listed = 1 << (class_shift + (classes - 1).bit_length())
    forgotten = 0
    if seen.feed == "new":
        forgotten = listed | (0 if "cumulative" in memories else (1 << count_bits) - 1)
    thresholds = np.zeros((classes, len(occasions), 1 << count_bits))
    thresholds[:, :, :counts] = table
    remembered = (1 << count_bits) * (len(occasions) - 1)
    coded = Law(
        thresholds=_in_53_bits(thresholds.ravel()),
        listed=listed,
        posted=2 * listed,
        kept=(4 * listed - 1) & ~forgotten,
        remembered=remembered,
        stays=int(seen.feed != "new"),
        class_shift=class_shift,
        class_cuts=_in_53_bits(cuts),
        heard=_in_53_bits(heard),
        # Where sightings are no occasions to remember, only those count that lead to a post.
        media=heard * direct * (1.0 if remembered else law.alpha),
        offline=_in_53_bits(law.alpha if remembered else law.alpha * direct > 0),
    )
    kind = np.min_scalar_type(4 * listed - 1)
    one = online[..., min(1, counts - 1)].ravel()
    return coded, (index << class_shift).astype(kind), count_bits, one


def _in_53_bits(probabilities: npt.ArrayLike) -> Any:
    """Return the number below which 53 random bits lie with a probability."""
    return np.rint(np.multiply(probabilities, 2.0**53)).astype(np.uint64)
