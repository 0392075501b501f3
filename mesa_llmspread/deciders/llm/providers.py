"""Providers of language models, as litellm knows them: names, keys and addresses of servers."""

from __future__ import annotations

import functools
import http.client
import importlib.util
import json
import os
import re
import urllib.error
import urllib.request
import warnings
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit, urlunsplit

from mesa_llmspread.deciders.llm import event_loop
from mesa_llmspread.exceptions import ArgumentError

__all__ = [
    "answers",
    "check_address",
    "is_own",
    "key_variables",
    "load_litellm",
    "missing_keys",
    "provider_of",
    "public_address",
]

_REACH_SECONDS = 5.0
# The price list in litellm's folder.
_PRICES = "model_prices_and_context_window_backup.json"


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
    if missing := missing_keys(model, api_base):
        return dict.fromkeys(missing, False)
    # litellm names only what is missing; what it found is named after the provider.
    own = re.compile(rf"{re.escape(provider_of(model)[0])}_(?:\w+_)?(?:KEY|TOKEN)", re.IGNORECASE)
    return {name: True for name in sorted(os.environ) if own.fullmatch(name) and os.environ[name]}


def missing_keys(model: str, api_base: str | None) -> list[str]:
    """Return the environment variables that a model needs and that are not set.

    Parameters
    ----------
    model : str
    api_base : str or None

    Returns
    -------
    list of str

    Raises
    ------
    ArgumentError
        If litellm does not know the model's provider.
    """
    provider, default = provider_of(model)
    missing = load_litellm().validate_environment(model)["missing_keys"]
    if provider == "openai":
        # Not left to litellm, which accepts an empty key.
        missing = [] if os.environ.get("OPENAI_API_KEY") else ["OPENAI_API_KEY"]
    if api_base is not None and missing == ["OPENAI_API_KEY"]:
        return []  # a server of one's own
    has_address = api_base is not None or default is not None
    return [name for name in missing if not (has_address and name.endswith("_API_BASE"))]


def provider_of(model: str) -> tuple[str, str | None]:
    """Return a model's provider, and its default address if litellm knows one.

    Parameters
    ----------
    model : str

    Returns
    -------
    provider : str
    address : str or None

    Raises
    ------
    ArgumentError
        If litellm does not know the provider.
    """
    litellm = load_litellm()
    try:
        _, provider, _, address = litellm.get_llm_provider(model)
    except litellm.BadRequestError:
        wanted = "be provider/model with a provider that litellm knows, as in 'openai/gpt-4o'"
        raise ArgumentError("model", model, wanted) from None
    return provider, address


def is_own(model: str, api_base: str | None) -> bool:
    """Return whether a model is on a server of one's own that speaks the OpenAI protocol.

    Parameters
    ----------
    model : str
        litellm's name of the model.
    api_base : str or None
        Address of its server.

    Returns
    -------
    bool
        False for a model that litellm knows: it knows the price, and the settings it takes.

    Examples
    --------
    >>> is_own("openai/mine", "http://127.0.0.1:8080/v1")
    True
    >>> is_own("openai/gpt-4o-mini", "http://127.0.0.1:4000/v1")
    False
    """
    provider, _, name = model.partition("/")
    if provider != "openai" or api_base is None:
        return False
    return not name.startswith("ft:") and not {model, name} & _priced()


@functools.cache
def _priced() -> frozenset[str]:
    """Return the models whose price litellm knows, without importing it."""
    found = importlib.util.find_spec("litellm")
    prices = Path(str(found and found.origin)).with_name(_PRICES)
    if prices.is_file():
        return frozenset(json.loads(prices.read_text(encoding="utf-8")))
    return frozenset(load_litellm().model_cost)


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
        shown = api_base.rpartition("@")[2].partition("?")[0]
        raise ArgumentError("api_base", shown, "be an address such as 'http://127.0.0.1:8080/v1'")
    host = f"[{host}]" if ":" in host else host
    netloc = host if port is None else f"{host}:{port}"
    return urlunsplit((parts.scheme, netloc, parts.path, "", ""))


def check_address(api_base: str) -> None:
    """Raise ArgumentError unless an address is one of a server, without secrets.

    Parameters
    ----------
    api_base : str
        No server can be called with a user, a password or a query in it, and addresses are shown.
    """
    public = public_address(api_base)
    if public.lower() != api_base.lower():
        wanted = "have no user, password, query or fragment: a key's variable is key_variable"
        raise ArgumentError("api_base", public, wanted)


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
