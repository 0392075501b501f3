"""The decisions of a record that can be fitted, and what was seen when each was made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from mesa_llmspread._words import counted
from mesa_llmspread.data import SpreadData, check_data
from mesa_llmspread.data.schema import UNKNOWN
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.inference.receipts import Receipts, receipts_of
from mesa_llmspread.inference.scale import Floats
from mesa_llmspread.profiles import Trait, codes
from mesa_llmspread.transmission import ExposureArrays, TransmissionLaw

__all__ = [
    "Bools",
    "Integers",
    "Log",
    "decisions_of",
    "decisions_of_both",
    "distinct",
    "levels_of",
    "profile_indices",
]

Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

# Columns of a decision that a law may read.
_COLUMNS = {*ExposureArrays.__slots__, "traits"} - {"levels"}

_TRAITS = [trait.value for trait in Trait]


def decisions_of(exposures: pd.DataFrame) -> pd.DataFrame:
    """Return the decisions that can be fitted: by an agent that saw something, and not failed.

    Parameters
    ----------
    exposures : DataFrame
        The table of :class:`~mesa_llmspread.data.SpreadData`.

    Returns
    -------
    DataFrame
        Rows with at least one posting neighbour in view or the event itself, that ended in
        a repost or a decline, with a column ``repost`` (bool) added.
    """
    saw = (exposures["contacts"] > 0) | exposures["direct"]
    kept = exposures[saw & (exposures["outcome"] != "failed")]
    return kept.assign(repost=kept["outcome"] == "repost")


def decisions_of_both(data: Any) -> pd.DataFrame:
    """Return the decisions of a record as :func:`decisions_of` does, with both outcomes among them.

    Parameters
    ----------
    data : SpreadData

    Returns
    -------
    DataFrame

    Raises
    ------
    ArgumentTypeError
        If the data are not a SpreadData.
    ArgumentError
        If all decisions are reposts, or none is.
    """
    check_data(data)
    decisions = decisions_of(data.exposures).reset_index(drop=True)
    reposts, total = int(decisions["repost"].sum()), len(decisions)
    if not 0 < reposts < total:
        given = f"{counted(reposts, 'repost')} in {counted(total, 'decision')}"
        raise ArgumentError("data", given, "hold both reposts and declines")
    return decisions


def profile_indices(decisions: pd.DataFrame, unknown_too: bool = False) -> Integers:
    """Return the index of each decision's profile in ``all_profiles()``.

    Parameters
    ----------
    decisions : DataFrame
    unknown_too : bool, default False
        Whether unknown profiles are allowed (index -1).

    Returns
    -------
    ndarray of int, shape (len(decisions),)

    Raises
    ------
    ArgumentError
        If a profile is not a profile code.
    """
    profiles = decisions["profile"]
    indices = pd.Index(codes()).get_indexer(pd.Index(profiles)).astype(np.int64)
    wrong = (indices < 0) & ~(unknown_too & (profiles == UNKNOWN).to_numpy())
    if wrong.any():
        strange = profiles.iloc[int(np.argmax(wrong))]
        raise ArgumentError(
            "data.exposures['profile']", strange, "be a profile code such as 'OCEAN'"
        )
    return indices


def levels_of(decisions: pd.DataFrame, data: SpreadData) -> Floats:
    """Return the trait levels of the agent of each decision.

    Parameters
    ----------
    decisions : DataFrame
    data : SpreadData
        Their record.

    Returns
    -------
    ndarray of float, shape (len(decisions), 5)
        NaN where unknown.
    """
    levels = data.agents.set_index(["run", "agent"])[_TRAITS]
    return decisions[["run", "agent"]].join(levels, on=["run", "agent"])[_TRAITS].to_numpy()


@dataclass(frozen=True)
class Log:
    """The decisions of a record, as likelihoods need them.

    Parameters
    ----------
    data : SpreadData
        The record.

    Raises
    ------
    ArgumentTypeError
        If the data are not a SpreadData.
    ArgumentError
        If they hold no decision that can be fitted, or a repost by an agent that saw nothing.
    """

    data: SpreadData

    def __post_init__(self) -> None:
        check_data(self.data)
        table = self.data.exposures
        blind = (table["outcome"] == "repost") & (table["contacts"] == 0) & ~table["direct"]
        if blind.any():
            given = counted(int(blind.sum()), "repost")
            allowed = "be by agents that saw posts (contacts) or the event itself (direct)"
            raise ArgumentError("data.exposures", given, allowed)
        if self.table.empty:
            failed = counted(self.n_failed, "failed decision")
            advice = "find out why they fail" if self.n_failed else "run more steps or starters"
            raise ArgumentError("data", failed, f"hold decisions to fit: {advice}")

    @cached_property
    def table(self) -> pd.DataFrame:
        """The decisions, one per row, as :func:`decisions_of` returns them."""
        return decisions_of(self.data.exposures)

    @cached_property
    def seen(self) -> ExposureArrays:
        """What was seen at each decision."""
        columns = ("contacts", "exposure_count", "direct", "cumulative", "step", "agent")
        profile = profile_indices(self.table, unknown_too=True)
        infos = [self.data.info[run] for run in self.runs]
        news = np.array([info.seen.event_ageing for info in infos])
        return ExposureArrays(
            profile=profile,
            news=np.exp(-news[np.searchsorted(self.runs, self.run)] * (self.table["step"] - 1)),
            levels=levels_of(self.table, self.data),
            weight=self._weight if any(info.seen.ages for info in infos) else None,
            **{name: self.table[name].to_numpy() for name in columns},
        )

    @cached_property
    def receipts(self) -> Receipts:
        """When the posts came that each decision saw."""
        windows = {run: self.data.info[run].seen.visible_for or np.inf for run in self.runs}
        return receipts_of(self.data.exposures, self.table.index, windows)

    @cached_property
    def _weight(self) -> Floats:
        """What the posts in view weighed at each decision, by the visibility of its run."""
        weight = np.zeros(self.n_obs)
        for run in self.runs:
            here = self.run == run
            weight[here] = self.receipts.weight(self.data.info[run].seen)[here]
        return weight

    @cached_property
    def n_failed(self) -> int:
        """Number of decisions that failed, which are not in the table."""
        return int((self.data.exposures["outcome"] == "failed").sum())

    @property
    def n_obs(self) -> int:
        """Number of decisions."""
        return len(self.table)

    @cached_property
    def run(self) -> Integers:
        """Run of each decision."""
        return self.table["run"].to_numpy()

    @cached_property
    def runs(self) -> list[int]:
        """The runs with decisions."""
        return [int(run) for run in np.unique(self.run)]

    @cached_property
    def agent(self) -> Integers:
        """Number of the agent that decided, counted over all runs from 0."""
        return distinct([self.run, self.seen.agent])[1]

    @cached_property
    def repost(self) -> Floats:
        """1 where a decision was to repost, else 0."""
        return self.table["repost"].to_numpy(dtype=float)

    @cached_property
    def unseen_reposts(self) -> int:
        """Number of reposts with no posting neighbour in view, which contacts cannot explain."""
        return int(self.repost[self.seen.contacts == 0].sum())

    def cells(self, law: TransmissionLaw) -> tuple[ExposureArrays, Integers]:
        """Group the decisions by what a law reads of them.

        Parameters
        ----------
        law : TransmissionLaw

        Returns
        -------
        seen : ExposureArrays
            What was seen, one entry per cell; contacts are among it for every law.
        cell : ndarray of int
            The cell of each decision.
        """
        columns = _columns_read(law, self.seen) | {"contacts"}
        columns |= {"direct", "news"} if law.offline else set()
        if "profile" in columns and (self.seen.profile < 0).any():
            raise ArgumentError(
                "law", law.name, "not use profiles, which are unknown for these decisions"
            )
        if "traits" in columns and np.isnan(self.seen.traits).any():
            raise ArgumentError(
                "law",
                law.name,
                "not use trait levels, which are unknown for these decisions; where profiles are "
                "the 32 binary ones, name such a population in info",
            )
        if columns not in self._cells:
            first, cell = distinct([getattr(self.seen, name) for name in sorted(columns)])
            chosen = {
                "levels" if name == "traits" else name: getattr(self.seen, name)[first]
                for name in columns
            }
            self._cells[columns] = ExposureArrays(**chosen), cell
        return self._cells[columns]

    def counts(self, cell: Integers, kept: Bools) -> Floats:
        """Return the number of reposts and of declines in each cell, among decisions kept."""
        number = int(cell.max()) + 1
        weights = (self.repost * kept, (1 - self.repost) * kept)
        return np.array([np.bincount(cell, weight, number) for weight in weights])

    @cached_property
    def _cells(self) -> dict[frozenset[str], tuple[ExposureArrays, Integers]]:
        return {}


def distinct(columns: Iterable[npt.NDArray[Any]]) -> tuple[Integers, Integers]:
    """Return the first place of each distinct row of some columns, and the number of every row.

    Parameters
    ----------
    columns : iterable of ndarray
        Of one length.

    Returns
    -------
    first, number : ndarray of int
        Of the lengths of the distinct rows, and of the columns.
    """
    ranks = [
        np.unique(values, return_inverse=True, axis=0 if values.ndim > 1 else None)
        for values in columns
    ]
    sizes = tuple(len(values) for values, _ in ranks)
    flat = np.ravel_multi_index([rank.ravel() for _, rank in ranks], sizes)
    return np.unique(flat, return_index=True, return_inverse=True)[1:]


def _columns_read(law: TransmissionLaw, seen: ExposureArrays) -> frozenset[str]:
    """Return the columns that a law reads, by recording what it asks for on some exposures."""
    read: set[str] = set()

    class Recorded:
        offline_prob = ExposureArrays.offline_prob

        def __init__(self, seen: ExposureArrays) -> None:
            self._seen = seen

        def __getattr__(self, name: str) -> Any:
            read.add("traits" if name == "levels" else name)
            return getattr(self._seen, name)

        def __getitem__(self, kept: Any) -> Recorded:
            return Recorded(self._seen[kept])

        def __len__(self) -> int:
            return len(self._seen)

    recorded = cast(ExposureArrays, Recorded(seen))
    for _, part in law.mixture_components():
        part.prob(recorded)
    law.rate_terms(recorded)
    return frozenset(read & _COLUMNS)
