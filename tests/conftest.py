"""What several test modules share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before NumPy is loaded: on small problems a second thread of OpenBLAS only spins, and beside
# busy processes everything waits for it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

pytest_plugins = ["servers"]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of reference numbers and real data that is not part of the project."""
    folder = Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"reference data is not here: {folder}")
    return folder
