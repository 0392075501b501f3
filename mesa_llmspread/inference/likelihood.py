"""Decisions counted for likelihoods, and the estimate of one rate from them.

Given what an agent saw, its decision is a coin with the law's probability, so the
likelihood of a log is a product over decisions, and equal decisions can be counted instead
of listed. Most laws fall apart into rates that can be estimated one by one; see
:mod:`~mesa_llmspread.inference.joint` for those that do not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from mesa_llmspread.data import SpreadData
from mesa_llmspread.data.schema import UNKNOWN
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.inference.scale import Floats
from mesa_llmspread.inference.trials import Trials
from mesa_llmspread.profiles import codes
from mesa_llmspread.transmission import (
    ExposureArrays,
    TransmissionLaw,
)

__all__ = [
    "Cells",
    "Histories",
    "Log",
    "arrays_of",
    "columns_read",
    "decisions_of",
    "profile_indices",
    "split",
]

Bools = npt.NDArray[np.bool_]


def decisions_of(exposures: pd.DataFrame) -> pd.DataFrame:
    """Keep the decisions that can be fitted: made by an agent that saw something, and not failed.

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


def profile_indices(decisions: pd.DataFrame, unknown_too: bool = False) -> npt.NDArray[np.int64]:
    """Find the index of each decision's profile in ``all_profiles()``.

    Parameters
    ----------
    decisions : DataFrame

    Returns
    -------
    ndarray of int, shape (len(decisions),)

    Raises
    ------
    ArgumentError
        If a profile is not known.
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


#: Columns of a decision that a law may read, beside ``traits``, which the profile has.
_COLUMNS = ("contacts", "cumulative", "exposure_count", "direct", "profile", "step", "agent")

_ALWAYS = frozenset({"contacts", "direct"})

# Decisions on which a law is tried to find which columns it reads.
_TRIED = 1000


@dataclass(frozen=True)
class Cells:
    """Decisions counted by run and by what was seen, in so far as a law reads it.

    Parameters
    ----------
    run : ndarray of int
    seen : ExposureArrays
        One entry per cell.
    declines, reposts : ndarray of float
        How many decisions ended so.
    """

    run: npt.NDArray[np.int64]
    seen: ExposureArrays
    declines: Floats
    reposts: Floats

    def where(self, kept: Bools) -> Cells:
        """Keep some cells."""
        return Cells(self.run[kept], self.seen[kept], self.declines[kept], self.reposts[kept])


@dataclass(frozen=True)
class Histories:
    """Agents counted by run, by the contacts they declined in all, and by those they gave in to.

    Parameters
    ----------
    run : ndarray of int
    declined : ndarray of float
        Contacts at which an agent declined, summed over its decisions.
    posted : ndarray of float
        Contacts at which it reposted; 0 if it never did.
    count : ndarray of float
        How many agents have that history.
    """

    run: npt.NDArray[np.int64]
    declined: Floats
    posted: Floats
    count: Floats

    @classmethod
    def sum(cls, decisions: pd.DataFrame) -> Histories:
        """Sum decisions, as :func:`decisions_of` gives them, by agent."""
        contacts, repost = decisions["contacts"].to_numpy(), decisions["repost"].to_numpy()
        agents, agent = np.unique(
            decisions[["run", "agent"]].to_numpy(), axis=0, return_inverse=True
        )
        agent = agent.ravel()
        sums = [
            np.bincount(agent, weights=np.where(chosen, contacts, 0), minlength=len(agents))
            for chosen in (~repost, repost)
        ]
        cells, count = np.unique(np.column_stack([agents[:, 0], *sums]), axis=0, return_counts=True)
        return cls(cells[:, 0].astype(np.int64), cells[:, 1], cells[:, 2], count.astype(float))

    def where(self, kept: Bools) -> Histories:
        """Keep some histories."""
        return Histories(*(getattr(self, part.name)[kept] for part in fields(self)))

    def trials(self) -> Trials:
        """Give the trials they consist of, by agent; right for one common rate only."""
        return Trials(
            np.concatenate([self.declined, self.posted]),
            np.concatenate([self.count, np.zeros_like(self.count)]),
            np.concatenate([np.zeros_like(self.count), self.count * (self.posted > 0)]),
        )


@dataclass(frozen=True)
class Log:
    """The decisions of a record, as likelihoods need them.

    Parameters
    ----------
    data : SpreadData
        The record.
    decisions : Cells
        One cell per decision.
    histories : Histories
    runs : tuple of int
        The runs in which somebody decided.
    n_runs : int
        The number of all runs.
    n_failed : int
        Decisions that failed, which are in no cell.
    """

    data: SpreadData
    decisions: Cells
    histories: Histories
    runs: tuple[int, ...]
    n_runs: int
    n_failed: int

    @classmethod
    def read(cls, data: SpreadData) -> Log:
        """Count the decisions of a record."""
        decisions = decisions_of(data.exposures)
        n_failed = int((data.exposures["outcome"] == "failed").sum())
        if decisions.empty:
            raise ArgumentError("data", f"{n_failed} failed decisions", "hold decisions to fit")
        repost = decisions["repost"].to_numpy(dtype=float)
        cells = Cells(decisions["run"].to_numpy(), arrays_of(decisions), 1 - repost, repost)
        runs = tuple(int(run) for run in np.unique(cells.run))
        return cls(data, cells, Histories.sum(decisions), runs, len(data.runs), n_failed)

    @cached_property
    def n_obs(self) -> int:
        """Number of decisions."""
        return len(self.decisions.run)

    @cached_property
    def n_agents(self) -> int:
        """Number of agents that decided, over all runs."""
        return int(self.histories.count.sum())

    @cached_property
    def unseen_reposts(self) -> int:
        """Reposts with no posting neighbour in view, which contacts cannot explain."""
        return int(self.decisions.reposts[self.decisions.seen.contacts == 0].sum())

    def cells(self, law: TransmissionLaw) -> Cells:
        """Count the decisions by what a law reads of them.

        Parameters
        ----------
        law : TransmissionLaw

        Returns
        -------
        Cells
            Contacts and ``direct`` are told apart for every law.
        """
        return self.cells_by(self.columns(law))

    def columns(self, law: TransmissionLaw) -> frozenset[str]:
        """Find what a law reads of a decision; contacts and ``direct`` are always among it."""
        read = columns_read(law, self.decisions.seen[:_TRIED])
        if "profile" in read and (self.decisions.seen.profile < 0).any():
            raise ArgumentError(
                "law", law.name, "not use profiles, which are not known of these decisions"
            )
        return read | _ALWAYS

    def cells_by(self, columns: frozenset[str] = _ALWAYS) -> Cells:
        """Count the decisions by run and some columns of what was seen."""
        if columns not in self._counted:
            self._counted[columns] = _count(self.decisions, columns)
        return self._counted[columns]

    @cached_property
    def _counted(self) -> dict[frozenset[str], Cells]:
        return {}

    def only(self, run: int) -> Log:
        """Keep one run."""
        return self._where(self.decisions.run == run, self.histories.run == run)

    def without(self, run: int) -> Log:
        """Leave one run out."""
        return self._where(self.decisions.run != run, self.histories.run != run)

    def _where(self, decisions: Bools, histories: Bools) -> Log:
        kept = self.decisions.where(decisions)
        runs = tuple(int(run) for run in np.unique(kept.run))
        return Log(self.data, kept, self.histories.where(histories), runs, len(runs), self.n_failed)


def arrays_of(decisions: pd.DataFrame) -> ExposureArrays:
    """Put decisions into the arrays that a law takes.

    Parameters
    ----------
    decisions : DataFrame
        As :func:`decisions_of` gives them.

    Returns
    -------
    ExposureArrays
    """
    return ExposureArrays(
        decisions["contacts"].to_numpy(),
        decisions["exposure_count"].to_numpy(),
        decisions["direct"].to_numpy(dtype=bool),
        profile_indices(decisions, unknown_too=True),
        decisions["cumulative"].to_numpy(),
        step=decisions["step"].to_numpy(),
        agent=decisions["agent"].to_numpy(),
    )


def columns_read(law: TransmissionLaw, seen: ExposureArrays) -> frozenset[str]:
    """Find which columns a law reads, by recording what it asks for.

    Parameters
    ----------
    law : TransmissionLaw
    seen : ExposureArrays
        Some exposures on which it is tried.

    Returns
    -------
    frozenset of str
        Names of columns.
    """
    read: set[str] = set()

    class Recorded:
        def __getattr__(self, name: str) -> Any:
            read.add({"traits": "profile", "weight": "contacts"}.get(name, name))
            return getattr(seen, name)

        def __len__(self) -> int:
            return len(seen)

    for _, part in law.mixture_components():
        part.prob(cast(ExposureArrays, Recorded()))
    law.rate_terms(cast(ExposureArrays, Recorded()))
    return frozenset(read & set(_COLUMNS))


def _count(decisions: Cells, columns: Iterable[str]) -> Cells:
    """Count like decisions, by run and some columns."""
    names = sorted(columns)
    ranks = [
        np.unique(values, return_inverse=True)
        for values in (decisions.run, *(getattr(decisions.seen, name) for name in names))
    ]
    sizes = tuple(len(values) for values, _ in ranks)
    flat = np.ravel_multi_index([rank for _, rank in ranks], sizes)
    first, cell = np.unique(flat, return_index=True, return_inverse=True)[1:]
    chosen = {name: getattr(decisions.seen, name)[first] for name in names}
    declines, reposts = (
        np.bincount(cell, weights=number).astype(float)
        for number in (decisions.declines, decisions.reposts)
    )
    return Cells(decisions.run[first], ExposureArrays(**chosen), declines, reposts)


def split(law: TransmissionLaw, cells: Cells) -> dict[str, Trials] | None:
    """Split decisions into the trials that each of a law's rates acts on.

    Parameters
    ----------
    law : TransmissionLaw
    cells : Cells

    Returns
    -------
    dict of str to Trials, or None
        By parameter name (where there is one per profile, of those who saw a post); None for
        the laws whose parameters cannot be estimated one by one.
    """
    terms = law.rate_terms(cells.seen)
    if terms is None:
        return None
    index, acting = terms
    names = list(law.parameters)
    kept = range(len(names))
    if names == list(codes()):
        kept = np.unique(index[acting > 0]).tolist()
    return {
        names[i]: Trials.count(
            acting[index == i], cells.reposts[index == i], cells.declines[index == i]
        )
        for i in kept
    }
