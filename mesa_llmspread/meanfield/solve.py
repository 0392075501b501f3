"""The spread that a law leads to, from equations instead of a simulation.

Read the arguments, choose the equations, run them.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd
from scipy.integrate import solve_ivp

from mesa_llmspread._validation import (
    check_contacts,
    check_name,
    checked_array,
    checked_int,
    checked_probability,
    checked_shares,
    checked_starters,
)
from mesa_llmspread.exceptions import ArgumentError, UndefinedClosureError
from mesa_llmspread.meanfield.closure import Closure, Time, as_closure, register_closure
from mesa_llmspread.meanfield.equations import Degrees, DegreesLike, Floats, Laws, System
from mesa_llmspread.meanfield.master import Master
from mesa_llmspread.meanfield.mean_field import MeanField
from mesa_llmspread.meanfield.on_network import simulated_curve
from mesa_llmspread.meanfield.pair import Pair
from mesa_llmspread.networks import as_network
from mesa_llmspread.rng import RNGLike
from mesa_llmspread.transmission import (
    Feed,
    TransmissionLaw,
    Visibility,
    as_visibility,
    check_ages,
    check_declarations,
    law_of,
)

__all__ = [
    "ClosureWarning",
    "integrate",
    "iterate",
    "solve",
]

for _closure in (Master(), Pair(), MeanField()):
    register_closure(_closure)


class ClosureWarning(UserWarning):
    """A closure is known to be wrong for a law, not only approximate."""


def solve(
    law: TransmissionLaw | str,
    *,
    n: int | None = None,
    k: DegreesLike | None = None,
    initial_infected: int,
    steps: int,
    closure: str | Closure = "master",
    time: Time = "discrete",
    feed: Feed = "persistent",
    visibility: Visibility | str | None = None,
    media_prob: float | None = None,
    failed_share: float = 0.0,
    profile_shares: Sequence[float] | Floats | None = None,
    network: Any = None,
    rng: RNGLike = 0,
) -> pd.DataFrame:
    """Solve a law's equations for the number of agents that have posted.

    Three closures describe the neighbours of a susceptible agent:

    - ``"mean_field"``: drawn again from everybody, at every moment. The equations commonly
      written; far too fast on sparse networks.
    - ``"pair"``: infected independently, with a chance that is followed along the edges
      (Keeling 1999). On regular networks exact where contacts act independently; wrong for
      FirstRepeat.
    - ``"master"``: independent branches of a tree, followed exactly (Miller, Slim & Volz
      2012; Gleeson 2013). Exact for every law on large random networks.

    They know a network's degrees alone. On a given network, which may be clustered, the answer is
    the mean of 200 simulations of it instead.

    Parameters
    ----------
    law : TransmissionLaw or str
        The law, with its parameters' values; text such as ``"SI(0.05)"`` will do.
    n : int
        Number of agents, at least 2.
    k : int, mapping of int to float, or sequence of int
        Number of neighbours of every agent, 1 to n - 1; or a degree distribution: the share
        of agents with each degree, or the degrees of all n agents. A distribution stands
        for the random network with these degrees (the configuration model), not for one
        with clustering or with degrees that go together, such as most observed ones.
    initial_infected : int
        Number of agents infected at step 0, chosen at random, 1 to n. Here and in ``k``, 0 is
        allowed where the law's ``alpha > 0``.
    steps : int
        Number of steps, at least 0.
    closure : {"master", "pair", "mean_field"}, str or Closure, default "master"
        How neighbours are described; or your own closure, or its name.
    time : {"discrete", "continuous"}, default "discrete"
        Synchronous steps, as in the agent-based model, or the differential equations that
        match their hazards (``-log(1 - p)`` for a chance ``p`` per step). Continuous spread is
        faster, as what happens within a step counts at once. FirstRepeat then means that each
        infected neighbour is seen at the times of a Poisson process of rate one per step;
        equal chances ``b`` give SI with the rate ``b``, not ``-log(1 - b)``.
    feed : {"persistent", "new"}, default "persistent"
        Whether posts stay visible, or are seen in one step only.
    visibility : Visibility or str, optional
        In place of ``feed``: for how many steps a post stays in view, and how its effect fades. In
        discrete time, under the master closure, where contacts act independently.
    media_prob : float, optional
        Probability per step that a susceptible agent sees the event itself: what ``alpha`` acts
        on, and an occasion for FirstRepeat. If not given, 1 for a law with an offline part,
        else 0.
    failed_share : float, default 0
        Share of the decisions that fail, and leave the agent as it was.
    profile_shares : array_like of float, shape (32,), optional
        Share of each profile among the agents, for laws that tell them apart; equal if not
        given.
    network : Network, networkx.Graph or pair of array_like (indptr, indices), optional
        The network to simulate the law on, instead of ``n``, ``k``, ``closure`` and ``time``.
    rng : int, numpy.random.Generator or None, default 0
        Randomness of the simulations on a network.

    Returns
    -------
    DataFrame
        One row per step, from 0: ``step``, ``susceptible`` and ``infected``, expected numbers
        of agents in a large population (real numbers); at whole steps in continuous time. With
        a network, means over the simulations, with ``low`` and ``high``, between which 95 % of
        them lie; ``attrs`` then has ``method="simulation"``, ``replicates`` and ``rng``.

    Raises
    ------
    ArgumentError
        If n < 2, a degree is not within 0 and n - 1, initial_infected is not within 1 and n (or
        0, with alpha > 0), nobody has a neighbour and alpha is 0, steps < 0, shares are not a
        distribution, or the closure, time and feed are not defined for the law (the message
        says what is).
    ArgumentTypeError
        If an argument is of the wrong kind.

    Warns
    -----
    ClosureWarning
        For FirstRepeat under the pair approximation.

    Notes
    -----
    A finite population with few starters lags behind its equations, because runs differ in
    when they take off: allow about 1.5 % of n at n = 1000 and 10 starters, .4 % at 10,000
    and 100.

    References
    ----------
    Bass (1969), doi:10.1287/mnsc.15.5.215. Keeling (1999), doi:10.1098/rspb.1999.0716.
    Miller, Slim & Volz (2012), doi:10.1098/rsif.2011.0403. Gleeson (2013),
    doi:10.1103/PhysRevX.3.021004. Derivations: the modules of this package.

    Examples
    --------
    >>> from mesa_llmspread.transmission import SI
    >>> solve(SI(0.5), n=1000, k=4, initial_infected=10, steps=2).round(3)
       step  susceptible  infected
    0     0      990.000    10.000
    1     1      970.348    29.652
    2     2      932.347    67.653
    """
    law = law_of(law)
    direct = float(law.offline)
    if media_prob is not None:
        direct = media_prob = checked_probability("media_prob", media_prob)
    failed_share = checked_probability("failed_share", failed_share)
    alpha = law.alpha * direct
    seen = as_visibility(visibility, feed)
    if profile_shares is not None:
        profile_shares = _profile_shares(profile_shares)
    if network is not None:
        default = {"n": n is None, "k": k is None, "closure": closure == "master"}
        for name, left_out in (default | {"time": time == "discrete"}).items():
            if not left_out:
                raise ArgumentError(name, "given", "be left out where a network is given")
        graph = as_network(network)
        setting: dict[str, Any] = {"visibility": seen, "media_prob": media_prob}
        setting["failed_share"] = failed_share
        return simulated_curve(law, graph, initial_infected, steps, profile_shares, rng, **setting)
    n = checked_int("n", n, 2)
    degrees = Degrees.of(k, n)
    check_contacts("k", k, int(degrees.values.max()), "alpha", alpha)
    infected = checked_starters(initial_infected, n, "alpha", alpha) / n
    steps = checked_int("steps", steps, 0)
    check_name("time", time, get_args(Time))
    chosen = as_closure(closure)
    for _, part in law.mixture_components():
        check_declarations(part, direct > 0)
    check_ages(law, seen)
    laws = law.classes(profile_shares)
    settings = {"media_prob": media_prob, "failed_share": failed_share or None}
    given = {name: value for name, value in settings.items() if value is not None}
    _check_defined(chosen, laws, time, seen, degrees, given)
    if message := next((text for _, part in laws if (text := chosen.warning(part))), None):
        warnings.warn(message, ClosureWarning, stacklevel=2)
    if degrees.values.max() == 0:
        # Nobody sees a post: what the event itself does to each agent alone.
        posts = 1 - (1 - law.alpha) ** seen.event_weights(steps)
        spared = 1 - direct * (1 - failed_share) * posts
        share = (1 - infected) * np.cumprod(np.append(1.0, spared))
    elif time == "discrete":
        share = iterate(chosen.discrete(laws, degrees, infected, seen, **given), steps)
    else:
        share = integrate(chosen.continuous(laws, degrees, infected, **given), steps)
    susceptible = n * np.clip(share, 0.0, 1.0 - infected)
    return pd.DataFrame(
        {"step": np.arange(steps + 1), "susceptible": susceptible, "infected": n - susceptible}
    )


def iterate(system: System, steps: int) -> Floats:
    """Apply a map, step by step.

    Parameters
    ----------
    system : System
        With a one-step map.
    steps : int
        How often to apply it.

    Returns
    -------
    ndarray of float, shape (steps + 1,)
        Share of agents susceptible at each step.
    """
    state = system.start
    share = [system.susceptible(state)]
    for _ in range(steps):
        state = system.move(state)
        share.append(system.susceptible(state))
    return np.array(share)


def integrate(system: System, steps: int) -> Floats:
    """Integrate differential equations; the shares are right to about 1e-7.

    Parameters
    ----------
    system : System
        With a right-hand side.
    steps : int
        Time to integrate over.

    Returns
    -------
    ndarray of float, shape (steps + 1,)
        Share of agents susceptible at whole steps.

    Raises
    ------
    ArgumentError
        If the integrator gives up.
    """
    start = np.asarray(system.start)
    if steps == 0:
        return np.array([system.susceptible(start)])
    solution = solve_ivp(
        lambda _, state: system.move(state.reshape(start.shape)).ravel(),
        (0, steps),
        start.ravel(),
        # LSODA turns to an implicit method where rates are very unequal, but holds a square
        # matrix of the states.
        method="LSODA" if start.size <= 500 else "DOP853",
        t_eval=np.arange(steps + 1),
        rtol=1e-10,
        atol=1e-12,
    )
    if not solution.success:
        raise ArgumentError(
            "time", "continuous", f"be 'discrete': the integration failed ({solution.message})"
        )
    return np.array([system.susceptible(state.reshape(start.shape)) for state in solution.y.T])


def _check_defined(
    closure: Closure,
    laws: Laws,
    time: str,
    visibility: Visibility,
    degrees: Degrees,
    given: Mapping[str, float],
) -> None:
    """Raise where a closure, time, feed and other settings do not make sense for a law."""
    continuous = time == "continuous"
    known = inspect.signature(closure.continuous if continuous else closure.discrete).parameters
    for name in given.keys() - known.keys():
        allowed = f"be left out: {closure.name} has no equations for it in {time} time"
        raise UndefinedClosureError(name, given[name], allowed)
    if continuous and visibility.feed != "persistent":
        raise UndefinedClosureError(
            "feed" if visibility.feed else "visibility",
            visibility.feed or str(visibility),
            "be 'persistent' in continuous time, which has no steps in which a post is seen; use "
            "time='discrete'",
        )
    if visibility.ages and "failed_share" in given:
        allowed = (
            f"be left out with {visibility}: a decision that fails takes all posts of its step "
            "with it, so that posts of different ages no longer act independently, and there are "
            "no equations; simulate() follows them"
        )
        raise UndefinedClosureError("failed_share", given["failed_share"], allowed)
    for _, law in laws:
        if reason := closure.supports(law, time, visibility, degrees):
            raise UndefinedClosureError("closure", closure.name, reason)
        if continuous and law.memory == "first_repeat" and not law.independent_contacts:
            raise UndefinedClosureError(
                "time",
                time,
                f"be 'discrete' for {law}, which decides once per step; only contacts that act "
                "independently have a form in continuous time",
            )
        if continuous and law.memory == "first_repeat" and given.get("media_prob", law.offline):
            raise UndefinedClosureError(
                "time", time, f"be 'discrete' for {law} where agents see the event itself"
            )
        most = 1 if law.independent_contacts else degrees.values.max()
        chances = law.evaluate(np.arange(1, most + 1), direct=True)
        if continuous and law.memory != "first_repeat" and (chances >= 1).any():
            raise UndefinedClosureError(
                "law",
                law,
                "have probabilities below 1 in continuous time, where 1 is an infinite rate; "
                "use time='discrete'",
            )


def _profile_shares(given: Any) -> Floats:
    """Return the shares of the 32 profiles."""
    shares = checked_array("profile_shares", given, "32 numbers", float)
    if shares.shape != (32,):
        raise ArgumentError("profile_shares", given, "hold 32 shares")
    return checked_shares("profile_shares", given, shares)
