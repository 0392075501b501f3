"""Watch news spread among agents: ``solara run app.py``."""

from __future__ import annotations

from mesa_llmspread.app.main import Layout, page

__all__ = ["Layout", "page"]
