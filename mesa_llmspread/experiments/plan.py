"""How many runs an experiment needs, and what a given number of runs can show.

Two laws, or a trait and none, are told apart by a likelihood ratio. With ``runs`` runs it is about
noncentral chi-squared, with a noncentrality of ``runs`` times that of one run (Self, Mauritsen &
Ohara 1992, doi:10.2307/2532347), which simulated runs of the design tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from scipy.stats import chi2, ncx2

from mesa_llmspread._validation import checked_int, checked_level, checked_number
from mesa_llmspread._words import counted
from mesa_llmspread.data import SpreadData, concat
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError
from mesa_llmspread.inference.fit import fit
from mesa_llmspread.inference.power import information_left, smallest_ratio
from mesa_llmspread.model import SpreadModel
from mesa_llmspread.profiles import Trait
from mesa_llmspread.rng import spawn_seeds
from mesa_llmspread.transmission import TransmissionLaw, law_of, resolve_law

__all__ = ["Plan", "plan"]

# Simulated runs: doubled from the first to the second number, until the noncentrality of all
# together is so large that its relative standard error is about 0.1.
_FEWEST, _MOST, _CERTAIN = 10, 160, 400

# No design has more runs.
_LIMIT = 1_000_000


@dataclass(frozen=True)
class Plan:
    """What a design can show.

    Attributes
    ----------
    question : str
        What is to be found.
    power : float
        The probability of finding it that is asked for.
    reposts : float
        Reposts per run, on average.
    signal, stderr : float
        Noncentrality per run, and its standard error from the simulated runs.
    df : int
        Degrees of freedom: by how many parameters the laws differ.
    critical : callable
        The likelihood ratio (twice the difference of log-likelihoods) above which the effect is
        found, by number of runs.
    alpha : float
        Size of a test of a trait.
    information : float, default 1
        What part of a repost's information about a trait the agents' levels leave.
    """

    question: str
    power: float
    reposts: float
    signal: float
    stderr: float
    df: int
    critical: Callable[[int], float] = field(repr=False)
    alpha: float
    information: float = 1.0

    @property
    def runs(self) -> int:
        """Runs needed for the power; 1,000,000 where more are."""
        return self._needed(self.signal)

    @property
    def interval(self) -> tuple[int, int]:
        """Runs needed if the signal is at either end of its 95 % interval.

        The upper end is 1,000,000 where the simulated runs hardly show the effect.
        """
        reach = 1.96 * self.stderr
        return self._needed(self.signal + reach), self._needed(self.signal - reach)

    def power_of(self, runs: int) -> float:
        """Return the probability that a number of runs shows the effect.

        Parameters
        ----------
        runs : int

        Returns
        -------
        float
        """
        return self._power(checked_int("runs", runs, 1), self.signal)

    def smallest_ratio(self, runs: int) -> float:
        """Return the smallest hazard ratio of a trait that a number of runs shows.

        Parameters
        ----------
        runs : int

        Returns
        -------
        float
            Per standard deviation of the trait, for one test of size ``alpha``.
        """
        reposts = self.reposts * self.information * checked_int("runs", runs, 1)
        return smallest_ratio(reposts, alpha=self.alpha, power=self.power) if reposts else np.inf

    def summary(self, runs: int | None = None) -> str:
        """Return what is needed, and what a number of runs shows, as text.

        Parameters
        ----------
        runs : int, optional
            A number of runs to describe; those needed if not given.

        Returns
        -------
        str
        """
        low, high = self.interval
        shown = self.runs if runs is None else runs
        needed = f"{_limited(self.runs)} run{'' if self.runs == 1 else 's'}"
        error = "" if low == high else f" (simulation error: {low:,} to {_limited(high)})"
        return (
            f"To find {self.question} with a power of {self.power:g} takes "
            f"{needed}{error}, with {self.reposts:,.0f} reposts per run.\n"
            f"{counted(shown, 'run')}: power {self.power_of(shown):.2f}; the smallest hazard ratio "
            f"per standard deviation of a trait that a test of size {self.alpha:g} finds is "
            f"{self.smallest_ratio(shown):.3f}."
        )

    def _power(self, runs: int, signal: float) -> float:
        return float(ncx2.sf(self.critical(runs), self.df, runs * signal))

    def _needed(self, signal: float) -> int:
        """Return the smallest number of runs with the power, or the limit."""
        enough, few = 1, 0
        while enough < _LIMIT and (signal <= 0 or self._power(enough, signal) < self.power):
            few, enough = enough, 2 * enough
        while enough - few > 1:
            middle = (few + enough) // 2
            reached = signal > 0 and self._power(middle, signal) >= self.power
            few, enough = (few, middle) if reached else (middle, enough)
        return min(enough, _LIMIT)


def plan(
    effect: float | str | TransmissionLaw,
    *,
    law: str | TransmissionLaw = "SI(0.05)",
    against: str | type[TransmissionLaw] | TransmissionLaw = "SI",
    power: float = 0.8,
    alpha: float = 0.05,
    steps: int = 50,
    rng: int = 0,
    **settings: Any,
) -> Plan:
    """Count the runs that an experiment needs to find an effect.

    Parameters
    ----------
    effect : float, str or TransmissionLaw
        A hazard ratio per standard deviation of a personality trait, to be found by the test of
        the trait; or a law with its rates, such as ``"FirstRepeat(0.06, 0.04)"`` or
        ``"TwoClass(0.04, 0.12, 0.3)"``, to be told from ``against`` by its BIC, as ``compare``
        does.
    law : str or TransmissionLaw, default "SI(0.05)"
        What agents decide by, where ``effect`` is a hazard ratio: it tells how many repost.
    against : str, type of TransmissionLaw or TransmissionLaw, default "SI"
        The simpler law, where ``effect`` is a law.
    power : float, default 0.8
        Probability of finding the effect.
    alpha : float, default 0.05
        Size of the trait's test; 0.05 / m for the first of m tests in Holm's procedure.
    steps : int, default 50
        Largest number of steps per run.
    rng : int, default 0
        Seed of the simulated runs.
    **settings
        Other arguments of :class:`~mesa_llmspread.SpreadModel`: ``n``, ``k``, ``network``,
        ``initial_infected``, ``feed``, ``population``, ...

    Returns
    -------
    Plan

    Raises
    ------
    ArgumentError
        If the ratio is 1, if ``against`` has as many parameters, if nobody reposts in 10 simulated
        runs, if 160 runs of the law show nothing that ``against`` does not explain, or if
        ``decider`` is given instead of ``law``.

    Examples
    --------
    >>> plan(1.1, n=200, k=8, alpha=0.01).runs  # of 190 reposts each
    7
    """
    checked_level(power, "power")
    checked_level(alpha, "alpha")
    steps = checked_int("steps", steps, 1)
    if isinstance(effect, bool) or not isinstance(effect, int | float | str | TransmissionLaw):
        raise ArgumentTypeError("effect", effect, "a hazard ratio, or a law with its rates")
    if "decider" in settings:
        allowed = "be given as law, or as effect if this law is to be told from a simpler one"
        raise ArgumentError("decider", settings["decider"], allowed)
    given, decides = ("law", law) if isinstance(effect, int | float) else ("effect", effect)
    truth = law_of(decides, given)
    models = (SpreadModel(**settings, decider=truth, rng=seed) for seed in spawn_seeds(rng, _MOST))
    records = (SpreadData.from_model(model.run(steps)) for model in models)
    data = concat(list(islice(records, _FEWEST)))
    if not _reposts(data).any():
        allowed = f"lead to reposts, which {_FEWEST} simulated runs do not have: raise its rate, "
        raise ArgumentError(given, truth, f"{allowed}steps or n, or lower initial_infected")
    information = information_left(data.agents[[trait.value for trait in Trait]].to_numpy())
    if isinstance(effect, int | float):
        ratio = checked_number("effect", effect, np.nextafter(0, 1))
        if ratio == 1:
            raise ArgumentError("effect", effect, "differ from 1, the ratio of no effect")
        if not information:
            allowed = "have all five traits vary, none of them as others do"
            raise ArgumentError("population", settings.get("population"), allowed)
        question = f"a hazard ratio of {ratio:g} per standard deviation of a trait"
        reposts, square = _reposts(data), np.log(ratio) ** 2 * information
        signal, stderr = square * reposts.mean(), square * reposts.sem()
        limit = float(chi2.isf(alpha, 1))
        found = question, power, reposts.mean(), signal, stderr, 1, lambda runs: limit, alpha
        return Plan(*found, information)
    simple = resolve_law(against)
    while True:
        runs = len(data.runs)
        full, less = (fit(data, each, interval="profile") for each in (truth, simple))
        df = len(full.params) - len(less.params)
        if df < 1:
            raise ArgumentError("against", less.name, f"have fewer parameters than {full.name}")
        total = 2 * (full.loglik - less.loglik) - df
        if total >= _CERTAIN or runs >= _MOST:
            break
        data = concat([data, *islice(records, runs)])
    if total <= 0:
        allowed = f"differ from {less.name}: {runs} simulated runs show nothing of it"
        raise ArgumentError("effect", truth, allowed)

    def critical(number: int) -> float:
        # BIC counts agents for laws with latent classes, else decisions.
        counts = [result.n_bic / runs * number for result in (full, less)]
        return float(np.log(counts) @ [len(full.params), -len(less.params)])

    question = f"{truth}, rather than {less.name}"
    stderr = float(np.sqrt(2 * (df + 2 * total))) / runs
    reposts = _reposts(data).mean()
    found = question, power, reposts, total / runs, stderr, df, critical, alpha
    return Plan(*found, information)


def _reposts(data: SpreadData) -> Any:
    """Count the reposts of each run."""
    reposted = data.exposures["outcome"] == "repost"
    return reposted.groupby(data.exposures["run"]).sum().reindex(data.runs, fill_value=0)


def _limited(runs: int) -> str:
    """Write a number of runs; there may be more at the limit."""
    return f"{runs:,}" if runs < _LIMIT else f"more than {_LIMIT:,}"
