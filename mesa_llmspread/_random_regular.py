"""The configuration model behind :func:`mesa_llmspread.networks.random_regular`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.integer[Any]]


def neighbours(n: int, k: int, rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """Draw the neighbours of agents who all have k, sorted, one agent after the other."""
    dense = k > (n - 1) // 2
    pairing = None
    while pairing is None:
        pairing = _simple_pairing(n, n - 1 - k if dense else k, rng)
    if not dense:
        return pairing.ravel()
    rest = ~np.eye(n, dtype=bool)
    np.put_along_axis(rest, pairing, False, axis=1)
    return np.nonzero(rest)[1].astype(np.int32)


def _simple_pairing(n: int, k: int, rng: np.random.Generator) -> npt.NDArray[np.int32] | None:
    """Pair n * k stubs, of which k belong to each agent, without loops and repeated edges.

    Returns the neighbours, shape (n, k), sorted in each row; None if no pair to swap with was
    found, which happens in the smallest networks only.
    """
    stubs = np.arange(n * k, dtype=np.int32 if n * k < 2**31 else np.int64)
    rng.shuffle(stubs)
    partner: Ints = np.empty_like(stubs)
    partner[stubs[::2]] = stubs[1::2]
    partner[stubs[1::2]] = stubs[::2]
    neighbours = np.sort((partner // max(k, 1)).astype(np.int32).reshape(n, k), axis=1)
    loops = (neighbours == np.arange(n)[:, None]).any(axis=1)
    repeats = (neighbours[:, 1:] == neighbours[:, :-1]).any(axis=1)
    touched: set[int] = set()
    for agent in np.flatnonzero(loops | repeats).tolist():
        seen = {agent}
        for stub in range(agent * k, agent * k + k):
            mate = int(partner[stub]) // k
            if mate not in seen:
                seen.add(mate)
                continue
            swapped = _swap(partner, k, stub, rng)
            if swapped is None:
                return None
            touched |= swapped
    rows = sorted(touched)
    neighbours[rows] = np.sort(partner.reshape(n, k)[rows] // max(k, 1), axis=1)
    return neighbours


def _swap(partner: Ints, k: int, stub: int, rng: np.random.Generator) -> set[int] | None:
    """Swap the ends of a loop or repeated edge with those of a random edge that allows it.

    Returns the agents whose rows changed, or None where no such edge was found.
    """
    mate = int(partner[stub])
    here, there = stub // k, mate // k
    near: list[int] = (partner[here * k : here * k + k] // k).tolist()
    far: list[int] = (partner[there * k : there * k + k] // k).tolist()
    closed = {here, there}
    for _ in range(100):
        for other in rng.integers(len(partner), size=10).tolist():
            beyond = int(partner[other])
            a, b = other // k, beyond // k
            loops_twice = here == there and a == b
            if not (a in closed or b in closed or a in near or b in far or loops_twice):
                partner[stub], partner[other] = other, stub
                partner[mate], partner[beyond] = beyond, mate
                return {here, there, a, b}
    return None
