"""Files of events: UCDP GED, ACLED and own columns, and all that may be wrong with them."""

from __future__ import annotations

import calendar
import csv
import dataclasses
import datetime
import io
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesa_llmspread.events import (
    EVENT_TYPES,
    OfflineEvent,
    bundled_events,
    events_frame,
    read_acled,
    read_events,
    read_ucdp,
)
from mesa_llmspread.exceptions import (
    ArgumentTypeError,
    InputFileError,
    UnknownNameError,
)

DATA = Path(__file__).parent / "data"
ACLED, UCDP = DATA / "acled_tiny.csv", DATA / "ucdp_ged_tiny.csv"
DAY = datetime.date(2024, 5, 14)

OWN = {
    "event_id": "e1",
    "date": "2024-05-14",
    "event_type": "Protests",
    "sub_event_type": "Peaceful protest",
    "country": "Vessaly",
    "location": "Greywater",
    "actors": "Protesters; Salt Coast Union",
    "fatalities": "0",
    "civilian_targeting": "false",
    "text": "",
}


def table_of(path: Path) -> tuple[list[str], list[list[str]]]:
    with path.open(encoding="utf-8", newline="") as lines:
        header, *rows = csv.reader(lines)
    return header, rows


def csv_text(header: list[str], rows: list[list[str]], separator: str = ",") -> str:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=separator).writerows([header, *rows])
    return out.getvalue()


def changed(source: Path, folder: Path, column: str, value: str, *, index: int = 0) -> Path:
    """Copy a table with one cell changed."""
    header, rows = table_of(source)
    rows[index][header.index(column)] = value
    path = folder / "changed.csv"
    path.write_bytes(csv_text(header, rows).encode())
    return path


def without(source: Path, folder: Path, *columns: str) -> Path:
    """Copy a table without some columns."""
    header, rows = table_of(source)
    keep = [i for i, name in enumerate(header) if name not in columns]
    path = folder / "without.csv"
    kept = csv_text([header[i] for i in keep], [[row[i] for i in keep] for row in rows])
    path.write_bytes(kept.encode())
    return path


def own_file(folder: Path, *rows: dict[str, str]) -> Path:
    path = folder / "own.csv"
    path.write_bytes(csv_text(list(OWN), [list((OWN | row).values()) for row in rows]).encode())
    return path


def test_ucdp_rows_become_events() -> None:
    events = read_ucdp(UCDP)
    assert events == read_events(str(UCDP))
    assert [each.event_id for each in events] == [str(900000 + i) for i in range(1, 13)]
    assert [each.fatalities for each in events] == [3, 5, 40, 1, 15, 9, 1, 120, 0, 8, 2, 0]
    assert [each.date.isoformat() for each in events[:4]] == [
        "2001-03-04",
        "2001-03-09",
        "2001-03-03",
        "2002-07-01",
    ]
    assert Counter(each.sub_event_type for each in events) == {
        "State-based conflict": 5,
        "Non-state conflict": 3,
        "One-sided violence": 4,
    }
    for each in events:
        one_sided = each.sub_event_type == "One-sided violence"
        assert each.civilian_targeting is one_sided
        assert each.event_type == ("Violence against civilians" if one_sided else "Battles")
        assert (each.actors[1] == "Civilians") is one_sided
    assert [events[i].location for i in (0, 2, 10)] == ["Karrow town", "Eastmark province", ""]


def test_press_text_and_notes_stay_out_of_the_news() -> None:
    assert not [
        each.text for each in (*read_ucdp(UCDP), *read_acled(ACLED)) if "nusable" in each.text
    ]


