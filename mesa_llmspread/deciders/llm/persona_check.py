"""Whether a model plays the personalities it is given: a questionnaire for each of the 32.

The questionnaire is the Mini-IPIP (Donnellan, Oswald, Baird & Lucas 2006,
doi:10.1037/1040-3590.18.2.192), twenty public-domain items of the International Personality
Item Pool (ipip.ori.org), four per trait. Its words are in ``mini_ipip.toml``.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pydantic

from mesa_llmspread._validation import checked_int
from mesa_llmspread.deciders.llm.call import Form
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


class _Ratings(Form):
    """One filled-in questionnaire."""

    version = _FORM
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    # The schema tells the number of items too: small models otherwise rate on without end.
    ratings: Annotated[
        list[Annotated[int, pydantic.Field(ge=1, le=5)]],
        pydantic.Field(min_length=len(ITEMS), max_length=len(ITEMS)),
    ]


@dataclass(frozen=True)
class PersonaCheck:
    """The results of questionnaires.

    Attributes
    ----------
    scores : DataFrame
        One row per questionnaire and trait: ``profile`` (code), ``repeat``, ``trait``,
        ``intended`` (-1 or 1), ``measured`` (mean of four items, 1 to 5).
    table : DataFrame
        One row per trait: ``low`` and ``high``, the mean scores of the profiles with low and
        high levels; ``cohens_d`` between them (infinite if scores do not vary within them) and
        its standard error ``stderr``; ``alpha``, Cronbach's, over all questionnaires;
        ``verdict``: played or reversed where the effect is large.
    failed : int
        Questionnaires without an answer.
    failures : DataFrame
        One row per reason, the most frequent first: ``reason``, ``questionnaires`` (how many),
        ``example`` (the problem of one of them).
    """

    scores: pd.DataFrame
    table: pd.DataFrame
    failed: int
    failures: pd.DataFrame

    def figure(self) -> Figure:
        """Draw the measured traits by the intended levels.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3), layout="constrained")
        traits = self.scores.groupby("trait", sort=False)
        for axis, (trait, rows) in zip(figure.subplots(1, 5, sharey=True), traits, strict=True):
            groups = [rows.loc[rows["intended"] == level, "measured"] for level in (-1, 1)]
            axis.boxplot(groups, widths=0.6, tick_labels=["low", "high"])
            axis.set_title(trait, fontsize=9)
        figure.axes[0].set_ylabel("measured (1 to 5)")
        figure.supxlabel("intended")
        return figure


def check_personas(decider: LLMDecider, repeats: int = 1, rng: RNGLike = 0) -> PersonaCheck:
    """Ask a model to fill in the Mini-IPIP as each of the 32 binary profiles.

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
        If the model cannot be called, or does not answer most questionnaires.
    """
    repeats = checked_int("repeats", repeats, least=1)
    template, profiles = decider.template, all_profiles()
    if template.words["persona"] is False:
        raise ArgumentError("template", template.name, "be one that has personalities to check")
    client = replace(decider.client, form=_Ratings, logprobs=False)
    caller = decider.caller.for_run(as_generator(rng).bytes(16), client=client, max_failed=1.0)
    numbered = "\n".join(f"{i}. {words}." for i, (words, _, _) in enumerate(ITEMS, start=1))
    user = _WORDS["user"].format(items=numbered, number=len(ITEMS))
    systems = [_WORDS["system"].format(persona=template.describe(p)) for p in profiles]
    calls = []
    for repeat in range(1, repeats + 1):
        for i, (profile, system) in enumerate(zip(profiles, systems, strict=True)):
            place = (repeat, i, profile.code, "mini-ipip")
            messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
            calls.append(caller.call(*place, messages, f"{repeat}:{i}"))
    with caller.step(len(calls), calls):
        answered = caller.ask(calls)
    filled, decided = [call for call in answered if call.answer is not None], caller.usage.decided
    failed = len(calls) - len(filled)
    if failed > len(calls) / 2:
        raise DeciderError(
            f"{failed} of {len(calls)} questionnaires were not answered ({decided.reasons})"
        )
    example = {call.error: call.detail for call in reversed(answered)}
    failures = pd.DataFrame(
        [(reason, number, example[reason]) for reason, number in decided.failed.most_common()],
        columns=["reason", "questionnaires", "example"],
    )
    ratings = np.array([_Ratings.model_validate_json(call.answer or "").ratings for call in filled])
    keys, letters = np.array([key for _, _, key in ITEMS]), [letter for _, letter, _ in ITEMS]
    scored = np.where(keys > 0, ratings, 6 - ratings).astype(float)
    scores, table = [], []
    for position, trait in enumerate(Trait):
        items = scored[:, np.array(letters) == trait.letter]
        frame = pd.DataFrame(
            {
                "profile": [call.profile for call in filled],
                "repeat": [call.step for call in filled],
                "trait": trait.value,
                "intended": [int(profiles[call.agent].levels[position]) for call in filled],
                "measured": items.mean(axis=1),
            }
        )
        scores.append(frame)
        table.append({"trait": trait.value, **_summary(frame, items)})
    return PersonaCheck(pd.concat(scores, ignore_index=True), pd.DataFrame(table), failed, failures)


def _summary(frame: pd.DataFrame, items: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Return the effect, the reliability and the verdict of one trait."""
    low, high = (frame.loc[frame["intended"] == level, "measured"] for level in (-1, 1))
    difference, spread = high.mean() - low.mean(), np.sqrt((low.var() + high.var()) / 2)
    # Neither spread nor difference: no effect.
    d = difference / spread if spread else np.inf * np.sign(difference) if difference else 0.0
    total, n = items.sum(axis=1).var(ddof=1), items.shape[1]
    alpha = n / (n - 1) * (1 - items.var(axis=0, ddof=1).sum() / total) if total else np.nan
    played = "played" if alpha >= _RELIABLE else "played, unreliably"
    verdict = "not played" if abs(d) < _LARGE else played if d > 0 else "reversed"
    # Hedges & Olkin (1985): from the sizes of the two groups.
    error = np.sqrt(1 / len(low) + 1 / len(high) + d**2 / (2 * len(frame)))
    means = {"low": low.mean(), "high": high.mean()}
    return {**means, "cohens_d": float(d), "stderr": error, "alpha": alpha, "verdict": verdict}
