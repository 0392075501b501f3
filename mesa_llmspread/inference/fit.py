"""Fit a law to the decisions that were made.

Every decision is used with what the agent saw when it made it, so the log identifies every
law of the family; the curve of infections alone does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.linalg import block_diag

from mesa_llmspread._validation import checked_level
from mesa_llmspread.data import SpreadData
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, UnknownNameError
from mesa_llmspread.inference.between_runs import between_runs, heterogeneity
from mesa_llmspread.inference.curve_fit import fit_curve
from mesa_llmspread.inference.joint import estimate_together
from mesa_llmspread.inference.likelihood import Log, split
from mesa_llmspread.inference.maximise import Estimate
from mesa_llmspread.inference.result import FitResult
from mesa_llmspread.inference.scale import Floats
from mesa_llmspread.inference.trials import Trials, one_rate, peak_rate
from mesa_llmspread.meanfield.closure import Closure, Time
from mesa_llmspread.transmission import TransmissionLaw, rate_to_probability, resolve_law

__all__ = ["DIFFERS", "FitResult", "fit", "fit_log"]

METHODS = ("exposures", "curve")
INTERVALS = ("auto", "profile", "runs")

#: Below this p-value runs are taken to differ, and intervals come from the runs.
DIFFERS = 0.05


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
        by least squares from the number of agents that had posted at each step, which tells
        few laws apart (the result's ``warnings`` say so).
    interval : {"auto", "profile", "runs"}, default "auto"
        Intervals by profile likelihood, right when all runs have the same rates; or between
        runs (Hartung-Knapp on log rates; leaving one run out for OnlineOffline and latent
        classes), right when they differ. "auto" tests which. Curves have the t interval
        between runs only.
    level : float, default 0.95
        Coverage of the intervals.
    bic_n : {"auto", "decisions"}, default "auto"
        What the BIC counts: agents for laws with latent classes, where an agent's decisions go
        together, else decisions; or decisions for every law.
    closure, time : str
        Of a curve: the equations that are fitted to it, as in
        :func:`~mesa_llmspread.meanfield.solve`.
    **options
        The law's options: ``per="occasion"``, ``count="cumulative"``, ``high={codes}``.

    Returns
    -------
    FitResult

    Raises
    ------
    ArgumentError
        If the data hold no decision to fit, or nothing about one of the rates.

    Notes
    -----
    FAILED decisions are left out and counted. A decision with no posting neighbour in view
    informs :class:`~mesa_llmspread.transmission.OnlineOffline` only; a law that cannot
    produce a repost at such a decision has log-likelihood ``-inf``.

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
    if not isinstance(data, SpreadData):
        raise ArgumentTypeError("data", data, "a SpreadData")
    for name, value, known in (
        ("method", method, METHODS),
        ("interval", interval, INTERVALS),
        ("bic_n", bic_n, ("auto", "decisions")),
    ):
        if value not in known:
            raise UnknownNameError(name, value, known)
    checked_level(level)
    template = resolve_law(law, **options)
    if method == "exposures":
        log = Log.read(data)
        return fit_log(log, template, interval=interval, level=level, bic_n=bic_n)
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
        If there is nothing about one of the rates, or one run where several are needed.
    """
    parts = split(law, log.cells(law))
    if log.unseen_reposts and not law.offline:
        names = list(law.parameters if parts is None else parts)
        pooled = Estimate.unknown(len(names), -np.inf)
    elif parts is not None:
        pooled, names = _separate(parts, level), list(parts)
    else:
        pooled, names = estimate_together(law, log, level), list(law.parameters)

    p_value = heterogeneity(law, log, pooled)
    differ = p_value < DIFFERS
    use_runs = interval == "runs" or (interval == "auto" and differ)
    if interval == "runs" and len(log.runs) < 2:
        raise ArgumentError("interval", interval, "be 'profile' for decisions of a single run")
    shown = between_runs(law, log, pooled, level) if use_runs else pooled
    success = pooled.success and bool(np.isfinite(pooled.loglik))
    n_params = len(names)
    latent = len(law.mixture_components()) > 1
    n_bic = log.n_agents if latent and bic_n == "auto" else log.n_obs

    def by_name(values: Floats) -> dict[str, float]:
        return dict(zip(names, map(float, values), strict=True))

    return FitResult(
        name=law.name,
        params=by_name(shown.values),
        stderr=by_name(shown.stderr),
        ci={
            name: (float(low), float(high))
            for name, low, high in zip(names, shown.low, shown.high, strict=True)
        },
        covar=_rescaled(pooled.covar, shown.stderr),
        interval="runs" if use_runs else "profile",
        level=level,
        loglik=pooled.loglik,
        aic=2 * n_params - 2 * pooled.loglik,
        bic=n_params * float(np.log(n_bic)) - 2 * pooled.loglik,
        n_obs=log.n_obs,
        n_bic=n_bic,
        n_failed=log.n_failed,
        n_runs=log.n_runs,
        heterogeneity=p_value,
        success=success,
        nfev=pooled.nfev,
        message=" ".join(_notes(law, log, by_name(pooled.values), pooled, differ)),
        law=_fitted(law, log, by_name(shown.values)) if success else None,
        likeliest=_fitted(law, log, by_name(pooled.values)) if success else None,
    )


