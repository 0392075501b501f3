"""What ``llmspread app`` and ``solara run app.py`` serve."""

from __future__ import annotations

from mesa_llmspread.app.page import Layout, Page
from mesa_llmspread.app.session import prepare

__all__ = ["Layout", "page"]

prepare()
page = Page()
