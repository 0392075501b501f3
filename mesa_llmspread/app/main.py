"""What ``llmspread app`` and ``solara run app.py`` serve."""

from __future__ import annotations

from mesa_llmspread.app.page import Page
from mesa_llmspread.app.session import prepare

__all__ = ["page"]

prepare()
page = Page()
