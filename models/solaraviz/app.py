"""The model on Mesa's own page: ``solara run models/solaraviz/app.py``.

SolaraViz waits until a step has ended, which is short with the offline deciders used here;
``app.py`` at the root of the project is the page for language models.
"""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt
import solara
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from mesa.visualization import SolaraViz, make_plot_component
from mesa.visualization.utils import update_counter

from mesa_llmspread import LLMSpreadError, SpreadData, SpreadModel, fit, solve

__all__ = ["Page"]

SUSCEPTIBLE, INFECTED = "#56B4E9", "#D55E00"
CLOSURES: dict[str, str] = {"master": "#009E73", "mean_field": "#CC79A7"}

# A Select and sliders: a text field would pass text to the model where it needs a number.
PARAMETERS: dict[str, Any] = {
    "n": {"type": "SliderInt", "value": 200, "label": "Agents", "min": 50, "max": 500, "step": 50},
    "k": {"type": "SliderInt", "value": 8, "label": "Neighbours", "min": 2, "max": 16, "step": 2},
    "network": {
        "type": "Select",
        "value": "random_regular",
        "values": ["random_regular", "small_world", "scale_free"],
        "label": "Network",
    },
    "decider": {
        "type": "Select",
        "value": "table",
        "values": ["table", "traits", "SI(0.05)", "FirstRepeat(0.2, 0.04)"],
        "label": "Who decides",
    },
    "initial_infected": {
        "type": "SliderInt",
        "value": 10,
        "label": "Initial spreaders",
        "min": 1,
        "max": 50,
        "step": 1,
    },
    "rng": {"type": "SliderInt", "value": 1, "label": "Seed", "min": 0, "max": 100, "step": 1},
}


@solara.component
def Network(model: SpreadModel) -> None:
    """Draw the network and which agents have posted."""
    update_counter.get()
    # Mesa's own drawing computes a new layout at every step.
    layout = solara.use_memo(lambda: positions(model.grid.G), [model])
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.add_collection(LineCollection(layout[model.network.edges()], colors="#8888", lw=0.4))
    infected = np.array([agent.infected for agent in model.spreaders])
    for who, colour, label in (
        (~infected, SUSCEPTIBLE, "not posted"),
        (infected, INFECTED, "posted"),
    ):
        x, y = layout[who].T
        axes.scatter(x, y, s=28, color=colour, edgecolors="white", lw=0.5, label=label)
    axes.legend(loc="lower right", frameon=False)
    solara.FigureMatplotlib(figure)


@solara.component
def FittedCurve(model: SpreadModel) -> None:
    """Draw the run beside the curves of FirstRepeat, fitted to its decisions so far."""
    update_counter.get()
    data = SpreadData.from_model(model)
    try:
        law = fit(data, "FirstRepeat").law
    except LLMSpreadError as error:
        solara.Text(f"Nothing to fit yet: {error}")
        return
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(data.counts["step"], data.counts["infected"], color=INFECTED, label="simulation")
    if law is not None:
        for closure, colour in CLOSURES.items():
            curve = solve(
                law,
                n=model.n,
                k=model.network.degrees,
                initial_infected=int(data.counts["infected"][0]),
                steps=model.clock,
                closure=closure,
            )
            label = closure.replace("_", " ")
            axes.plot(curve["step"], curve["infected"], color=colour, ls="--", label=label)
        axes.set_title(", ".join(f"{name} {value:.3f}" for name, value in law.parameters.items()))
    label_axes(axes)
    solara.FigureMatplotlib(figure)


def positions(graph: nx.Graph[int]) -> npt.NDArray[np.float64]:
    """Return positions of the nodes, the same ones at every call."""
    layout = nx.spring_layout(graph, seed=1, iterations=30)
    return np.array([layout[node] for node in graph])


def label_axes(axes: Axes) -> None:
    """Label the axes of a chart of counts."""
    axes.set_xlabel("step")
    axes.set_ylabel("agents")
    axes.legend(loc="best")


@solara.component
def Page() -> None:
    """Show the model; every browser session has its own."""
    model = solara.use_memo(lambda: SpreadModel(rng=1), [])
    counts = make_plot_component(
        {"Susceptible": SUSCEPTIBLE, "Infected": INFECTED}, post_process=label_axes
    )
    SolaraViz(
        model,
        components=[Network, counts, FittedCurve],
        model_params=PARAMETERS,
        name="News of an offline event",
    )


page = Page()
