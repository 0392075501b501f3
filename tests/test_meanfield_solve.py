"""The equations against reference numbers, closed forms, limits, EoN and simulation."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.sparse import csr_matrix

from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    UndefinedClosureError,
    UnknownNameError,
)
from mesa_llmspread.meanfield import ClosureWarning, solve
from mesa_llmspread.meanfield.edge_based import edge_map, edge_ode
from mesa_llmspread.meanfield.equations import Degrees, contact_chances
from mesa_llmspread.meanfield.master import cavity_map, cavity_ode
from mesa_llmspread.meanfield.solve import integrate, iterate
from mesa_llmspread.networks import scale_free
from mesa_llmspread.profiles import codes, norm_shares
from mesa_llmspread.transmission import (
    SI,
    ByProfile,
    FirstRepeat,
    OnlineOffline,
    SingleMultiple,
    TransmissionLaw,
    TwoClass,
    probability_to_rate,
    rate_to_probability,
)

CLOSURES = ("master", "pair", "mean_field")
TIMES = ("discrete", "continuous")
# Closure, time and feed, where they make sense together.
COMBINATIONS = [
    *((closure, time, "persistent") for closure in CLOSURES for time in TIMES),
    ("master", "discrete", "new"),
    ("mean_field", "discrete", "new"),
]
BY_PROFILE = ByProfile(np.linspace(0.01, 0.2, 32))


def curve(law: TransmissionLaw, **options: Any) -> npt.NDArray[np.float64]:
    """Share of agents infected, step by step."""
    settings = {"n": 1000, "k": 6, "initial_infected": 20, "steps": 25} | options
    return solve(law, **settings)["infected"].to_numpy() / settings["n"]


def quiet_curve(law: TransmissionLaw, **options: Any) -> npt.NDArray[np.float64]:
    """`curve`, where the pair approximation's warning is not what is tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ClosureWarning)
        return curve(law, **options)


# Reference numbers


def reference_law(name: str, params: str) -> TransmissionLaw:
    if name == "Profiles":
        z = np.arange(32) - 15.5
        return ByProfile(rate_to_probability(0.05 * np.exp(0.8 * z / z.std())))
    values = [float(value) for value in params.split(";")]
    if name == "TwoClass":
        _, share_high, beta_low, beta_high = values
        return TwoClass(beta_low, beta_high, share_high=share_high)
    kinds = {
        "SI": (SI, {}),
        "OnOff": (OnlineOffline, {}),
        "FirstRepeat": (FirstRepeat, {}),
        "FirstRepeatStep": (FirstRepeat, {"per": "occasion"}),
        "SingleMultiple": (SingleMultiple, {}),
        "SMcum": (SingleMultiple, {"count": "cumulative"}),
    }
    kind, options = kinds[name]
    return kind(*values, **options)


@pytest.mark.parametrize(
    ("column", "closure", "time", "tolerance"),
    [
        ("mf_disc", "mean_field", "discrete", 6e-9),
        ("pair_disc", "pair", "discrete", 6e-9),
        ("ebcm_disc", "master", "discrete", 6e-9),
        ("mf_ode", "mean_field", "continuous", 1e-6),
        ("pair_ode", "pair", "continuous", 1e-6),
        ("ebcm_ode", "master", "continuous", 1e-6),
    ],
)
def test_reference_numbers(
    shared: Path, column: str, closure: Any, time: Any, tolerance: float
) -> None:
    reference = pd.read_csv(shared / "golden" / "golden.csv")
    groups = reference.groupby(["structure", "semantics", "params", "k", "n", "n0"])
    assert len(groups) == 26
    for (name, feed, params, k, n, n0), rows in groups:
        options = {
            "n": n,
            "k": k,
            "initial_infected": n0,
            "steps": rows["t"].max(),
            "closure": closure,
            "time": time,
            "feed": feed,
        }
        law = reference_law(name, params)
        if rows[column].isna().all():
            with pytest.raises(ArgumentError):
                solve(law, **options)
        else:
            infected = quiet_curve(law, **options)[rows["t"]]
            np.testing.assert_allclose(
                infected, rows[column], rtol=0, atol=tolerance, err_msg=f"{law} {feed}"
            )


