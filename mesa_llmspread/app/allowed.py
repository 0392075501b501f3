"""What a visitor may have the server call, and with which key: as the operator says.

A key travels with every call, so a visitor who could name any address, or any variable of
the server's environment, could have a secret of the server sent to a server of their own.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from mesa_llmspread.app.settings import LLMSettings

__all__ = ["ADDRESSES", "KEY_VARIABLES", "allowed_address", "allowed_keys", "refusal"]

#: Environment variable with the addresses, separated by blanks, that the page may call.
ADDRESSES = "LLMSPREAD_API_BASES"

#: Environment variable with the names, separated by blanks, of the variables whose keys the
#: page may use beside the provider's own.
KEY_VARIABLES = "LLMSPREAD_KEY_VARIABLES"


def refusal(llm: LLMSettings) -> str:
    """Say why a language model may not be used.

    Parameters
    ----------
    llm : LLMSettings
        What a visitor asks for.

    Returns
    -------
    str
        A sentence; "" if it may be used.

    Examples
    --------
    >>> refusal(LLMSettings("openai/tiny", key_variable="DATABASE_PASSWORD"))
    'The operator has not listed the variable DATABASE_PASSWORD.'
    """
    # Some providers of litellm take an address for a model's name, and call it.
    if "://" in llm.model:
        return "A model is named provider/name, without an address."
    if not allowed_address(llm.api_base):
        return f"The operator has not listed {llm.api_base}."
    if llm.key_variable and llm.key_variable not in allowed_keys():
        return f"The operator has not listed the variable {llm.key_variable}."
    return ""


def allowed_address(address: str) -> bool:
    """Tell whether the page may call an address.

    Only this machine, and what the operator lists in the environment variable
    ``LLMSPREAD_API_BASES``, may be called.

    Parameters
    ----------
    address : str
        Of a model's server; "" for the provider's own.

    Returns
    -------
    bool

    Examples
    --------
    >>> allowed_address("http://127.0.0.1:8080/v1"), allowed_address("https://example.org/v1")
    (True, False)
    """
    if not address or address in os.environ.get(ADDRESSES, "").split():
        return True
    try:
        return urlsplit(address).hostname in ("127.0.0.1", "localhost", "::1")
    except ValueError:
        return False


def allowed_keys() -> list[str]:
    """Name the variables that the operator lists in ``LLMSPREAD_KEY_VARIABLES``; none if unset.

    Returns
    -------
    list of str
    """
    return os.environ.get(KEY_VARIABLES, "").split()
