"""Who the agents are: Big-Five personality profiles and how a population is drawn from them.

A profile is five trait levels in z-score units. The 32 binary profiles put each trait at
one standard deviation above (+1, "high") or below (-1, "low") the mean; their codes write
a high trait as a capital letter in the order O C E A N, so ``OcEan`` is open and
extraverted but low on the other three.
"""

from __future__ import annotations

import enum
import itertools
import operator
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from mesa_llmspread._validation import check_name, checked_int, checked_number, checked_shares
from mesa_llmspread._words import html_table
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError
from mesa_llmspread.rng import RNGLike, as_generator

__all__ = [
    "NORM_SHARES",
    "Population",
    "Profile",
    "Trait",
    "all_profiles",
    "by_code",
    "codes",
    "norm_shares",
    "plain_population",
    "sample_profiles",
    "trait_levels",
]


class Trait(enum.Enum):
    """The five traits, in the order O C E A N that codes and arrays follow.

    Examples
    --------
    >>> "".join(trait.letter for trait in Trait)
    'OCEAN'
    """

    OPENNESS = "openness"
    CONSCIENTIOUSNESS = "conscientiousness"
    EXTRAVERSION = "extraversion"
    AGREEABLENESS = "agreeableness"
    NEUROTICISM = "neuroticism"

    @property
    def letter(self) -> str:
        """The trait's letter in a profile code, as a capital."""
        return self.value[0].upper()


_DATA = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))

#: Shares of the profiles ``ocean`` to ``oCEAN`` among people; see :func:`norm_shares`.
NORM_SHARES: tuple[float, ...] = tuple(_DATA["norms"]["shares"])

# Qualifiers by the size of a level, largest first: at least this many sd, and the word.
_QUALIFIERS = ((1.5, "extremely"), (0.75, "very"), (0.25, "somewhat"))


_LEVELS = operator.attrgetter(*(trait.value for trait in Trait))


@dataclass(frozen=True)
class Profile:
    """A Big-Five personality: five trait levels in z-score units.

    Parameters
    ----------
    openness, conscientiousness, extraversion, agreeableness, neuroticism : float
        Level of each trait in standard deviations from the population mean; the binary
        profiles use +1 (high) and -1 (low).

    Raises
    ------
    ArgumentError
        If a level is not a finite number within [-5, 5].

    Examples
    --------
    >>> Profile.from_code("OceAn")
    Profile.from_code('OceAn')
    >>> Profile.from_code("OceAn").code
    'OceAn'
    """

    openness: float
    conscientiousness: float
    extraversion: float
    agreeableness: float
    neuroticism: float

    def __post_init__(self) -> None:
        for trait in Trait:
            level = checked_number(trait.value, getattr(self, trait.value), -5, 5)
            object.__setattr__(self, trait.value, level)

    @classmethod
    def from_code(cls, code: str) -> Profile:
        """Build a binary profile from its code.

        Parameters
        ----------
        code : str
            The letters o c e a n in this order; a capital stands for a high level.

        Returns
        -------
        Profile

        Raises
        ------
        ArgumentError
            If the code is not the five letters in that order.
        """
        if code not in codes():
            allowed = "be the letters o c e a n in this order, a capital for high, as in 'OceAn'"
            raise ArgumentError("code", code, allowed)
        return cls(*(1.0 if letter.isupper() else -1.0 for letter in code))

    def __repr__(self) -> str:
        if all(abs(level) == 1 for level in self.levels):
            return f"Profile.from_code({self.code!r})"
        return f"Profile{self.levels}"

    def _repr_html_(self) -> str:
        levels = zip(Trait, self.levels, strict=True)
        return html_table(self.code, {trait.value: f"{level:+.2f}" for trait, level in levels})

    @property
    def levels(self) -> tuple[float, float, float, float, float]:
        """The five levels in the order O C E A N."""
        levels: tuple[float, float, float, float, float] = _LEVELS(self)
        return levels

    @cached_property
    def code(self) -> str:
        """The code of the binary profile on the same side of every mean (0 counts as low)."""
        return codes()[self.index]

    @cached_property
    def index(self) -> int:
        """Position of :attr:`code` in :func:`all_profiles`, 0 to 31."""
        o, c, e, a, n = self.levels
        return 16 * (o > 0) + 8 * (c > 0) + 4 * (e > 0) + 2 * (a > 0) + (n > 0)

    def describe(self) -> str:
        """Return the profile as text, a persona for a language model.

        Each trait becomes one sentence of adjective markers (Goldberg 1992) with a
        qualifier by its level: "very" at one standard deviation, "somewhat" at half of
        one, "extremely" from one and a half; levels within a quarter of the mean read
        "average".

        Returns
        -------
        str
            Five sentences in the second person.
        """
        sentences = []
        for trait, level in zip(Trait, self.levels, strict=True):
            word = next((word for least, word in _QUALIFIERS if abs(level) >= least), None)
            if word is None:
                sentences.append(f"You are average in {trait.value}.")
            else:
                adjectives = _DATA["markers"][trait.value][level > 0]
                sentences.append(f"You are {word} {adjectives}.")
        return " ".join(sentences)


