"""Probabilities of a repost by profile, event and occasion, as a language model answered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mesa_llmspread._validation import check_kind
from mesa_llmspread._words import counted, html_table
from mesa_llmspread.events import OfflineEvent
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, InputFileError
from mesa_llmspread.io import new_folder
from mesa_llmspread.profiles import Trait, all_profiles, codes

__all__ = ["CELL", "COLUMNS", "ResponseTable"]

#: One row per profile, event and occasion: the probability of a repost and its 95 % interval.
COLUMNS = ("profile", "event", "direct", "contacts", "exposure_count", "p", "low", "high")

#: What distinguishes the rows.
CELL = ["profile", "event", "direct", "contacts", "exposure_count"]
_TIMES = {1: "first time", 2: "second time", 3: "third time"}
_FILES = ("table.parquet", "manifest.json")


@dataclass(frozen=True, eq=False)
class ResponseTable:
    """Probabilities of a repost that a language model answered, by profile, event and occasion.

    Parameters
    ----------
    frame : DataFrame
        Columns ``profile`` (code), ``event`` (event_id), ``direct`` (whether the agent saw the
        event in the media), ``contacts`` (posting neighbours in view), ``exposure_count`` (1:
        first exposure), ``p``, ``low``, ``high`` (probability of a repost, 95 % interval).
    events : sequence of OfflineEvent
        The events that the table names.
    info : mapping
        How the table was measured: model, hash of its file, template, date, ...

    Raises
    ------
    ArgumentTypeError
        If frame is not a DataFrame, or events are not OfflineEvents.
    ArgumentError
        If a column is missing, a value is not allowed, a cell occurs twice, or an event is missing.

    Examples
    --------
    >>> frame = pd.DataFrame([["OCEAN", "riots-40", False, 1, 1, 0.4, 0.4, 0.4]], columns=COLUMNS)
    >>> from mesa_llmspread import bundled_events
    >>> riots = [event for event in bundled_events() if event.event_id == "riots-40"]
    >>> ResponseTable(frame, riots)
    ResponseTable('unknown model', 1 profile, 1 event, 1 occasion)
    """

    frame: pd.DataFrame
    events: Sequence[OfflineEvent]
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "events", tuple(self.events))
        _check_frame(self.frame)
        if not all(isinstance(event, OfflineEvent) for event in self.events):
            raise ArgumentTypeError("events", self.events, "a sequence of OfflineEvents")
        missing = set(self.frame["event"]) - {event.event_id for event in self.events}
        if missing:
            raise ArgumentError("events", sorted(missing)[0], "include every event of the table")

    def save(self, folder: str | Path, force: bool = False) -> Path:
        """Write the table into a new folder: ``table.parquet`` and ``manifest.json``.

        Parameters
        ----------
        folder : path-like
            Missing or empty.
        force : bool, default False
            Replace a table that is there.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OutputError
            If the folder is not empty, or cannot be written.
        """
        manifest = {**self.info, "events": [event.to_dict() for event in self.events]}
        with new_folder(folder, force) as built:
            self.frame.to_parquet(built / _FILES[0], index=False)
            text = json.dumps(manifest, indent=1, ensure_ascii=False)
            (built / _FILES[1]).write_text(text, encoding="utf-8")
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> ResponseTable:
        """Read a table that :meth:`save` wrote.

        Parameters
        ----------
        folder : path-like

        Returns
        -------
        ResponseTable

        Raises
        ------
        InputFileError
            If the folder does not hold a table.
        """
        table, manifest = (Path(folder) / name for name in _FILES)
        try:
            info = json.loads(manifest.read_text(encoding="utf-8"))
            events = [OfflineEvent.from_dict(event) for event in info.pop("events")]
            return cls(pd.read_parquet(table), events, info)
        except OSError as error:
            raise InputFileError(error.filename or folder, error.strerror or str(error)) from error
        except (KeyError, ValueError, AttributeError, TypeError) as error:
            raise InputFileError(
                folder, f"is not the folder of a response table: {error}"
            ) from error

    def variance(self) -> pd.DataFrame:
        """Split the variance of the logits into what was varied in the experiment.

        Sequential sums of squares of a linear model with main effects, in the order of the rows:
        what two sources explain together, in a design that is not complete, counts for the first.
        The rest is the share of ``interactions``.

        Returns
        -------
        DataFrame
            One row per source (the five traits, event type, fatalities, other differences between
            events, media or feed, repetition, neighbours, interactions), columns ``df``, ``share``
            (NaN where all cells are equal).
        """
        frame, kinds = self.frame, {event.event_id: event for event in self.events}
        levels = {profile.code: profile.levels for profile in all_profiles()}
        traits = np.array([levels[code] for code in frame["profile"]])
        events = [kinds[event] for event in frame["event"]]
        sources = {
            **{trait.value: traits[:, i] for i, trait in enumerate(Trait)},
            "event type": pd.get_dummies(pd.Series([event.event_type for event in events])),
            "fatalities": np.log10([1 + event.fatalities for event in events]),
            "other differences between events": pd.get_dummies(frame["event"]),
            "media or feed": frame["direct"],
            "repetition": pd.get_dummies(frame["exposure_count"]),
            "neighbours": pd.get_dummies(frame["contacts"]),
        }
        logits = logit(frame["p"])
        design, rank, left = np.ones((len(frame), 1)), 1, ((logits - logits.mean()) ** 2).sum()
        rows = []
        for columns in sources.values():
            design = np.column_stack([design, np.asarray(columns, dtype=float)])
            solved, _, new_rank, _ = np.linalg.lstsq(design, logits, rcond=None)
            remaining = ((logits - design @ solved) ** 2).sum()
            rows.append((new_rank - rank, left - remaining))
            rank, left = new_rank, remaining
        rows.append((len(frame) - rank, left))
        result = pd.DataFrame(rows, [*sources, "interactions"], columns=["df", "share"])
        total = result["share"].sum() if np.ptp(logits) > 0 else np.nan
        return result.assign(share=result["share"] / total)

    def describe(self) -> str:
        """Return in words what the table shows: levels, the spread over profiles, what matters.

        Returns
        -------
        str
            One sentence per line.
        """
        frame = self.frame
        occasions = frame.groupby(CELL[2:], sort=False)["p"].mean()
        profiles = frame.groupby("profile")["p"].mean()
        shares = self.variance()["share"]
        rest = shares.pop("interactions")
        shares = shares.sort_values(ascending=False)
        explained = ", ".join(f"{source} {max(share, 0):.0%}" for source, share in shares.items())
        lines = [
            "P(repost) on average: "
            + "; ".join(f"{_occasion(cell)} {p:.2f}" for cell, p in occasions.items())
            + ".",
            f"Profiles differ from {profiles.min():.2f} ({profiles.idxmin()}) to "
            f"{profiles.max():.2f} ({profiles.idxmax()}), standard deviation "
            f"{profiles.std(ddof=0):.3f}.",
        ]
        if shares.notna().all():
            lines.append(
                f"Of the variance of the logits, these explain: {explained}; "
                f"the rest, interactions, {rest:.0%}."
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        occasions = len(self.frame[CELL[2:]].drop_duplicates())
        profiles, events = self.frame["profile"].nunique(), self.frame["event"].nunique()
        parts = [
            counted(profiles, "profile"),
            counted(events, "event"),
            counted(occasions, "occasion"),
        ]
        return f"ResponseTable({self.info.get('model', 'unknown model')!r}, {', '.join(parts)})"

    def _repr_html_(self) -> str:
        return html_table(repr(self), {name: str(value) for name, value in self.info.items()})


def _occasion(cell: Any) -> str:
    """Return an occasion in words: direct, contacts, exposure_count."""
    direct, contacts, count = cell
    where = "in the media" if direct else f"from {counted(int(contacts), 'neighbour')}"
    return f"{where}, {_TIMES.get(int(count), f'{count}th time')}"


def logit(p: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return log-odds; probabilities of 0 and 1 count as one in a million from them."""
    clipped = np.clip(np.asarray(p, dtype=float), 1e-6, 1 - 1e-6)
    return np.log(clipped) - np.log1p(-clipped)


def _check_frame(frame: Any) -> None:
    """Raise unless a frame holds the columns of a table, with allowed values."""
    check_kind("frame", frame, pd.DataFrame, "a DataFrame")
    for column in COLUMNS:
        if column not in frame:
            raise ArgumentError("frame", list(frame.columns), f"have the column {column!r}")
    for bad, value in (
        (~frame["profile"].isin(codes()), "profile codes such as 'OceAn'"),
        (frame["contacts"] < 0, "contacts of at least 0"),
        ((frame["contacts"] == 0) & ~frame["direct"].astype(bool), "contacts or a direct sighting"),
        (frame["exposure_count"] < 1, "exposure counts of at least 1"),
        (
            ~frame[["p", "low", "high"]].apply(lambda x: x.between(0, 1)).all(axis=1),
            "p within 0 and 1",
        ),
        (frame.duplicated(CELL), "every cell once"),
    ):
        if len(frame) == 0 or bad.any():
            raise ArgumentError(
                "frame", f"row {int(np.argmax(bad)) if len(frame) else 0}", f"hold {value}"
            )
