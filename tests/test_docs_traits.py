"""Every block of the pages on traits, networks and ageing runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("page", ["traits.md", "networks.md", "ageing.md"])
def test_every_block_runs(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text("utf-8"), re.S):
        exec(compile(block, page, "exec"), names)
    printed = capsys.readouterr().out
    expected = {"traits.md": "extraversion", "networks.md": "expected_step"}
    expected["ageing.md"] = "delta 0."
    assert expected[page] in printed
