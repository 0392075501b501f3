"""Policies distilled from recorded decisions, which run without a language model.

The decisions of a model in recorded runs are regressed on what it saw. The coefficients are those
of a :class:`~mesa_llmspread.TraitDecider`, which the compiled engine runs with a million agents.
What the policy loses is measured on decisions that were held out of the fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import mannwhitneyu

from mesa_llmspread._validation import checked_int
from mesa_llmspread.analysis.descriptive import wilson_intervals
from mesa_llmspread.data import SpreadData
from mesa_llmspread.deciders.traits import TraitDecider
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.inference.decisions import decisions_of_both
from mesa_llmspread.inference.regression import coefficients_of, terms_of
from mesa_llmspread.rng import RNGLike, as_generator
from mesa_llmspread.transmission import probability_to_rate, rate_to_probability

__all__ = ["DistilledDecider", "HeldOut", "fit_traits"]

Floats = npt.NDArray[np.float64]

_TYPE = "type: "

# What a policy keeps of the settings of the model that it was distilled from.
_KEPT = ("model", "temperature", "sampling", "template", "template_hash")

# Standard deviation of the prior that every coefficient but the intercept has: so wide that
# data which know a coefficient overrule it, yet "never" and "always" stay finite numbers.
_PRIOR_SD = 3.0

_BINS = 10


@dataclass(frozen=True)
class HeldOut:
    """How well the policy predicts decisions that were held out of its fit.

    Attributes
    ----------
    decisions : int
        How many there are.
    unit : {"run", "agent"}
        What was held out as a whole: runs, or agents where there is one run.
    folds : int
        Number of parts into which the runs, or agents, were divided.
    log_score : float
        Mean log-probability of what was decided, in nats; 0 is perfect.
    log_score_constant : float
        The same for the share of reposts among the other decisions, whatever was seen.
    accuracy, accuracy_constant : float
        Share of decisions that were the likelier one of the two, for both.
    auc : float
        Probability that the policy has a higher probability for a repost than for a decline.
    calibration : DataFrame
        Up to ten equal parts of the decisions, from the least likely reposts to the most likely:
        ``decisions``, ``predicted`` (mean probability), ``observed`` (share of reposts),
        ``low, high`` (its 95 % Wilson interval).
    """

    decisions: int
    unit: str
    folds: int
    log_score: float
    log_score_constant: float
    accuracy: float
    accuracy_constant: float
    auc: float
    calibration: pd.DataFrame

    def summary(self) -> str:
        """Return all of it as text, with the table of calibration."""
        table = self.calibration
        off = ~table["predicted"].between(table["low"], table["high"])
        return (
            f"{self.decisions} decisions, held out by {self.unit} in {self.folds} parts: "
            f"log score {self.log_score:.4f} ({self.log_score_constant:.4f} with one probability "
            f"for all), accuracy {self.accuracy:.1%} ({self.accuracy_constant:.1%}), "
            f"AUC {self.auc:.3f}; predicted outside the observed interval in {off.sum()} "
            f"of {len(off)} parts.\n" + table.to_string(index=False, float_format="{:.4f}".format)
        )


@dataclass(frozen=True)
class DistilledDecider(TraitDecider):
    """A :class:`TraitDecider` whose coefficients were fitted to recorded decisions.

    Attributes
    ----------
    held_out : HeldOut
        How well it predicts.
    source : dict
        The decider of the record, and its settings.
    """

    held_out: HeldOut | None = field(default=None, repr=False, compare=False)
    source: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    name = "distilled"

    def manifest(self) -> Mapping[str, Any]:
        """Return every coefficient and the source; see :meth:`Decider.manifest`."""
        return {**super().manifest(), "distilled_from": dict(self.source)}


def fit_traits(data: SpreadData, *, folds: int = 5, rng: RNGLike = 0) -> DistilledDecider:
    """Fit a policy of traits, event and neighbours' posts to recorded decisions.

    A complementary log-log regression, ``p = 1 - exp(-exp(x b))``, with the terms of
    :class:`TraitDecider`; its coefficients make the policy.

    Parameters
    ----------
    data : SpreadData
        One run or several, of a language model or any other decider.
    folds : int, default 5
        Parts that are held out in turn to measure how well the policy predicts: whole runs,
        or in a single run all decisions of an agent. Fewer where there are fewer of them.
    rng : int, numpy.random.Generator or None
        Divides runs, or agents, into the parts.

    Returns
    -------
    DistilledDecider

    Raises
    ------
    ArgumentError
        If the record holds no decisions, or only reposts or only declines, or too few runs or
        agents to hold any out.

    Notes
    -----
    A normal prior around 0 with standard deviation 3 keeps every coefficient but the
    intercept finite where the model never or always reposted. What the terms do not distinguish
    is lost: a trait with different effects for different event types, or the words of a post.
    ``held_out`` tells whether that matters; compare the spread of both, too.

    Examples
    --------
    >>> from mesa_llmspread import SpreadModel, simulate
    >>> model = SpreadModel(n=500, decider=TraitDecider(extraversion=0.8), rng=1).run(30)
    >>> distilled = fit_traits(SpreadData.from_model(model))
    >>> bool(distilled.extraversion > 0.4)
    True
    >>> law = distilled.law(model.event)
    >>> bool(simulate(law, model.network, rng=1).infected[0, -1] > 250)
    True
    """
    folds = checked_int("folds", folds, 2)
    decisions = decisions_of_both(data)
    terms, types = terms_of(decisions, data)
    terms = terms.drop(columns="alone").assign(contacts=terms["contacts"] / np.log(2))
    terms, repost = terms.join(types.add_prefix(_TYPE)), decisions["repost"]
    part, unit = _parts(decisions, folds, as_generator(rng))
    hazard, constant = np.empty(len(repost)), np.empty(len(repost))
    for number in range(part.max() + 1):
        held = part == number
        if repost[~held].nunique() < 2:
            raise ArgumentError(
                "folds",
                folds,
                f"leave reposts and declines outside every part: record more {unit}s, or choose "
                "other folds or another rng",
            )
        coefficients = coefficients_of(terms[~held], repost[~held], _PRIOR_SD)
        linear = terms[held] @ coefficients[terms.columns]
        # The hazard of a repost: P(repost) keeps too few of its digits near 1.
        hazard[held] = np.exp(coefficients["intercept"] + linear)
        constant[held] = probability_to_rate(repost[~held].mean())
    held_out = _scores(repost.to_numpy(), hazard, constant, unit, int(part.max()) + 1)
    first = data.info[data.runs[0]]
    source = {"decider": first.decider, "runs": len(data.runs)}
    source |= {name: first.decider_info[name] for name in _KEPT if name in first.decider_info}
    coefficients = coefficients_of(terms, repost, _PRIOR_SD)
    found = {str(name): float(value) for name, value in coefficients.items()}
    event_types = {str(name): found.pop(f"{_TYPE}{name}") for name in types}
    return DistilledDecider(
        event_types=event_types, **found, link="cloglog", held_out=held_out, source=source
    )


def _parts(
    decisions: pd.DataFrame, folds: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], str]:
    """Divide runs, or a single run's agents, at random into parts of similar size."""
    unit = "run" if decisions["run"].nunique() > 1 else "agent"
    member, members = pd.factorize(decisions[unit])
    if len(members) < 2:
        raise ArgumentError("data", "one agent", "hold the decisions of two agents or more")
    dealt = rng.permutation(np.arange(len(members)) % min(folds, len(members)))
    return dealt[member], unit


