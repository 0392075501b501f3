"""The sidebar: the buttons of a run, and a form for every choice of the settings."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import solara
import solara.lab

from mesa_llmspread._words import counted
from mesa_llmspread.app.language_model import look_up, refusal
from mesa_llmspread.app.session import Session, View, explained
from mesa_llmspread.app.settings import CONTROLS, LAWS, Control, LLMSettings, Settings
from mesa_llmspread.app.widgets import Field, Upload
from mesa_llmspread.deciders import registered_deciders
from mesa_llmspread.events import OfflineEvent, bundled_events, read_events
from mesa_llmspread.exceptions import InputFileError
from mesa_llmspread.profiles import Trait
from mesa_llmspread.transmission import resolve_law

__all__ = ["MOST_BYTES", "Controls", "Forms", "read_upload"]

#: Size of the largest file that is read.
MOST_BYTES = 5_000_000

_MODEL = Control("Model (provider/name)")
_ADDRESS = Control("Address (empty: the provider's)")
_KEY = Control("Key, from the server's variable")
_LIMIT = Control("Spend at most (USD; 0: no limit)", least=0)
_NOTE = ["spread-note"]

Change = Callable[..., None]


@solara.component
def Controls(session: Session, views: solara.Reactive[View]) -> None:
    """Show the four buttons and the speed.

    Parameters
    ----------
    session : Session
        Carries the orders out.
    views : reactive View
        What there is to see.
    """
    view = views.value
    speed, set_speed = solara.use_state(4)
    idle = not view.busy and view.model is not None and not view.ended

    def change(speed: int) -> None:
        set_speed(speed)
        session.pause = 1 / speed

    with solara.Row(gap="6px", classes=["spread-buttons"]):
        solara.Button("Step", session.step, disabled=not idle, small=True)
        solara.Button("Run", session.run, disabled=not idle, color="primary", small=True)
        solara.Button("Stop", session.stop, disabled=not view.busy, small=True)
        solara.Button("Reset", session.reset, small=True)
    _Choice(Control(f"Speed: {counted(speed, 'step')} per second", span=(1, 20, 1)), speed, change)


@solara.component
def Forms(settings: Settings, on_settings: Callable[[Settings], None]) -> None:
    """Show every choice of a run.

    Parameters
    ----------
    settings : Settings
        What is chosen.
    on_settings : callable
        Called with what is chosen now.
    """

    def change(**changes: Any) -> None:
        on_settings(replace(settings, **changes))

    _Event(settings.event, _setter(change, "event"))
    parts = {"population": _Population, "decider": _Decider}
    for name, control in CONTROLS.items():
        if name in parts:
            parts[name](settings, change)
        else:
            _Choice(control, getattr(settings, name), _setter(change, name))


def _setter(change: Change, name: str) -> Callable[[Any], None]:
    return lambda value: change(**{name: value})


@solara.component
def _Choice(control: Control, value: Any, on_value: Callable[[Any], None]) -> None:
    """Show one choice as a list, a slider or a field for a number or a text."""
    problem, set_problem = solara.use_state("")

    def read(text: str) -> None:
        try:
            new = type(value)(text.strip())
        except ValueError:
            kind = "whole number" if isinstance(value, int) else "number"
            set_problem(f"{text!r} is not a {kind}")
            return
        if isinstance(new, str) or new >= control.least:
            set_problem("")
            on_value(new)
        else:
            set_problem(f"must be at least {control.least:g}")

    label = control.label.format(value)
    if control.choices:
        names = {shown: name for name, shown in control.choices.items()}
        solara.Select(
            label,
            values=list(names),
            value=control.choices[value],
            on_value=lambda shown: on_value(names[shown]),
            dense=True,
        )
    elif control.span:
        least, most, step = control.span
        slider = solara.SliderInt if isinstance(step, int) else solara.SliderFloat
        slider(label, value=value, min=least, max=most, step=step, on_value=on_value)
    else:
        text = f"{value:g}" if isinstance(value, float) else str(value)
        Field(label=label, value=text, problem=problem, event_changed=read)


@solara.component
def _Event(event: OfflineEvent, on_event: Callable[[OfflineEvent], None]) -> None:
    """Show what the news is about: a bundled event, or one of the visitor's file."""
    own, set_own = solara.use_state(())
    problem, set_problem = solara.use_state("")
    # The chosen one may be of a file that another one has replaced.
    labels = {event: f"{_label(event)}, your earlier file"}
    labels |= {each: f"{_label(each)}, your file" for each in own}
    labels |= {each: _label(each) for each in bundled_events()}

    def take(file: Mapping[str, Any]) -> None:
        try:
            events = read_upload(file["name"], file["size"], base64.b64decode(file["content"]))
        except InputFileError as error:
            set_problem(str(error))
        else:
            set_problem("")
            set_own(events)
            on_event(events[0])

    _Choice(Control("Event", labels), event, on_event)
    Upload(label="Your own events (ACLED, UCDP GED or CSV)", most=MOST_BYTES, event_file=take)
    if problem:
        solara.Error(problem, dense=True)


def _label(event: OfflineEvent) -> str:
    return f"{event.event_type}, {event.fatalities} killed ({event.event_id})"


