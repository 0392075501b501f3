"""A response table of a language model as a decider, and as a law."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from mesa_llmspread._validation import check_name
from mesa_llmspread._words import counted
from mesa_llmspread.deciders.base import Decider, Decision, Exposure, toss
from mesa_llmspread.deciders.rates import exposure_arrays
from mesa_llmspread.events import OfflineEvent, as_event
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.profiles import all_profiles
from mesa_llmspread.tables import DEFAULT_TABLE, ResponseTable, load_table
from mesa_llmspread.tables.response_table import logit
from mesa_llmspread.transmission import ExposureArrays, TransmissionLaw

__all__ = ["TableDecider", "TableLaw", "TableWarning", "drawn_from"]

Floats = npt.NDArray[np.float64]
Unmeasured = Literal["nearest", "strict"]

# What the record of a run tells about its table.
_TOLD = ("model", "sha256", "template", "template_version", "template_hash", "sampling", "date")
# One, and the levels of each binary profile: what the logit of other profiles is fitted on.
_DESIGN = np.array([(1.0, *profile.levels) for profile in all_profiles()])


class TableWarning(UserWarning):
    """A decision was asked for outside what a response table measured, and the nearest was used."""


class TableDecider(Decider):
    """Draw decisions from a response table: what a language model answered; no model runs.

    Between measured cells the logit is linear in the logarithm of the number of contacts and in
    the number of exposures; beyond the largest measured number the last value holds. An agent
    that sees posts and the event itself decides as with the posts alone. Cells that were not
    measured are filled in additively: the response to contacts at the first exposure, plus the
    mean effect of repetition.

    Parameters
    ----------
    table : ResponseTable, str or path-like, default "qwen2.5-coder-0.5b"
        A table, the name of a shipped one, or the folder of a saved one.
    events : {"nearest", "strict"}, default "nearest"
        For an event that was not measured: the mean logit over the measured events of its type
        (over all events if none is of its type), with a warning; or an error.

    Raises
    ------
    UnknownNameError
        If the table or the value of events is unknown.
    InputFileError
        If a folder does not hold a table.
    ArgumentError
        If the table lacks a first exposure to posts.

    Examples
    --------
    >>> from mesa_llmspread import SpreadModel
    >>> model = SpreadModel(n=50, k=4, decider=TableDecider(), event="riots-40", rng=1).run(5)
    >>> model.decider.table.info["model"]
    'Qwen2.5-Coder-0.5B-Instruct, Q4_K_M'
    """

    def __init__(
        self, table: ResponseTable | str | Path = DEFAULT_TABLE, events: Unmeasured = "nearest"
    ) -> None:
        check_name("events", events, get_args(Unmeasured))
        self.table = load_table(table)
        self.events = events
        self.name = f"table({self.table.info.get('model', 'unknown')})"
        self._surfaces: dict[OfflineEvent, _Surface] = {}

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        """Draw one decision per exposure; see :meth:`Decider.decide`."""
        chance = np.empty(len(exposures))
        for event in {exposure.event for exposure in exposures}:
            places = [i for i, exposure in enumerate(exposures) if exposure.event == event]
            asked, surface = [exposures[i] for i in places], self._surface(event)
            profiles = {exposure.profile for exposure in asked}
            logits = {profile: surface.of(profile.levels) for profile in profiles}
            of_agents = np.array([logits[exposure.profile] for exposure in asked])
            seen = exposure_arrays(asked, by_profile=False)
            chance[places] = surface.probabilities(of_agents, seen, seen.exposure_count)
        return toss(exposures, rng, chance)

    def law(self, event: OfflineEvent | str) -> TableLaw:
        """Return the table's answers about one event as a law, which the compiled engine runs.

        Parameters
        ----------
        event : OfflineEvent or str
            An event, or the name of a bundled one.

        Returns
        -------
        TableLaw
        """
        return TableLaw(self, as_event(event))

    def manifest(self) -> Mapping[str, Any]:
        """Describe the table; see :meth:`Decider.manifest`."""
        told = {name: value for name, value in self.table.info.items() if name in _TOLD}
        return {"decider": "table", "events": self.events, **told}

    def _surface(self, event: OfflineEvent) -> _Surface:
        """Return the response surface of one event, measured or the nearest."""
        if event not in self._surfaces:
            measured = {known.event_id: known for known in self.table.events}
            alike = [e for e, known in measured.items() if known.event_type == event.event_type]
            known = measured.get(event.event_id) == event
            chosen = [event.event_id] if known else alike or list(measured)
            if not known:
                if self.events == "strict":
                    allowed = "be an event of the table, word for word: " + ", ".join(measured)
                    raise ArgumentError("event", event.event_id, allowed)
                warnings.warn(
                    f"the event {event.event_id!r} was not measured: the mean of "
                    f"{counted(len(chosen), 'measured event')} is used",
                    TableWarning,
                    stacklevel=4,
                )
            self._surfaces[event] = _Surface(self.table.frame, chosen)
        return self._surfaces[event]


def drawn_from(info: Mapping[str, Any]) -> str:
    """Return in words where decisions of a table come from.

    Parameters
    ----------
    info : mapping
        Of a response table, or of a run that a :class:`TableDecider` decided.

    Returns
    -------
    str
    """
    known = {name: info.get(name, "unknown") for name in ("model", "template", "date")}
    return (
        "draws from what {model} answered to the template {template!r} on {date} "
        "(no model runs now)".format(**known)
    )


class _Surface:
    """Logits of a repost for each profile on a grid: exposure counts x (media, contacts).

    Parameters
    ----------
    frame : DataFrame
        Of a response table.
    events : list of str
        The events over which logits are averaged.
    """

    def __init__(self, frame: pd.DataFrame, events: list[str]) -> None:
        cells = frame[frame["event"].isin(events)].assign(logit=lambda x: logit(x["p"]))
        column = cells["contacts"].where(~cells["direct"].astype(bool), 0)
        cells = cells.assign(column=column)
        feed = cells[cells["column"] > 0]
        if not (feed["exposure_count"] == 1).any():
            raise ArgumentError(
                "table", events, "hold the first exposure to a post (contacts >= 1)"
            )
        self.contacts = np.sort(feed["column"].unique()).astype(float)
        self.counts = np.sort(cells["exposure_count"].unique()).astype(float)
        columns = np.concatenate([[0.0], self.contacts])
        wide = cells.pivot_table("logit", ["profile", "exposure_count"], "column")
        codes = [profile.code for profile in all_profiles()]
        first = set(feed.loc[feed["exposure_count"] == 1, "profile"])
        measured = [code for code in codes if code in first]
        whole = pd.MultiIndex.from_product([measured, self.counts])
        shape = (len(measured), len(self.counts), len(columns))
        cells_of = wide.reindex(index=whole, columns=columns).to_numpy().reshape(shape)
        grids = np.array([_filled(grid, self.contacts) for grid in cells_of])
        # A profile without the media, where others have them, counts as not measured.
        lacks = np.isnan(grids).any(axis=(1, 2)) & ~np.isnan(grids[:, :, 0]).all()
        rows = np.array([codes.index(code) for code in measured])[~lacks]
        self.grid = np.full((32, *grids.shape[1:]), np.nan)
        self.grid[rows] = grids[~lacks]
        self._design = _DESIGN[rows]
        self._measured = grids[~lacks]

    @cached_property
    def coefficients(self) -> Floats:
        """Least-squares coefficients of the logits on 1 and traits, shape (6, counts, columns)."""
        if np.linalg.matrix_rank(self._design) < 6:
            raise ArgumentError(
                "population",
                "a profile that was not measured",
                "hold measured profiles only: the table has too few to fit traits",
            )
        flat = self._measured.reshape(len(self._measured), -1)
        solved = np.linalg.lstsq(self._design, flat, rcond=None)[0]
        return solved.reshape(6, *self._measured.shape[1:])

    def of(self, levels: tuple[float, ...]) -> Floats:
        """Return the logits of one personality: measured, or fitted on its traits."""
        for code, profile in enumerate(all_profiles()):
            # The table may have no sightings in the media, the first column.
            if profile.levels == levels and not np.isnan(self.grid[code][:, 1:]).any():
                return self.grid[code]
        return np.tensordot((1.0, *levels), self.coefficients, axes=1)

    @cached_property
    def complete(self) -> Floats:
        """Logits of all 32 profiles, shape (32, counts, columns)."""
        return np.array([self.of(profile.levels) for profile in all_profiles()])

    def probabilities(
        self, logits: Floats, seen: ExposureArrays, exposure_count: npt.NDArray[Any]
    ) -> Floats:
        """Interpolate logits of shape (n, counts, columns) at n exposures."""
        contacts, direct = seen.contacts, seen.direct
        if (contacts > self.contacts[-1]).any():
            warnings.warn(
                f"more posts than were measured: the answer to {self.contacts[-1]:g} is used",
                TableWarning,
                stacklevel=5,
            )
        if (direct & (contacts == 0)).any() and np.isnan(logits[:, :, 0]).any():
            raise ArgumentError(
                "media_prob", "> 0", "be 0: the table has no sightings in the media"
            )
        log_m = np.log(np.maximum(contacts, 1))
        column = 1 + np.interp(log_m, np.log(self.contacts), np.arange(len(self.contacts)))
        column = np.where(contacts > 0, column, 0.0)
        row = np.interp(exposure_count, self.counts, np.arange(len(self.counts)))
        if len(self.counts) == 2:
            row = np.ceil(row)  # first or again: nothing was measured between the two
        i, j = np.floor(row).astype(int), np.floor(column).astype(int)
        i_next, j_next = np.ceil(row).astype(int), np.ceil(column).astype(int)
        a, b, at = row - i, column - j, np.arange(len(logits))
        upper = (1 - b) * logits[at, i, j] + b * logits[at, i, j_next]
        lower = (1 - b) * logits[at, i_next, j] + b * logits[at, i_next, j_next]
        return np.where((contacts > 0) | direct, expit((1 - a) * upper + a * lower), 0.0)


def _filled(grid: Floats, contacts: Floats) -> Floats:
    """Complete the logits of one profile: rows are exposure counts, columns media and contacts."""
    first = grid[0, 1:]
    known = ~np.isnan(first)
    response = np.interp(np.log(contacts), np.log(contacts[known]), first[known])
    base = np.concatenate([grid[0, :1], response])
    repetition = np.nanmean(np.where(np.isnan(grid), np.nan, grid - base), axis=1, keepdims=True)
    return np.where(np.isnan(grid), base + np.nan_to_num(repetition), grid)


@dataclasses.dataclass(frozen=True)
class TableLaw(TransmissionLaw):
    """A response table's answers about one event, as a law of the 32 binary profiles.

    The compiled engine runs it. "Again" is the answer at the second exposure, also later.

    Parameters
    ----------
    decider : TableDecider
        The table.
    event : OfflineEvent
        What the news is about.
    """

    decider: TableDecider
    event: OfflineEvent
    memory: ClassVar[str] = "first_repeat"
    uses_profile: ClassVar[bool] = True

    def prob(self, seen: ExposureArrays) -> Floats:
        """Return the probability of posting; see :meth:`TransmissionLaw.prob`."""
        surface = self.decider._surface(self.event)
        count = np.minimum(seen.exposure_count, 2)
        return surface.probabilities(surface.complete[seen.profile], seen, count)

    def __str__(self) -> str:
        return f"{self.name}({self.decider.name}, {self.event.event_id})"