# Closed forms


def test_mean_field_of_si_is_logistic() -> None:
    rho, rate, t = 0.02, float(probability_to_rate(0.03)) * 6, np.arange(26)
    logistic = rho / (rho + (1 - rho) * np.exp(-rate * t))
    infected = curve(SI(0.03), closure="mean_field", time="continuous")
    np.testing.assert_allclose(infected, logistic, atol=1e-7)


def test_mean_field_of_online_offline_is_the_bass_model() -> None:
    p, q = float(probability_to_rate(0.01)), float(probability_to_rate(0.03)) * 6
    rho, t = 0.02, np.arange(26)
    decay = (1 - rho) / (1 + q * rho / p) * np.exp(-(p + q) * t)
    infected = curve(OnlineOffline(0.01, 0.03), closure="mean_field", time="continuous")
    np.testing.assert_allclose(infected, (1 - decay) / (1 + q / p * decay), atol=1e-7)


@pytest.mark.parametrize("closure", ["pair", "master"])
def test_si_on_a_regular_network(closure: Any) -> None:
    rho, k, t = 0.02, 6, np.arange(26)
    growth = np.exp((k - 2) * float(probability_to_rate(0.05)) * t)
    exact = 1 - (1 - rho) * ((1 - rho) + rho * growth) ** (-k / (k - 2))
    np.testing.assert_allclose(
        curve(SI(0.05), closure=closure, time="continuous"), exact, atol=1e-7
    )


@pytest.mark.parametrize("closure", ["pair", "master"])
def test_online_offline_on_a_regular_network(closure: Any) -> None:
    s0, k, t = 0.98, 6, np.arange(26)
    a, r = float(probability_to_rate(0.01)), 4 * float(probability_to_rate(0.05))
    base = np.exp(r * t) - r * s0 * (np.exp(r * t) - np.exp(-a * t)) / (r + a)
    exact = 1 - s0 * np.exp(-a * t) * base ** (-k / (k - 2))
    infected = curve(OnlineOffline(0.01, 0.05), closure=closure, time="continuous")
    np.testing.assert_allclose(infected, exact, atol=1e-7)


def test_a_line_of_agents_is_reached_step_by_step() -> None:
    # On a ring with certain transmission a gap of susceptible agents closes from both ends.
    reached = curve(SI(1.0), k=2, steps=8)
    np.testing.assert_allclose(reached, 1 - 0.98 ** (2 * np.arange(9) + 1), atol=1e-12)


def test_final_size_of_new_posts() -> None:
    s0, k = 0.98, 4
    law = TwoClass(0.2, 0.9, share_high=0.3)
    shares, betas = np.array([0.7, 0.3]), np.array([0.2, 0.9])

    def excess(phi: float) -> float:
        return float(phi - s0 * shares @ (1 - betas + betas * phi) ** (k - 1))

    phi = brentq(excess, 0, 0.9)
    final = 1 - s0 * shares @ (1 - betas + betas * phi) ** k
    assert curve(law, k=k, steps=200, feed="new")[-1] == pytest.approx(final, abs=1e-10)


# Identities and limits


