"""Randomness: seeds, independent streams, and draws that belong to an agent."""

from __future__ import annotations

import numpy as np
import pytest
from errors import refused
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mesa_llmspread.rng import Streams, agent_uniforms, as_generator, as_seed

PURPOSES = ("network", "population", "starters", "decider")


def draws_of(streams: Streams) -> dict[str, np.ndarray]:
    """First numbers of every stream of a run."""
    named = {purpose: getattr(streams, purpose).random(1000) for purpose in PURPOSES}
    for step in range(3):
        named[f"media_prob {step}"] = streams.media(step).random(1000)
        named[f"decisions {step}"] = streams.decisions(step).random(1000)
    return named


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1, np.int64(7), np.uint8(7)])
def test_an_int_is_its_own_seed(seed: int) -> None:
    assert as_seed(seed) == seed
    assert type(as_seed(seed)) is int


def test_a_generator_gives_a_seed_and_moves_on() -> None:
    generator = np.random.default_rng(3)
    first, second = as_seed(generator), as_seed(generator)
    assert first != second
    assert first == as_seed(np.random.default_rng(3))
    assert 0 <= first < 2**63


def test_no_seed_is_a_new_one_that_can_be_used_again() -> None:
    seed = as_seed(None)
    assert seed != as_seed(None)
    assert as_seed(seed) == seed


@pytest.mark.parametrize("seed", [-1, 2**63, 10**30])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    refused(lambda: as_seed(seed), "rng", seed)


@pytest.mark.parametrize("seed", ["43", 1.0, True, np.True_, [1], np.random.RandomState(1)])
def test_a_seed_of_another_kind_is_refused(seed: object) -> None:
    for use in (as_seed, as_generator):
        refused(lambda use=use: use(seed), "rng", seed)  # type: ignore[arg-type]


def test_a_generator_is_used_as_it_is_and_a_seed_makes_one() -> None:
    generator = np.random.default_rng(1)
    assert as_generator(generator) is generator
    assert as_generator(5).random() == as_generator(5).random() != as_generator(6).random()
    assert as_generator(None).random() != as_generator(None).random()


def test_one_seed_gives_the_same_streams_again() -> None:
    first, second = draws_of(Streams(11)), draws_of(Streams(11))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_streams_of_all_purposes_steps_and_seeds_are_uncorrelated() -> None:
    draws = np.array([*draws_of(Streams(11)).values(), *draws_of(Streams(12)).values()])
    correlations = np.corrcoef(draws)[np.triu_indices(len(draws), 1)]
    # 190 pairs of 1,000 numbers: the largest |r| of independent ones stays below 4.5 / sqrt(1000).
    assert np.abs(correlations).max() < 4.5 / np.sqrt(1000)
    assert len(np.unique(draws)) == draws.size


@pytest.mark.parametrize("used", PURPOSES)
def test_using_one_stream_changes_no_other(used: str) -> None:
    streams = Streams(11)
    getattr(streams, used).random(12345)
    streams.media(1).random(77)
    after, expected = draws_of(streams), draws_of(Streams(11))
    assert [name for name in expected if not np.array_equal(after[name], expected[name])] == [used]


def test_the_stream_of_a_step_depends_on_no_earlier_step() -> None:
    in_order, alone = Streams(4), Streams(4)
    for step in range(9):
        in_order.decisions(step).random()
        in_order.media(step).random()
    assert in_order.decisions(9).random() == alone.decisions(9).random()
    assert in_order.media(9).random() == alone.media(9).random()


def test_a_stream_gives_more_after_what_it_gave_before() -> None:
    few, more = Streams(4), Streams(4)
    for purpose in PURPOSES:
        start = getattr(few, purpose).random(5)
        assert np.array_equal(getattr(more, purpose).random(50)[:5], start)


@given(
    st.integers(0, 2**63 - 1),
    st.lists(st.integers(0, 10**7), unique=True, max_size=30),
    st.sets(st.integers(0, 10**7), max_size=30),
)
def test_an_agents_draw_does_not_depend_on_who_else_draws(
    seed: int, agents: list[int], others: set[int]
) -> None:
    alone = agent_uniforms(np.random.default_rng(seed), agents)
    everyone = sorted({*agents, *others})
    together = agent_uniforms(np.random.default_rng(seed), everyone)
    drawn = dict(zip(everyone, together, strict=True))
    assert [drawn[agent] for agent in agents] == list(alone)
    assert alone.shape == (len(agents),)
    assert ((alone >= 0) & (alone < 1)).all()


def test_the_number_of_agents_does_not_move_the_stream() -> None:
    one, many = np.random.default_rng(1), np.random.default_rng(1)
    agent_uniforms(one, [0])
    agent_uniforms(many, range(1000))
    assert one.random() == many.random()


def test_draws_are_uniform_over_agents() -> None:
    drawn = agent_uniforms(np.random.default_rng(2), np.arange(100_000))
    assert stats.kstest(drawn, "uniform").pvalue > 0.01
    assert len(np.unique(drawn)) == 100_000
    # Neighbouring agents, and the low bits of their index, leave no trace.
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 4 / np.sqrt(100_000)
    assert stats.kstest(drawn[::64], "uniform").pvalue > 0.01


def test_draws_of_one_agent_are_uniform_over_steps() -> None:
    streams = Streams(8)
    drawn = np.array([agent_uniforms(streams.decisions(step), [3, 4]) for step in range(4000)])
    assert stats.kstest(drawn[:, 0], "uniform").pvalue > 0.01
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 4 / np.sqrt(4000)
    assert abs(np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]) < 4 / np.sqrt(4000)
