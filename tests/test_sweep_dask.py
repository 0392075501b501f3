"""Sweeps on a real Dask cluster: a scheduler and two workers, each a process of its own."""

from __future__ import annotations

import contextlib
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from servers import ScriptedServer
from sweeps import assert_same_results
from waiting import eventually

from mesa_llmspread.exceptions import ArgumentError, SweepBudgetError, WorkerLostError
from mesa_llmspread.sweep import Design, Sweep, load, resume, run

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")

pytestmark = pytest.mark.slow


class Cluster(NamedTuple):
    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]


def design() -> Design:
    return Design({"n": 600, "k": 6, "decider": ["SI(0.02)", "SI(0.03)"]}, replicates=20, rng=5)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return run(design(), tmp_path_factory.mktemp("undisturbed"), backend="sequential")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """``dask scheduler`` and two times ``dask worker`` on 127.0.0.1."""
    said = (tmp_path / "cluster.log").open("wb")
    file = tmp_path / "scheduler.json"

    def start(*words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *words, "--no-dashboard"]
        process = subprocess.Popen(command, stdout=said, stderr=said, cwd=tmp_path)
        started.callback(process.wait)
        started.callback(process.kill)
        return process

    with contextlib.ExitStack() as started:
        started.callback(said.close)
        scheduler = start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file)
        )
        workers = [
            start(
                "worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny",
                "--host", "127.0.0.1", "--name", f"worker-{i}",
            )
            for i in range(2)
        ]  # fmt: skip
        eventually(file.exists)
        with distributed.Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            address = client.scheduler.address
        yield Cluster(address, scheduler, workers)


KILLER = """
import os, pathlib, signal, sys, time
while len(list(pathlib.Path(sys.argv[1], "runs").glob("run-*"))) < 4:
    time.sleep(0.01)
os.kill(int(sys.argv[2]), signal.SIGKILL)
"""


@contextlib.contextmanager
def killing(process: subprocess.Popen[bytes], out: Path) -> Iterator[None]:
    """Kill a process as soon as four runs are done."""
    command = [sys.executable, "-c", KILLER, str(out), str(process.pid)]
    with subprocess.Popen(command) as killer:
        try:
            yield
            assert killer.wait(timeout=60) == 0
        finally:
            killer.kill()


def test_a_cluster_gives_the_same_rows(
    cluster: Cluster, undisturbed: Sweep, tmp_path: Path
) -> None:
    found = run(design(), tmp_path / "out", backend="dask", client=cluster.address)
    assert_same_results(undisturbed, found)


def test_a_worker_killed_in_the_middle_loses_nothing(
    cluster: Cluster, undisturbed: Sweep, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with (
        killing(cluster.workers[0], out),
        distributed.Client(cluster.address, set_as_default=False) as client,
    ):
        found = run(design(), out, backend="dask", client=client)
    assert cluster.workers[0].wait(timeout=60) == -9
    assert cluster.workers[1].poll() is None
    assert_same_results(undisturbed, found)


@pytest.mark.slow
def test_a_killed_scheduler_stops_the_sweep_and_loses_nothing(
    cluster: Cluster, undisturbed: Sweep, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    long = Design({"n": 600, "k": 6, "decider": "SI(0.02)"}, replicates=200, rng=5)
    with killing(cluster.scheduler, out), pytest.raises(WorkerLostError):
        run(long, out, backend="dask", client=cluster.address)
    done = len(load(out).done)
    assert 4 <= done < 200


def test_a_sweep_can_move_between_backends(
    cluster: Cluster, undisturbed: Sweep, tmp_path: Path
) -> None:
    out = shutil.copytree(undisturbed.path, tmp_path / "out")
    for file in sorted(out.glob("runs/*"))[10:]:
        shutil.rmtree(file)
    assert len(load(out).done) == 10
    assert_same_results(undisturbed, resume(out, backend="dask", client=cluster.address))


def test_a_cluster_of_ones_own(undisturbed: Sweep, tmp_path: Path) -> None:
    assert_same_results(undisturbed, run(design(), tmp_path, backend="dask", n_jobs=2))


@pytest.fixture
def impatient() -> Iterator[None]:
    """Have Dask give up soon."""
    with dask.config.set({"distributed.comm.timeouts.connect": "0.5s"}):
        yield


@pytest.mark.usefixtures("impatient")
def test_a_scheduler_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError) as caught:
        run(design(), tmp_path, backend="dask", client="tcp://127.0.0.1:9")
    assert (caught.value.argument, caught.value.value) == ("client", "tcp://127.0.0.1:9")


def test_a_backend_that_fails_leaves_the_place_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    before = sorted(tmp_path.rglob("*"))
    for place in ("new", "real", "link"):
        with pytest.raises(ArgumentError) as caught:
            run(design(), tmp_path / place, backend="dask", client=5)
        assert (caught.value.argument, caught.value.value) == ("client", 5)
        assert sorted(tmp_path.rglob("*")) == before
    assert len(run(design(), tmp_path / "link", backend="sequential").done) == len(design())


@pytest.mark.usefixtures("impatient")
def test_a_cluster_without_workers_is_named(tmp_path: Path) -> None:
    with (
        distributed.LocalCluster(
            n_workers=0, processes=False, dashboard_address="127.0.0.1:0"
        ) as empty,
        distributed.Client(empty, set_as_default=False) as client,
        pytest.raises(ArgumentError) as caught,
    ):
        run(design(), tmp_path, backend="dask", client=client)
    assert caught.value.argument == "client"


def test_language_models_are_asked_through_a_cluster(
    cluster: Cluster, scripted_server: ScriptedServer, tmp_path: Path
) -> None:
    options = {"api_base": scripted_server.api_base, "max_calls": 60, "max_concurrency": 4}
    cell = {"n": 20, "k": 4, "decider": "llm:openai/tiny", "initial_infected": 4}
    model = Design(cell, replicates=6, rng=1)
    how = {"backend": "dask", "client": cluster.address, "steps": 2}
    with pytest.raises(SweepBudgetError) as caught:
        run(model, tmp_path / "out", llm=options, **how)
    assert (caught.value.argument, caught.value.limit) == ("max_calls", 60)
    assert len(scripted_server.requests) == 60
    found = resume(
        tmp_path / "out", backend="dask", client=cluster.address, llm={"max_calls": 10_000}
    )
    assert len(found.exposures) == len(scripted_server.requests) > 60
    assert scripted_server.most_in_flight <= 4


def test_language_models_are_not_asked_from_other_machines(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "node", lambda: "another-machine")
    model = Design({"n": 20, "k": 4, "decider": "llm:openai/tiny"}, rng=1)
    llm = {"api_base": "http://127.0.0.1:9/v1", "mode": "replay", "store": __file__}
    with pytest.raises(ArgumentError) as caught:
        run(model, tmp_path / "out", backend="dask", client=cluster.address, llm=llm)
    assert caught.value.argument == "client"
    assert not (tmp_path / "out").exists()
