"""An agent: a personality, a feed, and whether it has posted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import mesa

from mesa_llmspread.deciders.base import Decision, Exposure, Outcome, Post
from mesa_llmspread.events import OfflineEvent
from mesa_llmspread.profiles import Profile

if TYPE_CHECKING:
    from mesa_llmspread.model import SpreadModel

__all__ = ["SpreadAgent"]

# Members of an enumeration are looked up slowly, and these once per decision.
_REPOST, _FAILED = Outcome.REPOST, Outcome.FAILED


class SpreadAgent(mesa.Agent):
    """A reader of news on a network who may repost it.

    An agent of your own is a subclass, given to the model as ``agent_class``, that changes what
    it sees (:meth:`visible_posts`, :meth:`observe`) or what it does with a decision
    (:meth:`act`).

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
        The last decision of its decider; None before the first.
    feed : tuple of Post
        The posts in its feed now, oldest first.
    cumulative : int
        Neighbours who have posted so far.
    occasions : int
        Exposure occasions on which it has decided.

    Examples
    --------
    >>> from mesa_llmspread import SpreadModel
    >>> class HalfBlind(SpreadAgent):
    ...     def visible_posts(self, event):
    ...         return super().visible_posts(event)[::2]
    >>> model = SpreadModel(decider="SI(1.0)", agent_class=HalfBlind, rng=1).run(3)
    >>> int(model.datacollector.get_table_dataframe("exposures")["contacts"].max())
    4
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
        self.pos: int | None = index

    @property
    def state(self) -> str:
        """``"infected"`` once it has posted, ``"susceptible"`` before."""
        return "infected" if self.infected else "susceptible"

    def visible_posts(self, event: OfflineEvent) -> Sequence[Post]:
        """Return the posts about an event that it sees now, oldest first: its whole feed."""
        return self.feed

    def observe(self, event: OfflineEvent) -> Exposure | None:
        """Return what it sees of an event at the coming step, for its decider.

        Parameters
        ----------
        event : OfflineEvent

        Returns
        -------
        Exposure or None
            None if it has posted already or sees nothing: then it is not asked.
        """
        if self.infected or self.pos is None:
            return None
        model = self.model
        posts = self.visible_posts(event)
        direct = self.index in model.direct
        if not posts and not direct:
            return None
        seen = (
            model.clock + 1,
            self.index,
            self.profile,
            event,
            len(posts),
            self.cumulative,
            self.occasions + 1,
            direct,
            tuple(posts),
            model.weights(model.clock + 1, posts) if model.visibility.ages else None,
            model.weights.news(model.clock + 1) if model.visibility.ages else 1.0,
        )
        # Exposure(*seen), in half the time: most of a run's decisions are made of little else.
        return tuple.__new__(Exposure, seen)

    def act(self, decision: Decision) -> None:
        """Apply a decision: post, or not.

        Parameters
        ----------
        decision : Decision
        """
        self.decision = decision
        # A decision that failed is no occasion: the next one is asked as this one was.
        if decision.outcome is not _FAILED:
            self.occasions += 1
        if decision.outcome is _REPOST:
            self.infect(decision.post)

    def receive(self, post: Post) -> None:
        """Add a neighbour's post to the feed.

        Parameters
        ----------
        post : Post
        """
        if not self.infected and self.pos is not None:
            self.feed += (post,)
            self.cumulative += 1
            self.model.in_reach.add(self.index)

    def hide(self, latest: int) -> None:
        """Remove the posts made until a step from the feed.

        Parameters
        ----------
        latest : int
        """
        if self.feed and self.feed[0].step <= latest:
            self.feed = tuple(post for post in self.feed if post.step > latest)
            if not self.feed:
                self.model.in_reach.discard(self.index)

    def infect(self, text: str = "") -> None:
        """Post: become infected, for good; the neighbours see it from the next step on.

        Parameters
        ----------
        text : str
            The text of the post.
        """
        if self.infected:
            return
        model = self.model
        self.infected = True
        self.posted_at = model.clock
        self.post = Post(self.index, model.clock, text)
        model.infected += 1
        model.susceptible -= 1
        model.in_reach.discard(self.index)
        for node in model.neighbours(self.index):
            model.spreaders[node].receive(self.post)

    def remove(self) -> None:
        """Leave the model; what it has posted stays in the feeds of others."""
        if self.infected:
            self.model.infected -= 1
        else:
            self.model.susceptible -= 1
        self.model.in_reach.discard(self.index)
        self.model.grid.remove_agent(self)
        super().remove()
