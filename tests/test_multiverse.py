"""The same analysis in many universes: on laws and tables of which the truth is known."""

from __future__ import annotations

import functools
import gzip
import itertools
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from errors import refused
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.formula.api import ols

from mesa_llmspread import SpreadData
from mesa_llmspread.exceptions import ArgumentError, DesignError, UnknownNameError
from mesa_llmspread.experiments.multiverse import Multiverse, multiverse
from mesa_llmspread.experiments.wordings import (
    TEMPLATES,
    at_temperature,
    measure_wordings,
    persona_control,
)
from mesa_llmspread.tables import ResponseTable, load_table

ROOT = Path(__file__).parents[1]
QUICK: dict[str, Any] = {"backend": "sequential", "n_jobs": 1, "steps": 15}
ONE, TWO = 'SI(0.15, per="occasion")', 'FirstRepeat(0.4, 0.1, per="occasion")'


@pytest.fixture(scope="module")
def laws(tmp_path_factory: pytest.TempPathFactory) -> Multiverse:
    choices = {"decider": [ONE, TWO], "k": [6, 8], "network": ["random_regular", "small_world"]}
    return multiverse({**choices, "n": 300}, tmp_path_factory.mktemp("laws") / "runs", **QUICK)


def test_the_truth_of_each_universe_is_found(laws: Multiverse) -> None:
    frame = laws.frame
    assert laws.choices == ["decider", "k", "network"]
    assert len(frame) == 8
    assert (frame["verdict"] == frame["decider"].map({ONE: "one rate", TWO: "two rates"})).all()
    for rate, truth in (
        ("first", {ONE: 0.15, TWO: 0.4}),
        ("again", {ONE: 0.15, TWO: 0.1}),
        ("difference", {ONE: 0.0, TWO: 0.3}),
    ):
        true = frame["decider"].map(truth)
        # Of 24 intervals of 95 %, a few miss.
        assert (frame[f"{rate}_low"].le(true) & frame[f"{rate}_high"].ge(true)).sum() >= 6


def test_what_moves_the_result_is_told_from_what_does_not(laws: Multiverse) -> None:
    spread = laws.spread("difference").set_index("choice")
    assert spread.index[0] == "decider"
    assert spread.loc["decider", "sd"] == pytest.approx(0.15, abs=0.03)
    assert spread.loc["decider", ["lowest_at", "highest_at"]].tolist() == [ONE, TWO]
    assert spread.loc[["k", "network"], "sd"].max() < 4 * spread.loc["k", "by_chance"]
    assert spread.loc["the rest", "sd"] < 3 * spread.loc["sampling", "sd"]
    words = laws.describe("first")
    assert "8 universes: " in words
    assert "two rates in 4 (50%)" in words


def test_every_universe_is_drawn_with_its_choices(laws: Multiverse) -> None:
    above, below = laws.plot("first").axes
    assert sum(len(line.get_xdata()) for line in above.get_lines()) == 8
    assert [text.get_text() for text in below.get_yticklabels()][:2] == [
        f"decider: {TWO}",
        f"decider: {ONE}",
    ]
    # Every universe has one mark per choice.
    assert sum(len(line.get_xdata()) for line in below.get_lines()) == 8 * 3


def test_more_verdicts_than_colours_are_all_drawn() -> None:
    value = np.arange(30.0)
    frame = pd.DataFrame({"a": list("uvw") * 10, "x": value, "x_low": value, "x_high": value})
    above, _ = Multiverse(frame.assign(verdict=value.astype(str)), ["a"]).plot("x").axes
    lines = above.get_lines()
    assert len(lines) == 30
    looks = {(line.get_color(), line.get_marker()) for line in lines}
    assert len(looks) == 21


