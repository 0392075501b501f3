"""How news of offline events spreads among LLM agents, and which simple law describes it.

The public names are loaded when they are first used, so importing the package is instant
and has no side effects.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mesa_llmspread.agent import SpreadAgent
    from mesa_llmspread.data import SpreadData, concat
    from mesa_llmspread.deciders import (
        Decider,
        Decision,
        DecisionStore,
        Exposure,
        LLMDecider,
        Outcome,
        RateDecider,
        ScriptedDecider,
        TraitDecider,
    )
    from mesa_llmspread.distil import fit_traits
    from mesa_llmspread.ensemble import Ensemble, simulate
    from mesa_llmspread.events import (
        OfflineEvent,
        bundled_events,
        read_acled,
        read_events,
        read_ucdp,
    )
    from mesa_llmspread.exceptions import LLMSpreadError
    from mesa_llmspread.meanfield import Comparison, FitResult, compare, fit, solve
    from mesa_llmspread.model import SpreadModel
    from mesa_llmspread.networks import (
        Network,
        random_regular,
        read_edgelist,
        scale_free,
        small_world,
    )
    from mesa_llmspread.profiles import Profile, Trait, all_profiles, sample_profiles
    from mesa_llmspread.transmission import (
        SI,
        ByProfile,
        FirstRepeat,
        OnlineOffline,
        SingleMultiple,
        TwoClass,
    )

#: Where each public name lives.
_HOMES = {
    "agent": ("SpreadAgent",),
    "data": ("SpreadData", "concat"),
    "deciders": (
        "Decider",
        "Decision",
        "DecisionStore",
        "Exposure",
        "LLMDecider",
        "Outcome",
        "RateDecider",
        "ScriptedDecider",
        "TraitDecider",
    ),
    "distil": ("fit_traits",),
    "ensemble": ("Ensemble", "simulate"),
    "events": ("OfflineEvent", "bundled_events", "read_acled", "read_events", "read_ucdp"),
    "exceptions": ("LLMSpreadError",),
    "meanfield": ("Comparison", "FitResult", "compare", "fit", "solve"),
    "model": ("SpreadModel",),
    "networks": ("Network", "random_regular", "read_edgelist", "scale_free", "small_world"),
    "profiles": ("Profile", "Trait", "all_profiles", "sample_profiles"),
    "transmission": (
        "SI",
        "ByProfile",
        "FirstRepeat",
        "OnlineOffline",
        "SingleMultiple",
        "TwoClass",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "SI",
    "ByProfile",
    "Comparison",
    "Decider",
    "Decision",
    "DecisionStore",
    "Ensemble",
    "Exposure",
    "FirstRepeat",
    "FitResult",
    "LLMDecider",
    "LLMSpreadError",
    "Network",
    "OfflineEvent",
    "OnlineOffline",
    "Outcome",
    "Profile",
    "RateDecider",
    "ScriptedDecider",
    "SingleMultiple",
    "SpreadAgent",
    "SpreadData",
    "SpreadModel",
    "Trait",
    "TraitDecider",
    "TwoClass",
    "all_profiles",
    "bundled_events",
    "compare",
    "concat",
    "fit",
    "fit_traits",
    "random_regular",
    "read_acled",
    "read_edgelist",
    "read_events",
    "read_ucdp",
    "sample_profiles",
    "scale_free",
    "simulate",
    "small_world",
    "solve",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
