"""What the sidebar says: every choice of a run, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mesa_llmspread.events import OfflineEvent, bundled_events, get_event
from mesa_llmspread.profiles import Trait, codes

if TYPE_CHECKING:
    from mesa_llmspread.deciders import Decider, LLMDecider
    from mesa_llmspread.model import SpreadModel

__all__ = ["LAWS", "LLMSettings", "Settings"]

#: The laws that can decide, and the rates they start with.
LAWS: dict[str, dict[str, float]] = {
    "SI": {"beta": 0.05},
    "FirstRepeat": {"beta_first": 0.2, "beta_repeat": 0.04},
    "SingleMultiple": {"beta_single": 0.05, "beta_multiple": 0.2},
    "TwoClass": {"beta_low": 0.02, "beta_high": 0.2, "share_high": 0.3},
    "OnlineOffline": {"alpha": 0.2, "beta": 0.04},
}

_STARTING_RATES = {name: tuple(rates.values()) for name, rates in LAWS.items()}


@dataclass(frozen=True)
class LLMSettings:
    """Which language model decides.

    Attributes
    ----------
    model : str
        litellm's name of the model.
    api_base : str
        Address of its server; "" for the provider's own.
    limit : float
        US dollars that a run may spend; 0 for no limit.
    key_variable : str
        Environment variable that holds the key; "" for the provider's own.
    """

    model: str = ""
    api_base: str = ""
    limit: float = 1.0
    key_variable: str = ""

    def arguments(self) -> dict[str, Any]:
        """Give the decider's arguments, beside the model, as far as they are not its defaults."""
        given = {
            "api_base": self.api_base,
            "max_cost_usd": self.limit,
            "key_variable": self.key_variable,
        }
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True)
class Settings:
    """Every choice of a run.

    Attributes
    ----------
    event : OfflineEvent
        What the news is about.
    network : str
        A name of :data:`mesa_llmspread.networks.NETWORKS`.
    n, k : int
        Agents, and neighbours an agent.
    population : {"uniform", "norms", "one profile", "shares"}
        How personalities are drawn.
    profile : str
        Everybody's code, where the population is one profile.
    shares : mapping of str to float
        Share of agents high in each trait, where the population is given by shares.
    decider : str
        ``"traits"``, a name of :data:`LAWS`, ``"llm"``, or text as ``SpreadModel`` takes it.
    rates : mapping of str to tuple of float
        The rates of each law.
    llm : LLMSettings
        The language model, where it decides.
    feed : {"persistent", "new"}
        Whether posts stay in view.
    media_prob : float
        Chance a step that an agent sees the event itself.
    initial_infected : int
        Agents who have posted at step 0.
    steps : int
        Where Run stops at the latest.
    rng : int
        The seed.
    """

    event: OfflineEvent = field(default_factory=lambda: get_event("battles-40"))
    network: str = "random_regular"
    n: int = 200
    k: int = 8
    population: str = "uniform"
    profile: str = "OCEAN"
    shares: Mapping[str, float] = field(
        default_factory=lambda: {trait.value: 0.5 for trait in Trait}
    )
    decider: str = "traits"
    rates: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: dict(_STARTING_RATES))
    llm: LLMSettings = field(default_factory=LLMSettings)
    feed: str = "persistent"
    media_prob: float = 0.0
    initial_infected: int = 10
    steps: int = 60
    rng: int = 1

    def make_model(self, decider: Decider | None = None) -> SpreadModel:
        """Make the model.

        Parameters
        ----------
        decider : Decider, optional
            Who decides, in place of what the settings say.

        Raises
        ------
        ArgumentError, ArgumentTypeError
            If a choice is not allowed.
        """
        from mesa_llmspread.model import SpreadModel

        return SpreadModel(
            **{**self.arguments(), "event": self.event, "decider": decider or self._decider_text()}
        )

    def arguments(self) -> dict[str, Any]:
        """Give the model's arguments as plain values."""
        return {
            "n": self.n,
            "k": self.k,
            "network": self.network,
            "event": self.event.event_id,
            "population": self._population(),
            "decider": self._decider_text(),
            "initial_infected": self.initial_infected,
            "feed": self.feed,
            "media_prob": self.media_prob,
            "rng": self.rng,
        }

    def _population(self) -> str | dict[str, float]:
        if self.population == "one profile":
            return self.profile
        if self.population != "shares":
            return self.population
        cells = dict.fromkeys(codes(), 0.0)
        for code in codes():
            share = 1.0
            for letter, trait in zip(code, Trait, strict=True):
                high = self.shares[trait.value]
                share *= high if letter.isupper() else 1 - high
            cells[code] = share
        return {code: share for code, share in cells.items() if share > 0}

    def decided_by(self) -> str:
        """Name who decides, in words."""
        if self.decider == "llm":
            return f"the language model {self.llm.model}"
        if self.decider in LAWS:
            return f"the law {self._decider_text()}"
        if self.decider == "traits":
            return "personality (offline stand-in for a language model)"
        return self.decider

    def make_decider(self) -> LLMDecider:
        """Make the language model's decider.

        Raises
        ------
        ArgumentError
            If one of its arguments is not allowed.
        """
        from mesa_llmspread.deciders import LLMDecider

        return LLMDecider(self.llm.model, **self.llm.arguments())

    def _decider_text(self) -> str:
        if self.decider == "llm":
            return f"llm:{self.llm.model}"
        if self.decider in LAWS:
            return f"{self.decider}({', '.join(f'{rate:g}' for rate in self.rates[self.decider])})"
        return self.decider

    def python(self) -> str:
        """Write the lines that make the same run again."""
        arguments = self.arguments()
        imports = ["SpreadModel"]
        lines = []
        if self.event not in bundled_events():
            imports.append("read_events")
            lines += [
                "# your file, which the page does not keep",
                "events = {event.event_id: event for event in read_events('events.csv')}",
            ]
            arguments["event"] = _Code(f"events[{self.event.event_id!r}]")
        if self.decider == "llm":
            imports.append("LLMDecider")
            given = "".join(f", {name}={value!r}" for name, value in self.llm.arguments().items())
            arguments["decider"] = _Code(f"LLMDecider({self.llm.model!r}{given})")
        return "\n".join(
            [
                f"from mesa_llmspread import SpreadData, compare, {', '.join(sorted(imports))}",
                "",
                *lines,
                "model = SpreadModel(",
                *(f"    {name}={value!r}," for name, value in arguments.items()),
                f").run({self.steps})",
                "print(compare(SpreadData.from_model(model)).verdict)",
                "",
            ]
        )


class _Code(str):
    """Text that stands in the lines as it is."""

    def __repr__(self) -> str:
        return str(self)
