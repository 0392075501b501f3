"""The sidebar's forms: each shows a part of the settings and hands on changed ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import solara

from mesa_llmspread.app.event_form import EventForm
from mesa_llmspread.app.llm_form import LLMForm
from mesa_llmspread.app.number_field import NumberField
from mesa_llmspread.app.session import View
from mesa_llmspread.app.settings import LAWS, Settings
from mesa_llmspread.deciders import registered_deciders
from mesa_llmspread.networks import NETWORKS
from mesa_llmspread.profiles import Trait, codes
from mesa_llmspread.transmission import resolve_law

__all__ = ["Forms"]

Change = Callable[[Settings], None]

_POPULATIONS = {
    "uniform": "32 profiles, equally likely",
    "norms": "32 profiles as in people",
    "one profile": "everybody the same",
    "shares": "shares of high traits",
}
_DECIDERS = {
    "traits": "personality (offline stand-in)",
    **{name: f"law: {name}" for name in LAWS},
    "llm": "a language model",
}
_NETWORKS = {name: name.replace("_", " ") for name in NETWORKS}
_FEEDS = {"persistent": "posts stay in view", "new": "posts are seen once"}


@solara.component
def Forms(settings: Settings, on_settings: Change, views: solara.Reactive[View]) -> None:
    """Show every choice of a run.

    Parameters
    ----------
    settings : Settings
        What is chosen.
    on_settings : callable
        Called with what is chosen now.
    views : reactive View
        What there is to see.
    """
    # A language model decides only once it has a name.
    decider, set_decider = solara.use_state(settings.decider)
    solara.use_effect(lambda: set_decider(settings.decider), [settings.decider])

    def change(**changes: Any) -> None:
        on_settings(replace(settings, **changes))

    def decide(name: str) -> None:
        set_decider(name)
        if name != "llm" or settings.llm.model:
            change(decider=name)

    EventForm(settings.event, lambda event: change(event=event))
    _Choice("Network", _NETWORKS, settings.network, lambda name: change(network=name))
    solara.SliderInt(
        f"Agents: {settings.n}",
        value=settings.n,
        min=20,
        max=2000,
        step=20,
        on_value=lambda n: change(n=n),
    )
    solara.SliderInt(
        f"Neighbours: {settings.k}",
        value=settings.k,
        min=2,
        max=20,
        step=1,
        on_value=lambda k: change(k=k),
    )
    PopulationForm(settings, on_settings)
    # Those of the operator: a visitor's text could have the server import anything.
    own = {name: f"{name} (registered)" for name in (*registered_deciders(), settings.decider)}
    _Choice("Who decides", own | _DECIDERS, decider, decide)
    if settings.decider in LAWS and decider == settings.decider:
        RatesForm(settings, on_settings)
    if decider == "llm":
        used = settings.llm if settings.decider == "llm" else None
        LLMForm(settings.llm, used, lambda llm: change(llm=llm, decider="llm"), views)
    _Choice("Feed", _FEEDS, settings.feed, lambda feed: change(feed=feed))
    solara.SliderFloat(
        f"Sees the event itself: {settings.media_prob:.2f} a step",
        value=settings.media_prob,
        min=0,
        max=0.2,
        step=0.01,
        on_value=lambda chance: change(media_prob=chance),
    )
    solara.SliderInt(
        f"Initial spreaders: {settings.initial_infected}",
        value=settings.initial_infected,
        min=1,
        max=50,
        on_value=lambda number: change(initial_infected=number),
    )
    NumberField("Seed", settings.rng, lambda seed: change(rng=seed))
    NumberField("Run at most (steps)", settings.steps, lambda steps: change(steps=max(1, steps)))


@solara.component
def PopulationForm(settings: Settings, on_settings: Change) -> None:
    """Show how personalities are drawn.

    Parameters
    ----------
    settings : Settings
        What is chosen.
    on_settings : callable
        Called with what is chosen now.
    """
    _Choice(
        "Personalities",
        _POPULATIONS,
        settings.population,
        lambda name: on_settings(replace(settings, population=name)),
    )
    for place, trait in enumerate(Trait):
        if settings.population == "one profile":
            code = settings.profile
            solara.Switch(
                label=f"high {trait.value}",
                value=code[place].isupper(),
                on_value=lambda _, place=place: on_settings(
                    replace(settings, profile=flipped(settings.profile, place))
                ),
            )
        elif settings.population == "shares":
            solara.SliderFloat(
                f"high {trait.value}: {settings.shares[trait.value]:.0%}",
                value=settings.shares[trait.value],
                min=0,
                max=1,
                step=0.05,
                on_value=lambda share, trait=trait: on_settings(
                    replace(settings, shares={**settings.shares, trait.value: share})
                ),
            )


@solara.component
def RatesForm(settings: Settings, on_settings: Change) -> None:
    """Show the rates of the law that decides.

    Parameters
    ----------
    settings : Settings
        What is chosen.
    on_settings : callable
        Called with what is chosen now.
    """
    law = settings.decider
    rates = settings.rates[law]
    labels = resolve_law(law).labels
    for place, name in enumerate(LAWS[law]):
        solara.SliderFloat(
            f"{labels.get(name, name)}: {rates[place]:.2f}",
            value=rates[place],
            min=0,
            max=1,
            step=0.01,
            on_value=lambda rate, place=place: on_settings(
                replace(
                    settings,
                    rates={**settings.rates, law: (*rates[:place], rate, *rates[place + 1 :])},
                )
            ),
        )


@solara.component
def _Choice(label: str, names: dict[str, str], value: str, on_value: Callable[[str], None]) -> None:
    """Show a choice of things under readable names."""
    by_label = {shown: name for name, shown in names.items()}
    solara.Select(
        label,
        values=list(by_label),
        value=names[value],
        on_value=lambda shown: on_value(by_label[shown]),
        dense=True,
    )


def flipped(code: str, place: int) -> str:
    """Turn one trait of a profile's code to its other side.

    Parameters
    ----------
    code : str
        Of five letters.
    place : int
        The trait, 0 to 4.

    Returns
    -------
    str

    Examples
    --------
    >>> flipped("OCEAN", 1)
    'OcEAN'
    """
    index = codes().index(code) ^ 1 << (4 - place)
    return codes()[index]
