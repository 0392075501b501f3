"""One model asked in several ways: a response table per template and temperature."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
from scipy.special import expit

from mesa_llmspread.deciders import LLMDecider
from mesa_llmspread.deciders.llm.measure import measure
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.tables import ResponseTable
from mesa_llmspread.tables.response_table import CELL, logit

__all__ = ["TEMPLATES", "at_temperature", "measure_wordings", "persona_control"]

#: Templates with personalities, and the control without.
TEMPLATES = ("standard", "persona_first", "paraphrase", "decline_first", "no_persona")


def measure_wordings(
    model: str, templates: Iterable[str] = TEMPLATES, **options: Any
) -> dict[str, ResponseTable]:
    """Measure one model with several templates.

    Parameters
    ----------
    model : str
        As for :class:`~mesa_llmspread.LLMDecider`.
    templates : iterable of str
        Names or files of templates.
    **options
        ``store`` and ``mode``, for the decider; all others for :func:`~mesa_llmspread.measure`.

    Returns
    -------
    dict of str to ResponseTable
        By template.
    """
    kept = {name: options.pop(name) for name in ("store", "mode") if name in options}
    return {
        template: measure(LLMDecider(model, template=template, **kept), **options)
        for template in templates
    }


def at_temperature(table: ResponseTable, temperature: float) -> ResponseTable:
    """Return what a table measured at temperature 1 would be at another.

    Parameters
    ----------
    table : ResponseTable
        Measured by log-probabilities: the decision is the first thing that the model chooses, one
        token of two, and a temperature divides the difference of their logits.
    temperature : float
        Above 0.

    Returns
    -------
    ResponseTable

    Raises
    ------
    ArgumentError
        If the temperature is not above 0, or the table was not measured in this way.
    """
    if not temperature > 0:
        raise ArgumentError("temperature", temperature, "be above 0")
    measured = table.info.get("sampling"), table.info.get("temperature")
    if measured != ("logprobs", 1.0):
        raise ArgumentError("table", measured, "be measured by log-probabilities at temperature 1")
    columns = {name: expit(logit(table.frame[name]) / temperature) for name in ("p", "low", "high")}
    return replace(
        table,
        frame=table.frame.assign(**columns),
        info={**table.info, "temperature": temperature},
    )


def persona_control(tables: Mapping[str, ResponseTable]) -> pd.DataFrame:
    """Compare what a model does without a personality with the mean over personalities.

    Parameters
    ----------
    tables : mapping of str to ResponseTable
        From :func:`measure_wordings`, one of them ``"no_persona"``.

    Returns
    -------
    DataFrame
        One row per template and occasion: ``template, event, direct, contacts, exposure_count``,
        ``mean`` and ``sd`` of P(repost) over profiles, ``without`` (P of the control), and
        ``difference`` (mean minus without).

    Raises
    ------
    ArgumentError
        If ``"no_persona"``, or any other template, is missing.
    """
    if len(tables) < 2 or "no_persona" not in tables:
        allowed = "hold 'no_persona', the control, and another template; measure both"
        raise ArgumentError("tables", list(tables), allowed)
    occasion = CELL[1:]
    parts = {
        template: table.frame.groupby(occasion, sort=False)["p"].agg(["mean", "std"])
        for template, table in tables.items()
    }
    control = parts.pop("no_persona")["mean"].rename("without")
    found = pd.concat(parts, names=["template"]).rename(columns={"std": "sd"}).join(control)
    return found.assign(difference=found["mean"] - found["without"]).reset_index()
