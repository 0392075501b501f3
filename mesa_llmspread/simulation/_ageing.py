"""The compiled core where posts stay in view for some steps, or fade with age.

As :mod:`mesa_llmspread.simulation._kernels`, but an agent that decides looks at when each of its
neighbours has posted: work in proportion to decisions times neighbours, for every law and every way
of fading alike.
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
    _show,
    _show_event,
    _start,
)

__all__ = ["Fading", "spread_ageing"]

_NEVER = 1 << 30


class Fading(NamedTuple):
    """What posts weigh, as the loop needs it.

    Attributes
    ----------
    weights : ndarray of float, shape (steps,)
        By age; 0 out of view.
    news : ndarray of float, shape (steps,)
        By step, from 1.
    rates : ndarray of float
        Rate per contact, by the part of the code above the count; empty where decisions depend on
        the number of posts in view.
    alpha : float
        Probability that the event itself makes an agent post in a step.
    cumulative : bool
        Whether all neighbours who have posted count.
    """

    weights: npt.NDArray[np.float64]
    news: npt.NDArray[np.float64]
    rates: npt.NDArray[np.float64]
    alpha: float
    cumulative: bool


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
    n = len(codes)
    code = np.empty_like(codes)
    posted_at = np.empty(n, np.int32)
    deciding = np.empty(n + 1, np.uint32)
    fresh = np.empty(n + 1, np.uint32)
    for run in range(len(seeds)):
        random = (seeds[run, 0], seeds[run, 1])
        code[:] = codes
        posted_at[:] = _NEVER
        random = _draw_classes(law, code, random)
        n_fresh, random = _start(law, code, fresh, starters, n_starters, random)
        n_deciding = 0
        total = n_fresh
        infected[run, 0] = total
        for step in range(1, infected.shape[1]):
            for a in range(n_fresh):
                posted_at[fresh[a]] = step - 1
            n_deciding = _show(indptr, indices, law, code, fresh, n_fresh, deciding, n_deciding)
            n_fresh = 0
            if law.media > 0.0:
                n_fresh, random = _show_event(law, code, fresh, random)
            n_fresh, n_deciding, random = _decide_ageing(
                indptr,
                indices,
                law,
                fading,
                count_bits,
                code,
                posted_at,
                step,
                deciding,
                n_deciding,
                fresh,
                n_fresh,
                random,
            )
            total += n_fresh
            infected[run, step] = total
            if total == n or (n_fresh == 0 and n_deciding == 0 and law.offline == 0):
                infected[run, step + 1 :] = total
                break


@_compiled
def _decide_ageing(
    indptr,
    indices,
    law,
    fading,
    count_bits,
    code,
    posted_at,
    step,
    deciding,
    n_deciding,
    fresh,
    n_before,
    random,
):
    """Draw the decisions of all that are listed and see a post; list who decides again."""
    in_table = law.listed - 1
    by_weight = len(fading.rates) > 0
    heard = law.heard * 2.0**-53
    n_fresh = n_before
    n_staying = 0
    for a in range(n_deciding):
        i = _at(deciding[_at(a)])
        c = np.int64(code[i])
        visible = 0
        weight = 0.0
        for e in range(indptr[i], indptr[i + 1]):
            age = step - 1 - posted_at[indices[_at(e)]]
            if age >= 0 and fading.weights[age] > 0.0:
                visible += 1
                weight += fading.weights[age]
        if visible == 0:
            code[i] = c & ~law.listed
            # The event was shown to agents that were not listed.
            x, random = _draw(random)
            if x * 2.0**-53 < law.media:
                x, random = _draw(random)
                if x < law.offline:
                    n_fresh = _post(law, code, fresh, n_fresh, i)
                else:
                    code[i] |= law.remembered
            continue
        x, random = _draw(random)
        if by_weight:
            rate = fading.rates[(c & in_table) >> count_bits]
            spared = (1.0 - fading.alpha) * np.exp(-rate * fading.news[step - 1] * weight)
            posts = x * 2.0**-53 < heard * (1.0 - spared)
        else:
            count = c & ((1 << count_bits) - 1) if fading.cumulative else visible
            posts = x < law.thresholds[(((c & in_table) >> count_bits) << count_bits) | count]
        if x < law.heard:
            code[i] = c | law.remembered
        if posts:
            fresh[n_fresh] = i
            n_fresh += 1
        else:
            deciding[n_staying] = i
            n_staying += 1
    for a in range(n_before, n_fresh):
        code[fresh[a]] |= law.posted
    return n_fresh, n_staying, random
