"""What a comparison of laws found, in words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mesa_llmspread._words import described, p_words
from mesa_llmspread.inference.joint import Frailty
from mesa_llmspread.inference.result import FitResult

__all__ = ["cautions", "misfit", "verdict"]

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

_CLASSES = ("TwoClass", "TwoClassKnown", "ByProfile")


def verdict(
    best: FitResult,
    results: Mapping[str, FitResult],
    tests: pd.DataFrame,
    fit_p_values: Mapping[str, float],
) -> str:
    """Say what a comparison found, and whether the law fits at all.

    Parameters
    ----------
    best : FitResult
        The fit with the lowest BIC.
    results : mapping of str to FitResult
        All fits, by name.
    tests : DataFrame
        As :func:`~mesa_llmspread.inference.selection.nested_tests` gives them.
    fit_p_values : mapping of str to float
        Goodness of fit of each law; NaN if not known.

    Returns
    -------
    str
    """
    excess = {
        name: result.bic - best.bic
        for name, result in results.items()
        if result is not best and result.success
    }
    wrong = misfit(best.name, fit_p_values)
    parts = [wrong, f"its estimates: {_values(best)}"] if wrong else [_opening(best, excess)]
    if "SI" in results and results["SI"] is not best:
        parts.append(_about_si(best, excess, tests))
    close = [name for name in excess if name != "SI" and _is_close(name, best, excess, tests)]
    classes = {name: excess[name] for name in _CLASSES if name in excess}
    if best.name not in (*_CLASSES, "SI") and classes and not set(close) & set(classes):
        nearest = min(classes, key=classes.__getitem__)
        parts.append(
            "a class model does not explain it better "
            f"({nearest}: BIC {classes[nearest]:.0f} higher)"
        )
    if close:
        names = " and ".join(close)
        # A law that does not fit is ruled out already.
        parts.append(f"next by BIC: {names}" if wrong else f"{names} cannot be ruled out")
    elif best.name == "SI" and excess and not wrong:
        parts.append("no second rate adds to it")
    elif set(excess) - {"SI"}:
        parts.append("no other law comes close")
    return "; ".join(parts) + "."


def misfit(law: str, fit_p_values: Mapping[str, float]) -> str:
    """Say that a law does not fit, and whether another one does.

    Parameters
    ----------
    law : str
        The law that was chosen.
    fit_p_values : mapping of str to float
        Goodness of fit of each law that was compared; NaN if not known.

    Returns
    -------
    str
        A clause; "" if the law fits, or this is not known.

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


def _opening(best: FitResult, excess: Mapping[str, float]) -> str:
    """Name the law with the lowest BIC and its values."""
    values = _values(best)
    if best.name == "SI":
        return f"One rate is enough: {values}"
    if best.name == "ByProfile":
        return f"Personality matters: {values}"
    needed = "are needed" if excess.get("SI", np.inf) > _DECISIVE else "describe it best"
    what = "Two classes of agents" if best.name.startswith("TwoClass") else "Two rates"
    return f"{what} {needed}: {values} ({best.name})"


def _values(best: FitResult) -> str:
    """Name the estimates in words."""
    if best.name == "ByProfile":
        return best.describe()
    values = ", ".join(
        described(_NOUNS[name], value, *best.ci[name], digits=2)
        for name, value in best.params.items()
        if name in _NOUNS
    )
    return values.removeprefix("online ") if best.name == "SI" else values


def _about_si(best: FitResult, excess: Mapping[str, float], tests: pd.DataFrame) -> str:
    """Say whether one rate would do."""
    if "SI" not in excess:
        return "SI is impossible"
    word = "rejected" if excess["SI"] > _DECISIVE else "less likely"
    p = _p_value(tests, "SI", best.name)
    text = "" if np.isnan(p) else f", {p_words(p)}"
    return f"SI is {word} (BIC {excess['SI']:.0f} higher{text})"


def _p_value(tests: pd.DataFrame, simple: str, rich: str) -> float:
    """Look up a test; NaN if it was not made."""
    found = tests[(tests["simple"] == simple) & (tests["rich"] == rich)]["p_value"]
    return float(found.iloc[0]) if len(found) else float("nan")


def _is_close(name: str, best: FitResult, excess: Mapping[str, float], tests: pd.DataFrame) -> bool:
    """Tell whether a law may be the right one instead of the best."""
    if excess[name] >= _DECISIVE:
        return False
    # What contains the best law always fits about as well: does it fit better?
    p = _p_value(tests, best.name, name)
    if not np.isnan(p):
        return p < _REJECTED
    contains = best.name == "SI" and name == "TwoClass"
    return not contains or excess[name] < 2


def cautions(
    best: FitResult,
    results: Mapping[str, FitResult],
    *,
    frailty: Frailty,
    rate_by_run: float,
    reused: bool,
) -> list[str]:
    """Say what may have misled the comparison.

    Parameters
    ----------
    best : FitResult
        The fit with the lowest BIC.
    results : mapping of str to FitResult
        All fits, by name.
    frailty : Frailty
        One rate with differences between agents.
    rate_by_run : float
        BIC of one rate a run.
    reused : bool
        Whether answers to repeated prompts were re-used.

    Returns
    -------
    list of str
        Sentences.
    """
    notes = []
    if best.name not in (*_CLASSES, "SI", "OnlineOffline"):
        rivals = {"differences between agents (gamma frailty)": frailty.bic}
        rivals |= {
            f"classes of agents ({name})": results[name].bic
            for name in _CLASSES
            if name in results and results[name].success
        }
        rivals["one rate, different in every run,"] = rate_by_run
        for rival, bic in rivals.items():
            if bic - best.bic < _DECISIVE:
                well = "better" if bic < best.bic else "nearly as well"
                notes.append(
                    f"{best.name} may be an artefact: {rival} would explain the decisions "
                    f"{well} (BIC {bic - best.bic:+.0f})."
                )
    if reused:
        notes.append(
            "Answers to repeated prompts were re-used, which looks like FirstRepeat: later "
            "exposures repeat earlier refusals. Ask again with fresh draws, and trust the rate "
            "at first exposures only."
        )
    if best.interval == "runs":
        notes.append("Rates differ between runs; likelihoods and tests take them for equal.")
    return notes
