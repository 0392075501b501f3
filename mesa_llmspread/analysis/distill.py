"""Recorded decisions distilled into a policy that costs nothing to run.

What a model decided in recorded runs is regressed on what it saw. The coefficients make a
:class:`~mesa_llmspread.TraitDecider`, which the compiled engine runs with a million agents.
How much of the model is lost on the way is measured on decisions that were held out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize
from scipy.stats import rankdata

from mesa_llmspread._validation import checked_int
from mesa_llmspread.analysis.descriptive import wilson_intervals
from mesa_llmspread.data import SpreadData, check_data
from mesa_llmspread.deciders.traits import TraitDecider
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.inference.likelihood import decisions_of, profile_indices
from mesa_llmspread.profiles import Trait, trait_levels
from mesa_llmspread.rng import RNGLike, as_generator
from mesa_llmspread.transmission import probability_to_rate, rate_to_probability

__all__ = ["DistilledDecider", "HeldOut", "fit_traits"]

Floats = npt.NDArray[np.float64]

_TRAITS = tuple(trait.value for trait in Trait)
_TYPE = "type: "

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
        Into how many parts the runs, or agents, were divided.
    log_score : float
        Mean log-probability of what was decided, in nats; 0 is perfect.
    log_score_constant : float
        The same for the share of reposts among the other decisions, whatever was seen.
    accuracy, accuracy_constant : float
        Share of decisions that were the likelier one of the two, for both.
    auc : float
        Chance that a repost was given a higher probability than a decline.
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
        Who made the decisions, from the record.
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
    Levels of traits are taken from profile codes, as -1 or +1.

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
    check_data(data)
    folds = checked_int("folds", folds, 2)
    decisions = decisions_of(data.exposures).reset_index(drop=True)
    reposts, total = int(decisions["repost"].sum()), len(decisions)
    if not 0 < reposts < total:
        raise ArgumentError(
            "data", f"{reposts} reposts in {total} decisions", "hold both reposts and declines"
        )
    terms = _terms(decisions, data)
    repost = decisions["repost"].to_numpy(dtype=float)
    part, unit = _parts(decisions, folds, as_generator(rng))
    hazard, constant = np.empty(total), np.empty(total)
    for number in range(part.max() + 1):
        held = part == number
        if not 0 < repost[~held].sum() < (~held).sum():
            raise ArgumentError(
                "folds",
                folds,
                f"leave reposts and declines outside every part: record more {unit}s, or choose "
                "other folds or another rng",
            )
        hazard[held] = _hazard(terms[held], _regress(terms[~held], repost[~held]))
        constant[held] = probability_to_rate(repost[~held].mean())
    predicted = rate_to_probability(hazard)
    held_out = HeldOut(
        decisions=total,
        unit=unit,
        folds=int(part.max()) + 1,
        log_score=_log_score(repost, hazard),
        log_score_constant=_log_score(repost, constant),
        accuracy=float(((predicted > 0.5) == (repost > 0.5)).mean()),
        accuracy_constant=float(((rate_to_probability(constant) > 0.5) == (repost > 0.5)).mean()),
        auc=_auc(repost, hazard),
        calibration=_calibration(repost, predicted),
    )
    first = data.info[data.runs[0]]
    kept = ("model", "temperature", "sampling", "template", "template_hash")
    source = {"decider": first.decider}
    source |= {name: first.decider_info[name] for name in kept if name in first.decider_info}
    coefficients = {str(name): value for name, value in _regress(terms, repost).items()}
    kinds = [name for name in coefficients if name.startswith(_TYPE)]
    return DistilledDecider(
        event_types={kind.removeprefix(_TYPE): coefficients.pop(kind) for kind in kinds},
        **coefficients,
        link="cloglog",
        held_out=held_out,
        source={**source, "runs": len(data.runs)},
    )


def _terms(decisions: pd.DataFrame, data: SpreadData) -> pd.DataFrame:
    """Return the terms of each decision, as :class:`TraitDecider` names them."""
    levels = trait_levels()[profile_indices(decisions)]
    events = pd.DataFrame({run: info.event.to_dict() for run, info in data.info.items()}).T
    event = events.loc[decisions["run"]].set_index(decisions.index)
    columns = {
        "first": decisions["exposure_count"] == 1,
        "contacts": np.log2(np.maximum(decisions["contacts"], 1)),
        "direct": decisions["direct"],
        **dict(zip(_TRAITS, levels.T, strict=True)),
        "fatalities": np.log10(1 + event["fatalities"].astype(float)),
        "civilians": event["civilian_targeting"],
        **{f"{_TYPE}{kind}": event["event_type"] == kind for kind in event["event_type"].unique()},
    }
    return pd.DataFrame(columns).astype(float)


def _regress(terms: pd.DataFrame, repost: Floats) -> pd.Series[float]:
    """Return the coefficients of the highest posterior density, the intercept first."""
    # Decisions with equal terms are counted together, which makes this quick.
    counted = terms.assign(reposts=repost, all=1.0).groupby(list(terms.columns), sort=False).sum()
    x = np.column_stack([np.ones(len(counted)), counted.index.to_frame().to_numpy(dtype=float)])
    reposts = counted["reposts"].to_numpy()
    declines = counted["all"].to_numpy() - reposts
    precision = np.r_[0.0, np.full(terms.shape[1], _PRIOR_SD**-2)]

    def loss(b: Floats) -> tuple[float, Floats]:
        hazard = np.exp(np.clip(x @ b, -50.0, 5.0))
        p = np.maximum(-np.expm1(-hazard), 1e-300)
        value = (declines * hazard).sum() - (reposts * np.log(p)).sum()
        slope = hazard * (declines - reposts * (1.0 - p) / p)
        return value + (precision * b**2).sum() / 2, x.T @ slope + precision * b

    start = np.r_[np.log(-np.log1p(-repost.mean())), np.zeros(terms.shape[1])]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 2000})
    return pd.Series(found.x, ["intercept", *terms.columns])


def _hazard(terms: pd.DataFrame, coefficients: pd.Series[float]) -> Floats:
    """Return the hazard of a repost; P(repost) keeps too few of its digits near 1."""
    total = terms.to_numpy() @ coefficients[terms.columns].to_numpy()
    return np.asarray(np.exp(coefficients["intercept"] + total))


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


def _log_score(repost: Floats, hazard: Floats) -> float:
    chance = np.maximum(rate_to_probability(hazard), np.finfo(float).tiny)
    return float(np.where(repost > 0.5, np.log(chance), -hazard).mean())


def _auc(repost: Floats, score: Floats) -> float:
    """Return the area under the ROC curve, from the ranks (Mann & Whitney 1947)."""
    reposts = repost.sum()
    ranks = rankdata(score)[repost > 0.5].sum()
    return float((ranks - reposts * (reposts + 1) / 2) / (reposts * (len(repost) - reposts)))


def _calibration(repost: Floats, p: Floats) -> pd.DataFrame:
    """Compare predicted and observed shares, in equal parts of the decisions."""
    order = np.argsort(p, kind="stable")
    bins = np.array_split(order, min(_BINS, len(order)))
    sizes = [len(members) for members in bins]
    low, high = wilson_intervals([repost[members].sum() for members in bins], sizes)
    return pd.DataFrame(
        {
            "decisions": sizes,
            "predicted": [p[members].mean() for members in bins],
            "observed": [repost[members].mean() for members in bins],
            "low": low,
            "high": high,
        }
    )
