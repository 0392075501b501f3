"""Whether a model plays the personalities it is given: a questionnaire for each of the 32.

The questionnaire is the Mini-IPIP (Donnellan, Oswald, Baird & Lucas 2006,
doi:10.1037/1040-3590.18.2.192), twenty public-domain items of the International Personality
Item Pool (ipip.ori.org), four per trait. Its words are in ``mini_ipip.toml``.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
import pydantic

from mesa_llmspread._validation import checked_int
from mesa_llmspread.deciders.llm.call import Call
from mesa_llmspread.exceptions import ArgumentError, DeciderError
from mesa_llmspread.profiles import Trait, all_profiles
from mesa_llmspread.rng import RNGLike, as_generator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mesa_llmspread.deciders.llm.decider import LLMDecider

__all__ = ["ITEMS", "PersonaCheck", "check_personas"]

_WORDS = tomllib.loads(Path(__file__).with_name("mini_ipip.toml").read_text(encoding="utf-8"))

#: The items: the words, the trait's letter, and 1, or -1 if agreement means less of it.
ITEMS: tuple[tuple[str, str, int], ...] = tuple(map(tuple, _WORDS["items"]))
_FORM = "mini-ipip-1"

# Common rules of thumb: reliability (Nunnally), and a large difference (Cohen).
_RELIABLE, _LARGE = 0.7, 0.8


class _Ratings(pydantic.BaseModel):
    """One filled-in questionnaire."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    ratings: list[Annotated[int, pydantic.Field(ge=1, le=5)]]

    @pydantic.field_validator("ratings")
    @classmethod
    def _one_per_item(cls, ratings: list[int]) -> list[int]:
        if len(ratings) != len(ITEMS):
            raise ValueError(f"{len(ratings)} ratings of {len(ITEMS)}")
        return ratings


