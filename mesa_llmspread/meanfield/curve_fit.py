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
import numpy.typing as npt
from scipy.optimize import least_squares
from scipy.special import expit

from mesa_llmspread.data import SpreadData
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.laws import Form
from mesa_llmspread.meanfield.between_runs import mean_interval
from mesa_llmspread.meanfield.joint import low_class_first
from mesa_llmspread.meanfield.maximise import Floats, Scale
from mesa_llmspread.meanfield.result import FitResult
from mesa_llmspread.meanfield.solve import Closure, ClosureWarning, Time, solve
from mesa_llmspread.profiles import codes
from mesa_llmspread.transmission import (
    SI,
    ByProfile,
    FirstRepeat,
    OnlineOffline,
    SingleMultiple,
    Structure,
    TwoClass,
    rate_to_probability,
)

__all__ = ["fit_curve"]

# Rates per contact and step, and logits of shares, between which estimates are sought.
_LOWEST_RATE, _HIGHEST_RATE = 1e-5, 10.0
_WIDEST_LOGIT = 6.0

# How near to the end of that range an estimate is at its end.
_EDGE = 0.05

# Rates of SI from which the first guess is taken.
_GUESSES = (0.002, 0.01, 0.03, 0.08, 0.2, 0.6, 2.0)

# Where to start, as differences from the logarithm of SI's rate; shares as logits.
_STARTS: dict[type[Structure], tuple[tuple[float, ...], ...]] = {
    SI: ((0.0,),),
    OnlineOffline: ((-1.0, -0.2), (-3.0, 0.0), (0.5, -1.5)),
    FirstRepeat: ((0.0, 0.0), (1.2, -0.4), (-1.2, 0.3)),
    SingleMultiple: ((0.0, 1.0), (0.8, 0.3), (-1.0, 1.5)),
    TwoClass: ((-0.7, 0.7, 0.0), (-0.2, 1.5, -1.0), (-2.0, 0.3, 1.5)),
}

# Another law whose curve is nearly the same.
_RIVALS = {
    SI: "FirstRepeat",
    OnlineOffline: "FirstRepeat",
    FirstRepeat: "OnlineOffline",
    SingleMultiple: "TwoClass",
    TwoClass: "SingleMultiple",
}

# Below this many starters the time a run takes to get going differs much between runs.
_FEW_STARTERS = 10

# Condition number of the parameters' effects on the curve from which they look alike.
_ALIKE = 1e4


@dataclass(frozen=True)
class _Curve:
    """The share of agents that had posted in one run, and the setting of its equations."""

    share: Floats
    setting: dict[str, Any]
    broadcast: float

    def solution(self, structure: Structure, closure: Closure, time: Time) -> Floats:
        """Solve a law in this setting."""
        if isinstance(structure, OnlineOffline):
            # The equations let everybody see the event at every step.
            structure = OnlineOffline(structure.alpha * self.broadcast, structure.beta)
        with warnings.catch_warnings():
            # Said once, in the result.
            warnings.simplefilter("ignore", ClosureWarning)
            solved = solve(structure, closure=closure, time=time, **self.setting)
        return np.asarray(solved["infected"], dtype=float) / self.setting["n"]


def fit_curve(
    data: SpreadData,
    form: Form,
    *,
    closure: Closure = "master",
    time: Time = "discrete",
    level: float = 0.95,
) -> FitResult:
    """Fit a law's equations to each run's curve by least squares, and average over the runs.

    Parameters
    ----------
    data : SpreadData
        Runs with a manifest, which says on what networks and from how many starters.
    form : Form
        The law.
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
        If the law cannot be fitted to curves, or the manifest does not describe the runs.
    """
    if form.kind is ByProfile:
        raise ArgumentError(
            "structure", form.name, "be a law of few rates; one curve cannot hold 32 of them"
        )
    curves = _curves(data)
    if form.kind is OnlineOffline and not any(curve.broadcast for curve in curves):
        raise ArgumentError(
            "structure",
            form.name,
            "be fitted to runs in which the event itself was seen (broadcast > 0)",
        )
    found = _fit_all(curves, form, closure, time)
    theta = np.array([np.asarray(part.x) for part in found])
    names = list(_law(form, theta[0]).parameters)
    n_shares = len(names) - _n_rates(form)
    lower, upper = _bounds(len(names), n_shares)
    mean = mean_interval(theta, Scale(len(names) - n_shares, n_shares), level)
    values, stderr, low, high = mean.values, mean.stderr, mean.low, mean.high
    at_lower, at_upper = theta < lower + _EDGE, theta > upper - _EDGE
    values[at_lower.all(axis=0)], values[at_upper.all(axis=0)] = 0.0, 1.0
    at_edge = (at_lower | at_upper).sum(axis=0)
    nowhere = (at_lower | at_upper).all(axis=0)
    stderr[nowhere], low[nowhere], high[nowhere] = np.nan, 0.0, 1.0
    fitted = form(*map(float, values))
    gaps = [curve.share - curve.solution(fitted, closure, time) for curve in curves]
    notes = _notes(form, closure, curves)
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
        structure=form.name,
        params=dict(zip(names, map(float, values), strict=True)),
        stderr=dict(zip(names, map(float, stderr), strict=True)),
        ci={n: (float(a), float(b)) for n, a, b in zip(names, low, high, strict=True)},
        interval="runs",
        level=level,
        loglik=nan,
        aic=nan,
        bic=nan,
        n_obs=sum(len(curve.share) - 1 for curve in curves),
        n_failed=int((data.exposures["outcome"] == "failed").sum()),
        n_runs=len(curves),
        heterogeneity=nan,
        success=success,
        message=" ".join(notes),
        fitted=fitted,
        likeliest=None,
        method="curve",
        warnings=tuple(notes),
        rmse=float(np.sqrt(np.mean(np.concatenate(gaps) ** 2))),
    )


