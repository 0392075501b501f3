"""An agent: a personality, a feed, and whether it has posted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mesa

from mesa_llmspread.deciders.base import Decision, Exposure, Post
from mesa_llmspread.events import OfflineEvent
from mesa_llmspread.profiles import Profile

if TYPE_CHECKING:
    from mesa_llmspread.model import SpreadModel

__all__ = ["SpreadAgent"]


class SpreadAgent(mesa.Agent):
    """A reader of news on a network who may repost it.

    Parameters
    ----------
    model : SpreadModel
        The model it lives in.
    index : int
        Its number, 0 to n - 1: its node of the grid and its row in every table.
    profile : Profile
        Its personality.

    Attributes
    ----------
    infected : bool
        Whether it has posted.
    posted_at : int or None
        The step at which it posted; 0 for an initial spreader.
    post : Post or None
        What it posted.
    decision : Decision or None
        What its decider last decided for it, and why; None where it was never asked.
    feed : tuple of Post
        The posts it can see now, oldest first.
    cumulative : int
        Neighbours who have posted so far.
    occasions : int
        Exposure occasions on which it has decided.
    """

    def __init__(self, model: SpreadModel, index: int, profile: Profile) -> None:
        super().__init__(model)
        self.index = index
        self.profile = profile
        self.code = profile.code
        self.infected = False
        self.posted_at: int | None = None
        self.post: Post | None = None
        self.decision: Decision | None = None
        self.feed: tuple[Post, ...] = ()
        self.cumulative = 0
        self.occasions = 0

    @property
    def state(self) -> str:
        """``"infected"`` once it has posted, ``"susceptible"`` before."""
        return "infected" if self.infected else "susceptible"

    def receive(self, post: Post) -> None:
        """See a neighbour's post in the feed."""
        self.feed += (post,)
        self.cumulative += 1

    def look(self, step: int, event: OfflineEvent, direct: bool) -> Exposure:
        """Say what it sees at a step, for the decider."""
        feed = self.feed
        seen = (
            step,
            self.index,
            self.profile,
            event,
            len(feed),
            self.cumulative,
            self.occasions + 1,
            direct,
            feed,
        )
        # Exposure(*seen), in half the time: most of a run's decisions are made of little else.
        return tuple.__new__(Exposure, seen)

    def infect(self, step: int, text: str = "") -> Post:
        """Post: become infected, for good.

        Parameters
        ----------
        step : int
            The step at which it posts.
        text : str
            Its words.

        Returns
        -------
        Post
            What its neighbours will see from the next step on.
        """
        self.infected = True
        self.posted_at = step
        self.post = Post(self.index, step, text)
        return self.post
