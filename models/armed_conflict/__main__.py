"""Run the experiment: ``python -m models.armed_conflict``."""

from __future__ import annotations

from mesa_llmspread.cli.demo import main

main()
