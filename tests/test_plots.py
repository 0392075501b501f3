"""Figures of one panel are drawn where the caller wants them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from mesa_llmspread import (
    SI,
    SpreadData,
    SpreadModel,
    analyse,
    bundled_events,
    concat,
    random_regular,
    simulate,
    trait_effects,
)
from mesa_llmspread.reporting.plots import (
    plot_comparison,
    plot_event,
    plot_event_rates,
    plot_fitted_rates,
    plot_hazard_ratios,
    plot_profiles,
    plot_traits,
)


@pytest.fixture(scope="module")
def data() -> SpreadData:
    models = [SpreadModel(n=200, k=6, decider="SI(0.1)", rng=seed) for seed in (1, 2)]
    return concat([SpreadData.from_model(model.run(15)) for model in models])


@pytest.mark.parametrize(
    "plot",
    [
        lambda data, ax: data.plot(ax=ax),
        lambda data, ax: plot_traits(data, ax=ax),
        lambda data, ax: plot_profiles(data, ax=ax),
        lambda data, ax: plot_comparison(analyse(data), ax=ax),
        lambda data, ax: plot_hazard_ratios(trait_effects(data), ax=ax),
    ],
)
def test_axes_that_are_given_are_drawn_on(data: SpreadData, plot: Callable[..., Figure]) -> None:
    mine = Figure()
    left, right = mine.subplots(1, 2)
    assert plot(data, right) is mine
    assert right.has_data()
    assert not left.has_data()
    alone: Any = plot(data, None)
    assert alone is not mine
    assert alone.axes[0].has_data()


def test_dollar_signs_in_names_are_no_formula() -> None:
    event = dataclasses.replace(bundled_events()[0], event_id="a $1^$ b", event_type="c $2^$ d")
    model = SpreadModel(n=60, k=4, decider="SI(0.2)", event=event, rng=1).run(9)
    analysis = analyse(SpreadData.from_model(model))
    drawn = {
        "a $1^$ b: ": plot_event(analysis.events[0]),
        "a $1^$ b": plot_fitted_rates(analysis),
        "c $2^$ d": plot_event_rates(analysis.data),
    }
    for name, figure in drawn.items():
        figure.draw_without_rendering()
        texts = [text.get_text() for text in figure.findobj(Text)]
        assert any(text.startswith(name.replace("$", r"\$")) for text in texts)


def test_every_parameter_of_the_best_law_is_drawn_where_it_is() -> None:
    """Slopes on traits may be negative, and are no probabilities."""
    traits = "ByTraits(intercept=-2.5, openness=0.9, conscientiousness=-0.9)"
    model = SpreadModel(n=400, decider=traits, rng=1).run(15)
    figure = plot_fitted_rates(analyse(SpreadData.from_model(model)))
    panels = {axis.get_title(): axis for axis in figure.axes if axis.get_title()}
    assert len(panels) == 6
    for name, axis in panels.items():
        low, high = axis.get_xlim()
        assert low < axis.get_lines()[0].get_xdata()[0] < high, name
        assert axis.get_xlabel() == ""


def test_a_record_draws_the_share_of_each_run(data: SpreadData) -> None:
    lines = data.plot().axes[0].get_lines()
    for run, line in zip(data.runs, lines, strict=True):
        assert np.array_equal(line.get_ydata(), data.counts_of(run)["infected"] / 200)


def test_an_ensemble_draws_its_mean() -> None:
    found = simulate(SI(0.1), random_regular(500, 6, rng=1), 5, 10, replicates=20, rng=1)
    axes = Figure().add_subplot()
    found.plot(ax=axes)
    (line,) = axes.get_lines()
    assert np.array_equal(line.get_ydata(), found.mean())
