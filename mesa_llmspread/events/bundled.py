"""A factorial set of invented events: six event types by three levels of fatalities.

Place and day are the same for all, and the sub-event type and the actors follow from the
event type; so whatever differs between two runs is due to the type or to the people killed.
Country, town and groups exist nowhere.
"""

from __future__ import annotations

import datetime
from functools import cache

from mesa_llmspread._validation import check_name
from mesa_llmspread.events.event import OfflineEvent

__all__ = ["bundled_events", "get_event"]

_ARMY, _POLICE = "Military Forces of Talvara", "Police Forces of Talvara"
_FRONT, _SHELLING = "the River Front", "Shelling/artillery/missile attack"

# Short name, event type, sub-event type, actors, and whether civilians are the target: as
# ACLED counts it, in attacks on civilians and where peaceful protesters are met with
# excessive force, but not where armed or violent sides meet.
_KINDS = (
    ("battles", "Battles", "Armed clash", (_ARMY, _FRONT), False),
    ("explosions", "Explosions/Remote violence", _SHELLING, (_FRONT, _ARMY), False),
    ("civilians", "Violence against civilians", "Attack", (_FRONT, "Civilians"), True),
    ("protests", "Protests", "Excessive force against protesters", ("Protesters", _POLICE), True),
    ("riots", "Riots", "Violent demonstration", ("Rioters", _POLICE), False),
    ("strategic", "Strategic developments", "Looting/property destruction", (_FRONT,), False),
)


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
    day = datetime.date(2024, 5, 14)
    return tuple(
        OfflineEvent(
            f"{short}-{killed}", day, kind, sub, "Talvara", "Dessing", actors, killed, targeting
        )
        for short, kind, sub, actors, targeting in _KINDS
        for killed in (0, 3, 40)
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
