"""What every law answers: with which probability an agent that saw this posts now."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from mesa_llmspread._checks import checked_probability
from mesa_llmspread.exceptions import ArgumentTypeError

__all__ = ["Seen", "Structure", "built_in", "check_built_in"]

Numbers = npt.ArrayLike
Floats = npt.NDArray[np.float64]


class Seen(NamedTuple):
    """What agents saw when they decided, as arrays of one shape; see :meth:`Structure.prob`."""

    contacts: npt.NDArray[Any]
    repeat: npt.NDArray[np.bool_]
    direct: npt.NDArray[np.bool_]
    profile: npt.NDArray[np.intp]
    cumulative: npt.NDArray[Any]


@dataclass(frozen=True)
class Structure(ABC):
    """A law of the Susceptible-Infected family, with its parameters' values.

    Attributes
    ----------
    name : str
        The law's name, as :func:`forms` lists it.
    parameters : dict of str to float
        The parameters' values, by name, in order.
    bounds : dict of str to (float, float)
        The smallest and largest value of each parameter.
    words : dict of str to str
        How to read each parameter.
    """

    words: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        for name in self.words:
            object.__setattr__(self, name, checked_probability(name, getattr(self, name)))

    @property
    def name(self) -> str:
        """The law's name, as :func:`forms` lists it."""
        return type(self).__name__

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters' values, by name, in order."""
        return {name: getattr(self, name) for name in self.words}

    @property
    def needs_profile(self) -> bool:
        """Whether :meth:`prob` depends on the agent's profile."""
        return False

    @property
    def needs_occasion(self) -> bool:
        """Whether :meth:`prob` depends on the agent's having decided before."""
        return False

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        """The smallest and largest value of each parameter."""
        return dict.fromkeys(self.parameters, (0.0, 1.0))

    def prob(
        self,
        contacts: Numbers,
        exposure: Numbers = 1,
        direct: Numbers = False,
        profile: Numbers = 0,
        cumulative: Numbers | None = None,
    ) -> Floats:
        """Give the probability of posting at one decision.

        All arguments broadcast against each other.

        Parameters
        ----------
        contacts : array_like of int
            Visible posting neighbours, m.
        exposure : array_like of int, default 1
            1 on the agent's first exposure occasion, 2 on the next, ...
        direct : array_like of bool, default False
            Whether the agent saw the event itself in this step.
        profile : array_like of int, default 0
            Index of the agent's profile in ``all_profiles()``.
        cumulative : array_like of int, optional
            Neighbours who have posted so far; ``contacts`` if not given.

        Returns
        -------
        ndarray of float
            Probabilities, of the arguments' common shape.
        """
        counted = contacts if cumulative is None else cumulative
        seen = np.broadcast_arrays(
            np.asarray(contacts),
            np.asarray(exposure) > 1,
            np.asarray(direct, dtype=bool),
            np.asarray(profile, dtype=int),
            np.asarray(counted),
        )
        return self._prob(Seen(*seen))

    @abstractmethod
    def _prob(self, seen: Seen) -> Floats:
        """Give the probability of posting, from arrays of one shape."""

    def classes(
        self, profile_shares: Sequence[float] | Floats | None = None
    ) -> list[tuple[float, Structure]]:
        """Split the law into classes of like agents.

        Parameters
        ----------
        profile_shares : array_like of float, shape (32,), optional
            Share of each profile among the agents; equal if not given.

        Returns
        -------
        list of (float, Structure)
            Share and law of each class; a law without classes is its own only class.
        """
        return [(1.0, self)]

    def __str__(self) -> str:
        values = ", ".join(f"{name}={value:g}" for name, value in self.parameters.items())
        return f"{self.name}({values})"


Kind = TypeVar("Kind", bound=type[Structure])

_BUILT_IN: set[type[Structure]] = set()


def built_in(kind: Kind) -> Kind:
    """Mark a law as one that the equations, the likelihood or the compiled engine know."""
    _BUILT_IN.add(kind)
    return kind


def check_built_in(structure: Any) -> None:
    """Raise where a value is not a built-in law.

    Equations, likelihoods and the compiled engine are written for each law. They would give
    wrong numbers for a law of one's own, also for a class derived from a built-in one.

    Parameters
    ----------
    structure : object
        What was given as the law.

    Raises
    ------
    ArgumentTypeError
        If its class is not a built-in one.
    """
    if type(structure) not in _BUILT_IN:
        raise ArgumentTypeError(
            "structure", structure, "a law with values, of the built-in ones, such as SI(0.05)"
        )
