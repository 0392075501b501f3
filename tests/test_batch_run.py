"""Mesa's own ``batch_run``: its rows carry the record of each run."""

from __future__ import annotations

from typing import Any

import mesa
import pytest
from command_line import call
from mesa.batchrunner import batch_run
from pandas.testing import assert_frame_equal

from mesa_llmspread import SpreadData, SpreadModel, concat
from mesa_llmspread.exceptions import ArgumentError


def batch(processes: int) -> list[dict[str, Any]]:
    """Four runs of 20 steps at most by Mesa's own means, which differ between its versions."""
    parameters: dict[str, Any] = {"n": 60, "k": [4, 6], "decider": "SI(0.2)"}
    options: dict[str, Any] = {"number_processes": processes, "display_progress": False}
    if mesa.__version__ >= "3.5":
        options["rng"] = [1, 2]
    else:
        parameters["rng"] = [1, 2]
    return batch_run(SpreadModel, parameters, max_steps=200, **options)


@pytest.mark.parametrize("processes", [1, 2])
def test_batch_run_carries_counts_and_exposures(processes: int) -> None:
    rows = batch(processes)
    found = SpreadData.from_batch_run(rows)
    settings = {row["RunId"]: (row["k"], row["rng"]) for row in rows}
    models = [
        SpreadModel(n=60, k=k, decider="SI(0.2)", rng=rng).run(200)
        for _, (k, rng) in sorted(settings.items())
    ]
    wanted = concat([SpreadData.from_model(model) for model in models])
    assert_frame_equal(found.exposures, wanted.exposures)
    assert_frame_equal(found.counts, wanted.counts)
    assert found.info == wanted.info
    assert {"Infected", "Exposures"} <= set(rows[0])


def test_batch_run_rows_of_every_step_share_one_record() -> None:
    rows = batch_run(
        SpreadModel, {"n": 60, "rng": 1}, data_collection_period=1, display_progress=False
    )
    assert len(rows) > 3
    assert SpreadData.from_batch_run(rows).runs == [0]
    assert len({id(row["Record"]) for row in rows}) == 1


def test_the_example_of_batch_run_runs() -> None:
    text = call("--n", 60, "--processes", 1, module="models.sweep.batch")
    assert [line.partition(":")[0] for line in text.splitlines()] == [
        f"k={k}, {law}" for k in (4, 8) for law in ("SI(0.05)", "FirstRepeat(0.2, 0.04)")
    ]


def test_frames_of_the_collector_leave_the_record_out() -> None:
    frame = SpreadModel(n=20, k=4, rng=1).datacollector.get_model_vars_dataframe()
    assert list(frame) == ["Susceptible", "Infected", "NewInfected", "Exposures", "Failed"]


@pytest.mark.parametrize("rows", [[], [{"RunId": 0, "Infected": 3}]])
def test_rows_of_something_else_are_refused(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(ArgumentError):
        SpreadData.from_batch_run(rows)
