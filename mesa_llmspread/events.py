"""The offline events that the news is about."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

__all__ = ["OfflineEvent"]


@dataclass(frozen=True, slots=True)
class OfflineEvent:
    """An event in the world, off the network."""

    event_id: str
    date: datetime.date
    event_type: str
    sub_event_type: str
    country: str
    location: str
    actors: tuple[str, ...]
    fatalities: int
    civilian_targeting: bool
    text: str
