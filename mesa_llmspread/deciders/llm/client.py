"""One structured request to a language model: straight to a server of one's own, or by litellm.

A request ends in one of three ways: an answer that follows the form; a failure of this one
decision, with its kind; or, if no other call would do better (a wrong key, an unknown model,
no server at the address), an error that ends the run.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pydantic
import tenacity

from mesa_llmspread.deciders.base import Outcome
from mesa_llmspread.deciders.llm import openai_server, providers, via_litellm
from mesa_llmspread.deciders.llm.call import Answer, AnswerAlone, Call, Form
from mesa_llmspread.deciders.llm.completion import Completion, token_repost_prob
from mesa_llmspread.deciders.llm.faults import Fault, one_line, presentable
from mesa_llmspread.deciders.llm.local import LocalModel
from mesa_llmspread.deciders.llm.prompts import Messages
from mesa_llmspread.exceptions import (
    DeciderError,
    MissingKeyError,
    NoLogprobsError,
    ServerUnreachableError,
)

__all__ = ["Client"]

# Waits between attempts, in seconds: up to 0.5, 1, 2, ... drawn at random, so that calls that
# failed together do not come back together.
_backoff = tenacity.wait_random_exponential(multiplier=0.5, max=30)
_LONGEST_RETRY_AFTER = 60.0
# The one way to write an answer without words, for llama.cpp (GBNF).
_GRAMMAR = r'root ::= "{\"repost\": " ("true" | "false") "}"'
# As many alternatives of a token as the OpenAI protocol allows.
_TOP_LOGPROBS = 20


@dataclass(frozen=True)
class Client:
    """A model at an address, and how it is called.

    Parameters
    ----------
    model : str
        litellm's name of the model, ``provider/model``; or ``gguf:NAME@HASH`` of a local one.
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
    form : type of Form
        The form of the answer.
    local : LocalModel or None
        The file, of a model that runs in this process.
    sleep : coroutine function
        Called with the seconds between two attempts; a test's may be faster.
    """

    model: str
    api_base: str | None
    temperature: float
    max_tokens: int
    timeout: float
    max_attempts: int
    logprobs: bool = False
    key_variable: str | None = None
    form: type[Form] = Answer
    local: LocalModel | None = None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    @property
    def parameters(self) -> dict[str, Any]:
        """The settings that, beside the prompt, determine the answer."""
        extra = {"top_logprobs": _TOP_LOGPROBS} if self.logprobs else {}
        return {"temperature": self.temperature, "max_tokens": self.max_tokens, **extra}

    @property
    def address(self) -> str:
        """The server's address without secrets, or whose it is if it is unknown."""
        if self.local:
            return "llama.cpp in this process"
        if self._direct:
            return str(self.api_base)
        provider, usual = providers.provider_of(self.model)
        address = self.api_base or usual
        return providers.public_address(address) if address else f"{provider}'s own address"

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
        InputFileError
            If llama.cpp cannot load the file of a local model.
        """
        if self.local:
            self.local.serve()
            return
        self._key()
        address = self.address
        if "://" in address and not providers.answers(address):
            raise ServerUnreachableError(self.model, address)

    def retrying(self) -> tenacity.AsyncRetrying:
        """Return what repeats an attempt after a fault that may pass; the last one counts.

        Returns
        -------
        tenacity.AsyncRetrying
        """
        return tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self.max_attempts),
            wait=_wait,
            retry=tenacity.retry_if_result(lambda back: isinstance(back, Fault) and back.passing),
            sleep=self.sleep,
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )

    async def send(self, call: Call) -> Call | Fault:
        """Send one request.

        Parameters
        ----------
        call : Call

        Returns
        -------
        Call or Fault
            The call with an answer, or with a completion that is not a usable answer; or why no
            completion came back.
        """
        complete = openai_server.complete if self._direct else via_litellm.complete
        back = await complete(self._request(call), self._served_at, self._key(), self.timeout)
        return back if isinstance(back, Fault) else self._answered(call, back)

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
        if fault.kind == "no_logprobs":
            raise NoLogprobsError(self.model)
        if fault.kind == "unreachable":
            raise ServerUnreachableError(self.model, self.address)
        return _failure(call, fault.kind, fault.detail)

    def _request(self, call: Call) -> dict[str, Any]:
        """Return the body of a request in the OpenAI protocol, as litellm takes it too."""
        request = {
            "model": self._served_as,
            "messages": call.messages,
            **self._answer_form,
            # Log-probabilities are those of temperature 1 in any case; at 0 the tokens before
            # the decision are always the same.
            "temperature": 0.0 if self.local and self.logprobs else self.temperature,
            "max_tokens": self.max_tokens,
        }
        if self._takes_seed:
            request["seed"] = call.seed
        if self.logprobs:
            request |= {"logprobs": True, "top_logprobs": _TOP_LOGPROBS}
        return request

    def _answered(self, call: Call, completion: Completion) -> Call | Fault:
        """Read a completion; whatever is not an answer is a failure."""
        usage, choice = completion.usage, next(iter(completion.choices), None)
        if usage is not None and not usage.prompt_tokens:
            usage = None  # litellm writes 0 tokens if the server did not count them
        reason = (choice and choice.finish_reason) or ""
        call = replace(
            call,
            finish_reason=one_line(reason),
            prompt_tokens=usage.prompt_tokens if usage else None,
            completion_tokens=usage.completion_tokens if usage else None,
            cost=0.0 if self.local else None if self._direct else completion.cost,
            served=one_line(completion.model or ""),
        )
        if choice is None:
            return _failure(call, "malformed", "no choices")
        message = choice.message
        if message.refusal:
            return _failure(call, "refusal", presentable(message.refusal))
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
        if isinstance(answer, AnswerAlone):
            outcome = (Outcome.REPOST if answer.repost else Outcome.DECLINE).value
        call = replace(call, outcome=outcome, answer=answer.model_dump_json())
        if not self.logprobs:
            return call
        if not (choice.logprobs and choice.logprobs.content):
            return Fault("no_logprobs")
        chance = token_repost_prob(choice.logprobs.content)
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
        return int(providers.load_litellm().token_counter(model="gpt-3.5-turbo", messages=messages))

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
        if self.local:
            return 0.0
        if self._direct:
            return None
        price = providers.load_litellm().cost_per_token
        tokens = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
        try:
            return float(sum(price(model=self.model, **tokens)))
        except Exception:  # which kind it raises for an unknown model depends on its version
            return None

    def _key(self) -> str | None:
        """Return the key, or None if litellm finds it; never kept, as a client is pickled."""
        if self.local:
            return "not-needed"
        if self.key_variable is None:
            own = os.environ.get("OPENAI_API_KEY") or "not-needed"
            return own if self._direct else self._stand_in_key
        if not (key := os.environ.get(self.key_variable)):
            raise MissingKeyError(self.model, [self.key_variable])
        return key

    @functools.cached_property
    def _stand_in_key(self) -> str | None:
        """The key for a server that needs none; None if litellm finds the real one."""
        if missing := providers.missing_keys(self.model, self.api_base):
            raise MissingKeyError(self.model, missing)
        needed = providers.missing_keys(self.model, None)
        return "not-needed" if needed == ["OPENAI_API_KEY"] else None

    @functools.cached_property
    def _direct(self) -> bool:
        """Whether requests go straight to the server, and not through litellm."""
        return self.local is not None or providers.is_own(self.model, self.api_base)

    @property
    def _served_as(self) -> str:
        """The model's name, for its server or for litellm."""
        if self.local:
            return self.local.path.stem
        return self.model.removeprefix("openai/") if self._direct else self.model

    @property
    def _served_at(self) -> Any:
        """The server's address; None if litellm knows it."""
        return self.local.serve() if self.local else self.api_base

    @functools.cached_property
    def _answer_form(self) -> dict[str, Any]:
        """What makes the model answer in the form that is asked for."""
        if self.local and self.form is AnswerAlone:
            # White space would be the model's choice, and change P(repost) by several hundredths.
            return {"grammar": _GRAMMAR}
        if not self._direct:
            return {"response_format": self.form}
        schema = {**self.form.model_json_schema(), "additionalProperties": False}
        named = {"name": self.form.__name__, "schema": schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": named}}

    @functools.cached_property
    def _takes_seed(self) -> bool:
        if self._direct:
            return True
        known = providers.load_litellm().get_supported_openai_params(model=self.model)
        return "seed" in (known or ())


def _failure(call: Call, kind: str, detail: str) -> Call:
    return replace(
        call, outcome=Outcome.FAILED.value, answer=None, error=kind, detail=detail, repost_prob=None
    )


def _wait(state: tenacity.RetryCallState) -> float:
    """Return as many seconds as the server asks for, within reason, else more and more."""
    fault = state.outcome.result() if state.outcome else None
    if isinstance(fault, Fault) and fault.retry_after is not None:
        return min(fault.retry_after, _LONGEST_RETRY_AFTER)
    return _backoff(state)
