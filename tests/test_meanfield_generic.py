"""The general likelihood agrees with the closed forms, and fits laws of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from mesa_llmspread import (
    ExposureArrays,
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
from mesa_llmspread.inference.generic import generic_problem
from mesa_llmspread.inference.likelihood import Log
from mesa_llmspread.inference.maximise import maximise
from mesa_llmspread.transmission import resolve_law


def record(decider: Any, runs: int = 3, steps: int = 40, **settings: Any) -> SpreadData:
    models = (SpreadModel(decider=decider, rng=run, **settings) for run in range(runs))
    return concat([SpreadData.from_model(model.run(steps)) for model in models])


FAMILY = [
    "SI",
    "OnlineOffline",
    "FirstRepeat",
    'FirstRepeat(per="occasion")',
    "SingleMultiple",
    'SingleMultiple(count="cumulative")',
    "TwoClass",
]


@pytest.fixture(scope="module")
def seen_in_media() -> SpreadData:
    return record("OnlineOffline(0.1, 0.04)", media_prob=0.2, feed="persistent")


@pytest.fixture(scope="module")
def of_two_classes() -> SpreadData:
    return record("TwoClass(0.02, 0.4, share_high=0.3)")


@pytest.mark.parametrize("name", FAMILY)
def test_it_agrees_with_the_closed_form(
    name: str, seen_in_media: SpreadData, of_two_classes: SpreadData
) -> None:
    data = seen_in_media if name == "OnlineOffline" else of_two_classes
    closed = fit(data, name, interval="profile")
    general = maximise(generic_problem(resolve_law(name), Log.read(data)), 0.95)
    assert general.loglik == pytest.approx(closed.loglik, abs=1e-5)
    params, ci, covar = np.array(list(closed.params.values())), closed.ci.values(), closed.covar
    ends = np.array(list(ci)).T
    if name == "TwoClass" and general.values[0] > general.values[1]:
        # Nothing but the closed form's own order says which class is called low.
        order = [1, 0, 2]
        params, ends, covar = params[order], ends[:, order], covar[np.ix_(order, order)]
        params[2], ends[:, 2] = 1 - params[2], 1 - ends[::-1, 2]
        covar = covar * np.outer([1, 1, -1], [1, 1, -1])
    assert general.values == pytest.approx(params, abs=2e-5)
    assert general.low == pytest.approx(ends[0], abs=1e-4)
    assert general.high == pytest.approx(ends[1], abs=1e-4)
    np.testing.assert_allclose(general.covar, covar, rtol=2e-3, atol=1e-8)


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
        with pytest.raises(ArgumentError, match="depends on exposure_count"):
            use()
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

    with pytest.raises(ArgumentError, match=r"Odd\(beta=0.5\).prob\(seen\)=.*between 0 and 1"):
        SpreadModel(decider=Odd(0.5), rng=1).run(5)
    with pytest.raises(ArgumentTypeError, match="law="):
        fit(record("SI(0.1)", runs=1), dict)  # type: ignore[arg-type]
