"""Fit a law's equations to the number of agents that had posted, step by step.

What is left where only counts are known. The curve smooths over what tells laws apart, and
its points are not independent: neither the choice of a law nor a standard error can be had
from one curve, so each run is fitted by itself and the runs give the interval.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import qmc

from mesa_llmspread.data import SpreadData
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.inference.between_runs import mean_interval
from mesa_llmspread.inference.joint import low_class_first
from mesa_llmspread.inference.result import FitResult
from mesa_llmspread.inference.scale import Floats, Scale
from mesa_llmspread.meanfield.closure import Closure, Time, as_closure
from mesa_llmspread.meanfield.solve import ClosureWarning, solve
from mesa_llmspread.profiles import by_code
from mesa_llmspread.transmission import SI, TransmissionLaw, rate_to_probability

__all__ = ["fit_curve"]

# Rates per contact and step, and logits of shares, between which estimates are sought.
_LOWEST_RATE, _HIGHEST_RATE = 1e-5, 10.0
_WIDEST_LOGIT = 6.0

# How near to the end of that range an estimate is at its end.
_EDGE = 0.05

# Rates of SI from which the first guess is taken.
_GUESSES = (0.002, 0.01, 0.03, 0.08, 0.2, 0.6, 2.0)

# Points around it that are tried, how far they lie, and how many searches start from them.
_POINTS, _AROUND, _STARTS = 16, 2.5, 3

# Parameters that one curve may hold at most.
_MOST_PARAMETERS = 4

# Below this many starters the time a run takes to get going differs much between runs.
_FEW_STARTERS = 10

# Condition number of the parameters' effects on the curve from which they look alike.
_ALIKE = 1e4


@dataclass(frozen=True)
class _Curve:
    """The share of agents that had posted in one run, and the setting of its equations."""

    share: Floats
    setting: dict[str, Any]
    media_prob: float

    def solution(self, law: TransmissionLaw, closure: str | Closure, time: Time) -> Floats:
        """Solve a law in this setting."""
        law = law.seen_by(self.media_prob)
        with warnings.catch_warnings():
            # Said once, in the result.
            warnings.simplefilter("ignore", ClosureWarning)
            solved = solve(law, closure=closure, time=time, **self.setting)
        return np.asarray(solved["infected"], dtype=float) / self.setting["n"]


def fit_curve(
    data: SpreadData,
    law: TransmissionLaw,
    *,
    closure: str | Closure = "master",
    time: Time = "discrete",
    level: float = 0.95,
) -> FitResult:
    """Fit a law's equations to each run's curve by least squares, and average over the runs.

    Parameters
    ----------
    data : SpreadData
        Runs of which it is known on what networks and from how many starters.
    law : TransmissionLaw
        Its options count, its values do not.
    closure, time : str
        The equations, as in :func:`~mesa_llmspread.meanfield.solve`.
    level : float, default 0.95
        Coverage of the t intervals between runs, on log rates.

    Returns
    -------
    FitResult
        Without likelihood and criteria (NaN). A single run has no interval: 0 to 1.

    Raises
    ------
    ArgumentError
        If the law cannot be fitted to curves, or a run's network, size or starters are unknown.
    """
    names = list(law.parameters)
    if len(names) > _MOST_PARAMETERS:
        raise ArgumentError(
            "law", law.name, f"be a law of few rates; one curve cannot hold {len(names)} of them"
        )
    curves = _curves(data, law)
    if law.offline and not any(curve.media_prob for curve in curves):
        raise ArgumentError(
            "law",
            law.name,
            "be fitted to runs in which the event itself was seen (media_prob > 0)",
        )
    search = _Search(law, Scale.of(law))
    found = search.all(curves, closure, time)
    theta = np.array([np.asarray(part.x) for part in found])
    mean = mean_interval(theta, search.scale, level)
    values, stderr, low, high = mean.values, mean.stderr, mean.low, mean.high
    at_lower, at_upper = theta < search.lower + _EDGE, theta > search.upper - _EDGE
    ends = np.array(search.scale.bounds)
    values[at_lower.all(axis=0)] = ends[at_lower.all(axis=0), 0]
    values[at_upper.all(axis=0)] = ends[at_upper.all(axis=0), 1]
    at_edge = (at_lower | at_upper).sum(axis=0)
    nowhere = (at_lower | at_upper).all(axis=0)
    stderr[nowhere], low[nowhere], high[nowhere] = np.nan, *ends[nowhere].T
    fitted = law.replace(dict(zip(names, values.tolist(), strict=True)))
    gaps = [curve.share - curve.solution(fitted, closure, time) for curve in curves]
    notes = _notes(fitted, closure, curves)
    notes += [
        f"{name} is at the end of its range in {count} of {len(curves)} runs: these curves do "
        "not identify it."
        for name, count in zip(names, at_edge, strict=True)
        if count
    ]
    if len(names) > 1 and np.median([_alikeness(np.asarray(part.jac)) for part in found]) > _ALIKE:
        notes.append(f"These curves can hardly tell {' and '.join(names)} apart.")
    if len(curves) == 1:
        notes.append("A single curve gives no interval.")
    success = all(part.success for part in found)
    if not success:
        notes.append("The search did not settle in every run.")
    nan = float("nan")
    return FitResult(
        name=law.name,
        params=dict(zip(names, map(float, values), strict=True)),
        stderr=dict(zip(names, map(float, stderr), strict=True)),
        ci={n: (float(a), float(b)) for n, a, b in zip(names, low, high, strict=True)},
        covar=np.diag(stderr**2),
        interval="runs",
        level=level,
        loglik=nan,
        aic=nan,
        bic=nan,
        n_obs=sum(len(curve.share) - 1 for curve in curves),
        n_bic=0,
        n_failed=int((data.exposures["outcome"] == "failed").sum()),
        n_runs=len(curves),
        heterogeneity=nan,
        success=success,
        nfev=sum(int(part.nfev) for part in found),
        message=" ".join(notes),
        law=fitted,
        likeliest=None,
        method="curve",
        warnings=tuple(notes),
        rmse=float(np.sqrt(np.mean(np.concatenate(gaps) ** 2))),
    )


def _curves(data: SpreadData, law: TransmissionLaw) -> list[_Curve]:
    """Take each run's curve, and from what is known of it the setting of its equations."""
    curves = []
    for run, info in data.info.items():
        n, starters = info.known("n"), info.known("initial_infected")
        degrees = {degree: count / n for degree, count in info.known("degrees").items()}
        profiles = info.known("profiles") if law.uses_profile else None
        counts = data.counts_of(run)
        if len(counts) < 2:
            raise ArgumentError("data", f"run {run}", "have counts of at least one step")
        if starters == 0 or max(degrees) == 0:
            raise ArgumentError(
                "method", "curve", f"be 'exposures' for run {run}, without starters or neighbours"
            )
        setting = {
            "n": n,
            "k": next(iter(degrees)) if len(degrees) == 1 else degrees,
            "initial_infected": starters,
            "steps": len(counts) - 1,
            "feed": info.feed,
            "profile_shares": profiles and _profile_shares(profiles),
        }
        share = counts["infected"].to_numpy(dtype=float) / n
        curves.append(_Curve(share, setting, info.media_prob))
    return curves


