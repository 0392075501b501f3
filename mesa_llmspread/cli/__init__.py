"""The command line, ``llmspread``."""
