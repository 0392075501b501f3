"""Fit a law's equations to the number of agents that had posted, step by step.

For records of which only counts are known. A curve smooths over the differences between laws,
and its points are not independent: one curve supports neither the choice of a law nor a standard
error. Each run is therefore fitted alone, and the interval comes from the differences between runs.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from mesa_llmspread._words import counted
from mesa_llmspread.data import RunInfo, SpreadData
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.inference.between_runs import mean_interval
from mesa_llmspread.inference.result import FitResult, by_name
from mesa_llmspread.inference.scale import Floats, Scale
from mesa_llmspread.inference.setting import failed_share, solved_share
from mesa_llmspread.meanfield.closure import Closure, Time, as_closure
from mesa_llmspread.meanfield.on_network import clustering_note
from mesa_llmspread.meanfield.solve import ClosureWarning
from mesa_llmspread.simulation.rebuild import network_of, profile_shares
from mesa_llmspread.transmission import SI, TransmissionLaw, rate_to_probability

__all__ = ["fit_curve"]

# The settings of a run, the shares of its profiles if the law uses them, the share of its decisions
# that failed, and that of its agents that had posted at each step.
_Curve = tuple[RunInfo, Floats | None, float, Floats]

# Rates per contact and step, and logits of shares, between which estimates are sought.
_LOWEST_RATE, _HIGHEST_RATE = 1e-5, 10.0
_WIDEST_LOGIT = 6.0

# How near to the end of that range an estimate is at its end.
_EDGE = 0.05

# Rates of SI from which the first guess is taken.
_GUESSES = (0.002, 0.01, 0.03, 0.08, 0.2, 0.6, 2.0)

# Points around it that are tried, how far they lie, and how many searches start from them.
_POINTS, _AROUND, _STARTS = 16, 2.5, 3

# Largest number of parameters that one curve can identify.
_MOST_PARAMETERS = 4

# Below this many starters the time a run takes to get going differs much between runs.
_FEW_STARTERS = 10

# Condition number of the parameters' effects on the curve above which they cannot be distinguished.
_ALIKE = 1e4


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
        Runs with known networks and numbers of starters.
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
            "law", law.name, f"be a law of few rates; one curve cannot identify {len(names)}"
        )
    curves = _curves(data, law)
    if law.offline and not any(info.media_prob for info, *_ in curves):
        raise ArgumentError(
            "law", law.name, "be fitted to runs in which the event itself was seen (media_prob > 0)"
        )
    if time == "continuous" and any(failed for *_, failed, _ in curves):
        raise ArgumentError("time", time, "be 'discrete' where decisions failed")
    scale = Scale.of(law)
    lower = np.where(scale.is_rate, np.log(_LOWEST_RATE), np.maximum(scale.lower, -_WIDEST_LOGIT))
    upper = np.where(scale.is_rate, np.log(_HIGHEST_RATE), np.minimum(scale.upper, _WIDEST_LOGIT))
    found = _search(curves, law, scale, (lower, upper), closure, time)
    theta, bounds = np.array([part.x for part in found]), np.array(scale.bounds).T
    values, stderr, low, high = mean_interval(theta, scale, level)
    ends = theta < lower + _EDGE, theta > upper - _EDGE
    at_edge = np.logical_or(*ends)
    nowhere = at_edge.all(axis=0)
    values = np.select([end.all(axis=0) for end in ends], list(bounds), values)
    stderr, (low, high) = np.where(nowhere, np.nan, stderr), np.where(nowhere, bounds, [low, high])
    fitted = law.replace(dict(zip(names, values.tolist(), strict=True)))
    gaps = np.concatenate([_gap(fitted, curve, closure, time) for curve in curves])
    alike = len(names) > 1 and np.median([_alikeness(part.jac) for part in found]) > _ALIKE
    success = all(part.success for part in found)
    infos = [info for info, *_ in curves]
    network = None if infos[0].rng is None else network_of(infos[0])
    notes = [*_notes(fitted, closure, infos)]
    if network is not None and (clustered := clustering_note(network)):
        notes.append(clustered)
    notes += [
        f"{name} is at the end of its range in {count} of {counted(len(curves), 'run')}: these "
        "curves do not identify it."
        for name, count in zip(names, at_edge.sum(axis=0), strict=True)
        if count
    ]
    notes += [
        f"All runs give exactly the same {name}: these curves do not identify it."
        for name in np.array(names)[np.isnan(stderr) & ~nowhere]
        if len(curves) > 1
    ]
    more = {
        f"These curves can hardly distinguish {' and '.join(names)}.": alike,
        "A single curve gives no interval.": len(curves) == 1,
        "The search did not settle in every run.": not success,
    }
    notes += [note for note, holds in more.items() if holds]
    return FitResult(
        name=law.name,
        **by_name(names, values, stderr, low, high),
        covar=np.diag(stderr**2),
        interval="runs",
        level=level,
        n_obs=sum(len(share) - 1 for *_, share in curves),
        n_failed=int((data.exposures["outcome"] == "failed").sum()),
        n_runs=len(curves),
        success=success,
        nfev=sum(int(part.nfev) for part in found),
        message=" ".join(notes),
        law=fitted,
        method="curve",
        warnings=tuple(notes),
        rmse=float(np.sqrt(np.mean(gaps**2))),
    )


def _gap(law: TransmissionLaw, curve: _Curve, closure: str | Closure, time: Time) -> Floats:
    """Return the difference between a law's equations and a curve, at each step."""
    info, profiles, failed, share = curve
    with warnings.catch_warnings():
        # The result has the warning, once.
        warnings.simplefilter("ignore", ClosureWarning)
        steps = len(share) - 1
        equations = {"closure": closure, "time": time}
        return solved_share(law, info, steps, profiles, failed, **equations) - share


