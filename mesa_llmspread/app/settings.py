"""Every setting of a run, as plain values, and how each one is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mesa_llmspread.deciders import Decider, LLMDecider
from mesa_llmspread.events import OfflineEvent, get_event
from mesa_llmspread.networks import NETWORKS
from mesa_llmspread.profiles import Trait, codes
from mesa_llmspread.tables import DEFAULT_TABLE, load_table, table_names

if TYPE_CHECKING:
    from mesa_llmspread.model import SpreadModel

__all__ = ["CONTROLS", "LAWS", "Control", "LLMSettings", "Settings"]

#: The laws that can decide, and the rates they start with.
LAWS: dict[str, dict[str, float]] = {
    "SI": {"beta": 0.05},
    "FirstRepeat": {"beta_first": 0.2, "beta_repeat": 0.04},
    "SingleMultiple": {"beta_single": 0.05, "beta_multiple": 0.2},
    "TwoClass": {"beta_low": 0.02, "beta_high": 0.2, "share_high": 0.3},
    "OnlineOffline": {"alpha": 0.2, "beta": 0.04},
}


@dataclass(frozen=True)
class Control:
    """How one setting is shown: as a list, as a slider, or as a field to type in.

    Attributes
    ----------
    group : str
        The heading that it stands under.
    label : str
        Its name on the page.
    choices : mapping of object to str
        For a list: the values, and how each is shown.
    span : tuple of float, or None
        For a slider: lowest value, highest value and step.
    least : float
        For a field with a number: the lowest that is allowed.
    """

    group: str
    label: str
    choices: Mapping[Any, str] = field(default_factory=dict)
    span: tuple[float, float, float] | None = None
    least: float = -math.inf


def _shown(default: Any, group: str, label: str, **how: Any) -> Any:
    """Return a field of the settings that the form shows."""
    return field(default=default, metadata={"control": Control(group, label, **how)})


def _measured(name: str) -> tuple[str, str]:
    """Return the model behind a shipped table, and when its answers were measured."""
    info = load_table(name).info
    return info["model"], info["date"]


@dataclass(frozen=True)
class LLMSettings:
    """The language model that decides.

    Attributes
    ----------
    model : str
        litellm's name of the model.
    api_base : str
        Address of its server; "" for the provider's own.
    max_cost_usd : float
        What a run may spend; 0 for no limit.
    key_variable : str
        Environment variable that holds the key; "" for the provider's own.
    """

    model: str = ""
    api_base: str = ""
    max_cost_usd: float = 1.0
    key_variable: str = ""

    def arguments(self) -> dict[str, Any]:
        """Return the decider's arguments, except the model and those left at their defaults."""
        return {name: value for name, value in vars(self).items() if value and name != "model"}


