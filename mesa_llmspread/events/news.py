"""The news of an event: a few plain sentences written from its structured fields."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

__all__ = ["MONTHS", "compose_text"]

#: Month names that do not change with the computer's language.
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

# What happened, and the words before the first and before the further actors, by sub-event
# type: ACLED's, and the three kinds of violence in UCDP GED.
_PHRASES = {
    "Armed clash": ("An armed clash", "involving", "and"),
    "Government regains territory": ("The recapture of territory", "by", "from"),
    "Non-state actor overtakes territory": ("The capture of territory", "by", "from"),
    "Air/drone strike": ("An air or drone strike", "by", "on"),
    "Chemical weapon": ("The use of a chemical weapon", "by", "against"),
    "Grenade": ("A grenade attack", "by", "on"),
    "Remote explosive/landmine/IED": ("A bomb or mine explosion", "attributed to", "and aimed at"),
    "Shelling/artillery/missile attack": ("Shelling or missile fire", "by", "on"),
    "Suicide bomb": ("A suicide bombing", "by", "against"),
    "Abduction/forced disappearance": ("An abduction", "by", "of"),
    "Attack": ("An attack", "by", "on"),
    "Sexual violence": ("Sexual violence", "by", "against"),
    "Excessive force against protesters": (
        "A protest broken up with excessive force",
        "involving",
        "and",
    ),
    "Peaceful protest": ("A peaceful protest", "by", "and"),
    "Protest with intervention": ("A protest met with intervention", "involving", "and"),
    "Mob violence": ("Mob violence", "by", "against"),
    "Violent demonstration": ("A violent demonstration", "involving", "and"),
    "Agreement": ("An agreement", "involving", "and"),
    "Arrests": ("A series of arrests", "by", "of"),
    "Change to group/activity": ("A change in a group or its activity", "involving", "and"),
    "Disrupted weapons use": ("The seizure or disarming of weapons", "by", "from"),
    "Headquarters or base established": ("The setting up of a base", "by", "and"),
    "Looting/property destruction": ("Looting or destruction of property", "by", "affecting"),
    "Non-violent transfer of territory": (
        "A transfer of territory without fighting",
        "involving",
        "and",
    ),
    "Other": ("A political development", "involving", "and"),
    "State-based conflict": ("Fighting", "involving", "and"),
    "Non-state conflict": ("Fighting between armed groups", "involving", "and"),
    "One-sided violence": ("A deliberate attack", "by", "on"),
}

# The same by event type, for sub-event types that are not listed above.
_PHRASES_BY_TYPE = {
    "Battles": ("Fighting", "involving", "and"),
    "Explosions/Remote violence": ("An explosion or remote attack", "by", "on"),
    "Violence against civilians": ("Violence against civilians", "by", "against"),
    "Protests": ("A protest", "involving", "and"),
    "Riots": ("A riot", "involving", "and"),
    "Strategic developments": ("A political development", "involving", "and"),
}

# How names that are descriptions begin in the sources, and in a sentence.
_DESCRIPTIONS = {
    "Civilians": "civilians",
    "Protesters": "protesters",
    "Rioters": "rioters",
    "Government of": "the government of",
    "Military Forces of": "the military of",
    "Police Forces of": "the police of",
}


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
    what, before_first, before_others = _PHRASES.get(sub_event_type, _PHRASES_BY_TYPE[event_type])
    if sub_event_type and sub_event_type not in _PHRASES:
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
    sentences = [f"{what}{who} was reported{where} {when}.", _toll(fatalities)]
    if civilian_targeting:
        sentences.append("Civilians were the target.")
    return " ".join(sentences)


def _toll(fatalities: int) -> str:
    """Say how many people were killed."""
    if fatalities == 0:
        return "No one was reported killed."
    if fatalities == 1:
        return "One person was reported killed."
    return f"{fatalities:,} people were reported killed."


def _in_prose(actor: str) -> str:
    """Name an actor as a sentence would, without the bracket that tells it from namesakes."""
    name = re.sub(r"\s*\([^()]*\)$", "", actor) or actor
    if name.startswith("Unidentified "):
        return name.lower() if name.endswith("s") else f"an {name.lower()}"
    for start, words in _DESCRIPTIONS.items():
        if name == start or name.startswith(f"{start} "):
            return words + name.removeprefix(start)
    return name
