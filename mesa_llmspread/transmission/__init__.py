"""The Susceptible-Infected family: the probability that one exposure makes an agent repost.

Every law answers one question. An agent that has not posted looks at its feed, in
which ``m`` neighbours have posted, for the first time or again: with which probability does
it post now? A ``beta`` is a probability per contact and step; where contacts act
independently, ``m`` of them give ``1 - (1 - beta)**m``, and ``-log(1 - beta)`` is the
matching rate per contact and unit of time.

Pure NumPy: nothing here knows a graph, an agent or a language model.
"""

from __future__ import annotations

from mesa_llmspread.transmission.contract import check_declarations, check_law
from mesa_llmspread.transmission.conversions import probability_to_rate, rate_to_probability
from mesa_llmspread.transmission.exposures import ExposureArrays
from mesa_llmspread.transmission.heterogeneity import ByProfile, ByTraits, Frailty, TwoClass
from mesa_llmspread.transmission.law import TransmissionLaw
from mesa_llmspread.transmission.laws import SI, FirstRepeat, OnlineOffline, SingleMultiple
from mesa_llmspread.transmission.registry import (
    law_names,
    law_of,
    parse_law,
    register_law,
    resolve_law,
)
from mesa_llmspread.transmission.visibility import (
    Exponential,
    Feed,
    PowerLaw,
    Visibility,
    Weights,
    as_visibility,
    check_ages,
)

__all__ = [
    "SI",
    "ByProfile",
    "ByTraits",
    "Exponential",
    "ExposureArrays",
    "Feed",
    "FirstRepeat",
    "Frailty",
    "OnlineOffline",
    "PowerLaw",
    "SingleMultiple",
    "TransmissionLaw",
    "TwoClass",
    "Visibility",
    "Weights",
    "as_visibility",
    "check_ages",
    "check_declarations",
    "check_law",
    "law_names",
    "law_of",
    "parse_law",
    "probability_to_rate",
    "rate_to_probability",
    "register_law",
    "resolve_law",
]
