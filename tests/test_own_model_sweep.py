"""Sweeps of a model of one's own: its arguments are parameters, the folder knows it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mesa
import pytest
from command_line import call

from mesa_llmspread import SpreadModel
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, DesignError
from mesa_llmspread.sweep import Design, load, resume, run

MODELS = """
from mesa_llmspread import SpreadModel


class Fading(SpreadModel):
    '''Interest ends after a number of steps.'''

    def __init__(self, lasts=3, n=40, **settings):
        super().__init__(n=n, **settings)
        self.lasts = lasts

    def step(self):
        super().step()
        self.running = self.running and self.clock < self.lasts


class Choosy(Fading):
    def __init__(self, topic, **settings):
        super().__init__(**settings)
        self.topic = topic


class Fixed(SpreadModel):
    def __init__(self, lasts=3, rng=None):
        super().__init__(n=40, k=4, network='scale_free', decider='SI(0.1)', rng=rng)


class Seedless(SpreadModel):
    def __init__(self, lasts=3):
        super().__init__(rng=1)


not_a_model = 3
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A module of a user's own, where Python and its child processes find it."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "own_sweep_models.py").write_text(MODELS, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        import own_sweep_models  # type: ignore[import-not-found]

        yield own_sweep_models


SMALL = {"k": 4, "decider": "SI({beta})", "beta": [0.05], "lasts": [2, 5]}


@pytest.mark.parametrize("backend", ["sequential", "loky"])
def test_own_arguments_are_parameters(module: Any, tmp_path: Path, backend: Any) -> None:
    design = Design(SMALL, rng=1, model=module.Fading)
    sweep = run(design, tmp_path / "out", model=module.Fading, backend=backend, n_jobs=2)
    assert sweep.counts.groupby("lasts")["step"].max().to_dict() == {2: 2, 5: 5}
    counts = sweep.counts
    assert (counts["susceptible"] + counts["infected"] == 40).all()
    assert sweep.manifest["model"] == "own_sweep_models:Fading"
    alone = module.Fading(lasts=5, k=4, decider="SI(0.05)", rng=int(sweep.runs["rng"][1])).run(50)
    assert counts.query("lasts == 5")["infected"].iloc[-1] == alone.infected
    # The folder alone is enough, also to grow it.
    shutil.rmtree(sweep.file(1))
    assert len(resume(tmp_path / "out", backend=backend, n_jobs=2).done) == 2
    again = Design(load(tmp_path / "out").design.cells, replicates=2, rng=1, model=module.Fading)
    assert len(run(again, tmp_path / "out", backend=backend, n_jobs=2).done) == 4


def test_a_model_is_named_by_text(module: Any, tmp_path: Path) -> None:
    design = Design(SMALL, rng=1, model="own_sweep_models:Fading")
    assert design.model is module.Fading
    plain = Design({"n": 40, "k": 4, "decider": "SI(0.05)"}, rng=1)
    sweep = run(plain, tmp_path, model="own_sweep_models:Fading", backend="sequential")
    assert sweep.counts["step"].max() == 3


def test_every_kind_of_design_takes_a_model(module: Any) -> None:
    ranges = {"k": (2, 8), "lasts": (1, 9)}
    for design in (
        Design.latin_hypercube(ranges, 4, rng=1, model=module.Fading),
        Design.sobol(ranges, 4, rng=1, model=module.Fading),
        Design.saltelli(ranges, 4, rng=1, model=module.Fading),
    ):
        assert design.model is module.Fading
        assert design.cells["lasts"].between(1, 9).all()


def test_arguments_are_those_of_the_class_and_its_bases(module: Any) -> None:
    Design({"topic": "news", "lasts": [1], "feed": "new"}, model=module.Choosy)
    # Without **settings the class has no other arguments; what it sets itself is not checked.
    Design({"lasts": [1, 2]}, model=module.Fixed)
    for parameters, model, argument, hint in (
        ({"lasts": [1]}, module.Choosy, "topic", "no default"),
        ({"latss": [1]}, module.Fading, "latss", "(they are lasts, n,"),
        ({"k": [4]}, module.Fixed, "k", "(they are lasts)"),
        ({"lasts": [1]}, SpreadModel, "lasts", "model=MyModel"),
        ({"lasts": [1], "decider": "SI(2)"}, module.Fading, "decider", "beta=2"),
    ):
        with pytest.raises(DesignError) as caught:
            Design(parameters, model=model)
        assert caught.value.problems[0].argument == argument
        assert hint in caught.value.problems[0].why