@dataclass(frozen=True)
class Settings:
    """Every choice of a run, in the order of the form.

    Attributes
    ----------
    event : OfflineEvent
        What the news is about.
    network : str
        A name of :data:`mesa_llmspread.networks.NETWORKS`.
    n, k : int
        Agents, and neighbours per agent.
    population : {"uniform", "norms", "one profile", "shares"}
        How personalities are drawn.
    profile : str
        The code of all agents, where the population is one profile.
    shares : mapping of str to float
        Share of agents high in each trait, where the population is given by shares.
    decider : str
        ``"table('NAME')"``, ``"traits"``, a name of :data:`LAWS`, ``"llm"`` for a live language
        model, or text as ``SpreadModel`` takes it.
    rates : mapping of str to mapping of str to float
        The rates of each law.
    llm : LLMSettings
        The live language model, where it decides.
    initial_infected : int
        Agents who have posted at step 0.
    feed : {"persistent", "new"}
        Whether posts stay in view.
    media_prob : float
        Probability per step that an agent sees the event itself.
    rng : int
        The seed.
    steps : int
        The most steps that one run takes; the model does not depend on it.
    """

    event: OfflineEvent = field(default_factory=lambda: get_event("battles-40"))
    network: str = _shown(
        "random_regular",
        "World",
        "Network",
        choices={name: name.replace("_", " ") for name in NETWORKS},
    )
    n: int = _shown(200, "World", "Agents", span=(20, 2000, 20))
    k: int = _shown(8, "World", "Neighbours per agent", span=(2, 20, 1))
    population: str = _shown(
        "uniform",
        "People",
        "Personalities",
        choices={
            "uniform": "32 profiles, equally likely",
            "norms": "32 profiles, as frequent as in people",
            "one profile": "one profile for all",
            "shares": "shares of high traits",
        },
    )
    profile: str = "OCEAN"
    shares: Mapping[str, float] = field(
        default_factory=lambda: {trait.value: 0.5 for trait in Trait}
    )
    decider: str = _shown(
        f"table({DEFAULT_TABLE!r})",
        "People",
        "Who decides",
        choices={
            **{
                f"table({name!r})": "table: {} ({})".format(*_measured(name))
                for name in table_names()
            },
            "traits": "invented rules about personality",
            **{name: f"law: {name}" for name in LAWS},
        },
    )
    rates: Mapping[str, Mapping[str, float]] = field(default_factory=lambda: LAWS)
    llm: LLMSettings = field(default_factory=LLMSettings)
    initial_infected: int = _shown(10, "News", "Agents that post first", span=(1, 50, 1))
    feed: str = _shown(
        "persistent",
        "News",
        "Posts in view",
        choices={"persistent": "for good", "new": "for one step"},
    )
    media_prob: float = _shown(
        0.0, "News", "Probability per step to see the event itself", span=(0, 0.2, 0.01)
    )
    rng: int = _shown(1, "Advanced", "Seed", least=0)
    steps: int = _shown(60, "Advanced", "Most steps per run", least=1)

    def possible(self) -> Settings:
        """Return these settings, with numbers that do not go together lowered until they do.

        Examples
        --------
        >>> settings = Settings(n=20, k=20, initial_infected=50).possible()
        >>> settings.k, settings.initial_infected
        (19, 10)
        """
        k = min(self.k, self.n - 1)
        if self.network == "small_world" or self.n % 2:
            k -= k % 2
        return replace(self, k=k, initial_infected=min(self.initial_infected, self.n // 2))

    def controls(self) -> dict[str, Control]:
        """Return how each setting is shown, with the spans that the others leave."""
        even = self.network == "small_world"
        spans = {
            "k": (2, min(20, self.n - 1) - (even and self.n <= 20), 2 if even else 1),
            "initial_infected": (1, min(50, self.n // 2), 1),
        }
        return CONTROLS | {name: replace(CONTROLS[name], span=span) for name, span in spans.items()}

    def make_model(self, decider: Decider | None = None) -> SpreadModel:
        """Build the model.

        Parameters
        ----------
        decider : Decider, optional
            Who decides, in place of the settings' own.

        Raises
        ------
        ArgumentError, ArgumentTypeError
            If a choice is not allowed.
        """
        from mesa_llmspread.model import SpreadModel

        arguments = self.arguments() | {"event": self.event}
        return SpreadModel(**arguments | ({"decider": decider} if decider else {}))

    def make_decider(self, store: str | Path | None = None) -> LLMDecider:
        """Build the live language model's decider.

        Parameters
        ----------
        store : path-like, optional
            Keeps its answers.

        Raises
        ------
        ArgumentError
            If one of its arguments is not allowed.
        """
        arguments = self.llm.arguments()
        decider = LLMDecider(self.llm.model, store=store, **arguments)
        if "max_cost_usd" in arguments and decider.client.price(1, 1) is None:
            # No limit can be kept where no price is known.
            del arguments["max_cost_usd"]
            decider = LLMDecider(self.llm.model, store=store, **arguments)
        return decider

    def arguments(self) -> dict[str, Any]:
        """Return the model's arguments as plain values."""
        own = {name: getattr(self, name) for name in CONTROLS if name != "steps"}
        population = {"one profile": self.profile, "shares": self._profile_shares()}
        return own | {
            "event": self.event.event_id,
            "population": population.get(self.population, self.population),
            "decider": self._decider_text(),
        }

    def _profile_shares(self) -> dict[str, float]:
        cells = {}
        for code in codes():
            sides = zip(code, self.shares.values(), strict=True)
            cells[code] = math.prod(high if side.isupper() else 1 - high for side, high in sides)
        return {code: share for code, share in cells.items() if share > 0}

    def _decider_text(self) -> str:
        if self.decider == "llm":
            return f"llm:{self.llm.model}"
        if self.decider in LAWS:
            rates = self.rates[self.decider].values()
            return f"{self.decider}({', '.join(f'{rate:g}' for rate in rates)})"
        return self.decider

    def decided_by(self) -> str:
        """Return in a sentence who decides."""
        answers = "Agents decide as the language model {} answered on {}. No model runs now."
        tables = {f"table({name!r})": answers.format(*_measured(name)) for name in table_names()}
        names = {
            **tables,
            "llm": f"A live language model decides: {self.llm.model}.",
            "traits": "Invented rules about personality decide. No language model takes part.",
            **dict.fromkeys(
                LAWS, f"The law {self._decider_text()} decides. No language model takes part."
            ),
        }
        return names.get(self.decider, f"The operator's own part decides: {self.decider}.")


#: How the form shows each setting, in order.
CONTROLS: dict[str, Control] = {
    each.name: each.metadata["control"] for each in fields(Settings) if each.metadata
}
