"""What a comparison of laws found: rows of findings with their evidence, and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from mesa_llmspread._words import described, p_words
from mesa_llmspread.inference.between_runs import DIFFERS
from mesa_llmspread.inference.result import FitResult

__all__ = ["Finding", "doubts", "findings", "misfit"]

# Differences in BIC that count as decisive (Kass & Raftery 1995, doi:10.2307/2291091).
_DECISIVE = 10.0

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
_CLASSES = (*_TWO_CLASSES, *_PERSONALITY)

_REUSED = (
    "Answers to repeated prompts were re-used, which looks like FirstRepeat: later exposures "
    "repeat earlier refusals. Ask again with fresh draws, and trust the rate at first exposures "
    "only."
)
_DIFFER = "Rates differ between runs; likelihoods and tests assume that they are equal."

# The effects that laws stand for: the finding, its laws, and how a sentence about it begins,
# without and with an offline part.
_EFFECTS = (
    ("one rate is enough", _forms("SI"), ("One rate is enough", "Two rates are needed")),
    (
        "first and later exposures differ",
        _forms("FirstRepeat"),
        ("Two rates are needed", "Three rates are needed"),
    ),
    (
        "several neighbours act differently from one",
        _SEVERAL,
        ("Two rates are needed", "Three rates are needed"),
    ),
    (
        "there are two classes of agents",
        _TWO_CLASSES,
        ("Two classes of agents are needed", "Two classes of agents and the event itself"),
    ),
    ("personality matters", _PERSONALITY, ("Personality matters", "Personality matters")),
)


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


def findings(
    best: FitResult,
    results: Mapping[str, FitResult],
    tests: pd.DataFrame,
    fit_p_values: Mapping[str, float],
) -> list[Finding]:
    """Return what a comparison found; the clauses in order are its verdict.

    Parameters
    ----------
    best : FitResult
        The fit with the lowest BIC.
    results : mapping of str to FitResult
        All fits, by name.
    tests : DataFrame
        As :func:`~mesa_llmspread.inference.diagnostics.nested_tests` returns them.
    fit_p_values : mapping of str to float
        Goodness of fit of each law; NaN if unknown.

    Returns
    -------
    list of Finding
    """
    excess = {name: fit.bic - best.bic for name, fit in results.items() if fit.success}
    online = {name: _online(results[name]) for name in excess}
    # The law of one online rate, against which others are held.
    one = next((name for name in ("SI", "OnlineOffline") if name in results), "SI")
    rivals = {name: bic for name, bic in excess.items() if results[name] is not best}
    close = [name for name in rivals if name != one and _is_close(name, best, rivals[name], tests)]
    wrong = misfit(best.name, fit_p_values)
    # One rate may be enough where more are possible; but what is needed, every law that may be
    # right has to claim.
    simplest = best.name == one
    possible = {_online(best)} | ({online[name] for name in close} if not simplest else set())
    decisive = simplest or excess.get(one, np.inf) > _DECISIVE
    offline = best.law is not None and best.law.offline
    opening, effects = f"{best.name} describes the decisions best: {_values(best)}", []
    for finding, laws, starts in _EFFECTS:
        claimed = decisive and not wrong and possible <= set(laws)
        if claimed:
            opening = f"{starts[offline]}: {_values(best)} ({best.name})"
        if bics := {name: excess[name] for name in excess if online[name] in laws}:
            effects.append(Finding(finding, claimed, _against(bics)))
    if offline or any(law.offline for fit in results.values() if (law := fit.law)):
        alone = {name: excess[name] for name in excess if name == online[name]}
        effects.append(_about_the_event(best, alone))
    if wrong:
        opening = f"{wrong}; its estimates: {_values(best)}"
    fits = f"{best.name}: goodness of fit {p_words(fit_p_values.get(best.name, np.nan))}"
    rows = [Finding("the best law fits the decisions", not wrong, fits, opening), *effects]
    if one in results and results[one] is not best:
        rows.append(_about_one_rate(one, best, excess, tests))
    classes = {name: rivals[name] for name in rivals if online[name] in _CLASSES}
    if _online(best) not in (*_CLASSES, "SI") and classes:
        as_well, evidence = bool(set(close) & set(classes)), _against(classes)
        clause = "" if as_well else f"a class model does not explain it better ({evidence})"
        finding = "classes of agents explain the decisions as well"
        rows.append(Finding(finding, as_well, evidence, clause))
    names = " and ".join(close)
    if close:
        # A law that does not fit is ruled out already.
        clause = f"next by BIC: {names}" if wrong else f"{names} cannot be ruled out"
    elif simplest and rivals and not wrong:
        clause = "no second rate adds to it"
    else:
        clause = "no other law comes close" if set(rivals) - {one} else ""
    rows.append(Finding("other laws cannot be ruled out", bool(close), _against(rivals), clause))
    return rows


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
    return f"{nearest}: BIC {bics[nearest]:.0f} higher" if bics[nearest] else f"{nearest}: best BIC"


def _values(best: FitResult) -> str:
    """Return the estimates in words."""
    if len(best.params) > len(_NOUNS):
        return best.describe()
    values = ", ".join(
        described(_NOUNS.get(name, name), value, *best.ci[name], digits=2)
        for name, value in best.params.items()
    )
    return values.removeprefix("online ") if best.name == "SI" else values


def _online(fit: FitResult) -> str:
    """Return the name of a fitted law without its offline part."""
    return fit.name if fit.law is None else fit.law.online().name


def _about_one_rate(
    one: str, best: FitResult, excess: Mapping[str, float], tests: pd.DataFrame
) -> Finding:
    """Return whether one online rate is rejected."""
    if one not in excess:
        return Finding("one rate is rejected", True, f"{one} is impossible", f"{one} is impossible")
    p = _p_value(tests, one, best.name)
    evidence = f"BIC {excess[one]:.0f} higher{'' if np.isnan(p) else f', {p_words(p)}'}"
    rejected = excess[one] > _DECISIVE
    clause = f"{one} is {'rejected' if rejected else 'less likely'} ({evidence})"
    return Finding("one rate is rejected", rejected, evidence, clause)


def _about_the_event(best: FitResult, alone: Mapping[str, float]) -> Finding:
    """Return whether the event itself makes agents post, beside the neighbours' posts."""
    finding = "the event itself makes agents post"
    if "alpha" not in best.params:
        return Finding(finding, False, f"{best.name}, without an offline part, has the best BIC")
    evidence = described("alpha", best.params["alpha"], *best.ci["alpha"])
    against = _against(alone) if alone else "without an offline part no law is possible"
    claimed = min(alone.values(), default=np.inf) > _DECISIVE
    return Finding(finding, claimed, f"{evidence}; {against}")


