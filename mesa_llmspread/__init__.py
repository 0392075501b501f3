"""How news of offline events spreads among LLM agents, and which simple law describes it.

The public names are loaded when they are first used, so importing the package is instant
and has no side effects.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mesa_llmspread.agent import SpreadAgent
    from mesa_llmspread.data import RunInfo, SpreadData, concat
    from mesa_llmspread.deciders import (
        Decider,
        Decision,
        DecisionStore,
        Exposure,
        LLMDecider,
        MixedDecider,
        Outcome,
        Post,
        RateDecider,
        ScriptedDecider,
        TraitDecider,
        as_decider,
        coins,
        register_decider,
    )
    from mesa_llmspread.deciders.contract import check_decider
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
    from mesa_llmspread.meanfield import (
        Closure,
        Comparison,
        FitResult,
        compare,
        fit,
        register_closure,
        solve,
    )
    from mesa_llmspread.model import SpreadModel
    from mesa_llmspread.networks import (
        Network,
        as_network,
        random_regular,
        read_edgelist,
        scale_free,
        small_world,
    )
    from mesa_llmspread.profiles import (
        Profile,
        Trait,
        all_profiles,
        codes,
        sample_profiles,
    )
    from mesa_llmspread.transmission import (
        SI,
        ByProfile,
        ExposureArrays,
        FirstRepeat,
        OnlineOffline,
        SingleMultiple,
        TransmissionLaw,
        TwoClass,
        check_law,
        register_law,
    )

#: Where each public name lives.
_HOMES = {
    "agent": ("SpreadAgent",),
    "data": ("RunInfo", "SpreadData", "concat"),
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
        "MixedDecider",
        "Post",
        "as_decider",
        "coins",
        "register_decider",
    ),
    "deciders.contract": ("check_decider",),
    "distil": ("fit_traits",),
    "ensemble": ("Ensemble", "simulate"),
    "events": ("OfflineEvent", "bundled_events", "read_acled", "read_events", "read_ucdp"),
    "exceptions": ("LLMSpreadError",),
    "meanfield": (
        "Comparison",
        "FitResult",
        "compare",
        "fit",
        "solve",
        "Closure",
        "register_closure",
    ),
    "model": ("SpreadModel",),
    "networks": (
        "Network",
        "random_regular",
        "read_edgelist",
        "scale_free",
        "small_world",
        "as_network",
    ),
    "profiles": (
        "Profile",
        "Trait",
        "all_profiles",
        "sample_profiles",
        "codes",
    ),
    "transmission": (
        "SI",
        "ByProfile",
        "FirstRepeat",
        "OnlineOffline",
        "SingleMultiple",
        "TwoClass",
        "ExposureArrays",
        "TransmissionLaw",
        "check_law",
        "register_law",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "SI",
    "ByProfile",
    "Closure",
    "Comparison",
    "Decider",
    "Decision",
    "DecisionStore",
    "Ensemble",
    "Exposure",
    "ExposureArrays",
    "FirstRepeat",
    "FitResult",
    "LLMDecider",
    "LLMSpreadError",
    "MixedDecider",
    "Network",
    "OfflineEvent",
    "OnlineOffline",
    "Outcome",
    "Post",
    "Profile",
    "RateDecider",
    "RunInfo",
    "ScriptedDecider",
    "SingleMultiple",
    "SpreadAgent",
    "SpreadData",
    "SpreadModel",
    "Trait",
    "TraitDecider",
    "TransmissionLaw",
    "TwoClass",
    "all_profiles",
    "as_decider",
    "as_network",
    "bundled_events",
    "check_decider",
    "check_law",
    "codes",
    "coins",
    "compare",
    "concat",
    "fit",
    "fit_traits",
    "random_regular",
    "read_acled",
    "read_edgelist",
    "read_events",
    "read_ucdp",
    "register_closure",
    "register_decider",
    "register_law",
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
