"""The command ``llmspread`` as ``python -m mesa_llmspread``."""

from __future__ import annotations

from mesa_llmspread.cli.main import main

main()
