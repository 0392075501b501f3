"""The analysis of a record: laws fitted, and curves of every closure beside the simulated one.

One :class:`EventAnalysis` per event, one :class:`Analysis` per record. Tables, figures and the
report are made from these alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from mesa_llmspread._words import counted, described
from mesa_llmspread.analysis.descriptive import prevalence
from mesa_llmspread.data import SpreadData, check_data
from mesa_llmspread.events import OfflineEvent
from mesa_llmspread.exceptions import ArgumentError, UndefinedClosureError
from mesa_llmspread.inference import Comparison, compare
from mesa_llmspread.inference.ageing import AGEING
from mesa_llmspread.inference.decisions import Log
from mesa_llmspread.inference.diagnostics import goodness_of_fit, like_decisions
from mesa_llmspread.inference.failures import failure_note
from mesa_llmspread.inference.findings import misfit
from mesa_llmspread.inference.predictive import Prediction, predict_runs
from mesa_llmspread.inference.setting import (
    by_setting,
    failed_share,
    simulated_share,
    solved_share,
)
from mesa_llmspread.inference.trait_effects import TraitEffects, trait_effects
from mesa_llmspread.meanfield.closure import as_closure
from mesa_llmspread.meanfield.on_network import clustering_note
from mesa_llmspread.simulation.rebuild import network_of, profile_shares
from mesa_llmspread.transmission import TransmissionLaw

__all__ = [
    *("CLOSURES", "CURVES", "STOCHASTIC", "Analysis", "EventAnalysis", "analyse"),
    *("closure_curves", "stochastic_curve", "without_curve"),
]

#: The closures shown beside a simulation: label, and how `solve` is asked for it.
CLOSURES: dict[str, dict[str, Any]] = {
    "mean-field ODE": {"closure": "mean_field", "time": "continuous"},
    "mean-field map": {"closure": "mean_field", "time": "discrete"},
    "pair approximation": {"closure": "pair", "time": "discrete"},
    "master equations": {"closure": "master", "time": "discrete"},
}

STOCHASTIC = "stochastic model"

#: Every curve shown beside a simulation.
CURVES = (*CLOSURES, STOCHASTIC)

# p-value of equal sides below which curves of several events are said to lie on one side.
_ONE_SIDED = 0.01
# Gaps that are smaller, in shares of the agents, are rounding.
_NO_GAP = 1e-9

# Replicates of the stochastic model behind its mean curve and band.
_REPLICATES = 400


@dataclass(frozen=True)
class EventAnalysis:
    """The analysis of the runs about one event.

    Attributes
    ----------
    event : OfflineEvent
        What the news was about.
    data : SpreadData
        Its runs.
    comparison : Comparison
        The laws fitted to them.
    simulated : DataFrame
        ``step, mean, low, high``: share of agents that have posted, over the runs.
    curves : DataFrame
        ``step`` and one column per closure, and the stochastic model's ``mean, low, high``, of
        the best law; of the one with fading, where posts or the news are found to lose their
        effect with age.
    distances : dict of str to float
        Root mean square distance of each curve from the simulated mean, in shares.
    prediction : Prediction or None
        The runs beside the bands that the same law predicts for them; None where the
        network was a graph and is not given.
    """

    event: OfflineEvent
    data: SpreadData
    comparison: Comparison
    simulated: pd.DataFrame
    curves: pd.DataFrame
    distances: dict[str, float]
    prediction: Prediction | None

    @property
    def law(self) -> str:
        """The law whose curves these are, with its fading if that was found."""
        aged = self.comparison.fading
        if aged is None or aged.law is None:
            return self.comparison.best.name
        return f"{aged.law.name}, {aged.describe()}"

    @property
    def rates(self) -> str:
        """The rates of this law, with intervals; its fading is part of its name."""
        aged = self.comparison.fading
        if aged is None:
            return self.comparison.best.describe()
        # Where runs differ, intervals of all decisions together would be too narrow.
        if aged.fit is not None and aged.fit.interval == "runs":
            return aged.fit.describe()
        found = aged.estimates.drop(AGEING[aged.kind])[["value", "low", "high"]]
        return ", ".join(described(str(name), *row) for name, *row in found.itertuples())

    @cached_property
    def fit_p_value(self) -> float:
        """The p-value of this law's goodness of fit; NaN if unknown."""
        aged = self.comparison.fading
        if aged is None or aged.law is None:
            return float(self.comparison.table["fit_p_value"].iloc[0])
        log = Log(aged.applied(self.data))
        return goodness_of_fit(dict.fromkeys(log.runs, aged.law), log, like_decisions(log)).p_value

    @property
    def misfit(self) -> bool:
        """Whether this law is known not to fit the decisions."""
        return bool(misfit(self.law, {self.law: self.fit_p_value}))

    @property
    def final_prevalence(self) -> float:
        """Share of agents that have posted at the end, averaged over the runs."""
        return float(self.simulated["mean"].iloc[-1])

    @property
    def gaps(self) -> tuple[float, float]:
        """How far the runs lie above the fitted law's own, and those above the master equations.

        Averages over the steps, in shares of agents; NaN where a curve is missing.
        """
        curves = self.curves.reindex(columns=["mean", "master equations"]).to_numpy().T
        stochastic, master = curves
        law, equations = self.simulated["mean"] - stochastic, stochastic - master
        return float(np.mean(law)), float(np.mean(equations))


