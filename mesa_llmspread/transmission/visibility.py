"""How long a post stays in view, and how its effect fades with its age and with that of the news.

A post made at step ``s`` has at step ``t`` the age ``a = t - 1 - s``: 0 in the first step in which
it can be seen. One contact acts with a hazard (not a probability) of ``rate * g(a) * h(t)``, so
that ``p = 1 - exp(-rate * h(t) * sum of g(a) over the posts in view)``. Seeing the event itself
adds the hazard ``-log(1 - alpha) * h(t)``.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from mesa_llmspread._validation import check_name, checked_int, checked_number
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError
from mesa_llmspread.transmission.exposures import ExposureArrays
from mesa_llmspread.transmission.law import TransmissionLaw

__all__ = [
    "FEEDS",
    "Exponential",
    "Feed",
    "PowerLaw",
    "Visibility",
    "Weights",
    "as_visibility",
    "check_ages",
]

Floats = npt.NDArray[np.float64]

Feed = Literal["persistent", "new"]

#: The names of two visibilities: posts stay in view for good, or for one step.
FEEDS: tuple[str, ...] = get_args(Feed)


@dataclass(frozen=True)
class Exponential:
    """Posts fade by the same factor in every step: ``g(a) = exp(-delta * a)``.

    Parameters
    ----------
    delta : float
        Rate of fading, per step, at least 0.

    Examples
    --------
    >>> Exponential(0.5).weight(np.array([0, 1])).round(3)
    array([1.   , 0.607])
    """

    delta: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "delta", checked_number("delta", self.delta, 0.0))

    def weight(self, age: Floats) -> Floats:
        """Return what posts of some ages weigh."""
        return np.exp(-self.delta * age)


@dataclass(frozen=True)
class PowerLaw:
    """Posts fade fast at first and slowly later: ``g(a) = (1 + a)**-gamma``.

    Parameters
    ----------
    gamma : float
        Exponent of fading, at least 0.

    Examples
    --------
    >>> PowerLaw(1.0).weight(np.array([0, 1, 3])).tolist()
    [1.0, 0.5, 0.25]
    """

    gamma: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "gamma", checked_number("gamma", self.gamma, 0.0))

    def weight(self, age: Floats) -> Floats:
        """Return what posts of some ages weigh."""
        return (1.0 + age) ** -self.gamma


@dataclass(frozen=True)
class Visibility:
    """How long posts stay in view, and what they weigh.

    Parameters
    ----------
    visible_for : int, optional
        Number of steps for which a post is in view; for good if not given.
    ageing : Exponential or PowerLaw, optional
        How the effect of a post fades with its age.
    event_ageing : float, default 0
        Rate at which the effect of all posts, and of seeing the event itself, fades with the age
        of the news, per step: ``h(t) = exp(-event_ageing * (t - 1))``.

    Examples
    --------
    >>> seen = Visibility(visible_for=2, ageing=Exponential(0.5))
    >>> seen.weights(4).round(3)
    array([1.   , 0.607, 0.   , 0.   ])
    >>> print(seen)
    Visibility(2, Exponential(0.5), 0.0)
    """

    visible_for: int | None = None
    ageing: Exponential | PowerLaw | None = None
    event_ageing: float = 0.0

    def __post_init__(self) -> None:
        if self.visible_for is not None:
            object.__setattr__(self, "visible_for", checked_int("visible_for", self.visible_for, 1))
        if not isinstance(self.ageing, Exponential | PowerLaw | None):
            allowed = "Exponential(delta), PowerLaw(gamma) or None"
            raise ArgumentTypeError("ageing", self.ageing, allowed)
        rate = checked_number("event_ageing", self.event_ageing, 0.0)
        object.__setattr__(self, "event_ageing", rate)

    @property
    def ages(self) -> bool:
        """Whether posts of different ages, or at different steps, weigh differently."""
        return self.ageing is not None or self.event_ageing > 0

    @property
    def feed(self) -> Feed | None:
        """Its name in :data:`FEEDS`; None if it has none."""
        if self.ages or self.visible_for not in (None, 1):
            return None
        return "new" if self.visible_for else "persistent"

    def weights(self, steps: int) -> Floats:
        """Return g: what a post weighs at each age from 0 to ``steps - 1``; 0 out of view."""
        age = np.arange(steps, dtype=float)
        fading = np.ones(steps) if self.ageing is None else self.ageing.weight(age)
        return fading if self.visible_for is None else fading * (age < self.visible_for)

    def event_weights(self, steps: int) -> Floats:
        """Return h: what all posts weigh at each step from 1 to ``steps``."""
        return np.exp(-self.event_ageing * np.arange(steps))

    def __str__(self) -> str:
        ageing = "None"
        if self.ageing is not None:
            (rate,) = vars(self.ageing).values()
            ageing = f"{type(self.ageing).__name__}({rate})"
        return f"Visibility({self.visible_for}, {ageing}, {self.event_ageing})"


class Weights:
    """What posts weigh at a step, from weights that are computed once.

    Parameters
    ----------
    visibility : Visibility
    """

    def __init__(self, visibility: Visibility) -> None:
        self.visibility = visibility
        self._posts: list[float] = []

    def news(self, step: int) -> float:
        """Return what the event itself weighs at a step."""
        return math.exp(-self.visibility.event_ageing * (step - 1))

    def __call__(self, step: int, posts: Iterable[Any]) -> float:
        """Return what posts, each with the ``step`` at which it was made, weigh at a step."""
        if len(self._posts) < step:
            self._posts = self.visibility.weights(2 * step).tolist()
        weights, last = self._posts, step - 1
        return self.news(step) * sum(weights[last - post.step] for post in posts)


_NAMED = {"persistent": Visibility(), "new": Visibility(visible_for=1)}

_PARTS = {part.__name__: part for part in (Visibility, Exponential, PowerLaw)}


def as_visibility(visibility: Any = None, feed: str = "persistent") -> Visibility:
    """Return the visibility that a plain value, or the name of a feed, stands for.

    Parameters
    ----------
    visibility : Visibility or str, optional
        Also text such as ``"Visibility(3, Exponential(0.1))"``.
    feed : {"persistent", "new"}, default "persistent"
        Used where no visibility is given. "persistent" sets no limit, and may stand beside any
        visibility.

    Returns
    -------
    Visibility

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If it is not a visibility, or stands beside the feed "new".

    Examples
    --------
    >>> as_visibility("Visibility(visible_for=3)")
    Visibility(visible_for=3, ageing=None, event_ageing=0.0)
    """
    check_name("feed", feed, FEEDS)
    if visibility is None:
        return _NAMED[feed]
    if feed != "persistent":
        raise ArgumentError("feed", feed, "be left out where visibility is given")
    if isinstance(visibility, str):
        visibility = _NAMED.get(visibility) or _parsed(visibility)
    if not isinstance(visibility, Visibility):
        raise ArgumentTypeError("visibility", visibility, "a Visibility")
    return visibility


def _parsed(text: str) -> Any:
    """Read a visibility from text; only the names of its parts and plain values are read."""

    def value(node: ast.expr) -> Any:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            named = {str(keyword.arg): value(keyword.value) for keyword in node.keywords}
            return _PARTS[node.func.id](*map(value, node.args), **named)
        return ast.literal_eval(node)

    try:
        return value(ast.parse(text.strip(), mode="eval").body)
    except (ArgumentError, ArgumentTypeError):
        raise
    except (SyntaxError, ValueError, KeyError, TypeError, RecursionError, MemoryError) as error:
        allowed = "be text such as 'Visibility(3, Exponential(0.1), event_ageing=0.02)'"
        raise ArgumentError("visibility", text, allowed) from error


def check_ages(law: TransmissionLaw, visibility: Visibility) -> None:
    """Raise ArgumentError if posts age, and a law has no hazard per post that could fade."""
    for _, part in law.mixture_components() if visibility.ages else ():
        if not part.independent_contacts:
            raise ArgumentError(
                "visibility",
                str(visibility),
                f"have no ageing with {law.name}: only where contacts act independently has each "
                "post an effect of its own that can fade; visible_for works with every law",
            )
        spared = 1.0 - part.online().prob(ExposureArrays([1, 2], weight=[1.0, 0.5]))
        if abs(spared[1] - spared[0] ** 0.5) > 1e-9:
            allowed = "read seen.weight in place of seen.contacts in prob(), where posts age"
            raise ArgumentError("law", law.name, allowed)