def _scores(
    repost: npt.NDArray[np.bool_], hazard: Floats, constant: Floats, unit: str, folds: int
) -> HeldOut:
    """Compare decisions with the hazards that the policy, and one probability, gave them."""
    scores: dict[str, float] = {}
    for suffix, each in (("", hazard), ("_constant", constant)):
        p = np.maximum(rate_to_probability(each), np.finfo(float).tiny)
        scores[f"log_score{suffix}"] = float(np.where(repost, np.log(p), -each).mean())
        scores[f"accuracy{suffix}"] = float(((p > 0.5) == repost).mean())
    ranks = mannwhitneyu(hazard[repost], hazard[~repost])
    auc = float(ranks.statistic / (repost.sum() * (~repost).sum()))
    predicted = rate_to_probability(hazard)
    bins = np.array_split(np.argsort(predicted, kind="stable"), min(_BINS, len(repost)))
    sizes = [len(members) for members in bins]
    low, high = wilson_intervals([repost[members].sum() for members in bins], sizes)
    calibration = {
        "decisions": sizes,
        "predicted": [predicted[members].mean() for members in bins],
        "observed": [repost[members].mean() for members in bins],
        "low": low,
        "high": high,
    }
    table = pd.DataFrame(calibration)
    return HeldOut(len(repost), unit, folds, **scores, auc=auc, calibration=table)
