"""The page of ``solara run app.py``: watch news spread, and see the law fitted as it happens.

Every file holds one part of the page. :mod:`~mesa_llmspread.app.settings`,
:mod:`~mesa_llmspread.app.allowed`, :mod:`~mesa_llmspread.app.session`,
:mod:`~mesa_llmspread.app.watched`, :mod:`~mesa_llmspread.app.stage`,
:mod:`~mesa_llmspread.app.law`, :mod:`~mesa_llmspread.app.fits` and
:mod:`~mesa_llmspread.app.fitting` know nothing of a browser.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mesa_llmspread.app.page import Page
    from mesa_llmspread.app.session import prepare

__all__ = ["Page", "prepare"]


def __getattr__(name: str) -> Any:
    # The process that fits laws uses a part of this package, and no browser.
    if name == "Page":
        from mesa_llmspread.app.page import Page

        return Page
    if name == "prepare":
        from mesa_llmspread.app.session import prepare

        return prepare
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