@dataclass(frozen=True)
class PersonaCheck:
    """What the questionnaires tell.

    Attributes
    ----------
    scores : DataFrame
        One row per questionnaire and trait: ``profile`` (code), ``repeat``, ``trait``,
        ``intended`` (-1 or 1), ``measured`` (mean of four items, 1 to 5).
    table : DataFrame
        One row per trait: ``low`` and ``high``, the mean scores of the profiles that are
        intended so; ``cohens_d`` between them (infinite if scores do not vary within them);
        ``alpha``, Cronbach's, over all questionnaires; ``verdict``.
    failed : int
        Questionnaires that were not answered.
    failures : DataFrame
        One row per reason, the most frequent first: ``reason``, ``questionnaires`` (how many),
        ``example`` (what was wrong with one of them).
    """

    scores: pd.DataFrame
    table: pd.DataFrame
    failed: int
    failures: pd.DataFrame

    def figure(self) -> Figure:
        """Draw the measured traits by what was intended.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3), layout="constrained")
        for axis, trait in zip(figure.subplots(1, 5, sharey=True), Trait, strict=True):
            rows = self.scores[self.scores["trait"] == trait.value]
            groups = [rows.loc[rows["intended"] == level, "measured"] for level in (-1, 1)]
            axis.boxplot(groups, positions=[0, 1], widths=0.6)
            axis.set_xticks([0, 1], ["low", "high"])
            axis.set_title(trait.value, fontsize=9)
        figure.axes[0].set_ylabel("measured (1 to 5)")
        figure.supxlabel("intended")
        return figure


def check_personas(decider: LLMDecider, repeats: int = 1, rng: RNGLike = 0) -> PersonaCheck:
    """Ask the Mini-IPIP of each of the 32 binary profiles.

    Parameters
    ----------
    decider : LLMDecider
        The model, and the template with the words for the personalities; its store keeps the
        answers like those of a run.
    repeats : int, default 1
        Questionnaires per profile.
    rng : int, numpy.random.Generator or None
        Randomness; the same seed asks the same questions.

    Returns
    -------
    PersonaCheck

    Raises
    ------
    ArgumentError
        If the decider's template has no personalities.
    DeciderError
        If the model cannot be called, or if most questionnaires were not answered.
    """
    repeats = checked_int("repeats", repeats, least=1)
    template, profiles = decider.template, all_profiles()
    if template.words["persona"] is False:
        raise ArgumentError("template", template.name, "be one that has personalities to check")
    client = replace(decider.client, form=_Ratings, schema=_FORM, logprobs=False)
    caller = decider.caller.for_run(as_generator(rng).bytes(16), client=client, max_failed=1.0)
    items = "\n".join(f"{i}. {words}." for i, (words, _, _) in enumerate(ITEMS, start=1))
    user = _WORDS["user"].format(items=items, number=len(ITEMS))
    systems = [_WORDS["system"].format(persona=template.describe(p)) for p in profiles]
    calls = [
        caller.call(
            repeat,
            index,
            profile.code,
            "mini-ipip",
            [{"role": "system", "content": systems[index]}, {"role": "user", "content": user}],
            f"{repeat}:{index}",
        )
        for repeat in range(1, repeats + 1)
        for index, profile in enumerate(profiles)
    ]
    with caller.step(len(calls), calls):
        answered = caller.ask(calls)
    filled = [call for call in answered if call.answer is not None]
    failures = _failures(answered)
    failed = len(calls) - len(filled)
    if failed > len(calls) / 2:
        reasons = caller.usage.decided.reasons
        raise DeciderError(f"{failed} of {len(calls)} questionnaires were not answered ({reasons})")
    ratings = np.array([_Ratings.model_validate_json(call.answer or "").ratings for call in filled])
    keys = np.array([key for _, _, key in ITEMS])
    scored = np.where(keys > 0, ratings, 6 - ratings).astype(float)
    scores, rows = [], []
    for position, trait in enumerate(Trait):
        items_of = scored[:, [letter == trait.letter for _, letter, _ in ITEMS]]
        frame = pd.DataFrame(
            {
                "profile": [call.profile for call in filled],
                "repeat": [call.step for call in filled],
                "trait": trait.value,
                "intended": [int(profiles[call.agent].levels[position]) for call in filled],
                "measured": items_of.mean(axis=1),
            }
        )
        scores.append(frame)
        rows.append({"trait": trait.value, **_summary(frame, items_of)})
    return PersonaCheck(pd.concat(scores, ignore_index=True), pd.DataFrame(rows), failed, failures)


def _failures(calls: Sequence[Call]) -> pd.DataFrame:
    """Count the questionnaires that were not answered, by reason."""
    number = Counter(call.error for call in calls if call.error is not None)
    example = {call.error: call.detail for call in reversed(calls)}
    rows = [(reason, count, example[reason]) for reason, count in number.most_common()]
    return pd.DataFrame(rows, columns=["reason", "questionnaires", "example"])


def _summary(frame: pd.DataFrame, items: Any) -> dict[str, Any]:
    """Return the effect, the reliability and the verdict of one trait."""
    low, high = (frame.loc[frame["intended"] == level, "measured"] for level in (-1, 1))
    spread = np.sqrt((low.var() + high.var()) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Neither spread nor difference: no effect.
        d = float(np.nan_to_num((high.mean() - low.mean()) / spread, posinf=np.inf, neginf=-np.inf))
    total, n = items.sum(axis=1).var(ddof=1), items.shape[1]
    alpha = n / (n - 1) * (1 - items.var(axis=0, ddof=1).sum() / total) if total else np.nan
    if d < 0:
        verdict = "reversed"
    elif d < _LARGE:
        verdict = "not played"
    else:
        verdict = "played" if alpha >= _RELIABLE else "played, unreliably"
    return {
        "low": low.mean(),
        "high": high.mean(),
        "cohens_d": d,
        "alpha": alpha,
        "verdict": verdict,
    }
