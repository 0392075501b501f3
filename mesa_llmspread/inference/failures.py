"""Failed decisions: how far conclusions depend on what they would have been.

Fits leave failures out, which is right where they happen at random. Where they do not, the truth
lies between two extremes: all of them were declines, or all of them were reposts.
"""

from __future__ import annotations

import contextlib
from typing import Any

import pandas as pd

from mesa_llmspread.data import SpreadData, check_data
from mesa_llmspread.data.schema import count_occasions
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.inference.compare import Comparison, compare
from mesa_llmspread.inference.fit import fit
from mesa_llmspread.inference.trait_effects import TraitEffects, trait_effects
from mesa_llmspread.profiles import Trait
from mesa_llmspread.transmission import TransmissionLaw

__all__ = ["failure_bounds", "failure_note"]

# Share of failed decisions below which they are too few to matter.
_FEW = 0.02

_EXTREMES = {"decline": "declines", "repost": "reposts"}


def failure_bounds(
    data: SpreadData, law: str | type[TransmissionLaw] | TransmissionLaw, **options: Any
) -> pd.DataFrame:
    """Refit a law and the effects of traits with all failures as declines, and all as reposts.

    Parameters
    ----------
    data : SpreadData
        One run or several.
    law, **options
        As :func:`~mesa_llmspread.fit` takes them.

    Returns
    -------
    DataFrame
        One row per parameter of the law and per trait (hazard ratio per standard deviation):
        ``quantity, estimate, low, high`` (its interval, without the failures), ``as_declines``,
        ``as_reposts`` (the estimates of the extremes). Traits are missing where the decisions do
        not identify their effects.

    Raises
    ------
    ArgumentError
        As :func:`~mesa_llmspread.fit` does.

    Notes
    -----
    A failure that counts as a decline is an occasion; after one that counts as a repost the
    agent decides no more. The spread itself stays as it was: who sees what would have changed.

    Examples
    --------
    >>> rows = {"run": 0, "step": 1, "agent": range(4), "contacts": 1}
    >>> outcomes = ["repost", "decline", "decline", "failed"]
    >>> data = SpreadData.from_tables(pd.DataFrame({**rows, "outcome": outcomes}))
    >>> bounds = failure_bounds(data, "SI").set_index("quantity")
    >>> bounds[["estimate", "as_declines", "as_reposts"]].round(2).to_numpy().tolist()
    [[0.33, 0.25, 0.5]]
    """
    check_data(data)
    table = _estimates(data, law, options)
    for outcome, name in _EXTREMES.items():
        extreme = _estimates(_counted_as(data, outcome), law, options)
        table[f"as_{name}"] = extreme["estimate"]
    return table.reset_index(names="quantity")


def failure_note(data: SpreadData, comparison: Comparison, traits: TraitEffects | None) -> str:
    """Return a sentence on conclusions that depend on what failed decisions would have been.

    Parameters
    ----------
    data : SpreadData
    comparison : Comparison
        Of these data.
    traits : TraitEffects or None
        Of these data.

    Returns
    -------
    str
        "" where at most 2 % of the decisions failed, or no conclusion changes.
    """
    share = float((data.exposures["outcome"] == "failed").mean())
    if not share > _FEW:
        return ""
    changes = []
    for outcome, name in _EXTREMES.items():
        extreme = _counted_as(data, outcome)
        would, best = [], compare(extreme).best.name
        if best != comparison.best.name:
            would.append(f"{best} would be chosen instead of {comparison.best.name}")
        if traits is not None and (claimed := trait_effects(extreme).claimed) != traits.claimed:
            would.append(f"effects would be found of {', '.join(claimed) or 'no trait'}")
        if would:
            changes.append(f"if all of them had been {name}, {' and '.join(would)}")
    return f"{share:.1%} of the decisions failed: {'; '.join(changes)}." if changes else ""


def _counted_as(data: SpreadData, outcome: str) -> SpreadData:
    """Return a record in which all failures ended in an outcome."""
    rows = data.exposures.sort_values("step", kind="stable")
    failed = rows["outcome"] == "failed"
    if outcome == "repost":
        count = failed.astype(int)
        earlier = count.groupby([rows["run"], rows["event"], rows["agent"]]).cumsum() - count
        rows, failed = rows[earlier == 0], failed[earlier == 0]
    rows = rows.assign(outcome=rows["outcome"].mask(failed, outcome))
    rows = rows.assign(exposure_count=count_occasions(rows)).reset_index(drop=True)
    return SpreadData(rows, data.counts, data.info, data.agents)


def _estimates(data: SpreadData, law: Any, options: dict[str, Any]) -> pd.DataFrame:
    """Return the estimates of a law and of the traits' hazard ratios, with their intervals."""
    result = fit(data, law, **options)
    rows = {name: (value, *result.ci[name]) for name, value in result.params.items()}
    with contextlib.suppress(ArgumentError):
        table = trait_effects(data, permutations=1).table.set_index("term")
        for trait in table.index.intersection([trait.value for trait in Trait]):
            rows[trait] = tuple(table.loc[trait, ["hazard_ratio", "low", "high"]])
    return pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "low", "high"])