def _curves(data: SpreadData) -> list[_Curve]:
    """Take each run's curve, and from its manifest the setting of its equations."""
    needed = ("n", "degrees", "feed", "initial_infected", "broadcast", "profiles")
    curves = []
    for run in data.runs:
        manifest = data.manifest_of(run)
        missing = [key for key in needed if key not in manifest]
        if missing:
            raise ArgumentError(
                "data.manifest", sorted(manifest), f"say the {', '.join(missing)} of run {run}"
            )
        n = manifest["n"]
        counts = data.counts[data.counts["run"] == run].sort_values("step")
        if len(counts) < 2:
            raise ArgumentError("data", f"run {run}", "have counts of at least one step")
        degrees = {int(degree): count / n for degree, count in manifest["degrees"].items()}
        if manifest["initial_infected"] == 0 or max(degrees) == 0:
            raise ArgumentError(
                "method", "curve", f"be 'exposures' for run {run}, without starters or neighbours"
            )
        setting = {
            "n": n,
            "k": next(iter(degrees)) if len(degrees) == 1 else degrees,
            "initial_infected": manifest["initial_infected"],
            "steps": len(counts) - 1,
            "feed": manifest["feed"],
            "profile_shares": _profile_shares(manifest["profiles"]),
        }
        share = counts["infected"].to_numpy(dtype=float) / n
        curves.append(_Curve(share, setting, manifest["broadcast"]))
    return curves


def _profile_shares(counts: Mapping[str, int]) -> Floats:
    """Share of each of the 32 profiles among a run's agents."""
    number = np.array([counts.get(code, 0) for code in codes()], dtype=float)
    return np.asarray(number / number.sum())


def _fit_all(curves: list[_Curve], form: Form, closure: Closure, time: Time) -> list[Any]:
    """Fit each run's curve: the first from several starts, the others from where it ended."""
    first = curves[0]
    guesses = [SI(float(rate_to_probability(rate))) for rate in _GUESSES]
    gaps = [np.sum((first.solution(si, closure, "discrete") - first.share) ** 2) for si in guesses]
    middle = np.log(_GUESSES[int(np.argmin(gaps))])
    n_rates = _n_rates(form)
    starts = [
        np.array([middle + part if i < n_rates else part for i, part in enumerate(start)])
        for start in _STARTS[form.kind]
    ]
    # Maps are many times faster than differential equations, and nearly the same.
    tried = [_least_squares(first, form, start, closure, "discrete") for start in starts]
    best = min(tried, key=lambda result: float(result.cost))
    return [_least_squares(curve, form, np.asarray(best.x), closure, time) for curve in curves]


def _least_squares(curve: _Curve, form: Form, start: Floats, closure: Closure, time: Time) -> Any:
    """Fit one curve from one start."""
    n_shares = len(start) - _n_rates(form)
    bounds = _bounds(len(start), n_shares)

    def gap(theta: Floats) -> Floats:
        return curve.solution(_law(form, theta), closure, time) - curve.share

    start = np.clip(start, bounds[0] + 1e-3, bounds[1] - 1e-3)
    found = least_squares(
        gap,
        start,
        bounds=bounds,
        diff_step=np.array(1e-4),
        ftol=1e-7,
        xtol=1e-5,
        gtol=1e-9,
        max_nfev=60,
    )
    if form.kind is TwoClass and form.options.get("high") is None:
        found.x = low_class_first(found.x)
    return found


def _n_rates(form: Form) -> int:
    """Count the parameters that are rates; the others are shares."""
    known = form.kind is TwoClass and form.options.get("high") is not None
    names = [name for name in form.kind.words if not (known and name == "share_high")]
    return sum(not name.startswith("share") for name in names)


def _bounds(size: int, n_shares: int) -> tuple[Floats, Floats]:
    """Give the range of log rates and logits."""
    kinds = [size - n_shares, n_shares]
    return (
        np.repeat([np.log(_LOWEST_RATE), -_WIDEST_LOGIT], kinds),
        np.repeat([np.log(_HIGHEST_RATE), _WIDEST_LOGIT], kinds),
    )


def _law(form: Form, theta: npt.NDArray[np.float64]) -> Structure:
    """Make the law with these log rates and logits."""
    n_rates = _n_rates(form)
    rates = rate_to_probability(np.exp(theta[:n_rates]))
    return form(*map(float, rates), *map(float, expit(theta[n_rates:])))


def _alikeness(jacobian: Floats) -> float:
    """Condition number of the parameters' effects on the curve, whatever their sizes."""
    size = np.linalg.norm(jacobian, axis=0)
    if not size.all():
        return float("inf")
    return float(np.linalg.cond(jacobian / size) ** 2)


def _notes(form: Form, closure: Closure, curves: list[_Curve]) -> list[str]:
    """Say what a curve does not tell."""
    notes = [
        f"A curve does not identify a law: {_RIVALS[form.kind]} can give nearly the same one. "
        "Fit decisions (method='exposures') to choose a law or to read its rates."
    ]
    if closure == "mean_field":
        notes.append(
            "Rates under the mean-field closure are effective rates: they make up for its error, "
            "a third and more of the rate on sparse networks."
        )
    if closure == "pair" and form.kind is FirstRepeat:
        notes.append(
            "The pair approximation of FirstRepeat is wrong even where its probabilities are "
            "equal; use closure='master'."
        )
    fewest = min(curve.setting["initial_infected"] for curve in curves)
    if fewest < _FEW_STARTERS:
        notes.append(
            f"With {fewest} starter(s) runs take off at different times, which these rates absorb; "
            f"use {_FEW_STARTERS} or more."
        )
    return notes
