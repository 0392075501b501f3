"""One structured request to a language model through litellm.

A request ends in one of three ways: an answer that follows the form; a failure of this one
decision, with its kind; or, if no other call would do better (a wrong key, an unknown model,
no server at the address), an error that ends the run. A fault that may pass is tried again a
bounded number of times.
"""

from __future__ import annotations

import asyncio
import functools
import os
import re
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import pydantic
import tenacity

from mesa_llmspread.deciders.base import Outcome
from mesa_llmspread.deciders.llm import event_loop
from mesa_llmspread.deciders.llm.addresses import answers, public_address
from mesa_llmspread.deciders.llm.call import ANSWER_VERSION, Answer, Call
from mesa_llmspread.deciders.llm.faults import FailureKind, Fault, diagnose, presentable
from mesa_llmspread.deciders.llm.pooling import token_repost_prob
from mesa_llmspread.deciders.llm.prompts import Messages
from mesa_llmspread.exceptions import (
    ArgumentError,
    DeciderError,
    MissingKeyError,
    ServerUnreachableError,
)

__all__ = ["Client", "key_variables", "load_litellm"]

# Waits between attempts, in seconds: up to 0.5, 1, 2, ... drawn at random, so that calls that
# failed together do not come back together.
_backoff = tenacity.wait_random_exponential(multiplier=0.5, max=30)
_LONGEST_RETRY_AFTER = 60.0
# How long a cancelled request may go on.
_GRACE_SECONDS = 0.5
# As many alternatives of a token as the OpenAI protocol allows.
_TOP_LOGPROBS = 20


