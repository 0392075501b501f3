"""Which law describes the decisions best, in a table and in words."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from mesa_llmspread._validation import checked_level
from mesa_llmspread.data import SpreadData
from mesa_llmspread.data.schema import UNKNOWN
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.inference import diagnostics
from mesa_llmspread.inference.ageing import FADING, Ageing, about_ageing, rival_ageing
from mesa_llmspread.inference.between_runs import DIFFERS, run_factors
from mesa_llmspread.inference.decisions import Log, decisions_of
from mesa_llmspread.inference.diagnostics import Laws
from mesa_llmspread.inference.findings import Contest, Finding, Rival, doubts, findings, misfit
from mesa_llmspread.inference.fit import fit_log
from mesa_llmspread.inference.result import Criteria, FitResult
from mesa_llmspread.profiles import Trait
from mesa_llmspread.transmission import TransmissionLaw, resolve_law

__all__ = ["Comparison", "candidates", "compare"]


class _Entry(NamedTuple):
    """A law in a comparison: its options, its fit, what it is compared by, the law of each run."""

    law: TransmissionLaw
    fit: FitResult
    criteria: Criteria
    laws: Laws

    @property
    def rank(self) -> tuple[bool, float, int]:
        """Order by BIC; the simpler law first where it is the same but for rounding."""
        return not self.fit.success, round(self.criteria.bic, 6), self.criteria.n_params


@dataclass(frozen=True)
class Comparison:
    """Several laws fitted to the same decisions.

    Attributes
    ----------
    table : DataFrame
        One row per law, best first: ``law, parameters`` (with intervals), ``n_params,
        loglik, aic, bic, delta_bic`` (to the best), ``weight`` (of evidence, from BIC),
        ``delta_aic`` (to the lowest), ``akaike_weight``, ``deviance, freedom, fit_p_value``
        (goodness of fit in cells of like decisions), ``held_out`` (log probability of each
        run predicted from the others, summed). With ``by_run``, the numbers are those of laws
        whose rates are multiplied by a factor of each run's own.
    results : dict of str to FitResult
        The fits, by name.
    best : FitResult
        The one with the lowest BIC.
    findings : DataFrame
        One row per possible finding: ``finding, claimed`` (bool), ``evidence``.
    verdict : str
        What was found, and against which other laws, in two sentences made from the findings.
    tests : DataFrame
        Likelihood-ratio tests of laws against their special cases: ``simple, rich,
        statistic, freedom, boundary, p_value``.
    rivals : DataFrame
        Explanations that are always tried, where they are not among the laws compared: rates that
        differ between agents, by traits or hidden. ``name, n_params, n_bic, loglik, bic,
        delta_bic``.
    residuals : DataFrame
        Reposts beside what the best law expects, by contacts, occasion and step; as
        :func:`~mesa_llmspread.inference.diagnostics.residuals` returns them.
    by_run : bool
        Whether every run has a factor of its own, as the lowest BIC demands where runs differ.
    warnings : tuple of str
        What may have misled the comparison, sentence by sentence.
    ageing : Ageing or None
        The best law with posts, or news, that lose their effect with age; None where posts are
        known to age, or it is not recorded when they came.

    Examples
    --------
    >>> from mesa_llmspread import SpreadData, SpreadModel
    >>> model = SpreadModel(n=100, k=4, decider="SI(0.2)", rng=1).run(20)

    >>> comparison = compare(SpreadData.from_model(model), ["SI", "FirstRepeat"])
    >>> comparison.best.name
    'SI'
    >>> sorted(comparison.results)
    ['FirstRepeat', 'SI']
    """

    table: pd.DataFrame
    results: dict[str, FitResult]
    best: FitResult
    findings: pd.DataFrame
    verdict: str
    tests: pd.DataFrame
    rivals: pd.DataFrame
    residuals: pd.DataFrame
    by_run: bool
    warnings: tuple[str, ...]
    ageing: Ageing | None = None

    def __repr__(self) -> str:
        return f"Comparison({len(self.results)} laws, best: {self.best.name}; {self.verdict})"

    def _repr_html_(self) -> str:
        shown = ["law", "parameters", "delta_bic", "weight", "fit_p_value"]
        table = self.table[shown].to_html(index=False, float_format="{:.3g}".format)
        notes = "".join(f"<p>{html.escape(text)}</p>" for text in (self.verdict, *self.warnings))
        return table + notes

    @property
    def fading(self) -> Ageing | None:
        """The law and the visibility, where posts or the news are found to lose their effect."""
        claimed = self.findings.loc[self.findings["claimed"], "finding"]
        return self.ageing if FADING in set(claimed) else None

    @property
    def misfit(self) -> str:
        """A clause that the best law does not fit the decisions; "" if it does."""
        return misfit(self.best.name, _fit_p_values(self.table))


def candidates(data: SpreadData) -> list[str]:
    """Return the names of the laws that the decisions can distinguish.

    Agents that differ, by class, by a rate of their own, by profile or traits, are always among
    them: without them, differences between agents pass for social reinforcement. Where agents
    reposted with no post in view, every law has an offline part.

    Parameters
    ----------
    data : SpreadData

    Returns
    -------
    list of str
    """
    decisions = decisions_of(data.exposures)
    names = ["FirstRepeat", 'FirstRepeat(per="occasion")', "SingleMultiple", "TwoClass", "Frailty"]
    if (decisions["cumulative"] != decisions["contacts"]).any():
        names.append('SingleMultiple(count="cumulative")')
    if decisions["profile"].nunique() > 1 and UNKNOWN not in set(decisions["profile"]):
        names.append("ByProfile")
    if _traits_vary(data):
        names.append("ByTraits")
    if (decisions["repost"] & (decisions["contacts"] == 0)).any():
        # Without an offline part all these reposts would be impossible.
        return ["OnlineOffline", *(resolve_law(name, offline=True).name for name in names)]
    return ["SI", *names, *(["OnlineOffline"] if decisions["direct"].any() else [])]


def _traits_vary(data: SpreadData) -> bool:
    """Return whether the agents' trait levels are known and differ."""
    levels = data.agents[[trait.value for trait in Trait]]
    return bool(levels.notna().all(axis=None) and (levels.nunique() > 1).any())


