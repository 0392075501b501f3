"""The law fitted to a run so far, and its curve under every closure, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Curve", "Law"]


@dataclass(frozen=True)
class Curve:
    """Agents that have posted, step by step, as a law has it.

    Attributes
    ----------
    name : str
        The closure, or the stochastic model.
    infected : list of float
        Agents, from step 0.
    low, high : list of float
        95 % of the stochastic model's runs; empty for a closure.
    """

    name: str
    infected: list[float]
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Law:
    """What has been fitted.

    Attributes
    ----------
    step : int
        The last step it knows of.
    rows : tuple of dict of str to str
        The laws that were fitted, best first; empty where none could be: ``law``, ``rates``,
        ``dBIC`` (to the best), ``weight`` (of evidence, from BIC) and ``fit`` (goodness of fit).
    verdict : str
        What they say, in words.
    warnings : tuple of str
        What may have misled them, sentence by sentence.
    drawn : str
        The law whose curves these are.
    curves : tuple of Curve
        Its curves.
    missing : str
        Which closures it has no curve for, in a sentence; "" if it has all.
    complete : bool
        Whether every law took part, and every check.
    """

    step: int = 0
    rows: tuple[Mapping[str, str], ...] = ()
    verdict: str = "Nothing is fitted yet: a law needs decisions, so take a step or two."
    warnings: tuple[str, ...] = ()
    drawn: str = ""
    curves: tuple[Curve, ...] = ()
    missing: str = ""
    complete: bool = False

    @property
    def names(self) -> list[str]:
        """The laws that were fitted, best first."""
        return [row["law"] for row in self.rows]
