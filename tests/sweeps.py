"""What the tests of sweeps share."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from pandas.testing import assert_frame_equal
from waiting import eventually

from mesa_llmspread import SpreadModel
from mesa_llmspread.sweep import Design, Sweep

__all__ = [
    "BAD_RUN",
    "SMALL",
    "Fragile",
    "assert_same_results",
    "small_design",
    "under_way",
]


SMALL = {"n": 60, "k": [4, 6], "decider": "SI({beta})", "beta": [0.05, 0.2]}


def small_design(replicates: int = 2) -> Design:
    """Eight short runs."""
    return Design(SMALL, replicates=replicates, rng=3)


def assert_same_results(one: Sweep, other: Sweep) -> None:
    """Compare the runs and tables of two sweeps."""
    assert_frame_equal(one.runs, other.runs)
    assert_frame_equal(one.frame(), other.frame())


@contextlib.contextmanager
def under_way(out: Path, command: list[Any], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a sweep as a process of its own, and wait until some of its runs are done."""
    with subprocess.Popen(
        list(map(str, command)), stderr=subprocess.PIPE, text=True, **options
    ) as process:
        family = [psutil.Process(process.pid)]
        try:
            eventually(lambda: len(list(out.glob("runs/run-*"))) >= 4, 120)
            assert process.poll() is None, process.communicate()
            family += family[0].children(recursive=True)
            yield process
        finally:
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()


#: The run of the small design that fails with the model below, and its seed.
BAD_RUN = 2
_BAD_SEED = int(small_design().table["rng"][BAD_RUN])


class Fragile(SpreadModel):
    """A model that fails in one run of the small design, as long as it is broken."""

    broken = True

    def run(self, steps: int) -> SpreadModel:
        if self.broken and self.streams.seed == _BAD_SEED:
            raise ZeroDivisionError("no luck")
        return super().run(steps)
