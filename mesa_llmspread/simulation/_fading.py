"""The compiled core where posts fade with age, or the news does.

Posts are proposed by the loop of :mod:`mesa_llmspread.simulation._kernels`, as if all that count
weighed 1, which is at least what they do weigh. For the few agents that it proposes the weight is
summed over the neighbours, and the proposal is accepted with the ratio of the two chances: thinning
(Lewis & Shedler 1979, doi:10.1002/nav.3800260304), which is exact for every way of fading. Where a
proposal is rejected, the count becomes the weight, rounded up: weights never grow, so that it stays
a bound with one added for each newer post.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mesa_llmspread.simulation._kernels import (
    _at,
    _compiled,
    _decide,
    _draw,
    _draw_classes,
    _prefetch,
    _show,
    _show_event,
    _start,
)

__all__ = ["Fading", "spread_fading"]

_NEVER = 1 << 30


class Fading(NamedTuple):
    """What posts weigh, as the loop needs it.

    Attributes
    ----------
    weights : ndarray of float, shape (steps + 1,)
        By age plus one; 0 out of view, and before all for neighbours who have not posted.
    news : ndarray of float, shape (steps,)
        By step, from 1.
    rates : ndarray of float
        Rate per contact, by the part of the code above the count.
    count_bits : int
        Number of bits of a code that bound the weight.
    window : int
        Number of steps for which a post is in view; 0 for good.
    alpha, direct : float
        Probability that an agent sees the event itself in a step, and that this makes it post
        while the news is new.
    """

    weights: npt.NDArray[np.float64]
    news: npt.NDArray[np.float64]
    rates: npt.NDArray[np.float64]
    count_bits: int
    window: int
    alpha: float
    direct: float


@_compiled
def spread_fading(indptr, indices, law, fading, codes, starters, n_starters, seeds, infected):
    """Run one replicate after the other; see :func:`~mesa_llmspread.simulation._kernels.spread`.

    Parameters
    ----------
    fading : Fading
    """
    n, heard = len(codes), law.heard * 2.0**-53
    code, posted_at = np.empty_like(codes), np.empty(n, np.int32)
    deciding, fresh = np.empty(n + 1, np.uint32), np.empty(n + 1, np.uint32)
    # An agent without an occasion may lose sight of posts to which its decisions failed.
    forgets = law.remembered and fading.window and heard < 1.0
    for run in range(len(seeds)):
        random = (seeds[run, 0], seeds[run, 1])
        code[:], posted_at[:] = codes, _NEVER
        random = _draw_classes(law, code, random)
        n_fresh, random = _start(law, code, fresh, starters, n_starters, random)
        n_deciding, total = 0, n_fresh
        infected[run, 0] = total
        for step in range(1, infected.shape[1]):
            posted_at[fresh[:n_fresh]] = step - 1
            n_deciding = _show(indptr, indices, law, code, fresh, n_fresh, deciding, n_deciding)
            see = (indptr, indices, posted_at, step)
            if forgets:
                n_deciding = _forget(see, law, fading, code, deciding, n_deciding)
            n_fresh = 0
            alpha = 1.0 - (1.0 - fading.alpha) ** fading.news[step - 1]
            media, offline = heard * fading.direct, np.uint64(alpha * 2.0**53)
            if not law.remembered:
                media, offline = media * alpha, law.offline
            # Of old news nothing may be left.
            if media > 0.0:
                n_fresh, random = _show_event(law, media, offline, code, fresh, random)
            n_shown = n_fresh
            n_fresh, n_deciding, random = _decide(
                law, code, deciding, n_deciding, fresh, n_fresh, random
            )
            n_fresh, n_deciding, random = _thin(
                see, law, fading, alpha, code, deciding, n_deciding, fresh, n_shown, n_fresh, random
            )
            total += n_fresh
            infected[run, step] = total
            if total == n or (n_fresh == 0 and n_deciding == 0 and law.offline == 0):
                infected[run, step + 1 :] = total
                break


@_compiled
def _thin(see, law, fading, alpha, code, deciding, n_deciding, fresh, n_before, n_proposed, random):
    """Accept or reject every proposed post; those that are rejected decide again."""
    indptr, indices, _, step = see
    of_count, in_table = (1 << fading.count_bits) - 1, law.listed - 1
    heard, spared, news = law.heard, 1.0 - alpha * fading.direct, fading.news[step - 1]
    n_fresh, last = n_before, n_proposed - 1
    for a in range(n_before, n_proposed):
        _prefetch(indptr, fresh[min(a + 16, last)])
        _prefetch(indices, indptr[fresh[min(a + 8, last)]])
        i = _at(fresh[_at(a)])
        c = np.int64(code[i])
        weight = _weight(see, fading, i)
        if weight < c & of_count or news < 1.0:
            hazard = 0.0
            if weight * news > 0.0:
                hazard = fading.rates[_at((c & in_table) >> fading.count_bits)] * news * weight
            chance = heard * (1.0 - spared * np.exp(-hazard))
            x, random = _draw(random)
            if x * 2.0**-53 * law.thresholds[_at(c & in_table)] >= chance:
                c = (c & ~(law.posted | of_count)) | law.remembered | int(np.ceil(weight))
                code[i] = c if weight > 0.0 else c & ~law.listed
                deciding[_at(n_deciding)] = i
                n_deciding += weight > 0.0
                continue
        fresh[_at(n_fresh)] = i
        n_fresh += 1
    return n_fresh, n_deciding, random


@_compiled
def _forget(see, law, fading, code, deciding, n_deciding):
    """Unlist the agents that have had no occasion, and have no post in view."""
    indptr, indices, posted_at, step = see
    n_staying = 0
    for a in range(n_deciding):
        i = deciding[a]
        stays = code[i] & law.remembered
        for e in range(indptr[i], indptr[i + 1]):
            stays |= 0 < step - posted_at[indices[e]] <= fading.window
        deciding[n_staying] = i
        n_staying += stays != 0
        if not stays:
            code[i] &= ~law.listed & ~((1 << fading.count_bits) - 1)
    return n_staying


@_compiled
def _weight(see, fading, i):
    """Return what the posts weigh that an agent sees, while the news is new."""
    indptr, indices, posted_at, step = see
    weight = 0.0
    for e in range(indptr[i], indptr[i + 1]):
        weight += fading.weights[_at(max(step - posted_at[_at(indices[_at(e)])], 0))]
    return weight