@cache
def all_profiles() -> tuple[Profile, ...]:
    """Return the 32 binary profiles in binary order, from ``ocean`` to ``OCEAN``.

    Returns
    -------
    tuple of Profile

    Examples
    --------
    >>> [profile.code for profile in all_profiles()[:3]]
    ['ocean', 'oceaN', 'oceAn']
    """
    return tuple(Profile.from_code(code) for code in codes())


@cache
def codes() -> tuple[str, ...]:
    """Return the codes of the 32 binary profiles, in the order of :func:`all_profiles`.

    Examples
    --------
    >>> codes()[0], codes()[-1], len(codes())
    ('ocean', 'OCEAN', 32)
    """
    letters = ((trait.letter.lower(), trait.letter) for trait in Trait)
    return tuple("".join(code) for code in itertools.product(*letters))


@cache
def trait_levels() -> npt.NDArray[np.float64]:
    """Return the trait levels of the 32 binary profiles, shape (32, 5)."""
    return np.array([profile.levels for profile in all_profiles()])


def by_code(values: Mapping[str, float]) -> npt.NDArray[np.float64]:
    """Return values by profile code as an array of 32; 0 for codes that are missing."""
    return np.array([values.get(code, 0) for code in codes()], dtype=float)


def norm_shares() -> npt.NDArray[np.float64]:
    """Return the shares of the 32 binary profiles among people.

    Returns
    -------
    ndarray of float, shape (32,)
        Probability of each cell when the traits are multivariate normal with the
        correlations of the `bfi` sample (N = 2,800; psychTools) and are cut at their means.
        The cells are far from equally likely: 1.6 % to 8.4 %.
    """
    half = np.array(NORM_SHARES)
    shares = np.concatenate([half, half[::-1]])
    return shares / shares.sum()


Population = (
    Literal["uniform", "norms", "continuous"] | str | Mapping[str, float] | Sequence[Profile]
)


def _shares(population: Mapping[str, float]) -> npt.NDArray[np.float64]:
    """Validate shares by code and return them as an array of 32."""
    for code, share in population.items():
        check_name("population", code, codes())
        checked_number(f"population[{code!r}]", share, 0, 1)
    return checked_shares("population", dict(population), by_code(population))


def sample_profiles(
    n: int, population: Population = "uniform", rng: RNGLike = None
) -> tuple[Profile, ...]:
    """Draw the profiles of n agents.

    Parameters
    ----------
    n : int
        Number of agents.
    population : str, mapping or sequence of Profile
        ``"uniform"``: the 32 binary profiles, equally likely. ``"norms"``: the 32 with the
        shares they have in people (:func:`norm_shares`). ``"continuous"``: levels from the
        multivariate normal with the same correlations, cut to [-3, 3]. A code such as
        ``"OceAn"``: everyone has it. A mapping code -> share. A sequence of n profiles.
    rng : int, numpy.random.Generator or None
        Randomness. The first profiles do not change when n grows.

    Returns
    -------
    tuple of Profile, length n

    Raises
    ------
    ArgumentError
        If n < 1, a name or code is unknown, shares do not sum to 1, or a sequence does not
        hold n profiles.

    Examples
    --------
    >>> [profile.code for profile in sample_profiles(3, "OceAn")]
    ['OceAn', 'OceAn', 'OceAn']
    """
    n = checked_int("n", n, 1)
    rng = as_generator(rng)
    if not isinstance(population, str | Mapping):
        return _checked_sequence(n, population)
    if population == "continuous":
        # Not `@`: BLAS takes other paths for other n, and the first profiles must not change.
        factor = np.linalg.cholesky(_DATA["norms"]["correlations"])
        normal = np.einsum("ij,kj->ik", rng.standard_normal((n, 5)), factor)
        return tuple(Profile(*levels) for levels in np.clip(normal, -3, 3))
    if population in codes():
        return (Profile.from_code(population),) * n
    if isinstance(population, Mapping):
        shares = _shares(population)
    else:
        check_name("population", population, ("uniform", "norms", "continuous", *codes()))
        shares = norm_shares() if population == "norms" else np.full(32, 1 / 32)
    cells = np.searchsorted(np.cumsum(shares)[:-1], rng.random(n), side="right")
    return tuple(all_profiles()[cell] for cell in cells)


def _checked_sequence(n: int, population: Sequence[Profile]) -> tuple[Profile, ...]:
    """Return n profiles as they are."""
    profiles = tuple(population) if isinstance(population, Iterable) else ()
    if not profiles or not all(isinstance(profile, Profile) for profile in profiles):
        allowed = "a name, a profile code, a mapping code -> share or a sequence of Profile"
        raise ArgumentTypeError("population", population, allowed)
    if len(profiles) != n:
        raise ArgumentError(
            "population", population, f"hold one profile per agent: {n}, not {len(profiles)}"
        )
    return profiles


def plain_population(population: Population) -> str | dict[str, float]:
    """Return a population as plain values.

    Parameters
    ----------
    population : str, mapping or sequence of Profile
        As :func:`sample_profiles` takes it.

    Returns
    -------
    str or dict
        "given" for a sequence of profiles.
    """
    if isinstance(population, Mapping):
        return {str(code): float(share) for code, share in population.items()}
    return population if isinstance(population, str) else "given"
