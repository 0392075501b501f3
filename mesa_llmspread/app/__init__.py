"""The page of ``solara run app.py``: watch news spread, and see the law fitted as it happens.

:mod:`~mesa_llmspread.app.settings`, :mod:`~mesa_llmspread.app.language_model`,
:mod:`~mesa_llmspread.app.session`, :mod:`~mesa_llmspread.app.fits` and
:mod:`~mesa_llmspread.app.layout` work without a browser; the other modules draw.
"""
