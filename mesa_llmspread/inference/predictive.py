"""Predictive checks: bands of simulated curves around the observed ones.

A law can have the best likelihood of all and still not produce curves like those that it was
fitted to. Here it is simulated on the same networks, from the same starters, with its parameters
as different between runs as in the fit, and the observed curves are compared with the simulated
ones.

How far the parameters of a run are from their estimate depends on whether the run was part of it.
Let ``B`` be the covariance of the parameters between runs, and ``V`` that of the error of the
estimate from ``R`` runs, which is ``(B + W) / R`` with ``W`` the error of the estimate of one run.
The parameters of a new run are independent of that error: their distance has the covariance
``B + V``. The estimate of a run that is part of the mean is at a distance of covariance
``(1 - 1/R) (B + W) = B + W - V``. The chance of a run, simulated anew, contains ``W``, which leaves
``B - V``, and 0 where that is negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from mesa_llmspread._validation import checked_int, checked_level
from mesa_llmspread._words import counted
from mesa_llmspread.data import SpreadData, check_data
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError
from mesa_llmspread.inference.ageing import Ageing
from mesa_llmspread.inference.result import FitResult
from mesa_llmspread.inference.scale import Scale
from mesa_llmspread.inference.setting import simulated_share
from mesa_llmspread.rng import RNGLike, as_generator
from mesa_llmspread.simulation.rebuild import network_of
from mesa_llmspread.transmission import TransmissionLaw

__all__ = ["Prediction", "predict_runs"]

# Runs of the stochastic model with each draw of the parameters.
_RUNS_PER_DRAW = 4


@dataclass(frozen=True)
class Prediction:
    """Observed curves beside the bands that a fitted law predicts for them.

    Attributes
    ----------
    bands : DataFrame
        ``run, step, observed, low, median, high`` (shares of agents that have posted) and
        ``inside`` (whether the observed share lies within the band), from step 1.
    level : float
        Share of simulated runs within a band, step by step.
    coverage : float
        Share of the observed points within their bands: about ``level`` if the law is right.
        Points of a run go together, so a few runs stray far from it by chance.
    """

    bands: pd.DataFrame
    level: float
    coverage: float

    def by_run(self) -> pd.Series[float]:
        """Return the share of points within the band, run by run."""
        return self.bands.groupby("run")["inside"].mean()

    def summary(self) -> str:
        """Return the result in a sentence."""
        runs = self.by_run()
        return (
            f"{self.coverage:.0%} of the observed points lie within the {self.level:.0%} bands of "
            f"the fitted law (between {runs.min():.0%} and {runs.max():.0%} in "
            f"{counted(len(runs), 'run')})."
        )


def predict_runs(
    result: FitResult | Ageing,
    data: SpreadData,
    network: Any = None,
    *,
    draws: int = 100,
    level: float = 0.95,
    new: bool = False,
    rng: RNGLike = 0,
) -> Prediction:
    """Simulate a fitted law on the networks of some runs, and compare the runs with it.

    Parameters
    ----------
    result : FitResult or Ageing
        A fit with a law, such as ``compare(data).best``. Posts fade as the record says; as
        estimated where the fit is one of :func:`~mesa_llmspread.fit_ageing`.
    data : SpreadData
        The runs.
    network : Network, graph, table or array, optional
        The network, where it was given to the model as a graph; a named one is built again
        from each run's seed.
    draws : int, default 100
        How many values of the parameters are tried, with four simulated runs each. They vary
        together, by their covariance between runs and that of their error; those without one stay.
    level : float, default 0.95
        Share of simulated runs within a band.
    new : bool, default False
        Whether the fit has not used these runs. Bands of new runs are wider: they contain the error
        of the estimate, and allow for few runs by Student's t.
    rng : int, numpy.random.Generator or None, default 0
        Randomness.

    Returns
    -------
    Prediction

    Raises
    ------
    ArgumentError
        If the fit has no law, draws < 1, the level is not between 0 and 1, a run's network
        is unknown, or the runs made no step.
    ArgumentTypeError
        If the result is not a fit, or the data are not a SpreadData.

    Examples
    --------
    >>> from mesa_llmspread import SpreadData, SpreadModel, fit
    >>> data = SpreadData.from_model(SpreadModel(n=200, decider="SI(0.05)", rng=1).run(40))
    >>> predict_runs(fit(data, "SI"), data, draws=20).coverage > 0.5
    True
    """
    check_data(data)
    if isinstance(result, Ageing) and result.fit is not None:
        data, result = result.applied(data), result.fit
    if not isinstance(result, FitResult):
        raise ArgumentTypeError("result", result, "a FitResult, or an Ageing with a law")
    if result.law is None:
        raise ArgumentError("result", result.name, f"have a law: {result.message}")
    checked_level(level)
    draws = checked_int("draws", draws, 1)
    generator = as_generator(rng)
    tails = [(1 - level) / 2, 0.5, (1 + level) / 2]
    parts = []
    for run in data.runs:
        info = data.info[run]
        graph = network_of(info, network)
        if graph is None:
            raise ArgumentError("network", network, f"be given: run {run} was not on a named one")
        observed = data.counts_of(run)["infected"].to_numpy()[1:] / info.known("n")
        steps = len(observed)
        share = np.concatenate(
            [
                simulated_share(
                    law, data, run, graph, steps, generator, replicates=_RUNS_PER_DRAW, threads=1
                )
                for law in _drawn(result, draws, new, generator)
            ]
        )
        low, median, high = np.quantile(share, tails, axis=0)[:, 1:]
        bands = {"observed": observed, "low": low, "median": median, "high": high}
        inside = (low <= observed) & (observed <= high)
        parts.append(
            pd.DataFrame({"run": run, "step": range(1, steps + 1), **bands, "inside": inside})
        )
    table = pd.concat(parts, ignore_index=True)
    if table.empty:
        raise ArgumentError("data", f"runs {data.runs}", "have made a step")
    return Prediction(table, level, float(table["inside"].mean()))


def _drawn(
    result: FitResult, draws: int, new: bool, rng: np.random.Generator
) -> list[TransmissionLaw]:
    """Draw laws of runs: as correlated and as different from the estimate as those of a fit."""
    law = cast(TransmissionLaw, result.law)
    scale = Scale.of(law, list(result.params))
    centre = scale.from_values([law.parameters[name] for name in scale.names])
    # Where there is no error (on a bound, or a profile that saw nothing) the value stays.
    free = np.isfinite(np.diag(result.covar)) & (centre > scale.lower) & (centre < scale.upper)
    slope, kept = scale.slope(centre)[free], np.ix_(free, free)
    error = result.covar[kept] / np.outer(slope, slope)
    between = np.zeros_like(error) if result.between is None else result.between[kept]
    variances, axes = np.linalg.eigh(between + error if new else between - error)
    distance = rng.normal(size=(draws, len(variances))) * np.sqrt(variances.clip(min=0.0))
    if new and result.interval == "runs":
        freedom = result.n_runs - 1
        distance *= np.sqrt(freedom / rng.chisquare(freedom, size=(draws, 1)))
    theta = np.tile(centre, (draws, 1))
    theta[:, free] += distance @ axes.T
    return scale.laws(law, theta)
