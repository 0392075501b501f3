"""The news of an event: a few plain sentences written from its structured fields."""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

__all__ = ["EVENT_TYPES", "MONTHS", "compose_text"]

#: Names of months, which do not change with the computer's language.
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)

# By event type and sub-event type; and beginnings of names, with how a sentence writes them.
_PHRASES: dict[str, dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("phrases.toml").read_text(encoding="utf-8")
)
_DESCRIPTIONS: dict[str, str] = _PHRASES.pop("descriptions")
_BY_SUB_TYPE = {
    name: phrase for table in _PHRASES.values() for name, phrase in table.items() if name
}

#: The event types of the Armed Conflict Location & Event Data project (ACLED codebook), and
#: the sub-event types of each.
EVENT_TYPES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {kind: tuple(filter(None, table)) for kind, table in _PHRASES.items() if kind != "UCDP"}
)


def compose_text(
    *,
    date: datetime.date,
    event_type: str,
    sub_event_type: str = "",
    country: str = "",
    location: str = "",
    actors: Sequence[str] = (),
    fatalities: int = 0,
    civilian_targeting: bool = False,
) -> str:
    """Write the news of an event from its structured fields.

    The wording is this package's own and depends on the fields alone, so two events that
    differ in one field differ in nothing but its words.

    Parameters
    ----------
    date, event_type, sub_event_type, country, location, actors, fatalities, civilian_targeting
        As in :class:`~mesa_llmspread.events.OfflineEvent`; what is empty is left out.

    Returns
    -------
    str
        One sentence on who did what, where and when; one on the people killed; and one
        more if civilians were the target.

    Examples
    --------
    >>> compose_text(
    ...     date=datetime.date(2024, 5, 14),
    ...     event_type="Battles",
    ...     sub_event_type="Armed clash",
    ...     country="Talvara",
    ...     actors=("Military Forces of Talvara (2019-)", "River Front"),
    ...     fatalities=3,
    ... )
    'An armed clash involving the military of Talvara and River Front was reported in Talvara \
on 14 May 2024. 3 people were reported killed.'
    """
    known = _BY_SUB_TYPE.get(sub_event_type)
    what, before_first, before_others = known or _PHRASES[event_type][""]
    if sub_event_type and not known:
        what += f" ({sub_event_type})"
    who = ""
    if actors:
        first, *others = map(_in_prose, actors)
        who = f" {before_first} {first}"
        if others:
            who += f" {before_others} {' and '.join(others)}"
    places = list(dict.fromkeys(place for place in (location, country) if place))
    where = f" in {', '.join(places)}" if places else ""
    if len(places) == 2:
        where += ","
    when = f"on {date.day} {MONTHS[date.month - 1]} {date.year}"
    toll = {0: "No one was", 1: "One person was"}.get(fatalities, f"{fatalities:,} people were")
    sentences = [f"{what}{who} was reported{where} {when}.", f"{toll} reported killed."]
    if civilian_targeting:
        sentences.append("Civilians were the target.")
    return " ".join(sentences)


def _in_prose(actor: str) -> str:
    """Return an actor's name as in a sentence, without the bracket that follows it in sources."""
    name = re.sub(r"\s*\([^()]*\)$", "", actor) or actor
    if name.startswith("Unidentified "):
        return name.lower() if name.endswith("s") else f"an {name.lower()}"
    for start, words in _DESCRIPTIONS.items():
        if name == start or name.startswith(f"{start} "):
            return words + name.removeprefix(start)
    return name
