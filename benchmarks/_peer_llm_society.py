"""llm-society: pairs of agents talk, and then each has a new opinion.

A round in which every agent has one talk, of the shortest length there is: a sentence each, one
request that scores both, and one more for the round's summary. Two agents decide in three
requests. It has no parallel mode, so the concurrency is not used.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

from _peer import report


def prepare(options: argparse.Namespace) -> Callable[[], None]:
    os.environ["OPENAI_BASE_URL"] = options.address
    os.environ["OPENAI_API_KEY"] = "not-needed-but-of-20-characters"
    import networkx as nx
    from llm_society.api import network

    pairs = nx.Graph((2 * pair, 2 * pair + 1) for pair in range(options.decisions // 2))
    society = network(
        information="There is a fire at the station.",
        graph=pairs,
        rounds=1,
        depth=0.0,
        edge_frac=1.0,
        talk_prob=1.0,
        model="tiny",
        print_conversations=False,
        print_score_updates=False,
        print_round_summaries=False,
    )
    society.step()  # round 0: the start, summarised by the model
    return society.step


if __name__ == "__main__":
    report(prepare, argparse.ArgumentParser(description=__doc__))
