"""The law of the agents of one profile, for a law that uses profiles."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from mesa_llmspread.profiles import codes
from mesa_llmspread.transmission.exposures import ExposureArrays
from mesa_llmspread.transmission.law import Floats, TransmissionLaw

__all__ = ["AtProfile"]


@dataclass(frozen=True)
class AtProfile(TransmissionLaw):
    """A law that uses profiles, for agents who all have one and the same."""

    law: TransmissionLaw
    profile: int

    def __post_init__(self) -> None:
        same = ("memory", "independent_contacts", "alpha", "offline")
        self._declare(**{name: getattr(self.law, name) for name in same})

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters of the law."""
        return self.law.parameters

    def online(self) -> TransmissionLaw:
        """Return the law without its offline part."""
        return AtProfile(self.law.online(), self.profile)

    def prob(self, seen: ExposureArrays) -> Floats:
        """Return the probability of posting; see :meth:`TransmissionLaw.prob`."""
        return self.law.prob(dataclasses.replace(seen, profile=self.profile, levels=None))

    def __str__(self) -> str:
        return f"{self.law}[{codes()[self.profile]}]"
