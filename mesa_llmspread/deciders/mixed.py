"""Several deciders in one population."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mesa_llmspread.deciders.base import Decider, Decision, Exposure
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, UnknownNameError
from mesa_llmspread.profiles import codes

__all__ = ["MixedDecider"]


class MixedDecider(Decider):
    """Some agents decide in one way, some in another.

    Parameters
    ----------
    parts : mapping, or sequence of pairs
        Share of the agents and their decider, such as ``{0.3: "stubborn", 0.7: "SI(0.05)"}``:
        who is in which part is drawn once per run (a sequence of pairs takes equal shares
        too). Or profile codes and their decider, such as ``{("OCEAN", "OCEAn"): "traits",
        ...}``; every profile that occurs must be in one of the parts. Deciders are given as
        ``SpreadModel`` takes them.

    Raises
    ------
    ArgumentError
        If shares do not sum to 1, or a profile is in two parts.
    ArgumentTypeError
        If parts are neither shares nor profile codes.
    UnknownNameError
        If a profile code is not known.

    Examples
    --------
    >>> from mesa_llmspread import SpreadModel
    >>> mixed = MixedDecider({0.7: "SI(0.02)", 0.3: "SI(1.0)"})
    >>> SpreadModel(n=300, decider=mixed, rng=1).run(5).infected > 60
    True
    """

    name = "mixed"

    def __init__(self, parts: Mapping[Any, Any] | Sequence[tuple[Any, Any]]) -> None:
        # The list of deciders by name includes this one.
        from mesa_llmspread.deciders import as_decider

        pairs = list(parts.items()) if isinstance(parts, Mapping) else list(parts)
        keys = [key for key, _ in pairs]
        self.shares: list[float] = []
        self.part_of: dict[str, int] = {}
        if pairs and all(isinstance(key, int | float | np.number) for key in keys):
            self.shares = _checked_shares(keys)
        else:
            self.part_of = _checked_codes(keys)
        self.deciders = [as_decider(decider) for _, decider in pairs]

    def for_run(self, n: int, rng: np.random.Generator) -> Decider:
        """Draw who is in which part, and set up each part; see :meth:`Decider.for_run`."""
        member = np.searchsorted(np.cumsum(self.shares)[:-1], rng.random(n), side="right")
        return _MixedRun(self, member, [part.for_run(n, rng) for part in self.deciders])

    def check(self) -> None:
        """Check every part; see :meth:`Decider.check`."""
        for part in self.deciders:
            part.check()

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        """Answer as for a run of its own; see :meth:`Decider.decide`."""
        agents = max(exposure.agent for exposure in exposures) + 1
        return self.for_run(agents, copy.deepcopy(rng)).decide(exposures, rng)

    def manifest(self) -> Mapping[str, Any]:
        """Describe every part; see :meth:`Decider.manifest`."""
        described = [dict(part.manifest()) for part in self.deciders]
        for i, part in enumerate(described):
            if self.shares:
                part["share"] = self.shares[i]
            else:
                part["profiles"] = [code for code, at in self.part_of.items() if at == i]
        return {"decider": self.name, "parts": described}


class _MixedRun(Decider):
    """One run of a mixed population: which agent is in which part."""

    name = "mixed"

    def __init__(
        self, mixed: MixedDecider, member: npt.NDArray[np.intp], parts: list[Decider]
    ) -> None:
        self._mixed = mixed
        self._member = member
        self._parts = parts

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        places: list[list[int]] = [[] for _ in self._parts]
        for place, exposure in enumerate(exposures):
            places[self._part(exposure)].append(place)
        decisions: dict[int, Decision] = {}
        for part, wanted in zip(self._parts, places, strict=True):
            if wanted:
                # Every part reads the step's stream from its beginning.
                answers = part.decide([exposures[i] for i in wanted], copy.deepcopy(rng))
                decisions.update(zip(wanted, answers, strict=True))
        return [decisions[place] for place in range(len(exposures))]

    def for_run(self, n: int, rng: np.random.Generator) -> Decider:
        return self._mixed.for_run(n, rng)

    def manifest(self) -> Mapping[str, Any]:
        return self._mixed.manifest()

    def _part(self, exposure: Exposure) -> int:
        if self._mixed.shares:
            return int(self._member[exposure.agent])
        code = exposure.profile.code
        if code not in self._mixed.part_of:
            raise ArgumentError("parts", list(self._mixed.part_of), f"include the profile {code!r}")
        return self._mixed.part_of[code]


def _checked_shares(shares: Sequence[float]) -> list[float]:
    """Return shares of the agents, each at least 0, 1 in sum."""
    if min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
        raise ArgumentError(
            "parts",
            list(shares),
            f"have shares of at least 0 that sum to 1, not to {sum(shares):g} "
            "(equal shares: a list of pairs, [(0.5, a), (0.5, b)])",
        )
    return [float(share) for share in shares]


def _checked_codes(keys: Sequence[Any]) -> dict[str, int]:
    """Return the part that each profile code is in."""
    part_of: dict[str, int] = {}
    for i, key in enumerate(keys):
        for code in [key] if isinstance(key, str) else key if isinstance(key, tuple) else [None]:
            if not isinstance(code, str):
                raise ArgumentTypeError(
                    "parts", key, "shares of agents, or tuples of profile codes"
                )
            if code not in codes():
                raise UnknownNameError("parts", code, codes())
            if code in part_of:
                raise ArgumentError("parts", code, "be in one part only")
            part_of[code] = i
    if not part_of:
        raise ArgumentError("parts", list(keys), "have at least one decider")
    return part_of
