"""Effects of personality traits on the probability of a repost: a regression of the decisions.

The hazard of a repost is a product of effects: of the agent (five traits), of what it saw (how
many posts, how often before) and of the event.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as t_distribution

from mesa_llmspread._validation import checked_int, checked_level
from mesa_llmspread._words import counted, p_number, p_words
from mesa_llmspread.data import SpreadData
from mesa_llmspread.inference.decisions import decisions_of_both
from mesa_llmspread.inference.power import information_left, smallest_ratio
from mesa_llmspread.inference.randomisation import ALL, INTERACTION, trait_tests
from mesa_llmspread.inference.regression import Regression, regress, terms_of
from mesa_llmspread.profiles import Trait
from mesa_llmspread.rng import RNGLike, as_seed

__all__ = ["TraitEffects", "trait_effects"]

_TRAITS = tuple(trait.value for trait in Trait)

# Terms before and after those of the event types, and what they are called.
_BEFORE, _AFTER = ["contacts", "first", "direct", "alone"], ["fatalities", "civilians"]
_NAMES = {
    "contacts": "log contacts",
    "first": "first exposure",
    "direct": "saw the event",
    "alone": "saw the event only",
    "fatalities": "fatalities (log10)",
    "civilians": "civilians targeted",
}

# With fewer clusters than this, errors that are robust to clusters are too small (Cameron &
# Miller 2015, doi:10.3368/jhr.50.2.317); an event type's one term can do with fewer.
_FEWEST_CLUSTERS = 40
_FEWEST_OF_A_TYPE = 10

# With fewer events than this, of all types or of one, effects are those on these events only.
_FEWEST_EVENTS = 10

# Power at which the smallest effect is given that a record can show.
_POWER = 0.8


@dataclass(frozen=True)
class TraitEffects:
    """Effects on the hazard of a repost, with intervals and tests.

    Attributes
    ----------
    table : DataFrame
        One row per term: ``term, coefficient, stderr, hazard_ratio`` (exp of the coefficient),
        ``low, high`` (its interval), ``p_value``. A trait's ratio compares agents whose level is
        one standard deviation apart (high and mean, for the 32 binary profiles); its p-value
        is that of its test ``"main"``, other terms' are from the regression.
    interactions : DataFrame
        The traits' ratios within each event type: ``trait, event_type, hazard_ratio, low,
        high, p_value``. Empty where all news is of one type.
    tests : DataFrame
        One row per randomisation test: ``trait, test, event_type, df, statistic`` (about
        chi-squared with ``df`` degrees of freedom), ``p_value, p_holm``. The test ``"main"``
        asks whether the trait has an effect over all news, ``"by type"`` whether it has one
        on news of this type, ``"interaction"`` whether its effect differs between types. The
        rows ``"all traits"`` test the five together; ``p_holm`` allows for all tests of the
        table (Holm 1979). NaN where there is no test.
    dropped : dict of str to str
        Terms without an estimate, and why.
    covariance : str
        Where the standard errors come from.
    decisions, runs : int
        How many were used.
    level : float
        Coverage of the intervals.
    smallest_ratio : float
        The smallest hazard ratio per standard deviation of a trait that these reposts show with
        a power of 0.8, after the allowance for all tests.
    warnings : tuple of str
        What limits the claims.
    verdict : str
        What the tables show, in a sentence.
    """

    table: pd.DataFrame
    interactions: pd.DataFrame
    tests: pd.DataFrame
    dropped: Mapping[str, str]
    covariance: str
    decisions: int
    runs: int
    level: float
    smallest_ratio: float
    warnings: tuple[str, ...]
    verdict: str

    @property
    def claimed(self) -> list[str]:
        """Traits of which some test rejects, allowing for all tests."""
        found = self.tests.loc[self.tests["p_holm"] < 1 - self.level, "trait"]
        return [trait for trait in _TRAITS if trait in set(found)]

    def summary(self) -> str:
        """Return the verdict, the tables and what was left out, as text."""
        lines = [
            self.verdict,
            f"{counted(self.decisions, 'decision')} in {counted(self.runs, 'run')}; "
            f"standard errors {self.covariance}; intervals of {self.level:.0%}.",
            f"Smallest effect that these reposts can show with a power of {_POWER:g}: a hazard "
            f"ratio of {self.smallest_ratio:.2f} per standard deviation.",
            *self.warnings,
            "",
            _written(self.table),
            "",
            _written(self.tests),
        ]
        lines += [f"no estimate for {term}: {why}" for term, why in self.dropped.items()]
        return "\n".join(lines)


def trait_effects(
    data: SpreadData, *, level: float = 0.95, permutations: int = 1999, rng: RNGLike = 0
) -> TraitEffects:
    """Estimate which traits move the probability of a repost.

    A complementary log-log regression, ``p = 1 - exp(-exp(x b))``, of every decision on the
    five trait levels (numbers; -1 low, +1 high for the binary profiles), the logarithm of the
    posts in view (a coefficient of 1 means that every neighbour acts on its own), first or
    repeated exposure, seeing the event itself, and the event: its type, people killed (``log10(1 +
    fatalities)``), civilians as the target. A second regression gives every trait a
    coefficient for each event type. Whether a trait has an effect at all is tested by permuting
    profiles among the agents of each run.

    Parameters
    ----------
    data : SpreadData
        One run or several.
    level : float, default 0.95
        Coverage of the intervals, and the confidence that the verdict asks for.
    permutations : int, default 1999
        How many; the smallest p-value is 1 / (permutations + 1).
    rng : int, numpy.random.Generator or None, default 0
        Randomness of the permutations.

    Returns
    -------
    TraitEffects

    Raises
    ------
    ArgumentError
        If there are no decisions, if all or none are reposts, or if the terms predict every
        decision perfectly.

    Notes
    -----
    *Tests.* The statistic is the score of the regression without what is tested (the other
    traits stay), and profiles are permuted among the agents of a run that decided. Where
    personality has no effect all permutations are equally likely, whatever the law, the
    differences between runs and agents, and the failures: the test of all traits is exact, and
    those of one trait are nearly so where others have an effect (Freedman & Lane 1983,
    doi:10.1080/07350015.1983.10509354).

    *Standard errors.* They are robust to dependence within runs where there are at least 40
    runs, and 10 about each event type (40 about each, for the coefficients by event type);
    else to dependence within agents, who decide again and again and differ in more than
    their traits, where there are as many agents; else they trust the model. Errors that are not
    robust to runs make the terms of the events, which compare runs, look surer than they
    are; those of the traits, which compare agents within runs, are not touched by that.

    *Perfect separation.* Where some combination of terms goes with always reposting, or
    never, its maximum-likelihood estimate is infinite. Those decisions are left out together
    with the terms they alone inform, which are named in ``dropped``; the other estimates
    are the limit of the likelihood's.

    *What it is not.* Agents who are apt to repost leave the audience first, so the effect of
    a first exposure holds hidden differences between agents, too.

    Examples
    --------
    >>> from mesa_llmspread import SpreadModel, TraitDecider
    >>> decider = TraitDecider(extraversion=0.8)
    >>> data = SpreadData.from_model(SpreadModel(n=500, decider=decider, rng=1).run(30))
    >>> effects = trait_effects(data).table.set_index("term")
    >>> bool(effects.loc["extraversion", "low"] > 1.5)
    True
    """
    checked_level(level)
    permutations = checked_int("permutations", permutations, 1)
    decisions = decisions_of_both(data)
    (terms, types), repost = terms_of(decisions, data), decisions["repost"]
    # The type with the most reposts is the reference: it cannot be perfectly separated.
    reference = types.mul(repost, axis=0).sum().idxmax()
    contrasts = types.drop(columns=reference).add_suffix(f" (vs. {reference})")
    common = terms[_BEFORE].join(contrasts).join(terms[_AFTER]).rename(columns=_NAMES)
    kind = types.idxmax(axis=1)

    def regressed(levels: pd.DataFrame, fewest_of_a_type: int) -> tuple[Regression, str]:
        cluster, covariance = _clusters(decisions, kind, fewest_of_a_type)
        # The traits come last: one that cannot be told from another term is dropped.
        return regress(common.join(levels), repost, cluster), covariance

    levels = terms[list(_TRAITS)]
    main, covariance = regressed(levels, _FEWEST_OF_A_TYPE)
    full, dropped = main, dict(main.dropped)
    if types.shape[1] > 1:
        products = {
            f"{trait}: {name}": levels[trait] * types[name] for trait in _TRAITS for name in types
        }
        full, of_full = regressed(pd.DataFrame(products), _FEWEST_CLUSTERS)
        if of_full != covariance:
            covariance += f", and those by event type {of_full}"
        dropped |= {
            term: why
            for term, why in full.dropped.items()
            if term in products and term.split(":")[0] not in main.dropped
        }
    nulls = {INTERACTION: main}
    for name in (*_TRAITS, ALL):
        others = [trait for trait in _TRAITS if name not in (trait, ALL)]
        nulls[name] = regress(common.join(levels[others]), repost, None)
    tests = trait_tests(decisions, levels, kind, nulls, permutations, as_seed(rng))
    ratios = _ratios(main, level)
    order = [term for term in [*_TRAITS, *common] if term in ratios.index]
    table = ratios.loc[order].reset_index(names="term")
    of_main = tests[tests["test"] == "main"].set_index("trait")["p_value"]
    table["p_value"] = (
        table["term"].map(of_main).where(table["term"].isin(_TRAITS), table["p_value"])
    )
    alpha = (1 - level) / max(1, tests["p_value"].count())
    estimated = [name for name in _TRAITS if name in order]
    # A trait that is estimated varies.
    left = information_left(levels[estimated].to_numpy()) if estimated else 1.0
    return TraitEffects(
        table,
        _interactions(full, tests, level),
        tests,
        dropped,
        covariance,
        len(decisions),
        decisions["run"].nunique(),
        level,
        smallest_ratio(repost.sum() * left, alpha=alpha, power=_POWER),
        (*_warnings(decisions, kind), *_too_few(permutations, tests, level)),
        _verdict(table, tests, main.dropped, level),
    )


def _written(table: pd.DataFrame) -> str:
    """Write a table; the smallest p-values as a bound."""
    numbers = {"p_value": p_number, "p_holm": p_number}
    return table.to_string(index=False, float_format="{:.3g}".format, formatters=numbers)


def _clusters(
    decisions: pd.DataFrame, kind: pd.Series[Any], fewest_of_a_type: int
) -> tuple[pd.Series[int] | None, str]:
    """Choose within what decisions may depend on each other, and describe the choice."""
    for word, unit in (("run", ["run"]), ("agent", ["run", "agent"])):
        cluster = decisions.groupby(unit).ngroup()
        number = cluster.nunique()
        of_a_type = cluster.groupby(kind).nunique()
        if number >= _FEWEST_CLUSTERS and of_a_type.min() >= fewest_of_a_type:
            return cluster, f"clustered by {word} ({number})"
    return None, "from the model (too few agents to cluster by)"


def _ratios(regression: Regression, level: float) -> pd.DataFrame:
    """Return hazard ratios with intervals."""
    coefficient = regression.coefficients
    stderr = pd.Series(np.sqrt(np.diag(regression.covariance)), coefficient.index)
    reach = t_distribution.ppf((1 + level) / 2, regression.freedom) * stderr
    p_value = 2 * t_distribution.sf(np.abs(coefficient / stderr), regression.freedom)
    columns = {"coefficient": coefficient, "stderr": stderr}
    with np.errstate(over="ignore"):
        for name, half in (("hazard_ratio", 0.0), ("low", -reach), ("high", reach)):
            columns[name] = coefficient.add(half).map(np.exp)
    return pd.DataFrame(columns | {"p_value": p_value}).drop(index="intercept")


def _interactions(full: Regression, tests: pd.DataFrame, level: float) -> pd.DataFrame:
    """List the ratio of every trait within every event type."""
    columns = ["hazard_ratio", "low", "high"]
    within = tests[(tests["test"] == "by type") & (tests["trait"] != ALL)]
    ratios = _ratios(full, level)[columns].reset_index(names="term")
    rows = within.assign(term=within["trait"] + ": " + within["event_type"]).merge(
        ratios, on="term"
    )
    return rows[["trait", "event_type", *columns, "p_value"]]


def _warnings(decisions: pd.DataFrame, kind: pd.Series[Any]) -> tuple[str, ...]:
    """Return what limits the claims: effects on few events need not be those on others."""
    event = decisions["event"]
    events, fewest = event.nunique(), int(event.groupby(kind).nunique().min())
    notes = []
    if events < _FEWEST_EVENTS:
        notes.append(
            f"The news is about {counted(events, 'event')}: with fewer than {_FEWEST_EVENTS}, an "
            "effect may not hold for other events."
        )
    if kind.nunique() > 1 and fewest < _FEWEST_EVENTS:
        notes.append(
            f"Some type has only {counted(fewest, 'event')}: with fewer than {_FEWEST_EVENTS} per "
            "type, a difference between types may be one between events."
        )
    return tuple(notes)


def _too_few(permutations: int, tests: pd.DataFrame, level: float) -> Iterator[str]:
    """Yield that no test could have rejected, whatever the decisions."""
    number = tests["p_value"].count()
    if number / (permutations + 1) >= 1 - level:
        yield (
            f"With {counted(permutations, 'permutation')} none of {counted(number, 'test')} can "
            f"reject at this level: that takes {int(number / (1 - level))} or more."
        )


def _verdict(
    table: pd.DataFrame, tests: pd.DataFrame, dropped: Mapping[str, str], level: float
) -> str:
    """Return which traits matter, in a sentence."""
    overall = float(tests.query("test == 'main'").set_index("trait")["p_value"][ALL])
    p = "not tested" if np.isnan(overall) else p_words(overall)
    each = tests[tests["trait"] != ALL]
    claimed = each[each["p_holm"] < 1 - level]
    found = {test: list(part["trait"].unique()) for test, part in claimed.groupby("test")}
    moving, differing = found.get("main", []), found.get("interaction", [])
    tested = [trait for trait in _TRAITS if (each.dropna()["trait"] == trait).any()]
    within = claimed[(claimed["test"] == "by type") & ~claimed["trait"].isin(moving)]
    lists = {
        "a standard deviation more of": [
            f"{row['term']} x{row['hazard_ratio']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
            for row in table[table["term"].isin(moving)].to_dict("records")
        ],
        "found for some event types only:": [
            f"{trait} ({', '.join(part['event_type'])})" for trait, part in within.groupby("trait")
        ],
        "the effect differs by event type for": differing,
        "no effect found of": [t for t in tested if t not in set(claimed["trait"])],
        "no estimate for": [f"{trait} ({dropped[trait]})" for trait in _TRAITS if trait in dropped],
    }
    first = f"Traits move the hazard of a repost ({p} for all together)"
    if claimed.empty:
        first = f"No trait is found to move the hazard of a repost ({p} for all together)"
        del lists["no effect found of"]
    parts = [first] + [f"{what} {', '.join(which)}" for what, which in lists.items() if which]
    return "; ".join(parts) + "."
