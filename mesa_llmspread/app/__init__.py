"""The page of ``solara run app.py``: watch news spread, and see the law fitted as it happens.

Every file holds one part of the page. :mod:`~mesa_llmspread.app.settings`,
:mod:`~mesa_llmspread.app.session`, :mod:`~mesa_llmspread.app.law`,
:mod:`~mesa_llmspread.app.stage` and :mod:`~mesa_llmspread.app.pace` know nothing of a browser.
"""

from __future__ import annotations

from mesa_llmspread.app.page import Page

__all__ = ["Page"]
