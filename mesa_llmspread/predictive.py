"""Would the fitted law produce runs like these? Bands of I(t) from the stochastic model.

A law can have the best likelihood of all and still not make curves such as the ones it was
fitted to. Here it runs on the same networks, from as many starters, with its parameters as
uncertain as the fit left them, and the observed curves are laid over what comes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from mesa_llmspread._checks import checked_int, checked_level
from mesa_llmspread.data import SpreadData
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.laws import resolve_form
from mesa_llmspread.meanfield import FitResult
from mesa_llmspread.networks import Network
from mesa_llmspread.remade import dealt_profiles, law_as_seen, network_of
from mesa_llmspread.streams import RNGLike, as_generator
from mesa_llmspread.transmission import (
    Structure,
    probability_to_rate,
    rate_to_probability,
)

__all__ = ["Prediction", "predict_runs"]

# Runs of the stochastic model with each draw of the parameters.
_RUNS_A_DRAW = 4


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
        """Share of points within the band, run by run."""
        return self.bands.groupby("run")["inside"].mean()

    def summary(self) -> str:
        """Put the result in a sentence."""
        runs = self.by_run()
        return (
            f"{self.coverage:.0%} of the observed points lie within the {self.level:.0%} bands of "
            f"the fitted law (between {runs.min():.0%} and {runs.max():.0%} in {len(runs)} runs)."
        )


def predict_runs(
    result: FitResult,
    data: SpreadData,
    network: Network | None = None,
    *,
    draws: int = 100,
    level: float = 0.95,
    rng: RNGLike = 0,
) -> Prediction:
    """Simulate a fitted law on the networks of some runs, and lay the runs over it.

    Parameters
    ----------
    result : FitResult
        A fit with a law, such as ``compare(data).best``.
    data : SpreadData
        The runs, with their manifest.
    network : Network, optional
        The network, where it was given to the model as a graph; a named one is made again
        from each run's seed.
    draws : int, default 100
        How many values of the parameters are tried, with four simulated runs each. They vary
        as the standard errors say; those without one stay.
    level : float, default 0.95
        Share of simulated runs within a band.
    rng : int, numpy.random.Generator or None, default 0
        Randomness.

    Returns
    -------
    Prediction

    Raises
    ------
    ArgumentError
        If the fit has no law, draws < 1, the level is not between 0 and 1, a run's network
        is not known, or the runs made no step.

    Examples
    --------
    >>> from mesa_llmspread import SpreadData, SpreadModel, fit
    >>> data = SpreadData.from_model(SpreadModel(n=200, decider="SI(0.05)", rng=1).run(40))
    >>> predict_runs(fit(data, "SI"), data, draws=20).coverage > 0.5
    True
    """
    from mesa_llmspread.ensemble import simulate

    if result.fitted is None:
        raise ArgumentError("result", result.structure, f"have a law: {result.message}")
    checked_level(level)
    draws = checked_int("draws", draws, 1)
    generator = as_generator(rng)
    tails = [(1 - level) / 2, 0.5, (1 + level) / 2]
    parts = []
    for run in data.runs:
        manifest = data.manifest_of(run)
        graph = network_of(manifest, network)
        if graph is None:
            raise ArgumentError("network", network, f"be given: run {run} was not on a named one")
        counts = data.counts[data.counts["run"] == run].sort_values("step")
        steps = len(counts) - 1
        infected = np.concatenate(
            [
                simulate(
                    law,
                    graph,
                    initial_infected=manifest["initial_infected"],
                    steps=steps,
                    replicates=_RUNS_A_DRAW,
                    feed=manifest["feed"],
                    profiles=dealt_profiles(manifest, generator) if law.needs_profile else None,
                    rng=generator,
                    threads=1,
                ).infected
                for law in _drawn(
                    result.fitted, result.stderr, manifest["broadcast"], draws, generator
                )
            ]
        )
        low, median, high = np.quantile(infected, tails, axis=0)[:, 1:] / manifest["n"]
        observed = counts["infected"].to_numpy()[1:] / manifest["n"]
        parts.append(
            pd.DataFrame(
                {
                    "run": run,
                    "step": range(1, steps + 1),
                    "observed": observed,
                    "low": low,
                    "median": median,
                    "high": high,
                    "inside": (low <= observed) & (observed <= high),
                }
            )
        )
    bands = pd.concat(parts, ignore_index=True)
    if bands.empty:
        raise ArgumentError("data", f"runs {data.runs}", "have made a step")
    return Prediction(bands, level, float(bands["inside"].mean()))


def _drawn(
    fitted: Structure,
    stderr: Mapping[str, float],
    broadcast: float,
    draws: int,
    rng: np.random.Generator,
) -> list[Structure]:
    """Draw laws with parameters as uncertain as a fit left them."""
    form = resolve_form(fitted)
    names = list(fitted.parameters)
    value = np.array([fitted.parameters[name] for name in names])
    error = np.array([stderr.get(name, np.nan) for name in names])
    is_share = np.array([name.startswith("share") for name in names])
    noise = rng.standard_normal((draws, len(names)))
    # Where there is no error (on a bound, or a profile that saw nothing) the value stays.
    free = np.isfinite(error) & (value > 0) & (value < 1)
    rate = probability_to_rate(value[free])
    slope = np.where(is_share[free], value[free] * (1 - value[free]), rate * (1 - value[free]))
    centre = np.where(is_share[free], logit(value[free]), np.log(rate))
    theta = centre + noise[:, free] * error[free] / slope
    chance = np.tile(value, (draws, 1))
    rates = rate_to_probability(np.exp(np.minimum(theta, 700.0)))
    chance[:, free] = np.where(is_share[free], expit(theta), rates)
    laws = [form(*map(float, row)) for row in chance]
    return [law_as_seen(law, broadcast) for law in laws]
