"""What agents saw when they decided, as the arrays that a law takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mesa_llmspread.profiles import trait_levels

__all__ = ["ExposureArrays"]

Numbers = npt.ArrayLike
Floats = npt.NDArray[np.float64]


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

    Attributes
    ----------
    traits : ndarray of float, shape (n, 5)
        The profile's trait levels in z-score units, in the order O C E A N.

    Examples
    --------
    >>> ExposureArrays([0, 1, 2], exposure_count=2).exposure_count
    array([2, 2, 2])
    """

    __slots__ = (
        "agent",
        "contacts",
        "cumulative",
        "direct",
        "exposure_count",
        "profile",
        "step",
        "weight",
    )

    def __init__(
        self,
        contacts: Numbers,
        exposure_count: Numbers = 1,
        direct: Numbers = False,
        profile: Numbers = 0,
        cumulative: Numbers | None = None,
        weight: Numbers | None = None,
        step: Numbers = 0,
        agent: Numbers = 0,
    ) -> None:
        columns = np.broadcast_arrays(
            np.asarray(contacts),
            np.asarray(exposure_count),
            np.asarray(direct, dtype=bool),
            np.asarray(profile, dtype=np.intp),
            np.asarray(contacts if cumulative is None else cumulative),
            np.asarray(contacts if weight is None else weight, dtype=float),
            np.asarray(step),
            np.asarray(agent),
        )
        self.contacts: npt.NDArray[np.int64] = np.atleast_1d(columns[0])
        self.exposure_count: npt.NDArray[np.int64] = np.atleast_1d(columns[1])
        self.direct: npt.NDArray[np.bool_] = np.atleast_1d(columns[2])
        self.profile: npt.NDArray[np.intp] = np.atleast_1d(columns[3])
        self.cumulative: npt.NDArray[np.int64] = np.atleast_1d(columns[4])
        self.weight: Floats = np.atleast_1d(columns[5])
        self.step: npt.NDArray[np.int64] = np.atleast_1d(columns[6])
        self.agent: npt.NDArray[np.int64] = np.atleast_1d(columns[7])

    @property
    def traits(self) -> Floats:
        """The profiles' trait levels, shape (n, 5), in the order O C E A N."""
        return trait_levels()[self.profile]

    def __len__(self) -> int:
        return len(self.contacts)

    def __getitem__(self, kept: Any) -> ExposureArrays:
        """Keep some exposures: a slice, a mask, or indices."""
        chosen = ExposureArrays.__new__(ExposureArrays)
        for name in self.__slots__:
            setattr(chosen, name, getattr(self, name)[kept])
        return chosen
