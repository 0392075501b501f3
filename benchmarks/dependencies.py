"""What each direct dependency of the package costs: megabytes on disk and seconds to import.

Run it with the Python of an environment that holds the package and nothing else, else packages
that others brought are counted too: ``python -m venv env && env/bin/pip install . &&
env/bin/python benchmarks/dependencies.py``.
"""

from __future__ import annotations

import importlib.metadata as metadata
import os
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

Need = tuple[str, tuple[str, ...]]
# As in the package: litellm does not look for newer prices.
OFFLINE = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
# Names of modules, where they differ from the package's.
MODULES = {"lazy-loader": "lazy_loader", "pyyaml": "yaml"}


@cache
def needs(name: str, extras: tuple[str, ...] = ()) -> frozenset[Need]:
    """Return the installed packages that a package asks for, with their extras."""
    found = set()
    for text in metadata.requires(name) or ():
        asked = Requirement(text)
        wanted = [{"extra": extra} for extra in ("", *extras)]
        if asked.marker is None or any(map(asked.marker.evaluate, wanted)):
            other = canonicalize_name(asked.name)
            try:
                metadata.distribution(other)
            except metadata.PackageNotFoundError:
                continue
            found.add((other, tuple(sorted(asked.extras))))
    return frozenset(found)


def all_below(roots: frozenset[Need]) -> set[str]:
    """Return the names of packages and of all that they need."""
    done: set[Need] = set()
    left = list(roots)
    while left:
        need = left.pop()
        if need not in done:
            done.add(need)
            left.extend(needs(*need))
    return {name for name, _ in done}


@cache
def megabytes(name: str) -> float:
    """Return the size of a package's files, compiled Python among them."""
    files = metadata.files(name) or ()
    return sum(path.stat().st_size for f in files if (path := Path(f.locate())).is_file()) / 1e6


def seconds(module: str) -> float:
    """Return the shortest of three times to import a module, in a fresh interpreter."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True, env=OFFLINE)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    roots = needs("mesa_llmspread")
    everything = all_below(roots)
    print(f"{len(everything)} packages, {sum(map(megabytes, everything)):.0f} MB")
    print("package        alone MB  only it brings MB  packages  import s")
    nothing = seconds("sys")
    rows = []
    for root in roots:
        only = all_below(frozenset({root})) - all_below(roots - {root})
        rows.append((sum(map(megabytes, only)), len(only), megabytes(root[0]), root[0]))
    for size, number, alone, name in sorted(rows, reverse=True):
        took = max(0.0, seconds(MODULES.get(name, name)) - nothing)
        print(f"{name:14}{alone:9.1f}{size:19.1f}{number:10}{took:10.2f}")


if __name__ == "__main__":
    main()