def test_a_missing_level_is_a_level() -> None:
    value = np.arange(8.0)
    frame = pd.DataFrame({"a": [None, "u"] * 4, "b": [1.5, np.nan] * 4, "x": value})
    found = Multiverse(frame.assign(x_low=value, x_high=value, verdict="yes"), ["a", "b"])
    _, below = found.plot("x").axes
    labels = [text.get_text() for text in below.get_yticklabels()]
    assert labels == ["a: None", "a: u", "b: 1.5", "b: None"]
    assert [len(line.get_xdata()) for line in below.get_lines()] == [4] * 4
    ends = found.spread("x").set_index("choice").loc[["a", "b"], ["lowest_at", "highest_at"]]
    assert ends.to_numpy().tolist() == [["None", "u"], ["1.5", "None"]]


def test_what_no_universe_is_left_to_tell_is_unknown() -> None:
    value = np.array([0.1, 0.3, 0.2])
    frame = pd.DataFrame(
        {"a": list("uvw"), "x": value, "x_low": value - 0.1, "x_high": value + 0.1}
    )
    found = Multiverse(frame.assign(verdict="yes"), ["a"])
    spread = found.spread("x").set_index("choice")
    assert spread.loc["a", "sd"] == pytest.approx(value.std())
    assert np.isnan(spread.loc["a", "by_chance"])
    assert np.isnan(spread.loc["the rest", "sd"])
    assert "the rest unknown, where sampling alone gives 0.051" in found.describe("x")


@given(
    st.lists(st.floats(-1, 1), min_size=2, max_size=4),
    st.lists(st.floats(-1, 1), min_size=2, max_size=3),
)
def test_effects_that_add_up_are_found_exactly(a: list[float], b: list[float]) -> None:
    cells = list(itertools.product(range(len(a)), range(len(b)), "xy"))
    value = np.array([a[i] + b[j] for i, j, _ in cells])
    frame = pd.DataFrame(cells, columns=["a", "b", "seed"]).assign(
        x=value, x_low=value - 0.098, x_high=value + 0.098, verdict="yes"
    )
    found = Multiverse(frame, ["a", "b", "seed"]).spread("x").set_index("choice")
    assert found.loc["a", "sd"] == pytest.approx(np.std(a), abs=1e-9)
    assert found.loc["b", "sd"] == pytest.approx(np.std(b), abs=1e-9)
    assert found.loc["seed", "sd"] == pytest.approx(0, abs=1e-9)
    assert found.loc["the rest", "sd"] == pytest.approx(0, abs=1e-7)
    assert found.loc["sampling", "sd"] == pytest.approx(0.05, rel=1e-4)
    assert found.loc["a", "highest"] == pytest.approx(max(a) + np.mean(b), abs=1e-9)


def test_a_sample_is_fitted_as_statsmodels_does() -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"a": rng.choice(list("uvw"), 60), "b": rng.choice(list("xy"), 60)})
    value = frame["a"].map({"u": 0.1, "v": 0.3, "w": 0.2}) + 0.05 * rng.normal(size=60)
    frame = frame.assign(x=value, x_low=value, x_high=value, verdict="yes")
    found = Multiverse(frame, ["a", "b"]).spread("x").set_index("choice")
    reference = ols("x ~ C(a) + C(b)", frame).fit()
    assert found.loc["the rest", "sd"] == pytest.approx(np.sqrt(reference.scale))
    effects = frame["a"].map({"u": 0.0, **{x: reference.params[f"C(a)[T.{x}]"] for x in "vw"}})
    assert found.loc["a", "sd"] == pytest.approx(effects.std(ddof=0))
    top = found.loc["a"]
    assert top["highest"] - top["lowest"] == pytest.approx(effects.max() - effects.min())


def test_the_spread_by_chance_is_that_of_a_choice_without_effect() -> None:
    rng = np.random.default_rng(2)
    cells = pd.DataFrame(itertools.product("uvw", "xyz", range(4)), columns=["a", "b", "c"])
    squares = []
    for _ in range(300):
        value = rng.normal(size=len(cells))
        frame = cells.assign(x=value, x_low=value, x_high=value, verdict="yes")
        found = Multiverse(frame, ["a", "b"]).spread("x").set_index("choice")
        squares.append(found.loc["a", ["sd", "by_chance"]].to_numpy(dtype=float) ** 2)
    measured, expected = np.mean(squares, axis=0)
    # Of chi-square with two degrees of freedom, the mean of 300 has a standard error of 6 %.
    assert measured == pytest.approx(expected, rel=0.2)
    assert expected == pytest.approx(2 / 36, rel=0.05)