def test_the_real_ucdp_sample(shared: Path) -> None:
    path = shared / "data" / "ucdp_ged_sample.csv"
    events, frame = read_events(path), pd.read_csv(path)
    assert len(events) == len(frame) == 1000
    assert [each.fatalities for each in events] == list(frame.best)
    assert sum(each.fatalities for each in events) == frame.best.sum()
    assert [each.event_id for each in events] == [f"{number:.0f}" for number in frame.id]
    assert [each.date for each in events] == list(
        pd.to_datetime(frame.date_start, unit="s").dt.date
    )
    assert all(1989 <= each.date.year <= 2025 for each in events)
    assert [each.date.year for each in events] == list(frame.year)
    assert [each.civilian_targeting for each in events] == list(frame.type_of_violence == 3)
    assert [each.actors for each in events] == list(zip(frame.side_a, frame.side_b, strict=True))
    assert all(each.country in each.text for each in events)


def test_acled_rows_become_events() -> None:
    events = read_acled(ACLED)
    assert events == read_events(ACLED)
    assert set(EVENT_TYPES) == {each.event_type for each in events}
    assert [each.fatalities for each in events] == [7, 0, 12, 1, 4, 0, 0, 0, 2, 0, 1, 0]
    assert [each.date.day for each in events] == [14, 15, 15, 16, 17, 17, 18, 18, 19, 19, 20, 21]
    assert [i for i, each in enumerate(events) if each.civilian_targeting] == [2, 4, 5, 8, 10]
    assert events[0].actors == ("Military Forces of Ostrevia (2019-)", "Hill League")
    assert events[6].actors == ("Protesters (Vessaly)",)
    assert events[5].location == "Eastmark"
    assert events[6].location == "Port Élan"


def test_acled_columns_that_may_be_missing(tmp_path: Path) -> None:
    optional = ("admin3", "timestamp", "latitude", "longitude", "tags", "interaction", "notes")
    assert read_events(without(ACLED, tmp_path, *optional)) == read_acled(ACLED)
    legacy = read_events(without(ACLED, tmp_path, "civilian_targeting", "disorder_type"))
    assert [i for i, each in enumerate(legacy) if each.civilian_targeting] == [4, 5]


def test_acled_legacy_and_numeric_columns_make_no_difference(tmp_path: Path) -> None:
    header, rows = table_of(ACLED)
    for i, row in enumerate(rows):
        row[header.index("inter1")] = str(1 + i % 8)
        row += [str(i), str(i), "XXX"]
    path = tmp_path / "legacy.csv"
    header = [name.upper() for name in [*header, "data_id", "event_id_no_cnty", "iso3"]]
    path.write_bytes(csv_text(header, rows).encode())
    assert read_events(path) == read_acled(ACLED)


def test_acled_with_a_second_actor_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError) as caught:
        read_acled(changed(ACLED, tmp_path, "actor1", ""))
    assert (caught.value.row, caught.value.column) == (2, "actor1")


def test_acled_with_an_unknown_word_for_targeting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError) as caught:
        read_acled(changed(ACLED, tmp_path, "civilian_targeting", "maybe"))
    assert (caught.value.row, caught.value.column) == (2, "civilian_targeting")


def test_own_columns(tmp_path: Path) -> None:
    first, second = read_events(
        own_file(tmp_path, {}, {"event_id": "2.0", "civilian_targeting": "TRUE", "text": "Told."})
    )
    assert first.actors == ("Protesters", "Salt Coast Union")
    assert first.text.startswith("A peaceful protest by protesters and Salt Coast Union")
    assert (second.event_id, second.civilian_targeting, second.text) == ("2", True, "Told.")
    own = own_file(tmp_path, {}, {"event_id": "e2", "actors": "", "country": "", "location": ""})
    assert read_events(without(own, tmp_path, "text"))[1].actors == ()


