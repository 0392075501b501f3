"""Statistics: fit laws to decisions, compare them, and test what a fit predicts."""

from __future__ import annotations

from mesa_llmspread.inference.compare import Comparison, compare
from mesa_llmspread.inference.fit import FitResult, fit

__all__ = ["Comparison", "FitResult", "compare", "fit"]
