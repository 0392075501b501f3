"""Which language model decides. Its key is the server's affair and never passes this page."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import solara
import solara.lab

from mesa_llmspread.app.allowed import allowed_keys, refusal
from mesa_llmspread.app.number_field import NumberField
from mesa_llmspread.app.session import View
from mesa_llmspread.app.settings import LLMSettings
from mesa_llmspread.app.widgets import Field
from mesa_llmspread.exceptions import LLMSpreadError

__all__ = ["Known", "LLMForm", "look_up"]


@dataclass(frozen=True)
class Known:
    """What the server knows of a model.

    Attributes
    ----------
    keys : mapping of str to bool
        The variables that the provider's key is read from, and whether each is set.
    priced : bool
        Whether what it costs is known.
    problem : str
        Why it cannot be used, in a sentence; "" if it can.
    """

    keys: Mapping[str, bool]
    priced: bool
    problem: str = ""


@solara.component
def LLMForm(
    llm: LLMSettings,
    used: LLMSettings | None,
    on_llm: Callable[[LLMSettings], None],
    views: solara.Reactive[View],
) -> None:
    """Show the choice of a language model.

    Parameters
    ----------
    llm : LLMSettings
        What the form starts with.
    used : LLMSettings or None
        What the running model uses; None where another decider decides.
    on_llm : callable
        Called with what is chosen now.
    views : reactive View
        What there is to see.
    """
    asked, set_asked = solara.use_state(llm)

    def change(**changes: str | float) -> None:
        set_asked(lambda now: replace(now, **changes))

    # In a thread: litellm takes seconds to load.
    found = solara.lab.use_task(
        lambda: look_up(asked),
        dependencies=[asked.model, asked.api_base],
        raise_error=False,
        prefer_threaded=True,
    )
    known = found.value if found.finished else None
    # Where no price is known no limit could be kept.
    wanted = replace(asked, limit=asked.limit if known and known.priced else 0.0)

    def use() -> None:
        # Asked again: what the button allows is decided in the browser.
        if known and not known.problem and not refusal(wanted):
            on_llm(wanted)

    Field(
        label="Model (provider/name)",
        value=asked.model,
        event_changed=lambda text: change(model=text.strip()),
    )
    Field(
        label="Address (empty: the provider's)",
        value=asked.api_base,
        event_changed=lambda text: change(api_base=text.strip()),
    )
    refused = refusal(asked) or (known.problem if known else "")
    if refused:
        solara.Error(refused, dense=True)
    elif known:
        KeyForm(asked.key_variable, known.keys, lambda name: change(key_variable=name))
        if known.priced:
            NumberField(
                "Spend at most (USD; 0: no limit)",
                asked.limit,
                lambda limit: change(limit=max(0.0, limit)),
                whole=False,
            )
        else:
            solara.Text("Its price is not known, so spending cannot be limited.", classes=_NOTE)
    elif asked.model:
        solara.Text("Looking it up …", classes=_NOTE)
    # Until it is known whether there is a price, the limit is not settled.
    shown = wanted if known or used is None else replace(asked, limit=used.limit)
    if shown != used:
        NotUsed(views)
    solara.Button("Use this model", use, disabled=not known or bool(refused), small=True)


@solara.component
def NotUsed(views: solara.Reactive[View]) -> None:
    """Say that what the form shows is not what runs.

    Parameters
    ----------
    views : reactive View
        What there is to see.
    """
    runs = views.value.decided_by
    who = f"Decisions are made by {runs}" if runs else "There is no model"
    solara.Warning(
        f"This language model is not in use yet. {who}, until you press “Use this model”.",
        dense=True,
        classes=["spread-unused"],
    )


_NOTE = ["spread-note"]


@solara.component
def KeyForm(chosen: str, keys: Mapping[str, bool], on_chosen: Callable[[str], None]) -> None:
    """Show where the key comes from, and, if the operator lists others, their choice.

    Parameters
    ----------
    chosen : str
        The variable that is chosen; "" for the provider's own.
    keys : mapping of str to bool
        The provider's own, and whether each is set.
    on_chosen : callable
        Called with what is chosen now.
    """
    own = ", ".join(f"{name} ({_state(is_set)})" for name, is_set in keys.items())
    own = own or "none needed, or set"
    if others := allowed_keys():
        names = {own: ""} | {
            f"{name} ({_state(bool(os.environ.get(name)))})": name for name in others
        }
        solara.Select(
            "Key, from the server's variable",
            values=list(names),
            value=next((shown for shown, name in names.items() if name == chosen), None),
            on_value=lambda shown: on_chosen(names[shown]),
            dense=True,
        )
    else:
        solara.Text(f"Key, from the server's variable: {own}", classes=_NOTE)
    solara.Text("A key is never typed in here, and never shown.", classes=_NOTE)


def _state(is_set: bool) -> str:
    return "set" if is_set else "not set"


def look_up(llm: LLMSettings) -> Known | None:
    """Find out what the server knows of a model, without calling it.

    Parameters
    ----------
    llm : LLMSettings
        Its name and address.

    Returns
    -------
    Known or None
        None where no model is named, or it may not be used anyway.
    """
    if not llm.model or refusal(replace(llm, key_variable="")):
        return None
    from mesa_llmspread.deciders import LLMDecider
    from mesa_llmspread.deciders.llm.client import key_variables

    try:
        address = llm.api_base or None
        priced = LLMDecider(llm.model, address).client.price(1, 1) is not None
        return Known(key_variables(llm.model, address), priced)
    except LLMSpreadError as error:
        return Known({}, False, str(error))
