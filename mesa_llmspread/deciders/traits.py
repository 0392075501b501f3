"""A policy of traits, event and social reinforcement: stands in for a language model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from mesa_llmspread.deciders.base import Decider, Decision, Exposure, Outcome
from mesa_llmspread.events import OfflineEvent
from mesa_llmspread.streams import agent_uniforms

__all__ = ["TraitDecider"]

_REPOST = Decision(Outcome.REPOST)
_DECLINE = Decision(Outcome.DECLINE)


@dataclasses.dataclass(frozen=True)
class TraitDecider(Decider):
    r"""Logistic policy of the five traits, the event, and what the neighbours do.

    It stands in for a language model so that everything runs without one. It is NOT one:
    what comes out of it shows what the tools do, not how language models or people behave.

    The log-odds of a repost are ::

        intercept + first * [first exposure] + contacts * log2(max(m, 1)) + direct * [direct]
        + openness * O + conscientiousness * C + extraversion * E
        + agreeableness * A + neuroticism * N
        + fatalities * log10(1 + deaths) + civilians * [civilians targeted] + type offset

    with trait levels in standard deviations and m the posting neighbours in view.

    Parameters
    ----------
    intercept : float, default -4.1
        Illustrative: about 2 % a repeat exposure to one neighbour's post, for an average
        event and person.
    first : float, default 1.6
        Added at the first exposure. Illustrative; positive, since news is shared while new.
    contacts : float, default 0.69
        Added for each doubling of the posting neighbours. At log(2) = 0.69 the odds are in
        proportion to their number, as if each acted on its own; that several move more
        than one is as in Centola (2010), doi:10.1126/science.1185231.
    direct : float, default 0.5
        Added when the agent saw the event itself through the media. Illustrative.
    openness : float, default 0.0
        The sign is unclear in people (Lin et al. 2024).
    conscientiousness : float, default -0.16
    extraversion : float, default 0.27
    agreeableness : float, default -0.33
    neuroticism : float, default -0.16
        A standard deviation more of the trait. Signs and sizes from the correlations of the
        traits with sharing in people, r = -.03, +.05, -.06, -.03 (27 studies, N = 31,969; Lin
        et al. 2024, PLOS ONE, doi:10.1371/journal.pone.0303770), turned into log-odds by
        r * pi / sqrt(3) and then tripled, since language models that play a personality
        exaggerate it; the factor 3 is illustrative.
    fatalities : float, default 0.25
        Added for each tenfold of deaths. Positive, as negative news draws more attention
        (Robertson et al. 2023, doi:10.1038/s41562-023-01538-4); size illustrative.
    civilians : float, default 0.25
        Added when civilians were the target. Illustrative.
    event_types : mapping of str to float
        Offset of each ACLED event type. Illustrative.

    Examples
    --------
    >>> from mesa_llmspread import SpreadModel
    >>> SpreadModel(n=50, k=4, decider=TraitDecider(), rng=1).run(20).infected > 10
    True
    """

    intercept: float = -4.1
    first: float = 1.6
    contacts: float = 0.69
    direct: float = 0.5
    openness: float = 0.0
    conscientiousness: float = -0.16
    extraversion: float = 0.27
    agreeableness: float = -0.33
    neuroticism: float = -0.16
    fatalities: float = 0.25
    civilians: float = 0.25
    event_types: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: {
            "Battles": 0.0,
            "Explosions/Remote violence": 0.1,
            "Violence against civilians": 0.1,
            "Riots": -0.1,
            "Protests": -0.2,
            "Strategic developments": -0.4,
        }
    )

    name = "traits"

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        """Toss one coin an exposure; see :meth:`Decider.decide`."""
        chance = self.probabilities(exposures)
        reposts = agent_uniforms(rng, [exposure.agent for exposure in exposures]) < chance
        return [_REPOST if repost else _DECLINE for repost in reposts.tolist()]

    def probabilities(self, exposures: Sequence[Exposure]) -> npt.NDArray[np.float64]:
        """Give the probability of a repost at each exposure.

        Parameters
        ----------
        exposures : sequence of Exposure

        Returns
        -------
        ndarray of float, shape (len(exposures),)
        """
        weights = np.array(
            [
                self.openness,
                self.conscientiousness,
                self.extraversion,
                self.agreeableness,
                self.neuroticism,
            ]
        )
        levels = np.array([exposure.profile.levels for exposure in exposures])
        seen = np.array([exposure.contacts for exposure in exposures])
        is_first = np.array([exposure.exposure == 1 for exposure in exposures])
        is_direct = np.array([exposure.direct for exposure in exposures])
        news = {event: self._newsworthiness(event) for event in {x.event for x in exposures}}
        return expit(
            self.intercept
            + self.first * is_first
            + self.contacts * np.log2(np.maximum(seen, 1))
            + self.direct * is_direct
            + levels @ weights
            + np.array([news[exposure.event] for exposure in exposures])
        )

    def manifest(self) -> Mapping[str, Any]:
        """Give every coefficient; see :meth:`Decider.manifest`."""
        return {"decider": self.name, "parameters": dataclasses.asdict(self)}

    def _newsworthiness(self, event: OfflineEvent) -> float:
        """Log-odds that the event itself adds."""
        return float(
            self.fatalities * np.log10(1 + event.fatalities)
            + self.civilians * event.civilian_targeting
            + self.event_types.get(event.event_type, 0.0)
        )
