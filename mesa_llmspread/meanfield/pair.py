r"""The pair approximation: edges are followed, triples are guessed from them.

Beside the share ``S[a]`` of susceptible agents of type ``a``, the chance ``X[a, b]`` that an
edge, looked at from one of its ends, joins susceptible agents of the types ``a`` and ``b``
is kept. The neighbours of a susceptible agent of type ``a`` are then infected with chance

.. math:: q_a = 1 - \sum_b X_{ab} / S_a,

each independently of the others; for the ``k - 1`` other neighbours of one end of an edge
this is the closure ``[ASB] = (k - 1)/k [AS][SB]/[S]`` (Keeling 1999,
doi:10.1098/rspb.1999.0716). With the kernel averaged over ``n`` such neighbours,

.. math:: M^{(n)}_{ab} = \sum_m \mathrm{Bin}(m; n, q_a)\, K_{ab}(m),

agents move with ``n = k`` and the ends of a susceptible edge with ``n = k - 1``.

On a large random regular network this is exact where contacts act independently (it has the
same solution as the edge-based equations), a good approximation for social reinforcement,
and wrong for FirstRepeat: of an agent that has been exposed one knows that some neighbour
was infected early, so its neighbours are not exchangeable. Even with equal chances, where
FirstRepeat *is* SI, it gives a slower spread, because ``q (1 - q)`` averaged over exposed and
unexposed agents is less than that of the average ``q``.
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

__all__ = ["Pair"]


class Pair(Closure):
    """Neighbours are infected independently, with a chance that is followed along the edges."""

    name = "pair"

    def supports(
        self, law: TransmissionLaw, time: str, visibility: Visibility, network: Degrees
    ) -> str | None:
        """Refuse new posts and degrees that differ; see :meth:`Closure.supports`."""
        if visibility.feed == "new":
            return "be 'master' for feed='new': this one does not tell new posts from old"
        if len(network.values) > 1:
            return "be 'master' for a degree distribution: this one takes one k for all agents"
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

        The two ends of an edge decide independently, given their types, so with the averages
        ``M`` above

        .. math:: S' = S M^{(k)}, \qquad X' = M^{(k-1)\top} X M^{(k-1)}.
        """

        def change(edges: Floats, at_edge: Floats) -> Floats:
            return np.asarray(at_edge.T @ edges @ at_edge)

        tabulate = partial(decision_kernel, media_prob=media_prob, failed_share=failed_share)
        return _pairs(tabulate, laws, network, infected, change)

    def continuous(
        self, laws: Laws, network: Degrees, infected: float, media_prob: float | None = None
    ) -> System:
        r"""Return the differential equations; see :meth:`Closure.continuous`.

        .. math:: \dot S = S M^{(k)}, \qquad \dot X = M^{(k-1)\top} X + X M^{(k-1)}.
        """

        def change(edges: Floats, at_edge: Floats) -> Floats:
            flow = edges @ at_edge
            return np.asarray(flow + flow.T)

        return _pairs(partial(rate_kernel, media_prob=media_prob), laws, network, infected, change)

    def warning(self, law: TransmissionLaw) -> str | None:
        """Warn of laws with memory; see :meth:`Closure.warning`."""
        if law.memory != "first_repeat":
            return None
        return (
            f"the pair approximation of {law} is wrong even where its probabilities are equal; "
            "use closure='master'"
        )


def _pairs(
    tabulate: Callable[..., Kernel],
    laws: Laws,
    degrees: Degrees,
    infected: float,
    change: Callable[[Floats, Floats], Floats],
) -> System:
    """Return the equations that follow from how edges change; the state is ``S`` above ``X``."""
    (k,) = degrees.values
    m = np.arange(k + 1)
    kernel = tabulate(laws, m)
    infected_of = binomial(np.array([[k], [k - 1]]), m)

    def move(state: Floats) -> Floats:
        agents, edges = state[0], state[1:]
        # The infected among k neighbours, and among the k - 1 others of one end of an edge.
        known = np.divide(edges.sum(1), agents, out=np.ones_like(agents), where=agents > 0)
        weights = infected_of(1.0 - known[:, None, None])
        at_agent, at_edge = np.einsum("anm,abm->nab", weights, kernel.table)
        return np.vstack([agents @ at_agent, change(edges, at_edge)])

    agents = (1.0 - infected) * kernel.start
    start = np.vstack([agents, np.outer(agents, agents)])
    return System(start, move, lambda state: float(state[0].sum()))
