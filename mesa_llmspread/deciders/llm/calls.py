"""One structured call to a language model through litellm, dependable and bounded.

A call ends in one of three ways: an answer that follows the schema; a failure of this one
decision, with its kind; or, where no other call would fare better (a wrong key, an unknown
model, nobody at the address), an error that ends the run. Passing trouble is tried again a
bounded number of times.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import re
import time
import warnings
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Protocol

import pydantic
import tenacity

from mesa_llmspread.deciders.llm import loop
from mesa_llmspread.deciders.llm.addresses import answers, public_address
from mesa_llmspread.deciders.llm.completion import read_choice, read_usage
from mesa_llmspread.deciders.llm.draws import token_repost_prob
from mesa_llmspread.deciders.llm.faults import Trouble, diagnose, presentable
from mesa_llmspread.deciders.llm.replies import SCHEMA_VERSION, Answer, Reply
from mesa_llmspread.exceptions import (
    ArgumentError,
    DeciderError,
    MissingKeyError,
    ServerUnreachableError,
)

__all__ = ["Endpoint", "Gate", "key_variables", "load_litellm"]

# Waits between attempts, in seconds: up to 0.5, 1, 2, ... drawn at random, so that calls that
# failed together do not come back together.
_backoff = tenacity.wait_random_exponential(multiplier=0.5, max=30)
_LONGEST_RETRY_AFTER = 60.0
# As many alternatives of a token as the OpenAI protocol gives.
_TOP_LOGPROBS = 20


class Gate(Protocol):
    """What every request passes on its way out and back."""

    async def enter(self, messages: list[dict[str, str]]) -> float:
        """Wait for the turn, and pay in advance the US dollars returned."""

    def leave(self, reserved: float, cost: float | None) -> None:
        """Say what it cost; None where nobody knows."""


@dataclass(frozen=True)
class Endpoint:
    """A model at an address, and how to call it.

    Parameters
    ----------
    model : str
        litellm's name of the model, ``provider/model``.
    api_base : str or None
        Address of its server; None for the provider's own.
    temperature : float
        Sampling temperature.
    max_tokens : int
        Longest answer, in tokens.
    timeout : float
        Longest time of one attempt, in seconds.
    max_attempts : int
        Most attempts of one call.
    form : type of pydantic.BaseModel
        What the model must answer.
    schema : str
        The form's version.
    logprobs : bool
        Whether to have the model say how likely its answer was.
    key_variable : str or None
        Environment variable that holds the key; None for the provider's own.
    """

    model: str
    api_base: str | None
    temperature: float
    max_tokens: int
    timeout: float
    max_attempts: int
    form: type[pydantic.BaseModel] = Answer
    schema: str = SCHEMA_VERSION
    logprobs: bool = False
    key_variable: str | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """What of the call, beside the prompt, decides the answer."""
        extra = {"top_logprobs": _TOP_LOGPROBS} if self.logprobs else {}
        return {"temperature": self.temperature, "max_tokens": self.max_tokens, **extra}

    def check(self) -> None:
        """See that the model can be called, without calling it.

        Raises
        ------
        ArgumentError
            If litellm does not know the model's provider.
        MissingKeyError
            If the provider needs a key and none is set.
        ServerUnreachableError
            If nothing answers at an address that is known.
        """
        _, default = _provider(self.model)
        self._key()
        address = self.api_base or default
        if address is not None and not answers(public_address(address)):
            raise ServerUnreachableError(self.model, self._place())

    async def ask(self, messages: list[dict[str, str]], seed: int, gate: Gate) -> Reply:
        """Call the model, again where that may help.

        Parameters
        ----------
        messages : list of dict
            The prompt.
        seed : int
            Sampling seed, for servers that take one.
        gate : Gate
            What every request passes.

        Returns
        -------
        Reply

        Raises
        ------
        DeciderError
            If no call to this model can succeed, or the gate does not open.
        """
        attempts = 0
        start = time.monotonic()
        try:
            async for attempt in self._retrying():
                with attempt:
                    reserved = await gate.enter(messages)
                    attempts += 1
                    reply = await self._attempt(messages, seed, gate, reserved)
                    return replace(reply, attempts=attempts, latency=time.monotonic() - start)
        except Trouble as met:
            trouble = met
        # Out of the handler, so that no error shows the upstream one behind it.
        if trouble.kind == "fatal":
            raise DeciderError(f"model {self.model!r} at {self._place()}: {trouble.detail}")
        if trouble.kind == "unreachable":
            raise ServerUnreachableError(self.model, self._place())
        return Reply(
            kind=trouble.kind,
            detail=trouble.detail,
            attempts=attempts,
            latency=time.monotonic() - start,
        )

    def _retrying(self) -> tenacity.AsyncRetrying:
        return tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self.max_attempts),
            wait=_wait,
            retry=tenacity.retry_if_exception(
                lambda error: isinstance(error, Trouble) and error.passing
            ),
            reraise=True,
        )

    async def _attempt(
        self, messages: list[dict[str, str]], seed: int, gate: Gate, reserved: float
    ) -> Reply:
        """Send one request; litellm's errors, all of them kinds of openai's, are trouble."""
        import openai

        # Until the answer is there nobody knows whether it will be charged for.
        cost: float | None = None
        try:
            reply = self._read(await loop.with_grace(self._request(messages, seed)))
            cost = reply.usage.cost if reply.usage else None
            return reply
        except (TimeoutError, openai.OpenAIError) as error:
            trouble = diagnose(error)
            cost = None if trouble.kind == "timeout" else 0.0
        finally:
            gate.leave(reserved, cost)
        raise trouble

    async def _request(self, messages: list[dict[str, str]], seed: int) -> Any:
        # litellm's timeout is one of silence: a server that dribbles would outlast it.
        async with asyncio.timeout(self.timeout):
            return await load_litellm().acompletion(
                model=self.model,
                messages=messages,
                response_format=self.form,
                temperature=self.temperature,
                max_tokens=self.max_tokens,
                api_base=self.api_base,
                api_key=self._key(),
                timeout=self.timeout,
                num_retries=0,
                max_retries=0,
                **({"seed": seed} if self._takes_seed else {}),
                **({"logprobs": True, "top_logprobs": _TOP_LOGPROBS} if self.logprobs else {}),
            )

    def count_tokens(self, messages: list[dict[str, str]]) -> int:
        """About how many tokens a prompt has.

        Parameters
        ----------
        messages : list of dict
            The prompt.

        Returns
        -------
        int
            Counted with OpenAI's cl100k vocabulary, which is at hand without a network; other
            models' counts differ by some ten per cent.
        """
        return int(load_litellm().token_counter(model="gpt-3.5-turbo", messages=messages))

    def price(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Price of a call.

        Parameters
        ----------
        prompt_tokens, completion_tokens : int
            Its tokens.

        Returns
        -------
        float or None
            US dollars; None where litellm knows no price.
        """
        litellm = load_litellm()
        try:
            prices = litellm.cost_per_token(
                model=self.model,
                prompt_tokens=prompt_tokens,
                completion_tokens=completion_tokens,
            )
        except Exception:  # which kind it raises for an unknown model depends on its version
            return None
        return float(sum(prices))

    def _key(self) -> str | None:
        """Find the key, or None where litellm does; never kept, as an endpoint may be pickled."""
        if self.key_variable is None:
            return self._stand_in_key
        if not (key := os.environ.get(self.key_variable)):
            raise MissingKeyError(self.model, [self.key_variable])
        return key

    @functools.cached_property
    def _stand_in_key(self) -> str | None:
        """The key for a server that needs none; None where litellm finds the real one."""
        missing = _missing_keys(self.model, self.api_base)
        if missing == ["OPENAI_API_KEY"] and self.api_base is not None:
            return "not-needed"
        if missing:
            raise MissingKeyError(self.model, missing)
        return None

    @functools.cached_property
    def _takes_seed(self) -> bool:
        return "seed" in (load_litellm().get_supported_openai_params(model=self.model) or ())

    def _read(self, response: Any) -> Reply:
        """Take a completion for what it says; whatever is not an answer is a failure."""
        usage, choice = read_usage(response), read_choice(response)
        if choice is None:
            return Reply(kind="malformed", detail="no choices", usage=usage, finish_reason="")
        reply = functools.partial(
            Reply, usage=usage, finish_reason=presentable(choice.finish_reason)
        )
        if choice.refusal:
            return reply(kind="refusal", detail=presentable(choice.refusal))
        if choice.finish_reason == "content_filter":
            return reply(kind="refusal", detail="content filter")
        if choice.finish_reason == "length":
            return reply(kind="truncated", detail="the answer reached max_tokens")
        if not choice.content:
            return reply(kind="malformed", detail="empty answer")
        try:
            answer = self.form.model_validate_json(choice.content)
        except pydantic.ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = "".join(f"{part}: " for part in first["loc"])
            return reply(kind="malformed", detail=presentable(where + first["msg"]))
        if not self.logprobs:
            return reply(answer=answer)
        if not choice.tokens:
            raise Trouble("fatal", "gives no log-probabilities; use sampling='independent'")
        chance = token_repost_prob(choice.tokens)
        if chance is None:
            return reply(kind="malformed", detail="neither true nor false among the likely tokens")
        return reply(answer=answer, repost_prob=chance)

    def _place(self) -> str:
        """Name the address, as an error may show it."""
        provider, default = _provider(self.model)
        address = self.api_base or default
        return public_address(address) if address else f"{provider}'s own address"


