"""The compiled core where posts stay in view for some steps, or fade with age.

As :mod:`mesa_llmspread.simulation._kernels`, with two things more per agent. Where posts leave
view, the number that is still there: what a post had added is taken back when it leaves. Where
posts fade by the same factor in every step, what they weigh. Where they fade otherwise, an upper
bound of that: weights never grow, so the weight at an earlier step plus one for each newer post is
one. Few of the random numbers lie below the chance that goes with the bound; for these alone the
weight is summed over the neighbours, and becomes the bound. So decisions are exact for every way of
fading.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mesa_llmspread.simulation._kernels import (
    _at,
    _compiled,
    _draw,
    _draw_classes,
    _post,
    _prefetch,
    _show_event,
    _start,
)

__all__ = ["Fading", "spread_ageing"]

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
        Rate per contact, by the part of the code above the count; empty where decisions depend on
        the number of posts in view.
    alpha : float
        Probability that the event itself makes an agent post in a step.
    cumulative : bool
        Whether all neighbours who have posted count.
    window : int
        Number of steps for which a post is in view; 0 for good.
    factor : float
        By which the weight of every post changes per step; -1 where that depends on its age.
    """

    weights: npt.NDArray[np.float64]
    news: npt.NDArray[np.float64]
    rates: npt.NDArray[np.float64]
    alpha: float
    cumulative: bool
    window: int
    factor: float


@_compiled
def spread_ageing(
    indptr, indices, law, fading, count_bits, codes, starters, n_starters, seeds, infected
):
    """Run one replicate after the other; see :func:`~mesa_llmspread.simulation._kernels.spread`.

    Parameters
    ----------
    fading : Fading
    count_bits : int
        Number of bits of a code that count posting neighbours.
    """
    n, steps = len(codes), infected.shape[1]
    code = np.empty_like(codes)
    deciding = np.empty(n + 1, np.uint32)
    # All posts in order, of step s those from first[s] on.
    posts, first = np.empty(n + 1, np.uint32), np.zeros(steps + 1, np.int64)
    posted_at = np.empty(n, np.int32)
    visible = np.empty(n if fading.window else 0, np.uint32)
    bound = np.empty(n if len(fading.rates) else 0, np.float64)
    for run in range(len(seeds)):
        random = (seeds[run, 0], seeds[run, 1])
        code[:], posted_at[:], visible[:], bound[:] = codes, _NEVER, 0, 0.0
        random = _draw_classes(law, code, random)
        total, random = _start(law, code, posts, starters, n_starters, random)
        n_deciding = 0
        first[1] = infected[run, 0] = total
        for step in range(1, steps):
            fresh = posts[first[step - 1] : total]
            posted_at[fresh] = step - 1
            n_deciding = _arrive(
                indptr, indices, law, code, visible, bound, fresh, deciding, n_deciding
            )
            if fading.window and step > fading.window:
                gone = step - 1 - fading.window
                left = fading.factor**fading.window if fading.factor >= 0.0 else 0.0
                _leave(indptr, indices, visible, bound, posts[first[gone] : first[gone + 1]], left)
            fresh, n_fresh = posts[total:], 0
            if law.media > 0.0:
                n_fresh, random = _show_event(law, code, fresh, random)
            see = (indptr, indices, posted_at, visible, bound, step)
            n_fresh, n_deciding, random = _decide_ageing(
                law, fading, count_bits, see, code, deciding, n_deciding, fresh, n_fresh, random
            )
            total += n_fresh
            first[step + 1] = infected[run, step] = total
            if total == n or (n_fresh == 0 and n_deciding == 0 and law.offline == 0):
                infected[run, step + 1 :] = total
                break


@_compiled
def _arrive(indptr, indices, law, code, visible, bound, fresh, deciding, n_deciding):
    """Add every fresh post for the neighbours, and list those that now have to decide."""
    unavailable = law.listed | law.posted
    last = len(fresh) - 1
    for a in range(len(fresh)):
        _prefetch(indptr, fresh[min(a + 16, last)])
        _prefetch(indices, indptr[fresh[min(a + 8, last)]])
        for e in range(indptr[fresh[a]], indptr[fresh[a] + 1]):
            i = _at(indices[_at(e)])
            c = np.int64(code[i])
            code[i] = (c + 1) | law.listed
            if len(bound):
                bound[i] += 1.0
            if len(visible):
                visible[i] += 1
            deciding[_at(n_deciding)] = i
            n_deciding += (c & unavailable) == 0
    return n_deciding


@_compiled
def _leave(indptr, indices, visible, bound, old, weight):
    """Take back what old posts had added, at their present weight."""
    last = len(old) - 1
    for a in range(len(old)):
        _prefetch(indices, indptr[old[min(a + 8, last)]])
        for e in range(indptr[old[a]], indptr[old[a] + 1]):
            i = _at(indices[_at(e)])
            visible[i] -= 1
            if len(bound):
                bound[i] -= weight


@_compiled
def _decide_ageing(
    law, fading, count_bits, see, code, deciding, n_deciding, fresh, n_before, random
):
    """Draw the decisions of all that are listed and see a post; list who decides again."""
    indptr, indices, posted_at, visible, bound, step = see
    in_table, of_count = law.listed - 1, (1 << count_bits) - 1
    heard = law.heard * 2.0**-53
    seen = heard * fading.alpha
    scale = heard * (1.0 - fading.alpha) * fading.news[step - 1]
    n_fresh = n_before
    n_staying = 0
    for a in range(n_deciding):
        i = _at(deciding[_at(a)])
        c = np.int64(code[i])
        x, random = _draw(random)
        if fading.window and visible[i] == 0:
            code[i] = c & ~law.listed
            if len(bound):
                bound[i] = 0.0
            # The event was shown to agents that were not listed.
            if x * 2.0**-53 < law.media:
                x, random = _draw(random)
                if x < law.offline:
                    n_fresh = _post(law, code, fresh, n_fresh, i)
                else:
                    code[i] |= law.remembered
            continue
        if len(fading.rates):
            rate = fading.rates[_at((c & in_table) >> count_bits)]
            # 1 - exp(-z) is at most z.
            posts = x * 2.0**-53 < seen + scale * rate * bound[i]
            if posts:
                weight = bound[i]
                if fading.factor < 0.0:
                    weight = 0.0
                    for e in range(indptr[i], indptr[i + 1]):
                        age = step - posted_at[indices[_at(e)]]
                        weight += fading.weights[_at(max(age, 0))]
                    bound[i] = weight
                spared = (1.0 - fading.alpha) * np.exp(-rate * fading.news[step - 1] * weight)
                posts = x * 2.0**-53 < heard * (1.0 - spared)
            if fading.factor >= 0.0:
                bound[i] *= fading.factor
        else:
            at = c & in_table
            if not fading.cumulative:
                at = (at & ~of_count) | visible[i]
            posts = x < law.thresholds[_at(at)]
        if law.remembered and x < law.heard:
            code[i] = c | law.remembered
        fresh[_at(n_fresh)] = i
        n_fresh += posts
        deciding[_at(n_staying)] = i
        n_staying += not posts
    for a in range(n_before, n_fresh):
        code[fresh[a]] |= law.posted
    return n_fresh, n_staying, random
