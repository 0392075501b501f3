"""A law as the decider: the stochastic agent-based model that language models are compared with."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mesa_llmspread._validation import check_kind
from mesa_llmspread.deciders.base import Decider, Decision, Exposure, toss
from mesa_llmspread.transmission import ExposureArrays, TransmissionLaw, Visibility, check_ages

__all__ = ["RateDecider", "exposure_arrays"]


class RateDecider(Decider):
    """Draw every decision with the probability of a law.

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
        check_kind("law", law, TransmissionLaw, "a TransmissionLaw, such as SI(0.05)")
        self.law = law
        self.name = str(law)
        self._latent: npt.NDArray[np.intp] | None = None  # the agents' classes, in one run

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        """Draw one decision per exposure; see :meth:`Decider.decide`."""
        laws = [law for _, law in self.law.mixture_components()]
        seen = exposure_arrays(exposures, any(law.uses_profile for law in laws))
        if self._latent is None:
            return toss(exposures, rng, self.law.checked_prob(seen))
        chances = [law.checked_prob(seen) for law in laws]
        return toss(exposures, rng, np.choose(self._latent[seen.agent], chances))

    def for_run(self, n: int, rng: np.random.Generator) -> Decider:
        """Draw latent classes, if the law has any; see :meth:`Decider.for_run`."""
        shares = [share for share, _ in self.law.mixture_components()]
        if len(shares) == 1:
            return self
        run = copy.copy(self)
        run._latent = np.searchsorted(np.cumsum(shares)[:-1], rng.random(n), side="right")
        return run

    def check_visibility(self, visibility: Visibility) -> None:
        """Check that contacts act independently; see :meth:`Decider.check_visibility`."""
        check_ages(self.law, visibility)

    def manifest(self) -> Mapping[str, Any]:
        """Return the law and its rates; see :meth:`Decider.manifest`."""
        return {"decider": "rates", "law": self.law.name, "parameters": self.law.parameters}


def exposure_arrays(exposures: Sequence[Exposure], by_profile: bool) -> ExposureArrays:
    """Return exposures of one step as the arrays that a law takes.

    Parameters
    ----------
    exposures : sequence of Exposure
    by_profile : bool
        Whether profiles and trait levels are used.

    Returns
    -------
    ExposureArrays
    """
    # Column by column: zip(*exposures) makes work for the garbage collector.
    return ExposureArrays(
        np.array([seen.contacts for seen in exposures]),
        np.array([seen.exposure_count for seen in exposures]),
        np.array([seen.direct for seen in exposures]),
        np.array([seen.profile.index for seen in exposures]) if by_profile else 0,
        np.array([seen.cumulative for seen in exposures]),
        # Posts age for all agents or for none.
        np.array([seen.weight for seen in exposures]) if exposures[0].weight is not None else None,
        step=exposures[0].step,
        news=exposures[0].news,
        agent=np.array([seen.agent for seen in exposures]),
        levels=np.array([seen.profile.levels for seen in exposures]) if by_profile else None,
    )
