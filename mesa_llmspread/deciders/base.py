"""What an agent is asked, what it answers, and who answers: the interface to the outside world.

A step's exposures go to a decider as one batch, ordered by agent; it returns one decision per
exposure, in the same order.
"""

from __future__ import annotations

import enum
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mesa_llmspread.events import OfflineEvent
from mesa_llmspread.exceptions import ArgumentError, DeciderError, _short
from mesa_llmspread.profiles import Profile
from mesa_llmspread.rng import agent_uniforms
from mesa_llmspread.transmission import Visibility

__all__ = ["Decider", "Decision", "Exposure", "Outcome", "Post", "check_decisions", "coins"]


class Outcome(enum.Enum):
    """The result of a decision.

    Examples
    --------
    >>> [outcome.value for outcome in Outcome]
    ['repost', 'decline', 'failed']
    """

    REPOST = "repost"
    DECLINE = "decline"
    #: There is no answer (refusal, malformed answer, error). The agent stays susceptible; the
    #: decision is counted and never fitted.
    FAILED = "failed"


class Post(NamedTuple):
    """A post in a feed: its author, its step, and its words ("" if the decider writes none).

    Examples
    --------
    >>> Post(author=3, step=2, text="Have you seen this?").author
    3
    """

    author: int
    step: int
    text: str = ""


class Exposure(NamedTuple):
    """One occasion on which a susceptible agent saw posts, or the event itself, and decides.

    Attributes
    ----------
    step : int
        The model's step, from 1.
    agent : int
        Index of the agent, 0 to n - 1.
    profile : Profile
        Its personality.
    event : OfflineEvent
        The event the news is about.
    contacts : int
        Posting neighbours it sees now, m.
    cumulative : int
        Neighbours who have posted so far.
    exposure_count : int
        1 on its first exposure occasion, 2 on the next, ...
    direct : bool
        Whether it saw the event itself, through the media, in this step.
    posts : tuple of Post
        The posts it sees now, oldest first.
    weight : float or None
        What these posts weigh, where they age; None where each weighs 1.
    news : float
        What the event itself weighs, where the news ages.

    Examples
    --------
    >>> from mesa_llmspread import Profile, bundled_events
    >>> seen = Exposure(
    ...     step=2, agent=7, profile=Profile.from_code("OceAn"), event=bundled_events()[0],
    ...     contacts=1, cumulative=1, exposure_count=1, posts=(Post(3, 1),),
    ... )
    >>> seen.profile.code, seen.contacts
    ('OceAn', 1)
    """

    step: int
    agent: int
    profile: Profile
    event: OfflineEvent
    contacts: int
    cumulative: int
    exposure_count: int
    direct: bool = False
    posts: tuple[Post, ...] = ()
    weight: float | None = None
    news: float = 1.0


class Decision(NamedTuple):
    """The answer to one exposure.

    Attributes
    ----------
    outcome : Outcome
        Repost, decline, or failed.
    post : str
        The words it posts, if the decider writes any.
    reason : str
        Why, in the decider's words; for a failed decision what went wrong.
    key : str
        Identifies the call behind it; "" without a call.

    Examples
    --------
    >>> Decision(Outcome.REPOST, post="Have you seen this?").outcome.value
    'repost'
    """

    outcome: Outcome
    post: str = ""
    reason: str = ""
    key: str = ""


