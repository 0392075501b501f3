"""Every block and every command of README and docs runs as it stands, or says here why not."""

from __future__ import annotations

import itertools
import os
import re
import shlex
from pathlib import Path
from unittest import mock

import pytest
from command_line import call
from servers import ScriptedServer, answer

from mesa_llmspread import SpreadData, SpreadModel

ROOT = Path(__file__).parents[1]
DATA = Path(__file__).parent / "data"
TEXTS = {
    path.name: path.read_text("utf-8") for path in (ROOT / "README.md", *ROOT.glob("docs/*.md"))
}

# What a page's blocks print, of all that they do.
PRINTED = {
    "compare.md": "Two rates are needed",
    "networks.md": "expected_step",
    "plan.md": "with a power of 0.8",
    "real_models.md": "reach_40",
    "report.md": "report.html",
    "sweeps.md": "One rate is enough",
    "traits.md": "extraversion",
}
SLOW = {"real_models.md", "sweeps.md"}

# Pages whose blocks run elsewhere.
ELSEWHERE = {
    "README.md": "test_models.py",
    "ageing.md": "test_ageing.py",
    "extend.md": "test_extend.py",
    "measure.md": "test_real_model.py, as it takes the file of a model",
    "llm.md": "below, with a server that is scripted",
}

# Blocks that take machines of others, or keys.
NOT_HERE = ("ADDRESS", "SLURMCluster", "KubeCluster", "openai/", "results/models")

# Smaller numbers, as the pages' own take minutes to hours.
SMALLER = {
    "sweeps.md": {
        '"n": 1000': '"n": 60',
        "replicates=20": "replicates=2",
        "points=256": "points=4",
    },
    "llm.md": {"n=200": "n=30", "steps=20": "steps=3", "range(10)": "range(2)"}
    | {"1_000_000": "2_000", "5_000": "100"},
}

# Commands that are not called here.
OTHER_COMMANDS = {
    "pip install": "the first steps of .ci/run, and test_wheel.py",
    "export ": "a key",
    "gguf:": "takes the file of a model: test_real_model.py",
    "results/table": "takes the result of the line before it",
    "results/real": "takes the result of the line before it",
    "openai/": "takes a key or a server: test_models.py has both",
    "llmspread app": "a server: test_app_run.py",
    "pytest": "this",
    "ruff": "a step of .ci/run",
    "bash .ci/run": "this",
}


def blocks(page: str) -> list[str]:
    """Return the Python blocks of a page, with smaller numbers."""
    found = re.findall(r"```python\n(.*?)```", TEXTS[page], re.S)
    for long, short in SMALLER.get(page, {}).items():
        assert any(long in block for block in found), long
        found = [block.replace(long, short) for block in found]
    return found


def test_every_page_with_blocks_is_run() -> None:
    pages = {page for page in TEXTS if "```python" in TEXTS[page]}
    assert pages == PRINTED.keys() | ELSEWHERE.keys()


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.slow] * (page in SLOW)) for page in PRINTED]
)
def test_every_block_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page):
        if not any(part in block for part in NOT_HERE):
            exec(compile(block, page, "exec"), names)
    assert PRINTED[page] in capsys.readouterr().out


@pytest.mark.slow
def test_the_blocks_about_language_models_run(
    scripted_server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = SpreadData.from_model(SpreadModel(n=100, decider="traits", rng=1).run(20))
    data.save("record")
    answers = itertools.cycle([answer(repost) for repost in (True, False, False)])
    scripted_server.script = lambda body: next(answers)
    server = {"OPENAI_BASE_URL": scripted_server.api_base, "OPENAI_API_KEY": "none"}
    names: dict[str, object] = {}
    with mock.patch.dict(os.environ, server):
        for block in blocks("llm.md"):
            exec(compile(block, "llm.md", "exec"), names)
    assert scripted_server.requests


def commands() -> list[str]:
    """Return the lines of the shell blocks of all pages."""
    found = re.findall(r"```sh\n(.*?)```", "".join(TEXTS.values()), re.S)
    lines = [line for block in found for line in block.splitlines() if line.strip()]
    return [line for line in lines if not any(part in line for part in OTHER_COMMANDS)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::mesa_llmspread.deciders.table.TableWarning")
def test_every_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = {"--network": tmp_path / "edges.txt", "--design": tmp_path / "design.yaml"}
    files["--network"].write_text(
        "".join(f"{i} {(i + j) % 60}\n" for i in range(60) for j in (1, 2))
    )
    # As the page says, its last line is for language models.
    design = re.findall(r"```yaml\n(parameters.*?)llm:", TEXTS["sweeps.md"], re.S)[0]
    files["--design"].write_text(design.replace("20", "2"))
    done = 0
    for line in commands():
        program, *words = shlex.split(line, comments=True)
        if program == "python":
            assert words[:2] == ["-m", "models.armed_conflict"]
            words = ["demo", *words[2:], "--runs", "1", "--max-events", "2"]
        for flag, path in files.items():
            if flag in words:
                words[words.index(flag) + 1] = str(path)
        words = [str(DATA / "ucdp_ged_tiny.csv") if word == "FILE" else word for word in words]
        assert call(*words)
        done += 1
    assert done >= 12
