"""What an offline event is, in the vocabulary of ACLED's event types."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mesa_llmspread._validation import check_kind, check_name, checked_int
from mesa_llmspread.events.news import EVENT_TYPES, compose_text
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError

__all__ = ["OfflineEvent"]


@dataclass(frozen=True, slots=True)
class OfflineEvent:
    """An event in the world, off the network.

    Parameters
    ----------
    event_id : str
        A name that no other event has; not blank.
    date : datetime.date
        The day it happened, or began.
    event_type : str
        One of :data:`EVENT_TYPES`, or one of your own, with a ``text``.
    sub_event_type : str
        What exactly; ACLED's sub-event types are in :data:`EVENT_TYPES`, other sources
        have their own. "" if unknown, as for the next two.
    country, location : str
        Where it happened.
    actors : tuple of str
        Who took part: first who acted, then who was acted upon. Empty if unknown.
    fatalities : int
        How many people were reported killed, at least 0.
    civilian_targeting : bool
        Whether civilians were the target.
    text : str, optional
        The news as agents read it; :func:`~mesa_llmspread.events.compose_text` writes it
        from the other fields if it is not given or blank.

    Raises
    ------
    ArgumentError
        If ``event_id`` or an actor is blank, ``event_type`` is unknown and there is no
        ``text``, or ``fatalities < 0``.
    ArgumentTypeError
        If a field is of the wrong kind.

    Examples
    --------
    >>> event = OfflineEvent(
    ...     "e1", datetime.date(2024, 5, 14), "Riots", "Mob violence", "Talvara", "Dessing",
    ...     ("Rioters",), 0, False,
    ... )
    >>> event.text
    'Mob violence by rioters was reported in Dessing, Talvara, on 14 May 2024. \
No one was reported killed.'
    """

    event_id: str
    date: datetime.date
    event_type: str
    sub_event_type: str
    country: str
    location: str
    actors: tuple[str, ...]
    fatalities: int
    civilian_targeting: bool
    text: str = ""

    def __post_init__(self) -> None:
        for name in ("event_id", "event_type", "sub_event_type", "country", "location", "text"):
            check_kind(name, getattr(self, name), str, "text")
        if not self.event_id.strip():
            raise ArgumentError("event_id", self.event_id, "not be blank")
        # A datetime is a date to isinstance, but two of one day would not be equal.
        if isinstance(self.date, datetime.datetime) or not isinstance(self.date, datetime.date):
            raise ArgumentTypeError("date", self.date, "a datetime.date without a time of day")
        if not self.text.strip() or not self.event_type.strip():
            check_name("event_type", self.event_type, (*EVENT_TYPES, "your own type with a text"))
        names: Any = self.actors
        if not isinstance(names, tuple | list) or not all(isinstance(name, str) for name in names):
            raise ArgumentTypeError("actors", names, "a tuple of names")
        if not all(name.strip() for name in names):
            raise ArgumentError("actors", names, "hold no blank name")
        check_kind("civilian_targeting", self.civilian_targeting, bool | np.bool_, "True or False")
        object.__setattr__(self, "actors", tuple(names))
        object.__setattr__(self, "fatalities", checked_int("fatalities", self.fatalities, 0))
        object.__setattr__(self, "civilian_targeting", bool(self.civilian_targeting))
        if not self.text.strip():
            parts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
            del parts["event_id"], parts["text"]
            object.__setattr__(self, "text", compose_text(**parts))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, as a record keeps them.

        Returns
        -------
        dict
        """
        return {**dataclasses.asdict(self), "date": self.date.isoformat()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> OfflineEvent:
        """Build the event that :meth:`to_dict` described.

        Parameters
        ----------
        fields : mapping of str to object

        Returns
        -------
        OfflineEvent

        Raises
        ------
        ArgumentError, ArgumentTypeError
            If a field is missing or unknown, or its value is not allowed.
        """
        check_kind("fields", fields, Mapping, "a mapping of an event's fields")
        known = [field.name for field in dataclasses.fields(cls)]
        if missing := [name for name in known if name not in fields and name != "text"]:
            raise ArgumentError("fields", list(fields), f"have {', '.join(missing)}")
        for name in fields:
            check_name("field", name, known)
        date = fields["date"]
        if isinstance(date, str):
            try:
                date = datetime.date.fromisoformat(date)
            except ValueError as error:
                raise ArgumentError("date", date, "be a date such as '2024-05-14'") from error
        return cls(**{**fields, "date": date})
