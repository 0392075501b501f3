"""Which language model decides. Its key is the server's affair and never passes this page."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

import solara

from mesa_llmspread.app.number_field import NumberField
from mesa_llmspread.app.settings import LLMSettings
from mesa_llmspread.app.widgets import Field

__all__ = ["LLMForm", "allowed_address"]

#: Environment variable with the addresses, separated by blanks, that the page may call.
ADDRESSES = "LLMSPREAD_API_BASES"


@solara.component
def LLMForm(llm: LLMSettings, on_llm: Callable[[LLMSettings], None]) -> None:
    """Show the choice of a language model.

    Parameters
    ----------
    llm : LLMSettings
        What is chosen.
    on_llm : callable
        Called with what is chosen now.
    """
    model, set_model = solara.use_state(llm.model)
    address, set_address = solara.use_state(llm.api_base)
    limit, set_limit = solara.use_state(llm.limit)
    Field(label="Model (provider/name)", value=model, event_changed=set_model)
    Field(label="Address (empty: the provider's)", value=address, event_changed=set_address)
    NumberField("Spend at most (USD; 0: no limit)", limit, set_limit, whole=False)
    refused = "" if allowed_address(address) else f"The operator has not listed {address}."
    if refused:
        solara.Error(refused, dense=True)
    solara.Button(
        "Use this model",
        lambda: on_llm(
            replace(llm, model=model.strip(), api_base=address.strip(), limit=max(0.0, limit))
        ),
        disabled=bool(refused) or not model.strip(),
        small=True,
    )
    solara.Text(
        "The key is read from the server's environment, from the variable that litellm documents "
        "for the provider (OPENAI_API_KEY, ANTHROPIC_API_KEY, ...); it is never typed in here.",
        classes=["spread-note"],
    )


def allowed_address(address: str) -> bool:
    """Tell whether the page may call an address.

    The server's key goes along with the calls, so only this machine and what the operator
    lists in the environment variable ``LLMSPREAD_API_BASES`` may be called.

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
    if not address.strip() or address.strip() in os.environ.get(ADDRESSES, "").split():
        return True
    try:
        return urlsplit(address.strip()).hostname in ("127.0.0.1", "localhost", "::1")
    except ValueError:
        return False