def test_what_is_no_model_is_refused(module: Any, tmp_path: Path) -> None:
    design = Design({"n": 40, "k": 4}, rng=1)
    for model in (mesa.Model, module.Fading(), 3, "own_sweep_models:not_a_model"):
        with pytest.raises(ArgumentTypeError) as wrong_type:
            run(design, tmp_path / "out", model=model)
        assert wrong_type.value.expected == "a subclass of SpreadModel"
    own = Design({"lasts": [1]}, model=module.Fading)
    for asked, options, value in (
        (design, {"model": "Fading"}, "Fading"),
        (design, {"model": "own_sweep_models:Faiding"}, "own_sweep_models:Faiding"),
        (design, {"model": "no_such_module:Fading"}, "no_such_module:Fading"),
        (design, {"model": module.Seedless}, "own_sweep_models:Seedless"),
        (own, {"model": module.Fixed}, "own_sweep_models:Fixed"),
        (own, {"engine": "compiled"}, "compiled"),
    ):
        with pytest.raises(ArgumentError) as caught:
            run(asked, tmp_path / "out", **options)
        assert (caught.value.argument, caught.value.value) == (next(iter(options)), value)
    assert not (tmp_path / "out").exists()


def test_a_folder_goes_on_with_its_own_model_only(module: Any, tmp_path: Path) -> None:
    design = Design({"n": 40, "k": 4, "decider": "SI(0.1)"}, rng=1)
    run(design, tmp_path, model=module.Fading, backend="sequential")
    with pytest.raises(ArgumentError) as caught:
        run(design, tmp_path, backend="sequential")
    assert caught.value.argument == "out"
    with pytest.raises(ArgumentError) as caught:
        resume(tmp_path, model=SpreadModel)
    assert caught.value.argument == "model"
    assert len(resume(tmp_path, model=module.Fading, backend="sequential").done) == 1


def test_a_model_that_fails_is_recorded(module: Any, tmp_path: Path) -> None:
    design = Design({"n": 40, "lasts": ["never"]}, rng=1, model=module.Fading)
    error = run(design, tmp_path, backend="sequential").runs["error"][0]
    assert error.startswith("TypeError: '<' not supported")


@pytest.mark.usefixtures("module")
def test_a_dry_run_counts_with_the_models_defaults() -> None:
    # In a process of its own, which alone loads litellm.
    script = """
from mesa_llmspread.sweep import Design, dry_run
for settings, model in (({}, "own_sweep_models:Fading"), ({"n": 40}, None)):
    given = {} if model is None else {"model": model}
    design = Design({"decider": "llm:openai/tiny", **settings}, rng=1, **given)
    print(dry_run(design, steps=10).total.most_calls)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert done.stdout.split() == ["2000", "2000"], done.stderr


def test_a_model_of_a_script_is_sent_to_workers_and_resumed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"""{MODELS}
import shutil, sys
from mesa_llmspread.sweep import Design, resume, run

if __name__ == "__main__":
    design = Design({{"k": 4, "lasts": [2, 4]}}, rng=1, model=Fading)
    sweep = run(design, sys.argv[1], n_jobs=2)
    print(sweep.manifest["model"], sweep.counts["step"].max())
    shutil.rmtree(sweep.file(0))
    print(len(resume(sys.argv[1], n_jobs=2).done))

    class Fading(Fading):  # as when a notebook's cell is run again
        pass

    shutil.rmtree(sweep.file(0))
    print(len(run(sweep.design, sys.argv[1], model=Fading, n_jobs=2).done))
""",
        encoding="utf-8",
    )
    command = [sys.executable, str(script), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert done.stdout.split() == ["__main__:Fading", "4", "2", "2"], done.stderr
    # Another process cannot know it, and says what to do.
    said = call("sweep", tmp_path / "out", "--resume", code=2)
    assert "model='__main__:Fading': must be importable" in said
    assert len(said.splitlines()) == 1


@pytest.mark.usefixtures("module")
def test_the_command_line_names_a_model(tmp_path: Path) -> None:
    design = tmp_path / "design.yaml"
    design.write_text("parameters: {k: [4], decider: ['SI(0.1)'], lasts: [2]}\nrng: 1\n")
    quiet = ("--backend", "sequential", "--progress", "none")
    words = ("sweep", tmp_path / "out", "--design", design, *quiet)
    assert "lasts: is not an argument of SpreadModel" in call(*words, code=2)
    model = ("--model", "own_sweep_models:Fading")
    assert "1 done" in call(*words, *model)
    assert load(tmp_path / "out").counts["step"].max() == 2
    assert "1 done" in call("sweep", tmp_path / "out", "--resume", *quiet)
    assert "--resume" in call("sweep", tmp_path / "out", "--resume", *model, code=2)
    design.write_text(design.read_text() + "model: own_sweep_models:Fading\n")
    assert "1 done" in call(*words)
    assert "No module named" in call(*words, "--model", "no_such_module:Fading", code=2)
