"""The laws as equations: one closure per file, and the solver."""

from __future__ import annotations

from mesa_llmspread.meanfield.ageing import final_size, reproduction_number
from mesa_llmspread.meanfield.closure import Closure, register_closure
from mesa_llmspread.meanfield.message_passing import node_risk
from mesa_llmspread.meanfield.solve import ClosureWarning, solve

__all__ = [
    "Closure",
    "ClosureWarning",
    "final_size",
    "node_risk",
    "register_closure",
    "reproduction_number",
    "solve",
]
