"""What the tests of sweeps share."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pandas.testing import assert_frame_equal
from waiting import eventually

from mesa_llmspread import SpreadModel
from mesa_llmspread.sweep import Design, Sweep

__all__ = ["SMALL", "assert_same_results", "break_run", "small_design", "under_way"]


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


def break_run(monkeypatch: pytest.MonkeyPatch, bad: int = 2) -> int:
    """Make a run of the small design raise, and return its number."""
    seed = int(small_design().table["rng"][bad])
    whole = SpreadModel.run

    def fragile(model: SpreadModel, steps: int) -> SpreadModel:
        if model.streams.seed == seed:
            raise ZeroDivisionError("no luck")
        return whole(model, steps)

    monkeypatch.setattr(SpreadModel, "run", fragile)
    return bad
