"""The sentences of the report that depend on its numbers."""

from __future__ import annotations

from collections import Counter

from mesa_llmspread._words import counted
from mesa_llmspread.analysis.event_analysis import CLOSURES, Analysis
from mesa_llmspread.data import SpreadData
from mesa_llmspread.data.run_info import package_versions, split_shared
from mesa_llmspread.data.schema import UNKNOWN
from mesa_llmspread.deciders.table import drawn_from
from mesa_llmspread.events import bundled_events

__all__ = [
    "CITATION",
    "about_m",
    "about_network",
    "about_news",
    "methods",
    "nearest",
    "what_it_tells",
    "who_decides",
]

CITATION = (
    "M. Tian, G. Mohler, P. J. Brantingham, N. Rodríguez. Learning dynamics from online-offline "
    "systems of LLM agents. arXiv 2602.23437 (2026)."
)

# Deciders behind which there is no language model.
_WITHOUT = {
    "traits": "the trait policy (a stand-in, not a language model)",
    "rates": "a law",
    "scripted": "a script",
}

# Those that answer as a language model does.
_LANGUAGE = {"llm": "a language model", "table": "a response table"}


def who_decides(data: SpreadData) -> str:
    """Return who made the decisions, in words."""
    kinds, models = _deciders(data)
    if kinds == {"llm"}:
        return f"the language model {models.pop()}" if len(models) == 1 else "language models"
    if len(kinds) > 1 or any(info.decider == "mixed" for info in data.info.values()):
        among = " and ".join(name for kind, name in _LANGUAGE.items() if kind in kinds)
        return f"several deciders, among them {among}" if among else "several deciders"
    (kind,) = kinds
    known = _WITHOUT | _LANGUAGE | {UNKNOWN: "an unknown decider"}
    return known.get(kind, kind)


def what_it_tells(data: SpreadData) -> str:
    """Return what decisions such as these tell about language models and people."""
    kinds, models = _deciders(data)
    if kinds <= _LANGUAGE.keys():
        said = "one language model acts when it is told to have a personality"
        if len(models) > 1:
            said = "several language models act when they are told to have a personality"
        source = ""
        if kinds == {"table"}:
            shared = split_shared([info.decider_info for info in data.info.values()])[0]
            source = f"The decisions of this page are {drawn_from(shared)}. "
        return f"{source}Simulated agents are not people: the page describes how {said}."
    who = who_decides(data)
    if kinds & _LANGUAGE.keys():
        return (
            f"The decisions behind this page were made by {who}. The page describes what all of "
            "them do together; it says nothing about language models alone, or about people."
        )
    if kinds <= _WITHOUT.keys():
        return (
            "The decisions behind this page were not made by a language model. The page shows what "
            f"the method finds in decisions made by {who}; it says nothing about language models "
            "or people."
        )
    return (
        f"The decisions behind this page were made by {who}; whether a language model is behind "
        "them is not recorded. The page says nothing about people."
    )


def _deciders(data: SpreadData) -> tuple[set[str], set[str]]:
    """Return the kinds of the deciders of all runs, part by part, and the language models."""
    each = [{"decider": info.decider, **info.decider_info} for info in data.info.values()]
    kinds, models = set(), set()
    while each:
        one = each.pop()
        if one["decider"] == "mixed" and "parts" in one:
            each += one["parts"]
            continue
        kinds.add(str(one["decider"]))
        if one["decider"] in _LANGUAGE:
            models.add(str(one.get("model")))
    return kinds, models


def about_news(data: SpreadData) -> str:
    """Return where the events come from, in words."""
    events = {event for info in data.info.values() for event in info.events}
    own = events.difference(bundled_events())
    if not own:
        return "invented, and come with the package"
    return "given by the user" if own == events else "partly given by the user, partly invented"


def about_network(data: SpreadData) -> str:
    """Return the network of the runs, and how posts stay in view, in words."""
    infos = list(data.info.values())
    if len({(info.n, info.k, info.network, str(info.seen)) for info in infos}) > 1:
        return "on networks that differ between runs (see the table of runs)"
    info = infos[0]
    kind = info.network.replace("_", " ")
    k = "an unknown number of" if info.k is None else f"{info.k:.3g}"
    agents = "an unknown number of agents" if info.n is None else counted(info.n, "agent")
    seen = {"persistent": "posts stay in view", "new": "posts are in view for one step"}
    view = seen.get(info.seen.feed or "", f"posts are in view by {info.seen}")
    return f"among {agents} on a network ({kind}, {k} neighbours per agent on average); {view}"


def about_m(data: SpreadData) -> str:
    """Return what the number m of posts is in the formulas of the laws."""
    seen = [info.seen for info in data.info.values()]
    ages = sorted({str(one) for one in seen if one.ages})
    if not ages:
        return "The number of posts in view is m."
    text = (
        "The number of posts in view is m; as a power, the sum of their weights, which fade by "
        f"{' or '.join(ages)}."
    )
    if any(one.event_ageing for one in seen):
        text += " The news itself ages, so the effect of seeing the event (alpha) fades as well."
    return text


def nearest(analysis: Analysis) -> str:
    """Return which of the equations lie nearest to the runs, and for how many events."""
    distances = [
        {name: part.distances[name] for name in CLOSURES if name in part.distances}
        for part in analysis.events
    ]
    best = Counter(min(each, key=each.__getitem__) for each in distances if each)
    if not best:
        return ""
    parts = ", ".join(f"{name} in {number}" for name, number in best.most_common())
    events = counted(best.total(), "event")
    return f"Nearest to the simulated mean, of the equations: {parts} of {events}."


def methods(analysis: Analysis) -> str:
    """Return a paragraph on what was done, for a paper."""
    data, overall = analysis.data, analysis.overall
    failed = int((data.exposures["outcome"] == "failed").sum())
    versions = package_versions() | dict(data.info[data.runs[0]].versions)
    source = {"profile": "the profile likelihood", "runs": "the differences between runs"}
    text = (
        f"News of {counted(len(analysis.events), 'event')} ({about_news(data)}) spread "
        f"{about_network(data)}. We made {counted(len(data.runs), 'run')} of up to "
        f"{counted(int(data.counts['step'].max()), 'step')} with mesa_llmspread "
        f"{versions['mesa_llmspread']} (Mesa {versions['mesa']}, Python {versions['python']}). Of "
        f"{counted(len(data.exposures), 'decision')} by {who_decides(data)}, {failed:,} failed and "
        f"were left out. {len(overall.results)} laws were fitted by maximum likelihood to what "
        "each agent saw when it decided, and compared by BIC; 95 % intervals of the selected law "
        f"({overall.best.name}) come from {source[overall.best.interval]}. The equations of the "
        "law selected for each event were solved with its fitted rates."
    )
    if fading := sum(part.comparison.fading is not None for part in analysis.events):
        text += (
            f" For {fading} of {counted(len(analysis.events), 'event')} this law has posts or "
            "news that lose their effect with age, at a rate fitted together with the others."
        )
    if analysis.traits is not None:
        number = int(analysis.traits.tests["p_value"].count())
        text += (
            " Effects of personality were tested by permuting profiles among the agents of each "
            f"run, with Holm's allowance for {counted(number, 'test')}."
        )
    return text
