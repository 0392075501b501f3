"""A law as the decider: the stochastic agent-based model that language models are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mesa_llmspread.deciders.base import Decider, Decision, Exposure, Outcome
from mesa_llmspread.exceptions import ArgumentTypeError
from mesa_llmspread.profiles import Profile
from mesa_llmspread.streams import agent_uniforms
from mesa_llmspread.transmission import Structure, TwoClass

__all__ = ["RateDecider"]

_REPOST = Decision(Outcome.REPOST)
_DECLINE = Decision(Outcome.DECLINE)


class RateDecider(Decider):
    """Every decision is a coin with the probability that a law gives it.

    Parameters
    ----------
    structure : Structure
        The law and its rates, such as ``SI(0.05)``.

    Notes
    -----
    An agent's coin at a step depends on the run's seed, the step and the agent's index
    alone. With a latent :class:`~mesa_llmspread.transmission.TwoClass` the agents' classes
    are drawn once a run.

    Examples
    --------
    >>> from mesa_llmspread import SI, SpreadModel
    >>> model = SpreadModel(n=50, k=4, decider=RateDecider(SI(1.0)), rng=1)
    >>> model.step()
    >>> model.susceptible < 40
    True
    """

    def __init__(self, structure: Structure) -> None:
        if not isinstance(structure, Structure):
            raise ArgumentTypeError("structure", structure, "a Structure, such as SI(0.05)")
        self.structure = structure
        self.name = str(structure)

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        """Toss one coin an exposure; see :meth:`Decider.decide`."""
        _, agents, profiles, _, *seen, _ = zip(*exposures, strict=True)
        chance = self._probabilities(np.array(agents), profiles, np.array(seen, dtype=np.int64))
        reposts = agent_uniforms(rng, agents) < chance
        return [_REPOST if repost else _DECLINE for repost in reposts.tolist()]

    def for_run(self, n: int, rng: np.random.Generator) -> Decider:
        """Draw latent classes, if the law has any; see :meth:`Decider.for_run`."""
        if isinstance(self.structure, TwoClass) and self.structure.high is None:
            return _LatentClasses(self.structure, rng.random(n) < self.structure.share_high)
        return self

    def manifest(self) -> Mapping[str, Any]:
        """Name the law and its rates; see :meth:`Decider.manifest`."""
        return {
            "decider": "rates",
            "structure": self.structure.name,
            "parameters": self.structure.parameters,
        }

    def _probabilities(
        self,
        agents: npt.NDArray[np.int64],
        profiles: Sequence[Profile],
        seen: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.float64]:
        return _chance(self.structure, profiles, seen)


class _LatentClasses(RateDecider):
    """One run of a latent two-class law: which agents are in the high class."""

    def __init__(self, structure: TwoClass, is_high: npt.NDArray[np.bool_]) -> None:
        super().__init__(structure)
        self._is_high = is_high
        (_, self._low), (_, self._high) = structure.classes()

    def for_run(self, n: int, rng: np.random.Generator) -> Decider:
        return RateDecider(self.structure).for_run(n, rng)

    def _probabilities(
        self,
        agents: npt.NDArray[np.int64],
        profiles: Sequence[Profile],
        seen: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.float64]:
        low, high = (_chance(law, profiles, seen) for law in (self._low, self._high))
        return np.where(self._is_high[agents], high, low)


def _chance(
    structure: Structure, profiles: Sequence[Profile], seen: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Probability of posting at each exposure, from its fields as columns."""
    contacts, cumulative, exposure, direct = seen
    index = [profile.index for profile in profiles] if structure.needs_profile else 0
    return structure.prob(contacts, exposure, direct, index, cumulative)