@given(
    st.lists(
        st.builds(
            OfflineEvent,
            event_id=st.from_regex(r"[a-z]{1,8}", fullmatch=True),
            date=st.dates(datetime.date(1000, 1, 1)),
            event_type=st.sampled_from(sorted(EVENT_TYPES)),
            sub_event_type=st.sampled_from(["", "Attack", 'Say "so"', "a;b"]),
            country=st.sampled_from(["", "Vessaly", "Côte, Haute"]),
            location=st.sampled_from(["", "Greywater", "Port Élan"]),
            actors=st.lists(st.sampled_from(["Hill League", "Civilians (A)"])).map(tuple),
            fatalities=st.integers(0, 10**8),
            civilian_targeting=st.booleans(),
        ),
        min_size=1,
        unique_by=lambda each: each.event_id,
    ),
    st.sampled_from(",;\t"),
    st.sampled_from(["utf-8", "utf-8-sig", "cp1252"]),
)
def test_events_written_with_their_own_fields_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    events: list[OfflineEvent],
    separator: str,
    encoding: str,
) -> None:
    path = tmp_path_factory.mktemp("own") / "events.csv"
    rows = [
        [*(";".join(v) if isinstance(v, tuple) else str(v) for v in dataclasses.astuple(each))]
        for each in events
    ]
    path.write_bytes(csv_text(list(OWN), rows, separator).encode(encoding))
    assert read_events(path) == tuple(events)


@pytest.mark.parametrize("source", [ACLED, UCDP], ids=["acled", "ucdp"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_separators_encodings_and_line_ends_make_no_difference(
    tmp_path: Path, source: Path, separator: str, encoding: str, newline: str
) -> None:
    path = tmp_path / "saved.csv"
    text = csv_text(*table_of(source), separator).replace("\r\n", newline)
    path.write_bytes(text.encode(encoding))
    assert read_events(path) == read_events(source)


def test_blank_lines_and_rows_of_empty_cells_are_skipped(tmp_path: Path) -> None:
    lines = ACLED.read_text(encoding="utf-8").replace("\nVES201", "\n\n" + "," * 30 + "\nVES201")
    path = tmp_path / "gaps.csv"
    path.write_text("\n" + lines + "," * 30 + "\n\n", encoding="utf-8")
    assert read_events(path) == read_acled(ACLED)


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-14",
        "2024-5-14",
        "2024-05-14 00:00:00.000",
        "2024-05-14T23:59:59Z",
        "14-05-2024",
        "14.05.2024",
        "14 May 2024",
        "14 may 2024",
        " 14  May 2024 ",
        "1715644800.0",
        "1715731199",
    ],
)
@pytest.mark.parametrize(("source", "column"), [(ACLED, "event_date"), (UCDP, "date_start")])
def test_forms_of_a_date(tmp_path: Path, source: Path, column: str, text: str) -> None:
    assert read_events(changed(source, tmp_path, column, text))[0].date == DAY


