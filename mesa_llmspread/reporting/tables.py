"""The tables of the report: what is shown, and the same numbers as CSV."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pandas as pd

from mesa_llmspread._words import described, p_number
from mesa_llmspread.analysis.cascades import MEASURES, cascade
from mesa_llmspread.analysis.costs import SPENDERS, spending
from mesa_llmspread.analysis.descriptive import GROUPINGS, repost_rates
from mesa_llmspread.analysis.event_analysis import CURVES, Analysis
from mesa_llmspread.data import SpreadData
from mesa_llmspread.events import events_frame
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.inference import FitResult
from mesa_llmspread.io import csv_text
from mesa_llmspread.networks import Network
from mesa_llmspread.reporting.law_words import formula, in_words

__all__ = ["Table", "cell", "tables", "typeset"]

# Forests drawn per run, for the intervals of its cascade.
_FORESTS = 100


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Attributes
    ----------
    frame : DataFrame
        The numbers, as the CSV has them.
    headings : dict of str to str
        The columns to show, and what stands above them.
    texts : dict of str to list of str
        Columns that are shown in other words than the frame's.
    digits : dict of str to int
        Decimals of a column, if not 3.
    """

    frame: pd.DataFrame
    headings: Mapping[str, str]
    texts: Mapping[str, list[str]] = field(default_factory=dict)
    digits: Mapping[str, int] = field(default_factory=dict)

    @property
    def columns(self) -> list[tuple[str, str]]:
        """Heading and class of each column: "n" for numbers."""
        return [(heading, self._kind(name)) for name, heading in self.headings.items()]

    @property
    def rows(self) -> Iterator[list[tuple[str, str]]]:
        """Text and class of each cell, row by row."""
        kinds = [self._kind(name) for name in self.headings]
        for texts in zip(*map(self._cells, self.headings), strict=True):
            yield list(zip(texts, kinds, strict=True))

    @property
    def link(self) -> str:
        """The address of the table as CSV, which contains the data."""
        return "data:text/csv;charset=utf-8," + quote(csv_text(self.frame))

    def _kind(self, name: str) -> str:
        number = name not in self.texts and pd.api.types.is_numeric_dtype(self.frame[name])
        return "n" if number else "words" if name in ("text", "rates", "words") else ""

    def _cells(self, name: str) -> list[str]:
        if name in self.texts:
            return self.texts[name]
        if name.startswith("p_") or name.endswith("p_value"):
            return [p_number(value) for value in self.frame[name]]
        return [cell(value, self.digits.get(name, 3)) for value in self.frame[name]]


def typeset(text: str) -> str:
    """Return text with the signs for minus and times.

    Examples
    --------
    >>> typeset("openness x1.35 [-0.1, 2] in battles-3")
    'openness ×1.35 [−0.1, 2] in battles-3'
    """
    return re.sub(r"(?<![\w.-])x(?=\d)", "×", re.sub(r"(?<![\w.-])-(?=\.?\d)", "−", text))


def cell(value: Any, digits: int = 3) -> str:
    """Format a value for a table; what is missing is a dash.

    Examples
    --------
    >>> cell(-0.12345), cell(12000), cell(None)
    ('−0.123', '12,000', '–')
    """
    if value is None or value != value:
        return "–"
    if isinstance(value, float):
        return typeset(f"{value:,.{digits}f}")
    return f"{value:,}" if isinstance(value, int) else str(value)


