"""The form: every setting of a run in four groups, and the visitor's own events and model."""

from __future__ import annotations

import base64
import binascii
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import solara
import solara.lab

from mesa_llmspread.app.live_models import Access, LookUp, look_up
from mesa_llmspread.app.session import explained
from mesa_llmspread.app.settings import CONTROLS, LAWS, Control, LLMSettings, Settings
from mesa_llmspread.app.widgets import Buttons, Fields, Section
from mesa_llmspread.deciders import registered_deciders
from mesa_llmspread.deciders.llm.providers import load_litellm
from mesa_llmspread.events import OfflineEvent, bundled_events, read_events
from mesa_llmspread.exceptions import InputFileError
from mesa_llmspread.profiles import Trait
from mesa_llmspread.transmission import resolve_law

__all__ = ["MOST_BYTES", "Form", "FormBuilder", "read_upload"]

#: Size of the largest file that is read.
MOST_BYTES = 5_000_000

#: The groups of the form; the first ones are open.
GROUPS = {"World": True, "People": True, "News": False, "Advanced": False}

_ANOTHER = "another live model"


@dataclass(frozen=True)
class FormBuilder:
    """The fields of the form as plain values, and what to do when one is changed."""

    fields: list[tuple[str, dict[str, Any], Callable[[Any], None]]]

    def control(
        self, name: str, control: Control, value: Any, change: Callable[[Any], None], **more: Any
    ) -> None:
        """Add a list, a slider or a field; ``change`` gets allowed values only."""

        def read(sent: Any) -> None:
            # Sent by a browser, so it may be anything.
            if control.choices:
                if isinstance(sent, int) and 0 <= sent < len(control.choices):
                    change(list(control.choices)[sent])
            elif isinstance(value, str):
                change(str(sent))
            elif isinstance(sent, int | float) and least <= sent <= most:
                change(type(value)(sent))

        least, most, step = control.span or (control.least, float("inf"), 0)
        shown: dict[str, Any] = {"kind": "text", "value": value}
        if control.choices:
            options = list(control.choices.values())
            shown = {
                "kind": "list",
                "options": options,
                "value": list(control.choices).index(value),
            }
        elif control.span:
            shown = {"kind": "slider", "value": value, "least": least, "most": most, "step": step}
        elif not isinstance(value, str):
            shown = {"kind": "number", "value": value, "whole": isinstance(value, int)}
            shown["least"] = max(least, -1e9)
        label = {"name": name, "label": control.label}
        self.fields.append((control.group, {**label, **shown, **more}, read))

    def add(self, group: str, change: Callable[[Any], None], **field: Any) -> None:
        """Add another kind of field."""
        self.fields.append((group, field, change))

    def note(self, group: str, name: str, text: str, alarm: bool = False) -> None:
        """Add a sentence, if there is one."""
        if text:
            note = {"kind": "note", "name": f"spread-{name}", "label": text, "alarm": alarm}
            self.fields.append((group, note, lambda _: None))

    def groups(self) -> list[dict[str, Any]]:
        """Return the fields, group by group."""
        return [
            {
                "title": title,
                "open": is_open,
                "fields": [f for g, f, _ in self.fields if g == title],
            }
            for title, is_open in GROUPS.items()
        ]

    def changed(self, message: Mapping[str, Any]) -> None:
        """Pass on what a browser has sent."""
        for _, field, change in self.fields:
            if field["name"] == message["name"]:
                change(message["value"])


