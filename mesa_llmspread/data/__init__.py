"""A record of runs: plain tables and typed metadata, without Mesa and language models."""

from __future__ import annotations

from mesa_llmspread.data.concat import concat
from mesa_llmspread.data.run_info import RunInfo
from mesa_llmspread.data.spread_data import SpreadData, check_data

__all__ = ["RunInfo", "SpreadData", "check_data", "concat"]