def fails_for(k: int) -> Callable[[SpreadData], dict[str, Any]]:
    """Return an analysis of one's own, which cannot handle some degree."""

    def analysis(data: SpreadData) -> dict[str, Any]:
        info = data.info[data.runs[0]]
        if info.k == k:
            raise ArgumentError("k", k, "be another one")
        share = float(data.counts["infected"].max()) / info.known("n")
        return {"reach": share, "reach_low": share, "reach_high": share, "verdict": "done"}

    return analysis


def test_an_analysis_of_ones_own_on_a_sample_goes_on_where_it_was(tmp_path: Path) -> None:
    choices = {"k": [4, 6, 8], "decider": "SI({beta})", "beta": [0.05, 0.1], "n": 40}
    first, again = (
        multiverse(choices, tmp_path, fails_for(6), sample=6, runs=2, **QUICK) for _ in range(2)
    )
    pd.testing.assert_frame_equal(first.frame, again.frame)
    assert first.choices == ["k", "beta"]
    assert len(first.frame) == 6
    lost = first.frame["k"] == 6
    assert lost.sum() == 2
    assert (first.frame.loc[lost, "verdict"] == "no result").all()
    assert first.frame.loc[lost, "message"].str.contains("k=6").all()
    assert first.frame["reach"].isna().equals(lost)
    assert "no result in 2 (33%)" in first.describe("reach")
    with pytest.raises(UnknownNameError) as caught:
        first.spread("reach_low")
    assert caught.value.argument == "estimate"


def test_what_cannot_vary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError) as caught:
        multiverse({"n": 40, "decider": "SI(0.1)"}, tmp_path / "a", **QUICK)
    assert caught.value.argument == "choices"
    with pytest.raises(DesignError):
        multiverse({"wording": ["a", "b"]}, tmp_path / "b", **QUICK)
    assert not list(tmp_path.iterdir())


def test_a_choice_cannot_have_the_name_of_a_result(laws: Multiverse, tmp_path: Path) -> None:
    """Nor is anything run before that is said."""
    for name in {*laws.frame, "message"} - {*laws.choices, "n"}:
        choices = {"decider": f"FirstRepeat({{{name}}}, 0.1)", name: [0.2, 0.4], "n": 40}
        attempt = functools.partial(multiverse, choices, tmp_path / "runs", **QUICK)
        refused(attempt, "choices", name)
    assert not list(tmp_path.iterdir())


def test_an_analysis_of_ones_own_can_return_no_choice(tmp_path: Path) -> None:
    choices = {"k": [4, 6], "decider": "SI({reach})", "reach": [0.1, 0.2], "n": 40}
    refused(lambda: multiverse(choices, tmp_path, fails_for(8), **QUICK), "choices", "reach")


def test_where_nothing_could_be_done_the_reason_is_shown(tmp_path: Path) -> None:
    def fails(data: SpreadData) -> dict[str, Any]:
        raise ArgumentError("data", len(data.runs), "be more")

    found = multiverse({"k": [4, 6], "decider": "SI(0.1)", "n": 40}, tmp_path, fails, **QUICK)
    for attempt in (found.describe, found.spread, found.plot):
        error = refused(functools.partial(attempt, "first"), "estimate", "first")
        assert "data=1: must be more" in error.allowed
    unknown = Multiverse(found.frame.assign(x=np.nan, x_low=0.0, x_high=1.0), ["k"])
    refused(lambda: unknown.describe("x"), "estimate", "x")


