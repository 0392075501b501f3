"""A designed experiment on a language model: P(repost) for every profile, event and occasion."""

from __future__ import annotations

import copy
import datetime
import itertools
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import beta
from tqdm import tqdm

from mesa_llmspread._validation import check_kind, checked_int
from mesa_llmspread.data.run_info import package_versions
from mesa_llmspread.deciders.base import Exposure
from mesa_llmspread.deciders.llm.call import AnswerAlone, Call
from mesa_llmspread.deciders.llm.caller import Caller
from mesa_llmspread.deciders.llm.cost_estimate import CostEstimate, price_of
from mesa_llmspread.deciders.llm.decider import LLMDecider
from mesa_llmspread.deciders.llm.pooling import repost_chance
from mesa_llmspread.deciders.llm.prompts import Messages, build_messages
from mesa_llmspread.events import OfflineEvent, as_event, bundled_events
from mesa_llmspread.exceptions import ArgumentError, NoLogprobsError
from mesa_llmspread.profiles import Profile, all_profiles
from mesa_llmspread.tables import ResponseTable
from mesa_llmspread.tables.response_table import COLUMNS

__all__ = ["Experiment", "measure"]

#: Draws per cell where a server returns no log-probabilities.
DRAWS = 20
# Calls between two moves of the progress bar, per place for a call.
_CALLS_PER_PLACE = 2


def measure(
    decider: LLMDecider,
    profiles: Iterable[Profile | str] | None = None,
    events: Iterable[OfflineEvent | str] | None = None,
    contacts: Iterable[int] = (0, 1, 2, 4, 8),
    exposure_counts: Iterable[int] = (1, 2, 4),
    draws: int | None = None,
    rng: int = 0,
    progress: bool | None = None,
    words: bool = False,
) -> ResponseTable:
    """Measure how a language model responds: P(repost) on profile x event x occasion.

    Parameters
    ----------
    decider : LLMDecider
        The model, its template, store and limits.
    profiles : iterable of Profile or str, optional
        Binary profiles or their codes; all 32 if not given.
    events : iterable of OfflineEvent or str, optional
        Events, or names of bundled ones; all bundled events if not given.
    contacts : iterable of int, default (0, 1, 2, 4, 8)
        Neighbours whose posts are in the feed; 0: the agent sees the event in the media.
    exposure_counts : iterable of int, default (1, 2, 4)
        1: the agent sees the news for the first time; 2: for the second time; ...
    draws : int, optional
        Answers per cell. By default one call per cell, which reports the model's own P(repost) by
        log-probabilities at temperature 1; and 20 answers where a server reports none, or the
        decider has another temperature.
    rng : int, default 0
        Seed of the calls; the same seed, decider and store never ask again.
    progress : bool, optional
        Whether to show a progress bar; on a terminal if not given.
    words : bool, default False
        Whether the prompt asks for a post and a reason too, as in runs in which agents read each
        other's words. The decision comes first, and is all that is read.

    Returns
    -------
    ResponseTable
        Cells whose every call failed are missing; ``info["failed"]`` counts failed calls.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an argument is out of its range or of the wrong kind.
    DeciderError
        If the model cannot be called, too many calls fail, or the budget is used up. What was
        answered is in the store: the same call of this function goes on from there.

    Examples
    --------
    >>> from mesa_llmspread import LLMDecider
    >>> model = LLMDecider("openai/gpt-4o-mini", max_cost_usd=1)
    >>> table = measure(model, ["OCEAN"], ["riots-40"], contacts=(1, 4))  # doctest: +SKIP
    """
    experiment = Experiment(decider, profiles, events, contacts, exposure_counts, draws, rng, words)
    return experiment.run(progress)


