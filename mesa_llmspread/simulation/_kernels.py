"""The compiled core of :mod:`mesa_llmspread.simulation.ensemble`.

Imported only when an ensemble is run, so that nothing else pays for numba.

Every agent is one small integer, its *code*, from the lowest bit: how many posting
neighbours count for it; whether it has decided before; its class; whether it stands on the
list of agents that decide next (``listed``); whether it has posted (``posted``). All but
the last two index the law's table of probabilities, so that every law of the family is the
same loop, and the loop has hardly a branch: which way an agent decides cannot be predicted,
and a mispredicted branch costs more than all else that is done for it. A million codes fit
in a processor's cache; the edges do not, and are fetched ahead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

__all__ = ["Law", "spread"]


class Law(NamedTuple):
    """A law and a feed, as the loop needs them.

    The class keeps its name: numba's caches on disk refer to it.

    Attributes
    ----------
    thresholds : ndarray of uint64
        Probability of posting, times 2**53, by the part of the code below ``listed``.
    listed, posted : int
        The two highest bits of a code.
    kept : int
        Bits of a code that outlast a decision.
    remembered : int
        Bits of a code that a decision sets that is no post.
    stays : int
        1 if an agent that declines decides again at the next step, else 0.
    class_shift : int
        Position of the class in a code.
    class_cuts : ndarray of uint64
        Where classes are drawn: cumulative shares of all classes but the last, times 2**53.
    heard : int
        2**53 times the share of decisions that do not fail.
    media : float
        Probability per step that the event itself, which an agent sees, changes the agent.
    offline : int
        2**53 times the probability that an agent posts where it does.
    """

    thresholds: npt.NDArray[np.uint64]
    listed: int
    posted: int
    kept: int
    remembered: int
    stays: int
    class_shift: int
    class_cuts: npt.NDArray[np.uint64]
    heard: np.uint64
    media: float
    offline: np.uint64


@intrinsic
def _prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    """Ask for an array's element ahead of its use."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        pointer = builder.gep(data, [args[1]])
        prefetch = builder.module.declare_intrinsic(
            "llvm.prefetch",
            [pointer.type],
            ir.FunctionType(ir.VoidType(), [pointer.type, *[ir.IntType(32)] * 3]),
        )
        read, keep_cached, data_cache = (ir.Constant(ir.IntType(32), value) for value in (0, 3, 1))
        builder.call(prefetch, [pointer, read, keep_cached, data_cache])
        return context.get_dummy_value()

    return types.void(array, index), codegen


def _compiled(function: Callable[..., Any]) -> Any:
    """Compile a function, and keep the result for the next time Python starts."""
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:
        # Neither the package's folder nor the user's can be written: compile each time.
        return njit(nogil=True)(function)


# An unsigned index spares the check for a negative one: a third of the hot loops' time.
_at = np.uint64


@_compiled
def spread(indptr, indices, law, codes, starters, n_starters, seeds, infected):
    """Run one replicate after the other.

    Parameters
    ----------
    indptr, indices : ndarray of int64 and of int32
        The network.
    law : Law
        The law.
    codes : ndarray of unsigned int, shape (n,)
        Every agent's code at the start; its class is drawn where ``law`` has cuts.
    starters : ndarray of int64
        Who has posted at the start; if empty, ``n_starters`` agents are drawn.
    n_starters : int
        How many that are.
    seeds : ndarray of uint64, shape (replicates, 2)
        Each replicate's random state.
    infected : ndarray of int64, shape (replicates, steps + 1)
        Filled with the number of agents that have posted.
    """
    n = len(codes)
    code = np.empty_like(codes)
    # One place more than agents: a place is written before it is known to be needed.
    deciding = np.empty(n + 1, np.uint32)
    fresh = np.empty(n + 1, np.uint32)
    for run in range(len(seeds)):
        random = (seeds[run, 0], seeds[run, 1])
        code[:] = codes
        random = _draw_classes(law, code, random)
        n_fresh, random = _start(law, code, fresh, starters, n_starters, random)
        n_deciding = 0
        total = n_fresh
        infected[run, 0] = total
        for step in range(1, infected.shape[1]):
            n_deciding = _show(indptr, indices, law, code, fresh, n_fresh, deciding, n_deciding)
            n_fresh = 0
            if law.media > 0.0:
                n_fresh, random = _show_event(law, law.media, law.offline, code, fresh, random)
            n_fresh, n_deciding, random = _decide(
                law, code, deciding, n_deciding, fresh, n_fresh, random
            )
            total += n_fresh
            infected[run, step] = total
            if total == n or (n_fresh == 0 and n_deciding == 0 and law.offline == 0):
                infected[run, step + 1 :] = total
                break


