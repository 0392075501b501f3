"""The offline events that the news is about: one event, a bundled set, and a user's own files.

:mod:`~mesa_llmspread.events.event` defines what an event is and
:mod:`~mesa_llmspread.events.news` writes its news;
:mod:`~mesa_llmspread.events.bundled` holds a factorial set of invented events,
:mod:`~mesa_llmspread.events.readers` reads ACLED, UCDP GED and plain CSV files, and
:mod:`~mesa_llmspread.events.selection` lists events and chooses from many.
"""

from __future__ import annotations

from mesa_llmspread.events.bundled import bundled_events, get_event
from mesa_llmspread.events.event import OfflineEvent
from mesa_llmspread.events.news import EVENT_TYPES, compose_text
from mesa_llmspread.events.readers import read_acled, read_events, read_ucdp
from mesa_llmspread.events.selection import events_frame, select_events

__all__ = [
    "EVENT_TYPES",
    "OfflineEvent",
    "bundled_events",
    "compose_text",
    "events_frame",
    "get_event",
    "read_acled",
    "read_events",
    "read_ucdp",
    "select_events",
]