class Experiment:
    """What :func:`measure` will ask; the parameters are those of that function.

    Attributes
    ----------
    exposures : list of Exposure
        One per cell, in the order (event, profile, occasion), so that a server keeps what
        prompts have in common.
    draws : int or None
        Answers per cell; None: by log-probabilities, if the server returns them.
    may_draw : bool
        Whether there are 20 answers per cell if it does not.
    """

    def __init__(
        self,
        decider: LLMDecider,
        profiles: Iterable[Profile | str] | None,
        events: Iterable[OfflineEvent | str] | None,
        contacts: Iterable[int],
        exposure_counts: Iterable[int],
        draws: int | None = None,
        rng: int = 0,
        words: bool = False,
    ) -> None:
        check_kind("decider", decider, LLMDecider, "an LLMDecider")
        if draws is not None:
            checked_int("draws", draws, least=1)
        who = all_profiles() if profiles is None else [_as_profile(one) for one in profiles]
        what = bundled_events() if events is None else [as_event(one) for one in events]
        seen = _distinct("contacts", [checked_int("contacts", m, least=0) for m in contacts])
        counts = _distinct(
            "exposure_counts", [checked_int("exposure_counts", c, least=1) for c in exposure_counts]
        )
        _distinct("profiles", who)
        _distinct("events", [event.event_id for event in what])
        self.exposures = [
            Exposure(
                step=count,
                agent=0,
                profile=profile,
                event=event,
                contacts=m,
                cumulative=m,
                exposure_count=count,
                direct=not m,
            )
            for event, profile, m, count in itertools.product(what, who, seen, counts)
        ]
        if draws is None and decider.client.temperature != 1:
            draws = DRAWS
        self.decider, self.draws, self.words = decider, draws, words
        self.may_draw = draws is None and decider.client.local is None
        self.rng = checked_int("rng", rng, least=0)

    def estimate(self) -> CostEstimate:
        """Return what the experiment will take, without asking the model.

        Returns
        -------
        CostEstimate
            At most: as if the last call showed that the server returns no log-probabilities.
        """
        cells = len(self.exposures)
        calls = cells * (self.draws or 1)
        asking = self._asking(self.draws)
        shown = [self._prompt(seen) for seen in (self.exposures[0], self.exposures[-1])]
        return price_of(asking.client, calls, calls + self.may_draw * DRAWS * cells, shown)

    def run(self, progress: bool | None = None) -> ResponseTable:
        """Ask the model, and return the table; see :func:`measure`."""
        draws = self.draws
        try:
            rows, caller = self._ask(draws, progress)
        except NoLogprobsError:
            draws = DRAWS
            rows, caller = self._ask(draws, progress)
        events = list({seen.event.event_id: seen.event for seen in self.exposures}.values())
        frame = pd.DataFrame(rows, columns=COLUMNS)
        return ResponseTable(frame, events, self._info(draws, caller))

    def _prompt(self, exposure: Exposure) -> Messages:
        return build_messages(exposure, self.decider.template, self.words)

    def _asking(self, draws: int | None) -> LLMDecider:
        """Return the decider, asking for a decision alone, and for its probability or not."""
        asking, caller = copy.copy(self.decider), self.decider.caller
        client = replace(caller.client, form=AnswerAlone, logprobs=draws is None)
        secret = np.random.default_rng(self.rng).bytes(16)
        asking.caller = caller.for_run(secret, client=client)
        return asking

    def _ask(self, draws: int | None, progress: bool | None) -> tuple[list[Any], Caller]:
        """Return one row of the table per cell that was answered."""
        asking, rows = self._asking(draws), []
        caller = asking.caller
        number = draws or 1
        cells = max(1, _CALLS_PER_PLACE * caller.limits.max_concurrency // number)
        disable = None if progress is None else not progress
        with tqdm(
            total=len(self.exposures) * number, desc="measure", unit="call", disable=disable,
            file=sys.stderr,
        ) as bar:  # fmt: skip
            for start in range(0, len(self.exposures), cells):
                part = self.exposures[start : start + cells]
                calls = [
                    asking.call(seen, self._prompt(seen), f"measure:{draw}")
                    for seen in part
                    for draw in range(number)
                ]
                with caller.step(len(calls), calls):
                    answered = caller.ask(calls)
                bar.update(len(calls))
                for i, seen in enumerate(part):
                    chance = _interval(answered[i * number : (i + 1) * number])
                    if chance is not None:
                        rows.append((*_cell(seen), *chance))
        return rows, caller

    def _info(self, draws: int | None, caller: Caller) -> dict[str, Any]:
        client, template, decided = caller.client, self.decider.template, caller.usage.decided
        return {
            "model": client.model,
            **({"file": client.local.path.name, "sha256": client.local.digest}
               if client.local and client.local.context else {}),
            "template": template.name,
            "template_version": template.version,
            "template_hash": template.hash,
            **({"words": True} if self.words else {}),
            "sampling": "logprobs" if draws is None else f"{draws} draws",
            "temperature": client.temperature,
            "rng": self.rng,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "calls": decided.number.total(),
            "failed": dict(decided.failed),
            "versions": package_versions(),
        }  # fmt: skip


def _as_profile(profile: Profile | str) -> Profile:
    """Return the binary profile that a code stands for."""
    found = Profile.from_code(profile) if isinstance(profile, str) else profile
    check_kind("profiles", found, Profile, "profiles or codes such as 'OceAn'")
    if found not in all_profiles():
        raise ArgumentError("profiles", found, "be binary profiles, as in all_profiles()")
    return found


def _distinct(name: str, values: Sequence[Any]) -> Sequence[Any]:
    """Raise unless there are values, and no two alike."""
    if not values or len(set(values)) != len(values):
        raise ArgumentError(name, values, "hold at least one value, and none twice")
    return values


def _cell(seen: Exposure) -> tuple[Any, ...]:
    return (
        seen.profile.code, seen.event.event_id, seen.direct, seen.contacts, seen.exposure_count,
    )  # fmt: skip


def _interval(calls: Sequence[Call]) -> tuple[float, float, float] | None:
    """Return P(repost) and its 95 % interval (Jeffreys); None if every call failed."""
    chance = repost_chance(calls)
    if chance is None:
        return None
    if calls[0].repost_prob is not None:
        return chance, chance, chance
    number = sum(call.answer is not None for call in calls) + 1
    low, high = (float(beta.ppf(x, chance * number, (1 - chance) * number)) for x in (0.025, 0.975))
    return chance, low, high