@dataclass(frozen=True)
class Analysis:
    """The analysis of a whole record.

    Attributes
    ----------
    data : SpreadData
        All runs.
    overall : Comparison
        The laws fitted to all of them together.
    events : list of EventAnalysis
        One per event.
    traits : TraitEffects or None
        How traits change the hazard of a repost; None where the decisions do not identify them.
    notes : tuple of str
        What limits the analysis: clustered networks, failures that matter.
    """

    data: SpreadData
    overall: Comparison
    events: list[EventAnalysis]
    traits: TraitEffects | None
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """The verdict on all runs, and the number of events that the best law does not fit."""
        wrong = sum(part.misfit for part in self.events)
        if not wrong or len(self.events) == 1:
            return self.overall.verdict
        each = "Event by event, the best law does not fit the decisions"
        return f"{self.overall.verdict} {each} of {wrong} of {counted(len(self.events), 'event')}."

    @property
    def bias(self) -> str:
        """A sentence on why the master curves lie on one side of the runs; "" if they do not."""
        gaps = np.array([part.gaps for part in self.events])
        # Where nobody posts, there is no gap.
        gaps = gaps[np.isfinite(gaps).all(axis=1) & (np.abs(gaps.sum(axis=1)) > _NO_GAP)]
        below = int((gaps.sum(axis=1) > 0).sum())
        most = max(below, len(gaps) - below)
        if not len(gaps) or binomtest(most, len(gaps)).pvalue > _ONE_SIDED:
            return ""
        law, equations = np.abs(gaps.mean(axis=0))
        side = "below" if 2 * below > len(gaps) else "above"
        cause = (
            "The law leaves something out; the equations follow from it"
            if law > equations
            else "The equations are approximate here; the law's own runs are closer"
        )
        return (
            f"The master curve lies {side} the simulated mean in {most} of "
            f"{counted(len(gaps), 'event')}. Between the simulated mean and runs of the fitted law "
            f"lie {law:.3f} of the agents on average, between those and the equations "
            f"{equations:.3f}. {cause}."
        )

    def table(self) -> pd.DataFrame:
        """Return one row per event: chosen law, rates, final prevalence, distance of each curve.

        Returns
        -------
        DataFrame
            ``event``; ``law`` (with its fading, if that was found) and its ``rates`` (with
            intervals), whose curves are compared; ``final`` (share); a column per curve (root mean
            square distance, share; NaN where the law has no such curve); and ``in band``: share of
            the observed points within the 95 % bands that the law predicts for its runs (about
            0.95 if the law is right, and above it for an event with one run).
        """
        rows = [
            {
                "event": part.event.event_id,
                "law": part.law,
                "rates": part.rates,
                "final": part.final_prevalence,
                **part.distances,
                "in band": np.nan if part.prediction is None else part.prediction.coverage,
            }
            for part in self.events
        ]
        columns = ["event", "law", "rates", "final", *CURVES, "in band"]
        return pd.DataFrame(rows, columns=columns)


def analyse(
    data: SpreadData,
    network: Any = None,
    progress: Callable[[str], None] | None = None,
) -> Analysis:
    """Fit the laws, event by event and over all, and solve the best one under each closure.

    Parameters
    ----------
    data : SpreadData
        Runs about one event or several.
    network : Network, graph, table or array, optional
        The network, where it was given to the model as a graph; a named one is built again
        from the run's seed.
    progress : callable, optional
        Called with the id of each event before it is analysed.

    Returns
    -------
    Analysis

    Examples
    --------
    >>> from mesa_llmspread import SpreadData, SpreadModel
    >>> model = SpreadModel(n=100, k=4, decider="SI(0.2)", rng=1).run(20)

    >>> analysis = analyse(SpreadData.from_model(model))
    >>> analysis.table()["event"].tolist()
    ['battles-0']
    """
    check_data(data)
    parts = []
    for event, runs in data.by_event():
        if progress is not None:
            progress(event.event_id)
        parts.append(_analyse_event(event, runs, network))
    traits = None
    # Decisions that are all reposts, or all declines, do not identify effects of traits.
    with contextlib.suppress(ArgumentError):
        traits = trait_effects(data)
    overall = compare(data)
    first = network_of(data.info[data.runs[0]], network)
    clustered = "" if first is None else clustering_note(first)
    notes = (clustered, failure_note(data, overall, traits))
    return Analysis(data, overall, parts, traits, tuple(note for note in notes if note))


