"""What an exception out of litellm means: for this attempt, this decision, or the whole run.

What a server says is never shown whole: error bodies repeat prompts and parts of keys.
"""

from __future__ import annotations

import datetime
import email.utils
import re
from collections.abc import Iterator
from typing import Literal

__all__ = ["PASSING", "FailureKind", "Trouble", "diagnose", "presentable"]

FailureKind = Literal[
    "refusal", "truncated", "malformed", "bad_request", "timeout", "rate_limit", "server"
]

#: What another attempt, or another hour, may mend.
PASSING: tuple[FailureKind, ...] = ("timeout", "rate_limit", "server")

_FATAL = {
    402: "the account cannot pay for calls",
    404: "the model or the address is not known there",
}
# Asking again would not help, but another prompt may do better.
_REFUSED_WHOLE = frozenset({400, 403, 413, 422})
_KEY_LIKE = re.compile(r"\bsk-\S+|[\w*+=-]{32,}")


class Trouble(Exception):
    """An attempt that brought no reply.

    Parameters
    ----------
    kind : str
        A kind of failure of one decision; or ``"fatal"`` or ``"unreachable"`` where no other
        call would fare better.
    detail : str
        What happened, fit to be shown.
    retry_after : float, optional
        Seconds the server asks to wait.
    """

    def __init__(
        self,
        kind: FailureKind | Literal["fatal", "unreachable"],
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


def diagnose(error: Exception) -> Trouble:
    """Say what an exception out of litellm means for the call.

    Parameters
    ----------
    error : Exception
        What ``litellm.acompletion`` raised, or a TimeoutError.

    Returns
    -------
    Trouble
    """
    import httpx
    from litellm import exceptions as known

    chain = list(_chain(error))
    status = getattr(error, "status_code", None)
    if any(isinstance(link, httpx.ConnectError) for link in chain):
        return Trouble("unreachable", "")
    if isinstance(error, TimeoutError | known.Timeout):
        return Trouble("timeout", "no complete answer in time")
    if isinstance(error, known.UnsupportedParamsError):
        return Trouble("fatal", presentable(error.message))
    if status == 401:
        # Not even a part of what the server says: it repeats parts of the key.
        return Trouble("fatal", "the API key was not accepted (HTTP 401); set a valid one")
    said = _upstream_words(chain, status)
    if status in _FATAL:
        return Trouble("fatal", f"{_FATAL[status]} ({said})")
    if isinstance(error, known.ContentPolicyViolationError):
        return Trouble("refusal", f"content policy ({said})")
    if status in _REFUSED_WHOLE:
        return Trouble("bad_request", said)
    return Trouble("rate_limit" if status == 429 else "server", said, _retry_after(chain))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Walk an error and the ones behind it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _upstream_words(chain: list[BaseException], status: int | None) -> str:
    """Give the status and the server's own message, or the kind of error where it sent none."""
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
    """Seconds the server asks to wait, given as a number or a date (RFC 9110, 10.2.3)."""
    for link in chain:
        headers = getattr(getattr(link, "response", None), "headers", {})
        asked = headers.get("retry-after")
        if asked is None:
            continue
        try:
            return max(0.0, float(asked))
        except ValueError:
            pass
        try:
            moment = email.utils.parsedate_to_datetime(asked)
        except ValueError:
            return None
        return max(0.0, (moment - datetime.datetime.now(moment.tzinfo)).total_seconds())
    return None


def presentable(text: str, limit: int = 200) -> str:
    r"""Make foreign words fit for a message: one short line, nothing that looks like a key.

    Parameters
    ----------
    text : str
        What a server or a model said.
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
