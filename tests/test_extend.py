"""Every block of docs/extend.md runs as it stands, and does what the text says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "extend.md"
PARTS = re.compile(r"^## (.+?)$|```python\n(.*?)```", re.S | re.M)

# What the text says of the law: the engine, the equations and the fit agree.
CHECK = """
low, high = (result.ci[name] for name in ("low", "high"))
assert low[0] < 0.02 < low[1], low
assert high[0] < 0.3 < high[1], high
assert abs(runs.infected[0, -1] / curve["infected"].iloc[-1] - 1) < 0.01
"""


def test_every_block_runs(tmp_path: Path) -> None:
    heading, files = "", []
    for title, block in PARTS.findall(PAGE.read_text(encoding="utf-8")):
        heading = title or heading
        if block:
            assert max(len(part.splitlines()) for part in re.split(r"\n\n+", block)) < 25
            files.append(tmp_path / f"block_{len(files)}.py")
            files[-1].write_text(block + CHECK * (heading == "A law"), encoding="utf-8")
    assert len(files) >= 7
    # In a process of their own, as they register parts.
    driver = "import runpy, sys; [runpy.run_path(p, run_name='__main__') for p in sys.argv[1:]]"
    command = [sys.executable, "-c", driver, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert "Threshold fitted to" in done.stdout
    assert "Threshold(low=" in done.stdout
