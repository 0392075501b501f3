"""The laws themselves: one rate, and five ways in which one rate can be too few."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from mesa_llmspread._checks import checked_probability
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, UnknownNameError
from mesa_llmspread.profiles import codes
from mesa_llmspread.transmission.structure import Seen, Structure, built_in

__all__ = ["SI", "ByProfile", "FirstRepeat", "OnlineOffline", "SingleMultiple", "TwoClass"]

Floats = npt.NDArray[np.float64]


def _any_of(beta: float | Floats, contacts: npt.NDArray[Any]) -> Floats:
    """Probability that at least one of m independent contacts succeeds."""
    return 1.0 - (1.0 - beta) ** contacts


@built_in
@dataclass(frozen=True)
class SI(Structure):
    """One rate: every contact, every step, with the same probability.

    ``p = 1 - (1 - beta)**m``

    Parameters
    ----------
    beta : float
        Probability that one posting neighbour makes the agent post in one step.

    Examples
    --------
    >>> SI(0.5).prob([0, 1, 2])
    array([0.  , 0.5 , 0.75])
    """

    beta: float

    words: ClassVar[Mapping[str, str]] = {"beta": "each posting neighbour, each step"}

    def _prob(self, seen: Seen) -> Floats:
        return _any_of(self.beta, seen.contacts)


@built_in
@dataclass(frozen=True)
class OnlineOffline(Structure):
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
    >>> OnlineOffline(0.5, 0.0).prob([0, 1], direct=[True, False])
    array([0.5, 0. ])
    """

    alpha: float
    beta: float

    words: ClassVar[Mapping[str, str]] = {
        "alpha": "the event itself, each step it is seen",
        "beta": "each posting neighbour, each step",
    }

    def _prob(self, seen: Seen) -> Floats:
        not_offline = np.where(seen.direct, 1.0 - self.alpha, 1.0)
        return 1.0 - not_offline * (1.0 - self.beta) ** seen.contacts