def compare(
    data: SpreadData,
    laws: Sequence[str | type[TransmissionLaw] | TransmissionLaw] | None = None,
    *,
    level: float = 0.95,
) -> Comparison:
    """Fit several laws and rank them by BIC.

    Parameters
    ----------
    data : SpreadData
        One run or several.
    laws : sequence, optional
        The laws, as :func:`fit` takes them, with options in parentheses where they are not
        defaults: ``["SI", 'SI(per="occasion")', "ByTraits"]``. By default those of
        :func:`candidates`.
    level : float, default 0.95
        Coverage of the intervals.

    Returns
    -------
    Comparison

    Raises
    ------
    ArgumentError
        If there is no law to compare, or none that the decisions identify and allow.

    Notes
    -----
    BIC counts exposed decisions, or agents for laws with latent classes. Weights are
    ``exp(-delta / 2)``, scaled to sum to 1 with those of the rivals. A law with rates that the
    decisions do not identify comes last.

    Where some law finds runs to differ (p < 0.05), all laws are also fitted with a factor per run
    that multiplies their rates, and are compared in this form if it has the lowest BIC of all.

    Examples
    --------
    >>> from mesa_llmspread import SpreadData, SpreadModel
    >>> model = SpreadModel(n=400, decider="FirstRepeat(0.2, 0.04)", rng=1).run(60)
    >>> compare(SpreadData.from_model(model), ["SI", "FirstRepeat"]).best.name
    'FirstRepeat'
    """
    checked_level(level)
    if (laws is not None and not (isinstance(laws, Sequence) and laws)) or isinstance(laws, str):
        raise ArgumentError("laws", laws, "be a list of at least one law")
    log = Log(data)
    chosen = _named(candidates(data) if laws is None else laws)
    entries, gain_by_run = _fitted(log, chosen, level)
    results = {name: entry.fit for name, entry in entries.items()}
    best = next(iter(results.values()))
    if not best.success:
        message = f"hold a law that the decisions identify: {best.message}"
        raise ArgumentError("laws", list(results), message)
    by_run = gain_by_run > 0
    criteria = {name: entry.criteria for name, entry in entries.items()}
    beside = _rivals(log, results, by_run, level)
    rivals = [
        Rival(name, its.n_params, other.n_bic, its.loglik, its.bic)
        for name, (other, its) in beside.items()
    ]
    table = _table(log, entries, rivals)
    tests = diagnostics.nested_tests(
        results | {name: other for name, (other, _) in beside.items()},
        criteria | {name: its for name, (_, its) in beside.items()},
    )
    contest = Contest(results, criteria, rivals, tests, _fit_p_values(table), by_run)
    aged = rival_ageing(log, chosen.values())
    still = {best.name: criteria[next(iter(results))].bic}
    fading, artefact = about_ageing(
        aged, best.name, still | {rival.name: rival.bic for rival in rivals}
    )
    sampling = {info.decider_info.get("sampling") for info in data.info.values()}
    found = [fading, *findings(contest)]
    against = [*doubts(contest, gain_by_run, "pooled" in sampling), artefact]
    cautions = aged.cautions if aged is not None and fading.claimed else ()
    first, *others = [row.clause for row in found if row.clause]
    compared = Comparison(
        table,
        results,
        best,
        pd.DataFrame([row[:3] for row in found + against], columns=Finding._fields[:3]),
        " ".join(f"{text[0].upper()}{text[1:]}." for text in (first, "; ".join(others)) if text),
        tests,
        _with_delta(rivals, entries),
        diagnostics.residuals(next(iter(entries.values())).laws, log),
        by_run,
        (*(row.clause for row in against if row.claimed), *cautions),
        aged,
    )
    if aged is None or not fading.claimed:
        return compared
    # What fading explains is not claimed of agents and rates: they are compared beside it.
    faded = compare(aged.applied(data), laws, level=level)
    rows = faded.findings[~faded.findings["finding"].isin([fading.finding, artefact.finding])]
    about = pd.DataFrame([fading[:3], artefact[:3]], columns=rows.columns)
    return replace(
        compared,
        findings=pd.concat([about, rows], ignore_index=True),
        verdict=f"{fading.clause}. At this fading: {faded.verdict}",
        warnings=(*faded.warnings, *cautions),
    )