def read_upload(name: str, size: int, content: bytes) -> tuple[OfflineEvent, ...]:
    """Read the events of a visitor's file.

    Parameters
    ----------
    name : str
        The file's name, for messages only.
    size : int
        Its size in bytes.
    content : bytes
        What is in it.

    Returns
    -------
    tuple of OfflineEvent

    Raises
    ------
    InputFileError
        If it is too large, or cannot be read as events.
    """
    if max(size, len(content)) > MOST_BYTES:
        problem = f"is {size / 1e6:.1f} MB large; must be at most {MOST_BYTES / 1e6:.0f} MB"
        raise InputFileError(name, problem)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.csv"
        path.write_bytes(content)
        try:
            return read_events(path)
        except InputFileError as error:
            # The visitor knows the file by its own name.
            raise InputFileError(name, error.problem, row=error.row, column=error.column) from None


@solara.component
def _Population(settings: Settings, change: Change) -> None:
    """Show how personalities are drawn."""
    _Choice(CONTROLS["population"], settings.population, _setter(change, "population"))
    code = settings.profile
    if settings.population == "one profile":
        for place, trait in enumerate(Trait):
            other = code[:place] + code[place].swapcase() + code[place + 1 :]
            solara.Switch(
                label=f"high {trait.value}",
                value=code[place].isupper(),
                on_value=lambda _, other=other: change(profile=other),
            )
    elif settings.population == "shares":
        shares = {
            name: Control(f"high {name}: {{:.0%}}", span=(0, 1, 0.05)) for name in settings.shares
        }
        _Sliders(settings.shares, shares, _setter(change, "shares"))


@solara.component
def _Sliders(values: Mapping[str, float], controls: Mapping[str, Control], change: Change) -> None:
    """Show several values, each by its control; ``change`` is called with all of them."""
    for name, control in controls.items():
        _Choice(control, values[name], lambda new, name=name: change({**values, name: new}))


@solara.component
def _Decider(settings: Settings, change: Change) -> None:
    """Show who decides, with the law's rates or the language model."""
    # A language model decides only once it has a name.
    decider, set_decider = solara.use_state(settings.decider)
    solara.use_effect(lambda: set_decider(settings.decider), [settings.decider])

    def decide(name: str) -> None:
        set_decider(name)
        if name != "llm" or settings.llm.model:
            change(decider=name)

    control = CONTROLS["decider"]
    # Those of the operator: a visitor's text could make the server import anything.
    own = {name: f"{name} (registered)" for name in (*registered_deciders(), settings.decider)}
    _Choice(replace(control, choices={**own, **control.choices}), decider, decide)
    if decider == "llm":
        used = settings.llm if settings.decider == "llm" else None
        _LanguageModel(settings.llm, used, lambda llm: change(llm=llm, decider="llm"))
    elif decider in LAWS and decider == settings.decider:
        labels = resolve_law(decider).labels
        rates = {
            name: Control(f"{labels.get(name, name)}: {{:.2f}}", span=(0, 1, 0.01))
            for name in LAWS[decider]
        }
        all_rates = settings.rates
        _Sliders(all_rates[decider], rates, lambda new: change(rates={**all_rates, decider: new}))


@solara.component
def _LanguageModel(
    llm: LLMSettings, used: LLMSettings | None, on_llm: Callable[[LLMSettings], None]
) -> None:
    """Show the choice of a language model; ``used`` is the model that decides now, if any."""
    asked, set_asked = solara.use_state(llm)

    def change(**changes: Any) -> None:
        set_asked(lambda now: replace(now, **changes))

    # In a thread: litellm takes seconds to load.
    found = solara.lab.use_task(
        lambda: look_up(asked),
        dependencies=[asked.model, asked.api_base],
        raise_error=False,
        prefer_threaded=True,
    )
    known = found.value if found.finished else None
    keys, priced = known or ({}, False)
    refused = refusal(asked) or (explained(found.exception) if found.error else "")
    # Where no price is known no limit can be kept.
    wanted = asked if priced else replace(asked, max_cost_usd=0.0)

    def use() -> None:
        # Asked again: what the button allows is decided in the browser.
        if known and not refusal(wanted):
            on_llm(wanted)

    _Choice(_MODEL, asked.model, _setter(change, "model"))
    _Choice(_ADDRESS, asked.api_base, _setter(change, "api_base"))
    if refused:
        solara.Error(refused, dense=True)
    elif known:
        _Choice(replace(_KEY, choices=keys), asked.key_variable, _setter(change, "key_variable"))
        solara.Text("A key is never typed in here, and never shown.", classes=_NOTE)
        if priced:
            _Choice(_LIMIT, asked.max_cost_usd, _setter(change, "max_cost_usd"))
        else:
            solara.Text("Its price is not known, so spending cannot be limited.", classes=_NOTE)
    elif asked.model:
        solara.Text("Looking it up …", classes=_NOTE)
    # Until it is known whether there is a price, the limit is open.
    shown = wanted if known or used is None else replace(asked, max_cost_usd=used.max_cost_usd)
    if shown != used:
        unused = "This language model is not in use yet: press “Use this model”."
        solara.Warning(unused, dense=True, classes=["spread-unused"])
    solara.Button("Use this model", use, disabled=not known or bool(refused), small=True)
