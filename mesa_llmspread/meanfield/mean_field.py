"""The mean field: neighbours are drawn again, at random, at every moment.

An agent of degree ``d`` is taken to see ``m ~ Binomial(d, y)`` infected neighbours, with
``y`` the share of all edge ends at infected agents (and that of all agents where everyone
has the same degree). Nobody remembers whom it saw and no two neighbours are alike for
being neighbours, so the spread never runs short of susceptible neighbours; it is too fast
on every sparse network. Agents of different degrees are told apart (Pastor-Satorras &
Vespignani 2001, doi:10.1103/PhysRevLett.86.3200).

Where contacts act independently and all have the degree ``k``, with ``l = -log(1 - beta)``
and the share ``x`` infected, the differential equation is ``x' = l k x (1 - x)``: the
logistic curve for SI, and with an offline rate ``a`` the diffusion model of Bass (1969,
doi:10.1287/mnsc.15.5.215), ``x' = (1 - x) (a + l k x)``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from mesa_llmspread.meanfield.closure import Closure
from mesa_llmspread.meanfield.equations import (
    Degrees,
    Floats,
    Kernel,
    Laws,
    System,
    binomial,
    decision_kernel,
    rate_kernel,
)
from mesa_llmspread.transmission import TransmissionLaw, Visibility

__all__ = ["MeanField"]


class MeanField(Closure):
    """Neighbours are drawn again, at random, at every moment."""

    name = "mean_field"

    def supports(
        self, law: TransmissionLaw, time: str, visibility: Visibility, network: Degrees
    ) -> str | None:
        """Refuse laws that count past neighbours; see :meth:`Closure.supports`."""
        if law.memory == "cumulative" and visibility.feed == "new":
            return (
                f"be 'master' for {law} of new posts: neighbours drawn again at every step have "
                "no past to count"
            )
        return super().supports(law, time, visibility, network)

    def discrete(
        self,
        laws: Laws,
        network: Degrees,
        infected: float,
        visibility: Visibility,
        media_prob: float | None = None,
        failed_share: float = 0.0,
    ) -> System:
        r"""Return the one-step map; see :meth:`Closure.discrete`.

        With ``S[d, a]`` the share of the agents of degree ``d`` that are susceptible of type
        ``a``, and ``y`` the chance that a neighbour shows,

        .. math:: S_{db}' = \sum_a S_{da} \sum_m \mathrm{Bin}(m; d, y)\, K_{ab}(m).

        A neighbour shows if it is infected, or, where only new posts are seen, if it became so
        in the last step (the starters in the first). The state is ``S``, and ``y``.
        """
        tabulate = partial(decision_kernel, media_prob=media_prob, failed_share=failed_share)
        start, mix = _mix(laws, network, infected, tabulate)

        def move(state: tuple[Floats, float]) -> tuple[Floats, float]:
            before, visible = state
            after = mix(before, visible)
            reached = _at_edges(network, before) if visibility.feed == "new" else 1.0
            return after, reached - _at_edges(network, after)

        return System((start, infected), move, lambda state: float(network.share @ state[0].sum(1)))

    def continuous(
        self, laws: Laws, network: Degrees, infected: float, media_prob: float | None = None
    ) -> System:
        r"""Return the differential equations; see :meth:`Closure.continuous`.

        With ``S[d, a]`` as in :meth:`discrete`, which is the state,

        .. math:: \dot S_{db} = \sum_a S_{da} \sum_m \mathrm{Bin}(m; d, y)\, K_{ab}(m),
            \qquad y = 1 - \sum_d \frac{d\, p_d}{\langle k \rangle} \sum_a S_{da}.
        """
        tabulate = partial(rate_kernel, media_prob=media_prob)
        start, mix = _mix(laws, network, infected, tabulate)

        def move(susceptible: Floats) -> Floats:
            return mix(susceptible, 1.0 - _at_edges(network, susceptible))

        return System(start, move, lambda state: float(network.share @ state.sum(1)))


def _mix(
    laws: Laws, degrees: Degrees, infected: float, tabulate: Callable[..., Kernel]
) -> tuple[Floats, Callable[[Floats, float], Floats]]:
    """Return ``S`` at the start, and how it changes where a neighbour shows with a chance."""
    m = np.arange(degrees.values.max() + 1)
    kernel = tabulate(laws, m)
    seen = binomial(degrees.values[:, None], m)
    alone, slope = kernel.table[..., 0], kernel.table[..., 1] - kernel.table[..., 0]
    linear = np.allclose(kernel.table, alone[..., None] + slope[..., None] * m, 1e-12, 1e-15)

    def mix(susceptible: Floats, chance: float) -> Floats:
        if linear:  # The mean is that at the mean number of neighbours, at once.
            mean = chance * degrees.values[:, None]
            return np.asarray(susceptible @ alone + mean * (susceptible @ slope))
        averaged = np.tensordot(seen(chance), kernel.table, axes=(1, 2))
        return np.asarray(np.einsum("da,dab->db", susceptible, averaged))

    return (1.0 - infected) * np.tile(kernel.start, (len(degrees.values), 1)), mix


def _at_edges(degrees: Degrees, susceptible: Floats) -> float:
    """Chance that a random neighbour is susceptible."""
    return float(degrees.edge_share @ susceptible.sum(1))
