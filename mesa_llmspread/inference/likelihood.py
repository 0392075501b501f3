"""Decisions as likelihoods: what each agent saw when it decided, counted, under any law.

Given what an agent saw, its decision is a coin with the law's probability, so the likelihood is
a product over decisions, and equal decisions can be counted. An agent of a latent class keeps
its class, so the likelihood is a product over agents, each a sum over classes of the product of
its decisions; where contacts act one by one, only their sum counts. One general form serves
every law, with derivatives of the law's probabilities by central differences. Laws made of rates
that act on separate decisions
(:meth:`~mesa_llmspread.transmission.TransmissionLaw.rate_terms`) are shorter: each rate by
itself, with exact derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from mesa_llmspread.inference.decisions import Bools, Log, distinct
from mesa_llmspread.inference.maximum import STEP, Derivatives, Problem, peak_of
from mesa_llmspread.inference.regression import cloglog
from mesa_llmspread.inference.scale import Floats, Scale
from mesa_llmspread.profiles import codes
from mesa_llmspread.transmission import SI, ExposureArrays, TransmissionLaw

__all__ = ["by_contacts", "common_rate", "likelihood", "rates_likelihood"]

# Probabilities are kept this far from 0 and 1, where a decision would be impossible.
_TINY, _NEARLY_ONE = 1e-300, 1 - 1e-16

# Step of second differences of a log-likelihood, which rounding spoils sooner than first ones.
_STRIDE = 3e-4

# The smallest share of a latent class, and the distance that is kept from the ends of a scale.
_FEW, _INSIDE = 1e-12, 1e-6

# Points that are tried before a search, the number of the best from which it starts, and how
# far they lie around one rate for all (spread matters: equal classes are a saddle).
_POINTS, _STARTS, _AROUND = 32, 3, 3.0

# Logarithms of rates per contact and step that are neither too small nor too large to start from.
_ORDINARY = np.log([1e-6, 5.0])


def likelihood(
    law: TransmissionLaw, log: Log, kept: Bools | None = None, smooth: bool = False
) -> Problem:
    """Return the likelihood of a law's parameters.

    Parameters
    ----------
    law : TransmissionLaw
        Its options matter, its values do not.
    log : Log
    kept : ndarray of bool, optional
        The decisions to use, such as those of one run; all if not given.
    smooth : bool, default False
        Whether to add half a repost and half a decline to the decisions of a rate where all or
        none are reposts. Its estimate is then neither 0 nor 1, has a logarithm, and makes no
        decision impossible. Without effect on parameters that are estimated together.

    Returns
    -------
    Problem
        The same parameters whatever is kept: all of the law's, but rates by profile only where
        an agent with the profile saw a post.
    """
    used = np.ones(log.n_obs, dtype=bool) if kept is None else kept
    if not law.offline:
        # Without posts in view no parameter acts; such reposts are refused before.
        used = used & (log.seen.contacts > 0)
    seen, cell = log.cells(law)
    terms = law.log_rates(seen)
    if terms is None:
        # An agent reposts one event once; where there are several, its reposts may be.
        once = by_contacts(law) and np.bincount(log.agent, log.repost * used).max() <= 1
        return (_by_contacts if once else _general)(law, log, used)
    acting = (terms[1] > 0) | (seen.direct & law.offline)
    design, contacts = (term[acting] for term in terms)
    direct = (seen.direct * seen.news)[acting] if law.offline else None
    counts = log.counts(cell, used)[:, acting]
    names = [name for name in law.parameters if name != "alpha"]
    if names == list(codes()):
        informed = design.any(axis=0)
        names, design = list(np.array(names)[informed]), design[:, informed]
    rates = law.rate_terms(seen[:1]) is not None
    if smooth and rates and direct is None:
        reposts, declines = counts @ design
        lonely = (reposts == 0) != (declines == 0)
        counts += 0.5 * counts.sum(axis=0) * (design @ (lonely / np.maximum(reposts + declines, 1)))
    scale = Scale.of(law, ["alpha"] * law.offline + names)
    return rates_likelihood(scale, design, contacts, *counts, direct=direct, rates=rates)


def rates_likelihood(
    scale: Scale,
    design: Floats,
    contacts: npt.NDArray[Any],
    reposts: Floats,
    declines: Floats,
    *,
    direct: Floats | None = None,
    rates: bool = True,
) -> Problem:
    """Return the likelihood of rates, or of terms of their logarithm.

    Parameters
    ----------
    scale : Scale
        The parameters, the offline one first.
    design : ndarray of float, shape (cells, online parameters)
        1 where a rate acts, else 0; or the values of terms.
    contacts : ndarray, shape (cells,)
        Contacts that act independently.
    reposts, declines : ndarray of float, shape (cells,)
        Number of decisions of each kind.
    direct : ndarray of float, shape (cells,), optional
        What the event itself weighed where agents saw it, else 0; for laws with an offline part.
    rates : bool, default True
        Whether the columns of the design are rates, of which one acts at a time.

    Returns
    -------
    Problem
        A complementary log-log regression without an intercept.
    """
    # From crude rates: reposts per contact.
    online = design if rates else np.ones((len(design), 1))
    exposed = (contacts * (reposts + declines)) @ online
    found = (reposts * (contacts > 0)) @ online
    start = np.log(np.where(exposed, np.maximum(found, 0.5) / np.maximum(exposed, 1e-9), 1))
    if not rates:
        start = np.r_[start, np.zeros(design.shape[1] - 1)]
    if direct is not None:
        start = np.r_[start.mean(), start]
    problem = cloglog(design, reposts, declines, start, contacts=contacts, direct=direct)
    return replace(problem, scale=scale, separate=rates and direct is None)


def _general(law: TransmissionLaw, log: Log, used: Bools) -> Problem:
    """Return the likelihood of any law, with derivatives of its probabilities by differences.

    It is a product over agents, or over one agent that made all decisions where there are no
    latent classes.
    """
    scale, (seen, cell) = Scale.of(law), log.cells(law)
    latent = len(law.mixture_components()) > 1
    agent = log.agent if latent else np.zeros_like(log.agent)
    declined, posted = (
        csr_array((number * used, (agent, cell)), shape=(int(agent.max()) + 1, len(seen)))
        for number in (1 - log.repost, log.repost)
    )

    def components(points: Floats) -> tuple[Floats, Floats]:
        """Return each class's share (points, c) and its chances of posting (points, c, cells)."""
        # Never exactly on a bound, where a derivative would jump.
        inside = np.clip(points, scale.lower + _INSIDE, scale.upper - _INSIDE)
        shares, chances = [], []
        for each in scale.laws(law, inside):
            classes = each.mixture_components()
            shares.append([share for share, _ in classes])
            chances.append([part.checked_prob(seen) for _, part in classes])
        return np.clip(shares, _FEW, 1.0), np.clip(chances, _TINY, _NEARLY_ONE)

    def logliks(shares: Floats, p: Floats) -> Floats:
        """Return the log-likelihood of each agent in each class (agents, c)."""
        return np.asarray(np.log(shares) + declined @ np.log1p(-p).T + posted @ np.log(p).T)

    def loglik(theta: Floats) -> float:
        (shares,), (p,) = components(theta[None])
        return float(np.logaddexp.reduce(logliks(shares, p), axis=1).sum())

    def derivatives(theta: Floats) -> Derivatives:
        steps = STEP * np.eye(len(theta))
        shares, chances = components(np.concatenate([theta[None], theta + steps, theta - steps]))
        share, p, n = shares[0], chances[0], len(theta)
        share_slopes, slopes = (
            (found[1 : n + 1] - found[n + 1 :]) / (2 * STEP) for found in (shares, chances)
        )
        each = logliks(share, p)
        total = np.logaddexp.reduce(each, axis=1, keepdims=True)
        is_class = np.exp(each - total)
        declines, reposts = is_class.T @ declined, is_class.T @ posted
        mean, curvature = np.zeros((len(each), n)), np.zeros((n, n))
        for c, weight in enumerate(is_class.T):
            slope, share_slope = slopes[:, c], share_slopes[:, c] / share[c]
            # The score of each agent, and about the curvature, if its class were known.
            score = posted @ (slope / p[c]).T - declined @ (slope / (1 - p[c])).T + share_slope
            curvature -= weight.sum() * np.outer(share_slope, share_slope)
            # Not by the square, which may be too small for a number.
            information = reposts[c] / p[c] / p[c] + declines[c] / (1 - p[c]) ** 2
            curvature -= (slope * information) @ slope.T
            curvature += (score.T * weight) @ score
            mean += weight[:, None] * score
        # Louis (1982): the information is less by what not knowing the class hides.
        return float(total.sum()), mean.sum(axis=0), curvature - mean.T @ mean

    def starts() -> Sequence[Floats]:
        return _starts(law, log, scale, loglik)

    return Problem(scale, derivatives, starts)