@solara.component
def Form(
    settings: Settings,
    access: Access,
    on_settings: Callable[[Settings], None],
    on_pause: Callable[[float], None],
) -> None:
    """Show every setting of a run.

    Parameters
    ----------
    settings : Settings
        What is chosen.
    access : Access
        Which live language models the visitor may call.
    on_settings : callable
        Called with what is chosen now.
    on_pause : callable
        Called with the seconds between two steps.
    """
    speed, set_speed = solara.use_state(4)
    own, set_own = solara.use_state(())
    problem, set_problem = solara.use_state("")
    # A live model that the visitor is naming; None where the fields for it are closed.
    asked, set_asked = solara.use_state(None)
    found = solara.lab.use_task(
        lambda: _look_up(asked, access) if asked is not None else None,
        dependencies=[asked],
        raise_error=False,
        prefer_threaded=True,  # litellm takes seconds to load
    )
    form = FormBuilder([])
    controls = settings.controls()
    # Two changes may come before the form is drawn again: the second one adds to the first.
    latest, naming = solara.use_ref(settings), solara.use_ref(asked)
    latest.current, naming.current = settings, asked

    def change(**changes: Any) -> None:
        latest.current = replace(latest.current, **changes)
        on_settings(latest.current)

    def ask(**changes: Any) -> None:
        naming.current = replace(naming.current or asked, **changes)
        set_asked(naming.current)

    def setting(name: str) -> None:
        form.control(
            name, controls[name], getattr(settings, name), lambda value: change(**{name: value})
        )

    def upload(file: Mapping[str, Any]) -> None:
        try:
            content = base64.b64decode(file["content"], validate=True)
            events = read_upload(str(file["name"]), int(file["size"]), content)
        except (InputFileError, binascii.Error) as error:
            set_problem(str(error))
        else:
            set_problem("")
            set_own(events)
            change(event=events[0])

    def pace(speed: int) -> None:
        set_speed(speed)
        on_pause(1 / speed)

    for name in ("network", "n", "k", "population"):
        setting(name)
    _population(form, settings, change)
    _decider(form, settings, access, asked, set_asked, change)
    if asked is not None:
        _live_model(form, settings, access, asked, found, ask, change)
    form.control("event", _events(settings.event, own), settings.event, lambda e: change(event=e))
    label = "Your own events (ACLED, UCDP GED or CSV)"
    form.add("News", upload, kind="file", name="upload", label=label, most=MOST_BYTES)
    form.note("News", "upload-problem", problem, alarm=True)
    for name in ("initial_infected", "feed", "media_prob", "rng", "steps"):
        setting(name)
    form.control("speed", Control("Advanced", "Steps per second", span=(1, 20, 1)), speed, pace)
    default = settings == Settings() and asked is None

    def restore(_: Any) -> None:
        set_asked(None)
        on_settings(Settings())

    with Section("div"):
        Fields(groups=form.groups(), event_change=form.changed)
        button = {"name": "defaults", "label": "Defaults", "disabled": default}
        Buttons(label="Settings", items=[button], event_press=restore)


def _look_up(asked: LLMSettings, access: Access) -> LookUp | None:
    """Return what is known of a model; load what that takes while its name is being typed."""
    load_litellm()
    return look_up(asked) if asked.model and not access.refusal(asked) else None


def _events(event: OfflineEvent, own: tuple[OfflineEvent, ...]) -> Control:
    """Return the list of events: the bundled ones, and those of the visitor's file."""
    # The chosen one may be of a file that another one has replaced.
    labels = {event: f"{_label(event)}, your earlier file"}
    labels |= {each: f"{_label(each)}, your file" for each in own}
    labels |= {each: _label(each) for each in bundled_events()}
    return Control("News", "Event", labels)


def _label(event: OfflineEvent) -> str:
    place = ", ".join(part for part in (event.location, event.country) if part)
    what = f"{event.event_type}, {event.fatalities} killed"
    return f"{event.date:%Y-%m-%d}, {place}: {what} ({event.event_id})"


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
    if content.startswith(b"\x1f\x8b"):
        # A small one may be enormous.
        raise InputFileError(name, "is compressed: choose the file that is in it")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.csv"
        path.write_bytes(content)
        try:
            return read_events(path)
        except InputFileError as error:
            # The visitor knows the file by its own name.
            raise InputFileError(name, error.problem, row=error.row, column=error.column) from None


def _population(form: FormBuilder, settings: Settings, change: Callable[..., None]) -> None:
    """Add what a population needs besides its name."""
    code = settings.profile
    for place, trait in enumerate(Trait):
        name = trait.value
        if settings.population == "one profile":
            other = code[:place] + code[place].swapcase() + code[place + 1 :]

            def swap(_: Any, other: str = other) -> None:
                change(profile=other)

            high = {"label": f"high {name}", "value": code[place].isupper()}
            form.add("People", swap, kind="switch", name=f"trait-{name}", **high)
        elif settings.population == "shares":
            control = Control("People", f"high {name}", span=(0, 1, 0.05))

            def share(value: float, name: str = name) -> None:
                change(shares={**settings.shares, name: value})

            form.control(f"share-{name}", control, settings.shares[name], share, percent=True)