def _p_value(tests: pd.DataFrame, simple: str, rich: str) -> float:
    """Return the p-value of a test; NaN if it was not made."""
    p_values = tests.set_index(["simple", "rich"])["p_value"]
    return float(p_values.get((simple, rich), np.nan))


def _is_close(name: str, best: FitResult, excess: float, tests: pd.DataFrame) -> bool:
    """Return whether a law may be the right one instead of the best."""
    # What contains the best law always fits about as well: does it fit better?
    p = _p_value(tests, best.name, name)
    if excess >= _DECISIVE or not np.isnan(p):
        return excess < _DECISIVE and p < _REJECTED
    return excess < 2 or (best.name, name) != ("SI", "TwoClass")


def doubts(
    best: FitResult,
    results: Mapping[str, FitResult],
    *,
    frailty_bic: float,
    rate_by_run: float,
    reused: bool,
) -> list[Finding]:
    """Return what may have misled the comparison; the clauses are sentences.

    Parameters
    ----------
    best : FitResult
        The fit with the lowest BIC.
    results : mapping of str to FitResult
        All fits, by name.
    frailty_bic : float
        BIC of one rate with differences between agents.
    rate_by_run : float
        BIC of one rate per run.
    reused : bool
        Whether answers to repeated prompts were re-used.

    Returns
    -------
    list of Finding
    """
    source = f"answers to repeated prompts were {'' if reused else 'not '}re-used"
    same = f"same rates in every run: {p_words(best.heterogeneity)}"
    rows = [
        Finding("re-used answers may be behind it", reused, source, _REUSED),
        Finding("rates differ between runs", best.heterogeneity < DIFFERS, same, _DIFFER),
    ]
    if _online(best) in (*_CLASSES, "SI"):
        return rows
    classes = [name for name, fit in results.items() if fit.success and _online(fit) in _CLASSES]
    rivals = {
        "differences between agents (gamma frailty)": frailty_bic,
        **{f"classes of agents ({name})": results[name].bic for name in classes},
        "one rate per run": rate_by_run,
    }
    artefacts = []
    for rival, bic in rivals.items():
        well = "better" if bic < best.bic else "nearly as well"
        evidence = f"BIC {bic - best.bic:+.0f}"
        clause = f"{best.name} may be an artefact: {rival} would explain the decisions {well}"
        claimed = bic - best.bic < _DECISIVE
        artefacts.append(
            Finding(f"{rival} may be behind it", claimed, evidence, f"{clause} ({evidence}).")
        )
    return artefacts + rows
