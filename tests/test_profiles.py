"""Personality profiles: codes, words, and populations drawn with the right shares."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, UnknownNameError
from mesa_llmspread.profiles import (
    NORM_SHARES,
    Profile,
    Trait,
    all_profiles,
    codes,
    norm_shares,
    sample_profiles,
)

# Correlations of O C E A N in the `bfi` sample (psychTools; N = 2,800).
CORRELATIONS = np.array(
    [
        [1, 0.1952, 0.2140, 0.1479, -0.0859],
        [0.1952, 1, 0.2628, 0.2582, -0.2329],
        [0.2140, 0.2628, 1, 0.4612, -0.2203],
        [0.1479, 0.2582, 0.4612, 1, -0.1852],
        [-0.0859, -0.2329, -0.2203, -0.1852, 1],
    ]
)
POPULATIONS = ["uniform", "norms", "continuous", "OceAn", {"ocean": 0.25, "OCEAN": 0.75}]

levels = st.floats(-5, 5)


def test_traits_are_in_the_order_of_their_letters() -> None:
    assert "".join(trait.letter for trait in Trait) == "OCEAN"


def test_the_32_profiles_are_in_binary_order() -> None:
    expected = ["".join(letters) for letters in itertools.product("oO", "cC", "eE", "aA", "nN")]
    assert list(codes()) == expected
    assert [profile.code for profile in all_profiles()] == expected
    assert [profile.index for profile in all_profiles()] == list(range(32))
    assert [Profile.from_code(code) for code in expected] == list(all_profiles())
    assert {abs(level) for profile in all_profiles() for level in profile.levels} == {1.0}


def test_a_capital_is_a_high_level() -> None:
    profile = Profile.from_code("OceAn")
    assert profile.levels == (1, -1, -1, 1, -1)
    assert (profile.openness, profile.neuroticism) == (1, -1)


@given(st.tuples(levels, levels, levels, levels, levels))
def test_code_and_index_agree_for_any_levels(values: tuple[float, ...]) -> None:
    profile = Profile(*values)
    assert profile.code == codes()[profile.index]
    assert [letter.isupper() for letter in profile.code] == [level > 0 for level in values]
    assert profile.levels == values


@pytest.mark.parametrize("code", ["", "ocea", "oceann", "naeco", "OCEA1", "o c e a n", None, 5])
def test_a_wrong_code_is_refused(code: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        Profile.from_code(code)
    assert (caught.value.argument, caught.value.value) == ("code", code)


@pytest.mark.parametrize("level", [5.01, -6, float("nan"), float("inf")])
@pytest.mark.parametrize("trait", [trait.value for trait in Trait])
def test_a_level_out_of_range_is_refused(trait: str, level: float) -> None:
    fields = {each.value: 0.0 for each in Trait} | {trait: level}
    with pytest.raises(ArgumentError) as caught:
        Profile(**fields)
    assert caught.value.argument == trait


@pytest.mark.parametrize("level", ["1", None, True, [1.0]])
def test_a_level_that_is_no_number_is_refused(level: Any) -> None:
    with pytest.raises(ArgumentTypeError) as caught:
        Profile(0, 0, level, 0, 0)
    assert caught.value.argument == "extraversion"


def test_levels_become_plain_floats_so_that_equal_profiles_are_equal() -> None:
    assert Profile(1, np.float64(-1), np.int8(1), 1, 1) == Profile.from_code("OcEAN")
    assert len({Profile(1, 1, 1, 1, 1), Profile.from_code("OCEAN")}) == 1
    assert {type(level) for level in Profile(1, np.float32(0.5), 0, 0, 0).levels} == {float}


def test_a_persona_has_a_sentence_a_trait_in_the_second_person() -> None:
    for profile in all_profiles():
        sentences = profile.describe().split(". ")
        assert len(sentences) == 5
        assert all(sentence.startswith("You are very ") for sentence in sentences)
    assert len({profile.describe() for profile in all_profiles()}) == 32


def test_flipping_a_trait_changes_its_own_sentence_only() -> None:
    low = Profile.from_code("ocean").describe().split(". ")
    for place, code in enumerate(["Ocean", "oCean", "ocEan", "oceAn", "oceaN"]):
        high = Profile.from_code(code).describe().split(". ")
        differing = [i for i in range(5) if low[i].rstrip(".") != high[i].rstrip(".")]
        assert differing == [place]


@pytest.mark.parametrize(
    ("level", "words"),
    [
        (0.0, "You are average in extraversion."),
        (0.24, "You are average in extraversion."),
        (0.25, "You are somewhat extraverted, "),
        (-0.5, "You are somewhat introverted, "),
        (0.75, "You are very extraverted, "),
        (-1.0, "You are very introverted, "),
        (1.5, "You are extremely extraverted, "),
        (-3.0, "You are extremely introverted, "),
    ],
)
def test_qualifiers_go_by_the_level(level: float, words: str) -> None:
    assert words in Profile(0, 0, level, 0, 0).describe()


def test_adjectives_are_markers_of_the_right_pole(shared: Path) -> None:
    text = (shared / "data" / "marker_pairs.json").read_text(encoding="utf-8").lower()
    text = text.replace("self-discplined", "self-disciplined")  # the source's slip
    ocean, high = Profile.from_code("ocean").describe(), Profile.from_code("OCEAN").describe()
    for persona in (ocean, high):
        for sentence in persona.rstrip(".").split(". "):
            adjectives = sentence.removeprefix("You are very ").replace(" and ", ", ").split(", ")
            assert len(adjectives) == 5
            assert [word for word in adjectives if word not in text] == []
    assert "introverted" in ocean
    assert "imaginative" not in ocean.replace("unimaginative", "")


def test_norm_shares_are_the_orthants_of_the_multivariate_normal() -> None:
    signs = np.array([profile.levels for profile in all_profiles()])
    orthants = [
        stats.multivariate_normal.cdf(np.zeros(5), cov=CORRELATIONS * np.outer(sign, sign))
        for sign in signs
    ]
    assert sum(orthants) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(norm_shares(), orthants, atol=1e-4)


def test_norm_shares_match_the_reference(shared: Path) -> None:
    norms = json.loads((shared / "data" / "norms_bfi25.json").read_text(encoding="utf-8"))
    reference = norms["mvn_cell_prob_32_upper=high"]
    np.testing.assert_allclose(norm_shares(), [reference[code] for code in codes()], atol=1e-3)
    np.testing.assert_allclose(CORRELATIONS, norms["corr"], atol=1e-4)


def test_norm_shares_sum_to_one_and_are_symmetric() -> None:
    shares = norm_shares()
    assert shares.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_array_equal(shares, shares[::-1])
    np.testing.assert_allclose(shares[:16], NORM_SHARES, atol=1e-5)
    assert (shares.min().round(3), shares.max().round(3)) == (0.016, 0.084)


def counts_of(profiles: tuple[Profile, ...]) -> list[int]:
    counted = Counter(profile.code for profile in profiles)
    return [counted[code] for code in codes()]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("population", ["uniform", "norms"])
def test_populations_have_their_shares(population: str, seed: int) -> None:
    shares = np.full(32, 1 / 32) if population == "uniform" else norm_shares()
    drawn = sample_profiles(20_000, population, rng=seed)
    assert set(drawn) <= set(all_profiles())
    assert stats.chisquare(counts_of(drawn), 20_000 * shares).pvalue > 0.001


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_mapping_gives_its_shares(seed: int) -> None:
    shares = {"ocean": 0.5, "OceAn": 0.3, "OCEAN": 0.2, "oceaN": 0}
    counted = Counter(profile.code for profile in sample_profiles(5_000, shares, rng=seed))
    assert set(counted) == {"ocean", "OceAn", "OCEAN"}
    observed = [counted[code] for code in ("ocean", "OceAn", "OCEAN")]
    assert stats.chisquare(observed, [2500, 1500, 1000]).pvalue > 0.001


@pytest.mark.parametrize("code", ["ocean", "OCEAN", "oceaN", "Ocean"])
def test_a_share_of_one_is_everyone_at_either_end_of_the_order(code: str) -> None:
    assert set(sample_profiles(500, {code: 1}, rng=1)) == {Profile.from_code(code)}


def test_shares_that_sum_to_one_but_for_rounding_are_taken() -> None:
    assert len(sample_profiles(10, dict.fromkeys(codes()[:10], 0.1), rng=1)) == 10


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_continuous_levels_are_correlated_normals(seed: int) -> None:
    drawn = np.array([profile.levels for profile in sample_profiles(20_000, "continuous", seed)])
    assert np.abs(drawn).max() <= 3
    np.testing.assert_allclose(drawn.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(drawn.std(0), 1, atol=0.03)
    np.testing.assert_allclose(np.corrcoef(drawn.T), CORRELATIONS, atol=0.03)


def test_continuous_levels_fall_into_the_cells_with_the_shares_of_people() -> None:
    drawn = sample_profiles(20_000, "continuous", rng=4)
    assert stats.chisquare(counts_of(drawn), 20_000 * norm_shares()).pvalue > 0.001


def test_a_code_is_everyone() -> None:
    assert sample_profiles(7, "OcEan") == (Profile.from_code("OcEan"),) * 7


def test_a_sequence_is_taken_as_it_is() -> None:
    mine = [Profile(0.5, 0, 0, 0, 0), Profile.from_code("ocean")]
    assert sample_profiles(2, mine) == tuple(mine)
    assert sample_profiles(32, all_profiles()) == all_profiles()


@pytest.mark.parametrize("population", POPULATIONS, ids=str)
def test_the_first_profiles_do_not_change_when_n_grows(population: Any) -> None:
    many = sample_profiles(1000, population, rng=9)
    for n in (1, 2, 3, 17, 128, 999):
        assert sample_profiles(n, population, rng=9) == many[:n]


@pytest.mark.parametrize("population", ["uniform", "norms", "continuous"])
def test_a_population_follows_its_seed(population: str) -> None:
    assert sample_profiles(50, population, rng=1) != sample_profiles(50, population, rng=2)
    generator = np.random.default_rng(1)
    assert sample_profiles(50, population, generator) == sample_profiles(50, population, rng=1)
    assert sample_profiles(50, population, generator) != sample_profiles(50, population, rng=1)


@pytest.mark.parametrize("n", [0, -3])
def test_nobody_is_no_population(n: int) -> None:
    with pytest.raises(ArgumentError) as caught:
        sample_profiles(n)
    assert caught.value.argument == "n"


@pytest.mark.parametrize(
    ("population", "error", "argument", "value"),
    [
        ("norm", UnknownNameError, "population", "norm"),
        ({"OCEAM": 1.0}, UnknownNameError, "population", "OCEAM"),
        ({"OCEAN": 0.5}, ArgumentError, "population", {"OCEAN": 0.5}),
        ({}, ArgumentError, "population", {}),
        ({"OCEAN": 1.5, "ocean": -0.5}, ArgumentError, "population['OCEAN']", 1.5),
        ({"OCEAN": "all"}, ArgumentTypeError, "population['OCEAN']", "all"),
        ({"OCEAN": True}, ArgumentTypeError, "population['OCEAN']", True),
        (None, ArgumentTypeError, "population", None),
        (3, ArgumentTypeError, "population", 3),
        ([], ArgumentTypeError, "population", []),
        (["OCEAN", "ocean"], ArgumentTypeError, "population", ["OCEAN", "ocean"]),
        (all_profiles()[:3], ArgumentError, "population", all_profiles()[:3]),
    ],
    ids=str,
)
def test_a_wrong_population_is_refused(
    population: Any, error: type[ArgumentError | ArgumentTypeError], argument: str, value: Any
) -> None:
    with pytest.raises(error) as caught:
        sample_profiles(2, population, rng=1)
    assert (caught.value.argument, caught.value.value) == (argument, value)
    assert "\n" not in str(caught.value)


def test_a_share_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ArgumentError) as caught:
        sample_profiles(2, {"OCEAN": float("nan")})
    assert caught.value.argument == "population['OCEAN']"
