"""The package against reference numbers that a script of ours computes without it.

``tests/baselines/make.py`` makes the numbers: exact enumeration on small graphs, plain loops,
EoN, statsmodels. A second set of reference numbers is compared with the first where it is
available.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from mesa_llmspread import (
    SI,
    ByProfile,
    Decision,
    Outcome,
    Profile,
    RateDecider,
    SpreadData,
    SpreadModel,
    TransmissionLaw,
    fit,
    simulate,
    solve,
)
from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.profiles import codes
from mesa_llmspread.transmission import parse_law

BASELINES = Path(__file__).parent / "baselines"
PROFILES = ("ocean", "OCEAN")  # of agents with even and odd numbers


def table(name: str, folder: Path = BASELINES) -> pd.DataFrame:
    return pd.read_csv(folder / name, comment="#")


def grouped(name: str, columns: list[str]) -> dict[Any, pd.DataFrame]:
    return dict(iter(table(name).groupby(columns)))


EXACT = grouped("exact.csv", ["graph", "law", "visibility", "media_prob", "failed_prob"])
EQUATIONS = grouped("equations.csv", ["law", "visibility", "k", "initial_infected"])
EON = grouped("eon.csv", ["closure", "time", "visibility", "degrees", "beta"])
FITS = json.loads((BASELINES / "fits.json").read_text(encoding="utf-8"))
DECISIONS = table("decisions.csv")


def case_ids(cases: Any) -> list[str]:
    return ["-".join(map(str, key)) for key in cases]


def law_of(text: str) -> TransmissionLaw:
    if text == "ByProfile":
        z = np.arange(32) - 15.5
        return ByProfile(tuple(1 - np.exp(-0.05 * np.exp(0.8 * z / z.std()))))
    return parse_law(text)


def graph_of(rows: pd.DataFrame) -> nx.Graph:
    edges = [tuple(map(int, edge.split("-"))) for edge in rows["edges"].iloc[0].split()]
    graph = nx.empty_graph(1 + max(map(max, edges)))
    graph.add_edges_from(edges)
    return graph


def check_shares(shares: np.ndarray, rows: pd.DataFrame) -> None:
    """Compare mean and variance over runs (first axis) with the exact ones, step by step."""
    mean, variance = rows["mean"].to_numpy(), rows["variance"].to_numpy()
    off = np.abs(shares.mean(axis=0) - mean)
    assert (off <= 4 * np.sqrt(variance / len(shares)) + 1e-9).all(), "mean"
    squares = (shares - mean) ** 2
    off = np.abs(squares.mean(axis=0) - variance)
    assert (off <= 4 * squares.std(axis=0) / np.sqrt(len(shares)) + 1e-9).all(), "variance"


# Small graphs, exactly


class Unreliable(RateDecider):
    """A law of which some decisions fail."""

    def __init__(self, law: TransmissionLaw, failed_prob: float) -> None:
        super().__init__(law)
        self.failed_prob = failed_prob

    def decide(self, exposures, rng):
        decisions = super().decide(exposures, rng)
        failed = rng.random(len(decisions)) < self.failed_prob
        return [
            Decision(Outcome.FAILED) if fails else decision
            for decision, fails in zip(decisions, failed, strict=True)
        ]


@pytest.mark.parametrize("key", EXACT, ids=case_ids(EXACT))
def test_the_model_on_small_graphs(key: tuple[Any, ...]) -> None:
    """One model of many separate copies of the graph: as many independent runs."""
    rows, copies = EXACT[key], 1000
    _, law, visibility, media_prob, failed_prob = key
    graph = graph_of(rows)
    n = len(graph)
    profiles = [Profile.from_code(code) for code in PROFILES]
    model = SpreadModel(
        network=nx.disjoint_union_all([graph] * copies),
        population=[profiles[agent % n % 2] for agent in range(n * copies)],
        decider=Unreliable(law_of(law), failed_prob) if failed_prob else law,
        initial_infected=list(range(rows["starter"].iloc[0], n * copies, n)),
        feed=visibility,
        media_prob=media_prob,
        rng=11,
    )
    shares = []
    for _ in rows["t"]:
        posted = np.array([agent.infected for agent in model.spreaders]).reshape(copies, n)
        shares.append(posted.mean(axis=1))
        model.step()
    check_shares(np.array(shares).T, rows)


# The compiled engine knows the event itself as seen always or never, and no failures.
COMPILED = {key: rows for key, rows in EXACT.items() if key[3] in (0, 1) and not key[4]}


@pytest.mark.parametrize("key", COMPILED, ids=case_ids(COMPILED))
def test_the_compiled_engine_on_small_graphs(key: tuple[Any, ...]) -> None:
    rows = EXACT[key]
    law, graph = law_of(key[1]), graph_of(rows)
    profiles = [codes().index(PROFILES[agent % 2]) for agent in graph]
    result = simulate(
        law,
        graph,
        initial_infected=[rows["starter"].iloc[0]],
        steps=rows["t"].max(),
        replicates=20_000,
        feed=key[2],
        profiles=profiles if law.uses_profile and len(law.mixture_components()) == 1 else None,
        rng=7,
    )
    check_shares(result.infected / len(graph), rows)


# Equations


COMBINATIONS = [
    (closure, time)
    for closure in ("mean_field", "pair", "master")
    for time in ("discrete", "continuous")
]


@pytest.mark.parametrize("key", EQUATIONS, ids=case_ids(EQUATIONS))
@pytest.mark.parametrize(("closure", "time"), COMBINATIONS)
def test_the_equations(key: tuple[Any, ...], closure: Any, time: Any) -> None:
    law, visibility, k, starters = key
    rows = EQUATIONS[key]
    expected = rows[f"{closure}_{time}"]
    options = {"n": 1000, "k": k, "initial_infected": starters, "steps": rows["t"].max()}
    options |= {"closure": closure, "time": time, "feed": visibility}
    if expected.isna().all():
        with pytest.raises(ArgumentError) as caught:
            solve(law_of(law), **options)
        assert caught.value.argument in ("closure", "time", "feed", "visibility")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pairs are wrong for FirstRepeat, as the numbers are
        infected = solve(law_of(law), **options)["infected"] / 1000
    tolerance = 1e-10 if time == "discrete" else 1e-6
    np.testing.assert_allclose(infected, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("key", EON, ids=case_ids(EON))
def test_the_equations_of_eon(key: tuple[Any, ...]) -> None:
    closure, time, visibility, degrees, beta = key
    shares = dict(part.split(":") for part in degrees.split())
    infected = solve(
        SI(beta),
        n=1000,
        k={int(degree): float(share) for degree, share in shares.items()},
        initial_infected=20,
        steps=30,
        closure=closure,
        time=time,
        feed=visibility,
    )["infected"]
    tolerance = 1e-9 if time == "discrete" else 2e-6
    np.testing.assert_allclose(infected / 1000, EON[key]["value"], rtol=0, atol=tolerance)


# Fits


LAWS: dict[str, tuple[str, dict[str, Any]]] = {
    "SI": ("SI", {}),
    "FirstRepeat": ("FirstRepeat", {}),
    "FirstRepeat per occasion": ("FirstRepeat", {"per": "occasion"}),
    "SingleMultiple": ("SingleMultiple", {}),
    "TwoClass by profile": ("TwoClass", {"high": set(FITS["high"])}),
    "ByProfile": ("ByProfile", {}),
    "TwoClass": ("TwoClass", {}),
    "OnlineOffline": ("OnlineOffline", {}),
}


def decisions(group: str) -> pd.DataFrame:
    return DECISIONS[DECISIONS["group"] == group].drop(columns="group")


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group in ("online", "media") for name in FITS[group]]
)
def test_fits(group: str, name: str) -> None:
    law, options = LAWS[name]
    expected = FITS[group][name]
    data = SpreadData.from_tables(decisions(group))
    result = fit(data, law, interval="profile", bic_n="decisions", **options)
    assert result.success
    assert result.params == pytest.approx(expected["params"], rel=1e-5)
    assert result.stderr == pytest.approx(expected["stderr"], rel=1e-4)
    for parameter, ends in expected["interval"].items():
        assert result.ci[parameter] == pytest.approx(ends, rel=1e-4), parameter
    assert result.loglik == pytest.approx(expected["loglik"], abs=1e-6)
    assert result.aic == pytest.approx(expected["aic"], abs=2e-6)
    assert result.bic == pytest.approx(expected["bic_decisions"], abs=2e-6)
    assert result.n_obs == result.n_bic == expected["decisions"]


def test_the_bic_of_latent_classes_counts_agents() -> None:
    expected = FITS["online"]["TwoClass"]
    result = fit(SpreadData.from_tables(decisions("online")), "TwoClass", interval="profile")
    assert result.n_bic == expected["agents"]
    assert result.bic == pytest.approx(expected["bic_agents"], abs=2e-6)


def test_occasions_are_counted_where_a_table_has_no_count() -> None:
    rows = decisions("online")
    given, counted = (
        SpreadData.from_tables(part) for part in (rows, rows.drop(columns="exposure_count"))
    )
    pd.testing.assert_series_equal(
        given.exposures["exposure_count"], counted.exposures["exposure_count"]
    )
    failed = int((rows["outcome"] == "failed").sum())
    assert fit(counted, "FirstRepeat").n_failed == failed > 0


def test_reposts_without_a_visible_post_are_impossible_under_si() -> None:
    result = fit(SpreadData.from_tables(decisions("media")), "SI", interval="profile")
    assert result.loglik == -np.inf
    assert not result.success


# The numbers themselves


@pytest.mark.slow
def test_the_script_makes_the_same_numbers_without_the_package(tmp_path: Path) -> None:
    run = (
        "import runpy, sys; sys.modules['mesa_llmspread'] = None; "
        f"sys.argv[1:] = [{str(tmp_path)!r}]; "
        f"runpy.run_path({str(BASELINES / 'make.py')!r}, run_name='__main__')"
    )
    environment = os.environ | {"PYTHONPATH": str(BASELINES)}
    subprocess.run([sys.executable, "-c", run], check=True, env=environment, capture_output=True)
    tolerances = {"exact.csv": 1e-11, "equations.csv": 1e-8, "eon.csv": 1e-6, "decisions.csv": 0}
    for name, tolerance in tolerances.items():
        pd.testing.assert_frame_equal(
            table(name, tmp_path), table(name), rtol=0, atol=tolerance, check_exact=False
        )
    again = json.loads((tmp_path / "fits.json").read_text(encoding="utf-8"))
    assert [*again] == [*FITS]
    for group in ("online", "media"):
        assert [*again[group]] == [*FITS[group]]
        for name, numbers in FITS[group].items():
            for quantity, value in numbers.items():
                other = again[group][name][quantity]
                if quantity == "interval":
                    assert [*other] == [*value]
                    assert [*other.values()] == [pytest.approx(x, rel=1e-6) for x in value.values()]
                else:
                    assert other == pytest.approx(value, rel=1e-6), (name, quantity)


# The second set of reference numbers


TEXTS = {
    "SI": "SI({0})",
    "OnOff": "OnlineOffline({0}, {1})",
    "FirstRepeat": "FirstRepeat({0}, {1})",
    "FirstRepeatStep": "FirstRepeat({0}, {1}, per='occasion')",
    "SingleMultiple": "SingleMultiple({0}, {1})",
    "SMcum": "SingleMultiple({0}, {1}, count='cumulative')",
}


def test_both_sets_have_the_same_exact_numbers(shared: Path) -> None:
    texts = TEXTS | {"TwoClass": "TwoClass({0}, {1}, high={{'OCEAN'}})"}
    theirs = pd.read_csv(shared / "golden" / "golden_exact_small.csv")
    theirs["law"] = [
        texts[row.structure].format(*row.params.split(";")) for row in theirs.itertuples()
    ]
    theirs = theirs.rename(columns={"semantics": "visibility"})
    ours = table("exact.csv").query("media_prob in (0, 1) and failed_prob == 0")
    both = ours.merge(theirs, on=["graph", "law", "visibility", "t"])
    assert len(both) == 2 * 7 * 2 * 7
    np.testing.assert_allclose(both["mean"], both["mean_I_over_n"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(both["variance"], both["var_I_over_n"], rtol=0, atol=1e-10)


def test_both_sets_have_the_same_equations(shared: Path) -> None:
    texts = TEXTS | {"TwoClass": "TwoClass({2}, {3}, share_high={1})", "Profiles": "ByProfile"}
    theirs = pd.read_csv(shared / "golden" / "golden.csv").query("n == 1000")
    theirs["law"] = [
        texts[row.structure].format(*row.params.split(";")) for row in theirs.itertuples()
    ]
    theirs = theirs.rename(columns={"semantics": "visibility", "n0": "initial_infected"})
    both = table("equations.csv").merge(
        theirs, on=["law", "visibility", "k", "initial_infected", "t"]
    )
    assert both["law"].nunique() >= 11
    names = {"mean_field": "mf", "pair": "pair", "master": "ebcm"}
    for (closure, other), (time, short) in [
        (pair, kind)
        for pair in names.items()
        for kind in (("discrete", "disc"), ("continuous", "ode"))
    ]:
        ours, expected = both[f"{closure}_{time}"], both[f"{other}_{short}"]
        assert ours.isna().equals(expected.isna()), (closure, time)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-8, err_msg=f"{closure} {time}")
