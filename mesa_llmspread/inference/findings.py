"""What a comparison of laws found: rows of findings with their evidence, and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from mesa_llmspread._words import described, p_words
from mesa_llmspread.inference.between_runs import DIFFERS
from mesa_llmspread.inference.result import Criteria, FitResult

__all__ = ["Contest", "Finding", "Rival", "doubts", "findings", "misfit"]

# Differences in BIC that count as decisive (Kass & Raftery 1995, doi:10.2307/2291091), and in AIC
# below which laws have about the same support (Burnham & Anderson 2004,
# doi:10.1177/0049124104268644).
_DECISIVE, _SAME = 10.0, 2.0

# p-values below which a special case is rejected, and a law does not fit.
_REJECTED, _MISFIT = 0.05, 0.001

_NOUNS = {
    "alpha": "offline",
    "beta": "online",
    "beta_first": "first",
    "beta_repeat": "repeat",
    "beta_single": "one neighbour",
    "beta_multiple": "several",
    "beta_low": "low",
    "beta_high": "high",
    "share_high": "share of high",
}


def _forms(*laws: str) -> tuple[str, ...]:
    """Return the names of laws per contact and per occasion."""
    return tuple(f"{law}{form}" for law in laws for form in ("", '(per="occasion")'))


_SEVERAL = ("SingleMultiple", 'SingleMultiple(count="cumulative")')
_TWO_CLASSES, _PERSONALITY = _forms("TwoClass", "TwoClassKnown"), _forms("ByProfile", "ByTraits")
_DIFFER = (*_TWO_CLASSES, "Frailty", *_PERSONALITY)
# One of these must have been tried before one rate is called enough.
_RATES = {*_forms("FirstRepeat"), *_SEVERAL}

_REUSED = (
    "Answers to repeated prompts were re-used, which looks like FirstRepeat: later exposures "
    "repeat earlier refusals. Ask again with fresh draws, and trust the rate at first exposures "
    "only."
)
_BY_RUN = "Rates differ between runs; laws are compared with a factor of each run's own."
_RUNS_DIFFER = "Rates differ between runs; laws are compared, and tested, as if they were the same."

_ONE_RATE, _TWO_RATES = "one rate is enough", ("Two rates are needed", "Three rates are needed")

# The effects that laws stand for: the finding, its laws, and how a sentence about it begins,
# without and with an offline part. The last one that is claimed is said.
_EFFECTS = (
    (_ONE_RATE, _forms("SI"), ("One rate is enough", "Two rates are needed")),
    ("first and later exposures differ", _forms("FirstRepeat"), _TWO_RATES),
    ("several neighbours act differently from one", _SEVERAL, _TWO_RATES),
    ("agents differ", _DIFFER, ("Agents differ", "Agents differ, and the event itself acts")),
    (
        "there are two classes of agents",
        _TWO_CLASSES,
        ("Two classes of agents are needed", "Two classes of agents and the event itself"),
    ),
    ("personality matters", _PERSONALITY, ("Personality matters", "Personality matters")),
)


class Rival(NamedTuple):
    """An explanation that was fitted beside the laws compared.

    Attributes
    ----------
    name : str
        Of a law, or what it is.
    n_params : int
    n_bic : int
        What its BIC counts: decisions, or agents.
    loglik, bic : float
    """

    name: str
    n_params: int
    n_bic: int
    loglik: float
    bic: float


class Finding(NamedTuple):
    """A possible finding of a comparison.

    Attributes
    ----------
    finding : str
        The statement.
    claimed : bool
        Whether the decisions support it.
    evidence : str
        The figures behind it.
    clause : str
        How the verdict, or a warning, expresses it; "" if not at all.
    """

    finding: str
    claimed: bool
    evidence: str
    clause: str = ""


@dataclass(frozen=True)
class Contest:
    """Laws and rivals by what they are compared by.

    Parameters
    ----------
    results : mapping of str to FitResult
        The fits, the best one first.
    criteria : mapping of str to Criteria
        Of every law.
    rivals : sequence of Rival
        Explanations that were not among the laws compared.
    tests : DataFrame
        As :func:`~mesa_llmspread.inference.diagnostics.nested_tests` returns them.
    fit_p_values : mapping of str to float
        Goodness of fit of each law; NaN if unknown.
    by_run : bool
        Whether every run has a factor of its own.
    """

    results: Mapping[str, FitResult]
    criteria: Mapping[str, Criteria]
    rivals: Sequence[Rival]
    tests: pd.DataFrame
    fit_p_values: Mapping[str, float]
    by_run: bool

    @cached_property
    def best(self) -> FitResult:
        """The fit with the lowest BIC."""
        return next(iter(self.results.values()))

    @cached_property
    def wrong(self) -> str:
        """A clause that the best law does not fit; "" if it does."""
        return misfit(self.best.name, self.fit_p_values)

    @cached_property
    def online(self) -> dict[str, str]:
        """The name without its offline part of each law that succeeded, and of each rival."""
        laws = {name: fit.law for name, fit in self.results.items()}
        names = {name: law.online().name for name, law in laws.items() if law is not None}
        return names | {rival.name: rival.name.partition("(offline")[0] for rival in self.rivals}

    @cached_property
    def excess(self) -> dict[str, float]:
        """By how much the BIC of each is above the best law's."""
        bics = {name: self.criteria[name].bic for name in self.online if name in self.criteria}
        bics |= {rival.name: rival.bic for rival in self.rivals}
        return {name: bic - next(iter(bics.values())) for name, bic in bics.items()}

    @cached_property
    def one(self) -> str:
        """The law of one online rate, against which others are held."""
        names = ("SI", "OnlineOffline", 'SI(per="occasion")')
        return next((name for name in names if name in self.results), "SI")

    @cached_property
    def runs_differ(self) -> bool:
        """Whether rates are found to differ between runs."""
        return self.by_run or self.best.heterogeneity < DIFFERS

    @cached_property
    def by_aic(self) -> tuple[str, float]:
        """Which of all has the lowest AIC, and by how much it is below the best law's."""
        aics = {name: self.criteria[name].aic for name in self.online if name in self.criteria}
        own = next(iter(aics.values()))
        aics |= {rival.name: 2 * (rival.n_params - rival.loglik) for rival in self.rivals}
        lowest = min(aics, key=aics.__getitem__)
        return lowest, own - aics[lowest]

    @cached_property
    def close(self) -> list[str]:
        """Which may be right instead of the best law, the likeliest first."""
        names = [name for name in self.excess if name not in (next(iter(self.excess)), self.one)]
        return [name for name in sorted(names, key=self.excess.__getitem__) if self._is_close(name)]

    def _is_close(self, name: str) -> bool:
        # What contains the best law always fits about as well: does it fit better?
        excess, p = self.excess[name], self.p_value(self.best.name, name)
        if excess >= _DECISIVE or not np.isnan(p):
            return excess < _DECISIVE and p < _REJECTED
        pair = self.online[next(iter(self.excess))], self.online[name]
        return excess < _SAME or pair != ("SI", "TwoClass")

    def p_value(self, simple: str, rich: str) -> float:
        """Return the p-value of a test; NaN if it was not made."""
        p_values = self.tests.set_index(["simple", "rich"])["p_value"]
        return float(p_values.get((simple, rich), np.nan))

    def nearest(self, laws: Sequence[str]) -> dict[str, float]:
        """Return the excess in BIC of some laws, the best one apart."""
        others = list(self.excess)[1:]
        return {name: self.excess[name] for name in others if self.online[name] in laws}