@_compiled
def _draw_classes(law, code, random):
    """Draw every agent's class, where the law has cuts."""
    if len(law.class_cuts):
        for agent in range(len(code)):
            x, random = _draw(random)
            agent_class = 0
            for cut in law.class_cuts:
                agent_class += x >= cut
            code[agent] |= agent_class << law.class_shift
    return random


@_compiled
def _start(law, code, fresh, starters, n_starters, random):
    """Post for the given starters, or for as many random ones."""
    n_fresh = 0
    for agent in starters:
        n_fresh = _post(law, code, fresh, n_fresh, agent)
    while n_fresh < n_starters:
        x, random = _draw(random)
        n_fresh = _post(law, code, fresh, n_fresh, int(x * 2.0**-53 * len(code)))
    return n_fresh, random


@_compiled
def _post(law, code, fresh, n_fresh, agent):
    """Post for an agent, unless it has posted; return the number of fresh posts."""
    if code[agent] & law.posted:
        return n_fresh
    code[agent] |= law.posted
    fresh[n_fresh] = agent
    return n_fresh + 1


@_compiled
def _show(indptr, indices, law, code, fresh, n_fresh, deciding, n_deciding):
    """Count every fresh post for the neighbours, and list those that now have to decide."""
    unavailable = law.listed | law.posted
    for a in range(n_fresh):
        _prefetch(indptr, fresh[min(a + 16, n_fresh - 1)])
        _prefetch(indices, indptr[fresh[min(a + 8, n_fresh - 1)]])
        for e in range(indptr[fresh[a]], indptr[fresh[a] + 1]):
            i = _at(indices[_at(e)])
            c = np.int64(code[i])
            code[i] = (c + 1) | law.listed
            deciding[_at(n_deciding)] = i
            n_deciding += (c & unavailable) == 0
    return n_deciding


@_compiled
def _show_event(law, media, offline, code, fresh, random):
    """Show the event itself to agents that see no post; list who posts.

    What it does to those that see posts is part of their decision. Of all agents, skip
    geometrically many to the next that it changes.
    """
    unavailable = law.listed | law.posted
    scale = 1.0 / np.log1p(-media) if media < 1.0 else -0.0
    n_fresh = 0
    agent = -1.0
    while True:
        x, random = _draw(random)
        agent += 1.0 + np.floor(np.log((x + 1) * 2.0**-53) * scale)
        if not agent < len(code):
            return n_fresh, random
        i = int(agent)
        c = np.int64(code[i])
        if c & unavailable:
            continue
        x, random = _draw(random)
        if x < offline:
            n_fresh = _post(law, code, fresh, n_fresh, i)
        else:
            code[i] = c | law.remembered


@_compiled
def _decide(law, code, deciding, n_deciding, fresh, n_before, random):
    """Draw the decisions of all that are listed; list who posts, and who decides again."""
    in_table = law.listed - 1
    changes = law.remembered != 0 or law.stays == 0
    n_fresh = n_before
    n_staying = 0
    for a in range(n_deciding):
        i = _at(deciding[_at(a)])
        c = np.int64(code[i])
        x, random = _draw(random)
        posts = x < law.thresholds[_at(c & in_table)]
        if changes:
            code[i] = (c & law.kept) | (law.remembered if (x < law.heard) & (not posts) else 0)
        fresh[_at(n_fresh)] = i
        n_fresh += posts
        deciding[_at(n_staying)] = i
        n_staying += (not posts) & law.stays
    for a in range(n_before, n_fresh):
        code[fresh[a]] |= law.posted
    return n_fresh, n_staying, random


@_compiled
def _draw(random):
    """Draw 53 random bits: xoroshiro128++ (Blackman & Vigna 2021, doi:10.1145/3460772)."""
    s0, s1 = random
    total = s0 + s1
    bits = ((total << np.uint64(17)) | (total >> np.uint64(47))) + s0
    s1 ^= s0
    s0 = ((s0 << np.uint64(49)) | (s0 >> np.uint64(15))) ^ s1 ^ (s1 << np.uint64(21))
    s1 = (s1 << np.uint64(28)) | (s1 >> np.uint64(36))
    return bits >> np.uint64(11), (s0, s1)
