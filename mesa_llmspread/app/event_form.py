"""What the news is about: an event that comes with the package, or one of the visitor's file."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import solara

from mesa_llmspread.app.widgets import Upload
from mesa_llmspread.events import OfflineEvent, bundled_events, read_events
from mesa_llmspread.exceptions import LLMSpreadError

__all__ = ["MOST_BYTES", "EventForm", "read_upload"]

#: Largest file that is taken.
MOST_BYTES = 5_000_000


@solara.component
def EventForm(event: OfflineEvent, on_event: Callable[[OfflineEvent], None]) -> None:
    """Show the choice of an event.

    Parameters
    ----------
    event : OfflineEvent
        What is chosen.
    on_event : callable
        Called with what is chosen now.
    """
    own, set_own = solara.use_state(())
    problem, set_problem = solara.use_state("")
    by_label = _labelled(own, event)

    def take(file: Mapping[str, Any]) -> None:
        try:
            events = read_upload(file["name"], file["size"], base64.b64decode(file["content"]))
        except LLMSpreadError as error:
            set_problem(str(error))
            return
        set_problem("")
        set_own(events)
        on_event(events[0])

    solara.Select(
        "Event",
        values=list(by_label),
        value=next(label for label, each in by_label.items() if each == event),
        on_value=lambda label: on_event(by_label[label]),
        dense=True,
    )
    Upload(label="Your own events (ACLED, UCDP GED or CSV)", most=MOST_BYTES, event_file=take)
    if problem:
        solara.Error(problem, dense=True)


def _labelled(own: Sequence[OfflineEvent], chosen: OfflineEvent) -> dict[str, OfflineEvent]:
    """List the events to choose from, each under a label of its own."""
    # The chosen one may be of a file that another one has replaced.
    others = [] if chosen in (*own, *bundled_events()) else [chosen]
    yours = {f"{_label(event)}, your file": event for event in own}
    earlier = {f"{_label(event)}, your earlier file": event for event in others}
    return yours | earlier | {_label(event): event for event in bundled_events()}


def _label(event: OfflineEvent) -> str:
    return f"{event.event_type}, {event.fatalities} killed ({event.event_id})"


def read_upload(name: str, size: int, content: bytes) -> tuple[OfflineEvent, ...]:
    """Read the events of a file that a visitor hands over.

    Parameters
    ----------
    name : str
        The file's name, for messages only.
    size : int
        Its size in bytes.
    content : bytes
        What is in it.

    Returns
    -------
    tuple of OfflineEvent

    Raises
    ------
    UploadError
        If it is too large, or cannot be read as events.
    """
    if max(size, len(content)) > MOST_BYTES:
        raise UploadError(
            f"{name}: has {size / 1e6:.1f} MB; at most {MOST_BYTES / 1e6:.0f} MB are taken"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.csv"
        path.write_bytes(content)
        try:
            return read_events(path)
        except LLMSpreadError as error:
            # The visitor knows the file by its own name.
            raise UploadError(str(error).replace(str(path), name)) from None


class UploadError(LLMSpreadError, ValueError):
    """A visitor's file cannot be used."""