LAWS = {
    "SI": SI(0.06),
    "OnlineOffline": OnlineOffline(0.01, 0.05),
    "TwoClass": TwoClass(0.02, 0.12, share_high=0.4),
    "ByProfile": BY_PROFILE,
}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("k", [1, 2, 3, 10])
def test_pairs_are_exact_where_contacts_act_independently(
    law: TransmissionLaw, time: Any, k: int
) -> None:
    master, pair = (curve(law, k=k, time=time, closure=name) for name in ("master", "pair"))
    np.testing.assert_allclose(pair, master, atol=1e-7 if time == "continuous" else 1e-12)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize(
    "degrees",
    [
        Degrees(np.array([5]), np.array([1.0])),
        Degrees(np.array([0, 2, 3, 9]), np.array([0.1, 0.3, 0.4, 0.2])),
    ],
    ids=["regular", "mixed"],
)
def test_both_forms_of_the_master_equations_agree(law: TransmissionLaw, degrees: Degrees) -> None:
    laws = law.classes(norm_shares())
    chances = contact_chances(laws)
    assert chances is not None
    for feed in ("persistent", "new"):
        by_edge = iterate(edge_map(chances, degrees, 0.02, feed=feed), 30)
        by_cavity = iterate(cavity_map(laws, degrees, 0.02, feed=feed), 30)
        np.testing.assert_allclose(by_cavity, by_edge, atol=1e-12)
    by_edge = integrate(edge_ode(chances, degrees, 0.02), 10)
    by_cavity = integrate(cavity_ode(laws, degrees, 0.02), 10)
    np.testing.assert_allclose(by_cavity, by_edge, atol=1e-7)


@pytest.mark.parametrize(("closure", "time", "feed"), COMBINATIONS)
@pytest.mark.parametrize(
    "law",
    [
        OnlineOffline(0.0, 0.06),
        TwoClass(0.06, 0.06),
        TwoClass(0.06, 0.9, share_high=0.0),
        TwoClass(0.9, 0.06, high=set(codes())),
        ByProfile([0.06] * 32),
    ],
    ids=str,
)
def test_laws_that_are_si(law: TransmissionLaw, closure: Any, time: Any, feed: Any) -> None:
    options = {"closure": closure, "feed": feed, "time": time}
    np.testing.assert_allclose(curve(law, **options), curve(SI(0.06), **options), atol=1e-7)


@pytest.mark.parametrize("closure", ["master", "mean_field"])
@pytest.mark.parametrize("feed", ["persistent", "new"])
def test_equal_first_and_repeated_chances_are_si(closure: Any, feed: Any) -> None:
    options = {"closure": closure, "feed": feed}
    np.testing.assert_allclose(
        curve(FirstRepeat(0.06, 0.06), **options), curve(SI(0.06), **options), atol=1e-12
    )
    np.testing.assert_allclose(
        curve(FirstRepeat(0.1, 0.1, per="occasion"), **options),
        curve(SingleMultiple(0.1, 0.1), **options),
        atol=1e-12,
    )


@pytest.mark.parametrize("closure", ["master", "mean_field"])
def test_continuous_first_repeat_sees_poisson_exposures(closure: Any) -> None:
    options = {"closure": closure, "time": "continuous"}

    def at_rate(rate: float) -> npt.NDArray[np.float64]:
        return curve(SI(float(rate_to_probability(rate))), **options)

    np.testing.assert_allclose(curve(FirstRepeat(0.06, 0.06), **options), at_rate(0.06), atol=1e-7)
    # A first exposure that always succeeds leaves no second one.
    np.testing.assert_allclose(curve(FirstRepeat(1.0, 0.3), **options), at_rate(1.0), atol=1e-7)


def test_pairs_break_the_limit_of_first_repeat() -> None:
    law = FirstRepeat(0.07, 0.07)
    with pytest.warns(ClosureWarning):
        pair = curve(law, closure="pair", steps=40)
    assert 0.1 < np.max(curve(law, steps=40) - pair) < 0.25
    assert np.all(pair < curve(law, steps=40) + 1e-12)


def test_pairs_are_close_for_social_reinforcement() -> None:
    law = SingleMultiple(0.05, 0.2)
    assert np.abs(curve(law, steps=60, closure="pair") - curve(law, steps=60)).max() < 0.03


def test_cumulative_counts_are_the_current_ones_where_posts_stay() -> None:
    now, ever = SingleMultiple(0.05, 0.2), SingleMultiple(0.05, 0.2, count="cumulative")
    for closure in CLOSURES:
        for time in TIMES:
            options = {"closure": closure, "time": time}
            np.testing.assert_array_equal(curve(now, **options), curve(ever, **options))


