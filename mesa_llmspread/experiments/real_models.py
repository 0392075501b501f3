"""The paper's study for every shipped table of a real language model.

Agents decide as the model answered when it was measured. Which law describes the spread, for all
news and for each kind, for all agents and for each trait? Are two transmission rates needed, and
enough, as the abstract of arXiv 2602.23437 says? And which equations follow the spread?
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from mesa_llmspread.analysis.descriptive import prevalence
from mesa_llmspread.data import SpreadData, concat
from mesa_llmspread.deciders import Decision, Exposure, MixedDecider
from mesa_llmspread.deciders.table import TableDecider
from mesa_llmspread.events import bundled_events
from mesa_llmspread.experiments.mixed_population import reach
from mesa_llmspread.inference import Comparison, FitResult, compare, fit
from mesa_llmspread.inference.predictive import Prediction, predict_runs
from mesa_llmspread.inference.setting import solved_share
from mesa_llmspread.meanfield.closure import Time
from mesa_llmspread.model import SpreadModel
from mesa_llmspread.profiles import Trait
from mesa_llmspread.rng import spawn_seeds
from mesa_llmspread.tables import ResponseTable, load_table

__all__ = ["ESTIMATES", "LAWS", "TWO_RATES", "Study", "account_shares", "study", "two_rates"]

#: The laws that are compared; a language model decides once per occasion, whatever it sees.
LAWS = (
    "SI",
    'SI(per="occasion")',
    "FirstRepeat",
    'FirstRepeat(per="occasion")',
    "SingleMultiple",
    "TwoClass",
    'ByTraits(per="occasion")',
    'ByProfile(per="occasion")',
)
# Of these, the laws of one or two rates without classes of agents, for parts of the decisions.
_SIMPLE = LAWS[:5]
#: Two rates per occasion.
TWO_RATES = 'FirstRepeat(per="occasion")'
#: What :func:`two_rates` estimates.
ESTIMATES = ("first", "again", "difference")

# Equations that are fitted to curves: as the abstract says, and beside them those that are exact.
_EQUATIONS: dict[str, tuple[str, str, Time]] = {
    "mean-field ODE, one rate": ("SI", "mean_field", "continuous"),
    "mean-field ODE, two rates": ("FirstRepeat", "mean_field", "continuous"),
    "master equations, two rates": (TWO_RATES, "master", "discrete"),
}
# Two rates are enough if the law predicts at least this share of the curves' points, and one rate
# is not if its BIC is higher by more than this (Kass & Raftery 1995).
_ENOUGH, _DECISIVE = 0.9, 10.0


@dataclass(frozen=True)
class Study:
    """What the experiment shows for one table.

    Attributes
    ----------
    name : str
        The table's name.
    table : ResponseTable
        The table.
    data : SpreadData
        All runs.
    overall : Comparison
        The laws, fitted to all decisions.
    groups : DataFrame
        One row per type of event and per level of each trait: ``kind, group``, and what
        :func:`two_rates` finds.
    equations : DataFrame
        One row per system of equations: ``equations, rates`` (fitted to curves, with intervals
        between runs), ``direct`` (the same law's rates, fitted to the decisions of these runs),
        and ``rmse`` (distance from the mean curve, in shares of the agents).
    curves : DataFrame
        ``step, simulated`` (mean over the runs) and one column per system of equations: share of
        the agents that have posted.
    predictions : dict of str to Prediction
        The runs beside the bands that ``"one rate"`` (of those laws, the one with the lower BIC)
        and ``"two rates"`` per occasion predict for them.
    """

    name: str
    table: ResponseTable
    data: SpreadData
    overall: Comparison
    groups: pd.DataFrame
    equations: pd.DataFrame
    curves: pd.DataFrame
    predictions: dict[str, Prediction]

    def verdict(self) -> str:
        """Return whether the study agrees with the abstract, with the figures behind it."""
        one, two = _one_and_two(self.overall.results)
        excess = one.bic - two.bic
        share = {name: found.coverage for name, found in self.predictions.items()}
        said = {
            (True, True): "Agrees with the abstract: two rates are needed, and enough for the "
            "overall dynamics",
            (True, False): "Agrees in part: two rates are needed, but not enough for the dynamics",
            (False, True): "Disagrees: one rate is enough",
            (False, False): "Disagrees: neither one rate nor two are enough",
        }[excess > _DECISIVE, share["two rates"] >= _ENOUGH]
        if excess > _DECISIVE and share["one rate"] >= _ENOUGH:
            said += "; for the curves alone, one rate is enough too"
        best = self.overall.best
        if best.law is not None and best.law.uses_profile and excess > _DECISIVE:
            lower = f"{two.bic - best.bic:.0f} lower"
            said += f", but personalities explain the decisions better ({best.name}: BIC {lower})"
        gap = f"{abs(excess):.0f} {'higher' if excess > 0 else 'lower'}"
        within = ", ".join(f"{name} {part:.0%}" for name, part in share.items())
        return (
            f"{said} ({one.name}: BIC {gap}; points of the curves within the 95 % bands: {within})."
            f" Decision by decision: {self.overall.verdict}"
        )


def _one_and_two(results: Mapping[str, FitResult]) -> tuple[FitResult, FitResult]:
    """Return the better fit of one rate, and that of two rates per occasion."""
    single = [result for law, result in results.items() if law.startswith("SI")]
    return min(single, key=lambda result: result.bic), results[TWO_RATES]


def study(
    name: str | ResponseTable, runs: int = 5, steps: int = 25, n: int = 200, rng: int = 1
) -> Study:
    """Run the paper's experiment with agents that decide as a table says, and analyse it.

    Parameters
    ----------
    name : str or ResponseTable
        A shipped table's name, the folder of one, or a table.
    runs : int, default 5
        Runs per event; each has a random 8-regular network and 10 starters.
    steps : int, default 25
        Largest number of steps of a run.
    n : int, default 200
        Agents, with the 32 profiles in equal numbers.
    rng : int, default 1
        Seed of the whole study.

    Returns
    -------
    Study
    """
    table = load_table(name)
    events = [event for event in bundled_events() if event in table.events]
    seeds, decider = iter(spawn_seeds(rng, len(events) * runs)), TableDecider(table, "strict")
    records = [
        SpreadData.from_model(
            SpreadModel(n=n, decider=decider, event=event, rng=next(seeds)).run(steps)
        )
        for event in events
        for _ in range(runs)
    ]
    data = concat(records)
    overall, names = compare(data, LAWS), ("one rate", "two rates")
    return Study(
        name if isinstance(name, str) else str(table.info.get("model", "a table")),
        table,
        data,
        overall,
        pd.DataFrame(
            {"kind": kind, "group": group, **two_rates(part)} for kind, group, part in _parts(data)
        ),
        *_equations(data, concat(records[:: 3 * runs])),
        {
            name: predict_runs(law, data)
            for name, law in zip(names, _one_and_two(overall.results), strict=True)
        },
    )


def _parts(data: SpreadData) -> Iterator[tuple[str, str, SpreadData]]:
    """Divide decisions by type of event, and by the level of each trait."""
    types = {run: info.event.event_type for run, info in data.info.items()}
    for kind in dict.fromkeys(types.values()):
        yield "event", kind, data.select([run for run in data.runs if types[run] == kind])
    for place, trait in enumerate(Trait):
        letter = data.exposures["profile"].str[place]
        for level, chosen in (("low", letter.str.islower()), ("high", letter.str.isupper())):
            yield trait.value, level, replace(data, exposures=data.exposures[chosen])


def two_rates(data: SpreadData) -> dict[str, Any]:
    """Estimate the two rates per occasion, and whether two are needed.

    Parameters
    ----------
    data : SpreadData
        Runs.

    Returns
    -------
    dict
        ``law`` (lowest BIC of five laws with one or two rates); ``first``, ``again`` and their
        ``difference`` (probabilities per occasion), each with the ends of its 95 % interval, as
        ``first_low`` and ``first_high``; ``excess``, the BIC of the better law of one rate minus
        that of two rates per occasion; ``verdict``: ``"two rates"`` if the excess is above 10,
        else ``"one rate"``; ``"not estimable"`` without reposts, or if a rate is not known.

    Examples
    --------
    >>> model = SpreadModel(n=200, decider='FirstRepeat(0.4, 0.1, per="occasion")', rng=1)
    >>> two_rates(SpreadData.from_model(model.run(20)))["verdict"]
    'two rates'
    """
    fits = {law: fit(data, law) for law in _SIMPLE}
    one, two = _one_and_two(fits)
    first, again = two.params.values()
    ends = dict(zip(ESTIMATES[:2], two.ci.values(), strict=True))
    # Student's where the errors are those between runs.
    quantile = t.ppf(0.975, two.n_runs - 1) if two.interval == "runs" else norm.ppf(0.975)
    margin = float(quantile * np.sqrt(np.array([1, -1]) @ two.covar @ np.array([1, -1])))
    difference = first - again
    ends["difference"] = (difference - margin, difference + margin)
    row: dict[str, Any] = {"law": min(fits, key=lambda law: fits[law].bic)}
    for name, value in zip(ESTIMATES, (first, again, difference), strict=True):
        low, high = ends[name]
        row |= {name: value, f"{name}_low": low, f"{name}_high": high}
    excess = one.bic - two.bic
    verdict = "two rates" if excess > _DECISIVE else "one rate"
    if np.isnan(difference) or not data.exposures["outcome"].eq("repost").any():
        verdict = "not estimable"
    return row | {"excess": excess, "verdict": verdict}


def _equations(data: SpreadData, some: SpreadData) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit each system of equations to the curves of some runs; compare them with all."""
    info, rows = data.info[data.runs[0]], []
    curves = prevalence(data)[["step", "mean"]].rename(columns={"mean": "simulated"})
    for name, (law, closure, time) in _EQUATIONS.items():
        found = fit(some, law, method="curve", closure=closure, time=time)
        assert found.law is not None
        curves[name] = solved_share(
            found.law, info, len(curves) - 1, None, closure=closure, time=time
        )
        rmse = float(np.sqrt(((curves[name] - curves["simulated"]) ** 2).mean()))
        direct = fit(some, law).describe()
        rows.append(
            {"equations": name, "rates": found.describe()} | {"direct": direct} | {"rmse": rmse}
        )
    return pd.DataFrame(rows), curves


class _Account(TableDecider):
    """An automated account: decides as a table says, and tells that it is one."""

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        """Return the table's decisions, marked; see :meth:`Decider.decide`."""
        return [made._replace(reason="automated") for made in super().decide(exposures, rng)]


def account_shares(
    name: str | ResponseTable,
    people: str = "FirstRepeat(0.08, 0.02)",
    shares: Sequence[float] = (0.0, 0.1, 0.2, 0.3, 0.4),
    runs: int = 20,
    n: int = 500,
    rng: int = 1,
) -> pd.DataFrame:
    """Measure how automated accounts of a language model change the spread among people.

    Parameters
    ----------
    name : str or ResponseTable
        The table by which automated accounts decide.
    people : str
        The law of the others.
    shares : sequence of float
        Shares of automated accounts.
    runs : int, default 20
        Runs per share.
    n : int, default 500
        Agents; one in a hundred has posted at the start.
    rng : int, default 1
        Seed of the first run; the same networks and starters for every share.

    Returns
    -------
    DataFrame
        One row per share and run: ``share, run``, ``half`` (first step by which half of the people
        have posted; NaN if never), ``reach_10`` and ``reach_40`` (share of the people that have
        posted by step 10 and 40).
    """
    rows = []
    for share in shares:
        decider = MixedDecider([(1 - share, people), (share, _Account(name))])
        for run in range(runs):
            settings = {"n": n, "initial_infected": n // 100, "event": "protests-0"}
            model = SpreadModel(decider=decider, **settings, rng=rng + run).run(40)  # type: ignore[arg-type]
            curve = reach(SpreadData.from_model(model), 40).iloc[0].to_numpy()
            half = float(np.argmax(curve >= 0.5)) if curve[-1] >= 0.5 else np.nan
            rows.append((share, run, half, curve[10], curve[40]))
    return pd.DataFrame(rows, columns=["share", "run", "half", "reach_10", "reach_40"])
