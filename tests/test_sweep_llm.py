"""Sweeps over language models: one store, one budget and one rate limit, and what it will take."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from command_line import invoke
from pandas.testing import assert_frame_equal
from servers import Reply, ScriptedServer, answer
from waiting import eventually

from mesa_llmspread.deciders import DecisionStore
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    BudgetExceededError,
    DesignError,
    SweepBudgetError,
    UnknownNameError,
)
from mesa_llmspread.sweep import Design, dry_run, load, resume, run

# litellm imports some of its parts at the first call, and pydantic warns of one of them.
pytestmark = pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning")

STEPS = 3


def by_seed(request: dict[str, Any]) -> Reply:
    """An answer that depends on the request alone."""
    return answer(request["seed"] % 3 == 0, f"post {request['seed']}")


def design(replicates: int = 2) -> Design:
    deciders = ["llm:openai/tiny", "llm:openai/small", "SI(0.5)"]
    return Design({"n": 20, "k": 4, "decider": deciders, "initial_infected": 4}, replicates, rng=1)


@pytest.fixture
def server(scripted_server: ScriptedServer) -> ScriptedServer:
    scripted_server.reset(by_seed)
    return scripted_server


def test_an_address_with_a_password_is_refused_and_not_shown(tmp_path: Path) -> None:
    options = {"api_base": "http://me:SECRETWORD@127.0.0.1:9/v1"}
    for cells in (design(), Design({"n": 20, "decider": ["SI(0.5)"]})):
        with pytest.raises(ArgumentError) as caught:
            run(cells, tmp_path / "out", llm=options)
        assert "SECRETWORD" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_sweep_has_one_wording(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    words = 'name = "mine"\nversion = "1"\nbase = "standard"\nquestion = "{}"\n'
    Path("mine.toml").write_text(words.format("Repost?"))
    asked = Design({"n": 20, "k": 4, "decider": ["llm:openai/tiny"]}, 2, rng=1)
    options = {"api_base": server.api_base, "template": "mine.toml", "max_calls": 5}
    how = {"backend": "sequential", "progress": "none"}
    with pytest.raises(SweepBudgetError):
        run(asked, "out", steps=STEPS, llm=options, **how)
    monkeypatch.chdir("elsewhere")
    (tmp_path / "mine.toml").write_text(words.format("Do you repost it?"))
    with pytest.raises(ArgumentError) as caught:
        resume("../out", **how, llm={"max_calls": 10_000})
    assert caught.value.argument == "out"
    assert "template" in caught.value.allowed
    (tmp_path / "mine.toml").write_text(words.format("Repost?"))
    assert set(resume("../out", **how, llm={"max_calls": 10_000}).runs["status"]) == {"done"}


def test_a_sweep_goes_on_only_where_its_models_answer(
    server: ScriptedServer, tmp_path: Path
) -> None:
    how = {"backend": "sequential", "progress": "none"}
    with pytest.raises(SweepBudgetError):
        run(
            design(),
            tmp_path,
            steps=STEPS,
            llm={"api_base": server.api_base, "max_calls": 5},
            **how,
        )
    with pytest.raises(DesignError) as caught:
        resume(tmp_path, llm={"api_base": "http://127.0.0.1:9/v1", "max_calls": 10_000}, **how)
    assert "no server answers" in caught.value.problems[0].why
    assert not list((tmp_path / "failures").iterdir())


def test_workers_share_a_store_and_what_may_be_sent(server: ScriptedServer, tmp_path: Path) -> None:
    options = {"api_base": server.api_base, "max_concurrency": 4, "requests_per_minute": 60_000}
    sweep = run(design(), tmp_path, n_jobs=2, steps=STEPS, llm=options)
    assert set(sweep.runs["status"]) == {"done"}
    decided = sweep.exposures.query("decider != 'SI(0.5)'")
    assert len(server.requests) == len(decided) > 0
    assert server.most_in_flight <= 4
    store = DecisionStore(tmp_path / "calls.sqlite")
    assert store.info()["models"] == {
        f"openai/{name}": count
        for name, count in Counter(decided["decider"].str.removeprefix("llm:openai/")).items()
    }
    assert store.spent()[0] == len(server.requests)
    assert sweep.manifest["llm"] == options


def test_a_budget_stops_the_sweep_and_more_of_it_completes_it(
    server: ScriptedServer, tmp_path: Path
) -> None:
    options = {"api_base": server.api_base, "max_concurrency": 4}
    whole = run(design(), tmp_path / "whole", backend="sequential", steps=STEPS, llm=options)
    needed = len(server.requests)
    server.reset(by_seed)
    out = tmp_path / "out"
    with pytest.raises(SweepBudgetError) as caught:
        run(design(), out, n_jobs=2, steps=STEPS, llm={**options, "max_calls": needed // 2})
    assert isinstance(caught.value, BudgetExceededError)
    assert (caught.value.argument, caught.value.folder) == ("max_calls", out)
    states = load(out).runs["status"].value_counts()
    assert set(states.index) == {"done", "missing"}
    assert caught.value.done == states["done"]
    assert len(server.requests) == needed // 2
    found = resume(out, n_jobs=2, llm={"max_calls": needed})
    assert len(server.requests) == needed
    assert_frame_equal(found.frame(), whole.frame())
    assert found.manifest["llm"]["max_calls"] == needed


def test_lost_runs_are_answered_by_the_store(server: ScriptedServer, tmp_path: Path) -> None:
    options = {"api_base": server.api_base}
    first = run(design(), tmp_path, backend="sequential", steps=STEPS, llm=options)
    before = first.frame()
    asked = len(server.requests)
    for number in range(4):
        shutil.rmtree(first.file(number))
    assert_frame_equal(resume(tmp_path, backend="sequential").frame(), before)
    assert len(server.requests) == asked


SCRIPT = """
from mesa_llmspread.sweep import Design, run
if __name__ == "__main__":
    design = Design({"n": 40, "k": 4, "decider": "llm:openai/tiny"}, replicates=8, rng=1)
    run(design, OUT, n_jobs=2, steps=4, llm={"api_base": ADDRESS, "max_concurrency": 4})