@pytest.mark.parametrize("law", [SI, lambda beta: OnlineOffline(0.01, beta)])
@pytest.mark.parametrize("time", TIMES)
def test_with_many_neighbours_the_mean_field_is_right(law: Any, time: Any) -> None:
    errors = []
    for k in (10, 100, 1000):
        many = {"n": 10_000, "k": k, "initial_infected": 100, "steps": 15, "time": time}
        rate = law(0.5 / k)
        errors.append(np.abs(curve(rate, **many) - curve(rate, **many, closure="mean_field")).max())
    assert errors[0] > 0.05
    assert errors[2] < 0.005
    assert errors[1] / errors[2] == pytest.approx(10, rel=0.3)


@pytest.mark.parametrize("closure", CLOSURES)
@pytest.mark.parametrize(
    "law", [SI(0.1), OnlineOffline(0.02, 0.08), SingleMultiple(0.1, 0.3), TwoClass(0.02, 0.2)]
)
def test_small_steps_become_continuous(law: TransmissionLaw, closure: Any) -> None:
    parts = 200

    def at_chance(p: float) -> float:
        return float(rate_to_probability(probability_to_rate(p), 1 / parts))

    values = {
        name: value if name == "share_high" else at_chance(value)
        for name, value in law.parameters.items()
    }
    fine = curve(type(law)(**values), steps=10 * parts, closure=closure)[::parts]
    smooth = curve(law, steps=10, closure=closure, time="continuous")
    assert np.abs(fine - smooth).max() < 0.005
    assert np.abs(curve(law, steps=10, closure=closure) - smooth).max() > 0.01


def test_population_shares_weigh_the_profiles() -> None:
    only_high = np.eye(32)[31]
    np.testing.assert_allclose(
        curve(BY_PROFILE, profile_shares=only_high), curve(SI(0.2)), atol=1e-12
    )
    known = TwoClass(0.02, 0.2, high=set(codes()[:8]))
    share = float(norm_shares()[:8].sum())
    np.testing.assert_allclose(
        curve(known, profile_shares=norm_shares()),
        curve(TwoClass(0.02, 0.2, share_high=share)),
        atol=1e-12,
    )


def test_a_simulated_curve_does_not_hang_on_one_draw_of_profiles() -> None:
    """A few hubs decide how far news gets: whether they can repost is drawn many times."""
    settings = {"network": scale_free(100, 4, rng=1), "initial_infected": 5, "steps": 10}
    known = TwoClass(0.0, 0.3, high=codes()[:16])
    given = np.array([1 / 32] * 32)
    dealt = [solve(known, **settings, profile_shares=given, rng=seed) for seed in range(4)]
    drawn = [solve(known, **settings, rng=seed) for seed in range(4)]
    ends = np.array([[curve["infected"].iloc[-1] for curve in each] for each in (dealt, drawn)])
    assert np.ptp(ends[0]) < 6
    assert ends[0].mean() == pytest.approx(ends[1].mean(), abs=2)


# Another package


def eon(function: str, *args: Any, **options: Any) -> npt.NDArray[np.float64]:
    """Share ever infected at whole steps, from EoN."""
    module = pytest.importorskip("EoN")
    steps = options["tmax"]
    result = getattr(module, function)(*args, **options)
    times, susceptible = result[0], result[1]
    every = (len(times) - 1) // steps
    np.testing.assert_allclose(times[::every], np.arange(steps + 1))
    return 1 - susceptible[::every] / 1000


MIXED = {1: 0.2, 3: 0.4, 8: 0.4}


def psi(x: float) -> float:
    return sum(share * x**degree for degree, share in MIXED.items())


def psi_prime(x: float) -> float:
    return sum(degree * share * x ** (degree - 1) for degree, share in MIXED.items())


