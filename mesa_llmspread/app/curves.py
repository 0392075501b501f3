"""The curves panel: the run, and the fitted law under each closure."""

from __future__ import annotations

from typing import Any

import solara

from mesa_llmspread.app.session import View
from mesa_llmspread.app.widgets import COLOURS, Chart

__all__ = ["Curves"]

# Colour and dash a curve, so that they differ in print and to every eye.
_STYLES = {
    "mean-field ODE": {"colour": "#CC79A7", "dash": "2 4"},
    "mean-field map": {"colour": "#E69F00", "dash": "9 4"},
    # These two often coincide: each fills the other's gaps.
    "pair approximation": {"colour": "currentColor", "dash": "7 7"},
    "master equations": {"colour": "#009E73", "dash": "0 7 7 0"},
}
_OTHER = {"colour": "#009E73", "dash": "1 5", "width": 1.5}


@solara.component
def Curves(view: View) -> None:
    """Draw agents in each state over the steps, and what the fitted law says.

    Parameters
    ----------
    view : View
        What there is to see.
    """
    if not view.infected:
        solara.Text("No curve: there is no model yet.")
        return
    Chart(
        series=[*_simulated(view), *_fitted(view)],
        x_label="step",
        y_label="agents",
        x_max=max(10, view.clock),
        y_max=view.settings.n if view.model is None else view.model.n,
        title="Agents in each state, step by step, and the fitted law's curves",
        note=view.law.missing,
    )


def _simulated(view: View) -> list[dict[str, Any]]:
    return [
        {"name": "susceptible", "y": view.susceptible, "colour": COLOURS["susceptible"]},
        {"name": "infected", "y": view.infected, "colour": COLOURS["infected"], "width": 3},
    ]


def _fitted(view: View) -> list[dict[str, Any]]:
    return [
        {
            "name": curve.name,
            "y": curve.infected,
            "low": curve.low,
            "high": curve.high,
            **_STYLES.get(curve.name, _OTHER),
        }
        for curve in view.law.curves
    ]
