"""A factorial set of invented events: six event types by three levels of fatalities.

Place and day are the same for all, and the sub-event type and the actors follow from the
event type; so differences between two runs are due to the type or to the people killed.
Country, town and groups exist nowhere.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from mesa_llmspread._validation import check_kind, check_name
from mesa_llmspread.events.event import OfflineEvent

__all__ = ["as_event", "bundled_events", "get_event"]

_FILE = Path(__file__).with_name("bundled.toml")


@cache
def bundled_events() -> tuple[OfflineEvent, ...]:
    """Return the 18 invented events that come with the package.

    Returns
    -------
    tuple of OfflineEvent
        For each of the six event types one with 0, 3 and 40 people killed; ids are
        ``battles``, ``explosions``, ``civilians``, ``protests``, ``riots`` and
        ``strategic`` with that number.

    Examples
    --------
    >>> [event.event_id for event in bundled_events()[:4]]
    ['battles-0', 'battles-3', 'battles-40', 'explosions-0']
    """
    given = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return tuple(
        OfflineEvent(event_id=f"{name}-{killed}", fatalities=killed, **given["place"], **kind)
        for name, kind in given["kinds"].items()
        for killed in given["fatalities"]
    )


def get_event(event_id: str) -> OfflineEvent:
    """Return a bundled event.

    Parameters
    ----------
    event_id : str
        Such as ``"battles-40"``.

    Returns
    -------
    OfflineEvent

    Raises
    ------
    UnknownNameError
        If no bundled event has this id.

    Examples
    --------
    >>> get_event("riots-3").fatalities
    3
    """
    by_id = {event.event_id: event for event in bundled_events()}
    check_name("event_id", event_id, by_id)
    return by_id[event_id]


def as_event(event: str | OfflineEvent | None) -> OfflineEvent:
    """Return the event that an argument stands for.

    Parameters
    ----------
    event : str, OfflineEvent or None
        The id of a bundled event, an event, or None for the first bundled one.

    Returns
    -------
    OfflineEvent

    Raises
    ------
    UnknownNameError
        If no bundled event has the id.
    ArgumentTypeError
        If it is something else.
    """
    if event is None:
        return bundled_events()[0]
    if isinstance(event, str):
        return get_event(event)
    check_kind("event", event, OfflineEvent, "an OfflineEvent or the id of a bundled one")
    return event