def test_against_eon_new_posts() -> None:
    theirs = eon("EBCM_discrete_uniform_introduction", 1000, psi, psi_prime, 0.4, 0.02, tmax=25)
    np.testing.assert_allclose(curve(SI(0.4), k=MIXED, feed="new"), theirs, atol=1e-12)


def test_against_eon_edge_based() -> None:
    theirs = eon(
        "EBCM_uniform_introduction",
        1000, psi, psi_prime, float(probability_to_rate(0.08)), 0.0, 0.02, tmax=25,
    )  # fmt: skip
    np.testing.assert_allclose(curve(SI(0.08), k=MIXED, time="continuous"), theirs, atol=1e-6)


def test_against_eon_pairwise() -> None:
    s, i, k = 980, 20, 6
    theirs = eon(
        "SIR_homogeneous_pairwise",
        s, i, 0, k * s * i / 1000, k * s * s / 1000, k, float(probability_to_rate(0.08)), 0.0,
        tmax=25,
    )  # fmt: skip
    np.testing.assert_allclose(
        curve(SI(0.08), closure="pair", time="continuous"), theirs, atol=1e-6
    )


def test_against_eon_mean_field_by_degree() -> None:
    agents = np.array([1000 * MIXED.get(degree, 0) for degree in range(9)])
    theirs = eon(
        "SIR_heterogeneous_meanfield",
        0.98 * agents, 0.02 * agents, 0 * agents, float(probability_to_rate(0.08)), 0.0,
        tmax=25,
    )  # fmt: skip
    np.testing.assert_allclose(
        curve(SI(0.08), k=MIXED, closure="mean_field", time="continuous"), theirs, atol=1e-6
    )


# Degree distributions


@pytest.mark.parametrize(
    "law", [SI(0.06), FirstRepeat(0.1, 0.03), SingleMultiple(0.05, 0.2), BY_PROFILE]
)
@pytest.mark.parametrize("closure", ["master", "mean_field"])
@pytest.mark.parametrize("time", TIMES)
def test_one_degree_in_three_spellings(law: TransmissionLaw, closure: Any, time: Any) -> None:
    options = {"closure": closure, "time": time}
    expected = curve(law, k=6, **options)
    np.testing.assert_array_equal(curve(law, k={6: 1.0}, **options), expected)
    np.testing.assert_array_equal(curve(law, k=np.full(1000, 6), **options), expected)


def test_degrees_of_agents_are_shares_of_degrees() -> None:
    each = [1] * 200 + [3] * 400 + [8] * 400
    np.testing.assert_allclose(
        curve(FirstRepeat(0.2, 0.05), k=each), curve(FirstRepeat(0.2, 0.05), k=MIXED), atol=1e-13
    )


def test_agents_without_neighbours_hear_it_only_offline() -> None:
    assert curve(SI(0.5), k={0: 0.25, 4: 0.75}, steps=200)[-1] == pytest.approx(1 - 0.25 * 0.98)
    alone = curve(OnlineOffline(0.1, 0.0), k={0: 0.25, 4: 0.75}, steps=3)
    np.testing.assert_allclose(alone, 1 - 0.98 * 0.9 ** np.arange(4))