def findings(contest: Contest) -> list[Finding]:
    """Return what a comparison found; of the clauses, the first is the verdict's first sentence.

    Parameters
    ----------
    contest : Contest

    Returns
    -------
    list of Finding
    """
    best, excess, online = contest.best, contest.excess, contest.online
    wrong, close, simplest = contest.wrong, contest.close, best.name == contest.one
    lowest, below = contest.by_aic
    disagree = below > _SAME
    # Only what every law that may be right claims, against one rate.
    possible = {online[name] for name in (next(iter(excess)), *close)}
    possible |= {online[lowest]} if disagree else set()
    against_one = contest.one in contest.results and excess.get(contest.one, np.inf) > _DECISIVE
    decisive = bool(_RATES & {*online.values()}) if simplest else against_one
    offline = best.law is not None and best.law.offline
    opening, effects = f"{best.name} describes the decisions best", []
    if simplest and close and not (disagree or contest.runs_differ):
        opening = f"One {'online ' if offline else ''}rate cannot be rejected"
    for finding, laws, starts in _EFFECTS:
        bics = {name: bic for name, bic in excess.items() if online[name] in laws}
        claimed = decisive and not wrong and possible <= set(laws)
        if finding == _ONE_RATE:
            claimed &= set(close) <= set(laws) and not contest.runs_differ
        if claimed:
            opening = starts[offline]
        if bics:
            effects.append(Finding(finding, claimed, _against(bics)))
    if offline or any(fit.law.offline for fit in contest.results.values() if fit.law is not None):
        alone = {name: bic for name, bic in excess.items() if name == online[name]}
        effects.append(_about_the_event(best, alone))
    sentence = f"{opening}: {_values(best)} ({best.name}, {_weight(contest)})"
    if wrong:
        sentence = f"{wrong}; its estimates: {_values(best)}"
    elif disagree:
        sentence = f"AIC and BIC disagree ({lowest} by AIC, {best.name} by BIC): {sentence}"
    fit_p = contest.fit_p_values.get(best.name, np.nan)
    fits = f"{best.name}: goodness of fit {p_words(fit_p)}"
    aic = f"{lowest}: AIC {below:.0f} lower" if below else f"{best.name}: best AIC"
    rows = [
        Finding("the best law fits the decisions", fit_p >= _MISFIT, fits, sentence),
        Finding("AIC and BIC disagree", disagree, aic),
        *effects,
    ]
    if contest.one in contest.results and not simplest:
        rows.append(_about_one_rate(contest))
    differ = contest.nearest(_DIFFER)
    if online[next(iter(excess))] not in (*_DIFFER, "SI") and differ:
        as_well, evidence = min(differ.values()) < _DECISIVE, _against(differ)
        clause = "" if as_well else f"differences between agents do not explain it ({evidence})"
        rows.append(Finding("agents that differ explain it as well", as_well, evidence, clause))
    clause = "no other law comes close" if set(excess) - {contest.one, next(iter(excess))} else ""
    if disagree and clause:
        clause = f"{clause} by BIC, but {lowest} is better by AIC, by {below:.0f}"
    if close:
        # A law that does not fit is ruled out already.
        names = " and ".join(close)
        clause = f"next by BIC: {names}" if wrong else f"{names} cannot be ruled out"
    elif simplest and decisive and not wrong and not contest.runs_differ:
        clause = "no second rate adds to it"
    others = {name: bic for name, bic in excess.items() if name in list(excess)[1:]}
    rows.append(Finding("other laws cannot be ruled out", bool(close), _against(others), clause))
    return rows


