"""Offline events: what they may hold, the news made of them, the bundled set, and choices."""

from __future__ import annotations

import dataclasses
import datetime
import json
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mesa_llmspread.events import (
    EVENT_TYPES,
    OfflineEvent,
    bundled_events,
    compose_text,
    events_frame,
    get_event,
    select_events,
)
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    UnknownNameError,
)

DAY = datetime.date(2024, 5, 14)


def event(**changes: object) -> OfflineEvent:
    fields = {
        "event_id": "e1",
        "date": DAY,
        "event_type": "Battles",
        "sub_event_type": "Armed clash",
        "country": "Vessaly",
        "location": "Greywater",
        "actors": ("Salt Coast Union", "River Guard"),
        "fatalities": 3,
        "civilian_targeting": False,
    }
    return OfflineEvent(**(fields | changes))


def test_an_event_is_a_frozen_comparable_value() -> None:
    assert event() == event()
    assert len({event(), event(), event(fatalities=4)}) == 2
    assert pickle.loads(pickle.dumps(event())) == event()
    with pytest.raises(dataclasses.FrozenInstanceError):
        event().fatalities = 4  # type: ignore[misc]


def test_an_event_takes_lists_and_numpy_values_and_keeps_plain_ones() -> None:
    made = event(
        actors=["Salt Coast Union", "River Guard"],
        fatalities=np.int64(3),
        civilian_targeting=np.False_,
    )
    assert made == event()
    assert type(made.fatalities) is int
    assert type(made.civilian_targeting) is bool
    assert type(made.actors) is tuple


def test_an_event_keeps_its_own_text_and_composes_a_missing_one() -> None:
    assert event(text="Shots at the ford.").text == "Shots at the ford."
    assert event(text=" \n").text == event().text != ""


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"event_id": " "}, ArgumentError),
        ({"event_id": 7}, ArgumentTypeError),
        ({"date": "2024-05-14"}, ArgumentTypeError),
        ({"date": datetime.datetime(2024, 5, 14)}, ArgumentTypeError),
        ({"event_type": "Battle"}, UnknownNameError),
        ({"sub_event_type": None}, ArgumentTypeError),
        ({"country": None}, ArgumentTypeError),
        ({"location": 3}, ArgumentTypeError),
        ({"actors": "River Guard"}, ArgumentTypeError),
        ({"actors": ("River Guard", 2)}, ArgumentTypeError),
        ({"actors": ("River Guard", "")}, ArgumentError),
        ({"fatalities": -1}, ArgumentError),
        ({"fatalities": 2.0}, ArgumentTypeError),
        ({"fatalities": True}, ArgumentTypeError),
        ({"civilian_targeting": 1}, ArgumentTypeError),
        ({"text": None}, ArgumentTypeError),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, object], error: type[ArgumentError]) -> None:
    with pytest.raises(error) as caught:
        event(**change)
    assert caught.value.argument == next(iter(change))
    assert "\n" not in str(caught.value)


def test_event_types_are_acleds(shared: Path) -> None:
    schema = json.loads((shared / "data" / "acled_schema.json").read_text(encoding="utf-8"))
    assert {name: set(subs) for name, subs in EVENT_TYPES.items()} == {
        name: set(subs) for name, subs in schema["event_type"].items()
    }
    with pytest.raises(TypeError):
        EVENT_TYPES["Mine"] = ()  # type: ignore[index]


@pytest.mark.parametrize(
    ("event_type", "sub"), [(t, s) for t in EVENT_TYPES for s in EVENT_TYPES[t]]
)
@pytest.mark.parametrize(
    "actors", [(), ("Alder Band",), ("Alder Band", "Birch Band", "Cedar Band")]
)
def test_every_kind_of_event_has_its_news(
    event_type: str, sub: str, actors: tuple[str, ...]
) -> None:
    text = compose_text(
        date=DAY,
        event_type=event_type,
        sub_event_type=sub,
        country="Vessaly",
        location="Greywater",
        actors=actors,
        fatalities=40,
    )
    assert text.endswith(
        "was reported in Greywater, Vessaly, on 14 May 2024. 40 people were reported killed."
    )
    assert all(text.count(actor) == 1 for actor in actors)
    assert f"({sub})" not in text
    assert text[0].isupper()
    assert "  " not in text


def test_no_two_sub_event_types_read_alike() -> None:
    texts = [
        compose_text(date=DAY, event_type=event_type, sub_event_type=sub)
        for event_type, subs in EVENT_TYPES.items()
        for sub in subs
    ]
    assert len(set(texts)) == len(texts) == 25


@pytest.mark.parametrize(
    ("fatalities", "words"),
    [
        (0, "No one was reported killed."),
        (1, "One person was reported killed."),
        (2, "2 people were reported killed."),
        (3000, "3,000 people were reported killed."),
    ],
)
def test_the_news_tells_the_toll(fatalities: int, words: str) -> None:
    assert event(fatalities=fatalities).text.endswith(words)


