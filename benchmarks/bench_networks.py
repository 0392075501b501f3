"""Drawing, converting and reading networks, compared with networkx on the same task.

``python benchmarks/bench_networks.py`` takes about five minutes, most of it networkx; with
``--quick`` the networks are smaller and it takes about twenty seconds.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
from _measure import cpu_seconds, machine, table

from mesa_llmspread.networks import as_network, random_regular, read_edgelist

K = 8


def row(
    what: str, ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int = 3
) -> list[str]:
    quick, slow = cpu_seconds(ours, repeats), cpu_seconds(theirs, 1)
    return [what, f"{quick:.4f}", f"{slow:.3f}", f"{slow / quick:.0f}"]


def making(n: int) -> list[str]:
    return row(
        f"random 8-regular network, n = {n:,}",
        lambda: random_regular(n, K, rng=1),
        lambda: nx.random_regular_graph(K, n, seed=1),
    )


def converting(n: int) -> list[str]:
    graph = random_regular(n, K, rng=1).to_networkx()
    return row(
        f"networkx.Graph to rows, n = {n:,}",
        lambda: as_network(graph),
        lambda: nx.to_scipy_sparse_array(graph, format="csr"),
    )


def reading() -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edges.txt"
        edges = random_regular(4000, 44, rng=1).edges()
        path.write_text("\n".join(f"{u} {v}" for u, v in edges.tolist()))
        return row(
            f"file of {len(edges):,} edges",
            lambda: read_edgelist(path),
            lambda: nx.read_edgelist(path),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller networks")
    sizes = (1000, 100_000) if parser.parse_args().quick else (1000, 100_000, 1_000_000)
    print(machine())
    rows = [making(n) for n in sizes] + [converting(n) for n in sizes] + [reading()]
    table("CPU seconds", ("", "here", "networkx", "ratio"), rows)


if __name__ == "__main__":
    main()