def _weight(contest: Contest) -> str:
    """Return the weight of evidence of the best law, among all that were fitted."""
    total = np.exp(-np.array(list(contest.excess.values())) / 2).sum()
    return f"BIC weight {1 / total:.2f}"


def doubts(contest: Contest, gain_by_run: float, reused: bool) -> list[Finding]:
    """Return what may have misled the comparison; the clauses are sentences.

    Parameters
    ----------
    contest : Contest
    gain_by_run : float
        By how much a factor per run lowers the smallest BIC; NaN if it was not tried.
    reused : bool
        Whether answers to repeated prompts were re-used.

    Returns
    -------
    list of Finding
    """
    best, rows = contest.best, []
    if contest.online[next(iter(contest.excess))] not in (*_DIFFER, "SI"):
        for name, bic in contest.nearest(_DIFFER).items():
            well = "better" if bic < 0 else "nearly as well"
            behind = f"{best.name} may be an artefact: agents that differ ({name}) would explain"
            clause = f"{behind} the decisions {well} (BIC {bic:+.0f})."
            found = f"{name} may be behind it", bic < _DECISIVE, f"BIC {bic:+.0f}", clause
            rows.append(Finding(*found))
    same = f"same rates in every run: {p_words(best.heterogeneity)}"
    if np.isfinite(gain_by_run):
        same += f"; with a factor per run: BIC {-gain_by_run:+.0f}"
    apart = _BY_RUN if contest.by_run else _RUNS_DIFFER
    source = f"answers to repeated prompts were {'' if reused else 'not '}re-used"
    return [
        *rows,
        Finding("re-used answers may be behind it", reused, source, _REUSED),
        Finding("rates differ between runs", contest.runs_differ, same, apart),
    ]


