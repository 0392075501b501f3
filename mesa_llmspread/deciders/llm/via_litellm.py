"""Requests through litellm, which knows every provider, and the meaning of its exceptions."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

import pydantic

from mesa_llmspread.deciders.llm import faults
from mesa_llmspread.deciders.llm.completion import Completion
from mesa_llmspread.deciders.llm.faults import Fault, presentable
from mesa_llmspread.deciders.llm.providers import load_litellm

__all__ = ["complete"]

# How long a cancelled request may go on.
_GRACE_SECONDS = 0.5


async def complete(
    request: Mapping[str, Any], api_base: str | None, api_key: str | None, timeout: float
) -> Completion | Fault:
    """Send one request.

    Parameters
    ----------
    request : mapping
        Arguments of ``litellm.acompletion``.
    api_base : str or None
        Address of the server; None for the provider's own.
    api_key : str or None
        The key; None if litellm finds it.
    timeout : float
        Longest time, in seconds.

    Returns
    -------
    Completion or Fault
        What came back, or why no completion did.
    """
    import openai

    try:
        response = await _with_grace(_sent(request, api_base, api_key, timeout))
    except (TimeoutError, openai.OpenAIError) as error:
        # All of litellm's errors are kinds of openai's.
        return _diagnosed(error, api_key)
    try:
        completion = Completion.model_validate(response)
    except pydantic.ValidationError:
        return Fault("server", "no completion")
    completion.cost = response._hidden_params.get("response_cost")
    for choice, read in zip(response.choices, completion.choices, strict=True):
        # Older versions of litellm keep the refusal among the fields that they do not know.
        other = choice.message.get("provider_specific_fields") or {}
        read.message.refusal = read.message.refusal or other.get("refusal")
    return completion


async def _sent(
    request: Mapping[str, Any], api_base: str | None, api_key: str | None, timeout: float
) -> Any:
    # litellm's timeout is one of silence: a server that sends byte after byte outlasts it.
    async with asyncio.timeout(timeout):
        return await load_litellm().acompletion(
            **request,
            api_base=api_base,
            api_key=api_key,
            timeout=timeout,
            num_retries=0,
            max_retries=0,
        )


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


def _diagnosed(error: Exception, key: str | None) -> Fault:
    """Return what an exception of litellm means for the call."""
    import httpx
    from litellm import exceptions as known

    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    if any(isinstance(link, httpx.ConnectError) for link in chain):
        return Fault("unreachable")
    if isinstance(error, TimeoutError | known.Timeout):
        return faults.TIMEOUT
    if isinstance(error, known.UnsupportedParamsError):
        return Fault("fatal", presentable(error.message, key))
    status = getattr(error, "status_code", None)
    policy = isinstance(error, known.ContentPolicyViolationError)
    return faults.of_status(status, _server_words(chain, status, key), _retry_after(chain), policy)


def _server_words(chain: list[BaseException], status: int | None, key: str | None) -> str:
    """Return the status and the server's message, or the kind of error if it sent none."""
    for link in chain:
        body = getattr(link, "body", None)
        if isinstance(body, dict) and isinstance(body.get("message"), str):
            return presentable(f"HTTP {status}: {body['message']}", key)
    kinds = [type(link) for link in chain]
    foreign = [kind.__name__ for kind in kinds if not kind.__module__.startswith("litellm")]
    return f"HTTP {status}" if "HTTPStatusError" in foreign else [*foreign, kinds[0].__name__][0]


def _retry_after(chain: list[BaseException]) -> float | None:
    """Return the seconds to wait that a reply in the chain asks for."""
    for link in chain:
        headers = getattr(getattr(link, "response", None), "headers", {})
        if (seconds := faults.seconds_to_wait(headers.get("retry-after", ""))) is not None:
            return seconds
    return None
