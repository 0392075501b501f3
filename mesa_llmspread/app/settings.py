"""Every choice of the sidebar, as plain values, and how each one is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from mesa_llmspread.deciders import Decider, LLMDecider
from mesa_llmspread.deciders.table import drawn_from
from mesa_llmspread.events import OfflineEvent, bundled_events, get_event
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
    label : str
        Its name on the page; ``{}`` stands for the value.
    choices : mapping of object to str
        For a list: the values, and how each is shown.
    span : tuple of float, or None
        For a slider: lowest value, highest value and step.
    least : float
        For a field with a number: the lowest that is allowed.
    """

    label: str
    choices: Mapping[Any, str] = field(default_factory=dict)
    span: tuple[float, float, float] | None = None
    least: float = -math.inf


def _shown(default: Any, label: str, **how: Any) -> Any:
    """Return a field of the settings that the sidebar shows."""
    return field(default=default, metadata={"control": Control(label, **how)})


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
    """Every choice of a run, in the order of the sidebar.

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
        ``"table('NAME')"``, ``"traits"``, a name of :data:`LAWS`, ``"llm"``, or text as
        ``SpreadModel`` takes it.
    rates : mapping of str to mapping of str to float
        The rates of each law.
    llm : LLMSettings
        The language model, where it decides.
    feed : {"persistent", "new"}
        Whether posts stay in view.
    media_prob : float
        Probability per step that an agent sees the event itself.
    initial_infected : int
        Agents who have posted at step 0.
    rng : int
        The seed.
    steps : int
        The step at which Run stops at the latest.
    """

    event: OfflineEvent = field(default_factory=lambda: get_event("battles-40"))
    network: str = _shown(
        "random_regular", "Network", choices={name: name.replace("_", " ") for name in NETWORKS}
    )
    n: int = _shown(200, "Agents: {}", span=(20, 2000, 20))
    k: int = _shown(8, "Neighbours: {}", span=(2, 20, 1))
    population: str = _shown(
        "uniform",
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
        "Who decides",
        choices={
            **{f"table({name!r})": f"measured: {name}" for name in table_names()},
            "traits": "personality (invented rules)",
            **{name: f"law: {name}" for name in LAWS},
            "llm": "a language model",
        },
    )
    rates: Mapping[str, Mapping[str, float]] = field(default_factory=lambda: LAWS)
    llm: LLMSettings = field(default_factory=LLMSettings)
    feed: str = _shown(
        "persistent",
        "Feed",
        choices={"persistent": "posts stay in view", "new": "posts are seen once"},
    )
    media_prob: float = _shown(0.0, "Sees the event itself: {:.2f} per step", span=(0, 0.2, 0.01))
    initial_infected: int = _shown(10, "Initial spreaders: {}", span=(1, 50, 1))
    rng: int = _shown(1, "Seed")
    steps: int = _shown(60, "Run at most (steps)", least=1)

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

    def make_decider(self) -> LLMDecider:
        """Build the language model's decider.

        Raises
        ------
        ArgumentError
            If one of its arguments is not allowed.
        """
        return LLMDecider(self.llm.model, **self.llm.arguments())

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
        """Return who decides, in words."""
        names = {
            "llm": f"the language model {self.llm.model}",
            "traits": "personality (invented rules, not a language model)",
            **{f"table({name!r})": drawn_from(load_table(name).info) for name in table_names()},
            **dict.fromkeys(LAWS, f"the law {self._decider_text()}"),
        }
        return names.get(self.decider, self.decider)

    def python(self) -> str:
        """Return the lines that build the same run again."""
        arguments = {name: repr(value) for name, value in self.arguments().items()}
        imports = {"SpreadData", "SpreadModel", "compare"}
        if self.event not in bundled_events():
            imports.add("read_events")
            this = f"if event.event_id == {self.event.event_id!r}"
            arguments["event"] = f"next(event for event in read_events('your_file.csv') {this})"
        if self.decider == "llm":
            imports.add("LLMDecider")
            given = "".join(f", {name}={value!r}" for name, value in self.llm.arguments().items())
            arguments["decider"] = f"LLMDecider({self.llm.model!r}{given})"
        return (
            f"from mesa_llmspread import {', '.join(sorted(imports))}\n\n"
            "model = SpreadModel(\n"
            + "".join(f"    {name}={text},\n" for name, text in arguments.items())
            + f").run({self.steps})\nprint(compare(SpreadData.from_model(model)).verdict)\n"
        )


#: How the sidebar shows each setting, in order.
CONTROLS: dict[str, Control] = {
    each.name: each.metadata["control"] for each in fields(Settings) if each.metadata
}
