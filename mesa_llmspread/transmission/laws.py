"""The laws of a single rate, and those in which contacts or occasions differ.

All of the family act per contact or per occasion; how is defined once, in :class:`FamilyLaw`.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from mesa_llmspread.transmission.exposures import ExposureArrays
from mesa_llmspread.transmission.law import Floats, TransmissionLaw

__all__ = [
    "PER_CONTACT",
    "SI",
    "FamilyLaw",
    "FirstRepeat",
    "OnlineOffline",
    "Per",
    "RateLaw",
    "SingleMultiple",
    "Terms",
]

Terms = tuple[npt.NDArray[Any], npt.NDArray[Any]]
Per = Literal["contact", "occasion"]

#: What a chance is, for readers: per contact, and per occasion.
PER_CONTACT, PER_OCCASION = "each posting neighbour, each step", "each step with a post in view"


class FamilyLaw(TransmissionLaw):
    """A law with one chance at each exposure, which acts per contact or per occasion.

    Per contact, every post in view acts on its own, ``p = 1 - (1 - chance)**m``; per occasion, the
    agent decides once whatever their number, ``p = chance`` if ``m >= 1``. A law of the family has
    a field ``per``.
    """

    per: Per

    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"per": ("contact", "occasion")}

    def __post_init__(self) -> None:
        super().__post_init__()
        self._declare(independent_contacts=self.per == "contact")
        if self.per == "occasion":
            labels = self.labels.items()
            self._declare(
                labels={name: text.replace(PER_CONTACT, PER_OCCASION) for name, text in labels},
                nested_in=tuple(f'{name}(per="occasion")' for name in self.nested_in),
            )

    @abstractmethod
    def chance(self, seen: ExposureArrays) -> Floats:
        """Return the chance of one contact, or of the occasion, at each exposure."""

    def acting(self, seen: ExposureArrays) -> npt.NDArray[Any]:
        """Return how many chances act at each exposure."""
        return seen.weight if self.per == "contact" else np.minimum(seen.contacts, 1)

    def prob(self, seen: ExposureArrays) -> Floats:
        """Return the probability of posting; see :meth:`TransmissionLaw.prob`."""
        return 1.0 - (1.0 - self.chance(seen)) ** self.acting(seen)

    def at_profile(self, profile: int) -> TransmissionLaw:
        """Return the law of one profile; see :meth:`TransmissionLaw.at_profile`."""
        if not self.uses_profile:
            return self
        return self.one_rate(float(self.chance(ExposureArrays(1, profile=profile))[0]))

    def one_rate(self, beta: float) -> SI:
        """Return the law of agents that all have one rate, such as those of one class."""
        return SI(beta, per=self.per, alpha=self.alpha, offline=self.offline)


class RateLaw(FamilyLaw):
    """A law of which one parameter is the chance at each exposure."""

    def rate_index(self, seen: ExposureArrays) -> npt.NDArray[np.intp]:
        """Return which parameter acts at each exposure; the first one by default."""
        return np.zeros(len(seen), dtype=np.intp)

    def chance(self, seen: ExposureArrays) -> Floats:
        """Return the parameter that acts at each exposure."""
        rates = [value for name, value in self.parameters.items() if name != "alpha"]
        return np.array(rates)[self.rate_index(seen)]

    def rate_terms(self, seen: ExposureArrays) -> Terms | None:
        """Return the rates and how many act; see :meth:`TransmissionLaw.rate_terms`."""
        return self.rate_index(seen), self.acting(seen)


@dataclass(frozen=True)
class SI(RateLaw):
    """One rate: every contact, every step, with the same probability.

    ``p = 1 - (1 - beta)**m``; per occasion, ``p = beta`` if ``m >= 1``

    Parameters
    ----------
    beta : float
        Probability that one posting neighbour makes the agent post in one step.
    per : {"contact", "occasion"}, default "contact"
        Whether each posting neighbour acts on its own, or the agent makes one decision per
        occasion whatever their number. So in every law that has the option.

    Examples
    --------
    >>> SI(0.5).evaluate([0, 1, 2])
    array([0.  , 0.5 , 0.75])
    >>> SI(0.5, per="occasion").evaluate([0, 1, 2])
    array([0. , 0.5, 0.5])
    """

    beta: float
    per: Per = "contact"

    labels: ClassVar[Mapping[str, str]] = {"beta": PER_CONTACT}
    nested_in: ClassVar = ("FirstRepeat", "TwoClassKnown", "Frailty", "ByProfile", "ByTraits")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.per == "occasion":
            also = ("SingleMultiple", 'SingleMultiple(count="cumulative")')
            self._declare(nested_in=(*self.nested_in, *also))


@dataclass(frozen=True)
class OnlineOffline(RateLaw):
    """Two ways in: the event itself, seen through the media, and the neighbours' posts.

    ``p = 1 - (1 - alpha)**direct * (1 - beta)**m``: :class:`SI` with an offline part.

    Parameters
    ----------
    alpha : float
        Probability that seeing the event itself in a step makes the agent post.
    beta : float
        Probability that one posting neighbour makes the agent post in one step.
    per : {"contact", "occasion"}, default "contact"
        As for :class:`SI`.

    Examples
    --------
    >>> OnlineOffline(0.5, 0.0).evaluate([0, 1], direct=[True, False])
    array([0.5, 0. ])
    """

    alpha: float = dataclasses.field()
    beta: float
    per: Per = "contact"
    offline: bool = dataclasses.field(default=True, init=False, repr=False)

    labels: ClassVar[Mapping[str, str]] = SI.labels

    def online(self) -> SI:
        """Return the law without its offline part; see :meth:`TransmissionLaw.online`."""
        return SI(self.beta, per=self.per)


@dataclass(frozen=True)
class FirstRepeat(RateLaw):
    """Novelty: one probability for the first time an agent sees the news, another for again.

    Per contact, ``p = 1 - (1 - b)**m``; per occasion, ``p = b`` if ``m >= 1``; with
    ``b = beta_first`` at the first exposure occasion and ``beta_repeat`` after it.

    Parameters
    ----------
    beta_first, beta_repeat : float
        Probability at the first and at each later exposure occasion.
    per : {"contact", "occasion"}, default "contact"
        As for :class:`SI`.

    Examples
    --------
    >>> FirstRepeat(0.5, 0.1).evaluate([2, 2], exposure_count=[1, 2])
    array([0.75, 0.19])
    """

    beta_first: float
    beta_repeat: float
    per: Per = "contact"

    labels: ClassVar[Mapping[str, str]] = {
        "beta_first": "the first time an agent sees it",
        "beta_repeat": "each time it sees it again",
    }
    memory: ClassVar[str] = "first_repeat"

    def rate_index(self, seen: ExposureArrays) -> npt.NDArray[np.intp]:
        """Return one rate for first exposures, one for others."""
        return (seen.exposure_count > 1).astype(np.intp)


@dataclass(frozen=True)
class SingleMultiple(RateLaw):
    """Social reinforcement: one probability for a single posting neighbour, another for several.

    ``p = beta_single`` if the count is 1, ``beta_multiple`` if it is 2 or more (and no
    decision without a visible post): one decision per occasion, as there is no other form.

    Parameters
    ----------
    beta_single, beta_multiple : float
        Probability per step with one, and with several, posting neighbours.
    count : {"current", "cumulative"}, default "current"
        Whether to count the neighbours visible now, or all who have posted so far (the
        one to use when only new posts are seen).

    Examples
    --------
    >>> SingleMultiple(0.1, 0.4).evaluate([0, 1, 2, 3])
    array([0. , 0.1, 0.4, 0.4])
    """

    beta_single: float
    beta_multiple: float
    count: Literal["current", "cumulative"] = "current"
    per: Per = "occasion"

    labels: ClassVar[Mapping[str, str]] = {
        "beta_single": "each step with one posting neighbour",
        "beta_multiple": "each step with several posting neighbours",
    }
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "count": ("current", "cumulative"),
        "per": ("occasion",),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        self._declare(memory="none" if self.count == "current" else "cumulative")

    def rate_index(self, seen: ExposureArrays) -> npt.NDArray[np.intp]:
        """Return one rate for one neighbour, one for several."""
        counted = seen.contacts if self.count == "current" else seen.cumulative
        return (counted > 1).astype(np.intp)
