"""Randomisation tests of traits: profiles are permuted among the agents of a run.

If personality has no effect, every agent of a run could as well have had the profile of another.
So all permutations are equally likely, whatever else holds: runs that differ, agents that differ
in more than their traits, decisions that depend on each other, failures. The law of the spread
need not be known, and few agents are enough (Fisher 1935, The Design of Experiments).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mesa_llmspread.inference.regression import Regression, dependent
from mesa_llmspread.inference.scale import Floats

__all__ = ["ALL", "INTERACTION", "trait_tests"]

#: What stands for all traits together in a table of tests, and for differences between types.
ALL = "all traits"
INTERACTION = "interaction"

_Integers = npt.NDArray[np.integer]

# Number of agents' places drawn at a time, which bounds the memory.
_AT_ONCE = 2_000_000


def trait_tests(
    decisions: pd.DataFrame,
    levels: pd.DataFrame,
    kind: pd.Series[Any],
    nulls: Mapping[str, Regression],
    permutations: int,
    seed: int,
) -> pd.DataFrame:
    """Test every trait, and all together: over all news, by event type, and between types.

    Parameters
    ----------
    decisions : DataFrame
        With ``run`` and ``agent``.
    levels : DataFrame
        Trait levels of the agent of each decision, one column per trait.
    kind : Series of str
        Event type of each decision, the same in a run.
    nulls : mapping of str to Regression
        Of the decisions, on everything but what is tested: under each trait's name without this
        trait, under ``"all traits"`` without all of them, under ``"interaction"`` with the main
        effects of all.
    permutations : int
    seed : int

    Returns
    -------
    DataFrame
        ``trait, test, event_type, df, statistic, p_value, p_holm``.
    """
    unit = decisions.groupby(["run", "agent"]).ngroup().to_numpy()
    first = np.unique(unit, return_index=True)[1]
    run = decisions["run"].to_numpy()[first]
    stratum, types = pd.factorize(kind.iloc[first], sort=True)
    centred = levels.iloc[first].reset_index(drop=True)
    centred -= centred.groupby(run).transform("mean")
    kept = [str(trait) for trait in levels if trait not in dependent(centred)]
    z = centred[kept].to_numpy()
    permuted = {
        name: _permute(
            np.bincount(unit, null.score).astype(float), z, run, stratum, permutations, seed
        )
        for name, null in nulls.items()
    }
    # Information about the coefficients, the same under every permutation.
    weight = pd.Series(np.bincount(unit, nulls[ALL].information)).groupby(run).transform("mean")
    products = weight.to_numpy()[:, None, None] * z[:, :, None] * z[:, None, :]
    information = [products[stratum == place].sum(axis=0) for place in range(len(types))]
    rows = [
        {"trait": trait, "test": test, "event_type": name, "df": len(combinations)}
        | permuted[test if test == INTERACTION else trait].test(combinations)
        for trait, test, name, combinations in _tests(
            list(map(str, levels)), kept, list(types), information
        )
    ]
    table = pd.DataFrame(rows)
    return table.assign(p_holm=_holm(table["p_value"]))


def _tests(
    traits: list[str], kept: list[str], types: list[str], information: list[Floats]
) -> Iterator[tuple[str, str, str, Floats]]:
    """Yield the tests: trait, what is tested, event type, and combinations of the scores."""
    # One step of Newton's method takes scores to coefficients, of all news and of each type.
    size, number = len(kept), len(types)
    together = np.tile(_inverse(np.sum(information, axis=0)), number)
    blocks = np.zeros((number, size, number, size))
    for place, part in enumerate(information):
        blocks[place, :, place] = _inverse(part)
    alone = blocks.reshape(number, size, number * size)
    for trait in [*traits, ALL]:
        row = [place for place, name in enumerate(kept) if trait in (name, ALL)]
        yield trait, "main", "", together[row]
        if number > 1:
            differences = np.diff(alone[:, row], axis=0)
            yield (
                trait,
                INTERACTION,
                "",
                differences.reshape((number - 1) * len(row), number * size),
            )
            if trait != ALL:
                for name, coefficients in zip(types, alone, strict=True):
                    yield trait, "by type", name, coefficients[row]


def _inverse(information: Floats) -> Floats:
    """Return the inverse of a matrix; NaN where it has none."""
    if not _invertible(information):
        return np.full_like(information, np.nan)
    return np.asarray(np.linalg.inv(information))


def _invertible(matrix: Floats) -> bool:
    """Return whether a symmetric matrix has an inverse."""
    size = len(matrix)
    finite = size > 0 and bool(np.isfinite(matrix).all())
    return finite and int(np.linalg.matrix_rank(matrix, hermitian=True)) == size


def _holm(p_values: pd.Series[float]) -> pd.Series[float]:
    """Return p-values that allow for testing several (Holm 1979)."""
    ascending = p_values.dropna().sort_values()
    adjusted = (ascending * np.arange(len(ascending), 0, -1)).cummax().clip(upper=1.0)
    return adjusted.reindex(p_values.index)


@dataclass(frozen=True)
class _Permuted:
    """Scores of the traits in some strata, as observed and under permutations.

    Attributes
    ----------
    scores : ndarray of float, shape (permutations + 1, strata * traits)
        The observed ones first: sums over agents of the score times the level.
    covariance : ndarray of float, shape (strata * traits, strata * traits)
        Of the scores under all permutations.
    """

    scores: Floats
    covariance: Floats

    def test(self, combinations: Floats) -> dict[str, float]:
        """Test that some combinations of the scores are zero; NaN where they cannot be told apart.

        The statistic is the sum of squares of the standardised combinations.
        """
        spread = combinations @ self.covariance @ combinations.T
        if not _invertible(spread):
            return {"statistic": np.nan, "p_value": np.nan}
        values = self.scores @ combinations.T
        statistic = np.sum(values @ np.linalg.inv(spread) * values, axis=1)
        # Permutations that change nothing are equal but for rounding.
        reached = statistic[1:] >= statistic[0] * (1 - 1e-9)
        p_value = (1 + reached.sum()) / len(statistic)
        return {"statistic": float(statistic[0]), "p_value": float(p_value)}


def _permute(
    score: Floats, levels: Floats, run: _Integers, stratum: _Integers, permutations: int, seed: int
) -> _Permuted:
    """Permute the profiles among the agents of each run, which is of one stratum.

    ``score`` is the sum of the scores of each agent's decisions, ``levels`` have mean zero in runs.
    """
    rng = np.random.default_rng(seed)
    traits, strata = levels.shape[1], int(stratum.max()) + 1
    scores = np.zeros((permutations + 1, strata, traits))
    covariance = np.zeros((strata, traits, strata, traits))
    for members in _by_run(run):
        place = stratum[members[0]]
        level = levels[members]
        own = score[members] - score[members].mean()
        number = len(own)
        scores[0, place] += own @ level
        # The scores are permuted instead of the profiles, which is the same.
        step = max(1, _AT_ONCE // number)
        for first in range(1, permutations + 1, step):
            part = slice(first, min(first + step, permutations + 1))
            rows = np.broadcast_to(own, (part.stop - part.start, number))
            scores[part, place] += rng.permuted(rows, axis=1) @ level
        covariance[place, :, place] += own @ own * (level.T @ level) / max(number - 1, 1)
    size = strata * traits
    return _Permuted(scores.reshape(permutations + 1, size), covariance.reshape(size, size))


def _by_run(run: _Integers) -> list[npt.NDArray[np.intp]]:
    """Return the places of each run's agents."""
    order = np.argsort(run, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(run[order])) + 1)
