"""The laws as formulas and in words, for the report and the page."""

from __future__ import annotations

import inspect

from mesa_llmspread.inference import FitResult
from mesa_llmspread.transmission import TransmissionLaw, resolve_law

__all__ = ["formula", "in_words"]

# The chance q at one exposure, by the law's name.
_CHANCES = {
    "SI": "q = beta",
    "OnlineOffline": "q = beta",
    "FirstRepeat": "q = beta_first at the first exposure, beta_repeat later",
    "SingleMultiple": "q = beta_single for one post {seen}, beta_multiple for several",
    "TwoClass": "q = beta_high for a share share_high of the agents, beta_low for the others",
    "Frailty": "log(1 − q) = f log(1 − beta); f gamma-distributed, mean 1, per agent",
    "ByProfile": "q = a rate per profile",
    "ByTraits": "q from intercept + openness × O + … + neuroticism × N, levels −1 to 1",
}


def formula(fit: FitResult) -> str:
    """Return the law of a fit as a formula; "" for a law of one's own.

    Parameters
    ----------
    fit : FitResult

    Returns
    -------
    str
        With the number m of posts in view; the sum of their weights where posts fade.

    Examples
    --------
    >>> from mesa_llmspread import SpreadData, SpreadModel, fit
    >>> data = SpreadData.from_model(SpreadModel(n=40, k=4, decider="SI(0.2)", rng=1).run(9))
    >>> formula(fit(data, "SI"))
    'q = beta; p = 1 − (1 − q)^m'
    """
    law = _law(fit)
    chance = _CHANCES.get(type(law).__name__)
    if chance is None:
        return ""
    chance = chance.format(
        seen="so far" if getattr(law, "count", "") == "cumulative" else "in view"
    )
    form = "p = q where m ≥ 1" if getattr(law, "per", "") == "occasion" else "p = 1 − (1 − q)^m"
    media = "; with the event in view 1 − (1 − alpha)(1 − p)" if law.offline else ""
    return f"{chance}; {form}{media}"


def in_words(fit: FitResult) -> str:
    """Return the first sentence of the documentation of a fit's law.

    Parameters
    ----------
    fit : FitResult

    Returns
    -------
    str
    """
    return (inspect.getdoc(type(_law(fit))) or "–").splitlines()[0]


def _law(fit: FitResult) -> TransmissionLaw:
    """Return the law of a fit, with or without its estimates."""
    return fit.law or resolve_law(fit.name)
