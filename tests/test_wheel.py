"""The wheel alone, in an empty environment and outside the checkout, does all of it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
import venv
from pathlib import Path

import pytest
from waiting import eventually

ROOT = Path(__file__).parents[1]
DESIGN = "parameters: {n: 60, k: 4, decider: ['SI(0.1)', 'SI(0.2)']}\nrng: 1\nsteps: 5\n"
SMALL = ("--n", "60", "--k", "4", "--rng", "1")
ENVIRONMENT = {**os.environ, "PYTHONPATH": "", "SOLARA_TELEMETRY_MIXPANEL_ENABLE": "false"}


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an empty environment; return its command."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT]
    subprocess.run(build, check=True, timeout=300)
    venv.create(folder / "env", with_pip=True)
    (wheel,) = folder.glob("*.whl")
    pip = [folder / "env" / "bin" / "python", "-m", "pip", "install", "-q", wheel]
    subprocess.run(pip, check=True, timeout=1200, env=ENVIRONMENT)
    return folder / "env" / "bin" / "llmspread"


def printed(*call: str | Path, cwd: Path) -> str:
    """Run a command in a folder, and return what it printed."""
    done = subprocess.run(
        call, capture_output=True, text=True, cwd=cwd, timeout=300, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_wheel_does_it_all(command: Path, tmp_path: Path) -> None:
    def llmspread(*arguments: str) -> str:
        return printed(command, *arguments, cwd=tmp_path)

    python = command.with_name("python")
    assert printed(python, "-m", "mesa_llmspread", "--version", cwd=tmp_path)
    said = llmspread("demo", *SMALL, "--runs", "1", "--max-events", "1", "--out", "demo")
    assert "All events together" in said
    llmspread("run", "run", *SMALL, "--decider", "SI(0.2)")
    assert "FirstRepeat" in llmspread("fit", "run", "demo")
    llmspread("report", "run")
    (tmp_path / "design.yaml").write_text(DESIGN)
    said = llmspread("sweep", "sweep", "--design", "design.yaml", "--backend", "sequential")
    assert "2 done" in said
    for page in ("demo", "run"):
        assert (tmp_path / page / "report.html").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_page_comes_with_the_wheel(command: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    call = [command, "app", "--port", str(port), "--no-open", "--production"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(call, cwd=tmp_path, stdout=log, stderr=log, env=ENVIRONMENT)

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://localhost:{port}", timeout=30) as reply:
                return reply.status == 200
        except OSError:
            assert server.poll() is None, (tmp_path / "log").read_text()
            return False

    try:
        eventually(answers, 120)
    finally:
        server.kill()
        server.wait()
    assert "Traceback" not in (tmp_path / "log").read_text()
