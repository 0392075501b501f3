"""Fit a law to the decisions that were made.

Every decision is used with what the agent saw when it made it, so the log identifies every
law of the family; the curve of infections alone does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import chi2, t

from mesa_llmspread.data import SpreadData
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, UnknownNameError
from mesa_llmspread.meanfield.likelihood import (
    Estimate,
    Trials,
    decisions_of,
    joint_rates,
    latent_classes,
    one_rate,
    peak_rate,
    split,
)
from mesa_llmspread.profiles import codes
from mesa_llmspread.transmission import (
    ByProfile,
    Form,
    OnlineOffline,
    Structure,
    rate_to_probability,
    resolve_form,
)

__all__ = ["FitResult", "fit"]

Floats = npt.NDArray[np.float64]

INTERVALS = ("auto", "profile", "runs")

# Below this p-value runs are taken to differ, and intervals come from the runs.
_HETEROGENEITY_LEVEL = 0.05


@dataclass(frozen=True)
class FitResult:
    """A law fitted to decisions.

    Attributes
    ----------
    structure : str
        The law's name.
    params : dict of str to float
        Estimates: probabilities per contact (or decision) and step; a share for classes.
    stderr : dict of str to float
        Standard errors from the observed information; NaN on a bound.
    ci : dict of str to (float, float)
        Intervals of coverage ``level``, by profile likelihood or, where runs differ, between
        runs.
    interval : {"profile", "runs"}
        Which of the two.
    level : float
        Coverage of the intervals.
    loglik, aic, bic : float
        Log-likelihood of the decisions (no binomial coefficients) and the criteria from it;
        ``bic`` counts exposed decisions.
    n_obs : int
        Exposed decisions: with a posting neighbour or the event itself in view.
    n_failed : int
        Decisions that failed: counted here, used nowhere.
    n_runs : int
        Number of runs.
    heterogeneity : float
        p-value of the likelihood-ratio test that all runs have the same rates; NaN where it
        was not tested.
    success : bool
        Whether the maximum was found and the law can produce the decisions.
    message : str
        What to know about the fit, in words.
    fitted : Structure or None
        The law with the estimates, for ``solve`` and ``simulate``.
    """

    structure: str
    params: dict[str, float]
    stderr: dict[str, float]
    ci: dict[str, tuple[float, float]]
    interval: str
    level: float
    loglik: float
    aic: float
    bic: float
    n_obs: int
    n_failed: int
    n_runs: int
    heterogeneity: float
    success: bool
    message: str
    fitted: Structure | None = field(repr=False)

    def describe(self) -> str:
        """Put the estimates on one line: ``beta_first 0.219 [0.196, 0.244], ...``."""
        if len(self.params) > 3:
            values = list(self.params.values())
            return f"{len(values)} rates from {min(values):.3g} to {max(values):.3g}"
        return ", ".join(
            f"{name} {value:.3g} [{self.ci[name][0]:.3g}, {self.ci[name][1]:.3g}]"
            for name, value in self.params.items()
        )

    def summary(self) -> str:
        """Put the fit in words and a table.

        Returns
        -------
        str
            Several lines.
        """
        between = "between runs" if self.interval == "runs" else "profile likelihood"
        lines = [
            f"{self.structure} fitted to {self.n_obs} decisions in {self.n_runs} run(s)"
            + (f"; {self.n_failed} failed and were left out" if self.n_failed else ""),
            f"  log-likelihood {self.loglik:.3f}   AIC {self.aic:.2f}   BIC {self.bic:.2f}",
            f"  {'parameter':<14}{'estimate':>10}{'std. error':>12}   {self.level:.0%} interval "
            f"({between})",
        ]
        for name, value in self.params.items():
            low, high = self.ci[name]
            lines.append(
                f"  {name:<14}{value:>10.4g}{self.stderr[name]:>12.2g}   [{low:.4g}, {high:.4g}]"
            )
        if np.isfinite(self.heterogeneity):
            lines.append(f"  same rates in every run: p = {self.heterogeneity:.3g}")
        if self.message:
            lines.append(f"  {self.message}")
        return "\n".join(lines)


def fit(
    data: SpreadData,
    structure: str | type[Structure] | Structure,
    method: str = "exposures",
    *,
    interval: str = "auto",
    level: float = 0.95,
    **options: Any,
) -> FitResult:
    """Estimate a law's rates by maximum likelihood, from every decision.

    Parameters
    ----------
    data : SpreadData
        One run or several.
    structure : str, type of Structure or Structure
        The law: a name of :func:`mesa_llmspread.transmission.forms`, a class, or a structure
        of which the options are taken and the values are not.
    method : {"exposures"}
        From the decisions, with what was seen when each was made.
    interval : {"auto", "profile", "runs"}, default "auto"
        Intervals by profile likelihood, right when all runs have the same rates; or between
        runs (Hartung-Knapp on log rates), right when they differ. "auto" tests which.
    level : float, default 0.95
        Coverage of the intervals.
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
    if method != "exposures":
        raise UnknownNameError("method", method, ("exposures",))
    if interval not in INTERVALS:
        raise UnknownNameError("interval", interval, INTERVALS)
    if not 0 < level < 1:
        raise ArgumentError("level", level, "lie between 0 and 1")
    form = resolve_form(structure, **options)
    decisions = decisions_of(data.exposures)
    n_failed = int((data.exposures["outcome"] == "failed").sum())
    if decisions.empty:
        raise ArgumentError("data", f"{n_failed} failed decisions", "hold decisions to fit")

    trials = split(form, decisions)
    if trials is None:
        joint = joint_rates if form.kind is OnlineOffline else latent_classes
        pooled, names, heterogeneity = joint(decisions, level), list(form.kind.words), np.nan
        runs = None
    else:
        pooled, names = _separate(trials, level), list(trials)
        runs = _by_run(form, decisions, names)
        heterogeneity = _heterogeneity(runs, pooled.loglik)
    differ = heterogeneity < _HETEROGENEITY_LEVEL
    use_runs = interval == "runs" or (interval == "auto" and differ)
    if interval == "runs" and (runs is None or len(runs) < 2):
        raise ArgumentError(
            "interval", interval, "be 'profile' for this law and these data: it takes two runs"
        )
    values, low, high = pooled.values, pooled.low, pooled.high
    if use_runs and runs is not None:
        values, low, high = _between_runs(runs, names, level)

    success = pooled.success and bool(np.isfinite(pooled.loglik))
    n_params, n_obs = len(names), len(decisions)
    return FitResult(
        structure=form.name,
        params=dict(zip(names, map(float, values), strict=True)),
        stderr=dict(zip(names, map(float, pooled.stderr), strict=True)),
        ci={n: (float(a), float(b)) for n, a, b in zip(names, low, high, strict=True)},
        interval="runs" if use_runs else "profile",
        level=level,
        loglik=pooled.loglik,
        aic=2 * n_params - 2 * pooled.loglik,
        bic=n_params * float(np.log(n_obs)) - 2 * pooled.loglik,
        n_obs=n_obs,
        n_failed=n_failed,
        n_runs=len(data.runs),
        heterogeneity=float(heterogeneity),
        success=success,
        message=_message(form, decisions, names, pooled, differ),
        fitted=_fitted(form, names, values, decisions, level) if success else None,
    )


