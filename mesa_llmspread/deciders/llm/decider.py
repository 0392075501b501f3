"""Language models as deciders: any model litellm can call, one structured call a decision.

The same seed gives the same prompts and, from servers that honour a sampling seed, the same
answers; the order and latency of replies never matter. With a store, every call is kept: a
run that was killed goes on from there, and a finished one can be replayed without a model.
A refusal or an error is a failed decision and never a declined one, and a run with too many
of them ends with an error.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mesa_llmspread.deciders.arguments import (
    amount,
    kept_where,
    number,
    optional,
    pace,
    variable,
    whole,
)
from mesa_llmspread.deciders.base import Decider, Decision, Exposure, Outcome
from mesa_llmspread.deciders.llm import loop
from mesa_llmspread.deciders.llm.addresses import public_address
from mesa_llmspread.deciders.llm.asking import Asker, Mode, Place, Question, fingerprint
from mesa_llmspread.deciders.llm.calls import Endpoint
from mesa_llmspread.deciders.llm.draws import Drawn, Pool
from mesa_llmspread.deciders.llm.limits import Budget, MemoryLedger
from mesa_llmspread.deciders.llm.prompts import NO_MARKER, SHOWN_MARKER, build_messages
from mesa_llmspread.deciders.llm.replies import SCHEMA_VERSION, Answer, Reply
from mesa_llmspread.deciders.llm.store import DecisionStore
from mesa_llmspread.deciders.llm.tally import Tally
from mesa_llmspread.deciders.llm.template import PromptTemplate, as_template
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    BudgetExceededError,
    DeciderError,
    TooManyFailuresError,
    UnknownNameError,
)

if TYPE_CHECKING:
    from mesa_llmspread.deciders.llm.estimate import Estimate

__all__ = ["FEED_DETAILS", "SAMPLINGS", "LLMDecider"]

SAMPLINGS = ("independent", "pooled", "logprobs")
FEED_DETAILS = ("posts", "counts")

# A share of failures is taken of at least this many decisions, so that one unlucky answer
# at the start of a run does not end it.
_FEWEST = 20


class LLMDecider(Decider):
    """A language model in the role of every agent.

    Parameters
    ----------
    model : str
        litellm's name of the model, ``provider/model``: ``"openai/gpt-4o-mini"``,
        ``"anthropic/claude-..."``, ``"ollama/llama3.1"``. For a local server that speaks the
        OpenAI protocol, ``"openai/"`` and the name it gives the model, with ``api_base``.
        The key is taken from the environment variable litellm documents for the provider.
    api_base : str, optional
        Address of the server; by default the provider's own. A server at an ``openai/``
        model's ``api_base`` needs no key.
    temperature : float, default 1.0
        Sampling temperature, 0 to 2.
    max_concurrency : int, default 32
        Most calls under way at one time, over all runs that share this decider.
    timeout : float, default 60
        Longest time of one attempt, in seconds.
    max_attempts : int, default 5
        Most attempts of one call. Rate limits, timeouts and server errors are tried again,
        after the time the server asks for or longer and longer ones; bad requests, refusals
        and malformed answers are not.
    max_failed : float, default 0.05
        Largest share of failed decisions in a run, counted over at least 20 decisions.
    max_tokens : int, default 512
        Longest answer, in tokens.
    store : DecisionStore or path-like, optional
        Where every call is kept; a path is that of a store without prompts.
    mode : {"live", "record", "replay"}, optional
        ``"live"``, the default without a store: every decision is a call. ``"record"``, the
        default with one: what the store knows is not asked again. ``"replay"``: nothing is
        asked; needs no key and no network.
    requests_per_minute, tokens_per_minute : float, optional
        Most requests, and tokens of prompts and longest answers, sent in a minute by one
        process; calls wait for their turn.
    max_calls : int, optional
        Most requests, repeated ones included; the run ends before the next one.
    max_cost_usd : float, optional
        Most US dollars at litellm's prices; the run ends before a call that could pass it.
        Both count all that was ever asked for the store, by any process; without a store,
        all that this process asked of this decider.
    sampling : {"independent", "pooled", "logprobs"}, default "independent"
        ``"independent"``: one call a decision. ``"pooled"``: at most ``draws`` calls for the
        same prompt in a run; further decisions on it are drawn with the chance these give
        (see :func:`mesa_llmspread.deciders.llm.draws.repost_chance`). ``"logprobs"``: one call
        for the same prompt, which gives P(repost) at temperature 1; every decision is drawn
        with it.
    draws : int, default 20
        Most calls for the same prompt with ``sampling="pooled"``.
    feed_detail : {"posts", "counts"}, default "posts"
        Whether a prompt quotes the posts in view, or only says how many there are. Prompts
        are seldom the same with ``"posts"``, and often with ``"counts"``.
    template : str, path-like or PromptTemplate, default "standard"
        The words of the prompts: ``"standard"``, ``"paraphrase"``, ``"decline_first"``,
        ``"no_persona"``, or a TOML file with others.
    key_variable : str, optional
        Name of the environment variable that holds the key, where it is not the provider's
        own. It is read when a call is made, and its value is kept nowhere.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an argument is out of its range or of the wrong kind.
    InputFileError
        If a file does not hold a template.

    Notes
    -----
    A failed decision's ``reason`` starts with its kind: ``refusal``, ``truncated``,
    ``malformed``, ``bad_request``, ``timeout``, ``rate_limit`` or ``server``. A wrong key, an
    unknown model or an unreachable server ends the run at once.

    A run is resumed by running it again with the same seed, settings and store: it comes to
    the same result, and pays only for what was under way when it ended. Failed decisions are
    resumed as failed, since later ones may rest on them; only those of a step that was
    ended by :class:`TooManyFailuresError`, and so used by nobody, are asked again where the
    trouble was a passing one (``timeout``, ``rate_limit``, ``server``).

    Examples
    --------
    >>> decider = LLMDecider("openai/tiny", api_base="http://127.0.0.1:8080/v1")
    >>> decider.manifest()["model"]
    'openai/tiny'
    """

    name = "llm"

    def __init__(
        self,
        model: str,
        api_base: str | None = None,
        temperature: float = 1.0,
        max_concurrency: int = 32,
        timeout: float = 60.0,
        max_attempts: int = 5,
        max_failed: float = 0.05,
        max_tokens: int = 512,
        store: DecisionStore | str | os.PathLike[str] | None = None,
        mode: Mode | None = None,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        max_calls: int | None = None,
        max_cost_usd: float | None = None,
        sampling: str = "independent",
        draws: int = 20,
        feed_detail: str = "posts",
        template: PromptTemplate | str | os.PathLike[str] = "standard",
        key_variable: str | None = None,
    ) -> None:
        if not isinstance(model, str):
            raise ArgumentTypeError("model", model, "a str such as 'openai/gpt-4o-mini'")
        if not model.strip():
            raise ArgumentError("model", model, "be a name such as 'openai/gpt-4o-mini'")
        if api_base is not None:
            if not isinstance(api_base, str):
                raise ArgumentTypeError("api_base", api_base, "a str or None")
            public_address(api_base)
        endpoint = Endpoint(
            model=model,
            api_base=api_base,
            temperature=number("temperature", temperature, 0, 2),
            max_tokens=whole("max_tokens", max_tokens),
            timeout=number("timeout", timeout, 1e-3, math.inf),
            max_attempts=whole("max_attempts", max_attempts),
            logprobs=sampling == "logprobs",
            key_variable=optional(variable, "key_variable", key_variable),
        )
        if sampling not in SAMPLINGS:
            raise UnknownNameError("sampling", sampling, SAMPLINGS)
        if feed_detail not in FEED_DETAILS:
            raise UnknownNameError("feed_detail", feed_detail, FEED_DETAILS)
        if sampling == "logprobs" and endpoint.temperature != 1:
            raise ArgumentError("temperature", temperature, "be 1 with sampling='logprobs'")
        self.sampling, self.feed_detail = sampling, feed_detail
        self.draws = whole("draws", draws)
        self.template = as_template(template)
        store, mode = kept_where(store, mode)
        self.asker = Asker(
            endpoint,
            mode,
            store,
            Budget(
                store or MemoryLedger(),
                optional(whole, "max_calls", max_calls),
                optional(amount, "max_cost_usd", max_cost_usd),
            ),
            pace("requests_per_minute", requests_per_minute),
            pace("tokens_per_minute", tokens_per_minute),
        )
        self.max_failed = number("max_failed", max_failed, 0, 1)
        self.slots = loop.Slots(whole("max_concurrency", max_concurrency))
        self._checked = False
        self._secret = b""
        self._tally = Tally()
        self._pool = self._new_pool()

    @property
    def endpoint(self) -> Endpoint:
        """The model, and how it is called."""
        return self.asker.endpoint

    def messages(self, exposure: Exposure) -> list[dict[str, str]]:
        """Show what the model is told, but for the marker, which no one can know.

        Parameters
        ----------
        exposure : Exposure

        Returns
        -------
        list of dict
            A system and a user message.
        """
        return self._words(exposure)(SHOWN_MARKER)

    def estimate(self, n: int, steps: int, **assumptions: Any) -> Estimate:
        """Estimate what a run will take; see :func:`mesa_llmspread.deciders.llm.estimate.estimate`.

        Parameters
        ----------
        n, steps : int
            Number of agents and of steps.
        **assumptions
            ``k``, ``profiles``, ``chance``, ``event``.

        Returns
        -------
        Estimate
        """
        from mesa_llmspread.deciders.llm.estimate import estimate

        return estimate(self, n, steps, **assumptions)

    def check(self) -> None:
        """See that the model can be called, without calling it.

        Also done before the first call of a run.

        Raises
        ------
        ArgumentError
            If litellm does not know the model's provider, or the price of a model whose cost
            is limited; or if there is no store to replay.
        MissingKeyError
            If the provider needs a key and none is set.
        ServerUnreachableError
            If nothing answers at the address.
        """
        self.asker.check()
        self._checked = True

    def __getstate__(self) -> dict[str, Any]:
        # Another process has another environment, and a copy another moment.
        return {**self.__dict__, "_checked": False}

    def for_run(self, n: int, rng: np.random.Generator) -> LLMDecider:
        """Give a decider with counts of its own and the run's secret, on the same slots.

        Parameters
        ----------
        n : int
            Number of agents; not used.
        rng : numpy.random.Generator
            The secret that brackets quoted posts is drawn from it.

        Returns
        -------
        LLMDecider
        """
        run = copy.copy(self)
        run._secret = rng.bytes(16)
        run._tally = Tally()
        run._pool = self._new_pool()
        return run

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        """Ask the model once for each exposure, many at a time.

        Parameters
        ----------
        exposures : sequence of Exposure
            Ordered by agent.
        rng : numpy.random.Generator
            The step's stream; used only where there was no :meth:`for_run`.

        Returns
        -------
        list of Decision
            In the order of the exposures.

        Raises
        ------
        TooManyFailuresError
            If more than ``max_failed`` of the run's decisions failed; as soon as that is
            certain, so that no further calls are paid for.
        BudgetExceededError
            If the next call could pass ``max_calls`` or ``max_cost_usd``.
        ReplayMissError
            If a decision to be replayed is not in the store.
        DeciderError
            If the key is missing or wrong, the model is unknown, or no server answers.
        """
        if not self._checked:
            self.check()
        if not self._secret:
            self._secret = rng.bytes(16)
        before = self._tally.decisions()
        allowed = self.max_failed * max(before.decided + len(exposures), _FEWEST)
        questions: list[Question | None] = []
        try:
            if self._pool is None:
                questions += [
                    self._question(seen, f"{seen.step}:{seen.agent}") for seen in exposures
                ]
                return [drawn.decision for drawn in self._answers(questions, allowed) if drawn]
            prompts = [fingerprint(self._words(seen)(NO_MARKER)) for seen in exposures]
            questions += [
                None if draw is None else self._question(seen, f"pool:{draw}")
                for seen, draw in zip(exposures, self._pool.plan(prompts), strict=True)
            ]
            fresh = self._answers(questions, allowed)
            decisions = self._pool.answer(exposures, prompts, fresh, rng)
            for seen, decision, drawn in zip(exposures, decisions, fresh, strict=True):
                if drawn is None or not self._pool.direct:
                    self._tally.decide(decision, seen.profile.code)
            self._stop_beyond(allowed)
            self._pool.learn(prompts, fresh)
            return decisions
        except BaseException as error:
            # None of the step's decisions is used, so the step can be asked again.
            self._tally.forget_decisions(before)
            if isinstance(error, DeciderError):
                error.add_note(self.asker.how_to_resume())
            if isinstance(error, TooManyFailuresError):
                again = self.asker.let_ask_again([question for question in questions if question])
                self._tally.count_again(again)
            raise

    def _new_pool(self) -> Pool | None:
        if self.sampling == "independent":
            return None
        direct = self.sampling == "pooled"
        return Pool(self.draws if direct else 1, direct)

    def _words(self, seen: Exposure) -> Callable[[str], list[dict[str, str]]]:
        """Have the prompt ready for a marker."""
        if self.feed_detail == "counts":
            seen = seen._replace(posts=())
        return partial(build_messages, seen, template=self.template)

    def _question(self, seen: Exposure, draw: str) -> Question:
        place = Place(seen.step, seen.agent, seen.profile.code, seen.event.event_id)
        return self.asker.question(place, draw, self._secret, self._words(seen))

    def _answers(self, questions: Sequence[Question | None], allowed: float) -> list[Drawn | None]:
        """Get the answers to a step's questions, many at a time."""
        asked = [question for question in questions if question is not None]
        answers = iter(loop.run(loop.together(self._answer(q, allowed) for q in asked)))
        drawn = [None if question is None else next(answers) for question in questions]
        for answer in drawn:
            if isinstance(answer, BudgetExceededError):
                raise answer
        return cast("list[Drawn | None]", drawn)

    async def _answer(self, question: Question, allowed: float) -> Drawn | BudgetExceededError:
        """Get one answer, unless that makes more failures than the batch may have."""
        reply = self.asker.look_up(question)
        if reply is None:
            async with self.slots.free():
                # Before the call too: a place may come free just as another ends the run.
                self._stop_beyond(allowed)
                try:
                    reply = await self.asker.ask(question)
                except BudgetExceededError as error:
                    # Not raised here: the calls under way are paid for and shall come back.
                    return error
        decision = _decision(reply, question.key)
        kept = self.asker.store is not None
        self._tally.add(reply, question.place.profile, question.key if kept else None)
        if self._pool is None or self._pool.direct:
            self._tally.decide(decision, question.place.profile)
            self._stop_beyond(allowed)
        return Drawn(decision, reply.repost_prob)

    def _stop_beyond(self, allowed: float) -> None:
        """End the run where more decisions failed than it may have, rounding aside."""
        tally = self._tally
        if (failed := tally.failed.total()) > allowed + 1e-9:
            raise TooManyFailuresError(failed, tally.decided, self.max_failed, tally.reasons())

    def manifest(self) -> Mapping[str, Any]:
        """Say what was asked of which model, and what came of it, as plain values.

        Returns
        -------
        dict
            ``tokens`` and ``cost_usd`` are those of completions that came back, and None
            where a server did not count or litellm knows no price.
        """
        endpoint = self.asker.endpoint
        address = endpoint.api_base
        return {
            "decider": self.name,
            "model": endpoint.model,
            "api_base": None if address is None else public_address(address),
            **({"key_variable": endpoint.key_variable} if endpoint.key_variable else {}),
            **endpoint.parameters,
            "sampling": self.sampling,
            **({"draws": self.draws} if self.sampling == "pooled" else {}),
            "feed_detail": self.feed_detail,
            "template": self.template.name,
            "template_version": self.template.version,
            "template_hash": self.template.hash,
            "schema": SCHEMA_VERSION,
            **self._tally.manifest(),
        }


def _decision(reply: Reply, key: str) -> Decision:
    """Turn a reply into a decision; who declines posts nothing, whatever it wrote."""
    if not isinstance(reply.answer, Answer):
        return Decision(Outcome.FAILED, reason=f"{reply.kind}: {reply.detail}", key=key)
    if reply.answer.repost:
        return Decision(Outcome.REPOST, reply.answer.post, reply.answer.reason, key)
    return Decision(Outcome.DECLINE, reason=reply.answer.reason, key=key)
