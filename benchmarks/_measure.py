"""How the benchmarks measure: CPU time, the smallest of several, and peak memory."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def cpu_seconds(work: Callable[[], Any], repeats: int = 5) -> float:
    """CPU time of the quickest of several calls; other load disturbs it least."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def wall_seconds(work: Callable[[], Any], repeats: int = 5) -> float:
    """Time by the clock of the quickest of several calls; right only on an idle machine."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_megabytes(code: str) -> float:
    """Largest resident memory of a fresh Python that runs the code (Linux)."""
    # Not getrusage: there a child starts with the peak of its parent.
    report = "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return int(run.stdout.split()[-1]) / 1000


def machine() -> str:
    """One line on where the figures come from."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip()
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with aligned columns."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    print(f"\n{title}")
    for row in (header, *rows):
        first, *rest = (cell for cell in zip(row, widths, strict=True))
        cells = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in rest)]
        print("  " + "  ".join(cells), flush=True)