def coins(exposures: Sequence[Exposure], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw one uniform number per exposure, for deciders of your own.

    A number depends on the step's stream, the event and the agent alone: not on what else is
    in the batch, nor on what was drawn from the stream before. So parts of a batch may be
    decided apart. There is one number per decision: another call with the same stream returns
    the same numbers. Where a decision needs a second one, spawn another stream:
    ``coins(exposures, rng.spawn(1)[0])``.

    Parameters
    ----------
    exposures : sequence of Exposure
        Of one step.
    rng : numpy.random.Generator
        The step's stream, as :meth:`Decider.decide` gets it.

    Returns
    -------
    ndarray of float, shape (len(exposures),)
        Numbers in [0, 1).

    Examples
    --------
    >>> from mesa_llmspread import Profile, bundled_events
    >>> profile, event = Profile.from_code("OceAn"), bundled_events()[0]
    >>> both = [Exposure(1, agent, profile, event, 1, 1, 1) for agent in (7, 8)]
    >>> rng = np.random.default_rng(1)
    >>> bool(coins(both, rng)[1] == coins(both[1:], rng)[0])
    True
    """
    agents = np.fromiter((exposure.agent for exposure in exposures), np.int64, len(exposures))
    key = int(rng.bit_generator.seed_seq.generate_state(1, np.uint64)[0])
    events = np.array([_hash(exposure.event.event_id) for exposure in exposures], np.uint64)
    drawn = np.empty(len(agents))
    for event in set(events.tolist()):
        about = events == event
        drawn[about] = agent_uniforms(key ^ event, agents[about])
    return drawn


@lru_cache(maxsize=1024)
def _hash(text: str) -> int:
    """Hash text to 64 bits, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def toss(
    exposures: Sequence[Exposure], rng: np.random.Generator, chance: npt.NDArray[np.float64]
) -> list[Decision]:
    """Draw one decision per exposure with given probabilities of a repost, by :func:`coins`.

    Parameters
    ----------
    exposures, rng
        As for :func:`coins`.
    chance : ndarray of float, shape (len(exposures),)
        Probabilities.

    Returns
    -------
    list of Decision
    """
    repost, decline = Decision(Outcome.REPOST), Decision(Outcome.DECLINE)
    return [repost if yes else decline for yes in (coins(exposures, rng) < chance).tolist()]


class Decider(ABC):
    """Whoever answers exposures: a law, a policy, a language model, or a script.

    Examples
    --------
    >>> class Stubborn(Decider):
    ...     def decide(self, exposures, rng):
    ...         third = [each.exposure_count >= 3 for each in exposures]
    ...         return [Decision(Outcome.REPOST if yes else Outcome.DECLINE) for yes in third]
    >>> from mesa_llmspread import SpreadModel
    >>> SpreadModel(n=50, k=4, decider=Stubborn(), rng=1).run(2).infected
    10
    """

    #: The name in the record of a run.
    name: str = "decider"

    @abstractmethod
    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        """Answer one step's exposures.

        Parameters
        ----------
        exposures : sequence of Exposure
            Ordered by agent; at least one.
        rng : numpy.random.Generator
            The step's random stream.

        Returns
        -------
        list of Decision
            One per exposure, in the same order.
        """

    def for_run(self, n: int, rng: np.random.Generator) -> Decider:
        """Return the decider of one run; itself, unless something is drawn once per run.

        Parameters
        ----------
        n : int
            Number of agents.
        rng : numpy.random.Generator
            The run's stream for what is drawn once.

        Returns
        -------
        Decider
        """
        return self

    def check_visibility(self, visibility: Visibility) -> None:
        """Check that it is defined for the decider what posts do that lose their effect with age.

        One of your own that goes by :attr:`Exposure.weight` overrides this.

        Parameters
        ----------
        visibility : Visibility

        Raises
        ------
        ArgumentError
            If posts age: a decider takes all posts in view as equal, by default.
        """
        if visibility.ages:
            allowed = (
                f"have no ageing with {self.name}, which takes all posts in view as equal: give a "
                "law, such as 'SI(0.1)'"
            )
            raise ArgumentError("visibility", str(visibility), allowed)

    def check(self) -> None:  # noqa: B027 -- most deciders need nothing
        """Check that decisions can be made, before a long run.

        Raises
        ------
        DeciderError
            If a key is missing or a server does not answer.
        """

    def manifest(self) -> Mapping[str, Any]:
        """Return what is needed to repeat a run, as plain values."""
        return {"decider": self.name}


def check_decisions(decider: Decider, exposures: Sequence[Exposure], decisions: Any) -> None:
    """Raise DeciderError unless a decider returned one decision per exposure.

    Parameters
    ----------
    decider : Decider
    exposures : sequence of Exposure
        What it was asked.
    decisions : object
        What it returned.

    Raises
    ------
    DeciderError
        If that is not a list of one :class:`Decision` per exposure.
    """
    name = type(decider).__name__ if decider.name == Decider.name else decider.name
    listed = isinstance(decisions, list | tuple)
    if not listed or len(decisions) != len(exposures):
        given = f"{len(decisions)} decisions" if listed else _short(decisions)
        raise DeciderError(
            f"decider {name!r} returned {given} for {len(exposures)} exposures: decide() must "
            "return a list with one Decision per exposure"
        )
    # Laws return the same few decisions again and again: each object is checked once.
    places = range(len(decisions) - 1, -1, -1)
    for place in {id(decisions[place]): place for place in places}.values():
        decision, exposure = decisions[place], exposures[place]
        if not (
            isinstance(decision, Decision)
            and isinstance(decision.outcome, Outcome)
            and all(isinstance(text, str) for text in decision[1:])
        ):
            raise DeciderError(
                f"decider {name!r} returned {_short(decision)} for agent {exposure.agent} at step "
                f"{exposure.step}: must return a Decision with an Outcome, such as "
                "Decision(Outcome.REPOST), and text as post, reason and key ('' for none)"
            )