def _profile_shares(counts: Mapping[str, int]) -> Floats:
    """Share of each of the 32 profiles among a run's agents."""
    return by_code(counts) / sum(counts.values())


@dataclass(frozen=True)
class _Search:
    """Least squares on the scale of a law's parameters."""

    law: TransmissionLaw
    scale: Scale

    @property
    def lower(self) -> Floats:
        """The smallest values that are sought, on the scale."""
        rate = np.array(self.scale.is_rate)
        return np.where(rate, np.log(_LOWEST_RATE), np.maximum(self.scale.lower, -_WIDEST_LOGIT))

    @property
    def upper(self) -> Floats:
        """The largest values that are sought, on the scale."""
        rate = np.array(self.scale.is_rate)
        return np.where(rate, np.log(_HIGHEST_RATE), np.minimum(self.scale.upper, _WIDEST_LOGIT))

    def at(self, theta: Floats) -> TransmissionLaw:
        """Return the law at a point of the scale."""
        values = self.scale.to_values(theta).tolist()
        return self.law.replace(dict(zip(self.law.parameters, values, strict=True)))

    def all(self, curves: list[_Curve], closure: str | Closure, time: Time) -> list[Any]:
        """Fit each run's curve: the first from several starts, the others from where it ended."""
        first = curves[0]

        def distance(law: TransmissionLaw) -> float:
            return float(np.sum((first.solution(law, closure, "discrete") - first.share) ** 2))

        gaps = [distance(SI(float(rate_to_probability(rate)))) for rate in _GUESSES]
        middle = np.zeros(len(self.scale))
        middle[list(self.scale.is_rate)] = np.log(_GUESSES[int(np.argmin(gaps))])
        cube = qmc.Sobol(len(self.scale), rng=0).random(_POINTS)
        points = [middle, *(middle + _AROUND * (2 * cube - 1))]
        starts = sorted(points, key=lambda point: distance(self.at(point)))[:_STARTS]
        # Maps are many times faster than differential equations, and nearly the same.
        tried = [self.one(first, start, closure, "discrete") for start in starts]
        best = min(tried, key=lambda result: float(result.cost))
        return [self.one(curve, np.asarray(best.x), closure, time) for curve in curves]

    def one(self, curve: _Curve, start: Floats, closure: str | Closure, time: Time) -> Any:
        """Fit one curve from one start."""

        def gap(theta: Floats) -> Floats:
            return curve.solution(self.at(theta), closure, time) - curve.share

        found = least_squares(
            gap,
            np.clip(start, self.lower + 1e-3, self.upper - 1e-3),
            bounds=(self.lower, self.upper),
            diff_step=np.array(1e-4),
            ftol=1e-7,
            xtol=1e-5,
            gtol=1e-9,
            max_nfev=60,
        )
        if list(self.law.parameters) == ["beta_low", "beta_high", "share_high"]:
            found.x = low_class_first(found.x)
        return found


def _alikeness(jacobian: Floats) -> float:
    """Condition number of the parameters' effects on the curve, whatever their sizes."""
    size = np.linalg.norm(jacobian, axis=0)
    if not size.all():
        return float("inf")
    return float(np.linalg.cond(jacobian / size) ** 2)


def _notes(law: TransmissionLaw, closure: str | Closure, curves: list[_Curve]) -> list[str]:
    """Say what a curve does not tell."""
    notes = [
        "A curve does not identify a law: others can give nearly the same one. Fit decisions "
        "(method='exposures') to choose a law or to read its rates."
    ]
    chosen = as_closure(closure)
    if chosen.name == "mean_field":
        notes.append(
            "Rates under the mean-field closure are effective rates: they make up for its error, "
            "a third and more of the rate on sparse networks."
        )
    if warning := chosen.warning(law):
        notes.append(f"{warning[0].upper()}{warning[1:]}.")
    fewest = min(curve.setting["initial_infected"] for curve in curves)
    if fewest < _FEW_STARTERS:
        notes.append(
            f"With {fewest} starter(s) runs take off at different times, which these rates absorb; "
            f"use {_FEW_STARTERS} or more."
        )
    return notes
