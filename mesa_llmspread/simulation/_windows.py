"""The compiled core where posts leave view after some steps.

As :mod:`mesa_llmspread.simulation._kernels`, with one thing more per agent: the number of posts
that are still in view.
"""

from __future__ import annotations

import numpy as np

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

__all__ = ["spread_windows"]


@_compiled
def spread_windows(indptr, indices, law, windows, codes, starters, n_starters, seeds, infected):
    """Run one replicate after the other; see :func:`~mesa_llmspread.simulation._kernels.spread`.

    Parameters
    ----------
    windows : tuple of (int, int, bool)
        The number of steps for which a post is in view; the number of bits of a code that hold the
        number of posting neighbours; and whether posts that have left the view count in it.
    """
    n, steps = len(codes), infected.shape[1]
    window = windows[0]
    code, visible = np.empty_like(codes), np.empty(n, np.uint32)
    deciding = np.empty(n + 1, np.uint32)
    # All posts in order, of step s those from first[s] on.
    posts, first = np.empty(n + 1, np.uint32), np.zeros(steps + 1, np.int64)
    for run in range(len(seeds)):
        random = (seeds[run, 0], seeds[run, 1])
        code[:], visible[:] = codes, 0
        random = _draw_classes(law, code, random)
        total, random = _start(law, code, posts, starters, n_starters, random)
        n_deciding = 0
        first[1] = infected[run, 0] = total
        for step in range(1, steps):
            fresh = posts[first[step - 1] : total]
            n_deciding = _arrive(indptr, indices, law, code, visible, fresh, deciding, n_deciding)
            if step > window:
                gone = step - 1 - window
                _leave(indptr, indices, visible, posts[first[gone] : first[gone + 1]])
            fresh, n_fresh = posts[total:], 0
            if law.media > 0.0:
                n_fresh, random = _show_event(law, law.media, law.offline, code, fresh, random)
            n_fresh, n_deciding, random = _decide(
                law, windows, code, visible, deciding, n_deciding, fresh, n_fresh, random
            )
            total += n_fresh
            first[step + 1] = infected[run, step] = total
            if total == n or (n_fresh == 0 and n_deciding == 0 and law.offline == 0):
                infected[run, step + 1 :] = total
                break


@_compiled
def _arrive(indptr, indices, law, code, visible, fresh, deciding, n_deciding):
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
            visible[i] += 1
            deciding[_at(n_deciding)] = i
            n_deciding += (c & unavailable) == 0
    return n_deciding


@_compiled
def _leave(indptr, indices, visible, old):
    """Subtract what old posts had added."""
    last = len(old) - 1
    for a in range(len(old)):
        _prefetch(indices, indptr[old[min(a + 8, last)]])
        for e in range(indptr[old[a]], indptr[old[a] + 1]):
            visible[_at(indices[_at(e)])] -= 1


@_compiled
def _decide(law, windows, code, visible, deciding, n_deciding, fresh, n_before, random):
    """Draw the decisions of all that are listed and see a post; list who decides again."""
    _, count_bits, cumulative = windows
    in_table, of_count = law.listed - 1, (1 << count_bits) - 1
    n_fresh = n_before
    n_staying = 0
    for a in range(n_deciding):
        i = _at(deciding[_at(a)])
        c = np.int64(code[i])
        x, random = _draw(random)
        if visible[i] == 0:
            code[i] = c & ~law.listed
            # The event was shown to agents that were not listed.
            if x * 2.0**-53 < law.media:
                x, random = _draw(random)
                if x < law.offline:
                    n_fresh = _post(law, code, fresh, n_fresh, i)
                else:
                    code[i] |= law.remembered
            continue
        at = c & in_table
        if not cumulative:
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