def misfit(law: str, fit_p_values: Mapping[str, float]) -> str:
    """Return a clause that a law does not fit, and whether another one does.

    Parameters
    ----------
    law : str
        The law that was chosen.
    fit_p_values : mapping of str to float
        Goodness of fit of each law that was compared; NaN if unknown.

    Returns
    -------
    str
        "" if the law fits, or this is unknown.

    Examples
    --------
    >>> misfit("SI", {"SI": 0.0, "FirstRepeat": 0.2}).rpartition("; ")[2]
    'FirstRepeat does'
    >>> misfit("SI", {"SI": 0.2})
    ''
    """
    own = fit_p_values.get(law, np.nan)
    if not own < _MISFIT:
        return ""
    fitting = [name for name, p in fit_p_values.items() if p >= _MISFIT]
    others = f"{' and '.join(fitting)} {'does' if len(fitting) == 1 else 'do'}"
    return (
        f"{law} has the lowest BIC but does not fit the decisions (goodness of fit: "
        f"{p_words(own)}); {others if fitting else 'no other law compared here is found to fit'}"
    )


def _against(bics: Mapping[str, float]) -> str:
    """Return the smallest excess in BIC, with its law."""
    if not bics:
        return "no other law was fitted"
    nearest = min(bics, key=bics.__getitem__)
    if bics[nearest] == 0:
        return f"{nearest}: best BIC"
    return f"{nearest}: BIC {abs(bics[nearest]):.0f} {'lower' if bics[nearest] < 0 else 'higher'}"


def _values(best: FitResult) -> str:
    """Return the estimates in words."""
    if len(best.params) > len(_NOUNS):
        return best.describe()
    values = ", ".join(
        described(_NOUNS.get(name, name), value, *best.ci[name], digits=2)
        for name, value in best.params.items()
    )
    return values.removeprefix("online ") if best.name == "SI" else values


def _about_one_rate(contest: Contest) -> Finding:
    """Return whether one online rate is rejected."""
    one, finding = contest.one, "one rate is rejected"
    if one not in contest.excess:
        return Finding(finding, True, f"{one} is impossible", f"{one} is impossible")
    p, excess = contest.p_value(one, contest.best.name), contest.excess[one]
    evidence = f"BIC {excess:.0f} higher{'' if np.isnan(p) else f', {p_words(p)}'}"
    rejected = excess > _DECISIVE
    clause = f"{one} is {'rejected' if rejected else 'less likely'} ({evidence})"
    return Finding(finding, rejected, evidence, clause)


def _about_the_event(best: FitResult, alone: Mapping[str, float]) -> Finding:
    """Return whether the event itself makes agents post, beside the neighbours' posts."""
    finding = "the event itself makes agents post"
    if "alpha" not in best.params:
        return Finding(finding, False, f"{best.name}, without an offline part, has the best BIC")
    evidence = described("alpha", best.params["alpha"], *best.ci["alpha"])
    against = _against(alone) if alone else "without an offline part no law is possible"
    claimed = min(alone.values(), default=np.inf) > _DECISIVE
    return Finding(finding, claimed, f"{evidence}; {against}")
