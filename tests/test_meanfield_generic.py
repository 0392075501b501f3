"""The general likelihood agrees with the closed forms, and fits laws of one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from mesa_llmspread import (
    ExposureArrays,
    FitResult,
    SpreadData,
    SpreadModel,
    TransmissionLaw,
    check_law,
    compare,
    concat,
    fit,
    random_regular,
    simulate,
    solve,
)
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError
from mesa_llmspread.transmission import (
    SI,
    FirstRepeat,
    OnlineOffline,
    SingleMultiple,
    TwoClass,
    resolve_law,
)


def record(decider: Any, runs: int = 3, steps: int = 40, **settings: Any) -> SpreadData:
    models = (SpreadModel(decider=decider, rng=run, **settings) for run in range(runs))
    return concat([SpreadData.from_model(model.run(steps)) for model in models])


class PlainSI(SI):
    """The same law without its shortcut; so are those below."""

    def prob(self, seen: ExposureArrays) -> Any:
        return SI(**self.parameters, **self.options).prob(seen)

    def rate_terms(self, seen: ExposureArrays) -> None:
        return None


class PlainFirstRepeat(FirstRepeat):
    def prob(self, seen: ExposureArrays) -> Any:
        return FirstRepeat(**self.parameters, **self.options).prob(seen)

    def rate_terms(self, seen: ExposureArrays) -> None:
        return None


class PlainSingleMultiple(SingleMultiple):
    def prob(self, seen: ExposureArrays) -> Any:
        return SingleMultiple(**self.parameters, **self.options).prob(seen)

    def rate_terms(self, seen: ExposureArrays) -> None:
        return None


@pytest.fixture(scope="module")
def seen_in_media() -> SpreadData:
    return record("OnlineOffline(0.1, 0.04)", media_prob=0.2, feed="persistent")


@pytest.fixture(scope="module")
def of_two_classes() -> SpreadData:
    return record("TwoClass(0.02, 0.4, share_high=0.3)")


@pytest.mark.parametrize(
    ("law", "plain", "options"),
    [
        (SI, PlainSI, {}),
        (FirstRepeat, PlainFirstRepeat, {}),
        (FirstRepeat, PlainFirstRepeat, {"per": "occasion"}),
        (SingleMultiple, PlainSingleMultiple, {}),
        (SingleMultiple, PlainSingleMultiple, {"count": "cumulative"}),
    ],
)
def test_rates_one_by_one_agree_with_the_general_likelihood(
    law: type[TransmissionLaw],
    plain: type[TransmissionLaw],
    options: dict[str, str],
    of_two_classes: SpreadData,
) -> None:
    fast, general = (
        fit(of_two_classes, kind, interval="profile", **options) for kind in (law, plain)
    )
    assert general.loglik == pytest.approx(fast.loglik, abs=1e-7)
    for name, value in fast.params.items():
        assert general.params[name] == pytest.approx(value, abs=1e-6)
        assert general.ci[name] == pytest.approx(fast.ci[name], abs=1e-6)
    np.testing.assert_allclose(general.covar, fast.covar, rtol=1e-3, atol=1e-9)
    # Beside the general likelihood runs differ by one factor, not each rate by itself.
    if len(fast.params) == 1:
        assert general.heterogeneity == pytest.approx(fast.heterogeneity, abs=1e-5)


def test_offline_and_online_rates_have_the_likelihood_written_out(
    seen_in_media: SpreadData,
) -> None:
    result = fit(seen_in_media, OnlineOffline, interval="profile")
    rows = seen_in_media.exposures.query("contacts > 0 or direct")
    repost = (rows["outcome"] == "repost").to_numpy()

    def loglik(alpha: float, beta: float) -> float:
        hazard = -np.log1p(-alpha) * rows["direct"] - np.log1p(-beta) * rows["contacts"]
        return float(np.where(repost, np.log(-np.expm1(-hazard)), -hazard).sum())

    check_profile(result, lambda values: loglik(*values))


def test_latent_classes_have_the_likelihood_written_out(of_two_classes: SpreadData) -> None:
    result = fit(of_two_classes, TwoClass, interval="profile")
    rows = of_two_classes.exposures.query("contacts > 0")
    reposted = rows["outcome"] == "repost"
    agents = rows.assign(
        declined=rows["contacts"].where(~reposted, 0), posted=rows["contacts"].where(reposted, 0)
    ).groupby(["run", "agent"])[["declined", "posted"]]
    declined, posted = agents.sum().to_numpy().T

    def loglik(values: Any) -> float:
        chance = [
            (1 - beta) ** declined * np.where(posted > 0, 1 - (1 - beta) ** posted, 1)
            for beta in values[:2]
        ]
        return float(np.log((1 - values[2]) * chance[0] + values[2] * chance[1]).sum())

    assert list(result.params) == ["beta_low", "beta_high", "share_high"]
    check_profile(result, loglik)


@pytest.mark.parametrize("seed", [5, 6, 7, 13])
def test_a_profile_with_several_maxima_has_an_interval(seed: int) -> None:
    """Few decisions: the search along a profile may end on another maximum at the same value."""
    model = SpreadModel(
        n=40, k=4, decider="TwoClass(0.05, 0.5, share_high=0.3)", initial_infected=3, rng=seed
    )
    result = fit(SpreadData.from_model(model.run(15)), "TwoClass", interval="profile")
    for name, (low, high) in result.ci.items():
        value = result.params[name]
        assert np.isnan(value) or 0 <= low <= value <= high <= 1


def check_profile(result: FitResult, loglik: Callable[[Any], float]) -> None:
    """Compare a fit with its log-likelihood written out, maximised by another optimiser."""

    def profile(fixed: dict[int, float]) -> float:
        start = np.array(list(result.params.values()))
        free = [i for i in range(len(start)) if i not in fixed]

        def badness(x: Any) -> float:
            point = start.copy()
            point[free] = 1 / (1 + np.exp(-x))
            point[list(fixed)] = list(fixed.values())
            return -loglik(point)

        logits = np.log(start[free] / (1 - start[free]))
        return -float(minimize(badness, logits, method="Nelder-Mead", tol=1e-9).fun)

    assert result.loglik == pytest.approx(loglik(list(result.params.values())), abs=1e-7)
    assert result.loglik == pytest.approx(profile({}), abs=1e-6)
    for i, ends in enumerate(result.ci.values()):
        for end in ends:
            drop = result.loglik - profile({i: end})
            assert drop == pytest.approx(norm.ppf(0.975) ** 2 / 2, abs=1e-4)


@dataclass(frozen=True)
class Saturating(TransmissionLaw):
    """Every contact counts for less than the one before: a parameter beyond 1 decides how much."""

    beta: float
    half: float

    bounds: ClassVar = {"half": (0.1, 50.0)}

    def prob(self, seen: ExposureArrays) -> Any:
        return self.beta * seen.contacts / (seen.contacts + self.half)


@dataclass(frozen=True)
class Mixed(TransmissionLaw):
    """Two latent classes, of which one counts neighbours and the other does not."""

    beta: float
    easy: float
    share: float

    def prob(self, seen: ExposureArrays) -> Any:
        return sum(share * law.prob(seen) for share, law in self.mixture_components())

    def mixture_components(self) -> list[tuple[float, TransmissionLaw]]:
        count = resolve_law("SI").replace({"beta": self.beta})
        once = resolve_law('FirstRepeat(per="occasion")').replace(
            {"beta_first": self.easy, "beta_repeat": self.easy}
        )
        return [(1 - self.share, count), (self.share, once)]


@dataclass(frozen=True)
class Forgets(TransmissionLaw):
    """Depends on the third occasion, which it does not declare."""

    beta: float

    def prob(self, seen: ExposureArrays) -> Any:
        return np.where(seen.exposure_count < 3, self.beta, self.beta / 2) * (seen.contacts > 0)


@pytest.mark.parametrize("law", [Saturating(0.4, 5.0), Mixed(0.03, 0.5, 0.3)])
def test_a_law_of_ones_own_is_recovered(law: TransmissionLaw) -> None:
    check_law(law)
    data = record(law, runs=5, n=400)
    result = fit(data, type(law), interval="profile", level=0.999)
    assert result.success
    assert isinstance(result.law, type(law))
    for name, true in law.parameters.items():
        low, high = result.ci[name]
        assert low < true < high, (name, result.ci)
        assert result.stderr[name] > 0
    sign = np.linalg.eigvalsh(result.covar)
    assert (sign > 0).all()
    assert result.nfev > 0
    latent = len(law.mixture_components()) > 1
    assert result.n_bic < result.n_obs if latent else result.n_bic == result.n_obs
    assert fit(data, law, bic_n="decisions").n_bic == result.n_obs
    best = compare(data, ["SI", "FirstRepeat", law]).best
    assert isinstance(best.law, type(law))


@pytest.mark.parametrize("law", [Saturating(0.4, 5.0), Mixed(0.03, 0.5, 0.3)])
@pytest.mark.parametrize("feed", ["persistent", "new"])
def test_model_engine_and_equations_agree(law: TransmissionLaw, feed: Any) -> None:
    n = 20_000
    network = random_regular(n, 6, rng=1)
    curve = solve(law, n=n, k=6, initial_infected=1000, steps=15, feed=feed)["infected"] / n
    runs = simulate(law, network, 1000, 15, replicates=8, feed=feed, rng=1).infected.mean(0) / n
    assert runs == pytest.approx(curve, abs=0.006)
    model = SpreadModel(network=network, initial_infected=1000, feed=feed, decider=law, rng=1)
    model.run(15)
    found = np.array(model.datacollector.model_vars["Infected"]) / n
    assert found == pytest.approx(curve[: len(found)], abs=0.025)


def test_what_a_law_does_not_declare_is_refused() -> None:
    law = Forgets(0.2)
    for use in (
        lambda: check_law(law),
        lambda: solve(law, n=100, k=4, initial_infected=5, steps=3),
        lambda: simulate(law, random_regular(100, 4, rng=1), rng=1),
    ):
        with pytest.raises(ArgumentError) as caught:
            use()
        assert (caught.value.argument, caught.value.value) == ("Forgets.memory", "none")
    # The model asks prob() itself, and so does the likelihood.
    data = record(law, n=300)
    low, high = fit(data, Forgets).ci["beta"]
    assert low < 0.2 < high


def test_a_law_that_gives_no_probabilities_is_named() -> None:
    @dataclass(frozen=True)
    class Odd(TransmissionLaw):
        beta: float

        def prob(self, seen: ExposureArrays) -> Any:
            return seen.contacts * self.beta

    with pytest.raises(ArgumentError) as caught:
        SpreadModel(decider=Odd(0.5), rng=1).run(5)
    assert caught.value.argument == "Odd(beta=0.5).prob(seen)"
    with pytest.raises(ArgumentTypeError) as wrong:
        fit(record("SI(0.1)", runs=1), dict)  # type: ignore[arg-type]
    assert (wrong.value.argument, wrong.value.value) == ("law", dict)


def test_a_parameter_without_effect_has_its_bounds_as_interval() -> None:
    @dataclass(frozen=True)
    class Idle(TransmissionLaw):
        beta: float
        idle: float

        bounds: ClassVar = {"idle": (2.0, 50.0)}

        def prob(self, seen: ExposureArrays) -> Any:
            return 1 - (1 - self.beta) ** seen.contacts

    data = record("SI(0.1)", runs=2)
    for interval in ("profile", "runs"):
        result = fit(data, Idle, interval=interval)
        assert not result.success
        assert np.isnan(result.params["idle"])
        assert result.ci["idle"] == (2, 50)
        if interval == "profile":
            assert result.ci["beta"] == pytest.approx(fit(data, "SI", interval=interval).ci["beta"])
    unseen = record(OnlineOffline(0.3, 0.0), runs=1, media_prob=0.5, initial_infected=0, steps=1)
    assert fit(unseen, Idle).ci == {"beta": (0, 1), "idle": (2, 50)}


@dataclass(frozen=True)
class Branching(TransmissionLaw):
    """Reads a column in a branch, through a mask and through a method."""

    a: float
    b: float
    c: float
    memory: ClassVar[str] = "first_repeat"

    def prob(self, seen: ExposureArrays) -> np.ndarray:
        p = np.where(seen.contacts > 0, self.b, 0.0)
        if (seen.contacts >= 2).any():
            many = seen.contacts >= 2
            p[many] = np.where(seen[many].exposure_count > 1, self.c, self.b)
        return 1 - (1 - p) * (1 - seen.offline_prob(self.a))


def test_what_a_law_reads_is_found_in_branches_parts_and_methods() -> None:
    contacts, count = np.array([1] * 1200 + [2] * 800), np.tile([1, 2], 1000)
    direct = np.tile([True, True, False, False], 500)
    seen = ExposureArrays(contacts, count, direct)
    repost = np.random.default_rng(1).random(2000) < Branching(0.1, 0.2, 0.6).prob(seen)
    rows = pd.DataFrame({"run": 0, "step": count, "agent": np.arange(2000) // 2})
    rows = rows.assign(contacts=contacts, direct=direct, exposure_count=count)
    rows["outcome"] = np.where(repost, "repost", "decline")
    result = fit(SpreadData.from_tables(rows), Branching, level=0.999)
    for name, value in {"a": 0.1, "b": 0.2, "c": 0.6}.items():
        low, high = result.ci[name]
        assert low < value < high
        assert high - low < 0.3
