"""Whether a decider keeps to the contract of :class:`~mesa_llmspread.deciders.Decider`."""

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
        A class that is made without arguments, a decider, or what ``SpreadModel`` takes. It is
        asked for about 400 decisions: mind the cost of a language model.

    Returns
    -------
    dict of str to bool
        What a decider may do or not: ``parts_of_a_batch_decide_alike`` says whether the
        decisions are the same when parts of a batch are decided apart, as with
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
    made = _made(decider)
    name = type(made).__name__
    made.check()
    exposures = _exposures()
    posts = [exposure for exposure in exposures if exposure.posts]
    direct = [exposure for exposure in exposures if not exposure.posts]
    answerer = _for_run(made, name)
    _decide(answerer, posts, name, "decide a batch")
    _decide(answerer, direct, name, "decide for agents that saw the event itself, without posts")
    for one in exposures[:4]:
        _decide(answerer, [one], name, "decide a batch of one")
    decisions = _decide(answerer, exposures, name, "decide a batch")
    for again in (answerer, _for_run(made, name)):
        _require(
            _decide(again, exposures, name, "decide a batch twice") == decisions,
            name,
            "give the same decisions for the same exposures and rng: draw from rng, as coins() "
            "does, and keep nothing from batch to batch",
        )
    for described in (made.manifest(), answerer.manifest()):
        _require(_is_plain(described), name, "return plain JSON values from manifest(), by name")
    _require(
        _pickled(made, exposures) == decisions,
        name,
        "come back whole from pickling, as batch_run and copies of models need: define it in a "
        "module, and keep no functions, locks or open files",
    )
    half = len(exposures) // 2
    parts = [
        decision
        for part in (exposures[:half], exposures[half:])
        for decision in _decide(answerer, part, name, "decide half of a batch")
    ]
    return {"parts_of_a_batch_decide_alike": parts == decisions}


def _require(holds: bool, name: str, requirement: str) -> None:
    if not holds:
        raise ArgumentError("decider", name, requirement)


def _made(decider: Any) -> Decider:
    """Make the decider, where a class is given."""
    if not (isinstance(decider, type) and issubclass(decider, Decider)):
        return as_decider(decider)
    try:
        return decider()
    except TypeError as error:
        raise ArgumentError(
            "decider",
            decider.__name__,
            f"be made without arguments, or be given as an object ({error})",
        ) from error


def _for_run(made: Decider, name: str) -> Decider:
    """Return the decider of one and the same run."""
    answerer = made.for_run(_AGENTS, np.random.default_rng(1))
    _require(isinstance(answerer, Decider), name, "return a Decider from for_run()")
    return answerer


def _decide(
    answerer: Decider, exposures: Sequence[Exposure], name: str, promise: str
) -> list[Decision]:
    """Return a decider's decisions, always with the same stream."""
    given = copy.deepcopy(list(exposures))
    try:
        decisions = answerer.decide(given, np.random.default_rng(2))
    except DeciderError:
        raise
    except Exception as error:
        raise ArgumentError(
            "decider", name, f"{promise} ({type(error).__name__}: {error})"
        ) from error
    _require(given == list(exposures), name, "leave the exposures as they are")
    check_decisions(answerer, exposures, decisions)
    return list(decisions)


def _pickled(made: Decider, exposures: Sequence[Exposure]) -> list[Decision] | None:
    """Return what a copy decides; None if there is no copy."""
    try:
        twin = pickle.loads(pickle.dumps(made))
        return _decide(_for_run(twin, ""), exposures, "", "decide a batch")
    except Exception:  # whatever a user's object raises
        return None


def _is_plain(described: Any) -> bool:
    """Return whether a manifest can be written as JSON."""
    try:
        json.dumps(dict(described), allow_nan=False)
    except (TypeError, ValueError):
        return False
    return isinstance(described, Mapping) and all(isinstance(name, str) for name in described)


def _exposures() -> list[Exposure]:
    """Return a step's exposures of all kinds, ordered by agent."""
    rng = np.random.default_rng(0)
    profiles = all_profiles()
    exposures = []
    for agent in range(_AGENTS):
        contacts = int(rng.integers(0, 6))
        posts = tuple(
            Post(int(author), int(rng.integers(0, _STEP)), "It is in the news." * int(author % 2))
            for author in rng.choice(1000, size=contacts, replace=False)
        )
        exposures.append(
            Exposure(
                step=_STEP,
                agent=agent,
                profile=profiles[int(rng.integers(32))],
                event=bundled_events()[0],
                contacts=contacts,
                cumulative=contacts + int(rng.integers(0, 3)),
                exposure_count=int(rng.integers(1, _STEP + 1)),
                direct=contacts == 0 or bool(rng.random() < 0.3),
                posts=tuple(sorted(posts, key=lambda post: post.step)),
            )
        )
    return exposures
