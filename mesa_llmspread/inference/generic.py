"""The likelihood of any law, from the probabilities that it gives.

A law without latent classes is a coin at every decision, so its likelihood is a product over
cells of like decisions. With latent classes every agent keeps its class, and the likelihood
is a product over agents, each a sum over classes of the product of its decisions.

Both are maximised on the scale of :class:`~mesa_llmspread.inference.maximise.Scale`.
Derivatives are numerical (central differences of the law's probabilities); laws with a
closed form have exact ones in :mod:`~mesa_llmspread.inference.joint`, and tests hold the two
together.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import logsumexp, xlog1py, xlogy
from scipy.stats import qmc

from mesa_llmspread.inference.likelihood import Cells, Log
from mesa_llmspread.inference.maximise import Derivatives, Problem
from mesa_llmspread.inference.scale import Floats, Scale
from mesa_llmspread.inference.trials import Trials, peak_rate
from mesa_llmspread.transmission import ExposureArrays, TransmissionLaw

__all__ = ["generic_problem"]

# Step of numerical derivatives, on the scale of the search.
_STEP = 1e-4

# Probabilities are kept this far from 0 and 1, where a decision would be impossible.
_TINY, _NEARLY_ONE = 1e-300, 1 - 1e-16

# Points that are tried before a search, and how many of the best it starts from.
_POINTS, _STARTS = 32, 3

# How far around the pooled rate they lie, or around the middle of other scales. Spread points
# matter: equal classes are a saddle.
_AROUND = 3.0


def generic_problem(law: TransmissionLaw, log: Log) -> Problem:
    """Set up the likelihood of a law, whatever it is.

    Parameters
    ----------
    law : TransmissionLaw
        Its options count, its values do not.
    log : Log

    Returns
    -------
    Problem
    """
    scale = Scale.of(law)
    names = list(law.parameters)

    def at(theta: Floats) -> TransmissionLaw:
        return law.replace(dict(zip(names, scale.to_values(theta).tolist(), strict=True)))

    cells = log.cells(law)
    if not law.offline:
        # With nobody in view no parameter acts; such reposts are refused before.
        cells = cells.where(cells.seen.contacts > 0)
    if len(law.mixture_components()) > 1:
        value = _latent_loglik(at, log, law)
        starts = _starts(law, log, scale, value)
        return Problem(scale, lambda theta: (value(theta), *_numerical(value, theta)), starts)
    value, derivatives, hessian = _plain(at, cells)
    return Problem(scale, derivatives, _starts(law, log, scale, value), hessian=hessian)


def _plain(
    at: Callable[[Floats], TransmissionLaw], cells: Cells
) -> tuple[Callable[[Floats], float], Callable[[Floats], Derivatives], Callable[[Floats], Floats]]:
    """Set up a likelihood over cells, with the expected information for the climb."""
    total = cells.declines + cells.reposts

    def chance(theta: Floats) -> Floats:
        return at(theta).checked_prob(cells.seen)

    def loglik(p: Floats) -> float:
        safe = np.clip(p, _TINY, _NEARLY_ONE)
        return float(np.sum(xlogy(cells.reposts, safe) + xlog1py(cells.declines, -safe)))

    def score(theta: Floats) -> tuple[Floats, Floats, Floats]:
        """Probabilities, their slopes, and the gradient of the log-likelihood."""
        p = np.clip(chance(theta), _TINY, _NEARLY_ONE)
        slopes = np.array([(chance(up) - chance(down)) / (2 * _STEP) for up, down in _ends(theta)])
        return p, slopes, slopes @ (cells.reposts / p - cells.declines / (1 - p))

    def derivatives(theta: Floats) -> Derivatives:
        p, slopes, gradient = score(theta)
        expected = (slopes * (total / (p * (1 - p)))) @ slopes.T
        return loglik(p), gradient, -expected

    def hessian(theta: Floats) -> Floats:
        rows = [(score(up)[2] - score(down)[2]) / (2 * _STEP) for up, down in _ends(theta)]
        return (np.array(rows) + np.array(rows).T) / 2

    return (lambda theta: loglik(chance(theta))), derivatives, hessian


def _latent_loglik(
    at: Callable[[Floats], TransmissionLaw], log: Log, law: TransmissionLaw
) -> Callable[[Floats], float]:
    """Set up a likelihood over agents, each of one unknown class."""
    seen, declined, posted, count = _histories(log, law)

    def value(theta: Floats) -> float:
        parts = []
        for share, part in at(theta).mixture_components():
            p = np.clip(part.checked_prob(seen), _TINY, _NEARLY_ONE)
            with np.errstate(divide="ignore"):
                parts.append(np.log(share) + declined @ np.log1p(-p) + posted @ np.log(p))
        return float(count @ logsumexp(parts, axis=0))

    return value


def _histories(log: Log, law: TransmissionLaw) -> tuple[ExposureArrays, Floats, Floats, Floats]:
    """Count, for every kind of agent, how often it declined and posted at what it saw.

    Returns what can be seen (c cells); declines and posts of every kind of agent, each of shape
    (kinds, c); and the number of agents of each kind.
    """
    decisions = log.decisions
    if not law.offline:
        decisions = decisions.where(decisions.seen.contacts > 0)
    names = sorted(log.columns(law))
    columns = [getattr(decisions.seen, name) for name in names]
    seen, cell = np.unique(np.column_stack(columns), axis=0, return_inverse=True)
    agents, agent = np.unique(
        np.column_stack([decisions.run, decisions.seen.agent]), axis=0, return_inverse=True
    )
    declined, posted = np.zeros((2, len(agents), len(seen)))
    np.add.at(declined, (agent.ravel(), cell.ravel()), decisions.declines)
    np.add.at(posted, (agent.ravel(), cell.ravel()), decisions.reposts)
    kinds, count = np.unique(np.hstack([declined, posted]), axis=0, return_counts=True)
    arrays = ExposureArrays(**{name: seen[:, i] for i, name in enumerate(names)})
    return arrays, kinds[:, : len(seen)], kinds[:, len(seen) :], count.astype(float)


def _ends(theta: Floats) -> list[tuple[Floats, Floats]]:
    """Return the points a step up and down from a point, along each axis."""
    steps = _STEP * np.eye(len(theta))
    return [(theta + step, theta - step) for step in steps]


def _numerical(value: Callable[[Floats], float], theta: Floats) -> tuple[Floats, Floats]:
    """Return the gradient and the Hessian by central differences."""
    size, steps, middle = len(theta), _STEP * np.eye(len(theta)), value(theta)
    pairs = [(value(up), value(down)) for up, down in _ends(theta)]
    gradient = np.array([(up - down) / (2 * _STEP) for up, down in pairs])
    hessian = np.diag([(up + down - 2 * middle) / _STEP**2 for up, down in pairs])
    for i in range(size):
        for j in range(i):
            both = [
                value(theta + a * steps[i] + b * steps[j]) * a * b for a in (1, -1) for b in (1, -1)
            ]
            hessian[i, j] = hessian[j, i] = sum(both) / (4 * _STEP**2)
    return gradient, hessian


def _starts(
    law: TransmissionLaw, log: Log, scale: Scale, value: Callable[[Floats], float]
) -> list[Floats]:
    """Return the law's own start, one rate for all, and the best of points spread around it."""
    cells = log.cells_by()
    pooled = peak_rate(
        Trials.count(cells.seen.contacts, cells.reposts, cells.declines).off_bounds()
    )
    middle = np.zeros(len(scale))
    middle[list(scale.is_rate)] = np.log(pooled[0])
    cube = qmc.Sobol(len(scale), rng=0).random(_POINTS)
    points = middle + _AROUND * (2 * cube - 1)
    best = points[np.argsort([-value(point) for point in points])[:_STARTS]]
    starts = [middle, *best]
    if own := law.start(log.data):
        starts.insert(
            0, scale.from_values([{**law.parameters, **own}[name] for name in law.parameters])
        )
    return starts