def _search(
    curves: list[_Curve],
    law: TransmissionLaw,
    scale: Scale,
    limits: tuple[Floats, Floats],
    closure: str | Closure,
    time: Time,
) -> list[Any]:
    """Return the least-squares estimate from each curve, as SciPy returns it."""
    inside = limits[0] + 1e-3, limits[1] - 1e-3

    def distance(law: TransmissionLaw) -> float:
        return float(np.sum(_gap(law, curves[0], closure, "discrete") ** 2))

    def search(start: Floats, curve: _Curve, time: Time) -> Any:
        def gap(theta: Floats) -> Floats:
            return _gap(scale.laws(law, [theta])[0], curve, closure, time)

        found = least_squares(
            gap,
            np.clip(start, *inside),
            bounds=limits,
            diff_step=np.array(1e-4),
            ftol=1e-7,
            xtol=1e-5,
            gtol=1e-9,
            max_nfev=60,
        )
        found.x = scale.in_order(found.x)
        return found

    # The first curve from several starts, the others from where it ended. Maps are many times
    # faster than differential equations, and nearly the same.
    guess = min(_GUESSES, key=lambda rate: distance(SI(float(rate_to_probability(rate)))))
    middle = np.where(scale.is_rate, np.log(guess), 0.0)
    points = np.array([middle, *scale.around(middle, _AROUND, _POINTS)])
    order = np.argsort([distance(each) for each in scale.laws(law, points)], kind="stable")
    tried = [search(start, curves[0], "discrete") for start in points[order[:_STARTS]]]
    best = min(tried, key=lambda result: float(result.cost))
    return [search(np.asarray(best.x), curve, time) for curve in curves]


def _curves(data: SpreadData, law: TransmissionLaw) -> list[_Curve]:
    """Return the settings of each run, and the shares of its agents that had posted."""
    curves = []
    for run, info in data.info.items():
        n, starters, degrees = (info.known(x) for x in ("n", "initial_infected", "degrees"))
        share = data.counts_of(run)["infected"].to_numpy(dtype=float) / n
        if len(share) < 2:
            raise ArgumentError("data", f"run {run}", "have counts of at least one step")
        if (failed := failed_share(data, run)) == 1:
            raise ArgumentError("data", f"run {run}", "have decisions that did not fail")
        if starters == 0 or max(degrees) == 0:
            raise ArgumentError(
                "method", "curve", f"be 'exposures' for run {run}, without starters or neighbours"
            )
        profiles = profile_shares(data, [run], law) if law.uses_profile else None
        curves.append((info, profiles, failed, share))
    return curves


def _alikeness(jacobian: Floats) -> float:
    """Return the condition number of the parameters' effects on the curve, whatever their size."""
    size = np.linalg.norm(jacobian, axis=0)
    return float(np.linalg.cond(jacobian / size) ** 2) if size.all() else float("inf")


def _notes(law: TransmissionLaw, closure: str | Closure, infos: list[RunInfo]) -> Iterator[str]:
    """Yield the limits of a fit to curves, sentence by sentence."""
    yield (
        "A curve does not identify a law: others can give nearly the same one. Fit decisions "
        "(method='exposures') to choose a law or to read its rates."
    )
    chosen = as_closure(closure)
    if chosen.name == "mean_field":
        yield (
            "Rates under the mean-field closure are effective rates: they make up for its error, "
            "a third and more of the rate on sparse networks."
        )
    if warning := chosen.warning(law):
        yield f"{warning[0].upper()}{warning[1:]}."
    if (fewest := min(info.known("initial_infected") for info in infos)) < _FEW_STARTERS:
        yield (
            f"With {counted(fewest, 'starter')} runs take off at different times, which these "
            f"rates absorb; use {_FEW_STARTERS} or more."
        )
