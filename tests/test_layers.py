"""What may import what, and that importing the package is instant and without side effects."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mesa_llmspread

PACKAGE = Path(mesa_llmspread.__file__).parent
HEAVY = ("mesa", "litellm", "solara", "numba", "matplotlib")


def loaded_after(statement: str) -> set[str]:
    """Name the heavy libraries that a fresh interpreter has loaded after a statement."""
    code = f"{statement}; import sys; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_after("import mesa_llmspread") == set()
    code = "import sys, mesa_llmspread; print(len([m for m in sys.modules if 'numpy' in m]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"


@pytest.mark.parametrize(
    "module",
    ["profiles", "events", "transmission", "meanfield", "ensemble", "data", "networks", "analysis"],
)
def test_science_knows_neither_mesa_nor_models_nor_pages(module: str) -> None:
    allowed = {"numba"} if module == "ensemble" else set()
    assert loaded_after(f"import mesa_llmspread.{module}") <= allowed


def test_deciders_load_no_language_model_library() -> None:
    assert loaded_after("import mesa_llmspread.deciders") == set()


def imports_of(path: Path) -> set[str]:
    """Name the rooms of the package that a module imports at its top."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mesa_llmspread."):
            found.add(node.module.split(".")[1])
    return found


# What each room may import, from left to right; nothing flows back.
FORBIDDEN = {
    "transmission.py": {"networks", "deciders", "agent", "model", "data", "meanfield", "ensemble"},
    "profiles.py": {"events", "deciders", "agent", "model", "data", "meanfield"},
    "deciders": {"agent", "model", "data", "meanfield", "ensemble", "report", "cli", "app"},
    "events": {"deciders", "agent", "model", "data", "meanfield"},
    "meanfield": {"deciders", "agent", "model", "ensemble", "report", "cli", "app", "events"},
    "ensemble.py": {"deciders", "agent", "model", "data", "report", "cli", "app"},
    "model.py": {"data", "meanfield", "ensemble", "report", "cli", "app"},
    "data.py": {"meanfield", "ensemble", "report", "cli", "app"},
}


@pytest.mark.parametrize("room", FORBIDDEN)
def test_nothing_flows_back(room: str) -> None:
    place = PACKAGE / room
    for path in [place] if place.is_file() else place.rglob("*.py"):
        assert not imports_of(path) & FORBIDDEN[room], path


def test_the_public_list_is_true() -> None:
    for name in mesa_llmspread.__all__:
        assert getattr(mesa_llmspread, name).__doc__, name
    assert set(mesa_llmspread.__all__) <= set(dir(mesa_llmspread))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mesa_llmspread.nothing  # noqa: B018


def test_the_typed_list_is_the_lazy_list() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    block = next(
        node
        for node in tree.body
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
    )
    names = {alias.name for node in block.body for alias in node.names}
    assert names == set(mesa_llmspread.__all__)
