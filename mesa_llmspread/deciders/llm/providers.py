"""Providers of language models, as litellm knows them: names, addresses and keys."""

from __future__ import annotations

import functools
import os
import re
import warnings
from types import ModuleType

from mesa_llmspread.deciders.llm import event_loop
from mesa_llmspread.exceptions import ArgumentError

__all__ = ["key_variables", "load_litellm", "missing_keys", "provider_of"]


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
    missing = missing_keys(model, api_base)
    if missing == ["OPENAI_API_KEY"] and api_base is not None:
        return {}
    if missing:
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
    if provider == "openai":
        # Not left to litellm, which accepts an empty key.
        return [] if os.environ.get("OPENAI_API_KEY") else ["OPENAI_API_KEY"]
    missing = load_litellm().validate_environment(model)["missing_keys"]
    if api_base is not None or default is not None:
        missing = [name for name in missing if not name.endswith("_API_BASE")]
    return list(missing)


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