def simulated(
    law: TransmissionLaw, degrees: npt.NDArray[np.int64], *, feed: str, steps: int, seed: int
) -> npt.NDArray[np.float64]:
    """Run the law, agent by agent, on a random network with these degrees."""
    rng = np.random.default_rng(seed)
    n = len(degrees)
    ends = rng.permutation(np.repeat(np.arange(n), degrees)).reshape(2, -1)
    ends = np.hstack([ends, ends[::-1]])
    neighbours = csr_matrix((np.ones(ends.shape[1]), ends), shape=(n, n))
    infected = np.zeros(n, dtype=bool)
    infected[rng.choice(n, n // 20, replace=False)] = True
    new, occasions, shares = infected.copy(), np.zeros(n, dtype=int), [infected.mean()]
    for _ in range(steps):
        cumulative = neighbours @ infected
        contacts = neighbours @ new if feed == "new" else cumulative
        occasions += contacts > 0
        chance = law.evaluate(contacts, np.maximum(occasions, 1), True, cumulative=cumulative)
        new = (rng.random(n) < chance) & ~infected
        infected |= new
        shares.append(infected.mean())
    return np.array(shares)


@pytest.mark.parametrize(
    ("law", "feed"),
    [
        (OnlineOffline(0.01, 0.06), "persistent"),
        (FirstRepeat(0.15, 0.02), "persistent"),
        (FirstRepeat(0.05, 0.3, per="occasion"), "persistent"),
        (SingleMultiple(0.04, 0.25), "persistent"),
        (SI(0.25), "new"),
        (FirstRepeat(0.4, 0.15), "new"),
        (SingleMultiple(0.1, 0.5, count="cumulative"), "new"),
    ],
    ids=str,
)
def test_random_networks_with_mixed_degrees(law: TransmissionLaw, feed: Any) -> None:
    n, steps = 20_000, 15
    degrees = np.repeat([2, 4, 14], [n // 2, n // 4, n // 4])
    runs = [simulated(law, degrees, feed=feed, steps=steps, seed=seed) for seed in range(3)]
    options = {"n": n, "initial_infected": n // 20, "steps": steps, "feed": feed}
    infected = curve(law, k=degrees, **options)
    np.testing.assert_allclose(infected, np.mean(runs, axis=0), atol=0.01)
    # The spread is far enough on for the agreement to mean something.
    assert infected[-1] > 0.3
    assert np.abs(curve(law, k=6, **options) - infected).max() > 0.03


# Properties


probabilities = st.floats(0, 1)
below_one = st.floats(0, 0.95)
laws = st.one_of(
    st.builds(SI, below_one),
    st.builds(OnlineOffline, below_one, below_one),
    st.builds(FirstRepeat, below_one, below_one),
    st.builds(FirstRepeat, below_one, below_one, st.just("occasion")),
    st.builds(SingleMultiple, below_one, below_one),
    st.builds(SingleMultiple, below_one, below_one, st.just("cumulative")),
    st.builds(TwoClass, below_one, below_one, probabilities),
)


@settings(max_examples=60, deadline=None)
@given(law=laws, n=st.integers(2, 500), data=st.data())
def test_infected_grow_from_the_starters_to_at_most_all(
    law: TransmissionLaw, n: int, data: st.DataObject
) -> None:
    options = {
        "n": n,
        "k": data.draw(st.integers(1, min(n - 1, 12))),
        "initial_infected": data.draw(st.integers(1, n)),
        "steps": data.draw(st.integers(0, 20)),
    }
    for closure, time, feed in COMBINATIONS:
        if time == "continuous" and law.name == 'FirstRepeat(per="occasion")':
            continue
        if (closure, feed) == (
            "mean_field",
            "new",
        ) and law.name == 'SingleMultiple(count="cumulative")':
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ClosureWarning)
            frame = solve(law, closure=closure, time=time, feed=feed, **options)
        assert list(frame.columns) == ["step", "susceptible", "infected"]
        assert frame["step"].tolist() == list(range(options["steps"] + 1))
        infected = frame["infected"].to_numpy()
        assert infected[0] == pytest.approx(options["initial_infected"])
        assert infected.min() >= 0
        assert infected.max() <= n
        assert np.diff(infected, prepend=infected[0]).min() > -1e-7 * n
        np.testing.assert_allclose(frame["susceptible"] + infected, n)


@settings(max_examples=40, deadline=None)
@given(betas=st.tuples(below_one, below_one), alpha=below_one, k=st.integers(1, 10))
def test_higher_chances_never_infect_fewer(
    betas: tuple[float, float], alpha: float, k: int
) -> None:
    low, high = sorted(betas)
    for closure in CLOSURES:
        for time in TIMES:
            options = {"k": k, "closure": closure, "time": time}
            slow, fast = (curve(OnlineOffline(alpha, beta), **options) for beta in (low, high))
            assert (fast - slow).min() > -1e-7
    slow, fast = (curve(SI(beta), k=k, feed="new") for beta in (low, high))
    assert (fast - slow).min() > -1e-12


def test_certain_transmission_and_everybody_infected() -> None:
    for closure in CLOSURES:
        assert quiet_curve(FirstRepeat(1.0, 1.0), closure=closure)[-1] == pytest.approx(1)
        assert curve(SI(0.0), closure=closure)[-1] == pytest.approx(0.02)
        for time in TIMES:
            everybody = curve(SI(0.3), initial_infected=1000, closure=closure, time=time)
            np.testing.assert_array_equal(everybody, 1.0)


# Errors


@pytest.mark.parametrize(
    ("changes", "error", "argument"),
    [
        ({"n": 1}, ArgumentError, "n"),
        ({"n": 10.0}, ArgumentTypeError, "n"),
        ({"k": 0}, ArgumentError, "k"),
        ({"k": 1000}, ArgumentError, "k"),
        ({"k": 4.5}, ArgumentTypeError, "k"),
        ({"k": True}, ArgumentTypeError, "k"),
        ({"k": {4: 0.5, 6: 0.6}}, ArgumentError, "k"),
        ({"k": {4: -0.5, 6: 1.5}}, ArgumentError, "k"),
        ({"k": {2000: 1.0}}, ArgumentError, "k"),
        ({"k": {-1: 1.0}}, ArgumentError, "k"),
        ({"k": {0: 1.0}}, ArgumentError, "k"),
        ({"k": {2.5: 1.0}}, ArgumentTypeError, "k"),
        ({"k": {}}, ArgumentTypeError, "k"),
        ({"k": [4, 4, 4]}, ArgumentError, "k"),
        ({"initial_infected": 0}, ArgumentError, "initial_infected"),
        ({"initial_infected": 1001}, ArgumentError, "initial_infected"),
        ({"steps": -1}, ArgumentError, "steps"),
        ({"closure": "pairs"}, UnknownNameError, "closure"),
        ({"time": "ode"}, UnknownNameError, "time"),
        ({"feed": "all"}, UnknownNameError, "feed"),
        ({"profile_shares": [0.5, 0.5]}, ArgumentError, "profile_shares"),
        ({"profile_shares": np.ones(32)}, ArgumentError, "profile_shares"),
        ({"feed": "new", "time": "continuous"}, ArgumentError, "feed"),
        ({"feed": "new", "closure": "pair"}, ArgumentError, "closure"),
        ({"k": {4: 0.5, 6: 0.5}, "closure": "pair"}, ArgumentError, "closure"),
    ],
)
def test_bad_arguments(
    changes: dict[str, Any], error: type[ArgumentError | ArgumentTypeError], argument: str
) -> None:
    with pytest.raises(error) as caught:
        curve(SI(0.05), **changes)
    assert caught.value.argument == argument
    assert caught.value.value is changes[argument]


@pytest.mark.parametrize(
    ("law", "changes", "argument"),
    [
        (
            FirstRepeat(0.2, 0.1, per="occasion"),
            {"time": "continuous"},
            "time",
        ),
        (SI(1.0), {"time": "continuous"}, "law"),
        (OnlineOffline(1.0, 0.1), {"time": "continuous"}, "law"),
        (
            SingleMultiple(0.1, 0.2, count="cumulative"),
            {"feed": "new", "closure": "mean_field"},
            "closure",
        ),
    ],
)
def test_what_is_not_defined_for_a_law(
    law: TransmissionLaw, changes: dict[str, Any], argument: str
) -> None:
    with pytest.raises(UndefinedClosureError) as caught:
        curve(law, **changes)
    assert caught.value.argument == argument


def test_a_law_needs_values() -> None:
    with pytest.raises(ArgumentError) as caught:
        solve("SI", n=100, k=4, initial_infected=1, steps=1)
    assert (caught.value.argument, caught.value.value) == ("law", "SI")
