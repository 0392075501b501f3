"""The laws as equations: one closure per file, and the solver."""

from __future__ import annotations

from mesa_llmspread.meanfield.closure import Closure, register_closure
from mesa_llmspread.meanfield.solve import ClosureWarning, solve

__all__ = ["Closure", "ClosureWarning", "register_closure", "solve"]
