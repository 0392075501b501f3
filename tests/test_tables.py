"""Response tables, and decisions drawn from them on Mesa and on the compiled engine."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from errors import refused
from scipy.special import expit, logit

from mesa_llmspread import (
    OfflineEvent,
    Profile,
    ResponseTable,
    SpreadModel,
    TableDecider,
    all_profiles,
    bundled_events,
    load_table,
    random_regular,
    simulate,
)
from mesa_llmspread.deciders import Exposure
from mesa_llmspread.deciders.table import TableWarning
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    InputFileError,
    OutputError,
    UnknownNameError,
)

EVENTS = {event.event_id: event for event in bundled_events()}
FEED = list(itertools.product([False], (1, 2, 4, 8), (1, 3)))
MEDIA = [(True, 0, 1)]


def a_table(
    events: tuple[str, ...] = ("riots-40", "riots-0", "protests-0"),
    occasions: list[tuple[bool, int, int]] = MEDIA + FEED,
    profiles: list[Profile] | None = None,
) -> ResponseTable:
    """Build a table whose logits are known: linear in traits, log contacts, repetition, event."""
    rows = []
    for profile, event, (direct, contacts, count) in itertools.product(
        profiles or all_profiles(), events, occasions
    ):
        p = expit(the_logit(profile, event, direct, contacts, count))
        rows.append((profile.code, event, direct, contacts, count, p, p, p))
    columns = ["profile", "event", "direct", "contacts", "exposure_count", "p", "low", "high"]
    info = {"model": "made up", "date": "2026-11-25"}
    return ResponseTable(
        pd.DataFrame(rows, columns=columns), [EVENTS[event] for event in events], info
    )


def the_logit(profile: Profile, event: str, direct: bool, contacts: int, count: int) -> float:
    news = {"riots-40": 0.4, "riots-0": 0.0, "protests-0": -0.5}[event]
    feed = 0.3 if direct else 0.5 * np.log(contacts)
    return -1.0 + 0.6 * profile.openness - 0.2 * profile.neuroticism + news + feed - (count > 1)


def chance_of(
    table: ResponseTable,
    contacts: int,
    count: int = 1,
    profile: Profile | None = None,
    event: OfflineEvent = EVENTS["riots-40"],
    direct: bool = False,
    **options: str,
) -> float:
    """Measure how often a decider posts: over 4,000 agents of one step."""
    who = profile or Profile.from_code("OCEAN")
    asked = [
        Exposure(1, agent, who, event, contacts, contacts, count, direct) for agent in range(4000)
    ]
    decisions = TableDecider(table, **options).decide(asked, np.random.default_rng(1))
    return float(np.mean([decision.outcome.value == "repost" for decision in decisions]))


@pytest.mark.parametrize(("direct", "contacts", "count"), [*MEDIA, *FEED])
def test_a_measured_cell_is_drawn_as_it_was_measured(
    direct: bool, contacts: int, count: int
) -> None:
    who = Profile.from_code("oCeAN")
    expected = expit(the_logit(who, "riots-40", direct, contacts, count))
    found = chance_of(a_table(), contacts, count, who, direct=direct)
    assert abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / 4000)


def test_between_cells_the_logit_is_linear_in_log_contacts() -> None:
    law = TableDecider(a_table()).law("riots-40")
    who = Profile.from_code("OCEAN")
    expected = [expit(the_logit(who, "riots-40", False, m, 1)) for m in (1, 3, 5, 8)]
    np.testing.assert_allclose(law.evaluate([1, 3, 5, 8], profile=who.index), expected, rtol=1e-12)


def test_more_posts_than_measured_hold_the_last_value_with_a_warning() -> None:
    law = TableDecider(a_table()).law("riots-40")
    with pytest.warns(TableWarning):
        assert law.evaluate(20) == law.evaluate(8)


def test_a_sparse_table_is_filled_in_additively() -> None:
    occasions = [(True, 0, 1), (False, 1, 1), (False, 8, 1), (False, 2, 2)]
    sparse = TableDecider(a_table(occasions=occasions)).law("riots-40")
    full = TableDecider(a_table()).law("riots-40")
    for count in (1, 2):
        np.testing.assert_allclose(
            sparse.evaluate([1, 2, 4, 8], count), full.evaluate([1, 2, 4, 8], count), rtol=1e-12
        )


def test_a_personality_that_was_not_measured_is_fitted_on_its_traits() -> None:
    who = Profile(0.3, -2.0, 0.0, 1.1, 0.7)
    expected = expit(the_logit(who, "riots-40", False, 2, 1))
    assert abs(chance_of(a_table(), 2, profile=who) - expected) < 0.03
    few = a_table(profiles=[Profile.from_code("OCEAN"), Profile.from_code("ocean")])
    with pytest.raises(ArgumentError) as raised:
        chance_of(few, 2, profile=who)
    assert raised.value.argument == "population"


def test_measured_cells_are_used_without_sightings_in_the_media() -> None:
    table = a_table(occasions=FEED)
    odd = table.frame["profile"].isin(["OCEAN", "ocean"])
    frame = table.frame.assign(p=np.where(odd, 0.9, table.frame["p"]))
    law = TableDecider(ResponseTable(frame, table.events, table.info)).law("riots-40")
    assert law.evaluate(2, profile=Profile.from_code("OCEAN").index) == pytest.approx(0.9)
    one = TableDecider(a_table(occasions=FEED, profiles=[Profile.from_code("OCEAN")]))
    model = SpreadModel(
        n=20, k=4, decider=one, event="riots-40", population="OCEAN", media_prob=0.0, rng=1
    )
    assert model.run(2).infected > 0
    error = refused(lambda: chance_of(a_table(occasions=FEED), 0, direct=True), "media_prob")
    assert error.allowed


def test_an_event_that_was_not_measured_takes_the_mean_of_its_type() -> None:
    law = TableDecider(a_table()).law("riots-3")
    with pytest.warns(TableWarning):
        found = logit(law.evaluate(1, profile=31))
    riots = [the_logit(Profile.from_code("OCEAN"), f"riots-{n}", False, 1, 1) for n in (0, 40)]
    assert found == pytest.approx(np.mean(riots))
    with pytest.raises(ArgumentError) as raised:
        chance_of(a_table(), 1, event=EVENTS["riots-3"], events="strict")
    assert (raised.value.argument, raised.value.value) == ("event", "riots-3")


def test_another_event_with_the_id_of_a_measured_one_was_not_measured() -> None:
    other = replace(EVENTS["riots-40"], text="A cat was rescued.")
    refused(lambda: chance_of(a_table(), 1, event=other, events="strict"), "event", "riots-40")


@pytest.mark.parametrize("lost", ["first", "media"])
def test_a_profile_whose_calls_failed_is_fitted_on_its_traits(lost: str) -> None:
    whole = a_table()
    frame = whole.frame
    gone = frame["contacts"].gt(0) & frame["exposure_count"].eq(1)
    gone = frame["profile"].eq("ocean") & (gone if lost == "first" else frame["direct"])
    part = ResponseTable(frame[~gone], whole.events, whole.info)
    for direct, contacts in ((False, 1), (False, 4), (True, 0)):
        seen = {"profile": Profile.from_code("ocean"), "direct": direct}
        assert chance_of(part, contacts, **seen) == pytest.approx(
            chance_of(whole, contacts, **seen), abs=1e-9
        )


def test_a_crowd_on_mesa_and_on_the_compiled_engine_agree() -> None:
    decider = TableDecider(a_table())
    network = random_regular(400, 4, rng=1)
    share = {profile.code: 1 / 32 for profile in all_profiles()}
    runs = [
        SpreadModel(
            network=network.to_networkx() if hasattr(network, "to_networkx") else network,
            decider=decider,
            event="riots-40",
            population=share,
            initial_infected=5,
            rng=seed,
        ).run(4)
        for seed in range(60)
    ]
    found = np.array([model.infected for model in runs])
    engine = simulate(decider.law("riots-40"), network, 5, 4, replicates=2000, rng=1).infected[:, 4]
    error = np.hypot(found.std() / np.sqrt(len(found)), engine.std() / np.sqrt(len(engine)))
    assert abs(found.mean() - engine.mean()) < 4 * error


def test_tables_are_saved_and_loaded(tmp_path: Path) -> None:
    table = a_table()
    table.save(tmp_path / "table")
    again = load_table(tmp_path / "table")
    pd.testing.assert_frame_equal(again.frame, table.frame)
    assert (again.events, dict(again.info)) == (table.events, dict(table.info))
    with pytest.raises(OutputError):
        table.save(tmp_path / "table")
    (tmp_path / "table" / "manifest.json").write_text("{}")
    with pytest.raises(InputFileError):
        load_table(tmp_path / "table")
    with pytest.raises(UnknownNameError):
        TableDecider("no such table")


def test_the_variance_is_split_into_what_was_varied() -> None:
    shares = a_table().variance()["share"]
    assert shares.sum() == pytest.approx(1)
    assert shares.idxmax() == "openness"
    assert shares["extraversion"] < 1e-9
    assert shares["interactions"] < 1e-9


def test_a_table_of_one_cell_has_no_variance_to_split() -> None:
    one = a_table(("riots-40",), FEED[:1], [Profile.from_code("OCEAN")])
    assert one.variance()["share"].isna().all()
    assert "variance" not in one.describe()
    assert "variance" in a_table().describe()


def test_bad_tables_are_refused() -> None:
    table = a_table()
    with pytest.raises(ArgumentTypeError):
        ResponseTable([1], table.events)  # type: ignore[arg-type]
    for column, value in (("profile", "OCEAX"), ("p", 1.5), ("contacts", -1)):
        with pytest.raises(ArgumentError):
            ResponseTable(table.frame.assign(**{column: value}), table.events)
    with pytest.raises(ArgumentError):
        ResponseTable(table.frame, table.events[:1])
    with pytest.raises(ArgumentError):
        ResponseTable(pd.concat([table.frame, table.frame]), table.events)


def test_a_table_decides_by_name_and_says_what_it_is(tmp_path: Path) -> None:
    a_table().save(tmp_path / "mine")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = SpreadModel(
            n=50, k=4, decider=f"table({str(tmp_path / 'mine')!r})", event="riots-0", rng=1
        )
        model.run(5)
    assert model.infected > 10
