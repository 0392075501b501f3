"""Language models on the page: which may be called and with which key, and how far a step is.

A key travels with every call, so a visitor who could name any address, or any variable of
the server's environment, could send a secret of the server to a server of their own. The
operator therefore lists what may be used. No key passes through the page.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from mesa_llmspread.app.settings import LLMSettings
from mesa_llmspread.deciders import Decider, Decision, Exposure

__all__ = ["Progress", "Watched", "allowed_address", "allowed_keys", "look_up", "refusal"]


def allowed_address(address: str) -> bool:
    """Return whether the page may call an address.

    These are the provider's own, this machine, and what the operator lists, separated by
    blanks, in the environment variable ``LLMSPREAD_API_BASES``.

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
    if not address or address in os.environ.get("LLMSPREAD_API_BASES", "").split():
        return True
    try:
        return urlsplit(address).hostname in ("127.0.0.1", "localhost", "::1")
    except ValueError:
        return False


def allowed_keys() -> list[str]:
    """Return the variables listed, separated by blanks, in ``LLMSPREAD_KEY_VARIABLES``.

    Returns
    -------
    list of str
    """
    return os.environ.get("LLMSPREAD_KEY_VARIABLES", "").split()


def refusal(llm: LLMSettings) -> str:
    """Return why a language model may not be used.

    Parameters
    ----------
    llm : LLMSettings
        The model that a visitor asks for.

    Returns
    -------
    str
        A sentence; "" if it may be used.

    Examples
    --------
    >>> refusal(LLMSettings("openai/tiny", key_variable="DATABASE_PASSWORD"))
    'The operator has not listed the variable DATABASE_PASSWORD.'
    """
    # Some providers of litellm read a model's name as an address, and call it.
    if "://" in llm.model:
        return "Name the model as provider/name, without an address."
    if not allowed_address(llm.api_base):
        return f"The operator has not listed {llm.api_base}."
    if llm.key_variable and llm.key_variable not in allowed_keys():
        return f"The operator has not listed the variable {llm.key_variable}."
    return ""


def look_up(llm: LLMSettings) -> tuple[dict[str, str], bool] | None:
    """Return what the server knows of a model, without calling it.

    Parameters
    ----------
    llm : LLMSettings
        Its name and address.

    Returns
    -------
    tuple of dict of str to str and bool, or None
        The keys to choose from, "" for the provider's own, each in words with whether it is
        set; whether the model's price is known. None where no model is named, or it may not be
        used anyway.

    Raises
    ------
    ArgumentError
        If litellm does not know the model's provider.
    """
    if not llm.model or refusal(replace(llm, key_variable="")):
        return None
    from mesa_llmspread.deciders.llm.client import key_variables
    from mesa_llmspread.deciders.llm.decider import LLMDecider

    address = llm.api_base or None
    priced = LLMDecider(llm.model, address).client.price(1, 1) is not None
    own = ", ".join(map(_variable, key_variables(llm.model, address)))
    keys = {"": own or "none needed, or set"} | {name: _variable(name) for name in allowed_keys()}
    return keys, priced


def _variable(name: str) -> str:
    return f"{name} ({'set' if os.environ.get(name) else 'not set'})"


@dataclass(frozen=True)
class Progress:
    """How far a step is.

    Attributes
    ----------
    done, total : int
        Decisions made in this step, and asked for.
    failed : int
        Decisions of the run that failed.
    cost : float or None
        US dollars spent in the run; None where the price is not known.
    """

    done: int
    total: int
    failed: int
    cost: float | None

    def __str__(self) -> str:
        cost = "cost unknown" if self.cost is None else f"{self.cost:.2f} USD"
        return f"{self.done} of {self.total} calls, {cost}, {self.failed} failed"


class Watched(Decider):
    """Another decider in one run, whose progress can be read.

    Parameters
    ----------
    inner : Decider
        Who decides; its manifest counts ``decisions``, ``failed`` and ``cost_usd``.
    """

    name = "llm"

    def __init__(self, inner: Decider) -> None:
        self.inner = inner
        self._before = self._total = 0

    def for_run(self, n: int, rng: np.random.Generator) -> Watched:
        """Return this decider, for the only run it is made for."""
        self.inner = self.inner.for_run(n, rng)
        return self

    def manifest(self) -> Mapping[str, Any]:
        """Return the inner decider's manifest."""
        return self.inner.manifest()

    @property
    def progress(self) -> Progress:
        """How far the current step is; any thread may read it."""
        counts = self.inner.manifest()
        done, failed = counts["decisions"] - self._before, sum(counts["failed"].values())
        return Progress(done, self._total, failed, counts["cost_usd"])

    def decide(self, exposures: Sequence[Exposure], rng: np.random.Generator) -> list[Decision]:
        """Return the inner decider's decisions."""
        self._before = self.inner.manifest()["decisions"]
        self._total = len(exposures)
        return self.inner.decide(exposures, rng)
