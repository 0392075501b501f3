"""Randomness: one seed per run, and from it one independent stream per purpose.

A change in one part of a model (another network, one more agent) must not change the draws
of another part, so nothing shares a stream; and an agent's draws at a step depend on its
index alone, so they do not shift when other agents come or go.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError

__all__ = ["RNGLike", "Streams", "agent_uniforms", "as_generator", "as_seed", "spawn_seeds"]

RNGLike = int | np.random.Generator | None


def as_seed(rng: RNGLike) -> int:
    """Return the seed that an argument ``rng`` stands for.

    Parameters
    ----------
    rng : int, numpy.random.Generator or None
        An int is the seed itself; a generator gives one (and moves on); None asks the
        operating system.

    Returns
    -------
    int
        A number from 0 to 2**63 - 1.

    Raises
    ------
    ArgumentError
        If an int is negative or not below 2**63.
    ArgumentTypeError
        If ``rng`` is anything else.
    """
    if rng is None:
        return secrets.randbits(63)
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(2**63, dtype=np.uint64))
    if isinstance(rng, int | np.integer) and not isinstance(rng, bool):
        if not 0 <= rng < 2**63:
            raise ArgumentError("rng", rng, "be a seed from 0 to 2**63 - 1")
        return int(rng)
    raise ArgumentTypeError("rng", rng, "an int seed, a numpy.random.Generator or None")


def as_generator(rng: RNGLike) -> np.random.Generator:
    """Return the generator that an argument ``rng`` stands for.

    Parameters
    ----------
    rng : int, numpy.random.Generator or None
        A generator is used as it is; an int seeds a new one; None asks the operating system.

    Returns
    -------
    numpy.random.Generator
    """
    return rng if isinstance(rng, np.random.Generator) else np.random.default_rng(as_seed(rng))


def spawn_seeds(rng: RNGLike, runs: int) -> list[int]:
    """Derive one seed per run; the first ones do not change when there are more runs.

    Parameters
    ----------
    rng : int, numpy.random.Generator or None
        Randomness.
    runs : int
        How many seeds, at least 0.

    Returns
    -------
    list of int
        Seeds as :func:`as_seed` returns them.
    """
    children = np.random.SeedSequence(as_seed(rng)).spawn(runs)
    return [int(child.generate_state(1, np.uint64)[0] >> np.uint64(1)) for child in children]


class Streams:
    """The random streams of one run, all derived from its seed.

    Parameters
    ----------
    seed : int
        The run's seed, as :func:`as_seed` returns it.

    Attributes
    ----------
    network, population, starters, decider : numpy.random.Generator
        For the network's edges, the agents' profiles, the first spreaders, and what a
        decider draws once per run (hidden classes).
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        *whole_run, self._media, self._decisions = np.random.SeedSequence(seed).spawn(6)
        self.network, self.population, self.starters, self.decider = map(
            np.random.default_rng, whole_run
        )

    def media(self, step: int) -> np.random.Generator:
        """Return the stream for who sees the event itself at a step."""
        return _of_step(self._media, step)

    def decisions(self, step: int) -> np.random.Generator:
        """Return the stream of the decisions at a step."""
        return _of_step(self._decisions, step)


def _of_step(purpose: np.random.SeedSequence, step: int) -> np.random.Generator:
    """Return one generator per step, so that no step's draws depend on an earlier step's."""
    key = (*purpose.spawn_key, step)
    return np.random.default_rng(np.random.SeedSequence(purpose.entropy, spawn_key=key))


def agent_uniforms(
    rng: np.random.Generator | int, agents: Sequence[int] | npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """Draw one uniform number per agent that depends only on the stream and its index.

    SplitMix64 (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195) read at position
    ``agent``: the stream gives one 64-bit key, whatever the number of agents.

    Parameters
    ----------
    rng : numpy.random.Generator or int
        The step's stream, of which one integer is drawn; or a key of 64 bits.
    agents : sequence of int
        Indices of the agents that decide.

    Returns
    -------
    ndarray of float, shape (len(agents),)
        Numbers in [0, 1).

    Examples
    --------
    >>> few = agent_uniforms(np.random.default_rng(1), [3, 5])
    >>> more = agent_uniforms(np.random.default_rng(1), [0, 3, 4, 5])
    >>> bool((few == more[[1, 3]]).all())
    True
    """
    key = np.uint64(rng) if isinstance(rng, int) else rng.integers(2**64, dtype=np.uint64)
    z = np.asarray(agents, dtype=np.uint64)
    z = key + (z + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
