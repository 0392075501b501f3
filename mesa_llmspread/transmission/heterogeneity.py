"""The laws in which agents differ: by a class, a rate of their own, a profile, or their traits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from mesa_llmspread._validation import check_kind, check_name, checked_probability
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError
from mesa_llmspread.profiles import Trait, codes
from mesa_llmspread.transmission.conversions import rate_to_probability
from mesa_llmspread.transmission.exposures import ExposureArrays
from mesa_llmspread.transmission.law import Floats, TransmissionLaw
from mesa_llmspread.transmission.laws import PER_CONTACT, FamilyLaw, Per, RateLaw, Terms

__all__ = ["ByProfile", "ByTraits", "Frailty", "TwoClass"]

# The largest logarithm of a rate, and logit, that are told apart: beyond it lie probabilities
# of less than 1e-13, or as near to 1, of which rounding would make 0 and 1.
_LARGEST = 30.0

# Classes of one rate each that stand for a gamma distribution, and where they end: at densities of
# exp(-_TAIL) of the highest.
_NODES, _TAIL = 20, 16.0


@dataclass(frozen=True)
class TwoClass(RateLaw):
    """Two kinds of agents: some repost readily, the others hardly.

    ``p = 1 - (1 - b)**m``, or per occasion ``b`` if ``m >= 1``, with ``b = beta_high`` or
    ``beta_low`` by the agent's class.

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
    per : {"contact", "occasion"}, default "contact"
        As for :class:`SI`.

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
    per: Per = "contact"

    labels: ClassVar[Mapping[str, str]] = {
        "beta_low": f"{PER_CONTACT}, in the low class",
        "beta_high": f"{PER_CONTACT}, in the high class",
        "share_high": "share of agents in the high class",
    }

    def __post_init__(self) -> None:
        if self.high is not None:
            check_kind("high", self.high, Iterable, "a collection of profile codes")
            high = frozenset([self.high] if isinstance(self.high, str) else self.high)
            for code in high:
                check_name("high", code, codes())
            labels = {name: self.labels[name] for name in ("beta_low", "beta_high")}
            self._declare(high=high, labels=labels, uses_profile=True, nested_in=("ByProfile",))
        super().__post_init__()
        if self.high is None:
            self._declare(independent_contacts=False)

    @property
    def name(self) -> str:
        """``TwoClass``, or ``TwoClassKnown`` where the classes are known."""
        if self.high is None:
            return super().name
        return dataclasses.replace(self, high=None).name.replace("TwoClass", "TwoClassKnown")

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters' values; the share is one where the classes are latent."""
        values = super().parameters
        if self.high is not None:
            del values["share_high"]
        return values

    def rate_index(self, seen: ExposureArrays) -> npt.NDArray[np.intp]:
        """Return one rate for each known class."""
        is_high = np.array([code in (self.high or ()) for code in codes()], dtype=np.intp)
        return is_high[seen.profile]

    def prob(self, seen: ExposureArrays) -> Floats:
        """Return the probability of posting; see :meth:`TransmissionLaw.prob`."""
        if self.high is not None:
            return super().prob(seen)
        parts = [share * law.prob(seen) for share, law in self.mixture_components()]
        return np.sum(parts, axis=0)

    def rate_terms(self, seen: ExposureArrays) -> Terms | None:
        """Return one rate for each known class; see :meth:`TransmissionLaw.rate_terms`."""
        return None if self.high is None else super().rate_terms(seen)

    def mixture_components(self) -> list[tuple[float, TransmissionLaw]]:
        """Return the classes, where they are latent; see :meth:`TransmissionLaw.classes`."""
        if self.high is not None:
            return [(1.0, self)]
        low, high = self.one_rate(self.beta_low), self.one_rate(self.beta_high)
        return [(1.0 - self.share_high, low), (self.share_high, high)]