def tables(analysis: Analysis, network: Network | None) -> dict[str, Table]:
    """Return the tables of the report by name.

    Parameters
    ----------
    analysis : Analysis
    network : Network or None
        The network, where it was given to the model as a graph.

    Returns
    -------
    dict of str to Table
    """
    data, overall = analysis.data, analysis.overall
    parts, runs = analysis.events, _runs(data)
    news = events_frame([part.event for part in parts])
    shown = ["event_id", "event_type", "date", "location", "country", "fatalities", "text"]
    spread = analysis.table()
    drawn = [name for name in CURVES if spread[name].notna().any()]
    found = {
        "news": Table(news, _spaced(news[shown])),
        "spread": Table(
            spread,
            {"event": "event", "law": "law", "rates": "estimates with 95 % intervals"}
            | {"final": "final share", **{name: name for name in drawn}, "in band": "in band"},
            {
                "event": [f"{part.event.event_id}\n{part.event.event_type}" for part in parts],
                "law": [part.law + "\ndoes not fit" * part.misfit for part in parts],
                "rates": [
                    typeset(part.rates) if part.comparison.fading else _rates(part.comparison.best)
                    for part in parts
                ],
            },
            {"final": 2, "in band": 2},
        ),
        "laws": Table(
            overall.table,
            {"law": "law", "rates": "estimates with 95 % intervals", "n_params": "parameters"}
            | {"loglik": "log-likelihood", "aic": "AIC", "bic": "BIC", "delta_bic": "ΔBIC"}
            | {"weight": "weight", "fit_p_value": "goodness of fit, p"},
            {"rates": [_rates(overall.results[law]) for law in overall.table["law"]]},
            dict.fromkeys(("loglik", "aic", "bic", "delta_bic"), 1),
        ),
        "formulas": Table(
            pd.DataFrame(
                {"law": name, "formula": formula(fit) or None, "words": in_words(fit)}
                for name, fit in overall.results.items()
            ),
            {"law": "law", "formula": "chance q, and chance p of a post", "words": "in words"},
        ),
        "runs": Table(runs, _spaced(runs)),
    }
    cascades = _cascades(analysis, network)
    if len(cascades):
        measured = {name: (f"{name}_low", f"{name}_high") for name in MEASURES}
        ends = {end for both in measured.values() for end in both}
        found["cascades"] = Table(
            cascades,
            _spaced(cascades.drop(columns=list(ends))),
            {
                name: [typeset(described("", *row)) for row in cascades[[name, *both]].to_numpy()]
                for name, both in measured.items()
            },
        )
    if analysis.traits is not None:
        tests = analysis.traits.tests.rename(columns={"statistic": "χ²"})
        found["tests"] = Table(tests, _spaced(tests), digits={"χ²": 2})
    for by in GROUPINGS:
        rates = repost_rates(data, by)
        found[f"reposts by {by.replace('_', ' ')}"] = Table(rates, _spaced(rates))
    # Costs, where a language model made all decisions.
    for by in SPENDERS if all("calls" in info.decider_info for info in data.info.values()) else ():
        costs = spending(data, by).infer_objects()
        digits = {"prompt_tokens": 0, "completion_tokens": 0, "cost_usd": 4}
        found[f"costs by {by}"] = Table(costs, _spaced(costs), digits=digits)
    return found


def _spaced(frame: pd.DataFrame) -> dict[str, str]:
    """Return the names of all columns as headings."""
    return {str(name): str(name).replace("_", " ") for name in frame}


def _rates(fit: FitResult) -> str:
    """Return the rates of a law line by line, and why one is missing."""
    text = fit.describe()
    if len(fit.params) <= 3:
        lines = (described(name, value, *fit.ci[name]) for name, value in fit.params.items())
        text = "\n".join(lines)
    doubtful = not fit.success or "not estimable" in text
    return typeset(f"{text}\n{fit.message}" if fit.message and doubtful else text)


def _runs(data: SpreadData) -> pd.DataFrame:
    """Return one row per run: event, seed, and what came of it."""
    rows = []
    for run in data.runs:
        info, counts = data.info[run], data.counts_of(run).iloc[-1]
        outcomes = data.exposures.loc[data.exposures["run"] == run, "outcome"]
        events = ", ".join(event.event_id for event in info.events)
        seed = None if info.rng is None else str(info.rng)
        failed = int((outcomes == "failed").sum())
        found = int(counts["step"]), len(outcomes), failed, int(counts["infected"])
        rows.append((run, events, seed, *found))
    names = ["run", "event", "seed", "steps", "decisions", "failed", "posted"]
    return pd.DataFrame(rows, columns=names)


def _cascades(analysis: Analysis, network: Network | None) -> pd.DataFrame:
    """Return the shape of the first run's cascade for each event; empty where unknown."""
    rows = []
    for part in analysis.events:
        run = part.data.runs[0]
        try:
            shape = cascade(part.data, network, run=run, draws=_FORESTS, rng=0)
        except ArgumentError:
            # The network or the starters are unknown, or nobody posted.
            continue
        row = {"event": part.event.event_id, "run": run, "posted": shape.size}
        row["half_by_step"] = shape.time_to_half
        for name, values in shape.measures.iterrows():
            row |= {str(name): values["mean"]}
            row |= {f"{name}_{end}": values[end] for end in ("low", "high")}
        rows.append(row)
    return pd.DataFrame(rows)