def key_variables(model: str, api_base: str | None = None) -> dict[str, bool]:
    """Name the environment variables that a model's key is read from.

    Parameters
    ----------
    model : str
        litellm's name of the model, ``provider/model``.
    api_base : str, optional
        Address of its server; the provider's own if not given.

    Returns
    -------
    dict of str to bool
        Whether each is set. Empty where no key is needed, or where all that is needed is
        there under names that do not begin with the provider's.

    Raises
    ------
    ArgumentError
        If litellm does not know the model's provider.
    """
    missing = _missing_keys(model, api_base)
    if missing == ["OPENAI_API_KEY"] and api_base is not None:
        return {}
    if missing:
        return dict.fromkeys(missing, False)
    # litellm names what is missing only; what it has found it calls after the provider.
    own = re.compile(rf"{re.escape(_provider(model)[0])}_(?:\w+_)?(?:KEY|TOKEN)", re.IGNORECASE)
    return {name: True for name in sorted(os.environ) if own.fullmatch(name) and os.environ[name]}


def _missing_keys(model: str, api_base: str | None) -> list[str]:
    """Name the environment variables that a model needs and that are not set."""
    provider, default = _provider(model)
    if provider == "openai":
        # Not left to litellm, which takes an empty key for one.
        return [] if os.environ.get("OPENAI_API_KEY") else ["OPENAI_API_KEY"]
    missing = load_litellm().validate_environment(model)["missing_keys"]
    if api_base is not None or default is not None:
        missing = [name for name in missing if not name.endswith("_API_BASE")]
    return list(missing)