"""


@pytest.mark.slow
def test_a_killed_sweep_pays_for_nothing_twice(server: ScriptedServer, tmp_path: Path) -> None:
    def slowly(request: dict[str, Any]) -> Reply:
        return Reply(by_seed(request).content, delay=0.01)

    server.reset(slowly)
    out, script = tmp_path / "out", tmp_path / "sweep.py"
    words = SCRIPT.replace("OUT", repr(str(out))).replace("ADDRESS", repr(server.api_base))
    script.write_text(words)
    with subprocess.Popen([sys.executable, str(script)]) as process:
        eventually(lambda: len(server.requests) >= 100, 120)
        assert process.poll() is None
        workers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
    _, left = psutil.wait_procs(workers, timeout=60)
    assert not left
    found = resume(out, backend="sequential")
    assert len(found.done) == 8
    decisions = len(found.exposures)
    asked = {f"{request['seed']} {request['messages']}" for request in server.requests}
    assert len(asked) == decisions
    assert len(server.requests) - decisions <= 4


# Options


@pytest.mark.parametrize(
    ("llm", "error", "argument"),
    [
        ({"temprature": 1}, UnknownNameError, "llm"),
        ({"model": "openai/tiny"}, UnknownNameError, "llm"),
        ({"temperature": 5}, ArgumentError, "temperature"),
        ({"store": object()}, ArgumentTypeError, "llm['store']"),
        (["max_calls"], ArgumentTypeError, "llm"),
    ],
)
def test_options_are_checked_before_any_run(
    tmp_path: Path, llm: Any, error: type[Exception], argument: str
) -> None:
    with pytest.raises(error) as caught:
        run(design(), tmp_path / "out", llm=llm)
    assert caught.value.argument == argument
    assert not (tmp_path / "out").exists()


def test_options_need_a_language_model(tmp_path: Path) -> None:
    laws = Design({"n": 20, "decider": "SI(0.5)"}, rng=1)
    with pytest.raises(ArgumentError) as caught:
        run(laws, tmp_path / "out", llm={"max_calls": 3})
    assert caught.value.argument == "llm"


def test_limits_may_change_and_what_is_asked_may_not(
    server: ScriptedServer, tmp_path: Path
) -> None:
    def go(**options: Any) -> None:
        llm = {"api_base": server.api_base, **options}
        run(design(1), tmp_path, backend="sequential", steps=1, llm=llm)

    go(temperature=0.5, max_calls=1000)
    go(temperature=0.5, max_calls=2000, timeout=5)
    with pytest.raises(ArgumentError) as caught:
        go()
    assert "temperature is 0.5 there and None here" in caught.value.allowed
    with pytest.raises(ArgumentError) as caught:
        resume(tmp_path, llm={"sampling": "pooled"})
    assert "sampling is None there and 'pooled' here" in caught.value.allowed


def test_a_store_of_ones_own(server: ScriptedServer, tmp_path: Path) -> None:
    store = tmp_path / "shared.sqlite"
    llm = {"api_base": server.api_base, "store": store}
    for name in ("one", "two"):
        run(design(1), tmp_path / name, backend="sequential", steps=2, llm=llm)
        assert not (tmp_path / name / "calls.sqlite").exists()
    assert DecisionStore(store).info()["calls"] == len(server.requests)


# What it will take


def test_a_dry_run_is_never_below_what_is_asked(server: ScriptedServer, tmp_path: Path) -> None:
    options = {"api_base": server.api_base}
    for name, more in (
        ("posts", {}),
        ("pooled", {"sampling": "pooled", "feed_detail": "counts", "draws": 2}),
    ):
        expected = dry_run(design(), steps=STEPS, llm={**options, **more})
        assert server.requests == []
        sweep = run(design(), tmp_path / name, backend="sequential", steps=STEPS,
                    llm={**options, **more})  # fmt: skip
        asked = Counter(request["model"] for request in server.requests)
        cells = expected.cells.set_index("decider")
        assert (cells["runs"] == 2).all()
        assert expected.runs == 4
        for model in ("tiny", "small"):
            assert 0 < asked[model] <= cells.loc[f"llm:openai/{model}", "most_calls"]
        assert expected.total.most_calls == cells["most_calls"].sum()
        assert expected.total.calls <= expected.total.most_calls
        assert len(sweep.done) == 6
        server.reset(by_seed)


def test_a_dry_run_knows_prices_or_says_that_it_does_not() -> None:
    known = Design({"n": 100, "decider": "llm:openai/gpt-4o-mini"}, replicates=3)
    found = dry_run(known, steps=10)
    assert 0 < found.total.cost_usd < found.total.most_cost_usd  # type: ignore[operator]
    assert dry_run(Design({"n": 100, "decider": "SI(0.5)"})).runs == 0
    both = Design({"n": 100, "decider": ["llm:openai/gpt-4o-mini", "llm:openai/tiny"]})
    found = dry_run(both, steps=10)
    assert found.total.cost_usd is None
    assert found.cells["cost_usd"].notna().tolist() == [True, False]
    assert "at an unknown price" in str(found)


def test_a_dry_run_of_uneven_networks_reckons_with_their_hubs() -> None:
    llm = {"sampling": "pooled", "feed_detail": "counts", "draws": 1}
    cell = {"n": 500, "k": 4, "decider": "llm:openai/tiny", "population": "OCEAN"}
    even, uneven = (
        dry_run(Design({**cell, "network": network}), steps=5, llm=llm).total
        for network in ("random_regular", "scale_free")
    )
    assert uneven.calls == even.calls
    assert uneven.most_calls >= even.most_calls


# The command


def test_the_command_says_what_it_will_take(server: ScriptedServer, tmp_path: Path) -> None:
    out, file = tmp_path / "out", tmp_path / "design.yaml"
    file.write_text(
        "parameters: {n: 20, k: 4, decider: ['llm:openai/tiny', 'SI(0.5)']}\n"
        f"rng: 1\nsteps: 2\nllm: {{api_base: '{server.api_base}'}}\n"
    )
    words = [out, "--design", file, "--backend", "sequential", "--llm", "max_calls=5"]
    dry = invoke("sweep", *words, "--dry-run")
    assert dry.exit_code == 0
    assert "1 run with a language model: about" in dry.stdout
    assert not out.exists()
    assert server.requests == []
    stopped = invoke("sweep", *words)
    assert isinstance(stopped.exception, SweepBudgetError)
    assert stopped.stdout == dry.stdout
    assert len(server.requests) == 5
    rest = invoke("sweep", out, "--resume", "--dry-run")
    assert rest.stdout == dry.stdout
    done = invoke("sweep", out, "--resume", "--backend", "sequential", "--llm", "max_calls=500")
    assert done.exit_code == 0
    assert done.stdout.endswith(f"{out}: 2 done\n")
    assert invoke("sweep", out, "--resume", "--dry-run").stdout == "no language model is asked\n"


def test_the_command_names_bad_options(tmp_path: Path) -> None:
    file = tmp_path / "design.json"
    file.write_text('{"parameters": {"decider": ["llm:openai/tiny"]}}')
    found = invoke("sweep", tmp_path / "out", "--design", file, "--llm", "max_calls")
    assert isinstance(found.exception, ArgumentError)
    assert "NAME=VALUE" in str(found.exception)
