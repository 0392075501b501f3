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
    check_decider,
    coins,
)
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    DeciderError,
    MissingKeyError,
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
        (Undecided, r"decider='Undecided': must be made without arguments.*decide"),
        (Needs, r"decider='Needs': must be made without arguments.*chance"),
        (OwnDice, "decider='OwnDice': must give the same decisions.*draw from rng"),
        (OwnDraw, "decider='OwnDraw': must give the same decisions"),
        (Sorting, "decider='Sorting': must leave the exposures as they are"),
        (Pairs, "decider='Pairs': must decide a batch of one .IndexError: list index out"),
        (Reader, "decider='Reader': must decide.*without posts.*IndexError: tuple index out"),
        (Forgetful, "decider='Forgetful': must return a Decider from for_run"),
        (Talkative, "decider='Talkative': must return plain JSON values from manifest"),
        (Endless, "decider='Endless': must return plain JSON values from manifest"),
        (Wordless, "decider='Wordless': must return plain JSON values from manifest"),
        (Lambda, "decider='Lambda': must come back whole from pickling"),
        (Lossy, "decider='Lossy': must come back whole from pickling"),
    ],
)
def test_a_broken_promise_is_named(decider: Any, promise: str) -> None:
    with pytest.raises(ArgumentError, match=promise) as caught:
        check_decider(decider)
    assert len(str(caught.value).splitlines()) == 1


def test_decisions_that_are_none_are_named() -> None:
    with pytest.raises(DeciderError, match=r"'Short' gave .* decisions for"):
        check_decider(Short)
    with pytest.raises(DeciderError, match=r"'Yes' returned True .* must return a Decision"):
        check_decider(Yes)
    with pytest.raises(DeciderError, match="no key"):
        check_decider(Keyless)


def test_what_is_no_decider_is_refused() -> None:
    with pytest.raises(ArgumentTypeError, match="a name, a law or a Decider"):
        check_decider(dict)
    with pytest.raises(ArgumentError, match="decider='trait'"):
        check_decider("trait")


def test_what_cannot_answer_is_not_asked() -> None:
    with pytest.raises(DeciderError, match="set the environment variable MY_KEY"):
        check_decider(Unready)
