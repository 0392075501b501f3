"""The Susceptible-Infected family: the probability that one exposure makes an agent repost.

Every structure answers one question. An agent that has not posted looks at its feed, in
which ``m`` neighbours have posted, for the first time or again: with which probability does
it post now? A ``beta`` is a probability per contact and step; where contacts act
independently, ``m`` of them give ``1 - (1 - beta)**m``, and ``-log(1 - beta)`` is the
matching rate per contact and unit of time.

Pure NumPy: nothing here knows a graph, an agent or a language model.
"""

from __future__ import annotations

from mesa_llmspread.transmission.conversions import probability_to_rate, rate_to_probability
from mesa_llmspread.transmission.family import (
    SI,
    ByProfile,
    FirstRepeat,
    OnlineOffline,
    SingleMultiple,
    TwoClass,
)
from mesa_llmspread.transmission.structure import Seen, Structure

__all__ = [
    "SI",
    "ByProfile",
    "FirstRepeat",
    "OnlineOffline",
    "Seen",
    "SingleMultiple",
    "Structure",
    "TwoClass",
    "probability_to_rate",
    "rate_to_probability",
]
