"""Experiments: what ``llmspread demo`` and the folders of ``models`` run."""
