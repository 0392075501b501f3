"""A small set of decisions, simulated in plain Python, and maximum-likelihood fits of it.

Two groups of runs: in ``online`` agents see posts only; in ``media`` they also see the event
itself, and can post because of that. Some decisions fail: they are no occasion, and no fit uses
them. Rates that can be estimated one by one have a closed form or come from statsmodels'
generalised linear models; the others from SciPy's optimisers on the likelihood, written out.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np
import statsmodels.api as sm
from plain_laws import online_offline, si
from scipy.optimize import brentq, minimize
from scipy.stats import chi2

COLUMNS = (
    "group", "run", "step", "agent", "profile", "contacts", "cumulative", "exposure_count",
    "direct", "outcome",
)  # fmt: skip
AGENTS, NEIGHBOURS, STARTERS, STEPS, SEED = 80, 4, 6, 14, 20260
PROFILES = ("OCEAN", "OCEAn", "OceaN", "oCeaN", "ocEan", "ocean")
#: The high class where classes are known: openness is high.
HIGH = ("OCEAN", "OCEAn", "OceaN")
#: Half the drop in deviance at the ends of a 95 % interval.
FALL = chi2.ppf(0.95, 1) / 2

Row = tuple[str, int, int, int, str, int, int, int, bool, str]


# Simulation


def regular_graph(draw: random.Random) -> list[set[int]]:
    """Pair the ends of edges at random until no edge is a loop or there twice."""
    while True:
        ends = [agent for agent in range(AGENTS) for _ in range(NEIGHBOURS)]
        ends.sort(key=lambda _: draw.random())
        neighbours: list[set[int]] = [set() for _ in range(AGENTS)]
        for a, b in zip(ends[::2], ends[1::2], strict=True):
            neighbours[a].add(b)
            neighbours[b].add(a)
        if all(len(near) == NEIGHBOURS and a not in near for a, near in enumerate(neighbours)):
            return neighbours


def simulate(group: str, run: int, draw: random.Random) -> list[Row]:
    """Simulate one run; return its decisions."""
    neighbours = regular_graph(draw)
    profiles = [PROFILES[int(draw.random() * len(PROFILES))] for _ in range(AGENTS)]
    slow = [draw.random() < 0.5 for _ in range(AGENTS)]
    posted = set(range(STARTERS))
    occasions = [0] * AGENTS
    rows: list[Row] = []
    for step in range(1, STEPS + 1):
        new = set()
        for agent in sorted(set(range(AGENTS)) - posted):
            contacts = len(neighbours[agent] & posted)
            direct = group == "media" and draw.random() < 0.3
            if contacts == 0 and not direct:
                continue
            first = occasions[agent] == 0
            if group == "media":
                p = online_offline(0.06, 0.1).chance(first, contacts, contacts, direct, 0)
            else:
                factor = (0.15 if slow[agent] else 1.0) * (1.3 if profiles[agent] in HIGH else 1.0)
                p = si(0.3 * factor).chance(first, contacts, contacts, direct, 0)
            outcome = "repost" if draw.random() < p else "decline"
            if draw.random() < 0.03:
                outcome = "failed"
            seen = (contacts, contacts, occasions[agent] + 1, direct)
            rows.append((group, run, step, agent, profiles[agent], *seen, outcome))
            if outcome != "failed":
                occasions[agent] += 1
            if outcome == "repost":
                new.add(agent)
        posted |= new
    return rows


def rows() -> list[Row]:
    """Return all decisions, in the order of COLUMNS."""
    draw = random.Random(SEED)
    found: list[Row] = []
    for group in ("online", "media"):
        for run in range(3):
            found += simulate(group, run, draw)
    return found


# Rates that are estimated one by one

Cells = Counter[tuple[int, bool]]  # (contacts, repost): number of decisions


def cells_by(decisions: Iterable[Row], label: Callable[[Row], str]) -> dict[str, Cells]:
    """Count decisions per rate that acts on them."""
    found: dict[str, Cells] = {}
    for row in decisions:
        found.setdefault(label(row), Counter())[row[5], row[9] == "repost"] += 1
    return found


def loglik_of(cells: Cells, beta: float, per_contact: bool) -> float:
    """Return the log-likelihood of a rate: per contact, or per decision."""
    total = 0.0
    for (m, repost), number in cells.items():
        stays = (1 - beta) ** (m if per_contact else 1)
        total += number * math.log(1 - stays if repost else stays)
    return total


def closed_form(cells: Cells) -> tuple[float, float]:
    """Return a probability per decision and its standard error: reposts / decisions."""
    n = sum(cells.values())
    p = sum(number for (_, repost), number in cells.items() if repost) / n
    return p, math.sqrt(p * (1 - p) / n)


def cloglog(cells: dict[str, Cells]) -> dict[str, tuple[float, float]]:
    """Return probabilities per contact and standard errors from one regression."""
    names = sorted(cells)
    table = [
        (names.index(name), m, float(repost), number)
        for name in names
        for (m, repost), number in cells[name].items()
    ]
    which, m, repost, number = map(np.array, zip(*table, strict=True))
    family = sm.families.Binomial(link=sm.families.links.CLogLog())
    model = sm.GLM(
        repost, np.eye(len(names))[which], family=family, offset=np.log(m), freq_weights=number
    )
    fitted = model.fit(tol=1e-12)
    information = -model.hessian(fitted.params, observed=True)
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    found = {}
    for name, log_rate, error in zip(names, fitted.params, errors, strict=True):
        rate = math.exp(log_rate)
        # The slope of 1 - exp(-exp(x)).
        found[name] = 1 - math.exp(-rate), math.exp(-rate) * rate * error
    return found


def interval_of(cells: Cells, beta: float, per_contact: bool) -> tuple[float, float]:
    """Return the ends of the profile-likelihood interval of a rate between 0 and 1."""
    top = loglik_of(cells, beta, per_contact)

    def fall(value: float) -> float:
        return top - loglik_of(cells, value, per_contact) - FALL

    return brentq(fall, 1e-9, beta, xtol=1e-13), brentq(fall, beta, 1 - 1e-9, xtol=1e-13)


def one_by_one(
    decisions: list[Row], label: Callable[[Row], str], per_contact: bool
) -> dict[str, object]:
    """Fit a law whose rates each act on decisions of their own."""
    cells = cells_by((row for row in decisions if row[5] > 0), label)
    if per_contact:
        rates = cloglog(cells)
    else:
        rates = {name: closed_form(part) for name, part in cells.items()}
    return fit_of(
        decisions,
        {name: rates[name][0] for name in sorted(rates)},
        {name: rates[name][1] for name in sorted(rates)},
        {name: interval_of(cells[name], rates[name][0], per_contact) for name in sorted(rates)},
        sum(loglik_of(part, rates[name][0], per_contact) for name, part in cells.items()),
    )


def fit_of(
    decisions: list[Row],
    params: dict[str, float],
    stderr: dict[str, float],
    interval: dict[str, tuple[float, float]],
    loglik: float,
) -> dict[str, object]:
    """Gather a fit, with the BIC that counts decisions and the one that counts agents."""
    agents = len({(row[1], row[3]) for row in decisions})
    penalty = len(params)
    return {
        "params": params,
        "stderr": stderr,
        "interval": interval,
        "loglik": loglik,
        "aic": 2 * penalty - 2 * loglik,
        "bic_decisions": penalty * math.log(len(decisions)) - 2 * loglik,
        "bic_agents": penalty * math.log(agents) - 2 * loglik,
        "decisions": len(decisions),
        "agents": agents,
    }


# Parameters that are estimated together


def together(
    decisions: list[Row],
    names: tuple[str, ...],
    loglik: Callable[[np.ndarray], float],
    starts: list[tuple[float, ...]],
) -> dict[str, object]:
    """Maximise a likelihood of probabilities; profile it; differentiate it numerically."""

    def to_values(free: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-free))

    def badness(free: np.ndarray) -> float:
        return -loglik(to_values(free))

    def climb(
        function: Callable[[np.ndarray], float], start: np.ndarray, precision: float = 1e-12
    ) -> tuple[np.ndarray, float]:
        options = {"xatol": 1e3 * precision, "fatol": precision, "maxfev": 20_000}
        found = minimize(function, start, method="Nelder-Mead", options=options)
        return found.x, -found.fun

    climbs = [climb(badness, np.log(np.array(s) / (1 - np.array(s)))) for s in starts]
    free, top = max(climbs, key=lambda result: result[1])
    values = to_values(free)
    hessian = second_derivatives(loglik, values)
    errors = np.sqrt(np.diag(np.linalg.inv(-hessian)))

    interval = {}
    for i, name in enumerate(names):
        others = np.arange(len(names)) != i

        def fall(value: float, i: int = i, others: np.ndarray = others) -> float:
            def partly(rest: np.ndarray) -> float:
                point = np.empty(len(names))
                point[i], point[others] = value, rest
                return badness(point)

            return top - climb(partly, free[others], 1e-9)[1] - FALL

        ends = []
        for sign in (-1, 1):
            inner, outer = free[i], free[i] + 0.5 * sign
            while fall(outer) < 0:
                inner, outer = outer, outer + 0.5 * sign
                assert abs(outer) < 15, f"the profile of {name} reaches a bound"
            ends.append(to_values(brentq(fall, *sorted((inner, outer)), xtol=1e-9)))
        interval[name] = (float(ends[0]), float(ends[1]))
    return fit_of(
        decisions,
        dict(zip(names, map(float, values), strict=True)),
        dict(zip(names, map(float, errors), strict=True)),
        interval,
        float(top),
    )


def second_derivatives(function: Callable[[np.ndarray], float], at: np.ndarray) -> np.ndarray:
    """Return the Hessian by central differences, extrapolated once."""

    def differences(step: float) -> np.ndarray:
        size = len(at)
        steps = np.diag(step * np.minimum(at, 1 - at))
        result = np.empty((size, size))
        for i in range(size):
            for j in range(size):
                corners = [
                    si * sj * function(at + si * steps[i] + sj * steps[j])
                    for si in (1, -1)
                    for sj in (1, -1)
                ]
                result[i, j] = sum(corners) / (4 * steps[i, i] * steps[j, j])
        return result

    return (4 * differences(0.005) - differences(0.01)) / 3


def online_offline_loglik(decisions: list[Row]) -> Callable[[np.ndarray], float]:
    counted = Counter((row[8], row[5], row[9] == "repost") for row in decisions)

    def loglik(values: np.ndarray) -> float:
        alpha, beta = values
        total = 0.0
        for (direct, m, repost), number in counted.items():
            stays = (1 - alpha if direct else 1.0) * (1 - beta) ** m
            total += number * math.log(1 - stays if repost else stays)
        return total

    return loglik


def latent_loglik(decisions: list[Row]) -> Callable[[np.ndarray], float]:
    """An agent's decisions go together: its class is drawn once."""
    histories: dict[tuple[int, int], list[tuple[int, bool]]] = {}
    for row in decisions:
        if row[5] > 0:
            histories.setdefault((row[1], row[3]), []).append((row[5], row[9] == "repost"))
    counted = Counter(tuple(sorted(history)) for history in histories.values())

    def loglik(values: np.ndarray) -> float:
        low, high, share_high = values
        total = 0.0
        for history, number in counted.items():
            parts = []
            for share, beta in ((1 - share_high, low), (share_high, high)):
                for m, repost in history:
                    stays = (1 - beta) ** m
                    share *= 1 - stays if repost else stays
                parts.append(share)
            total += number * math.log(sum(parts))
        return total

    return loglik