@pytest.mark.parametrize("templates", [["standard"], ["no_persona"], []])
def test_a_control_needs_both(templates: list[str]) -> None:
    tables = dict.fromkeys(templates, load_table("smollm2-135m"))
    refused(lambda: persona_control(tables), "tables", templates)


def test_a_temperature_divides_the_logits() -> None:
    table = load_table("smollm2-135m")
    table = ResponseTable(table.frame.head(50), table.events, table.info)
    p = table.frame["p"]
    pd.testing.assert_series_equal(at_temperature(table, 1).frame["p"], p)
    weights = p**2, (1 - p) ** 2
    pd.testing.assert_series_equal(at_temperature(table, 0.5).frame["p"], weights[0] / sum(weights))
    assert at_temperature(table, 2).info["temperature"] == 2
    for bad in (0, float("nan")):
        with pytest.raises(ArgumentError):
            at_temperature(table, bad)
    with pytest.raises(ArgumentError):
        at_temperature(at_temperature(table, 2), 2)


@pytest.mark.parametrize(
    "model", ["qwen05@1d9614638d18", "qwen15@cc324af070c2", "smollm2@b179c9523d0e"]
)
def test_shipped_answers_give_the_numbers_of_the_page(tmp_path: Path, model: str) -> None:
    """A replay, to the bit, of the calls to real weights behind docs/real_models.md."""
    store = tmp_path / "calls.sqlite"
    packed = ROOT / "models" / "multiverse" / "calls.sqlite.gz"
    store.write_bytes(gzip.decompress(packed.read_bytes()))
    tables = measure_wordings(
        f"gguf:{model}",
        store=store,
        mode="replay",
        profiles=["OCEAN", "ocean", "Ocean", "oCean", "ocEan", "oceAn", "oceaN", "oCEAN"],
        events=["protests-0"],
        contacts=(0, 2),
        exposure_counts=(1, 3),
    )
    assert list(tables) == list(TEMPLATES)
    control = persona_control(tables)
    assert control["difference"].tolist() == (control["mean"] - control["without"]).tolist()
    page = (ROOT / "docs" / "real_models.md").read_text("utf-8")
    rows = re.findall(rf"^\| `{model.split('@')[0]}`.*", page, re.M)
    assert len(rows) == 5
    for row, template in zip(rows, TEMPLATES, strict=True):
        frame = control[control["template"] == template]
        means = control["without"].head(4) if template == "no_persona" else frame["mean"]
        text = ", ".join(f"{p:.3f}".lstrip("0") for p in means)
        assert text in row, template


def test_the_examples_of_the_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "real_models.md").read_text("utf-8")
    for block in re.findall(r"```python\n(.*?)```", page, re.S):
        exec(compile(block, "real_models.md", "exec"), {})
    assert "12 universes" in capsys.readouterr().out
    assert (tmp_path / "results" / "difference.png").is_file()


@pytest.mark.slow
def test_the_command_prints_the_numbers_of_the_page(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "models.multiverse", "--out", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=True,
    )
    assert "one rate in 364 (71%), two rates in 148 (29%)" in done.stdout
    first, again, difference = re.split(r"\n\n(?=512 universes)", done.stdout)[1:]
    page = (ROOT / "docs" / "real_models.md").read_text("utf-8")
    names = {"personality": "population", "degree": "k", "answer form": "form"}
    choices = ("model", "template", "temperature", "network", "feed", *names)
    for choice in choices:
        (row,) = re.findall(rf"^\| {choice} \| (0.*) \|$", page, re.M)
        for cell, printed in zip(row.split(" | "), (first, again, difference), strict=True):
            sd, chance = re.findall(r"[\d.]+", cell)
            assert re.search(rf" {names.get(choice, choice)} +{sd} +{chance} ", printed), cell
    means = re.findall(r"by ([+-])0(\.\d+) on average", done.stdout)
    assert len(means) == 3
    for sign, mean in means:
        assert f"{mean} {'higher' if sign == '+' else 'lower'}" in page
    assert (tmp_path / "difference.png").is_file()
