"""Fit a law's equations to the number of agents that had posted, step by step.

What is left where only counts are known. The curve smooths over what tells laws apart, and
its points are not independent: neither the choice of a law nor a standard error can be had
from one curve, so each run is fitted by itself and the runs give the interval.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import qmc

from mesa_llmspread._words import counted
from mesa_llmspread.data import SpreadData
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.inference.between_runs import mean_interval
from mesa_llmspread.inference.result import FitResult, by_name
from mesa_llmspread.inference.scale import Floats, Scale
from mesa_llmspread.meanfield.closure import Closure, Time, as_closure
from mesa_llmspread.meanfield.solve import ClosureWarning, solve
from mesa_llmspread.simulation.rebuild import profile_shares
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
    scale = Scale.of(law)
    lower = np.where(scale.is_rate, np.log(_LOWEST_RATE), np.maximum(scale.lower, -_WIDEST_LOGIT))
    upper = np.where(scale.is_rate, np.log(_HIGHEST_RATE), np.minimum(scale.upper, _WIDEST_LOGIT))

    def at(theta: Floats) -> TransmissionLaw:
        values = scale.to_values(theta).tolist()
        return law.replace(dict(zip(names, values, strict=True)))

    def search(curve: _Curve, start: Floats, time: Time) -> Any:
        def gap(theta: Floats) -> Floats:
            return curve.solution(at(theta), closure, time) - curve.share

        found = least_squares(
            gap,
            np.clip(start, lower + 1e-3, upper - 1e-3),
            bounds=(lower, upper),
            diff_step=np.array(1e-4),
            ftol=1e-7,
            xtol=1e-5,
            gtol=1e-9,
            max_nfev=60,
        )
        found.x = scale.in_order(found.x)
        return found

    def distance(law: TransmissionLaw) -> float:
        return float(np.sum((curves[0].solution(law, closure, "discrete") - curves[0].share) ** 2))

    # The first curve from several starts, the others from where it ended. Maps are many times
    # faster than differential equations, and nearly the same.
    guess = min(_GUESSES, key=lambda rate: distance(SI(float(rate_to_probability(rate)))))
    middle = np.where(scale.is_rate, np.log(guess), 0.0)
    cube = qmc.Sobol(len(scale), rng=0).random(_POINTS)
    points = sorted([middle, *(middle + _AROUND * (2 * cube - 1))], key=lambda x: distance(at(x)))
    tried = [search(curves[0], start, "discrete") for start in points[:_STARTS]]
    best = min(tried, key=lambda result: float(result.cost))
    found = [search(curve, np.asarray(best.x), time) for curve in curves]

    theta = np.array([np.asarray(part.x) for part in found])
    values, stderr, low, high = mean_interval(theta, scale, level)
    ends = theta < lower + _EDGE, theta > upper - _EDGE
    for at_end, bound in zip(ends, np.array(scale.bounds).T, strict=True):
        values = np.where(at_end.all(axis=0), bound, values)
    at_edge = ends[0] | ends[1]
    nowhere = at_edge.all(axis=0)
    stderr = np.where(nowhere, np.nan, stderr)
    low, high = np.where(nowhere, np.array(scale.bounds).T, [low, high])
    fitted = law.replace(dict(zip(names, values.tolist(), strict=True)))
    gaps = [curve.share - curve.solution(fitted, closure, time) for curve in curves]

    notes = _notes(fitted, closure, curves)
    notes += [
        f"{name} is at the end of its range in {count} of {counted(len(curves), 'run')}: these "
        "curves do not identify it."
        for name, count in zip(names, at_edge.sum(axis=0), strict=True)
        if count
    ]
    if len(names) > 1 and np.median([_alikeness(np.asarray(part.jac)) for part in found]) > _ALIKE:
        notes.append(f"These curves can hardly tell {' and '.join(names)} apart.")
    if len(curves) == 1:
        notes.append("A single curve gives no interval.")
    success = all(part.success for part in found)
    if not success:
        notes.append("The search did not settle in every run.")
    return FitResult(
        name=law.name,
        **by_name(names, values, stderr, low, high),
        covar=np.diag(stderr**2),
        interval="runs",
        level=level,
        n_obs=sum(len(curve.share) - 1 for curve in curves),
        n_failed=int((data.exposures["outcome"] == "failed").sum()),
        n_runs=len(curves),
        success=success,
        nfev=sum(int(part.nfev) for part in found),
        message=" ".join(notes),
        law=fitted,
        method="curve",
        warnings=tuple(notes),
        rmse=float(np.sqrt(np.mean(np.concatenate(gaps) ** 2))),
    )


def _curves(data: SpreadData, law: TransmissionLaw) -> list[_Curve]:
    """Return each run's curve and the setting of its equations."""
    curves = []
    for run, info in data.info.items():
        n, starters = info.known("n"), info.known("initial_infected")
        degrees = {degree: count / n for degree, count in info.known("degrees").items()}
        shares = profile_shares(data, [run], law) if law.uses_profile else None
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
            "profile_shares": shares,
        }
        share = counts["infected"].to_numpy(dtype=float) / n
        curves.append(_Curve(share, setting, info.media_prob))
    return curves


def _alikeness(jacobian: Floats) -> float:
    """Condition number of the parameters' effects on the curve, whatever their sizes."""
    size = np.linalg.norm(jacobian, axis=0)
    if not size.all():
        return float("inf")
    return float(np.linalg.cond(jacobian / size) ** 2)


def _notes(law: TransmissionLaw, closure: str | Closure, curves: list[_Curve]) -> list[str]:
    """Return what a curve does not tell, sentence by sentence."""
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
            f"With {counted(fewest, 'starter')} runs take off at different times, which these "
            f"rates absorb; use {_FEW_STARTERS} or more."
        )
    return notes