def fits() -> dict[str, dict[str, dict[str, object]]]:
    """Return the fits per group of runs and law."""

    def first_or_repeat(row: Row) -> str:
        return "beta_first" if row[7] == 1 else "beta_repeat"

    def single_or_multiple(row: Row) -> str:
        return "beta_single" if row[5] == 1 else "beta_multiple"

    made = [row for row in rows() if row[9] != "failed"]
    online = [row for row in made if row[0] == "online"]
    media = [row for row in made if row[0] == "media"]
    return {
        "online": {
            "SI": one_by_one(online, lambda row: "beta", True),
            "FirstRepeat": one_by_one(online, first_or_repeat, True),
            "FirstRepeat per occasion": one_by_one(online, first_or_repeat, False),
            "SingleMultiple": one_by_one(online, single_or_multiple, False),
            "TwoClass by profile": one_by_one(
                online, lambda row: "beta_high" if row[4] in HIGH else "beta_low", True
            ),
            "ByProfile": one_by_one(online, lambda row: row[4], True),
            "TwoClass": together(
                online,
                ("beta_low", "beta_high", "share_high"),
                latent_loglik(online),
                [(0.05, 0.3, 0.5), (0.1, 0.6, 0.2)],
            ),
        },
        "media": {
            "OnlineOffline": together(
                media,
                ("alpha", "beta"),
                online_offline_loglik(media),
                [(0.05, 0.1), (0.2, 0.05)],
            ),
        },
    }