@dataclass(frozen=True)
class Frailty(FamilyLaw):
    """Every agent has a rate of its own: the common one, times a gamma-distributed factor.

    ``p = 1 - exp(-factor * rate * m)``, where ``rate = -log(1 - beta)``; the factor has mean 1,
    stays the same for an agent, and is not known. Agents that react readily post first, so later
    contacts seem to act less, as in :class:`FirstRepeat`, though none of them does.

    Parameters
    ----------
    beta : float
        Probability that one posting neighbour makes an agent of the mean rate post in one step.
    variance : float
        Variance of the factor, at least 0.
    per : {"contact", "occasion"}, default "contact"
        As for :class:`SI`.

    Notes
    -----
    An agent declines ``m`` contacts with probability
    ``(1 + variance * rate * m)**(-1 / variance)``, so the likelihood is exact. Equations and
    simulations use latent classes, with errors of an agent's chance to decline below .002.

    Examples
    --------
    >>> Frailty(0.5, 0.0).evaluate([1, 2]).round(6).tolist()
    [0.5, 0.75]
    >>> Frailty(0.5, 1.0).evaluate([1, 2]).round(3).tolist()  # 1 - 1 / (1 + rate * m)
    [0.409, 0.581]
    """

    beta: float
    variance: float
    per: Per = "contact"

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"variance": (0.0, np.inf)}
    labels: ClassVar[Mapping[str, str]] = {
        "beta": f"{PER_CONTACT}, at the mean rate",
        "variance": "variance of the agents' rates, in units of the mean squared",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        self._declare(independent_contacts=False)

    def chance(self, seen: ExposureArrays) -> Floats:
        """Return the chance of one contact, or of the occasion, for an agent of the mean rate."""
        return np.full(len(seen), self.beta)

    def prob(self, seen: ExposureArrays) -> Floats:
        """Return the probability of posting; see :meth:`TransmissionLaw.prob`."""
        spared = (1.0 - self.chance(seen)) ** self.acting(seen)
        with np.errstate(divide="ignore"):
            hazard = -np.log(spared)
        if self.variance == 0:
            return 1.0 - spared
        return rate_to_probability(np.log1p(self.variance * hazard) / self.variance)

    def mixture_components(self) -> list[tuple[float, TransmissionLaw]]:
        """Return classes of agents of one rate each; see :meth:`TransmissionLaw.classes`."""
        factors, shares = _gamma_nodes(self.variance)
        betas = 1.0 - (1.0 - self.beta) ** factors
        return list(zip(shares, map(self.one_rate, betas.tolist()), strict=True))


@lru_cache(maxsize=256)
def _gamma_nodes(variance: float) -> tuple[Floats, list[float]]:
    """Return factors and shares that represent a gamma distribution of mean 1.

    By the trapezoidal rule over the logarithm of the factor, which converges exponentially, as the
    chance of posting, times the density, is smooth and vanishes at both ends (Trefethen & Weideman
    2014, doi:10.1137/130932132). The lowest class has the agents that are left.
    """
    if variance == 0:
        return np.ones(1), [1.0]
    # Bounds of where the density has fallen by _TAIL; below the mean, the density times the factor.
    most, scale = 2.0 * np.arcsinh(np.sqrt(variance * _TAIL / 2.0)), variance / (1.0 + variance)
    middle = (_TAIL - 2.0) * scale
    least = (middle + np.sqrt(middle**2 + 8.0 * _TAIL * scale)) / 2.0
    logs = np.linspace(-least, most, _NODES)
    factors, density = np.exp(logs), np.exp((logs - np.expm1(logs)) / variance)
    shares = density / (density @ factors)
    shares[0] = max(1.0 - shares[1:].sum(), 0.0)
    shares /= shares.sum()
    return factors / (shares @ factors), shares.tolist()


@dataclass(frozen=True)
class ByProfile(RateLaw):
    """One rate for each of the 32 profiles.

    ``p = 1 - (1 - betas[profile])**m``; per occasion, ``p = betas[profile]`` if ``m >= 1``

    Parameters
    ----------
    betas : sequence of 32 floats, or mapping of code to float
        Probability that one posting neighbour makes an agent of the profile post in one
        step; a sequence follows the order of ``all_profiles()``.
    per : {"contact", "occasion"}, default "contact"
        As for :class:`SI`.

    Examples
    --------
    >>> ByProfile([0.1] * 31 + [0.5]).evaluate(1, profile=[0, 31])
    array([0.1, 0.5])
    """

    betas: tuple[float, ...]
    per: Per = "contact"

    uses_profile: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
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
        """The 32 rates, by profile code, after ``alpha`` where there is an offline part."""
        return {**super().parameters, **dict(zip(codes(), self.betas, strict=True))}

    @classmethod
    def option_names(cls) -> set[str]:
        """Return the names of the fields that are not parameters."""
        return super().option_names() - {"betas"}

    @classmethod
    def example(cls, **options: Any) -> ByProfile:
        """Return a law with some allowed values; see :meth:`TransmissionLaw.example`."""
        return cls((0.5,) * 32, **options)

    def replace(self, values: Mapping[str, float]) -> ByProfile:
        """Return the same law with other rates; see :meth:`TransmissionLaw.replace`."""
        rates = {**self.parameters, **values}
        alpha = rates.pop("alpha", self.alpha)
        return dataclasses.replace(self, betas=tuple(rates.values()), alpha=alpha)

    def rate_index(self, seen: ExposureArrays) -> npt.NDArray[np.intp]:
        """Return one rate per profile."""
        return seen.profile

    def __str__(self) -> str:
        rates = f"32 rates, {min(self.betas):g} to {max(self.betas):g}"
        alpha = [f"alpha={self.alpha:g}"] if self.offline else []
        return f"ByProfile({', '.join([rates, *alpha, *self._changed_options()])})"


@dataclass(frozen=True)
class ByTraits(FamilyLaw):
    """Personality as five slopes: log rates, or logits, linear in the trait levels.

    Per contact, ``p = 1 - exp(-rate * m)`` with ``log(rate) = intercept + openness * O + ...``;
    per occasion, ``logit(p) = intercept + openness * O + ...`` if ``m >= 1``; with the levels
    O C E A N in standard deviations, so that agents may have any levels.

    Parameters
    ----------
    intercept : float
        Logarithm of the rate (per contact), or logit of the probability (per occasion), of an
        agent that is average in all traits.
    openness, conscientiousness, extraversion, agreeableness, neuroticism : float, default 0
        Added for a standard deviation more of the trait: the logarithm of a hazard ratio (per
        contact) or odds ratio (per occasion).
    per : {"contact", "occasion"}, default "contact"
        As for :class:`SI`.

    Examples
    --------
    >>> ByTraits(-1.0, openness=0.5).evaluate([1, 1], profile=[0, 31]).round(3)
    array([0.2  , 0.455])
    """

    intercept: float
    openness: float = 0.0
    conscientiousness: float = 0.0
    extraversion: float = 0.0
    agreeableness: float = 0.0
    neuroticism: float = 0.0
    per: Per = "contact"

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = dict.fromkeys(
        ("intercept", *(trait.value for trait in Trait)), (-np.inf, np.inf)
    )
    labels: ClassVar[Mapping[str, str]] = {
        "intercept": "log rate, or logit per occasion, of an average agent",
        **{trait.value: f"added for one sd more of {trait.value}" for trait in Trait},
    }
    uses_profile: ClassVar[bool] = True
    uses_traits: ClassVar[bool] = True

    def chance(self, seen: ExposureArrays) -> Floats:
        """Return the chance of one contact, or of the occasion, by the trait levels."""
        slopes = [getattr(self, trait.value) for trait in Trait]
        # Not `@`: BLAS may take other paths for other numbers of exposures.
        total = self.intercept + (seen.traits * slopes).sum(axis=1)
        total = np.clip(total, -_LARGEST, _LARGEST)
        if self.per == "contact":
            return rate_to_probability(np.exp(total))
        return 1.0 / (1.0 + np.exp(-total))

    def log_rates(self, seen: ExposureArrays) -> Terms | None:
        """Return the traits as terms, per contact; see :meth:`TransmissionLaw.log_rates`."""
        if self.per == "occasion":
            return None
        return np.column_stack([np.ones(len(seen)), seen.traits]), seen.weight

    def start(self, data: Any) -> dict[str, float]:
        """Return the average agent's values from all decisions; see TransmissionLaw.start."""
        seen = data.exposures.query("contacts > 0 and outcome != 'failed'")
        trials = seen["contacts"] if self.per == "contact" else seen["contacts"].clip(upper=1)
        reposts = (seen["outcome"] == "repost").sum()
        return {"intercept": float(np.log((reposts + 0.5) / (trials.sum() + 1.0)))}
