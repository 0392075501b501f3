"""The test of a decider against the contract of :class:`~mesa_llmspread.deciders.Decider`."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mesa_llmspread.deciders import as_decider
from mesa_llmspread.deciders.base import Decider, Decision, Exposure, Post, check_decisions
from mesa_llmspread.events import bundled_events
from mesa_llmspread.exceptions import ArgumentError, DeciderError
from mesa_llmspread.profiles import all_profiles

__all__ = ["check_decider"]

_AGENTS, _STEP = 64, 5


def check_decider(decider: type[Decider] | Decider | str) -> dict[str, bool]:
    """Test a decider of your own against the contract, as scikit-learn's ``check_estimator`` does.

    Parameters
    ----------
    decider : type of Decider, Decider or str
        A class that needs no arguments, or anything else that ``SpreadModel`` takes. It is asked
        for about 400 decisions: mind the cost of a language model.

    Returns
    -------
    dict of str to bool
        Properties that a decider may have or not: ``parts_of_a_batch_decide_alike`` is whether
        the decisions are the same when parts of a batch are decided apart, as with
        :func:`~mesa_llmspread.coins`.

    Raises
    ------
    ArgumentError, ArgumentTypeError, DeciderError
        At the first promise that is broken; the message names it.

    Examples
    --------
    >>> check_decider("SI(0.1)")
    {'parts_of_a_batch_decide_alike': True}
    """
    made = as_decider(decider)
    made.check()
    run, exposures = _for_run(made), _exposures()
    posts = [exposure for exposure in exposures if exposure.posts]
    direct = [exposure for exposure in exposures if not exposure.posts]
    _decide(run, posts, "decide a batch")
    _decide(run, direct, "decide for agents that saw the event itself, without posts")
    for one in exposures[:4]:
        _decide(run, [one], "decide a batch of one")
    decisions = _decide(run, exposures, "decide a batch")
    for again in (run, _for_run(made)):
        _require(
            _decide(again, exposures, "decide a batch twice") == decisions,
            made,
            "return the same decisions for the same exposures and rng: draw from rng, as coins() "
            "does, and keep nothing from batch to batch",
        )
    for described in (made.manifest(), run.manifest()):
        _require(_is_plain(described), made, "return plain JSON values from manifest(), by name")
    try:
        copied = _decide(_for_run(pickle.loads(pickle.dumps(made))), exposures, "")
    except Exception:  # whatever a user's object raises
        copied = []
    _require(
        copied == decisions,
        made,
        "decide alike after pickling, as batch_run and copies of models need: define it in a "
        "module, and keep no functions, locks or open files",
    )
    half = len(exposures) // 2
    parts = [_decide(run, part, "decide half") for part in (exposures[:half], exposures[half:])]
    return {"parts_of_a_batch_decide_alike": parts[0] + parts[1] == decisions}


def _require(holds: bool, decider: Decider, requirement: str) -> None:
    if not holds:
        raise ArgumentError("decider", type(decider).__name__, requirement)


def _for_run(made: Decider) -> Decider:
    """Return the decider of a run, always with the same stream."""
    run = made.for_run(_AGENTS, np.random.default_rng(1))
    _require(isinstance(run, Decider), made, "return a Decider from for_run()")
    return run


def _decide(run: Decider, exposures: Sequence[Exposure], promise: str) -> list[Decision]:
    """Return a decider's decisions, always with the same stream."""
    given = copy.deepcopy(list(exposures))
    try:
        decisions = run.decide(given, np.random.default_rng(2))
    except DeciderError:
        raise
    except Exception as error:
        problem = f"{promise} ({type(error).__name__}: {error})"
        raise ArgumentError("decider", type(run).__name__, problem) from error
    _require(given == list(exposures), run, "leave the exposures as they are")
    check_decisions(run, exposures, decisions)
    return list(decisions)


def _is_plain(described: Any) -> bool:
    """Return whether a manifest can be written as JSON."""
    try:
        json.dumps(dict(described), allow_nan=False)
    except (TypeError, ValueError):
        return False
    return isinstance(described, Mapping) and all(isinstance(name, str) for name in described)


def _exposures() -> list[Exposure]:
    """Return a step's exposures of all kinds, ordered by agent."""
    exposures = []
    for agent, m in enumerate(np.random.default_rng(0).integers(0, 6, _AGENTS).tolist()):
        posts = tuple(Post(90 + i, i, "It is in the news." * (i % 2)) for i in range(m))
        place = (_STEP, agent, all_profiles()[agent % 32], bundled_events()[0])
        seen = (m, m + agent % 3, 1 + agent % _STEP, m == 0 or agent % 4 == 0)
        exposures.append(Exposure(*place, *seen, posts))
    return exposures
