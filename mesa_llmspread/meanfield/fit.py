"""Fit a law to the decisions that were made.

Every decision is used with what the agent saw when it made it, so the log identifies every
law of the family; the curve of infections alone does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mesa_llmspread._checks import checked_level
from mesa_llmspread.data import SpreadData
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, UnknownNameError
from mesa_llmspread.laws import Form, resolve_form
from mesa_llmspread.meanfield.between_runs import between_runs, heterogeneity
from mesa_llmspread.meanfield.curve_fit import fit_curve
from mesa_llmspread.meanfield.joint import joint_rates, latent_classes
from mesa_llmspread.meanfield.likelihood import Log, Trials, one_rate, peak_rate, split
from mesa_llmspread.meanfield.maximise import Estimate, Floats
from mesa_llmspread.meanfield.result import FitResult
from mesa_llmspread.meanfield.solve import Closure, Time
from mesa_llmspread.profiles import codes
from mesa_llmspread.transmission import (
    ByProfile,
    OnlineOffline,
    Structure,
    TwoClass,
    rate_to_probability,
)

__all__ = ["DIFFERS", "FitResult", "fit", "fit_log"]

METHODS = ("exposures", "curve")
INTERVALS = ("auto", "profile", "runs")

#: Below this p-value runs are taken to differ, and intervals come from the runs.
DIFFERS = 0.05


def fit(
    data: SpreadData,
    structure: str | type[Structure] | Structure,
    method: str = "exposures",
    *,
    interval: str = "auto",
    level: float = 0.95,
    closure: Closure = "master",
    time: Time = "discrete",
    **options: Any,
) -> FitResult:
    """Estimate a law's rates, from every decision or from the counts alone.

    Parameters
    ----------
    data : SpreadData
        One run or several.
    structure : str, type of Structure or Structure
        The law: a name of :func:`mesa_llmspread.laws.forms`, a class, or a structure
        of which the options are taken and the values are not.
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
    closure, time : str
        Of a curve: the equations that are fitted to it, as in
        :func:`~mesa_llmspread.meanfield.solve`.
    **options
        The law's options: ``per="step"``, ``count="cumulative"``, ``high={codes}``.

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
    for name, value, known in (("method", method, METHODS), ("interval", interval, INTERVALS)):
        if value not in known:
            raise UnknownNameError(name, value, known)
    checked_level(level)
    form = resolve_form(structure, **options)
    if method == "exposures":
        return fit_log(Log.read(data), form, interval=interval, level=level)
    if interval == "profile":
        raise ArgumentError(
            "interval", interval, "be 'runs' for curves: their points are not independent"
        )
    return fit_curve(data, form, closure=closure, time=time, level=level)


def fit_log(log: Log, form: Form, *, interval: str = "auto", level: float = 0.95) -> FitResult:
    """Estimate a law's rates by maximum likelihood, from counted decisions.

    Parameters
    ----------
    log : Log
    form : Form
        The law.
    interval : {"auto", "profile", "runs"}, default "auto"
        As in :func:`fit`.
    level : float, default 0.95
        Coverage of the intervals.

    Returns
    -------
    FitResult

    Raises
    ------
    ArgumentError
        If there is nothing about one of the rates, or one run where several are needed.
    """
    parts = split(form, log.cells)
    if parts is not None:
        pooled, names = _separate(parts, level), list(parts)
    else:
        estimate = joint_rates if form.kind is OnlineOffline else latent_classes
        pooled, names = estimate(log, level), list(form.kind.words)
    if log.unseen_reposts and form.kind is not OnlineOffline:
        pooled = Estimate.unknown(len(names), -np.inf)

    p_value = heterogeneity(form, log, pooled)
    differ = p_value < DIFFERS
    use_runs = interval == "runs" or (interval == "auto" and differ)
    if interval == "runs" and len(log.runs) < 2:
        raise ArgumentError("interval", interval, "be 'profile' for decisions of a single run")
    shown = between_runs(form, log, pooled, level) if use_runs else pooled
    success = pooled.success and bool(np.isfinite(pooled.loglik))
    n_params = len(names)

    def by_name(values: Floats) -> dict[str, float]:
        return dict(zip(names, map(float, values), strict=True))

    return FitResult(
        structure=form.name,
        params=by_name(shown.values),
        stderr=by_name(shown.stderr),
        ci={
            name: (float(low), float(high))
            for name, low, high in zip(names, shown.low, shown.high, strict=True)
        },
        interval="runs" if use_runs else "profile",
        level=level,
        loglik=pooled.loglik,
        aic=2 * n_params - 2 * pooled.loglik,
        bic=n_params * float(np.log(log.n_obs)) - 2 * pooled.loglik,
        n_obs=log.n_obs,
        n_failed=log.n_failed,
        n_runs=log.n_runs,
        heterogeneity=p_value,
        success=success,
        message=" ".join(_notes(form, log, by_name(pooled.values), pooled, differ)),
        fitted=_fitted(form, log, by_name(shown.values)) if success else None,
        likeliest=_fitted(form, log, by_name(pooled.values)) if success else None,
    )


def _separate(parts: Mapping[str, Trials], level: float) -> Estimate:
    """Estimate rates one by one."""
    found = [one_rate(part, level) for part in parts.values()]
    if not found:
        return Estimate.unknown(0)
    values, stderr, low, high = (
        np.concatenate([getattr(one, name) for one in found])
        for name in ("values", "stderr", "low", "high")
    )
    return Estimate(
        values,
        stderr,
        low,
        high,
        loglik=sum(one.loglik for one in found),
        success=all(one.success for one in found),
    )


def _notes(
    form: Form, log: Log, values: Mapping[str, float], found: Estimate, differ: bool
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
    elif unknown and form.kind is OnlineOffline and log.cells.contacts.any():
        notes.append(
            "alpha and beta are not identifiable: every decision saw the event itself and the "
            "same number of posts."
        )
    elif unknown:
        verb, them = ("is", "it") if len(unknown) == 1 else ("are", "them")
        notes.append(
            f"{', '.join(unknown)} {verb} not identifiable: no decision says anything about {them}."
        )
    if form.kind is TwoClass and values["beta_low"] > values["beta_high"]:
        notes.append("The class called high reposts less readily than the other.")
    if differ:
        notes.append("Rates differ between runs: intervals are between runs.")
    if form.kind is ByProfile and len(values) < 32:
        notes.append(
            f"{32 - len(values)} profiles saw no post; simulations give them the common rate."
        )
    return notes


def _fitted(form: Form, log: Log, values: Mapping[str, float]) -> Structure:
    """Make the law with its estimates."""
    if form.kind is ByProfile:
        cells = log.cells
        rate, _ = peak_rate(Trials.count(cells.contacts, cells.reposts, cells.declines))
        common = float(rate_to_probability(rate))
        return ByProfile(tuple(values.get(code, common) for code in codes()))
    # Any share will do where both classes have one rate.
    return form(*(0.5 if np.isnan(value) else value for value in values.values()))
