"""A panel that fails alone, with a sentence: the others go on."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import reacton
import solara

from mesa_llmspread.exceptions import LLMSpreadError

__all__ = ["Guarded"]

_log = logging.getLogger(__name__)


@solara.component
def Guarded(children: Sequence[reacton.core.Element] = (), classes: Sequence[str] = ()) -> None:
    """Show its children, or a sentence where they cannot be shown.

    Parameters
    ----------
    children : sequence of elements
        What to show.
    classes : sequence of str
        CSS classes of the panel.
    """
    error, again = reacton.use_exception()
    if error is None:
        solara.Div(children=list(children), classes=list(classes))
        return
    # Solara shows the traceback of what is not caught, and an unforeseen message may quote a key.
    if isinstance(error, LLMSpreadError):
        solara.Error(str(error), dense=True)
    else:
        _log.error("unforeseen error in a panel", exc_info=error)
        solara.Error(f"This panel cannot be shown ({type(error).__name__}).", dense=True)
    solara.Button("Try again", again, small=True)
