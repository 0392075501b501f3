"""Fit a law to the decisions that were made.

Every decision is used with what the agent saw when it made it, so the log identifies every
law of the family; the curve of infections alone does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np

from mesa_llmspread._validation import check_name, checked_level
from mesa_llmspread._words import counted
from mesa_llmspread.data import SpreadData, check_data
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.inference.between_runs import DIFFERS, between_runs, differences
from mesa_llmspread.inference.curve_fit import fit_curve
from mesa_llmspread.inference.decisions import Log
from mesa_llmspread.inference.likelihood import common_rate, likelihood
from mesa_llmspread.inference.maximum import Estimate, maximise
from mesa_llmspread.inference.result import Criteria, FitResult, by_name
from mesa_llmspread.inference.scale import Floats, Scale
from mesa_llmspread.meanfield.closure import Closure, Time, as_closure
from mesa_llmspread.transmission import TransmissionLaw, rate_to_probability, resolve_law

__all__ = ["FitResult", "fit", "fit_log"]

METHODS = ("exposures", "curve")
INTERVALS = ("auto", "profile", "runs")

# From this many runs on, intervals come from the runs in any case.
_ENOUGH_RUNS = 5


def fit(
    data: SpreadData,
    law: str | type[TransmissionLaw] | TransmissionLaw,
    method: str = "exposures",
    *,
    interval: str = "auto",
    level: float = 0.95,
    bic_n: str = "auto",
    closure: str | Closure = "master",
    time: Time = "discrete",
    **options: Any,
) -> FitResult:
    """Estimate a law's rates, from every decision or from the counts alone.

    Parameters
    ----------
    data : SpreadData
        One run or several.
    law : str, type of TransmissionLaw or TransmissionLaw
        A name of :func:`mesa_llmspread.transmission.law_names`, ``package.module:Object``, a
        class, or a law of which the options count and the values do not.
    method : {"exposures", "curve"}
        By maximum likelihood from the decisions, with what was seen when each was made; or
        by least squares from the number of agents that had posted at each step, which
        distinguishes few laws (see the result's ``warnings``).
    interval : {"auto", "profile", "runs"}, default "auto"
        Intervals by profile likelihood, right when all runs have the same rates; or between
        runs (Hartung-Knapp on log rates; leaving one run out for OnlineOffline and latent
        classes), right when they differ. "auto" takes those between runs from five runs on, and
        with fewer where a test finds that runs differ: the test misses small differences, for
        which profile intervals are too narrow. Curves have the t interval between runs only.
    level : float, default 0.95
        Coverage of the intervals.
    bic_n : {"auto", "decisions"}, default "auto"
        What the BIC counts: agents for laws with latent classes, where the decisions of
        an agent depend on each other, else decisions; or decisions for every law.
    closure, time : str
        Of a curve: the equations that are fitted to it, as in
        :func:`~mesa_llmspread.meanfield.solve`.
    **options
        The law's options: ``offline=True`` for every law, to estimate ``alpha`` beside its rates;
        ``per="occasion"`` for every law of the family, ``count="cumulative"``, ``high={codes}``.

    Returns
    -------
    FitResult

    Raises
    ------
    ArgumentError
        If there is no decision to fit, or no information about one of the rates.

    Notes
    -----
    FAILED decisions are left out and counted. A decision with no posting neighbour in view
    informs laws with an offline part only; a law that cannot produce a repost at such a
    decision has log-likelihood ``-inf``.

    Hartung & Knapp (2001), doi:10.1002/sim.1009; DerSimonian & Laird (1986),
    doi:10.1016/0197-2456(86)90046-2.

    Examples
    --------
    >>> from mesa_llmspread import SpreadData, SpreadModel
    >>> model = SpreadModel(n=400, decider="SI(0.05)", rng=1).run(60)
    >>> result = fit(SpreadData.from_model(model), "SI")
    >>> low, high = result.ci["beta"]
    >>> low < 0.05 < high
    True
    """
    check_data(data)
    check_name("method", method, METHODS)
    check_name("interval", interval, INTERVALS)
    check_name("bic_n", bic_n, ("auto", "decisions"))
    check_name("time", time, get_args(Time))
    as_closure(closure)
    checked_level(level)
    template = resolve_law(law, **options)
    if method == "exposures":
        return fit_log(Log(data), template, interval=interval, level=level, bic_n=bic_n)
    if interval == "profile":
        raise ArgumentError(
            "interval", interval, "be 'runs' for curves: their points are not independent"
        )
    return fit_curve(data, template, closure=closure, time=time, level=level)


def fit_log(
    log: Log,
    law: TransmissionLaw,
    *,
    interval: str = "auto",
    level: float = 0.95,
    bic_n: str = "auto",
) -> FitResult:
    """Estimate a law's parameters by maximum likelihood, from counted decisions.

    Parameters
    ----------
    log : Log
    law : TransmissionLaw
        Its options count, its values do not.
    interval, level, bic_n
        As in :func:`fit`.

    Returns
    -------
    FitResult

    Raises
    ------
    ArgumentError
        If there is no information about one of the rates, or one run where several are needed.
    """
    if law.offline and not log.seen.direct.any():
        raise ArgumentError(
            "law",
            law.name,
            "be fitted to decisions of which some saw the event itself (media_prob > 0)",
        )
    problem = likelihood(law, log)
    scale = problem.scale
    impossible = log.unseen_reposts and not law.offline
    if impossible or not len(scale):
        pooled = Estimate.unknown(scale, -np.inf if impossible else 0.0)
    else:
        pooled = maximise(problem, level)

    p_value, between = differences(law, log, pooled)
    differ = p_value < DIFFERS
    enough = differ or len(log.runs) >= _ENOUGH_RUNS
    use_runs = interval == "runs" or (interval == "auto" and enough)
    if interval == "runs" and len(log.runs) < 2:
        raise ArgumentError("interval", interval, "be 'profile' for decisions of a single run")
    shown = between_runs(law, log, pooled, level) if use_runs else pooled.interval
    found, nan = by_name(scale.names, *shown), np.isnan(pooled.values)
    unknown = [name for name, is_nan in zip(scale.names, nan, strict=True) if is_nan]
    # Without a share of classes the law is as good as one class.
    identified = len(scale) > 0 and not any(not name.startswith("share") for name in unknown)
    success = identified and not impossible
    # Decisions may inform parameters, and yet not tell them apart.
    together = len(unknown) > 1 and not impossible and problem.informed(pooled.peak)[nan].all()
    latent = len(law.mixture_components()) > 1
    n_bic = len(np.unique(log.agent)) if latent and bic_n == "auto" else log.n_obs
    criteria = Criteria.of(len(scale), pooled.loglik, n_bic)
    return FitResult(
        name=law.name,
        **found,
        covar=_rescaled(pooled.covar, shown[1]),
        interval="runs" if use_runs else "profile",
        level=level,
        loglik=criteria.loglik,
        aic=criteria.aic,
        bic=criteria.bic,
        n_obs=log.n_obs,
        n_bic=n_bic,
        n_failed=log.n_failed,
        n_runs=len(log.data.runs),
        heterogeneity=p_value,
        between=between,
        success=success,
        nfev=pooled.nfev,
        message=" ".join(_notes(law, log, found["params"], unknown, together, differ)),
        law=_fitted(law, log, scale, shown[0]) if success else None,
        likeliest=_fitted(law, log, scale, pooled.values) if success else None,
    )


def _rescaled(covar: Floats, stderr: Floats) -> Floats:
    """Return a covariance with other standard errors and the correlations that it has."""
    own = np.sqrt(np.diag(covar))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = stderr / own
    return covar * np.outer(ratio, ratio)


def _notes(
    law: TransmissionLaw,
    log: Log,
    values: Mapping[str, float],
    unknown: list[str],
    together: bool | np.bool_,
    differ: bool,
) -> list[str]:
    """Return what a reader of a fit should know, sentence by sentence."""
    if log.unseen_reposts and not law.offline:
        return [
            f"{counted(log.unseen_reposts, 'repost')} happened with no posting neighbour in view, "
            "which this law can produce only with an offline part (offline=True)."
        ]
    notes = []
    if unknown == ["share_high"]:
        notes.append("Both classes have the same rate: share_high is not identifiable.")
    elif len(unknown) > 1 and law.offline and log.seen.contacts.any():
        notes.append(
            f"{' and '.join(unknown)} are not identifiable: every decision saw the event itself "
            "and the same number of posts."
        )
    elif together:
        notes.append(f"{', '.join(unknown)} are not identifiable: they act together.")
    elif unknown:
        verb, them = ("is", "it") if len(unknown) == 1 else ("are", "them")
        notes.append(f"{', '.join(unknown)} {verb} not identifiable: no decision informs {them}.")
    if values.get("beta_low", 0.0) > values.get("beta_high", 1.0):
        notes.append("The class called high reposts less readily than the other.")
    if differ:
        notes.append("Rates differ between runs: intervals are between runs.")
    if missing := len(law.parameters) - len(values):
        them = "it" if missing == 1 else "them"
        notes.append(
            f"{counted(missing, 'profile')} saw no post; simulations give {them} the common rate."
        )
    return notes


def _fitted(law: TransmissionLaw, log: Log, scale: Scale, values: Floats) -> TransmissionLaw:
    """Return the law with its estimates, and an ordinary value for each unknown rate."""
    ordinary = law.example(**law.options).parameters
    if len(scale) < len(ordinary):
        common = float(rate_to_probability(np.exp(common_rate(log))))
        ordinary = dict.fromkeys(ordinary, common)
    known = ~np.isnan(values)
    found = zip(np.array(scale.names)[known].tolist(), values[known].tolist(), strict=True)
    return law.replace({**ordinary, **dict(found)})
