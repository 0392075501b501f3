"""Figures, and the report: one self-contained HTML page about a record."""
