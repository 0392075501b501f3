"""Requests to a server that speaks the OpenAI protocol, straight over HTTP.

litellm knows every provider, and takes milliseconds of processor time per call. A server of
one's own needs none of what it knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.request
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pydantic

from mesa_llmspread.deciders.llm import event_loop, faults
from mesa_llmspread.deciders.llm.completion import Completion
from mesa_llmspread.deciders.llm.faults import Fault

if TYPE_CHECKING:
    import aiohttp

__all__ = ["complete"]

# Idle connections are given up before servers do so (5 s and more), who would then hang up on
# the next request.
_IDLE_SECONDS = 4.0

# What servers say if they refuse the words of a prompt.
_POLICY = (b"content_policy_violation", b"usage policy", b"safety system", b"content_filter")

_sessions: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}


async def complete(
    request: Mapping[str, Any], api_base: str, api_key: str | None, timeout: float
) -> Completion | Fault:
    """Send one request.

    Parameters
    ----------
    request : mapping
        The body, as the protocol has it.
    api_base : str
        Address of the server, without credentials.
    api_key : str or None
        The key.
    timeout : float
        Longest time, in seconds.

    Returns
    -------
    Completion or Fault
        What came back, or why no completion did.
    """
    import aiohttp

    headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
    try:
        async with (
            asyncio.timeout(timeout),
            _session().post(
                f"{api_base.rstrip('/')}/chat/completions",
                data=json.dumps(request).encode(),
                headers=headers,
            ) as response,
        ):
            body = await response.read()
    except TimeoutError:
        return faults.TIMEOUT
    except aiohttp.ClientConnectorError:
        return Fault("unreachable")
    except aiohttp.ClientError as error:
        return Fault("server", type(error).__name__)
    if response.status != 200:
        words = f"HTTP {response.status}{_message(body)}"
        policy = any(sign in body for sign in _POLICY)
        asked = faults.seconds_to_wait(response.headers.get("Retry-After", ""))
        return faults.of_status(response.status, faults.presentable(words, api_key), asked, policy)
    with contextlib.suppress(pydantic.ValidationError):
        return Completion.model_validate_json(body)
    with contextlib.suppress(ValueError, RecursionError):
        # Half a surrogate pair is valid JSON, but no text.
        whole = json.dumps(json.loads(body), ensure_ascii=False).encode(errors="replace")
        return Completion.model_validate_json(whole)
    return Fault("server", "HTTP 200 without a completion")


def _message(body: bytes) -> str:
    """Return the server's message from the body of an error, or nothing if it sent none."""
    with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
        error = json.loads(body)["error"]
        return f": {error if isinstance(error, str) else error['message']}"
    return ""


def _session() -> aiohttp.ClientSession:
    """Return the connections of the running loop."""
    import aiohttp

    loop = asyncio.get_running_loop()
    if loop not in _sessions:
        _sessions[loop] = aiohttp.ClientSession(
            # How many calls are under way is limited elsewhere.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Only if there is a proxy: aiohttp would look for it in a thread at every call.
            trust_env=bool(urllib.request.getproxies()),
        )
    return _sessions[loop]


async def _close() -> None:
    """Close the connections of the running loop."""
    if session := _sessions.pop(asyncio.get_running_loop(), None):
        await session.close()


event_loop.at_close(_close)
