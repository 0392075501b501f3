"""Whether a law keeps to the contract of :class:`~mesa_llmspread.transmission.TransmissionLaw`."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import numpy as np

from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.transmission.exposures import ExposureArrays
from mesa_llmspread.transmission.law import MEMORIES, TransmissionLaw
from mesa_llmspread.transmission.registry import resolve_law

__all__ = ["check_law", "check_memory"]

# Numbers of contacts on which declarations are tried.
_CONTACTS = np.arange(6)


def check_memory(law: TransmissionLaw) -> None:
    """Raise if a law depends on more of an agent's past than it declares.

    Equations and the compiled engine go by the declaration, so a wrong one would give wrong
    numbers.

    Parameters
    ----------
    law : TransmissionLaw

    Raises
    ------
    ArgumentError
        If ``memory`` is not one of :data:`MEMORIES`, or :meth:`~TransmissionLaw.prob` depends on
        something else.
    """
    if law.memory not in MEMORIES:
        raise ArgumentError(f"{law.name}.memory", law.memory, f"be one of {', '.join(MEMORIES)}")
    occasion = 2 if law.memory == "first_repeat" else 1
    _same(law, "exposure_count", {"exposure_count": occasion}, {"exposure_count": 7})
    if law.memory != "cumulative":
        _same(law, "cumulative", {}, {"cumulative": _CONTACTS + 3})


def _same(law: TransmissionLaw, column: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    """Raise if a law tells two kinds of exposures apart that it should not."""
    first, second = law.evaluate(_CONTACTS, **one), law.evaluate(_CONTACTS, **other)
    if not np.array_equal(first, second):
        raise ArgumentError(
            f"{law.name}.memory",
            law.memory,
            f"say what prob() depends on: it depends on {column} "
            "(memory = 'first_repeat' tells the first exposure from later ones, 'cumulative' "
            "counts all who have posted; other laws run on SpreadModel only)",
        )


def check_law(law: type[TransmissionLaw] | TransmissionLaw | str, **options: Any) -> None:
    """Test a law of your own against the contract, as scikit-learn's ``check_estimator`` does.

    Parameters
    ----------
    law : type of TransmissionLaw, TransmissionLaw or str
        The class, a law, or a name.
    **options
        Fields of the class that are not parameters.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        At the first promise that is broken; the message names it.

    Examples
    --------
    >>> check_law("FirstRepeat")
    """
    made = resolve_law(law, **options)
    kind = type(made).__name__
    _require(made.parameters, kind, "have at least one field annotated float: its parameters")
    _require(
        dataclasses.is_dataclass(made) and made.__dataclass_params__.frozen,  # type: ignore[attr-defined]
        kind,
        "be a frozen dataclass: @dataclass(frozen=True)",
    )
    unknown = (set(made.labels) | set(made.bounds)) - set(made.parameters)
    _require(not unknown, sorted(unknown), "name parameters only in labels and bounds")
    low, high = (
        made.replace({name: limits[end] for name, limits in _finite(made).items()})
        for end in (0, 1)
    )
    for one in (made, low, high):
        one.checked_prob(_mixed(200))
    _require(made.replace(made.parameters) == made, kind, "be equal to a copy with its values")
    for again in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        _require(again == made, kind, "come back whole from pickling: define it in a module")
    check_memory(made)
    seen = _mixed(200)
    order = np.random.default_rng(1).permutation(200)
    _require(
        np.array_equal(made.prob(seen)[order], made.prob(seen[order])),
        kind,
        "decide every exposure by itself, whatever the others in the arrays",
    )
    profiles = np.arange(32)
    differs = np.ptp(made.evaluate(_CONTACTS[:, None], profile=profiles), axis=1).any()
    _require(not differs or made.uses_profile, kind, "declare uses_profile = True")
    together = 1 - (1 - made.evaluate(1)) ** _CONTACTS
    if made.independent_contacts:
        _require(
            np.allclose(made.evaluate(_CONTACTS), together),
            kind,
            "have p = 1 - (1 - p_one)**contacts, as independent_contacts declares",
        )
    if made.offline:
        alone, online = made.evaluate(0, direct=True), made.evaluate(_CONTACTS)
        _require(
            np.allclose(made.evaluate(_CONTACTS, direct=True), 1 - (1 - alone) * (1 - online)),
            kind,
            "have p = 1 - (1 - alpha * direct) * (1 - p_online)",
        )
    shares = sum(share for share, _ in made.mixture_components())
    _require(abs(shares - 1) < 1e-9, kind, "have mixture_components with shares that sum to 1")
    if (terms := made.rate_terms(seen)) is not None:
        index, contacts = terms
        rates = np.array(list(made.parameters.values()))[index]
        _require(
            np.allclose(made.prob(seen), 1 - (1 - rates) ** contacts),
            kind,
            "have rate_terms with p = 1 - (1 - parameter[index])**contacts",
        )


def _require(holds: Any, value: object, requirement: str) -> None:
    if not holds:
        raise ArgumentError("law", value, requirement)


def _finite(law: TransmissionLaw) -> dict[str, tuple[float, float]]:
    """Return the limits of the parameters, and ordinary numbers where they are infinite."""
    return {
        name: (
            low if np.isfinite(low) else law.parameters[name],
            high if np.isfinite(high) else law.parameters[name],
        )
        for name, (low, high) in law.parameter_bounds.items()
    }


def _mixed(size: int) -> ExposureArrays:
    """Return exposures of all kinds."""
    rng = np.random.default_rng(0)
    contacts = rng.integers(0, 9, size)
    return ExposureArrays(
        contacts,
        rng.integers(1, 5, size),
        (contacts == 0) | (rng.random(size) < 0.3),
        rng.integers(0, 32, size),
        contacts + rng.integers(0, 3, size),
        step=rng.integers(1, 50, size),
        agent=rng.integers(0, 100, size),
    )