@given(st.dates(datetime.date(1000, 1, 1)))
def test_any_day_is_read_in_every_form(
    tmp_path_factory: pytest.TempPathFactory, day: datetime.date
) -> None:
    forms = [
        day.isoformat(),
        f"{day.day:02}-{day.month:02}-{day.year}",
        f"{day.day} {calendar.month_abbr[day.month]} {day.year}",
        f"{day.day} {calendar.month_name[day.month]} {day.year}",
    ]
    rows = [{"event_id": str(i), "date": form} for i, form in enumerate(forms)]
    path = own_file(tmp_path_factory.mktemp("dates"), *rows)
    assert [each.date for each in read_events(path)] == [day] * 4


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "30-02-2024",
        "2024-13-01",
        "05/14/2024",
        "14 Mai 2024",
        "14-05.2024",
        "14-05-24",
        "2024-05-14 noon",
        "45426",  # a spreadsheet's count of days
        "1715644800000",  # milliseconds
        "9" * 400,
        "-86400",
    ],
)
def test_a_bad_date_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputFileError) as caught:
        read_events(changed(UCDP, tmp_path, "date_start", text, index=2))
    assert (caught.value.row, caught.value.column) == (4, "date_start")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \r\n\n", "is empty"),
        (b"PK\x03\x04 a spreadsheet", "is not text"),
        ("event_id;date".encode("utf-16"), "is not text"),
        (b"\xd0\xcf\x11\xe0\x00\x00", "is not text"),
        (b"event_id,caf\x81", "is not text"),
        (b"just some words", "the columns of no known table: UCDP GED (id, date_start"),
        (b",,\n,,\n", "the columns of no known table"),
        (b"a,b\n1,2\n", "own columns (event_id, date"),
    ],
)
def test_a_file_that_is_no_table_of_events(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    with pytest.raises(InputFileError) as caught:
        read_events(path)
    assert problem in caught.value.problem
    assert caught.value.path == path
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(InputFileError) as caught:
            read_events(path)
        assert caught.value.path == path
    with pytest.raises(ArgumentTypeError) as wrong:
        read_events(7)  # type: ignore[arg-type]
    assert (wrong.value.argument, wrong.value.value) == ("path", 7)


@pytest.mark.parametrize("source", [ACLED, UCDP], ids=["acled", "ucdp"])
def test_a_header_alone_is_no_event(tmp_path: Path, source: Path) -> None:
    path = tmp_path / "header.csv"
    path.write_bytes(csv_text(table_of(source)[0], []).encode())
    with pytest.raises(InputFileError) as caught:
        read_events(path)
    assert (caught.value.path, caught.value.row) == (path, None)


def test_all_missing_columns_are_named_with_the_table_they_belong_to(tmp_path: Path) -> None:
    own = own_file(tmp_path, {})
    for read, source, absent, table in (
        (read_events, ACLED, ("event_date", "fatalities"), "ACLED"),
        (read_events, UCDP, ("side_a", "best"), "UCDP GED"),
        (read_events, own, ("date", "actors"), "own columns"),
        (read_ucdp, ACLED, ("id", "date_start"), "UCDP GED"),
        (read_acled, UCDP, ("event_id_cnty", "event_date"), "ACLED"),
    ):
        with pytest.raises(InputFileError) as caught:
            read(without(source, tmp_path, *absent))
        assert caught.value.row == 1
        assert table in caught.value.problem
        assert ", ".join(absent) in caught.value.problem


def test_columns_of_the_same_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.csv"
    path.write_text(ACLED.read_text(encoding="utf-8").replace("admin3", "country", 1), "utf-8")
    with pytest.raises(InputFileError) as caught:
        read_events(path)
    assert (caught.value.path, caught.value.row) == (path, 1)
    assert "country" in caught.value.problem


@pytest.mark.parametrize(
    ("source", "column"), [(ACLED, "fatalities"), (UCDP, "best")], ids=["acled", "ucdp"]
)
@pytest.mark.parametrize("text", ["", "-1", "many", "2.5", "1e3", "1,000", "nan", "٣", "9" * 5000])
def test_a_bad_number_is_named(tmp_path: Path, source: Path, column: str, text: str) -> None:
    with pytest.raises(InputFileError) as caught:
        read_events(changed(source, tmp_path, column, text, index=1))
    assert (caught.value.row, caught.value.column) == (3, column)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "hint"),
    [("Battle", "(did you mean 'Battles'?)"), ("Riots/Protests", "be one of Battles, Explosions")],
)
def test_an_unknown_event_type_is_named(tmp_path: Path, text: str, hint: str) -> None:
    with pytest.raises(InputFileError) as caught:
        read_events(changed(ACLED, tmp_path, "event_type", text))
    assert (caught.value.row, caught.value.column) == (2, "event_type")
    assert hint in caught.value.problem
    assert all(name in caught.value.problem for name in EVENT_TYPES)


@pytest.mark.parametrize("text", ["0", "4", "war"])
def test_an_unknown_type_of_violence_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputFileError) as caught:
        read_events(changed(UCDP, tmp_path, "type_of_violence", text))
    assert caught.value.column == "type_of_violence"


def test_an_id_used_twice_is_named_with_both_rows(tmp_path: Path) -> None:
    path = changed(ACLED, tmp_path, "event_id_cnty", "OST101", index=4)
    with pytest.raises(InputFileError) as caught:
        read_events(path)
    assert "row 2" in caught.value.problem
    # Row index 2 spans two lines, so the fifth event begins on line 7.
    assert (caught.value.row, caught.value.column) == (7, "event_id_cnty")