def _fitted(
    log: Log, chosen: dict[str, TransmissionLaw], level: float
) -> tuple[dict[str, _Entry], float]:
    """Fit laws; return them best first, and by how much a factor per run lowers the BIC."""
    entries, gain = {}, float("nan")
    for name, law in chosen.items():
        fit = fit_log(log, law, level=level)
        same = {} if fit.likeliest is None else dict.fromkeys(log.runs, fit.likeliest)
        entries[name] = _Entry(law, fit, fit.criteria, same)
    if any(entry.fit.heterogeneity < DIFFERS for entry in entries.values()):
        apart = {
            name: _Entry(entry.law, entry.fit, *run_factors(entry.law, log, entry.fit))
            for name, entry in entries.items()
        }
        lowest, lowest_apart = (
            min(entry.rank for entry in each.values()) for each in (entries, apart)
        )
        gain = lowest[1] - lowest_apart[1]
        entries = apart if gain > 0 else entries
    return dict(sorted(entries.items(), key=lambda each: each[1].rank)), gain


def _rivals(
    log: Log, results: dict[str, FitResult], by_run: bool, level: float
) -> dict[str, tuple[FitResult, Criteria]]:
    """Fit what is always tried beside the laws compared."""
    best = next(iter(results.values()))
    options = {"offline": True} if best.law is not None and best.law.offline else {}
    rivals = {}
    for name in ("Frailty", *(["ByTraits"] if _traits_vary(log.data) else [])):
        law = resolve_law(name, **options)
        if law.name in results:
            continue
        fit = fit_log(log, law, level=level)
        if fit.success:
            rivals[law.name] = fit, run_factors(law, log, fit)[0] if by_run else fit.criteria
    return rivals


def _with_delta(rivals: list[Rival], entries: dict[str, _Entry]) -> pd.DataFrame:
    """Return rivals as a table, with their distance from the best law."""
    table = pd.DataFrame(rivals, columns=Rival._fields)
    return table.assign(delta_bic=table["bic"] - next(iter(entries.values())).criteria.bic)


def _named(
    laws: Sequence[str | type[TransmissionLaw] | TransmissionLaw],
) -> dict[str, TransmissionLaw]:
    """Return the laws by name; those of one name, such as several partitions, are numbered."""
    found = [resolve_law(law) for law in laws]
    names = [law.name for law in found]
    numbers = [names[: place + 1].count(name) for place, name in enumerate(names)]
    return {
        law.name if names.count(law.name) == 1 else f"{law.name} ({number})": law
        for law, number in zip(found, numbers, strict=True)
    }


def _table(log: Log, entries: dict[str, _Entry], rivals: list[Rival]) -> pd.DataFrame:
    """Return all that is known of each law, one row per law."""
    cells, rows = diagnostics.like_decisions(log), []
    for name, entry in entries.items():
        row = {
            "law": name,
            "parameters": entry.fit.describe(),
            **entry.criteria._asdict(),
            **dict.fromkeys(["delta_bic", "weight", "delta_aic", "akaike_weight"], 0.0),
        }
        quality = diagnostics.goodness_of_fit(entry.laws, log, cells)
        row |= dict(zip(["deviance", "freedom", "fit_p_value"], quality, strict=True))
        rows.append(row | {"held_out": diagnostics.held_out(entry.law, log, entry.fit)})
    table, usable = pd.DataFrame(rows), np.array([entry.fit.success for entry in entries.values()])
    table["delta_bic"] = table["bic"] - table["bic"].iloc[0]
    table["delta_aic"] = table["aic"] - table.loc[usable, "aic"].min()
    beside = [
        [rival.bic - table["bic"].iloc[0] for rival in rivals],
        [2 * (rival.n_params - rival.loglik) - table.loc[usable, "aic"].min() for rival in rivals],
    ]
    pairs = ("weight", "delta_bic"), ("akaike_weight", "delta_aic")
    for (weight, delta), theirs in zip(pairs, beside, strict=True):
        evidence = np.exp(-table[delta] / 2).where(usable, 0.0)
        table[weight] = evidence / (evidence.sum() + np.exp(-np.array(theirs) / 2).sum())
    return table


def _fit_p_values(table: pd.DataFrame) -> dict[str, float]:
    """Return the p-value of the goodness of fit of every law."""
    return dict(zip(table["law"], table["fit_p_value"], strict=True))
