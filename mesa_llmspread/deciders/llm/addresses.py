"""Addresses of servers: safe to show, and whether a server answers."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from urllib.parse import urlsplit, urlunsplit

from mesa_llmspread.exceptions import ArgumentError

__all__ = ["answers", "public_address"]

_REACH_SECONDS = 5.0


def public_address(api_base: str) -> str:
    """Return an address without its secrets: user, password, query and fragment.

    Parameters
    ----------
    api_base : str
        Address of a server.

    Returns
    -------
    str

    Raises
    ------
    ArgumentError
        If it is not an http or https address with a host.

    Examples
    --------
    >>> public_address("http://me:word@localhost:8080/v1?key=1")
    'http://localhost:8080/v1'
    """
    try:
        parts = urlsplit(api_base)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https"):
        raise ArgumentError(
            "api_base",
            api_base.rpartition("@")[2].partition("?")[0],
            "be an address such as 'http://127.0.0.1:8080/v1'",
        )
    host = f"[{host}]" if ":" in host else host
    netloc = host if port is None else f"{host}:{port}"
    return urlunsplit((parts.scheme, netloc, parts.path, "", ""))


def answers(address: str) -> bool:
    """Return whether a server answers at an address, with whatever status.

    Parameters
    ----------
    address : str

    Returns
    -------
    bool
    """
    try:
        with urllib.request.urlopen(address, timeout=_REACH_SECONDS):
            return True
    except urllib.error.HTTPError as refusal:
        refusal.close()
        return True
    except (OSError, http.client.HTTPException):
        return False