def test_a_blank_id_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputFileError) as caught:
        read_events(changed(UCDP, tmp_path, "id", "  "))
    assert (caught.value.row, caught.value.column) == (2, "id")


def test_a_bad_flag_of_ones_own_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputFileError) as caught:
        read_events(own_file(tmp_path, {"civilian_targeting": ""}))
    assert (caught.value.row, caught.value.column) == (2, "civilian_targeting")


def test_the_row_is_the_line_on_which_the_event_begins(tmp_path: Path) -> None:
    for index, line in enumerate([2, 3, 4, 6, 7, 8, 10, 11, 12, 13, 14, 15]):
        path = changed(ACLED, tmp_path, "fatalities", "x", index=index)
        with pytest.raises(InputFileError) as caught:
            read_events(path)
        assert caught.value.row == line
        id_there = path.read_text(encoding="utf-8").splitlines()[line - 1].split(",")[0]
        assert id_there == table_of(ACLED)[1][index][0]


@pytest.mark.parametrize("cells", [8, 11])
def test_a_row_of_another_length_is_named(tmp_path: Path, cells: int) -> None:
    path = own_file(tmp_path, {})
    path.write_text(path.read_text("utf-8") + ",".join("x" * cells) + "\n", encoding="utf-8")
    with pytest.raises(InputFileError) as caught:
        read_events(path)
    assert (caught.value.row, caught.value.column) == (3, None)


def test_a_quote_that_is_never_closed_is_named(tmp_path: Path) -> None:
    path = own_file(tmp_path, {"event_id": "e1"}, {"event_id": "e2"})
    path.write_text(path.read_text("utf-8").replace("e2,", '"e2,'), encoding="utf-8")
    with pytest.raises(InputFileError) as caught:
        read_events(path)
    assert caught.value.row == 3


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_politely(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "file.csv"
    path.write_bytes(content)
    with pytest.raises(InputFileError):
        read_events(path)


@given(st.sampled_from([ACLED, UCDP]), st.data())
def test_arbitrary_text_in_a_cell_is_read_or_refused_politely(
    tmp_path_factory: pytest.TempPathFactory, source: Path, data: st.DataObject
) -> None:
    header, _ = table_of(source)
    column = data.draw(st.sampled_from(header))
    value = data.draw(st.text(st.characters(codec="utf-8")))
    path = changed(source, tmp_path_factory.mktemp("cells"), column, value)
    try:
        events = read_events(path)
    except InputFileError as error:
        assert error.column == column or "\0" in value  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert len(events) == 12
        assert "\n" not in events[0].text


# --- tables in memory -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ucdp_ged_tiny.csv", "acled_tiny.csv"])
def test_a_table_is_read_as_its_file(name: str) -> None:
    source = Path(__file__).parent / "data" / name
    assert read_events(pd.read_csv(source)) == read_events(source)


def test_events_become_a_table_and_events_again() -> None:
    events = bundled_events()
    assert read_events(events_frame(events)) == events
    typed = events_frame(events).assign(date=lambda t: pd.to_datetime(t["date"]))
    assert read_events(typed) == events


def test_a_wrong_cell_of_a_table_is_named() -> None:
    table = events_frame(bundled_events()[:3]).astype({"fatalities": object})
    table.loc[2, "fatalities"] = "many"
    with pytest.raises(InputFileError) as caught:
        read_events(table)
    assert (caught.value.row, caught.value.column) == (2, "fatalities")


def test_event_types_of_ones_own_need_a_text() -> None:
    table = events_frame(bundled_events()[:1]).assign(event_type="Earthquake", text="It shook.")
    (event,) = read_events(table)
    assert (event.event_type, event.text) == ("Earthquake", "It shook.")
    assert OfflineEvent.from_dict(event.to_dict()) == event
    with pytest.raises(InputFileError) as caught:
        read_events(table.assign(text=""))
    assert caught.value.column == "event_type"
    with pytest.raises(UnknownNameError) as wrong:
        dataclasses.replace(event, text="")
    assert wrong.value.argument == "event_type"
