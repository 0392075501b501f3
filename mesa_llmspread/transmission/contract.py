"""The test of a law against the contract of :class:`TransmissionLaw`."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np

from mesa_llmspread.exceptions import ArgumentError
from mesa_llmspread.transmission.exposures import ExposureArrays
from mesa_llmspread.transmission.law import MEMORIES, TransmissionLaw
from mesa_llmspread.transmission.registry import resolve_law

__all__ = ["check_declarations", "check_law"]

# Numbers of contacts, and profiles, on which declarations are tried.
_CONTACTS, _PROFILES = np.arange(6), np.arange(32)[:, None]

# At how many points between their bounds parameters are tried.
_POINTS = 12


def check_declarations(law: TransmissionLaw, media: bool = True) -> None:
    """Raise if a law depends on more than it declares.

    Equations and the compiled engine go by what is declared, so a wrong declaration would give
    wrong numbers.

    Parameters
    ----------
    law : TransmissionLaw
    media : bool, default True
        Whether agents see the event itself.

    Raises
    ------
    ArgumentError
        If ``memory`` is not one of :data:`MEMORIES`, or :meth:`~TransmissionLaw.prob` depends on
        something that is not declared.
    """
    if law.memory not in MEMORIES:
        raise ArgumentError(f"{law.name}.memory", law.memory, f"be one of {', '.join(MEMORIES)}")
    online = law.online()
    contacts, profiles = (part.ravel() for part in np.broadcast_arrays(_CONTACTS, _PROFILES))
    seen = {"contacts": contacts, "profile": profiles}

    def chances(**changes: Any) -> Any:
        return online.checked_prob(ExposureArrays(**{**seen, **changes}))

    occasion = 2 if law.memory == "first_repeat" else 1
    changes: dict[str, tuple[Any, Any]] = {
        "exposure_count": (occasion, 7),
        "step": (1, 5),
        "agent": (0, 3),
    }
    if law.memory != "cumulative":
        changes["cumulative"] = contacts, contacts + 3
    if media:
        changes["direct"] = False, True
    for column, values in changes.items():
        first, second = (chances(**{column: value}) for value in values)
        if not np.array_equal(first, second):
            raise ArgumentError(
                f"{law.name}.memory",
                law.memory,
                f"declare what prob() depends on: it depends on {column} "
                "(memory = 'first_repeat' tells the first exposure from later ones, 'cumulative' "
                "counts all who have posted, alpha stands for seeing the event itself; other laws "
                "run on SpreadModel only)",
            )
    if not law.uses_profile and np.ptp(chances().reshape(len(_PROFILES), -1), axis=0).any():
        raise ArgumentError(f"{law.name}.uses_profile", False, "be True: prob() uses profiles")
    one = chances(contacts=np.ones_like(contacts))
    if law.independent_contacts and not np.allclose(chances(), 1 - (1 - one) ** contacts):
        raise ArgumentError(
            f"{law.name}.independent_contacts",
            True,
            "be False: prob() is not 1 - (1 - p_one)**contacts",
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
    for holds, requirement in _promises(made):
        if not holds:
            raise ArgumentError("law", type(made).__name__, requirement)
    # Not at one point only: where a law has reached a ceiling, nothing shows.
    rng = np.random.default_rng(1)
    for _ in range(_POINTS):
        values = {
            name: low + (high - low) * rng.random() ** 3
            for name, (low, high) in made.parameter_bounds.items()
            if np.isfinite(high - low)
        }
        check_declarations(made.replace(values))


def _promises(law: TransmissionLaw) -> Iterator[tuple[Any, str]]:
    """Yield whether each promise holds, and what it is."""
    yield law.parameters, "have at least one field annotated float: its parameters"
    params = getattr(law, "__dataclass_params__", None)
    yield params and params.frozen, "be a frozen dataclass: @dataclass(frozen=True)"
    unknown = (set(law.labels) | set(law.bounds)) - set(law.parameters)
    yield not unknown, f"name only parameters in labels and bounds, not {', '.join(unknown)}"
    seen = _mixed(200)
    for end in zip(*law.parameter_bounds.values(), strict=True):
        values = np.where(np.isfinite(end), end, list(law.parameters.values())).tolist()
        law.replace(dict(zip(law.parameters, values, strict=True))).checked_prob(seen)
    yield law.replace(law.parameters) == law, "be equal to a copy with its values"
    copies = (copy.deepcopy(law), pickle.loads(pickle.dumps(law)))
    yield all(one == law for one in copies), "be equal after pickling: define it in a module"
    chance = law.checked_prob(seen)
    order = np.random.default_rng(1).permutation(200)
    yield (
        np.array_equal(chance[order], law.checked_prob(seen[order])),
        "decide every exposure by itself, whatever the others in the arrays",
    )
    levels = np.array([-2.0, -1.0, -0.5])[:, None, None] * np.ones(5)
    differs = np.ptp(law.evaluate(np.tile(_CONTACTS, (3, 1)), levels=levels), axis=0).any()
    yield law.uses_traits or not differs, "declare uses_traits = True"
    shares = sum(share for share, _ in law.mixture_components())
    yield abs(shares - 1) < 1e-9, "have mixture_components with shares that sum to 1"
    if (terms := law.rate_terms(seen)) is not None:
        rates = [value for name, value in law.parameters.items() if name != "alpha"]
        yield (
            np.allclose(
                law.online().checked_prob(seen), 1 - (1 - np.array(rates)[terms[0]]) ** terms[1]
            ),
            "have rate_terms with prob = 1 - (1 - parameter[index])**contacts",
        )


def _mixed(size: int) -> ExposureArrays:
    """Return exposures of all kinds."""
    rng = np.random.default_rng(0)
    limits = {"exposure_count": (1, 5), "profile": (0, 32), "step": (1, 50), "agent": (0, 100)}
    columns = {name: rng.integers(*ends, size) for name, ends in limits.items()}
    contacts, more = rng.integers(0, [[9], [3]], (2, size))
    direct = (contacts == 0) | (rng.random(size) < 0.3)
    return ExposureArrays(contacts, direct=direct, cumulative=contacts + more, **columns)
