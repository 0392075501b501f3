"""What the scripts of the peer packages share: arguments, clock and report.

They run in the peers' own Pythons, so only the standard library is used here.
"""

from __future__ import annotations

import argparse
import json
import time
import urllib.request
from collections.abc import Callable


def served(address: str) -> int:
    """How many chat completions the server has answered so far."""
    with urllib.request.urlopen(f"{address}/served") as answer:
        return int(answer.read())


def report(
    prepare: Callable[[argparse.Namespace], Callable[[], None]],
    parser: argparse.ArgumentParser,
) -> None:
    """Prepare, time the decisions alone, and print seconds and requests as the last line."""
    parser.add_argument("address", help="base URL of an OpenAI-compatible server")
    parser.add_argument("decisions", type=int, help="how many agents decide once")
    parser.add_argument("concurrency", type=int, help="how many calls at a time")
    options = parser.parse_args()
    decide = prepare(options)
    before = served(options.address)
    start = time.perf_counter()
    decide()
    seconds = time.perf_counter() - start
    requests = served(options.address) - before
    print("\n" + json.dumps({"seconds": seconds, "requests": requests}))