@dataclass(frozen=True)
class Client:
    """A model at an address, and how it is called.

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
    logprobs : bool
        Whether to ask for the probability of the answer.
    key_variable : str or None
        Environment variable that holds the key; None for the provider's own.
    form : type of pydantic.BaseModel
        What the model must answer.
    schema : str
        The form's version.
    sleep : coroutine function
        What waits between attempts, for so many seconds; a test's may be faster.
    """

    model: str
    api_base: str | None
    temperature: float
    max_tokens: int
    timeout: float
    max_attempts: int
    logprobs: bool = False
    key_variable: str | None = None
    form: type[pydantic.BaseModel] = Answer
    schema: str = ANSWER_VERSION
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    @property
    def parameters(self) -> dict[str, Any]:
        """What, beside the prompt, determines the answer."""
        extra = {"top_logprobs": _TOP_LOGPROBS} if self.logprobs else {}
        return {"temperature": self.temperature, "max_tokens": self.max_tokens, **extra}

    @property
    def address(self) -> str:
        """The server's address, as an error may show it."""
        provider, default = _provider(self.model)
        address = self.api_base or default
        return public_address(address) if address else f"{provider}'s own address"

    def check(self) -> None:
        """Check that the model can be called, without calling it.

        Raises
        ------
        ArgumentError
            If litellm does not know the model's provider.
        MissingKeyError
            If the provider needs a key and none is set.
        ServerUnreachableError
            If no server answers at an address that is known.
        """
        self._key()
        address = self.api_base or _provider(self.model)[1]
        if address is not None and not answers(public_address(address)):
            raise ServerUnreachableError(self.model, self.address)

    def retrying(self) -> tenacity.AsyncRetrying:
        """Return what repeats :meth:`send` after a fault that may pass."""
        return tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self.max_attempts),
            wait=_wait,
            retry=tenacity.retry_if_exception(
                lambda error: isinstance(error, Fault) and error.passing
            ),
            sleep=self.sleep,
            reraise=True,
        )

    async def send(self, call: Call) -> Call:
        """Send one request.

        Parameters
        ----------
        call : Call

        Returns
        -------
        Call
            With what came back: an answer, or a completion that is none.

        Raises
        ------
        Fault
            If no completion came back.
        """
        import openai

        try:
            return self._answered(call, await _with_grace(self._completion(call)))
        except (TimeoutError, openai.OpenAIError) as error:
            # All of litellm's errors are kinds of openai's.
            fault = diagnose(error)
        # Not in the handler, so that no error shows the upstream one behind it.
        raise fault

    def failed(self, call: Call, fault: Fault) -> Call:
        """Return a call as failed.

        Parameters
        ----------
        call : Call
        fault : Fault
            Of its last attempt.

        Returns
        -------
        Call

        Raises
        ------
        DeciderError
            If no other call to this model would do better.
        """
        if fault.kind == "fatal":
            raise DeciderError(f"model {self.model!r} at {self.address}: {fault.detail}")
        if fault.kind == "unreachable":
            raise ServerUnreachableError(self.model, self.address)
        return _failure(call, fault.kind, fault.detail)

    async def _completion(self, call: Call) -> Any:
        # litellm's timeout is one of silence: a server that sends byte after byte outlasts it.
        async with asyncio.timeout(self.timeout):
            return await load_litellm().acompletion(
                model=self.model,
                messages=call.messages,
                response_format=self.form,
                temperature=self.temperature,
                max_tokens=self.max_tokens,
                api_base=self.api_base,
                api_key=self._key(),
                timeout=self.timeout,
                num_retries=0,
                max_retries=0,
                **({"seed": call.seed} if self._takes_seed else {}),
                **({"logprobs": True, "top_logprobs": _TOP_LOGPROBS} if self.logprobs else {}),
            )

    def _answered(self, call: Call, response: Any) -> Call:
        """Read a completion; whatever is not an answer is a failure."""
        usage, choice = response.get("usage"), (response.choices or [None])[0]
        # litellm writes 0 tokens if the server did not count them.
        counted = usage is not None and usage.prompt_tokens
        reason = str((choice and choice.finish_reason) or "")
        call = replace(
            call,
            finish_reason=presentable(reason),
            prompt_tokens=usage.prompt_tokens if counted else None,
            completion_tokens=usage.completion_tokens if counted else None,
            cost=_number(response._hidden_params.get("response_cost")),
            served=presentable(str(response.model or "")),
        )
        if choice is None:
            return _failure(call, "malformed", "no choices")
        message = choice.message
        # litellm deletes the attributes that a server did not send; older versions keep the
        # refusal among the fields that they do not know.
        other = message.get("provider_specific_fields") or {}
        if refusal := str(message.get("refusal") or other.get("refusal") or ""):
            return _failure(call, "refusal", presentable(refusal))
        if reason == "content_filter":
            return _failure(call, "refusal", "content filter")
        if reason == "length":
            return _failure(call, "truncated", "the answer reached max_tokens")
        if not message.content:
            return _failure(call, "malformed", "empty answer")
        try:
            answer = self.form.model_validate_json(message.content)
        except pydantic.ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = "".join(f"{part}: " for part in first["loc"])
            return _failure(call, "malformed", presentable(where + first["msg"]))
        outcome = "answered"
        if isinstance(answer, Answer):
            outcome = (Outcome.REPOST if answer.repost else Outcome.DECLINE).value
        call = replace(call, outcome=outcome, answer=answer.model_dump_json())
        return self._with_probability(call, choice) if self.logprobs else call

    def _with_probability(self, call: Call, choice: Any) -> Call:
        """Add P(repost) by the answer's log-probabilities."""
        logprobs = choice.get("logprobs")
        if not (logprobs and logprobs.content):
            raise Fault("fatal", "returns no log-probabilities; use sampling='independent'")
        chance = token_repost_prob(logprobs.content)
        if chance is None:
            return _failure(call, "malformed", "neither true nor false among the likely tokens")
        return replace(call, repost_prob=chance)

    def count_tokens(self, messages: Messages) -> int:
        """Return about how many tokens a prompt has.

        Parameters
        ----------
        messages : list of dict
            The prompt.

        Returns
        -------
        int
            Counted with OpenAI's cl100k vocabulary, which needs no network; other models'
            counts differ by some ten per cent.
        """
        return int(load_litellm().token_counter(model="gpt-3.5-turbo", messages=messages))

    def price(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Return the price of a call.

        Parameters
        ----------
        prompt_tokens, completion_tokens : int
            Its tokens.

        Returns
        -------
        float or None
            US dollars; None if litellm knows no price.
        """
        try:
            prices = load_litellm().cost_per_token(
                model=self.model,
                prompt_tokens=prompt_tokens,
                completion_tokens=completion_tokens,
            )
        except Exception:  # which kind it raises for an unknown model depends on its version
            return None
        return float(sum(prices))

    def _key(self) -> str | None:
        """Return the key, or None if litellm finds it; never kept, as a client is pickled."""
        if self.key_variable is None:
            return self._stand_in_key
        if not (key := os.environ.get(self.key_variable)):
            raise MissingKeyError(self.model, [self.key_variable])
        return key

    @functools.cached_property
    def _stand_in_key(self) -> str | None:
        """The key for a server that needs none; None if litellm finds the real one."""
        missing = _missing_keys(self.model, self.api_base)
        if missing == ["OPENAI_API_KEY"] and self.api_base is not None:
            return "not-needed"
        if missing:
            raise MissingKeyError(self.model, missing)
        return None

    @functools.cached_property
    def _takes_seed(self) -> bool:
        return "seed" in (load_litellm().get_supported_openai_params(model=self.model) or ())


def key_variables(model: str, api_base: str | None = None) -> dict[str, bool]:
    """Return the environment variables that a model's key is read from.

    Parameters
    ----------
    model : str
        litellm's name of the model, ``provider/model``.
    api_base : str, optional
        Address of its server; the provider's own if not given.

    Returns
    -------
    dict of str to bool
        Whether each is set. Empty if no key is needed, or if everything that is needed is set
        under names that do not begin with the provider's.

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
    # litellm names only what is missing; what it found is named after the provider.
    own = re.compile(rf"{re.escape(_provider(model)[0])}_(?:\w+_)?(?:KEY|TOKEN)", re.IGNORECASE)
    return {name: True for name in sorted(os.environ) if own.fullmatch(name) and os.environ[name]}


def _missing_keys(model: str, api_base: str | None) -> list[str]:
    """Return the environment variables that a model needs and that are not set."""
    provider, default = _provider(model)
    if provider == "openai":
        # Not left to litellm, which accepts an empty key.
        return [] if os.environ.get("OPENAI_API_KEY") else ["OPENAI_API_KEY"]
    missing = load_litellm().validate_environment(model)["missing_keys"]
    if api_base is not None or default is not None:
        missing = [name for name in missing if not name.endswith("_API_BASE")]
    return list(missing)


def _provider(model: str) -> tuple[str, str | None]:
    """Return a model's provider, and its default address if litellm knows one."""
    litellm = load_litellm()
    try:
        _, provider, _, address = litellm.get_llm_provider(model)
    except litellm.BadRequestError:
        raise ArgumentError(
            "model", model, "be provider/model with a provider litellm knows, as in 'openai/gpt-4o'"
        ) from None
    return provider, address


@functools.cache
def load_litellm() -> ModuleType:
    """Import litellm when it is first needed: it takes seconds and acts on the environment.

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
        # Its types are built when first used, and pydantic warns of one of them.
        warnings.simplefilter("ignore")
        litellm.ModelResponse()
    module: ModuleType = litellm
    event_loop.at_close(module.close_litellm_async_clients)
    return module


def _failure(call: Call, kind: FailureKind, detail: str) -> Call:
    return replace(
        call, outcome=Outcome.FAILED.value, answer=None, error=kind, detail=detail, repost_prob=None
    )


def _number(cost: Any) -> float | None:
    return None if cost is None else float(cost)


def _wait(state: tenacity.RetryCallState) -> float:
    """Return as many seconds as the server asks for, within reason, else more and more."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, Fault) and error.retry_after is not None:
        return min(error.retry_after, _LONGEST_RETRY_AFTER)
    return _backoff(state)


async def _with_grace(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Await a coroutine that, when the wait is cancelled, is cancelled a moment later.

    litellm prepares a call in a thread: cancelled at that moment, it would leave behind a
    coroutine that nobody awaits, and a warning.
    """
    task = asyncio.ensure_future(coroutine)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=_GRACE_SECONDS)
        task.cancel()
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        raise