def _separate(trials: Mapping[str, Trials], level: float) -> Estimate:
    """Estimate rates one by one."""
    parts = [one_rate(part, level) for part in trials.values()]
    return Estimate(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("values", "stderr", "low", "high")
        ),
        loglik=sum(part.loglik for part in parts),
        success=all(part.success for part in parts),
    )


def _by_run(form: Form, decisions: pd.DataFrame, names: list[str]) -> list[dict[str, Trials]]:
    """Split the log of each run by rate; a run without decisions on a rate lacks it."""
    runs = []
    for _, own in decisions.groupby("run"):
        parts = split(form, own) or {}
        runs.append({name: parts[name] for name in names if name in parts})
    return runs


def _heterogeneity(runs: list[dict[str, Trials]], pooled: float) -> float:
    """Test that all runs have the same rates: p-value of the likelihood ratio."""
    if len(runs) < 2 or not np.isfinite(pooled):
        return float("nan")
    peaks: dict[str, list[float]] = {}
    for parts in runs:
        for name, part in parts.items():
            rate, loglik = peak_rate(part)
            if not np.isnan(rate):
                peaks.setdefault(name, []).append(loglik)
    freedom = sum(len(found) - 1 for found in peaks.values())
    separate = sum(loglik for found in peaks.values() for loglik in found)
    return float(chi2.sf(2 * (separate - pooled), freedom)) if freedom > 0 else float("nan")


