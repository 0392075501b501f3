"""What a request without a completion means: for this attempt, this decision, or the whole run.

Replies of a server are never shown whole: error bodies repeat prompts and parts of keys.
"""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import os
import re
from dataclasses import dataclass

__all__ = ["PASSING", "TIMEOUT", "Fault", "of_status", "one_line", "presentable", "seconds_to_wait"]

#: The kinds of failure that another attempt, or another hour, may fix.
PASSING = ("timeout", "rate_limit", "server")

_FATAL = {
    402: "the account cannot pay for calls",
    404: "the model or the address is not known there",
}
# The same request would fail again, but another prompt may do better.
_REFUSED_WHOLE = frozenset({400, 403, 413, 422})
# Names of the environment's variables that hold keys end so; the shortest key, in characters.
_SECRET, _SHORTEST = ("KEY", "TOKEN", "SECRET", "PASSWORD"), 6
# Longest text of others that is shown, in characters.
_LONGEST = 200
_KEY_LIKE = re.compile(r"\bsk-\S+|[\w*+=-]{32,}")


@dataclass(frozen=True)
class Fault:
    """An attempt without a completion.

    Attributes
    ----------
    kind : str
        A kind of failure of one decision (``refusal``, ``truncated``, ``malformed``,
        ``bad_request``, ``timeout``, ``rate_limit``, ``server``); or ``fatal``,
        ``no_logprobs`` or ``unreachable`` if no other call would do better.
    detail : str
        What happened, safe to show.
    retry_after : float or None
        Seconds that the server asks to wait.
    """

    kind: str
    detail: str = ""
    retry_after: float | None = None

    @property
    def passing(self) -> bool:
        """Whether another attempt may do better."""
        return self.kind in (*PASSING, "unreachable")

    @property
    def cost(self) -> float | None:
        """US dollars; None if it is unknown whether the provider charged anything."""
        return None if self.kind in ("timeout", "no_logprobs") else 0.0


#: No complete answer in time.
TIMEOUT = Fault("timeout", "no complete answer in time")


def of_status(
    status: int | None, words: str, retry_after: float | None = None, policy: bool = False
) -> Fault:
    """Return what an HTTP error means for the call.

    Parameters
    ----------
    status : int or None
        Its status; None if unknown.
    words : str
        The status and the server's own words, as :func:`presentable` returns them.
    retry_after : float or None
        Seconds that the server asks to wait.
    policy : bool
        Whether the server refuses what the prompt says.

    Returns
    -------
    Fault
    """
    if status in (408, 504):
        return TIMEOUT
    if status == 401:
        # No word of the server's: it repeats parts of the key.
        return Fault("fatal", "the API key was not accepted (HTTP 401); set a valid one")
    if status in _FATAL:
        return Fault("fatal", f"{_FATAL[status]} ({words})")
    if policy:
        return Fault("refusal", f"content policy ({words})")
    if status in _REFUSED_WHOLE:
        return Fault("bad_request", words)
    return Fault("rate_limit" if status == 429 else "server", words, retry_after)


def seconds_to_wait(asked: str) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks to wait.

    Parameters
    ----------
    asked : str
        A number or a date (RFC 9110, 10.2.3).

    Returns
    -------
    float or None
        None if it is neither.

    Examples
    --------
    >>> seconds_to_wait("1.5")
    1.5
    """
    with contextlib.suppress(ValueError):
        return max(0.0, float(asked))
    with contextlib.suppress(ValueError):
        moment = email.utils.parsedate_to_datetime(asked)
        return max(0.0, (moment - datetime.datetime.now(moment.tzinfo)).total_seconds())
    return None


def presentable(text: str, key: str | None = None) -> str:
    r"""Return foreign words as one short line without anything that is, or looks like, a key.

    Parameters
    ----------
    text : str
        Text of a server or a model.
    key : str, optional
        The key of the call; those in the environment are known.

    Returns
    -------
    str

    Examples
    --------
    >>> presentable("Incorrect API key provided: sk-12ab34cd.\n See the documentation")
    'Incorrect API key provided: [...] See the documentation'
    """
    for name, value in [("KEY", key or ""), *os.environ.items()]:
        # Shorter ones are placeholders, which would hide words.
        if name.upper().endswith(_SECRET) and len(value) >= _SHORTEST:
            text = text.replace(value, "[...]")
    return one_line(text)


def one_line(text: str) -> str:
    r"""Return foreign words as one short line: for names, of which every call has some.

    Parameters
    ----------
    text : str

    Returns
    -------
    str

    Examples
    --------
    >>> one_line("my\nmodel")
    'my model'
    """
    visible = "".join(sign if sign.isprintable() else " " for sign in text)
    line = " ".join(_KEY_LIKE.sub("[...]", visible).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."
