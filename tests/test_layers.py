"""What may import what, and that importing the package is instant and without side effects."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import mesa_llmspread

PACKAGE = Path(mesa_llmspread.__file__).parent
HEAVY = ("mesa", "litellm", "solara", "numba", "matplotlib")


IMPORTS = """
import importlib, json, sys
loaded = {}
for module in sys.argv[2:]:
    importlib.import_module(module)
    loaded[module] = [name for name in sys.argv[1].split() if name in sys.modules]
print(json.dumps(loaded))
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[str]]:
    """Name what a fresh interpreter has loaded after each of several imports, one by one."""
    rooms = (
        "profiles",
        "events",
        "transmission",
        "networks",
        "data",
        "meanfield",
        "inference",
        "analysis",
    )
    modules = ["mesa_llmspread"]
    modules += [f"mesa_llmspread.{room}" for room in (*rooms, "deciders", "simulation.ensemble")]
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, " ".join(("numpy", *HEAVY)), *modules],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    return json.loads(done.stdout)


def test_importing_the_package_loads_nothing_heavy(loaded: dict[str, list[str]]) -> None:
    assert loaded["mesa_llmspread"] == []


def test_science_knows_neither_mesa_nor_models_nor_pages(loaded: dict[str, list[str]]) -> None:
    for module, libraries in loaded.items():
        allowed = (
            {"numpy", "numba"} if module == "mesa_llmspread.simulation.ensemble" else {"numpy"}
        )
        assert set(libraries) <= allowed, module


def test_deciders_load_no_language_model_library(loaded: dict[str, list[str]]) -> None:
    assert set(loaded["mesa_llmspread.deciders"]) == {"numpy"}


# The layers, from the bottom: a module or subpackage imports only what stands above it here.
# What stands in one line may import each other. A module of a subpackage that stands apart has
# a line of its own.
LAYERS = """
_words _figures
exceptions
rng _validation _watchdog io plugins
profiles
networks _adjacency _random_regular
events
transmission
data
simulation
meanfield
inference
analysis
tables
deciders
analysis.distill
space
agent model recorder
reporting
sweep
experiments
app
cli
__main__
"""
RANK = {name: rank for rank, line in enumerate(LAYERS.split("\n")) for name in line.split()}


def layer_of(module: str) -> str | None:
    """Return the layer that a module of the package stands in; None for the package itself."""
    parts = module.split(".")[1:]
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in names if name in RANK), None)


def imports_of(path: Path) -> set[str]:
    """Return the layers that a module imports, inside functions and for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import cannot be checked"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        ours = {name for name in names if name.split(".")[0] == "mesa_llmspread"}
        unknown = [name for name in ours if layer_of(name) is None]
        assert not unknown, f"{path}:{node.lineno}: imports {unknown} from the package itself"
        found |= {layer_of(name) for name in ours}
    return found


MODULES = {
    path: layer_of(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}


@pytest.mark.parametrize("layer", RANK)
def test_nothing_flows_back(layer: str) -> None:
    paths = [path for path, its in MODULES.items() if its == layer]
    assert paths, f"there is no module {layer}"
    for path in paths:
        backwards = {name for name in imports_of(path) if RANK[name] > RANK[layer]}
        assert not backwards, path


def test_every_module_has_its_layer() -> None:
    assert [path for path, layer in MODULES.items() if layer is None] == []


def test_the_public_list_is_true() -> None:
    for name in mesa_llmspread.__all__:
        assert getattr(mesa_llmspread, name).__doc__, name
    assert set(mesa_llmspread.__all__) <= set(dir(mesa_llmspread))
    with pytest.raises(AttributeError, match="nothing"):
        mesa_llmspread.nothing  # noqa: B018


@pytest.mark.parametrize("name", mesa_llmspread.__all__)
def test_every_public_name_has_an_example(name: str) -> None:
    """The doctests run it."""
    assert ">>> " in getattr(mesa_llmspread, name).__doc__
