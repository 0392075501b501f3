"""The same analysis in every universe: over the choices that a study could have made otherwise.

A result that holds for one network, one feed and one prompt may be a result of these. A multiverse
(Steegen et al. 2016, doi:10.1177/1745691616658637) repeats the analysis over all of them, and a
specification curve (Simonsohn, Simmons & Nelson 2020, doi:10.1038/s41562-020-0912-z) shows it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.stats import norm

from mesa_llmspread._validation import check_name
from mesa_llmspread._words import counted
from mesa_llmspread.data import SpreadData
from mesa_llmspread.exceptions import ArgumentError, LLMSpreadError
from mesa_llmspread.experiments.real_models import ESTIMATES, two_rates
from mesa_llmspread.sweep import Design, Sweep, run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Multiverse", "multiverse"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# What two_rates returns.
_KNOWN = ("law", "excess", *(x + end for x in ESTIMATES for end in ("", "_low", "_high")))


@dataclass(frozen=True)
class Multiverse:
    """What one analysis finds in every universe.

    Attributes
    ----------
    frame : DataFrame
        One row per universe: the design's parameters, what the analysis returned, and ``verdict``.
        Where it could not be done, estimates are missing and ``message`` has the reason.
    choices : list of str
        The parameters that vary.
    """

    frame: pd.DataFrame
    choices: list[str]

    @property
    def estimates(self) -> list[str]:
        """Names of the estimates that have an interval."""
        names = map(str, self.frame)
        return [name for name in names if {f"{name}_low", f"{name}_high"} <= {*self.frame}]

    def spread(self, estimate: str) -> pd.DataFrame:
        """Return how far each choice moves an estimate.

        Parameters
        ----------
        estimate : str
            One of :attr:`estimates`.

        Returns
        -------
        DataFrame
            One row per choice, the widest first: ``sd``, the standard deviation over universes of
            what the choice adds to the estimate (least squares, main effects of all choices);
            ``by_chance``, the sd that a choice without any effect would show; ``lowest`` and
            ``highest``, the mean estimate at the levels with the smallest and largest effect,
            ``lowest_at`` and ``highest_at``. Below them ``the rest`` (interactions and sampling)
            and ``sampling`` (root mean square of the standard errors that the intervals imply).
            The rest, and with it ``by_chance``, is NaN where no universe is left to tell it.
        """
        rows = self._drawn(estimate)
        value = rows[estimate].to_numpy(dtype=float)
        levels = {name: pd.get_dummies(_as_text(rows[name])) for name in self.choices}
        design = np.column_stack([np.ones(len(rows)), *levels.values()]).astype(float)
        solved, _, rank, _ = np.linalg.lstsq(design, value, rcond=None)
        left = len(rows) - int(rank)
        rest = ((value - design @ solved) ** 2).sum() / left if left else np.nan
        found, start = [], 1
        for name, columns in levels.items():
            effects = solved[start : start + columns.shape[1]]
            start += columns.shape[1]
            added = columns.to_numpy(dtype=float) @ effects
            means = pd.Series(effects - added.mean() + value.mean(), index=columns.columns)
            found.append(
                {"choice": name, "sd": added.std()}
                | {"by_chance": np.sqrt(rest * (columns.shape[1] - 1) / len(rows))}
                | {"lowest": means.min(), "lowest_at": means.idxmin()}
                | {"highest": means.max(), "highest_at": means.idxmax()}
            )
        width = (rows[f"{estimate}_high"] - rows[f"{estimate}_low"]) / (2 * norm.ppf(0.975))
        below = [("the rest", np.sqrt(rest)), ("sampling", np.sqrt((width**2).mean()))]
        table = pd.DataFrame(found).sort_values("sd", ascending=False)
        return pd.concat([table, pd.DataFrame(below, columns=["choice", "sd"])], ignore_index=True)

    def describe(self, estimate: str) -> str:
        """Return in words what holds in how many universes, and which choices move an estimate.

        Parameters
        ----------
        estimate : str
            One of :attr:`estimates`.

        Returns
        -------
        str
        """
        value = self._drawn(estimate)[estimate]
        low, middle, high = value.quantile([0, 0.5, 1])
        verdicts = self.frame["verdict"].value_counts()
        spread = self.spread(estimate).set_index("choice")["sd"]
        moved = ", ".join(f"{name} {spread[name]:.3f}" for name in spread.index[:-2])
        said = ", ".join(
            f"{verdict} in {number} ({number / len(self.frame):.0%})"
            for verdict, number in verdicts.items()
        )
        return (
            f"{counted(len(self.frame), 'universe')}: {said}. {estimate} lies between {low:.3f} "
            f"and {high:.3f}, median {middle:.3f}. Standard deviations over choices: {moved}; "
            f"the rest {_digits(spread['the rest'])}, where sampling alone gives "
            f"{_digits(spread['sampling'])}."
        )

    def plot(self, estimate: str) -> Figure:
        """Draw the specification curve.

        Parameters
        ----------
        estimate : str
            One of :attr:`estimates`.

        Returns
        -------
        Figure
            Estimates in order of size with their intervals, one colour per verdict (from the
            eighth on also another marker); below them the choices of each universe.
        """
        from matplotlib.figure import Figure

        rows = self._drawn(estimate).sort_values(estimate, ignore_index=True)
        levels = {name: _as_text(rows[name]) for name in self.choices}
        marks = [(name, level) for name in levels for level in sorted(levels[name].unique())]
        figure = Figure(figsize=(9, 3.5 + 0.18 * len(marks)), layout="constrained")
        above, below = figure.subplots(
            2, 1, sharex=True, height_ratios=[3.5, 0.2 + 0.18 * len(marks)]
        )
        looks = itertools.cycle(itertools.product(".x+", _COLOURS))
        for verdict, (marker, colour) in zip(rows["verdict"].unique(), looks, strict=False):
            part = rows[rows["verdict"] == verdict]
            ends = part[f"{estimate}_low"], part[f"{estimate}_high"]
            above.vlines(part.index, *ends, color=colour, alpha=0.4, lw=1)
            above.plot(part.index, part[estimate], marker, color=colour, ms=4, label=verdict)
        above.set_ylabel(estimate)
        above.legend(frameon=False)
        for place, (name, level) in enumerate(marks):
            colour = "black" if self.choices.index(name) % 2 else "#777777"
            chosen = np.flatnonzero(levels[name] == level)
            below.plot(chosen, np.full(len(chosen), place), "|", color=colour, ms=5)
        below.set_yticks(range(len(marks)), [f"{name}: {level}" for name, level in marks])
        below.tick_params(axis="y", labelsize=7)
        below.invert_yaxis()
        below.set_xlabel("universes, in order of the estimate")
        return figure

    def _drawn(self, estimate: str) -> pd.DataFrame:
        """Return the universes that have an estimate."""
        if not self.estimates:
            reasons = self.frame.get("message", pd.Series(dtype=object)).dropna()
            why = next(iter(reasons), "the analysis returns no x with x_low and x_high")
            allowed = f"be known in a universe; none is, as {' '.join(why.split())}"
            raise ArgumentError("estimate", estimate, allowed)
        check_name("estimate", estimate, self.estimates)
        rows = self.frame.dropna(subset=[estimate])
        if rows.empty:
            allowed = "be known in a universe, which it is not; use more steps, runs or agents"
            raise ArgumentError("estimate", estimate, allowed)
        return rows


def multiverse(
    choices: Mapping[str, Any],
    out: str | Path,
    analysis: Callable[[SpreadData], Mapping[str, Any]] = two_rates,
    sample: int | None = None,
    runs: int = 1,
    rng: int = 1,
    **options: Any,
) -> Multiverse:
    """Repeat an analysis over all combinations of choices, or a sample of them.

    Parameters
    ----------
    choices : mapping of str to list
        Values for each argument of :class:`~mesa_llmspread.SpreadModel`, or name in braces in
        its ``decider``, as in :class:`~mesa_llmspread.sweep.Design`. One value is no choice.
    out : path-like
        Folder of the runs. What is there already is not done again.
    analysis : callable, default two_rates
        Called with the runs of a universe, it returns a mapping with estimates (``x``, and the
        ends of its interval, ``x_low`` and ``x_high``) and a ``verdict`` in words.
    sample : int, optional
        Number of universes, spread evenly over the values of each choice (Latin hypercube);
        by default all combinations.
    runs : int, default 1
        Runs per universe, each with a seed of its own.
    rng : int, default 1
        Seed of the multiverse.
    **options
        As for :func:`mesa_llmspread.sweep.run`: ``steps``, ``n_jobs``, ``llm``, ``progress``, ...

    Returns
    -------
    Multiverse

    Raises
    ------
    DesignError
        If a choice is not allowed.
    ArgumentError
        If nothing varies, or a choice has the name of a result.

    Examples
    --------
    >>> choices = {"decider": ["SI(0.05)", "FirstRepeat(0.3, 0.1)"], "feed": ["persistent", "new"]}
    >>> found = multiverse(choices, "results/feeds", steps=15)  # doctest: +SKIP
    >>> found.plot("difference").savefig("curve.png")  # doctest: +SKIP
    """
    design = (
        Design(choices, runs, rng)
        if sample is None
        else Design.latin_hypercube(choices, sample, replicates=runs, rng=rng)
    )
    varied = [name for name in design.parameters if design.cells[name].nunique() > 1]
    if not varied:
        raise ArgumentError("choices", dict(choices), "have an argument with several values")
    _check_results(design, ("verdict", "message", *(_KNOWN if analysis is two_rates else ())))
    sweep = run(design, out, **options)
    found = Parallel(n_jobs=options.get("n_jobs", -1))(
        delayed(_universe)(sweep, part, analysis) for _, part in sweep.runs.groupby("cell")
    )
    results = pd.DataFrame(found)
    _check_results(design, map(str, results))
    return Multiverse(design.cells.join(results), varied)


def _check_results(design: Design, results: Iterable[str]) -> None:
    """Raise ArgumentError if a choice has the name of a result."""
    taken = {*results}
    if both := [name for name in design.parameters if name in taken]:
        allowed = "not have the name of a result; rename it, or what the analysis returns"
        raise ArgumentError("choices", ", ".join(both), allowed)


def _as_text(values: pd.Series) -> pd.Series:
    """Return the levels of a choice as text, a missing one too."""
    return values.map(str).astype(object).where(values.notna(), "None")


def _digits(value: float) -> str:
    return "unknown" if np.isnan(value) else f"{value:.3f}"


def _universe(
    sweep: Sweep, runs: pd.DataFrame, analysis: Callable[[SpreadData], Mapping[str, Any]]
) -> dict[str, Any]:
    """Analyse the runs of one universe."""
    undone = runs[runs["status"] != "done"]
    if len(undone):
        return {"verdict": "no result", "message": undone["error"].iloc[0]}
    try:
        return dict(analysis(sweep.data(runs["run"].tolist())))
    except LLMSpreadError as error:
        return {"verdict": "no result", "message": str(error)}
