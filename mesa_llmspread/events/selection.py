"""Many events at once: as a table, and a balanced few of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from mesa_llmspread._validation import checked_int
from mesa_llmspread.events.event import OfflineEvent
from mesa_llmspread.rng import RNGLike, as_generator

__all__ = ["events_frame", "select_events"]

_COLUMNS = list(OfflineEvent.__match_args__)


def events_frame(events: Iterable[OfflineEvent]) -> pd.DataFrame:
    """Return events as a table.

    Parameters
    ----------
    events : iterable of OfflineEvent

    Returns
    -------
    DataFrame
        One row per event, in order; columns ``event_id, date, event_type, sub_event_type,
        country, location, actors`` (separated by ``;``)``, fatalities, civilian_targeting,
        text``. :func:`read_events` reads it again.
    """
    rows = [[getattr(event, column) for column in _COLUMNS] for event in events]
    table = pd.DataFrame(rows, columns=_COLUMNS)
    return table.assign(actors=table["actors"].map(";".join))


def select_events(
    events: Sequence[OfflineEvent], limit: int, rng: RNGLike = None
) -> tuple[OfflineEvent, ...]:
    """Choose a few of many events, balanced over event types and fatalities.

    Events are taken in rounds, one at random from each cell of event type by fatalities
    (none, 1 to 9, 10 or more) that still has events, until there are enough.

    Parameters
    ----------
    events : sequence of OfflineEvent
    limit : int
        How many to choose at most.
    rng : int, numpy.random.Generator or None
        Randomness. A larger limit adds events to those of a smaller one.

    Returns
    -------
    tuple of OfflineEvent
        In the order in which they were given; all of them if they are no more than the limit.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If ``limit`` is not a whole number of at least 1.
    """
    limit = checked_int("limit", limit, 1)
    taken: Counter[tuple[str, int]] = Counter()
    rounds = []
    for index in as_generator(rng).permutation(len(events)):
        event = events[index]
        cell = event.event_type, (event.fatalities >= 1) + (event.fatalities >= 10)
        rounds.append((taken[cell], index))
        taken[cell] += 1
    rounds.sort(key=lambda entry: entry[0])
    return tuple(events[index] for index in sorted(index for _, index in rounds[:limit]))
