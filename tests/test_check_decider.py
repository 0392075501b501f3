"""check_decider: the test of a decider of one's own against the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from mesa_llmspread import (
    SI,
    Decider,
    Decision,
    Exposure,
    MixedDecider,
    Outcome,
    TwoClass,
    as_decider,
    check_decider,
    coins,
)
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    DeciderError,
    MissingKeyError,
    UnknownNameError,
)

REPOST, DECLINE = Decision(Outcome.REPOST), Decision(Outcome.DECLINE)
Exposures = Sequence[Exposure]
Rng = np.random.Generator


def answers(yes: Any) -> list[Decision]:
    return [REPOST if one else DECLINE for one in yes]


class Tossing(Decider):
    """A good one."""

    def __init__(self, chance: float = 0.5) -> None:
        self.chance = chance

    def decide(self, exposures: Exposures, rng: Rng) -> list[Decision]:
        return answers(coins(exposures, rng) < self.chance)


class InTurn(Tossing):
    """Draws in the order of the batch, so parts of a batch come out otherwise: allowed."""

    def decide(self, exposures: Exposures, rng: Rng) -> list[Decision]:
        return answers(rng.random(len(exposures)) < self.chance)


class Undecided(Decider):
    """Has no decide()."""


class Needs(Tossing):
    def __init__(self, chance: float) -> None:
        super().__init__(chance)


class Short(Decider):
    def decide(self, exposures: Exposures, rng: Rng) -> list[Decision]:
        return [REPOST for exposure in exposures if exposure.posts]


class Yes(Decider):
    def decide(self, exposures: Exposures, rng: Rng) -> Any:
        return [True for _ in exposures]


class OwnDice(Decider):
    def __init__(self) -> None:
        self.rng = np.random.default_rng()

    def decide(self, exposures: Exposures, rng: Rng) -> list[Decision]:
        return answers(self.rng.random(len(exposures)) < 0.5)


class OwnDraw(Tossing):
    """What is drawn once per run is drawn from somewhere else."""

    def for_run(self, n: int, rng: Rng) -> Decider:
        return Fated(np.random.default_rng().random(n) < 0.5)


class Fated(Decider):
    def __init__(self, posts: np.ndarray) -> None:
        self.posts = posts

    def decide(self, exposures: Exposures, rng: Rng) -> list[Decision]:
        return answers(self.posts[exposure.agent] for exposure in exposures)


class Sorting(Tossing):
    def decide(self, exposures: Any, rng: Rng) -> list[Decision]:
        exposures.reverse()
        return super().decide(exposures, rng)


class Pairs(Tossing):
    def decide(self, exposures: Exposures, rng: Rng) -> list[Decision]:
        self.chance = 0.1 * (exposures[0].profile == exposures[1].profile)
        return super().decide(exposures, rng)


class Reader(Tossing):
    """Looks at the newest post, and some have none."""

    def decide(self, exposures: Exposures, rng: Rng) -> list[Decision]:
        return answers(exposure.posts[-1].author % 2 for exposure in exposures)


class Forgetful(Tossing):
    def for_run(self, n: int, rng: Rng) -> Any:
        self.seen = np.zeros(n)


class Talkative(Tossing):
    def manifest(self) -> Mapping[str, Any]:
        return {"decider": "talkative", "chance": np.array([self.chance])}


class Endless(Tossing):
    def manifest(self) -> Mapping[str, Any]:
        return {"decider": "endless", "chance": float("nan")}


class Wordless(Tossing):
    def manifest(self) -> Any:
        return "wordless"


class Lambda(Tossing):
    def __init__(self) -> None:
        super().__init__()
        self.rule = lambda exposure: True


class Lossy(Tossing):
    def __getstate__(self) -> dict[str, Any]:
        return {"chance": 1.0}


class Keyless(Tossing):
    def decide(self, exposures: Exposures, rng: Rng) -> list[Decision]:
        raise DeciderError("no key")


class Unready(Tossing):
    def check(self) -> None:
        raise MissingKeyError("mine", ["MY_KEY"])

    def decide(self, exposures: Exposures, rng: Rng) -> list[Decision]:
        raise AssertionError("was asked")


@pytest.mark.parametrize(
    "decider",
    [Tossing, Tossing(0.1), "traits", SI(0.1), "TwoClass(0.02, 0.2, 0.3)", TwoClass(0.1, 0.9, 0.5)],
)
def test_what_keeps_the_contract_passes(decider: Any) -> None:
    assert check_decider(decider) == {"parts_of_a_batch_decide_alike": True}


def test_mixed_populations_keep_it() -> None:
    mixed = MixedDecider([(0.5, Tossing()), (0.5, "traits")])
    assert check_decider(mixed) == {"parts_of_a_batch_decide_alike": True}


def test_whether_parts_of_a_batch_decide_alike_is_reported() -> None:
    assert check_decider(InTurn) == {"parts_of_a_batch_decide_alike": False}
    assert check_decider(InTurn(1.0)) == {"parts_of_a_batch_decide_alike": True}


@pytest.mark.parametrize(
    ("decider", "promise"),
    [
        (OwnDice, "same decisions"),
        (OwnDraw, "same decisions"),
        (Sorting, "leave the exposures"),
        (Pairs, "batch of one (IndexError: list index out of range)"),
        (Reader, "without posts (IndexError: tuple index out of range)"),
        (Forgetful, "for_run()"),
        (Talkative, "manifest()"),
        (Endless, "manifest()"),
        (Wordless, "manifest()"),
        (Lambda, "pickling"),
        (Lossy, "pickling"),
    ],
)
def test_a_broken_promise_is_named(decider: type[Decider], promise: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        check_decider(decider)
    assert (caught.value.argument, caught.value.value) == ("decider", decider.__name__)
    # Which promise it is can only be told by the words.
    assert promise in caught.value.allowed
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(("decider", "missing"), [(Undecided, "decide"), (Needs, "chance")])
def test_a_class_must_need_no_arguments(decider: type[Decider], missing: str) -> None:
    for refused in (check_decider, as_decider):
        with pytest.raises(ArgumentError) as caught:
            refused(decider)
        assert (caught.value.argument, caught.value.value) == ("decider", decider)
        assert missing in caught.value.allowed


@pytest.mark.parametrize("decider", [Short, Yes, Keyless])
def test_what_is_not_a_list_of_decisions_is_named(decider: type[Decider]) -> None:
    with pytest.raises(DeciderError) as caught:
        check_decider(decider)
    assert type(caught.value) is DeciderError
    assert decider is Keyless or repr(decider.__name__) in str(caught.value)


def test_what_is_not_a_decider_is_refused() -> None:
    with pytest.raises(ArgumentTypeError) as wrong:
        check_decider(dict)  # type: ignore[arg-type]
    assert (wrong.value.argument, wrong.value.value) == ("decider", {})
    with pytest.raises(UnknownNameError) as unknown:
        check_decider("trait")
    assert (unknown.value.argument, unknown.value.value) == ("decider", "trait")


def test_what_cannot_answer_is_not_asked() -> None:
    with pytest.raises(MissingKeyError) as caught:
        check_decider(Unready)
    assert caught.value.variables == ("MY_KEY",)