def _between_runs(
    runs: list[dict[str, Trials]], names: list[str], level: float
) -> tuple[Floats, Floats, Floats]:
    """Average log rates over runs: random effects with the Hartung-Knapp interval."""
    triples = []
    for name in names:
        found = [_log_rate(parts[name]) for parts in runs if name in parts]
        log_rates, variances = np.array([pair for pair in found if pair is not None]).T
        triples.append(_random_effects(log_rates, variances, level))
    return tuple(rate_to_probability(np.exp(part)) for part in np.array(triples).T)  # type: ignore[return-value]


def _log_rate(trials: Trials) -> tuple[float, float] | None:
    """Estimate one run's log rate and its variance; None without trials."""
    total = trials.reposts.sum() + trials.declines.sum()
    if total == 0:
        return None
    if trials.reposts.sum() == 0 or trials.declines.sum() == 0:
        # On a bound the log rate is infinite: half a repost more and half a decline more.
        extra = 0.5 * (trials.reposts + trials.declines) / total
        trials = Trials(trials.contacts, trials.declines + extra, trials.reposts + extra)
    rate, _ = peak_rate(trials)
    return float(np.log(rate)), 1 / trials.information(rate)


def _random_effects(y: Floats, variance: Floats, level: float) -> tuple[float, float, float]:
    """Mean of estimates that differ by more than their variances, and its interval."""
    if len(y) < 2:
        return float(y[0]), -np.inf, np.inf
    w = 1 / variance
    q = np.sum(w * (y - np.average(y, weights=w)) ** 2)
    between = max(0.0, (q - (len(y) - 1)) / (w.sum() - np.sum(w**2) / w.sum()))
    w = 1 / (variance + between)
    mean = np.average(y, weights=w)
    error = np.sqrt(np.sum(w * (y - mean) ** 2) / ((len(y) - 1) * w.sum()))
    half = t.ppf((1 + level) / 2, len(y) - 1) * error
    return float(mean), float(mean - half), float(mean + half)


def _message(
    form: Form, decisions: pd.DataFrame, names: list[str], found: Estimate, differ: bool
) -> str:
    """Say what to know about the fit."""
    notes = []
    if found.loglik == -np.inf:
        unseen = int((decisions["repost"] & (decisions["contacts"] == 0)).sum())
        notes.append(
            f"{unseen} reposts happened with no posting neighbour in view, which this law "
            "cannot produce; OnlineOffline can."
        )
    unknown = [name for name, value in zip(names, found.values, strict=True) if np.isnan(value)]
    if unknown and found.loglik > -np.inf:
        notes.append(f"No decision says anything about {', '.join(unknown)}.")
    if differ:
        notes.append("Rates differ between runs: intervals are between runs.")
    if form.kind is ByProfile and len(names) < 32:
        notes.append(
            f"{32 - len(names)} profiles made no decision; simulations give them the common rate."
        )
    return " ".join(notes)


def _fitted(
    form: Form, names: list[str], values: Floats, decisions: pd.DataFrame, level: float
) -> Structure:
    """Make the law with its estimates."""
    if form.kind is ByProfile:
        common = one_rate(Trials.count(decisions["contacts"], decisions["repost"]), level)
        known = dict(zip(names, values, strict=True))
        return ByProfile(tuple(float(known.get(code, common.values[0])) for code in codes()))
    return form(*map(float, values))
