"""Live language models on the page: which ones a visitor may call, and how far a step is.

A key travels with every call, so a visitor who could name any address could send a secret of the
server there. Whoever opens the page on the machine that serves it may name any model. All other
visitors have only the models that the operator lists. No key passes through the page.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from mesa_llmspread.app.settings import LLMSettings
from mesa_llmspread.deciders import Decider, Decision, Exposure, LLMDecider
from mesa_llmspread.deciders.llm.providers import key_variables
from mesa_llmspread.exceptions import InputFileError, LLMSpreadError, UnknownNameError
from mesa_llmspread.io import read_settings

__all__ = ["Access", "LookUp", "Progress", "Watched", "access_of", "look_up", "read_models"]

#: Environment variable with the file that lists the models that visitors may call.
SETTING = "LLMSPREAD_MODELS"

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Access:
    """Which live language models a visitor may call.

    Attributes
    ----------
    models : tuple of LLMSettings
        Those that the operator lists.
    free : bool
        Whether the visitor may name other ones: of any provider, at the provider's own address or
        on this machine.
    """

    models: tuple[LLMSettings, ...] = ()
    free: bool = False

    def refusal(self, llm: LLMSettings) -> str:
        """Return why a model may not be called, in a sentence; "" if it may.

        Examples
        --------
        >>> Access().refusal(LLMSettings("openai/tiny"))
        'The operator has not listed the model openai/tiny.'
        >>> Access(free=True).refusal(LLMSettings("openai/tiny", "http://127.0.0.1:8080/v1"))
        ''
        """
        if llm in self.models:
            return ""
        if not self.free or llm.key_variable:
            return f"The operator has not listed the model {llm.model}."
        # Some providers of litellm read a model's name as an address, and call it.
        if "://" in llm.model:
            return "Name the model as provider/name, without an address."
        if llm.api_base and not _is_loopback(llm.api_base):
            return f"Only addresses on this machine may be called, not {llm.api_base}."
        return ""


def access_of(headers: Mapping[str, Sequence[str]]) -> Access:
    """Return what a visitor may call.

    Parameters
    ----------
    headers : mapping of str to sequence of str
        Of the visitor's connection.

    Returns
    -------
    Access
        The models in the file that ``LLMSPREAD_MODELS`` names. Without this setting: free if the
        server listens on a loopback address only and the visitor did not come through a proxy
        or from another site; else no model.
    """
    if file := os.environ.get(SETTING):
        return Access(read_models(Path(file)))
    if any(name.lower() in ("forwarded", "via") or "forward" in name.lower() for name in headers):
        return Access()
    # Set by ``solara run``; where another program serves the page, the host is not known.
    hosts = [
        os.environ.get("SERVER_NAME", ""),
        *headers.get("host", ()),
        *headers.get("origin", ()),
    ]
    return Access(free=all(map(_is_loopback, hosts)))


def _is_loopback(address: str) -> bool:
    """Return whether an address, with or without a scheme and a port, is this machine's own."""
    try:
        whole = address if "//" in address else f"//{address}"
        return address == "::1" or urlsplit(whole).hostname in _LOOPBACK
    except ValueError:
        return False


@functools.cache
def read_models(path: Path) -> tuple[LLMSettings, ...]:
    """Read the models that visitors may call from a YAML or JSON file, once per process.

    Parameters
    ----------
    path : Path
        A list under ``models``; each entry has a ``model`` and may have an ``api_base``, a
        ``key_variable`` and ``max_cost_usd``, as :class:`~mesa_llmspread.app.settings.LLMSettings`.

    Returns
    -------
    tuple of LLMSettings

    Raises
    ------
    InputFileError
        If the file cannot be read, or holds anything else.
    """
    listed = read_settings(path, ["models"]).get("models") or []
    known: dict[str, Any] = {each.name: type(each.default) for each in fields(LLMSettings)}
    models = []
    # No message shows a value: it may be a key.
    for entry in listed if isinstance(listed, list) else [None]:
        if not isinstance(entry, dict) or not entry.get("model"):
            raise InputFileError(path, "must list models under 'models', each with a 'model'")
        for name in entry:
            if name not in known:
                raise InputFileError(path, str(UnknownNameError("setting", name, [*known])))
        filled = {name: value for name, value in entry.items() if value is not None}
        try:
            models.append(LLMSettings(**{name: known[name](filled[name]) for name in filled}))
            LLMDecider("openai/any", **models[-1].arguments())
        except LLMSpreadError as error:
            raise InputFileError(path, str(error)) from None
        except (TypeError, ValueError):
            raise InputFileError(path, "max_cost_usd must be a number of US dollars") from None
    return tuple(models)


@dataclass(frozen=True)
class LookUp:
    """What the server knows of a model without calling it.

    Attributes
    ----------
    missing : tuple of str
        Environment variables that the model needs and that are not set.
    priced : bool
        Whether the model's price is known.
    """

    missing: tuple[str, ...] = ()
    priced: bool = False


def look_up(llm: LLMSettings) -> LookUp:
    """Return what the server knows of a model, without calling it.

    Parameters
    ----------
    llm : LLMSettings
        Its name and address.

    Returns
    -------
    LookUp

    Raises
    ------
    ArgumentError
        If litellm does not know the model's provider.
    InputFileError
        If the model is a file that cannot be used.
    """
    address = llm.api_base or None
    decider = LLMDecider(llm.model, address)
    if decider.client.local is not None:
        return LookUp()
    keys = key_variables(llm.model, address)
    if llm.key_variable:
        keys = {llm.key_variable: bool(os.environ.get(llm.key_variable))}
    missing = tuple(name for name, is_set in keys.items() if not is_set)
    return LookUp(missing, decider.client.price(1, 1) is not None)


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
