r"""News that ages: fit how the effect of a post fades with its age, or that of the news.

Each way of fading has one parameter ``s``, and the hazard of a decision is

.. math:: e^{x b} \sum_j e^{-s u_j} \; (+ a\, e^{-s u} \text{ where the event itself was seen})

with ``u`` the age of a post (exponential), ``log(1 + age)`` (power law) or the step less one (the
news); of the event itself, 0 or, where the news ages, the step less one. Its likelihood, with exact
derivatives, is maximised over the rates and ``s`` together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import xlogy
from scipy.stats import chi2

from mesa_llmspread._validation import check_name, checked_level
from mesa_llmspread.data import SpreadData
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.inference.decisions import Bools, Log
from mesa_llmspread.inference.findings import Finding
from mesa_llmspread.inference.fit import fit_log
from mesa_llmspread.inference.likelihood import rates_likelihood
from mesa_llmspread.inference.maximum import Derivatives, Problem, maximise, peak_of
from mesa_llmspread.inference.result import FitResult
from mesa_llmspread.inference.scale import Floats, Scale
from mesa_llmspread.transmission import (
    Exponential,
    PowerLaw,
    TransmissionLaw,
    Visibility,
    resolve_law,
)

__all__ = ["AGEING", "FADING", "Ageing", "about_ageing", "fit_ageing", "rival_ageing"]

#: The ways of fading, and the parameter of each.
AGEING = {"exponential": "delta", "power": "gamma", "event": "event_ageing"}

#: The finding that there is ageing.
FADING = "posts or the news lose their effect with age"

# Of a hazard, so that its square has an inverse.
_LEAST = 1e-100

# Differences in BIC that count as decisive, and the most parameters of a law that is tried.
_DECISIVE, _FEW = 10.0, 4

# Values of the parameter from which the search starts.
_STARTS = (0.02, 0.2, 1.0)


@dataclass(frozen=True)
class Ageing:
    """A law whose posts fade, fitted to decisions.

    Attributes
    ----------
    kind : {"exponential", "power", "event"}
    law : TransmissionLaw or None
        The law with its estimates; None where the decisions say nothing of it.
    visibility : Visibility or None
        With the estimated parameter.
    estimates : DataFrame
        By parameter: ``value, stderr, low, high``.
    loglik, bic : float
    p_value : float
        Of the likelihood-ratio test that nothing fades: half chi-square with one degree, as 0 is
        the end of what the parameter can be.
    alike : mapping of str to float
        Lowest BIC of each way of fading that was compared.
    fit : FitResult or None
        The law, fitted to the same decisions as if the fading were known to be that estimated.
    """

    kind: str
    law: TransmissionLaw | None
    visibility: Visibility | None
    estimates: pd.DataFrame
    loglik: float
    bic: float
    p_value: float
    alike: Mapping[str, float] = field(default_factory=dict)
    fit: FitResult | None = None

    def __repr__(self) -> str:
        return f"Ageing({self.describe()}; {self.kind}, BIC {self.bic:.0f})"

    @property
    def cautions(self) -> list[str]:
        """What may be mistaken for this way of fading, sentence by sentence."""
        near = [kind for kind, bic in self.alike.items() if 0 < bic - self.bic < _DECISIVE]
        texts = [f"The way of fading is not certain: {kind} fits nearly as well." for kind in near]
        if self.kind == "event":
            texts.append(
                "News that ages and agents that differ look alike: those who repost readily do so "
                "first, and the others are left."
            )
        return texts

    def applied(self, data: SpreadData) -> SpreadData:
        """Return a record whose posts are known to fade as estimated.

        Parameters
        ----------
        data : SpreadData
            The runs that were fitted.

        Returns
        -------
        SpreadData
            Fits to it, and curves and bands for it, go by the weights of its posts.
        """
        info = {
            run: replace(each, feed="persistent", visibility=self.visibility)
            for run, each in data.info.items()
        }
        return SpreadData(data.exposures, data.counts, info, data.agents)

    def describe(self) -> str:
        """Return the estimate of the parameter in words."""
        parameter = AGEING[self.kind]
        row = self.estimates.loc[parameter]
        return f"{parameter} {row['value']:.2g} [{row['low']:.2g}, {row['high']:.2g}]"


def fit_ageing(
    data: SpreadData | Log,
    law: str | type[TransmissionLaw] | TransmissionLaw,
    kind: str,
    level: float = 0.95,
) -> Ageing:
    """Estimate how fast posts fade, together with a law's rates.

    Parameters
    ----------
    data : SpreadData or Log
        Runs in which all posts were in view for good, or for the same number of steps.
    law : str, type of TransmissionLaw or TransmissionLaw
        As for :func:`fit`: its options count, its values do not. Contacts must act independently,
        without latent classes.
    kind : {"exponential", "power", "event"}
    level : float, default 0.95
        Coverage of the intervals (profile likelihood).

    Returns
    -------
    Ageing

    Raises
    ------
    ArgumentError
        If the law has no effect per post that could fade, or the record does not say when each
        post came.

    Notes
    -----
    Where slow fading is exponential or by a power law can hardly be told. Without ageing in the
    comparison, posts that fade pass for FirstRepeat; differences between agents pass for news that
    ages: compare all of them.

    Examples
    --------
    >>> from mesa_llmspread import SpreadData, SpreadModel
    >>> seen = "Visibility(ageing=Exponential(0.5))"
    >>> model = SpreadModel(n=1000, decider="SI(0.2)", visibility=seen, rng=1).run(40)
    >>> found = fit_ageing(SpreadData.from_model(model), "SI", "exponential")
    >>> found.describe()
    'delta 0.47 [0.4, 0.56]'
    """
    check_name("kind", kind, AGEING)
    checked_level(level)
    log = data if isinstance(data, Log) else Log(data)
    law = resolve_law(law)
    names, still, problem = _problems(log, law, kind)
    height = peak_of(still, still.starts())[1]
    best = maximise(problem, level)
    columns = dict(zip(("value", "stderr", "low", "high"), best.interval, strict=True))
    index = pd.Index(problem.scale.names, name="parameter")
    gain = max(2 * (best.loglik - height), 0.0)
    found = None
    if not np.isnan(best.values).any():
        found = law.replace(dict(zip(names, best.values[:-1].tolist(), strict=True)))
    aged = Ageing(
        kind,
        found,
        None if found is None else _visibility(log, kind, float(best.values[-1])),
        pd.DataFrame(columns, index=index),
        best.loglik,
        _bic(log, problem, best.loglik),
        float(chi2.sf(gain, 1)) / 2 if gain > 0 else 1.0,
    )
    if found is None:
        return aged
    return replace(aged, fit=fit_log(Log(aged.applied(log.data)), found, level=level))


def rival_ageing(log: Log, laws: Iterable[TransmissionLaw]) -> Ageing | None:
    """Fit laws with each way of fading, and return the fit with the lowest BIC.

    Parameters
    ----------
    log : Log
    laws : iterable of TransmissionLaw
        Those of few rates, whose contacts act independently, are tried.

    Returns
    -------
    Ageing or None
        None where posts are known to age, where it is not recorded when they came, or where there
        is no law to try.
    """
    tried: dict[tuple[str, TransmissionLaw], float] = {}
    try:
        known = (
            any(log.data.info[run].seen.ages for run in log.runs) or not log.receipts.number.any()
        )
    except ArgumentError:
        return None
    for law in () if known else laws:
        possible = law.offline or not log.unseen_reposts
        if possible and law.independent_contacts and len(law.parameters) <= _FEW:
            for kind in AGEING:
                _, _, problem = _problems(log, law, kind)
                top = peak_of(problem, problem.starts())[1]
                tried[kind, law] = _bic(log, problem, top)
    if not tried:
        return None
    kind, law = min(tried, key=tried.__getitem__)
    alike = {other: min(bic for (k, _), bic in tried.items() if k == other) for other in AGEING}
    return replace(fit_ageing(log, law, kind), alike=alike)


def about_ageing(aged: Ageing | None, name: str, bics: Mapping[str, float]) -> list[Finding]:
    """Return whether posts, or the news, lose their effect with age, and what that may explain.

    Parameters
    ----------
    aged : Ageing or None
    name : str
        The best law without ageing.
    bics : mapping of str to float
        BIC of what explains the decisions without ageing, such as that law, by name.

    Returns
    -------
    list of Finding
        Claimed only where ageing is better than all of these.
    """
    artefact = "ageing may be behind it"
    if aged is None or aged.law is None:
        unknown = "not tried: posts are known to age, or when they came is not known"
        return [Finding(FADING, False, unknown), Finding(artefact, False, unknown)]
    other = min(bics, key=bics.__getitem__)
    fading = f"{aged.law.name} with {aged.describe()}"
    evidence = f"{fading}: BIC {aged.bic - bics[other]:+.0f} to {other}"
    what, fades = "Posts lose their effect", "posts that lose their"
    if aged.kind == "event":
        what, fades = "The news loses its effect", "news that loses its"
    claimed = bics[other] - aged.bic > _DECISIVE
    excess = aged.bic - bics[name]
    well = "better" if excess < 0 else "nearly as well"
    doubt = (
        f"{name} may be an artefact: {fades} effect with age would explain the decisions {well} "
        f"({fading}: BIC {excess:+.0f})."
    )
    doubtful = not claimed and excess < _DECISIVE and aged.law.name != name and name != "SI"
    return [
        Finding(FADING, claimed, evidence, f"{what} with age ({evidence})" if claimed else ""),
        Finding(artefact, doubtful, evidence, doubt),
    ]


def _bic(log: Log, problem: Problem, loglik: float) -> float:
    return len(problem.scale) * float(np.log(log.n_obs)) - 2 * loglik


def _problems(log: Log, law: TransmissionLaw, kind: str) -> tuple[list[str], Problem, Problem]:
    """Return the names of the rates, and the likelihoods without and with fading."""
    used = log.seen.contacts > 0
    if law.offline:
        used = used | log.seen.direct
    seen, repost = log.seen[used], log.repost[used]
    terms = law.log_rates(seen) if law.independent_contacts else None
    if terms is None:
        allowed = "have contacts that act independently, and no latent classes"
        raise ArgumentError("law", law.name, allowed)
    design, direct = terms[0], seen.direct.astype(float) if law.offline else None
    names = ["alpha"] * law.offline + [name for name in law.parameters if name != "alpha"]
    rates = Scale.of(law, names)
    posts = _posts(log, used, kind)
    number = np.bincount(posts.decision, posts.number, len(repost))
    one_hot = law.rate_terms(seen[:1]) is not None
    still = rates_likelihood(
        rates, design, number, repost, 1 - repost, direct=direct, rates=one_hot
    )
    peak, _ = peak_of(still, still.starts())
    whole = Scale([*names, AGEING[kind]], [*rates.bounds, (0.0, np.inf)])
    starts = [np.r_[peak, np.log(value)] for value in _STARTS]
    late = (seen.step - 1.0) * (kind == "event")
    derivatives = _derivatives(design, direct, late, posts, repost)
    return names, still, Problem(whole, derivatives, lambda: starts)


class _Posts(NamedTuple):
    """Posts in view: the decision that saw them, how many, and what their fading goes by."""

    decision: npt.NDArray[np.int64]
    number: Floats
    u: Floats


def _posts(log: Log, used: Bools, kind: str) -> _Posts:
    """Return the posts in view at the decisions that are used."""
    windows = {log.data.info[run].seen.visible_for for run in log.runs}
    if len(windows) > 1:
        raise ArgumentError("data", sorted(map(str, windows)), "have posts in view for one time")
    receipts, (window,) = log.receipts, windows
    place = np.cumsum(used) - 1
    kept = used[receipts.decision]
    if window is not None:
        kept = kept & (receipts.age < window)
    decision, age = receipts.decision[kept], receipts.age[kept].astype(float)
    u = {
        "exponential": age,
        "power": np.log1p(age),
        "event": receipts.step[decision] - 1.0,
    }
    return _Posts(place[decision], receipts.number[kept], u[kind])


def _derivatives(
    design: Floats, direct: Floats | None, late: Floats, posts: _Posts, repost: Floats
) -> Callable[[Floats], Derivatives]:
    """Return the log-likelihood with its derivatives, by log rates and the log of the parameter."""
    aside = 0 if direct is None else 1

    def derivatives(theta: Floats) -> Derivatives:
        s = np.exp(theta[-1])
        faded = posts.number * np.exp(-s * posts.u)
        total, first, second = (
            np.bincount(posts.decision, faded * posts.u**power, len(repost)) for power in (0, 1, 2)
        )
        rate = np.exp(np.clip(design @ theta[aside:-1], -100, 100))
        online, fading = rate * total, -s * rate * first
        offline = np.zeros(1) if direct is None else direct * np.exp(theta[0] - s * late)
        lost = -s * late * offline
        hazard = np.maximum(online + offline, _LEAST)
        gain = 1 / np.expm1(np.minimum(hazard, 600))
        slope, bend = repost * gain - (1 - repost), -repost * gain * (1 + gain)
        moves = np.column_stack([online[:, None] * design, fading + lost])
        hessian = np.zeros((len(theta), len(theta)))
        rates = slice(aside, -1)
        hessian[rates, rates] = (design.T * (slope * online)) @ design
        hessian[rates, -1] = hessian[-1, rates] = design.T @ (slope * fading)
        hessian[-1, -1] = slope @ (fading + lost + s**2 * (rate * second + late**2 * offline))
        if direct is not None:
            moves = np.column_stack([offline, moves])
            hessian[0, 0] = slope @ offline
            hessian[0, -1] = hessian[-1, 0] = slope @ lost
        loglik = np.sum(xlogy(repost, -np.expm1(-hazard)) - (1 - repost) * hazard)
        return float(loglik), moves.T @ slope, hessian + (moves.T * bend) @ moves

    return derivatives


def _visibility(log: Log, kind: str, value: float) -> Visibility:
    """Return the visibility with a fitted parameter."""
    window = log.data.info[log.runs[0]].seen.visible_for
    if kind == "event":
        return Visibility(window, event_ageing=value)
    return Visibility(window, Exponential(value) if kind == "exponential" else PowerLaw(value))
