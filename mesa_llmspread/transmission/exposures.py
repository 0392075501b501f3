"""What agents saw when they decided, as the arrays that a law takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mesa_llmspread.profiles import trait_levels

__all__ = ["ExposureArrays"]

# Columns of one type whatever they are given as.
_TYPES: dict[str, type] = {"direct": bool, "profile": np.intp, "weight": float, "news": float}


@dataclass(slots=True, eq=False, repr=False)
class ExposureArrays:
    """What agents saw when they decided: arrays of one length, one entry per decision.

    Arguments broadcast against each other.

    Parameters
    ----------
    contacts : array_like of int
        Neighbours whose posts are visible, m.
    exposure_count : array_like of int, default 1
        1 on the agent's first exposure occasion, 2 on the next, ...
    direct : array_like of bool, default False
        Whether the agent saw the event itself in this step.
    profile : array_like of int, default 0
        Index of the agent's profile in ``all_profiles()``.
    cumulative : array_like of int, optional
        Neighbours who have posted so far; ``contacts`` if not given.
    weight : array_like of float, optional
        Visible posts, each weighted by its age; ``contacts`` if not given.
    step, agent : array_like of int, default 0
        When, and who.
    news : array_like of float, default 1
        What the event itself weighs by its age, as ``weight`` says of the posts.
    levels : array_like of float, shape (n, 5), optional
        The agents' trait levels in standard deviations, in the order O C E A N; those of the
        profiles if not given. Laws read them as :attr:`traits`.

    Examples
    --------
    >>> ExposureArrays([0, 1, 2], exposure_count=2).exposure_count
    array([2, 2, 2])
    """

    contacts: Any
    exposure_count: Any = 1
    direct: Any = False
    profile: Any = 0
    cumulative: Any = None
    weight: Any = None
    step: Any = 0
    agent: Any = 0
    news: Any = 1.0
    levels: Any = None

    def __post_init__(self) -> None:
        self.cumulative = self.contacts if self.cumulative is None else self.cumulative
        self.weight = self.contacts if self.weight is None else self.weight
        names = self.__slots__[:-1]
        columns = (np.asarray(getattr(self, name), _TYPES.get(name)) for name in names)
        for name, column in zip(names, np.broadcast_arrays(*columns), strict=True):
            setattr(self, name, np.atleast_1d(column))
        if self.levels is not None:
            self.levels = np.broadcast_to(np.asarray(self.levels, float), (len(self), 5))

    @property
    def traits(self) -> npt.NDArray[np.float64]:
        """The agents' trait levels, shape (n, 5), in the order O C E A N."""
        return trait_levels()[self.profile] if self.levels is None else self.levels

    def offline_prob(self, alpha: float) -> npt.NDArray[np.float64]:
        """Return the probability that the event itself makes agents post, where they saw it.

        Parameters
        ----------
        alpha : float
            That probability while the news is new; its hazard fades as the news ages.

        Returns
        -------
        ndarray of float, shape (n,)

        Examples
        --------
        >>> ExposureArrays(0, direct=[True, True, False], news=[1.0, 0.5, 1.0]).offline_prob(0.36)
        array([0.36, 0.2 , 0.  ])
        """
        faded = np.where(self.news == 1.0, alpha, 1.0 - (1.0 - alpha) ** self.news)
        return np.asarray(self.direct * faded)

    def __len__(self) -> int:
        return len(self.contacts)

    def __getitem__(self, kept: Any) -> ExposureArrays:
        """Return some of the exposures: a slice, a mask, or indices."""
        columns = (getattr(self, name) for name in self.__slots__)
        return ExposureArrays(*(None if column is None else column[kept] for column in columns))