def decider_choices() -> dict[Any, str]:
    """Return what may decide, without live models, and what each is called.

    Own deciders are those of the operator: a visitor's text could make the server import anything.
    """
    own = {name: f"registered: {name}" for name in registered_deciders()}
    return {**CONTROLS["decider"].choices, **own}


def _decider(
    form: FormBuilder,
    settings: Settings,
    access: Access,
    asked: LLMSettings | None,
    set_asked: Callable[[LLMSettings | None], None],
    change: Callable[..., None],
) -> None:
    """Add who decides, and the law's rates."""
    control = CONTROLS["decider"]
    choices = decider_choices() | {model: f"live model: {model.model}" for model in access.models}
    if access.free:
        choices[_ANOTHER] = "a live model …"
    now = settings.llm if settings.llm in access.models else _ANOTHER
    now = _ANOTHER if asked is not None else now if settings.decider == "llm" else settings.decider
    choices.setdefault(now, str(now))

    def decide(chosen: Any) -> None:
        set_asked(None if chosen != _ANOTHER else asked or settings.llm)
        if isinstance(chosen, LLMSettings):
            change(decider="llm", llm=chosen)
        elif chosen != _ANOTHER:
            change(decider=chosen)

    form.control("decider", replace(control, choices=choices), now, decide)
    if asked is None and settings.decider in LAWS:
        labels, all_rates = resolve_law(settings.decider).labels, settings.rates
        rates = all_rates[settings.decider]
        for name, value in rates.items():
            shown = Control("People", labels.get(name, name), span=(0, 1, 0.01))

            def set_rate(new: float, name: str = name) -> None:
                change(rates={**all_rates, settings.decider: {**rates, name: float(new)}})

            form.control(f"rate-{name}", shown, float(value), set_rate)


def _live_model(
    form: FormBuilder,
    settings: Settings,
    access: Access,
    asked: LLMSettings,
    found: Any,
    ask: Callable[..., None],
    change: Callable[..., None],
) -> None:
    """Add the fields that name a live model, and what the server knows of it."""
    model, address = "Model (provider/name, or gguf:FILE)", "Address (empty: the provider's)"
    for name, label in (("model", model), ("api_base", address)):

        def put(value: str, name: str = name) -> None:
            ask(**{name: value.strip()})

        form.control(f"llm-{name}", Control("People", label), getattr(asked, name), put)
    refused = access.refusal(asked) if asked.model else "Name a model to use it."
    known: LookUp | None = found.value if found.finished and not refused else None
    if found.error and not refused:
        refused = explained(found.exception)
    if known is not None and known.missing:
        refused = f"Its key is missing: the server's variable {' and '.join(known.missing)} is not "
        refused += "set. A key is never typed in here."
    form.note("People", "refused", refused, alarm=bool(asked.model))
    if not refused and known is None:
        form.note("People", "looking", "Looking it up. The first time takes some seconds …")
    if known is not None and known.priced:

        def limit(value: float) -> None:
            ask(max_cost_usd=float(value))

        shown = Control("People", "Spend at most (USD per run; 0: no limit)", least=0)
        form.control("llm-limit", shown, float(asked.max_cost_usd), limit)
    elif known is not None and not refused:
        form.note("People", "price", "Its price is not known, so spending cannot be limited.")
    in_use = settings.decider == "llm" and settings.llm == asked
    if not in_use:
        form.note("People", "unused", "This model is not in use yet: press “Use this model”.")

    def use(_: Any) -> None:
        # What the button allows is decided in the browser.
        if known is not None and not refused:
            change(decider="llm", llm=asked)

    disabled = known is None or bool(refused) or in_use
    label = "Use this model"
    form.add("People", use, kind="button", name="use", label=label, disabled=disabled)
