"""What several test modules share."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["servers"]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of reference numbers and real data that is not part of the project."""
    folder = Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"reference data is not here: {folder}")
    return folder
