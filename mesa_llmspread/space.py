"""The network that agents stand on: NetworkGrid of Mesa 3, or the same on Mesa 4's Network.

Mesa 4 has no ``mesa.space``. This is the only module that knows the difference.
"""

from __future__ import annotations

from random import Random
from typing import Any

__all__ = ["NetworkGrid"]

try:
    from mesa.space import NetworkGrid
except ImportError:
    from mesa.discrete_space import Network

    class NetworkGrid(Network):  # type: ignore[no-redef]
        """Mesa 4's Network, with those methods of Mesa 3's NetworkGrid that models need.

        Parameters
        ----------
        G : networkx.Graph
            One cell per node.
        """

        def __init__(self, G: Any) -> None:
            # Nothing is drawn at random; without a generator, Mesa warns.
            super().__init__(G, random=Random(0))

        def place_agent(self, agent: Any, node_id: int) -> None:
            """Place an agent on a node."""
            self[node_id].add_agent(agent)
            agent.pos = node_id

        def remove_agent(self, agent: Any) -> None:
            """Remove an agent from its node."""
            self[agent.pos].remove_agent(agent)
            agent.pos = None

        def get_cell_list_contents(self, cell_list: list[int]) -> list[Any]:
            """Return the agents on some nodes."""
            return [agent for node_id in cell_list for agent in self[node_id].agents]
