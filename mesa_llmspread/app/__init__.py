"""The page of ``solara run app.py``: watch news spread, and see the law fitted as it happens.

:mod:`~mesa_llmspread.app.settings`, :mod:`~mesa_llmspread.app.live_models`,
:mod:`~mesa_llmspread.app.session`, :mod:`~mesa_llmspread.app.fits` and
:mod:`~mesa_llmspread.app.layout` work without a browser; the other modules draw. Everything that a
visitor presses or fills in is plain HTML in the ``.vue`` files; of Vuetify, which Solara brings,
only its theme (light or dark) is used.
"""