def _rescaled(covar: Floats, stderr: Floats) -> Floats:
    """Give a covariance other standard errors, with the correlations that it has."""
    own = np.sqrt(np.diag(covar))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = stderr / own
    return covar * np.outer(ratio, ratio)


def _separate(parts: Mapping[str, Trials], level: float) -> Estimate:
    """Estimate rates one by one: their estimates are independent."""
    found = [one_rate(part, level) for part in parts.values()]
    if not found:
        return Estimate.unknown(0)
    values, low, high = (
        np.concatenate([getattr(one, name) for one in found]) for name in ("values", "low", "high")
    )
    return Estimate(
        values,
        block_diag(*(one.covar for one in found)),
        low,
        high,
        loglik=sum(one.loglik for one in found),
        success=all(one.success for one in found),
        nfev=sum(one.nfev for one in found),
    )


def _notes(
    law: TransmissionLaw, log: Log, values: Mapping[str, float], found: Estimate, differ: bool
) -> list[str]:
    """Say what to know about a fit."""
    if found.loglik == -np.inf:
        return [
            f"{log.unseen_reposts} repost(s) happened with no posting neighbour in view, which "
            "this law cannot produce; OnlineOffline can."
        ]
    notes = []
    unknown = [name for name, value in values.items() if np.isnan(value)]
    if unknown == ["share_high"]:
        notes.append("Both classes have the same rate: share_high is not identifiable.")
    elif len(unknown) > 1 and law.offline and log.decisions.seen.contacts.any():
        notes.append(
            f"{' and '.join(unknown)} are not identifiable: every decision saw the event itself "
            "and the same number of posts."
        )
    elif unknown:
        verb, them = ("is", "it") if len(unknown) == 1 else ("are", "them")
        notes.append(
            f"{', '.join(unknown)} {verb} not identifiable: no decision says anything about {them}."
        )
    if values.get("beta_low", 0.0) > values.get("beta_high", 1.0):
        notes.append("The class called high reposts less readily than the other.")
    if differ:
        notes.append("Rates differ between runs: intervals are between runs.")
    if len(values) < len(law.parameters):
        notes.append(
            f"{len(law.parameters) - len(values)} profiles saw no post; simulations give them the "
            "common rate."
        )
    return notes


def _fitted(law: TransmissionLaw, log: Log, values: Mapping[str, float]) -> TransmissionLaw:
    """Build the law with its estimates; what the data say nothing of gets an ordinary value."""
    ordinary = law.example(**law.options).parameters
    if len(values) < len(ordinary):
        cells = log.cells_by()
        rate, _ = peak_rate(Trials.count(cells.seen.contacts, cells.reposts, cells.declines))
        ordinary = dict.fromkeys(ordinary, float(rate_to_probability(rate)))
    known = {name: value for name, value in values.items() if not np.isnan(value)}
    return law.replace({**ordinary, **known})
