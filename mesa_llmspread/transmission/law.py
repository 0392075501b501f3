"""What a law of transmission is: the probability that an agent posts, given what it saw."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from mesa_llmspread._validation import check_name, checked_number
from mesa_llmspread.exceptions import ArgumentError, RenamedError
from mesa_llmspread.transmission.exposures import ExposureArrays
from mesa_llmspread.transmission.fields import as_text, middle, parameter_names

__all__ = ["MEMORIES", "OFFLINE", "TransmissionLaw"]

Numbers = npt.ArrayLike
Floats = npt.NDArray[np.float64]

#: What a law may remember of an agent's past: nothing; whether this is its first exposure
#: occasion; or how many neighbours have posted so far.
MEMORIES = ("none", "first_repeat", "cumulative")

#: What the chance ``alpha`` is, for readers.
OFFLINE = "the event itself, each step it is seen"


@dataclass(frozen=True)
class TransmissionLaw(ABC):
    """A law of transmission, with its parameters' values.

    A law of your own is a frozen dataclass: every field annotated ``float`` is a parameter,
    other fields are options. It has one method, :meth:`prob`, and declares what it depends
    on; :func:`check_law` tests the class against this contract.

    Every law may have an offline part beside it: where the agent sees the event itself, that too
    makes it post, with the chance ``alpha``. So the whole law is
    ``p = 1 - (1 - alpha * direct) * (1 - prob)`` (:meth:`checked_prob`).

    Parameters
    ----------
    alpha : float, default 0
        Probability that seeing the event itself in a step makes the agent post.
    offline : bool, default False
        Whether the law has an offline part, as it does where ``alpha > 0``: ``alpha`` is then a
        parameter, and is estimated with the others.

    Attributes
    ----------
    bounds : mapping of str to (float, float)
        The smallest and largest value of a parameter; 0 and 1 where none are given.
    choices : mapping of str to tuple of str
        The values that an option may have.
    labels : mapping of str to str
        What each parameter is, for readers.
    memory : {"none", "first_repeat", "cumulative"}
        What :meth:`prob` depends on besides what is visible now: nothing; whether
        ``exposure_count`` is 1 or larger; or ``cumulative``, in place of the number of visible
        posts (of which there must be one all the same).
    independent_contacts : bool
        Whether every contact acts on its own, ``p = 1 - (1 - p_one)**seen.weight``.
    uses_profile : bool
        Whether :meth:`prob` depends on ``profile`` or ``traits``.
    uses_traits : bool
        Whether it depends on the trait levels as numbers, beyond what the profile's code tells.
    nested_in : tuple of str
        Names of laws of which this one is a special case.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Threshold(TransmissionLaw):
    ...     low: float
    ...     high: float
    ...     labels = {"low": "one or two neighbours", "high": "three or more"}
    ...
    ...     def prob(self, seen):
    ...         return np.where(seen.contacts >= 3, self.high, self.low) * (seen.contacts > 0)
    >>> Threshold(0.02, 0.3).evaluate([0, 2, 3])
    array([0.  , 0.02, 0.3 ])
    >>> Threshold(0.02, 0.3, alpha=0.5).evaluate([0, 2], direct=True)
    array([0.5 , 0.51])
    """

    alpha: float = dataclasses.field(default=0.0, kw_only=True)
    offline: bool = dataclasses.field(default=False, kw_only=True, repr=False)

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {}
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    labels: ClassVar[Mapping[str, str]] = {}
    memory: ClassVar[str] = "none"
    independent_contacts: ClassVar[bool] = False
    uses_profile: ClassVar[bool] = False
    uses_traits: ClassVar[bool] = False
    nested_in: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "words" in vars(cls):
            raise RenamedError(f"{cls.__name__}.words", vars(cls)["words"], "labels")

    def __new__(cls, *args: Any, **values: Any) -> Self:
        """Create a law, if its class is a dataclass."""
        parameter_names(cls)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name in parameter_names(type(self)):
            limits = self.bounds.get(name, (0.0, 1.0))
            object.__setattr__(self, name, checked_number(name, getattr(self, name), *limits))
        for name, known in self.choices.items():
            check_name(name, getattr(self, name), known)
        if self.offline or self.alpha > 0:
            self._declare(offline=True, labels={"alpha": OFFLINE, **self.labels})

    def _declare(self, **declarations: Any) -> None:
        """Set declarations, or options, of this law alone."""
        for name, value in declarations.items():
            object.__setattr__(self, name, value)

    @abstractmethod
    def prob(self, seen: ExposureArrays) -> Floats:
        """Return the probability of posting at each exposure, without the offline part.

        Parameters
        ----------
        seen : ExposureArrays
            What each agent saw.

        Returns
        -------
        ndarray of float
            Probabilities, one per exposure.
        """

    @property
    def name(self) -> str:
        """The class's name, with the options that are not defaults in parentheses."""
        options = ", ".join(self._changed_options())
        return f"{type(self).__name__}({options})" if options else type(self).__name__

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters' values, by name, in order; ``alpha`` where there is an offline part."""
        names = parameter_names(type(self))
        return {name: getattr(self, name) for name in names if name != "alpha" or self.offline}

    @property
    def parameter_bounds(self) -> dict[str, tuple[float, float]]:
        """The smallest and largest value of every parameter."""
        return {name: self.bounds.get(name, (0.0, 1.0)) for name in self.parameters}

    @property
    def options(self) -> dict[str, Any]:
        """The values of the fields that are not parameters, by name."""
        return {name: getattr(self, name) for name in sorted(self.option_names())}

    @classmethod
    def option_names(cls) -> set[str]:
        """Return the names of the fields that are not parameters."""
        given = {field.name for field in dataclasses.fields(cls) if field.init}
        return given - {*parameter_names(cls)}

    @classmethod
    def example(cls, **options: Any) -> Self:
        """Return a law with some allowed values: its options and declarations are what counts.

        Parameters
        ----------
        **options
            Fields that are not parameters.

        Returns
        -------
        TransmissionLaw
        """
        values: dict[str, Any] = {
            name: middle(*cls.bounds.get(name, (0.0, 1.0)))
            for name in parameter_names(cls)
            if name != "alpha" or options.get("offline", cls.offline)
        }
        return cls(**values, **options)

    def replace(self, values: Mapping[str, float]) -> Self:
        """Return the same law with other values of its parameters.

        Parameters
        ----------
        values : mapping of str to float

        Returns
        -------
        TransmissionLaw
        """
        changes: dict[str, Any] = dict(values)
        return dataclasses.replace(self, **changes)

    def online(self) -> TransmissionLaw:
        """Return the law without its offline part."""
        return dataclasses.replace(self, alpha=0.0, offline=False)

    def rate_terms(self, seen: ExposureArrays) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
        """Split the law into rates that act on separate exposures, or return None.

        With ``prob = 1 - (1 - parameter[i])**contacts`` at every exposure, estimates are exact and
        fast. Laws of other forms return None.

        Parameters
        ----------
        seen : ExposureArrays

        Returns
        -------
        index, contacts : ndarray, or None
            Which parameter acts at each exposure (alpha is not counted), and how many contacts.
        """
        return None

    def log_rates(self, seen: ExposureArrays) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
        """Return design and contacts with ``prob = 1 - exp(-contacts * exp(design @ b))``, or None.

        The coefficients ``b`` are the parameters without alpha, rates by their logarithm.
        """
        terms = self.rate_terms(seen)
        if terms is None:
            return None
        number = len(self.parameters) - self.offline
        return (terms[0][:, None] == np.arange(number)).astype(float), terms[1]

    def mixture_components(self) -> list[tuple[float, TransmissionLaw]]:
        """Return the share and law of every latent class of agents.

        Nobody knows which agent is in which class; every agent stays in its own. A law
        without latent classes is its own only component.

        Returns
        -------
        list of (float, TransmissionLaw)
        """
        return [(1.0, self)]

    def start(self, data: Any) -> dict[str, float]:
        """Return values from which a search for the best ones may begin, beside others.

        Parameters
        ----------
        data : SpreadData
            The record that is fitted.

        Returns
        -------
        dict of str to float
            Empty by default.
        """
        return {}

    def at_profile(self, profile: int) -> TransmissionLaw:
        """Return the law of the agents of one profile.

        Parameters
        ----------
        profile : int
            Index in ``all_profiles()``.

        Returns
        -------
        TransmissionLaw
        """
        from mesa_llmspread.transmission.at_profile import AtProfile

        return AtProfile(self, profile) if self.uses_profile else self

    def classes(
        self, profile_shares: Sequence[float] | Floats | None = None
    ) -> list[tuple[float, TransmissionLaw]]:
        """Split the law into classes of like agents, latent classes and profiles alike.

        Parameters
        ----------
        profile_shares : array_like of float, shape (32,), optional
            Share of each profile among the agents; equal if not given.

        Returns
        -------
        list of (float, TransmissionLaw)
            Share and law of each class.
        """
        shares = np.full(32, 1 / 32) if profile_shares is None else np.asarray(profile_shares)
        laws: list[TransmissionLaw] = []
        totals: list[float] = []
        for weight, law in self.mixture_components():
            for profile in range(32) if law.uses_profile else (0,):
                share = weight * float(shares[profile]) if law.uses_profile else weight
                part = law.at_profile(profile)
                if share > 1e-15 and part in laws:
                    totals[laws.index(part)] += share
                elif share > 1e-15:  # fewer is nobody, and would be divided by
                    laws.append(part)
                    totals.append(share)
        return list(zip(totals, laws, strict=True))

    def evaluate(
        self,
        contacts: Numbers,
        exposure_count: Numbers = 1,
        direct: Numbers = False,
        profile: Numbers = 0,
        cumulative: Numbers | None = None,
        levels: Numbers | None = None,
    ) -> Floats:
        """Return the probability of posting, for arrays of any shapes that broadcast.

        Parameters
        ----------
        contacts, exposure_count, direct, profile, cumulative : array_like
            As in :class:`ExposureArrays`.
        levels : array_like of float, optional
            Trait levels, along one more axis of 5; those of the profiles if not given.

        Returns
        -------
        ndarray of float
            Of the arguments' common shape.

        Raises
        ------
        ArgumentError
            If the law returns anything but one probability per exposure.
        """
        counted = contacts if cumulative is None else cumulative
        arrays = np.broadcast_arrays(contacts, exposure_count, direct, profile, counted)
        seen = ExposureArrays(*(array.ravel() for array in arrays))
        if levels is not None:
            seen.levels = np.broadcast_to(levels, (*arrays[0].shape, 5)).reshape(-1, 5)
        return self.checked_prob(seen).reshape(arrays[0].shape)

    def checked_prob(self, seen: ExposureArrays) -> Floats:
        """Return the probability of posting at each exposure, after checking :meth:`prob`.

        Parameters
        ----------
        seen : ExposureArrays

        Returns
        -------
        ndarray of float

        Raises
        ------
        ArgumentError
            If the law returns anything but one probability per exposure.
        """
        chance = np.asarray(self.prob(seen), dtype=float)
        if chance.shape != (len(seen),):
            allowed = f"return one probability per exposure, shape ({len(seen)},)"
            raise ArgumentError(f"{self}.prob(seen)", f"shape {chance.shape}", allowed)
        # Written so that NaN is refused too.
        wrong = ~((chance >= -1e-12) & (chance <= 1 + 1e-12))
        if wrong.any():
            raise ArgumentError(
                f"{self}.prob(seen)", chance[wrong][0], "return probabilities between 0 and 1"
            )
        chance = chance.clip(0.0, 1.0)
        return seen.offline_prob(self.alpha) * (1.0 - chance) + chance if self.offline else chance

    def _changed_options(self) -> list[str]:
        """Return the options that are not defaults as text that :func:`parse_law` reads."""
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        return [
            f"{name}={as_text(value)}"
            for name, value in self.options.items()
            if value != defaults[name]
        ]

    def __str__(self) -> str:
        values = [f"{name}={value:g}" for name, value in self.parameters.items()]
        # What a positive alpha says already.
        options = [
            text for text in self._changed_options() if not (self.alpha and "offline" in text)
        ]
        return f"{type(self).__name__}({', '.join([*values, *options])})"