@functools.cache
def load_litellm() -> ModuleType:
    """Import litellm when it is first needed: seconds of CPU, and it acts on the environment.

    Returns
    -------
    module
        litellm, set up.
    """
    # Without these it fetches a price list and loads .env from the working directory.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    import litellm

    litellm.suppress_debug_info = True
    with warnings.catch_warnings():
        # Its types are built when first used, and pydantic warns of one that is none of ours.
        warnings.simplefilter("ignore")
        litellm.ModelResponse()
    module: ModuleType = litellm
    loop.at_close(module.close_litellm_async_clients)
    if not gc.get_freeze_count():
        # Once: what the import leaves behind lives as long as the process, and a call makes so
        # many objects that the collector would look all of it through every few calls.
        gc.collect()
        gc.freeze()
    return module


def _provider(model: str) -> tuple[str, str | None]:
    """Find a model's provider, and its default address where litellm knows one."""
    litellm = load_litellm()
    try:
        _, provider, _, address = litellm.get_llm_provider(model)
    except litellm.BadRequestError:
        raise ArgumentError(
            "model", model, "be provider/model with a provider litellm knows, as in 'openai/gpt-4o'"
        ) from None
    return provider, address


def _wait(state: tenacity.RetryCallState) -> float:
    """Wait as long as the server asks, within reason, else longer and longer."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, Trouble) and error.retry_after is not None:
        return min(error.retry_after, _LONGEST_RETRY_AFTER)
    return _backoff(state)
