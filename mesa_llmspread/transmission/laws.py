"""The laws themselves: one rate, and five ways in which one rate can be too few."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import numpy as np
import numpy.typing as npt

from mesa_llmspread._validation import check_name, checked_probability
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError
from mesa_llmspread.profiles import codes
from mesa_llmspread.transmission.exposures import ExposureArrays
from mesa_llmspread.transmission.law import TransmissionLaw

__all__ = ["SI", "ByProfile", "FirstRepeat", "OnlineOffline", "SingleMultiple", "TwoClass"]

Floats = npt.NDArray[np.float64]
Terms = tuple[npt.NDArray[Any], npt.NDArray[Any]]


def _any_of(beta: float | Floats, contacts: npt.NDArray[Any]) -> Floats:
    """Return the probability that at least one of m independent contacts succeeds."""
    return 1.0 - (1.0 - beta) ** contacts


class _RateLaw(TransmissionLaw):
    """A law of which one rate acts at each exposure: all of it stands in ``rate_terms``."""

    def prob(self, seen: ExposureArrays) -> Floats:
        """Return the probability of posting; see :meth:`TransmissionLaw.prob`."""
        index, contacts = cast("Terms", self.rate_terms(seen))
        return _any_of(np.array(list(self.parameters.values()))[index], contacts)


@dataclass(frozen=True)
class SI(_RateLaw):
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
    nested_in: ClassVar = ("OnlineOffline", "FirstRepeat", "TwoClassKnown", "ByProfile")

    def rate_terms(self, seen: ExposureArrays) -> Terms:
        """Return one rate for every contact (:meth:`TransmissionLaw.rate_terms`)."""
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
class FirstRepeat(_RateLaw):
    """Novelty: one probability for the first time an agent sees the news, another for again.

    Per contact, ``p = 1 - (1 - b)**m``; per occasion, ``p = b`` if ``m >= 1``; with
    ``b = beta_first`` at the first exposure occasion and ``beta_repeat`` after it.

    Parameters
    ----------
    beta_first, beta_repeat : float
        Probability at the first and at each later exposure occasion.
    per : {"contact", "occasion"}, default "contact"
        Whether each posting neighbour acts on its own, or the agent makes one decision per
        occasion whatever their number.

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
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"per": ("contact", "occasion")}
    memory: ClassVar[str] = "first_repeat"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._declare(independent_contacts=self.per == "contact")

    def rate_terms(self, seen: ExposureArrays) -> Terms:
        """Return one rate for first exposures, one for others; see TransmissionLaw."""
        acting = seen.contacts if self.per == "contact" else np.minimum(seen.contacts, 1)
        return (seen.exposure_count > 1).astype(np.intp), acting


@dataclass(frozen=True)
class SingleMultiple(_RateLaw):
    """Social reinforcement: one probability for a single posting neighbour, another for several.

    ``p = beta_single`` if the count is 1, ``beta_multiple`` if it is 2 or more (and no
    decision without a visible post).

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

    labels: ClassVar[Mapping[str, str]] = {
        "beta_single": "each step with one posting neighbour",
        "beta_multiple": "each step with several posting neighbours",
    }
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"count": ("current", "cumulative")}

    def __post_init__(self) -> None:
        super().__post_init__()
        self._declare(memory="none" if self.count == "current" else "cumulative")

    def rate_terms(self, seen: ExposureArrays) -> Terms:
        """Return one rate for one neighbour, one for several; see TransmissionLaw."""
        counted = seen.contacts if self.count == "current" else seen.cumulative
        return (counted > 1).astype(np.intp), np.minimum(seen.contacts, 1)


@dataclass(frozen=True)
class TwoClass(_RateLaw):
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
        if self.high is None:
            return
        if not isinstance(self.high, Iterable):
            raise ArgumentTypeError("high", self.high, "a collection of profile codes")
        high = frozenset([self.high] if isinstance(self.high, str) else self.high)
        for code in high:
            check_name("high", code, codes())
        self._declare(
            high=high, uses_profile=True, independent_contacts=True, nested_in=("ByProfile",)
        )

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

    def is_high(self, profile: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Return which profiles (indices) belong to a known high class."""
        high = self.high or frozenset()
        return np.array([code in high for code in codes()])[np.asarray(profile, dtype=int)]

    def prob(self, seen: ExposureArrays) -> Floats:
        """Return the probability of posting; see :meth:`TransmissionLaw.prob`."""
        if self.high is not None:
            return super().prob(seen)
        return sum(
            (share * law.prob(seen) for share, law in self.mixture_components()),
            start=np.zeros(len(seen)),
        )

    def rate_terms(self, seen: ExposureArrays) -> Terms | None:
        """Return one rate for each known class (:meth:`TransmissionLaw.rate_terms`)."""
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


@dataclass(frozen=True)
class ByProfile(_RateLaw):
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
            if wrong := sorted(set(codes()) ^ set(betas)):
                raise ArgumentError("betas", wrong, "have exactly the 32 profile codes")
            betas = [betas[code] for code in codes()]
        if not isinstance(betas, Sequence | np.ndarray) or isinstance(betas, str):
            raise ArgumentTypeError("betas", betas, "32 probabilities, or a mapping from codes")
        if len(betas) != 32:
            raise ArgumentError("betas", self.betas, f"hold 32 probabilities, not {len(betas)}")
        given = zip(codes(), betas, strict=True)
        self._declare(
            betas=tuple(checked_probability(f"betas[{code!r}]", beta) for code, beta in given)
        )

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

    def rate_terms(self, seen: ExposureArrays) -> Terms:
        """Return one rate per profile (:meth:`TransmissionLaw.rate_terms`)."""
        return seen.profile, seen.contacts

    def at_profile(self, profile: int) -> TransmissionLaw:
        """Return the law of one profile; see :meth:`TransmissionLaw.at_profile`."""
        return SI(self.betas[profile])

    def __str__(self) -> str:
        return f"ByProfile(32 rates, {min(self.betas):g} to {max(self.betas):g})"