@built_in
@dataclass(frozen=True)
class FirstRepeat(Structure):
    """Novelty: one probability for the first time an agent sees the news, another for again.

    Per contact, ``p = 1 - (1 - b)**m``; per step, ``p = b`` if ``m >= 1``; with
    ``b = beta_first`` at the first exposure occasion and ``beta_repeat`` after it.

    Parameters
    ----------
    beta_first, beta_repeat : float
        Probability at the first and at each later exposure occasion.
    per : {"contact", "step"}, default "contact"
        Whether each posting neighbour acts on its own, or the agent makes one decision a
        step whatever their number.

    Examples
    --------
    >>> FirstRepeat(0.5, 0.1).prob([2, 2], exposure=[1, 2])
    array([0.75, 0.19])
    """

    beta_first: float
    beta_repeat: float
    per: Literal["contact", "step"] = "contact"

    words: ClassVar[Mapping[str, str]] = {
        "beta_first": "the first time an agent sees it",
        "beta_repeat": "each time it sees it again",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.per not in ("contact", "step"):
            raise UnknownNameError("per", self.per, ("contact", "step"))

    @property
    def name(self) -> str:
        """The law's name, as :func:`forms` lists it."""
        return "FirstRepeat" if self.per == "contact" else "FirstRepeatStep"

    @property
    def needs_occasion(self) -> bool:
        """Whether :meth:`prob` depends on the agent's having decided before."""
        return True

    def _prob(self, seen: Seen) -> Floats:
        beta = np.where(seen.repeat, self.beta_repeat, self.beta_first)
        if self.per == "step":
            return np.where(seen.contacts > 0, beta, 0.0)
        return _any_of(beta, seen.contacts)


@built_in
@dataclass(frozen=True)
class SingleMultiple(Structure):
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
    >>> SingleMultiple(0.1, 0.4).prob([0, 1, 2, 3])
    array([0. , 0.1, 0.4, 0.4])
    """

    beta_single: float
    beta_multiple: float
    count: Literal["current", "cumulative"] = "current"

    words: ClassVar[Mapping[str, str]] = {
        "beta_single": "a step with one posting neighbour",
        "beta_multiple": "a step with several posting neighbours",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.count not in ("current", "cumulative"):
            raise UnknownNameError("count", self.count, ("current", "cumulative"))

    @property
    def name(self) -> str:
        """The law's name, as :func:`forms` lists it."""
        return "SingleMultiple" if self.count == "current" else "SingleMultipleCumulative"

    def _prob(self, seen: Seen) -> Floats:
        counted = seen.contacts if self.count == "current" else seen.cumulative
        beta = np.where(counted > 1, self.beta_multiple, self.beta_single)
        return np.where(seen.contacts > 0, beta, 0.0)


@built_in
@dataclass(frozen=True)
class TwoClass(Structure):
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
    nothing is known yet; :meth:`classes` gives the law of each class.

    Examples
    --------
    >>> TwoClass(0.0, 0.5, high={"OCEAN"}).prob(1, profile=[0, 31])
    array([0. , 0.5])
    """

    beta_low: float
    beta_high: float
    share_high: float = 0.5
    high: frozenset[str] | None = None

    words: ClassVar[Mapping[str, str]] = {
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
        """The law's name, as :func:`forms` lists it."""
        return "TwoClass" if self.high is None else "TwoClassKnown"

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters' values; the share is one where the classes are latent."""
        values = super().parameters
        if self.high is not None:
            del values["share_high"]
        return values

    @property
    def needs_profile(self) -> bool:
        """Whether :meth:`prob` depends on the agent's profile: where the classes are known."""
        return self.high is not None

    def is_high(self, profile: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Tell which profiles (indices) belong to a known high class."""
        high = self.high or frozenset()
        return np.array([code in high for code in codes()])[np.asarray(profile, dtype=int)]

    def _prob(self, seen: Seen) -> Floats:
        if self.high is not None:
            beta = np.where(self.is_high(seen.profile), self.beta_high, self.beta_low)
            return _any_of(beta, seen.contacts)
        low, high = _any_of(self.beta_low, seen.contacts), _any_of(self.beta_high, seen.contacts)
        return (1.0 - self.share_high) * low + self.share_high * high

    def classes(
        self, profile_shares: Sequence[float] | Floats | None = None
    ) -> list[tuple[float, Structure]]:
        """Split the law into its two classes; see :meth:`Structure.classes`."""
        share = self.share_high
        if self.high is not None:
            shares = np.full(32, 1 / 32) if profile_shares is None else np.asarray(profile_shares)
            share = float(shares[self.is_high(np.arange(32))].sum())
        return [(1.0 - share, SI(self.beta_low)), (share, SI(self.beta_high))]


def _checked_codes(name: str, given: Iterable[str]) -> frozenset[str]:
    """Take a collection of profile codes, or say which is none."""
    if not isinstance(given, Iterable):
        raise ArgumentTypeError(name, given, "a collection of profile codes")
    wanted = frozenset([given] if isinstance(given, str) else given)
    for code in wanted:
        if code not in codes():
            raise UnknownNameError(name, code, codes())
    return wanted


@built_in
@dataclass(frozen=True)
class ByProfile(Structure):
    """One rate for each of the 32 profiles.

    ``p = 1 - (1 - betas[profile])**m``

    Parameters
    ----------
    betas : sequence of 32 floats, or mapping of code to float
        Probability that one posting neighbour makes an agent of the profile post in one
        step; a sequence follows the order of ``all_profiles()``.

    Examples
    --------
    >>> ByProfile([0.1] * 31 + [0.5]).prob(1, profile=[0, 31])
    array([0.1, 0.5])
    """

    betas: tuple[float, ...]

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

    @property
    def needs_profile(self) -> bool:
        """Whether :meth:`prob` depends on the agent's profile: yes."""
        return True

    def _prob(self, seen: Seen) -> Floats:
        return _any_of(np.asarray(self.betas)[seen.profile], seen.contacts)

    def classes(
        self, profile_shares: Sequence[float] | Floats | None = None
    ) -> list[tuple[float, Structure]]:
        """Split the law into the 32 profiles; see :meth:`Structure.classes`."""
        shares = np.full(32, 1 / 32) if profile_shares is None else np.asarray(profile_shares)
        return [(float(s), SI(b)) for s, b in zip(shares, self.betas, strict=True) if s > 0]

    def __str__(self) -> str:
        return f"ByProfile(32 rates, {min(self.betas):g} to {max(self.betas):g})"
