"""What an exception of litellm means: for this attempt, this decision, or the whole run.

What a server replies is never shown whole: error bodies repeat prompts and parts of keys.
"""

from __future__ import annotations

import datetime
import email.utils
import re
from collections.abc import Iterator
from typing import Literal

__all__ = ["PASSING", "FailureKind", "Fault", "diagnose", "presentable"]

FailureKind = Literal[
    "refusal", "truncated", "malformed", "bad_request", "timeout", "rate_limit", "server"
]

#: What another attempt, or another hour, may fix.
PASSING: tuple[FailureKind, ...] = ("timeout", "rate_limit", "server")

_FATAL = {
    402: "the account cannot pay for calls",
    404: "the model or the address is not known there",
}
# The same request would fail again, but another prompt may do better.
_REFUSED_WHOLE = frozenset({400, 403, 413, 422})
_KEY_LIKE = re.compile(r"\bsk-\S+|[\w*+=-]{32,}")


class Fault(Exception):
    """An attempt that brought no completion.

    Parameters
    ----------
    kind : str
        A kind of failure of one decision; or ``"fatal"``, ``"no_logprobs"`` or
        ``"unreachable"`` if no other call would do better.
    detail : str
        What happened, safe to show.
    retry_after : float, optional
        Seconds that the server asks to wait.
    """

    def __init__(
        self,
        kind: FailureKind | Literal["fatal", "no_logprobs", "unreachable"],
        detail: str,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(kind)
        self.kind = kind
        self.detail = detail
        self.retry_after = retry_after

    @property
    def passing(self) -> bool:
        """Whether another attempt may do better."""
        return self.kind in (*PASSING, "unreachable")


def diagnose(error: Exception) -> Fault:
    """Return what an exception of litellm means for the call.

    Parameters
    ----------
    error : Exception
        What ``litellm.acompletion`` raised, or a TimeoutError.

    Returns
    -------
    Fault
    """
    import httpx
    from litellm import exceptions as known

    chain = list(_chain(error))
    status = getattr(error, "status_code", None)
    if any(isinstance(link, httpx.ConnectError) for link in chain):
        return Fault("unreachable", "")
    if isinstance(error, TimeoutError | known.Timeout):
        return Fault("timeout", "no complete answer in time")
    if isinstance(error, known.UnsupportedParamsError):
        return Fault("fatal", presentable(error.message))
    if status == 401:
        # No word of the server's: it repeats parts of the key.
        return Fault("fatal", "the API key was not accepted (HTTP 401); set a valid one")
    words = _server_words(chain, status)
    if status in _FATAL:
        return Fault("fatal", f"{_FATAL[status]} ({words})")
    if isinstance(error, known.ContentPolicyViolationError):
        return Fault("refusal", f"content policy ({words})")
    if status in _REFUSED_WHOLE:
        return Fault("bad_request", words)
    return Fault("rate_limit" if status == 429 else "server", words, _retry_after(chain))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Walk through an error and its causes."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _server_words(chain: list[BaseException], status: int | None) -> str:
    """Return the status and the server's message, or the kind of error if it sent none."""
    for link in chain:
        body = getattr(link, "body", None)
        if isinstance(body, dict) and isinstance(body.get("message"), str):
            return presentable(f"HTTP {status}: {body['message']}")
    if any(type(link).__name__ == "HTTPStatusError" for link in chain):
        return f"HTTP {status}"
    kinds = [type(link) for link in chain]
    foreign = [kind for kind in kinds if not kind.__module__.startswith("litellm")]
    return (foreign or kinds)[0].__name__


def _retry_after(chain: list[BaseException]) -> float | None:
    """Return the seconds to wait, sent as a number or a date (RFC 9110, 10.2.3)."""
    responses = (getattr(link, "response", None) for link in chain)
    headers = [getattr(response, "headers", {}) for response in responses]
    asked = next((found["retry-after"] for found in headers if "retry-after" in found), None)
    if asked is None:
        return None
    try:
        return max(0.0, float(asked))
    except ValueError:
        pass
    try:
        moment = email.utils.parsedate_to_datetime(asked)
    except ValueError:
        return None
    return max(0.0, (moment - datetime.datetime.now(moment.tzinfo)).total_seconds())


def presentable(text: str, limit: int = 200) -> str:
    r"""Return foreign words as one short line without anything that looks like a key.

    Parameters
    ----------
    text : str
        What a server or a model wrote.
    limit : int
        Longest text, in characters.

    Returns
    -------
    str

    Examples
    --------
    >>> presentable("Incorrect API key provided: sk-12ab34cd.\n See the documentation")
    'Incorrect API key provided: [...] See the documentation'
    """
    visible = "".join(sign if sign.isprintable() else " " for sign in text)
    line = " ".join(_KEY_LIKE.sub("[...]", visible).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."
