"""Several deciders in one population."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mesa_llmspread._validation import check_kind, check_name, checked_shares
from mesa_llmspread.deciders.base import Decider, Decision, Exposure
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError
from mesa_llmspread.profiles import codes
from mesa_llmspread.transmission import Visibility

__all__ = ["MixedDecider"]


class MixedDecider(Decider):
    """Let different agents decide in different ways.

    Parameters
    ----------
    parts : mapping, or sequence of pairs
        Share of the agents and their decider, such as ``{0.3: "stubborn", 0.7: "SI(0.05)"}``:
        who is in which part is drawn once per run (equal shares need a sequence of pairs:
        ``[(0.5, "traits"), (0.5, "SI(0.05)")]``). Or profile codes and their decider, such as
        ``{("OCEAN", "OCEAn"): "traits", ...}``; every profile that occurs must be in one of the
        parts. Each decider is anything that ``SpreadModel`` takes.

    Raises
    ------
    ArgumentError
        If shares do not sum to 1, or a profile is in two parts.
    ArgumentTypeError
        If parts are neither shares nor profile codes.
    UnknownNameError
        If a profile code is unknown.

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
        for pair in pairs:
            if not (isinstance(pair, tuple | list) and len(pair) == 2):
                raise ArgumentTypeError("parts", pair, "a pair of a share, or codes, and a decider")
        if not pairs:
            raise ArgumentError("parts", parts, "have at least one decider")
        keys = [key for key, _ in pairs]
        self.shares: list[float] = []
        self.part_of: dict[str, int] = {}
        if all(isinstance(key, int | float | np.number) for key in keys):
            checked_shares("parts", keys, keys)
            self.shares = [float(key) for key in keys]
        else:
            self.part_of = _parts_by_code(keys)
        self.deciders = [as_decider(decider) for _, decider in pairs]
        self._member: npt.NDArray[np.intp] | None = None  # the agents' parts, in one run

    def for_run(self, n: int, rng: np.random.Generator) -> Decider:
        """Draw who is in which part, and set up each part; see :meth:`Decider.for_run`."""
        run = copy.copy(self)
        run._member = np.searchsorted(np.cumsum(self.shares)[:-1], rng.random(n), side="right")
        run.deciders = [part.for_run(n, rng) for part in self.deciders]
        return run

    def check_visibility(self, visibility: Visibility) -> None:
        """Check every part; see :meth:`Decider.check_visibility`."""
        for part in self.deciders:
            part.check_visibility(visibility)

    def check(self) -> None:
        """Check every part; see :meth:`Decider.check`."""
        for part in self.deciders:
            part.check()

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        """Return the decisions of each exposure's own part; see :meth:`Decider.decide`."""
        if self._member is None:
            agents = max(exposure.agent for exposure in exposures) + 1
            return self.for_run(agents, copy.deepcopy(rng)).decide(exposures, rng)
        part_of = np.array(
            [
                self._member[seen.agent] if self.shares else self._part(seen.profile.code)
                for seen in exposures
            ]
        )
        decisions: dict[int, Decision] = {}
        for part in np.unique(part_of).tolist():
            places = np.flatnonzero(part_of == part).tolist()
            # Every part reads the step's stream from its beginning.
            asked, stream = [exposures[place] for place in places], copy.deepcopy(rng)
            decisions |= zip(places, self.deciders[part].decide(asked, stream), strict=True)
        return [decisions[place] for place in range(len(exposures))]

    def manifest(self) -> Mapping[str, Any]:
        """Describe every part; see :meth:`Decider.manifest`."""
        described = [dict(part.manifest()) for part in self.deciders]
        for i, part in enumerate(described):
            profiles = [code for code, at in self.part_of.items() if at == i]
            part |= {"share": self.shares[i]} if self.shares else {"profiles": profiles}
        return {"decider": self.name, "parts": described}

    def _part(self, code: str) -> int:
        """Return the part that decides for a profile."""
        if code not in self.part_of:
            raise ArgumentError("parts", list(self.part_of), f"include the profile {code!r}")
        return self.part_of[code]


def _parts_by_code(keys: Sequence[Any]) -> dict[str, int]:
    """Return the part that each profile code is in."""
    part_of: dict[str, int] = {}
    for i, key in enumerate(keys):
        check_kind("parts", key, str | tuple, "shares of agents, or tuples of profile codes")
        for code in (key,) if isinstance(key, str) else key:
            check_name("parts", code, codes())
            if code in part_of:
                raise ArgumentError("parts", code, "be in one part only")
            part_of[code] = i
    return part_of
