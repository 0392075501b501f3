"""Fixtures and settings of several test modules."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# No test asserts a time: an example may take long on a busy machine.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

# Before NumPy is loaded: on small problems a second thread of OpenBLAS only waits actively, which
# slows all processes where the machine is busy.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

pytest_plugins = ["servers", "browsing"]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of reference numbers and real data that are not part of the project."""
    folder = Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"the reference data is missing: {folder}")
    return folder
