"""Which law describes the decisions best, in a table and in words."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mesa_llmspread._validation import checked_level
from mesa_llmspread.data import SpreadData
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.inference.ageing import Ageing, about_ageing, rival_ageing
from mesa_llmspread.inference.decisions import Log, decisions_of
from mesa_llmspread.inference.diagnostics import (
    Frailty,
    frailty,
    goodness_of_fit,
    held_out,
    like_decisions,
    nested_tests,
    rate_by_run_bic,
)
from mesa_llmspread.inference.findings import Finding, doubts, findings, misfit
from mesa_llmspread.inference.fit import fit_log
from mesa_llmspread.inference.result import FitResult
from mesa_llmspread.transmission import TransmissionLaw, resolve_law

__all__ = ["Comparison", "candidates", "compare"]


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
        run predicted from the others, summed).
    results : dict of str to FitResult
        The fits, by name.
    best : FitResult
        The one with the lowest BIC.
    findings : DataFrame
        One row per possible finding: ``finding, claimed`` (bool), ``evidence``.
    verdict : str
        What was found, in a sentence.
    tests : DataFrame
        Likelihood-ratio tests of laws against their special cases: ``simple, rich,
        statistic, freedom, boundary, p_value``.
    frailty : Frailty
        One rate with differences between agents: no law of the family, but a rival.
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
    frailty: Frailty
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
    def misfit(self) -> str:
        """A clause that the best law does not fit the decisions; "" if it does."""
        return misfit(self.best.name, _fit_p_values(self.table))


def candidates(data: SpreadData) -> list[str]:
    """Return the names of the laws that the decisions can distinguish.

    Latent classes and a rate per profile are always among them: without them, hidden
    differences between agents pass for social reinforcement. Where agents reposted with no post in
    view, every law has an offline part.

    Parameters
    ----------
    data : SpreadData

    Returns
    -------
    list of str
    """
    decisions = decisions_of(data.exposures)
    names = ["FirstRepeat", 'FirstRepeat(per="occasion")', "SingleMultiple", "TwoClass"]
    if (decisions["cumulative"] != decisions["contacts"]).any():
        names.append('SingleMultiple(count="cumulative")')
    if decisions["profile"].nunique() > 1:
        names.append("ByProfile")
    if (decisions["repost"] & (decisions["contacts"] == 0)).any():
        # Without an offline part all these reposts would be impossible.
        return ["OnlineOffline", *(resolve_law(name, offline=True).name for name in names)]
    return ["SI", *names, *(["OnlineOffline"] if decisions["direct"].any() else [])]


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
    ``exp(-delta / 2)``, scaled to sum to 1. A law with rates that the decisions do not
    identify comes last.

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
    fits = [(name, fit_log(log, law, level=level)) for name, law in chosen.items()]
    results = dict(sorted(fits, key=_rank))
    best = next(iter(results.values()))
    if not best.success:
        message = f"hold a law that the decisions identify: {best.message}"
        raise ArgumentError("laws", list(results), message)
    table, tests, rival = _table(log, chosen, results), nested_tests(results), frailty(log)
    aged = rival_ageing(log, chosen.values())
    still = {best.name: best.bic, "differences between agents (gamma frailty)": rival.bic}
    fading, artefact = about_ageing(aged, best.name, still)
    found = [fading, *findings(best, results, tests, _fit_p_values(table))]
    against = doubts(
        best,
        results,
        frailty_bic=rival.bic,
        rate_by_run=rate_by_run_bic(log),
        reused=any(info.decider_info.get("sampling") == "pooled" for info in data.info.values()),
    )
    return Comparison(
        table,
        results,
        best,
        pd.DataFrame(
            [row[:3] for row in [*found, *against, artefact]], columns=Finding._fields[:3]
        ),
        "; ".join(row.clause for row in found if row.clause) + ".",
        tests,
        rival,
        (
            *(row.clause for row in (*against, artefact) if row.claimed),
            *(aged.cautions if aged is not None and fading.claimed else ()),
        ),
        aged,
    )


def _rank(fitted: tuple[str, FitResult]) -> tuple[bool, float, int]:
    """Order fits by BIC; the simpler law first where it is the same but for rounding."""
    _, result = fitted
    return not result.success, round(result.bic, 6), len(result.params)


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


def _table(
    log: Log, laws: dict[str, TransmissionLaw], results: dict[str, FitResult]
) -> pd.DataFrame:
    """Return all that is known of each law, one row per law."""
    cells, rows = like_decisions(log), []
    for name, result in results.items():
        row = {
            "law": name,
            "parameters": result.describe(),
            "n_params": len(result.params),
            "loglik": result.loglik,
            "aic": result.aic,
            "bic": result.bic,
            **dict.fromkeys(["delta_bic", "weight", "delta_aic", "akaike_weight"], 0.0),
        }
        quality = goodness_of_fit(result.likeliest, log, cells)
        row |= dict(zip(["deviance", "freedom", "fit_p_value"], quality, strict=True))
        rows.append(row | {"held_out": held_out(laws[name], log, result)})
    table, usable = pd.DataFrame(rows), np.array([result.success for result in results.values()])
    table["delta_bic"] = table["bic"] - table["bic"].iloc[0]
    table["delta_aic"] = table["aic"] - table.loc[usable, "aic"].min()
    for weight, delta in (("weight", "delta_bic"), ("akaike_weight", "delta_aic")):
        evidence = np.exp(-table[delta] / 2).where(usable, 0.0)
        table[weight] = evidence / evidence.sum()
    return table


def _fit_p_values(table: pd.DataFrame) -> dict[str, float]:
    """Return the p-value of the goodness of fit of every law."""
    return dict(zip(table["law"], table["fit_p_value"], strict=True))
