"""A policy of traits, event and social reinforcement: stands in for a language model.

It is also the form into which a language model's recorded decisions are distilled; see
:mod:`mesa_llmspread.analysis.distill`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from mesa_llmspread._validation import check_kind, check_name, checked_number
from mesa_llmspread.deciders.base import Decider, Decision, Exposure, toss
from mesa_llmspread.deciders.rates import exposure_arrays
from mesa_llmspread.events import OfflineEvent
from mesa_llmspread.profiles import Trait
from mesa_llmspread.transmission import ExposureArrays, TransmissionLaw, rate_to_probability

__all__ = ["LINKS", "TraitDecider", "TraitLaw"]

Floats = npt.NDArray[np.float64]

LINKS = ("logit", "cloglog")


@dataclasses.dataclass(frozen=True)
class TraitDecider(Decider):
    r"""Policy of the five traits, the event, and what the neighbours do.

    It stands in for a language model so that everything runs without one. It is NOT one:
    its results show what the tools do, not how language models or people behave.

    The log-odds of a repost are ::

        intercept + first * [first exposure] + contacts * log2(max(m, 1)) + direct * [direct]
        + openness * O + conscientiousness * C + extraversion * E
        + agreeableness * A + neuroticism * N
        + fatalities * log10(1 + deaths) + civilians * [civilians targeted] + type offset

    with trait levels in standard deviations and m the posting neighbours in view.

    Parameters
    ----------
    intercept : float, default -4.1
        Illustrative: about 2 % per repeated exposure to one neighbour's post, for an average
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
        Added per standard deviation of the trait. Signs and sizes from the correlations of the
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
        Offset of each ACLED event type; 0 for others. Illustrative.
    link : {"logit", "cloglog"}, default "logit"
        Whether the terms add up to the log-odds of a repost, as above, or to its logarithmic
        hazard x, ``p = 1 - exp(-exp(x))``, where a contact coefficient of log(2) has every
        neighbour act on its own. The defaults are meant as log-odds.

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

    link: str = "logit"

    name = "traits"

    def __post_init__(self) -> None:
        check_name("link", self.link, LINKS)
        check_kind("event_types", self.event_types, Mapping, "a mapping of event types to numbers")
        numbers = {each.name: getattr(self, each.name) for each in dataclasses.fields(TraitDecider)}
        for other in ("link", "event_types"):
            del numbers[other]
        numbers |= {f"event_types[{name!r}]": value for name, value in self.event_types.items()}
        for name, value in numbers.items():
            checked_number(name, value, -np.inf)

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        """Draw one decision per exposure; see :meth:`Decider.decide`."""
        return toss(exposures, rng, self.probabilities(exposures))

    def probabilities(self, exposures: Sequence[Exposure]) -> Floats:
        """Return the probability of a repost at each exposure.

        Parameters
        ----------
        exposures : sequence of Exposure

        Returns
        -------
        ndarray of float, shape (len(exposures),)
        """
        news = {event: self._newsworthiness(event) for event in {e.event for e in exposures}}
        seen = exposure_arrays(exposures, by_profile=True)
        return self._chance(seen, np.array([news[exposure.event] for exposure in exposures]))

    def law(self, event: OfflineEvent) -> TraitLaw:
        """Return the policy for one event as a law, which the compiled engine runs.

        That engine shows posts only: what agents see of the event itself (``media_prob``) is
        left out of its runs.

        Parameters
        ----------
        event : OfflineEvent

        Returns
        -------
        TraitLaw
        """
        return TraitLaw(self, event)

    def manifest(self) -> Mapping[str, Any]:
        """Return every coefficient; see :meth:`Decider.manifest`."""
        names = [field.name for field in dataclasses.fields(TraitDecider)]
        return {"decider": self.name, "parameters": {name: getattr(self, name) for name in names}}

    def _chance(self, seen: ExposureArrays, news: Floats | float) -> Floats:
        """Return the probability of a repost, from exposures and the terms of their events."""
        weights = np.array([getattr(self, trait.value) for trait in Trait])
        total = (
            self.intercept
            + self.first * (seen.exposure_count == 1)
            + self.contacts * np.log2(np.maximum(seen.contacts, 1))
            + self.direct * seen.direct
            + seen.traits @ weights
            + news
        )
        return expit(total) if self.link == "logit" else rate_to_probability(np.exp(total))

    def _newsworthiness(self, event: OfflineEvent) -> float:
        """Return the terms of the event."""
        return float(
            self.fatalities * np.log10(1 + event.fatalities)
            + self.civilians * event.civilian_targeting
            + self.event_types.get(event.event_type, 0.0)
        )


@dataclasses.dataclass(frozen=True)
class TraitLaw(TransmissionLaw):
    """A :class:`TraitDecider` and one event, as a law of the 32 binary profiles.

    The compiled engine runs it, for agents that see posts only; it has no equations.

    Parameters
    ----------
    decider : TraitDecider
        The policy.
    event : OfflineEvent
        What the news is about.

    Examples
    --------
    >>> from mesa_llmspread import bundled_events, random_regular, simulate
    >>> law = TraitDecider().law(bundled_events()[0])
    >>> network = random_regular(10_000, 8, rng=1)
    >>> bool(simulate(law, network, rng=1).infected[0, -1] > 1000)
    True
    """

    decider: TraitDecider
    event: OfflineEvent

    memory: ClassVar[str] = "first_repeat"
    uses_profile: ClassVar[bool] = True
    uses_traits: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """The law's name, with the policy's link."""
        return f"TraitLaw[{self.decider.link}]"

    @property
    def parameters(self) -> dict[str, float]:
        """The policy's coefficients, and as ``news`` what the event adds."""
        values = self.decider.manifest()["parameters"]
        left_out = ("fatalities", "civilians", "event_types", "link")
        terms = {term: value for term, value in values.items() if term not in left_out}
        return {**terms, "news": self.decider._newsworthiness(self.event)}

    def prob(self, seen: ExposureArrays) -> Floats:
        """Return the probability of posting; see :meth:`TransmissionLaw.prob`."""
        chance = self.decider._chance(seen, self.decider._newsworthiness(self.event))
        return np.where((seen.contacts > 0) | seen.direct, chance, 0.0)

    def __str__(self) -> str:
        return f"{self.name}({self.event.event_id})"
