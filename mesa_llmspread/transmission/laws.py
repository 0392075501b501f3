"""The laws themselves: one rate, and five ways in which one rate can be too few."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from mesa_llmspread._validation import checked_probability
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, UnknownNameError
from mesa_llmspread.profiles import codes
from mesa_llmspread.transmission.exposures import ExposureArrays
from mesa_llmspread.transmission.law import TransmissionLaw

__all__ = ["SI", "ByProfile", "FirstRepeat", "OnlineOffline", "SingleMultiple", "TwoClass"]

Floats = npt.NDArray[np.float64]
Terms = tuple[npt.NDArray[Any], npt.NDArray[Any]]


def _any_of(beta: float | Floats, contacts: npt.NDArray[Any]) -> Floats:
    """Probability that at least one of m independent contacts succeeds."""
    return 1.0 - (1.0 - beta) ** contacts


@dataclass(frozen=True)
class SI(TransmissionLaw):
    """One rate: every contact, every step, with the same probability.

    ``p = 1 - (1 - beta)**m``

    Parameters
    ----------
    beta : float
        Probability that one posting neighbour makes the agent post in one step.

    Examples
    --------
    >>> SI(0.5).evaluate([0, 1, 2])
    array([0.  , 0.5 , 0.75])
    """

    beta: float

    labels: ClassVar[Mapping[str, str]] = {"beta": "each posting neighbour, each step"}
    independent_contacts: ClassVar[bool] = True
    nested_in: ClassVar[tuple[str, ...]] = (
        "OnlineOffline",
        "FirstRepeat",
        "TwoClassKnown",
        "ByProfile",
    )

    def prob(self, seen: ExposureArrays) -> Floats:
        """Return the probability of posting; see :meth:`TransmissionLaw.prob`."""
        return _any_of(self.beta, seen.contacts)

    def rate_terms(self, seen: ExposureArrays) -> Terms:
        """One rate for every contact (:meth:`TransmissionLaw.rate_terms`)."""
        return np.zeros(len(seen), dtype=np.intp), seen.contacts


@dataclass(frozen=True)
class OnlineOffline(TransmissionLaw):
    """Two ways in: the event itself, seen through the media, and the neighbours' posts.

    ``p = 1 - (1 - alpha)**direct * (1 - beta)**m``

    Parameters
    ----------
    alpha : float
        Probability that seeing the event itself in a step makes the agent post.
    beta : float
        Probability that one posting neighbour makes the agent post in one step.

    Examples
    --------
    >>> OnlineOffline(0.5, 0.0).evaluate([0, 1], direct=[True, False])
    array([0.5, 0. ])
    """

    alpha: float
    beta: float

    labels: ClassVar[Mapping[str, str]] = {
        "alpha": "the event itself, each step it is seen",
        "beta": "each posting neighbour, each step",
    }
    independent_contacts: ClassVar[bool] = True

    def prob(self, seen: ExposureArrays) -> Floats:
        """Return the probability of posting; see :meth:`TransmissionLaw.prob`."""
        not_offline = np.where(seen.direct, 1.0 - self.alpha, 1.0)
        return 1.0 - not_offline * (1.0 - self.beta) ** seen.contacts


@dataclass(frozen=True)
class FirstRepeat(TransmissionLaw):
    """Novelty: one probability for the first time an agent sees the news, another for again.

    Per contact, ``p = 1 - (1 - b)**m``; per occasion, ``p = b`` if ``m >= 1``; with
    ``b = beta_first`` at the first exposure occasion and ``beta_repeat`` after it.

    Parameters
    ----------
    beta_first, beta_repeat : float
        Probability at the first and at each later exposure occasion.
    per : {"contact", "occasion"}, default "contact"
        Whether each posting neighbour acts on its own, or the agent makes one decision a
        step whatever their number.

    Examples
    --------
    >>> FirstRepeat(0.5, 0.1).evaluate([2, 2], exposure_count=[1, 2])
    array([0.75, 0.19])
    """

    beta_first: float
    beta_repeat: float
    per: Literal["contact", "occasion"] = "contact"

    labels: ClassVar[Mapping[str, str]] = {
        "beta_first": "the first time an agent sees it",
        "beta_repeat": "each time it sees it again",
    }
    memory: ClassVar[str] = "first_repeat"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.per not in ("contact", "occasion"):
            raise UnknownNameError("per", self.per, ("contact", "occasion"))

    @property
    def independent_contacts(self) -> bool:  # type: ignore[override]
        """Whether every contact acts on its own: unless an agent decides once per step."""
        return self.per == "contact"

    def prob(self, seen: ExposureArrays) -> Floats:
        """Return the probability of posting; see :meth:`TransmissionLaw.prob`."""
        beta = np.where(seen.exposure_count > 1, self.beta_repeat, self.beta_first)
        if self.per == "occasion":
            return np.where(seen.contacts > 0, beta, 0.0)
        return _any_of(beta, seen.contacts)

    def rate_terms(self, seen: ExposureArrays) -> Terms:
        """First exposures have one rate, others another (:meth:`TransmissionLaw.rate_terms`)."""
        acting = seen.contacts if self.per == "contact" else np.minimum(seen.contacts, 1)
        return (seen.exposure_count > 1).astype(np.intp), acting


@dataclass(frozen=True)
class SingleMultiple(TransmissionLaw):
    """Social reinforcement: one probability for a single posting neighbour, another for several.

    ``p = beta_single`` if the count is 1, ``beta_multiple`` if it is 2 or more (and no
    decision without a visible post).

    Parameters
    ----------
    beta_single, beta_multiple : float
        Probability a step with one, and with several, posting neighbours.
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

    labels: ClassVar[Mapping[str, str]] = {
        "beta_single": "a step with one posting neighbour",
        "beta_multiple": "a step with several posting neighbours",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.count not in ("current", "cumulative"):
            raise UnknownNameError("count", self.count, ("current", "cumulative"))

    @property
    def memory(self) -> str:  # type: ignore[override]
        """What is remembered: the neighbours who have posted so far, where those count."""
        return "none" if self.count == "current" else "cumulative"

    def _several(self, seen: ExposureArrays) -> npt.NDArray[np.bool_]:
        return (seen.contacts if self.count == "current" else seen.cumulative) > 1

    def prob(self, seen: ExposureArrays) -> Floats:
        """Return the probability of posting; see :meth:`TransmissionLaw.prob`."""
        beta = np.where(self._several(seen), self.beta_multiple, self.beta_single)
        return np.where(seen.contacts > 0, beta, 0.0)

    def rate_terms(self, seen: ExposureArrays) -> Terms:
        """One rate for one neighbour, one for several (:meth:`TransmissionLaw.rate_terms`)."""
        return self._several(seen).astype(np.intp), np.minimum(seen.contacts, 1)


@dataclass(frozen=True)
class TwoClass(TransmissionLaw):
    """Two kinds of agents: some repost readily, the others hardly.

    ``p = 1 - (1 - b)**m`` with ``b = beta_high`` or ``beta_low`` by the agent's class.

    Parameters
    ----------
    beta_low, beta_high : float
        Probability that one posting neighbour makes an agent of the class post in one step.
    share_high : float, default 0.5
        Share of the high class where the classes are latent: nobody knows who is in
        which, and every agent is in the high class with this probability.
    high : collection of str, optional
        Codes of the profiles that make up the high class, where the classes are known;
        ``share_high`` is then not used.

    Notes
    -----
    With latent classes :meth:`prob` is the average over both, right for an agent of which
    nothing is known yet; :meth:`mixture_components` gives the law of each class.

    Examples
    --------
    >>> TwoClass(0.0, 0.5, high={"OCEAN"}).evaluate(1, profile=[0, 31])
    array([0. , 0.5])
    """

    beta_low: float
    beta_high: float
    share_high: float = 0.5
    high: frozenset[str] | None = None

    labels: ClassVar[Mapping[str, str]] = {
        "beta_low": "each posting neighbour, each step, in the low class",
        "beta_high": "each posting neighbour, each step, in the high class",
        "share_high": "share of agents in the high class",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.high is not None:
            object.__setattr__(self, "high", _checked_codes("high", self.high))

    @property
    def name(self) -> str:
        """``TwoClass``, or ``TwoClassKnown`` where the classes are known."""
        return "TwoClass" if self.high is None else "TwoClassKnown"

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters' values; the share is one where the classes are latent."""
        values = super().parameters
        if self.high is not None:
            del values["share_high"]
        return values

    @property
    def uses_profile(self) -> bool:  # type: ignore[override]
        """Whether :meth:`prob` depends on the agent's profile: where the classes are known."""
        return self.high is not None

    @property
    def independent_contacts(self) -> bool:  # type: ignore[override]
        """Whether every contact acts on its own: where the classes are known."""
        return self.high is not None

    @property
    def nested_in(self) -> tuple[str, ...]:  # type: ignore[override]
        """Laws of which this one is a special case, where the classes are known."""
        return () if self.high is None else ("ByProfile",)

    def is_high(self, profile: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Tell which profiles (indices) belong to a known high class."""
        high = self.high or frozenset()
        return np.array([code in high for code in codes()])[np.asarray(profile, dtype=int)]

    def prob(self, seen: ExposureArrays) -> Floats:
        """Return the probability of posting; see :meth:`TransmissionLaw.prob`."""
        if self.high is not None:
            beta = np.where(self.is_high(seen.profile), self.beta_high, self.beta_low)
            return _any_of(beta, seen.contacts)
        low, high = _any_of(self.beta_low, seen.contacts), _any_of(self.beta_high, seen.contacts)
        return (1.0 - self.share_high) * low + self.share_high * high

    def rate_terms(self, seen: ExposureArrays) -> Terms | None:
        """Known classes have a rate each (:meth:`TransmissionLaw.rate_terms`)."""
        if self.high is None:
            return None
        return self.is_high(seen.profile).astype(np.intp), seen.contacts

    def mixture_components(self) -> list[tuple[float, TransmissionLaw]]:
        """Return the classes, where they are latent; see :meth:`TransmissionLaw.classes`."""
        if self.high is not None:
            return [(1.0, self)]
        return [(1.0 - self.share_high, SI(self.beta_low)), (self.share_high, SI(self.beta_high))]

    def at_profile(self, profile: int) -> TransmissionLaw:
        """Return the law of one profile; see :meth:`TransmissionLaw.at_profile`."""
        if self.high is None:
            return self
        return SI(self.beta_high if self.is_high(profile) else self.beta_low)


def _checked_codes(name: str, given: Iterable[str]) -> frozenset[str]:
    """Take a collection of profile codes, or say which is none."""
    if not isinstance(given, Iterable):
        raise ArgumentTypeError(name, given, "a collection of profile codes")
    wanted = frozenset([given] if isinstance(given, str) else given)
    for code in wanted:
        if code not in codes():
            raise UnknownNameError(name, code, codes())
    return wanted


@dataclass(frozen=True)
class ByProfile(TransmissionLaw):
    """One rate for each of the 32 profiles.

    ``p = 1 - (1 - betas[profile])**m``

    Parameters
    ----------
    betas : sequence of 32 floats, or mapping of code to float
        Probability that one posting neighbour makes an agent of the profile post in one
        step; a sequence follows the order of ``all_profiles()``.

    Examples
    --------
    >>> ByProfile([0.1] * 31 + [0.5]).evaluate(1, profile=[0, 31])
    array([0.1, 0.5])
    """

    betas: tuple[float, ...]

    independent_contacts: ClassVar[bool] = True
    uses_profile: ClassVar[bool] = True

    def __post_init__(self) -> None:
        betas: Any = self.betas
        if isinstance(betas, Mapping):
            missing = set(codes()) ^ set(betas)
            if missing:
                raise ArgumentError("betas", sorted(missing), "have exactly the 32 profile codes")
            betas = [betas[code] for code in codes()]
        if not isinstance(betas, Sequence | np.ndarray) or isinstance(betas, str):
            raise ArgumentTypeError("betas", betas, "32 probabilities, or a mapping from codes")
        values = tuple(
            checked_probability(f"betas[{code!r}]", beta)
            for code, beta in zip(codes(), betas, strict=False)
        )
        if len(values) != 32 or len(betas) != 32:
            raise ArgumentError("betas", self.betas, f"hold 32 probabilities, not {len(betas)}")
        object.__setattr__(self, "betas", values)

    @property
    def parameters(self) -> dict[str, float]:
        """The 32 rates, by profile code."""
        return dict(zip(codes(), self.betas, strict=True))

    @classmethod
    def option_names(cls) -> set[str]:
        """Return the names of the fields that are not parameters: none."""
        return set()

    @classmethod
    def example(cls, **options: Any) -> ByProfile:
        """Return a law with some allowed values; see :meth:`TransmissionLaw.example`."""
        return cls((0.5,) * 32)

    def replace(self, values: Mapping[str, float]) -> ByProfile:
        """Return the same law with other rates; see :meth:`TransmissionLaw.replace`."""
        return ByProfile(tuple({**self.parameters, **values}.values()))

    def prob(self, seen: ExposureArrays) -> Floats:
        """Return the probability of posting; see :meth:`TransmissionLaw.prob`."""
        return _any_of(np.asarray(self.betas)[seen.profile], seen.contacts)

    def rate_terms(self, seen: ExposureArrays) -> Terms:
        """One rate per profile (:meth:`TransmissionLaw.rate_terms`)."""
        return seen.profile, seen.contacts

    def at_profile(self, profile: int) -> TransmissionLaw:
        """Return the law of one profile; see :meth:`TransmissionLaw.at_profile`."""
        return SI(self.betas[profile])

    def __str__(self) -> str:
        return f"ByProfile(32 rates, {min(self.betas):g} to {max(self.betas):g})"
