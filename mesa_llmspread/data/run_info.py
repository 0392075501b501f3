"""What is known of a run besides its tables: on what network, from whom, about what, by whom."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache, partial
from typing import Any, Literal, Self

from mesa_llmspread._validation import (
    check_kind,
    check_name,
    checked_int,
    checked_number,
    checked_probability,
)
from mesa_llmspread.events import OfflineEvent
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError
from mesa_llmspread.profiles import Profile
from mesa_llmspread.transmission.visibility import Visibility, as_visibility

__all__ = ["RunInfo", "package_versions", "split_shared"]


def _agents(name: str, value: Any) -> tuple[int, ...]:
    """Return the numbers of some agents."""
    check_kind(name, value, Iterable, "the numbers of some agents")
    return tuple(_whole(name, agent) for agent in value)


def _counts(name: str, value: Any, key: Callable[[Any], Any]) -> dict[Any, int]:
    """Return how many agents there are of each kind."""
    check_kind(name, value, Mapping, "a mapping to numbers of agents")
    return {key(kind): _whole(f"{name}[{kind!r}]", number) for kind, number in value.items()}


def _plain(name: str, value: Any) -> Any:
    """Return a value as JSON holds it, numbers that JSON does not know as text."""
    try:
        text = json.dumps(value, default=lambda part: part.tolist())
    except (AttributeError, TypeError, ValueError) as error:
        raise ArgumentError(name, value, f"hold plain values, as JSON does: {error}") from error
    return json.loads(text, parse_constant=str)


def _degree(value: Any) -> int:
    """Return a number of neighbours; keys of JSON are text."""
    return _whole("degrees", int(value) if str(value).isdecimal() else value)


_whole = partial(checked_int, least=0)
_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "n": partial(checked_int, least=1),
    "k": partial(checked_number, low=0),
    "degrees": partial(_counts, key=_degree),
    "initial_infected": _whole,
    "population": _plain,
    "rng": _whole,
    "versions": _plain,
    "profiles": partial(_counts, key=lambda code: Profile.from_code(code).code),
    "starters": _agents,
    "decider_info": _plain,
}


@dataclass(frozen=True)
class RunInfo:
    """What is known of one run.

    Parameters
    ----------
    n : int or None
        Number of agents; None if unknown, as for the other fields.
    k : float or None
        Mean number of neighbours.
    degrees : mapping of int to int, optional
        How many agents have each number of neighbours.
    feed : {"persistent", "new"}, default "persistent"
        Whether a post stays visible for good, or for one step.
    visibility : Visibility or str, optional
        How long a post is visible, and what it weighs, where ``feed`` does not say it.
    media_prob : float, default 0
        Probability per step that an agent sees the event itself.
    network : str, default "unknown"
        Name of the network; ``"given"`` for a graph.
    initial_infected : int, optional
        How many agents had posted at step 0.
    population : str or mapping, optional
        The agents' personalities, as they were given to the model.
    events : sequence of OfflineEvent, default ()
        What the news was about; a mapping of an event's fields is allowed too.
    decider : str, default "unknown"
        Who decided.
    rng : int, optional
        The run's seed.
    versions : mapping of str to str, default {}
        With which packages the run was made.
    profiles : mapping of str to int, optional
        How many agents have each profile code.
    starters : sequence of int, optional
        Who had posted at step 0.
    decider_info : mapping, default {}
        The decider's own description: :meth:`Decider.manifest` without its name.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If a value is not allowed.

    Examples
    --------
    >>> RunInfo(n=200, k=8).feed
    'persistent'
    """

    n: int | None
    k: float | None
    degrees: Mapping[int, int] | None = None
    feed: Literal["persistent", "new"] = "persistent"
    visibility: Any = None
    media_prob: float = 0.0
    network: str = "unknown"
    initial_infected: int | None = None
    population: Any = None
    events: tuple[OfflineEvent, ...] = ()
    decider: str = "unknown"
    rng: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    profiles: Mapping[str, int] | None = None
    starters: tuple[int, ...] | None = None
    decider_info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, check(name, value))
        object.__setattr__(self, "media_prob", checked_probability("media_prob", self.media_prob))
        seen = as_visibility(self.visibility, self.feed)
        # Kept as text, by the name of a feed where it has one.
        object.__setattr__(self, "feed", seen.feed or "persistent")
        object.__setattr__(self, "visibility", None if seen.feed else str(seen))
        if isinstance(self.events, str | OfflineEvent) or not isinstance(self.events, Iterable):
            raise ArgumentTypeError("events", self.events, "a list of OfflineEvent")
        events = (
            event if isinstance(event, OfflineEvent) else OfflineEvent.from_dict(event)
            for event in self.events
        )
        object.__setattr__(self, "events", tuple(events))

    @property
    def seen(self) -> Visibility:
        """How long posts stayed in view, and what they weighed."""
        return as_visibility(self.visibility, self.feed)

    @property
    def event(self) -> OfflineEvent:
        """The one event of the run.

        Raises
        ------
        ArgumentError
            If the run was about no known event, or about several.
        """
        if len(self.events) != 1:
            ids = [event.event_id for event in self.events]
            raise ArgumentError("info.events", ids, "name one event for this")
        return self.events[0]

    def known(self, name: str) -> Any:
        """Return a field that must be known.

        Parameters
        ----------
        name : str
            The field's name.

        Returns
        -------
        object

        Raises
        ------
        ArgumentError
            If the field is unknown.
        """
        value = getattr(self, name)
        if value is None or value == "unknown":
            raise ArgumentError(f"info.{name}", value, "be known for this")
        return value

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values that JSON holds."""
        events = [event.to_dict() for event in self.events]
        starters = None if self.starters is None else list(self.starters)
        return {**vars(self), "events": events, "starters": starters}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a record of a run from what :meth:`to_dict` returned, or from some of it.

        Parameters
        ----------
        values : mapping of str to object
            Fields; those that are missing are unknown.

        Returns
        -------
        RunInfo

        Raises
        ------
        UnknownNameError
            If a key is no field.
        ArgumentError, ArgumentTypeError
            If a value is not allowed.

        Examples
        --------
        >>> RunInfo.from_dict({"n": 200, "k": 8}) == RunInfo(n=200, k=8)
        True
        """
        check_kind("info", values, Mapping, "a RunInfo or a mapping of its fields")
        for name in values:
            check_name("info", name, [part.name for part in fields(cls)])
        return cls(**{"n": None, "k": None, **values})


def split_shared(runs: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Split what is known of several runs into what all share, and what is each one's own.

    Parameters
    ----------
    runs : sequence of mapping

    Returns
    -------
    shared : dict
    own : list of dict
        One per run.
    """
    shared = dict(runs[0]) if runs else {}
    for run in runs:
        shared = {key: value for key, value in shared.items() if key in run and run[key] == value}
    return shared, [{key: run[key] for key in run if key not in shared} for run in runs]


@cache
def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on.

    Returns
    -------
    dict of str to str
    """
    packages = ("mesa_llmspread", "mesa", "numpy", "networkx", "numba", "pyarrow")
    found = {package: importlib.metadata.version(package) for package in packages}
    return {**found, "python": platform.python_version()}