def by_contacts(law: TransmissionLaw) -> bool:
    """Return whether a law has latent classes in which every contact acts on its own."""
    parts = [part for _, part in law.mixture_components()]
    alike = all(part.independent_contacts and not part.uses_profile for part in parts)
    return len(parts) > 1 and alike and {part.memory for part in parts} == {"none"}


def _by_contacts(law: TransmissionLaw, log: Log, used: Bools) -> Problem:
    """Return the likelihood of latent classes in which every contact acts on its own.

    An agent of unknown class declines M contacts in all with the probability that it declines M at
    once, S(M) = 1 - prob(M). So one that posts at the next m has S(M) - S(M + m), exactly.
    """
    scale, seen = Scale.of(law), log.seen
    declined, posted = (number * used for number in (1 - log.repost, log.repost))
    sums = [
        np.bincount(log.agent, number * each)
        for each in (seen.weight, seen.direct * seen.news)
        for number in (declined, posted)
    ] + [np.bincount(log.agent, posted)]
    # Agents of the same history are counted.
    first, history = distinct(sums)
    number = np.bincount(history)
    before, at, sightings, sighted, reposts = (each[first] for each in sums)
    contacts = ExposureArrays(np.concatenate([before, before + at]))

    def logliks(points: Floats) -> Floats:
        """Return the log-likelihood of an agent of each history (points, histories)."""
        # Never exactly on a bound, where a derivative would jump.
        inside = np.clip(points, scale.lower + _INSIDE, scale.upper - _INSIDE)
        found = []
        for each in scale.laws(law, inside):
            stays, leaves = np.split(1.0 - each.prob(contacts), 2)
            chance = stays - reposts * (1.0 - each.alpha) ** sighted * leaves
            found.append(np.log(chance.clip(_TINY)) + sightings * np.log1p(-each.alpha))
        return np.array(found)

    def derivatives(theta: Floats) -> Derivatives:
        steps = _STRIDE * np.eye(len(theta))
        i, j = np.triu_indices(len(theta), 1)
        both = steps[i] + steps[j]
        points = np.concatenate([np.zeros_like(theta)[None], steps, -steps, both, -both])
        found = logliks(theta + points) @ number
        (top,), up, down, up_both, down_both = np.split(
            found, np.cumsum([1, len(steps), len(steps), len(i)])
        )
        curvature = np.diag(up + down - 2 * top)
        curvature[i, j] = curvature[j, i] = (
            up_both + down_both - up[i] - up[j] - down[i] - down[j] + 2 * top
        ) / 2
        return float(top), (up - down) / (2 * _STRIDE), curvature / _STRIDE**2

    def starts() -> Sequence[Floats]:
        return _starts(law, log, scale, lambda theta: float(logliks(theta[None])[0] @ number))

    return Problem(scale, derivatives, starts)


def _starts(
    law: TransmissionLaw, log: Log, scale: Scale, loglik: Callable[[Floats], float]
) -> list[Floats]:
    """Return the law's own start, one rate for all, and the best of points spread around it."""
    middle = np.where(scale.is_rate, common_rate(log), 0.0)
    points = scale.around(middle, _AROUND, _POINTS)
    best = points[np.argsort([-loglik(point) for point in points])[:_STARTS]]
    own = law.start(log.data)
    given = [scale.from_values(list({**law.parameters, **own}.values()))] if own else []
    return [*given, middle, *best]


def common_rate(log: Log) -> float:
    """Return the logarithm of one rate for all contacts, neither too small nor too large."""
    problem = likelihood(SI.example(), log, smooth=True)
    return float(np.clip(peak_of(problem, problem.starts())[0][0], *_ORDINARY))