def _analyse_event(event: OfflineEvent, data: SpreadData, network: Any) -> EventAnalysis:
    comparison, simulated = compare(data), prevalence(data)
    curves, prediction = simulated[["step"]], None
    best = comparison.fading or comparison.best
    if (law := best.law) is not None:
        seen = data if comparison.fading is None else comparison.fading.applied(data)
        curves = closure_curves(law, seen)
        stochastic = stochastic_curve(law, seen, network)
        if stochastic is not None:
            curves = curves.join(stochastic.drop(columns="step"))
            prediction = predict_runs(best, data, network)
    shown = curves.rename(columns={"mean": STOCHASTIC})
    distances = {
        name: float(np.sqrt(((shown[name] - simulated["mean"]) ** 2).mean()))
        for name in CURVES
        if name in shown
    }
    return EventAnalysis(event, data, comparison, simulated, curves, distances, prediction)


def closure_curves(law: TransmissionLaw, data: SpreadData) -> pd.DataFrame:
    """Solve a law under each closure, for the networks and populations of some runs.

    Parameters
    ----------
    law : TransmissionLaw
        The law with its rates.
    data : SpreadData
        The runs; curves are averaged where their settings differ.

    Returns
    -------
    DataFrame
        ``step`` and one column per closure that the law has: share of agents that have posted.
        Where a closure is not defined, or known to be wrong (the pair approximation of
        FirstRepeat), it has none.
    """
    steps, groups = int(data.counts["step"].max()), by_setting(data)
    weights = [len(group.runs) / len(data.runs) for group in groups]
    curves = pd.DataFrame({"step": range(steps + 1)})
    for label, how in CLOSURES.items():
        if not as_closure(how["closure"]).warning(law):
            with contextlib.suppress(UndefinedClosureError):
                solved = [_solved(law, group, steps, how) for group in groups]
                curves[label] = np.average(solved, axis=0, weights=weights)
    return curves


def _solved(law: TransmissionLaw, data: SpreadData, steps: int, how: dict[str, Any]) -> Any:
    """Solve a law for runs of one setting."""
    shares = profile_shares(data, data.runs, law) if law.uses_profile else None
    return solved_share(law, data.info[data.runs[0]], steps, shares, failed_share(data), **how)


def without_curve(law: str, drawn: Iterable[str]) -> str:
    """Return a sentence that names the closures without a curve for a law.

    Parameters
    ----------
    law : str
        The law's name.
    drawn : iterable of str
        The closures with a curve.

    Returns
    -------
    str
        "" where none is missing.

    Examples
    --------
    >>> without_curve("FirstRepeat", ["mean-field ODE", "mean-field map", "master equations"])
    'Not drawn, as not defined or known to be wrong for FirstRepeat here: pair approximation.'
    """
    missing = ", ".join(label for label in CLOSURES if label not in set(drawn))
    reason = f"not defined or known to be wrong for {law} here"
    return f"Not drawn, as {reason}: {missing}." if missing else ""


def stochastic_curve(
    law: TransmissionLaw, data: SpreadData, network: Any = None
) -> pd.DataFrame | None:
    """Simulate a law many times on the networks of some runs, from their starters.

    Parameters
    ----------
    law : TransmissionLaw
        The law with its rates.
    data : SpreadData
        The runs; each has its share of the replicates.
    network : Network, graph, table or array, optional
        The network, where it was given to the model as a graph.

    Returns
    -------
    DataFrame or None
        ``step``, ``mean``, ``low``, ``high`` (95 % of the replicates): share of agents that
        have posted. None where the network was a graph and is not given.
    """
    steps, parts = int(data.counts["step"].max()), []
    number = -(-_REPLICATES // len(data.runs))
    for run, info in data.info.items():
        own = network_of(info, network)
        if own is None:
            return None
        parts.append(simulated_share(law, data, run, own, steps, info.rng, replicates=number))
    share = np.concatenate(parts)
    low, high = np.quantile(share, (0.025, 0.975), axis=0)
    return pd.DataFrame(
        {"step": range(steps + 1), "mean": share.mean(axis=0), "low": low, "high": high}
    )
