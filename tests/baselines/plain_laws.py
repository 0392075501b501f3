"""The laws, written out once more: a probability for one decision, as a plain function.

Nothing here comes from the package. A law is described by the text that the package reads and
by a function of what an agent sees: whether it is the first occasion, how many posts are
visible (``m``), how many neighbours have posted so far (``past``), whether the agent saw the
event itself (``direct``), and the agent's class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Chance = Callable[[bool, int, int, bool, int], float]


@dataclass(frozen=True)
class Law:
    """A law: ``chance(first, m, past, direct, group)``, and the share of agents per group.

    Where contacts act independently, ``rates`` holds (alpha, beta) per group. ``remembers`` is
    true where the first occasion differs from later ones; such a law has (first, later)
    probabilities per contact in ``poisson`` if it is defined in continuous time.
    """

    text: str
    chance: Chance
    shares: tuple[float, ...] = (1.0,)
    remembers: bool = False
    counts_past: bool = False
    rates: tuple[tuple[float, float], ...] | None = None
    poisson: tuple[float, float] | None = None
    has_continuous: bool = True


def si(beta: float) -> Law:
    def chance(first, m, past, direct, group):
        return 1 - (1 - beta) ** m

    return Law(f"SI({beta})", chance, rates=((0.0, beta),))


def online_offline(alpha: float, beta: float) -> Law:
    def chance(first, m, past, direct, group):
        unmoved = (1 - beta) ** m
        return 1 - (1 - alpha) * unmoved if direct else 1 - unmoved

    return Law(f"OnlineOffline({alpha}, {beta})", chance, rates=((alpha, beta),))


def first_repeat(first_beta: float, later_beta: float) -> Law:
    def chance(first, m, past, direct, group):
        return 1 - (1 - (first_beta if first else later_beta)) ** m

    text = f"FirstRepeat({first_beta}, {later_beta})"
    return Law(text, chance, remembers=True, poisson=(first_beta, later_beta))


def first_repeat_per_occasion(first_beta: float, later_beta: float) -> Law:
    def chance(first, m, past, direct, group):
        if m == 0:
            return 0.0
        return first_beta if first else later_beta

    text = f"FirstRepeat({first_beta}, {later_beta}, per='occasion')"
    return Law(text, chance, remembers=True, has_continuous=False)


def single_multiple(single: float, multiple: float) -> Law:
    def chance(first, m, past, direct, group):
        if m == 0:
            return 0.0
        return single if m == 1 else multiple

    return Law(f"SingleMultiple({single}, {multiple})", chance)


def single_multiple_cumulative(single: float, multiple: float) -> Law:
    def chance(first, m, past, direct, group):
        if m == 0:
            return 0.0
        return single if past == 1 else multiple

    text = f"SingleMultiple({single}, {multiple}, count='cumulative')"
    return Law(text, chance, counts_past=True)


def by_group(text: str, betas: list[float], shares: list[float]) -> Law:
    """Each group has a rate of its own."""

    def chance(first, m, past, direct, group):
        return 1 - (1 - betas[group]) ** m

    rates = tuple((0.0, beta) for beta in betas)
    return Law(text, chance, shares=tuple(shares), rates=rates)


def two_class(low: float, high: float, share_high: float) -> Law:
    text = f"TwoClass({low}, {high}, share_high={share_high})"
    return by_group(text, [low, high], [1 - share_high, share_high])


def two_class_by_profile(low: float, high: float) -> Law:
    """Group 1, the high one, is the profile OCEAN."""
    text = f"TwoClass({low}, {high}, high={{'OCEAN'}})"
    return by_group(text, [low, high], [0.5, 0.5])
