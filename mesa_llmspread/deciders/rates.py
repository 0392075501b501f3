"""A law as the decider: the stochastic agent-based model that language models are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mesa_llmspread.deciders.base import Decider, Decision, Exposure, Outcome, coins
from mesa_llmspread.exceptions import ArgumentTypeError
from mesa_llmspread.transmission import ExposureArrays, TransmissionLaw

__all__ = ["RateDecider"]

_REPOST = Decision(Outcome.REPOST)
_DECLINE = Decision(Outcome.DECLINE)


class RateDecider(Decider):
    """Every decision is a coin with the probability that a law gives it.

    Parameters
    ----------
    law : TransmissionLaw
        The law and its rates, such as ``SI(0.05)``.

    Notes
    -----
    A decision's coin depends on the run's seed, the event, the step and the agent's index
    alone. Latent classes are drawn once per run.

    Examples
    --------
    >>> from mesa_llmspread import SI, SpreadModel
    >>> model = SpreadModel(n=50, k=4, decider=RateDecider(SI(1.0)), rng=1)
    >>> model.step()
    >>> model.susceptible < 40
    True
    """

    def __init__(self, law: TransmissionLaw) -> None:
        if not isinstance(law, TransmissionLaw):
            raise ArgumentTypeError("law", law, "a TransmissionLaw, such as SI(0.05)")
        self.law = law
        self.name = str(law)
        self._by_profile = any(part.uses_profile for _, part in law.mixture_components())

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        """Toss one coin per exposure; see :meth:`Decider.decide`."""
        reposts = coins(exposures, rng) < self._chance(_arrays(exposures, self._by_profile))
        return [_REPOST if repost else _DECLINE for repost in reposts.tolist()]

    def for_run(self, n: int, rng: np.random.Generator) -> Decider:
        """Draw latent classes, if the law has any; see :meth:`Decider.for_run`."""
        shares, laws = zip(*self.law.mixture_components(), strict=True)
        if len(laws) == 1:
            return self
        latent = np.searchsorted(np.cumsum(shares)[:-1], rng.random(n), side="right")
        return _LatentClasses(self.law, laws, latent)

    def manifest(self) -> Mapping[str, Any]:
        """Name the law and its rates; see :meth:`Decider.manifest`."""
        return {"decider": "rates", "law": self.law.name, "parameters": self.law.parameters}

    def _chance(self, seen: ExposureArrays) -> npt.NDArray[np.float64]:
        return self.law.checked_prob(seen)


class _LatentClasses(RateDecider):
    """One run of a law with latent classes: which agent is in which."""

    def __init__(
        self,
        law: TransmissionLaw,
        laws: Sequence[TransmissionLaw],
        latent: npt.NDArray[np.intp],
    ) -> None:
        super().__init__(law)
        self._laws = laws
        self._latent = latent

    def for_run(self, n: int, rng: np.random.Generator) -> Decider:
        return RateDecider(self.law).for_run(n, rng)

    def _chance(self, seen: ExposureArrays) -> npt.NDArray[np.float64]:
        return np.choose(self._latent[seen.agent], [law.checked_prob(seen) for law in self._laws])


def _arrays(exposures: Sequence[Exposure], by_profile: bool) -> ExposureArrays:
    """Return exposures of one step as columns; profiles and trait levels if they are used."""
    # Column by column: zip(*exposures) makes work for the garbage collector.
    return ExposureArrays(
        np.array([seen.contacts for seen in exposures]),
        np.array([seen.exposure_count for seen in exposures]),
        np.array([seen.direct for seen in exposures]),
        np.array([seen.profile.index for seen in exposures]) if by_profile else 0,
        np.array([seen.cumulative for seen in exposures]),
        step=exposures[0].step,
        agent=np.array([seen.agent for seen in exposures]),
        levels=np.array([seen.profile.levels for seen in exposures]) if by_profile else None,
    )