def test_the_news_tells_when_civilians_were_the_target_and_only_then() -> None:
    assert event(civilian_targeting=True).text == event().text + " Civilians were the target."


def test_what_is_unknown_is_left_out() -> None:
    bare = compose_text(date=DAY, event_type="Battles")
    assert bare == "Fighting was reported on 14 May 2024. No one was reported killed."
    same = event(country="Greywater").text
    assert "in Greywater on 14 May" in same
    assert "in Vessaly on 14 May" in event(location="").text


def test_a_kind_of_another_source_is_told_as_it_is_named() -> None:
    assert event(sub_event_type="Duel").text.startswith("Fighting (Duel) involving Salt Coast")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Civilians (Vessaly)", "civilians"),
        ("Military Forces of Vessaly (2011-)", "the military of Vessaly"),
        ("Government of Vessaly", "the government of Vessaly"),
        ("Unidentified Armed Group (Vessaly)", "an unidentified armed group"),
        ("Unidentified Military Forces", "unidentified military forces"),
        ("Civilianship League", "Civilianship League"),
        ("(Vessaly)", "(Vessaly)"),
    ],
)
def test_actors_are_named_as_a_sentence_would(name: str, words: str) -> None:
    assert f" involving {words} was reported" in event(actors=(name,)).text


def test_the_bundled_events_are_a_factorial_of_type_and_toll() -> None:
    events = bundled_events()
    assert Counter((each.event_type, each.fatalities) for each in events) == {
        (event_type, toll): 1 for event_type in EVENT_TYPES for toll in (0, 3, 40)
    }
    assert all(each.sub_event_type in EVENT_TYPES[each.event_type] for each in events)
    assert all(each.event_id.endswith(f"-{each.fatalities}") for each in events)
    assert len({each.event_id for each in events}) == len({each.text for each in events}) == 18
    assert len({(each.date, each.country, each.location) for each in events}) == 1


def test_bundled_events_of_one_type_differ_in_the_toll_alone() -> None:
    for event_type in EVENT_TYPES:
        low, *others = (each for each in bundled_events() if each.event_type == event_type)
        for other in others:
            assert (
                dataclasses.replace(
                    low, event_id=other.event_id, fatalities=other.fatalities, text=""
                )
                == other
            )


def test_bundled_events_are_found_by_id() -> None:
    assert all(get_event(each.event_id) is each for each in bundled_events())
    with pytest.raises(UnknownNameError) as caught:
        get_event("batles-40")
    assert (caught.value.argument, caught.value.value) == ("event_id", "batles-40")


def test_events_become_a_table() -> None:
    frame = events_frame(bundled_events())
    assert list(frame) == [
        "event_id",
        "date",
        "event_type",
        "sub_event_type",
        "country",
        "location",
        "actors",
        "fatalities",
        "civilian_targeting",
        "text",
    ]
    assert list(frame.event_id) == [each.event_id for each in bundled_events()]
    assert frame.fatalities.sum() == 6 * 43
    assert list(events_frame([])) == list(frame)


def many_events() -> list[OfflineEvent]:
    """An unbalanced lot: 300 small battles, a few of everything else."""
    few = [(kind, toll) for kind in EVENT_TYPES for toll in (0, 9, 10) for _ in range(4)]
    lot = [("Battles", 1)] * 300 + few
    return [
        event(event_id=str(i), event_type=kind, fatalities=toll)
        for i, (kind, toll) in enumerate(lot)
    ]


def test_a_choice_is_balanced_over_types_and_tolls() -> None:
    chosen = select_events(many_events(), 36, rng=1)
    bands = np.digitize([each.fatalities for each in chosen], [1, 10])
    cells = Counter(zip((each.event_type for each in chosen), bands, strict=True))
    assert len(cells) == 18
    assert set(cells.values()) == {2}


def test_a_choice_is_seeded_nested_and_in_order() -> None:
    events = many_events()
    small, large = select_events(events, 20, rng=5), select_events(events, 60, rng=5)
    assert small == select_events(events, 20, rng=5) != select_events(events, 20, rng=6)
    assert set(small) < set(large)
    for chosen in (small, large):
        numbers = [int(each.event_id) for each in chosen]
        assert numbers == sorted(set(numbers))


def test_a_choice_without_need_takes_all() -> None:
    assert select_events(bundled_events(), 18, rng=1) == bundled_events()
    assert select_events(bundled_events(), 1000) == bundled_events()
    assert select_events((), 3) == ()


@pytest.mark.parametrize(
    ("limit", "error"), [(0, ArgumentError), (2.0, ArgumentTypeError), (True, ArgumentTypeError)]
)
def test_a_choice_of_no_number_is_refused(limit: object, error: type[ArgumentError]) -> None:
    with pytest.raises(error) as caught:
        select_events(bundled_events(), limit)  # type: ignore[arg-type]
    assert caught.value.argument == "limit"
