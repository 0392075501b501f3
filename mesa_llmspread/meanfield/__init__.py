"""The laws as equations: solve them, fit them to decisions, and compare them."""

from __future__ import annotations

from mesa_llmspread.meanfield.closure import Closure, register_closure
from mesa_llmspread.meanfield.compare import Comparison, compare
from mesa_llmspread.meanfield.fit import FitResult, fit
from mesa_llmspread.meanfield.solve import ClosureWarning, solve

__all__ = [
    "Closure",
    "ClosureWarning",
    "Comparison",
    "FitResult",
    "compare",
    "fit",
    "register_closure",
    "solve",
]
