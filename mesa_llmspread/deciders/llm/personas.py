"""Whether a model plays the personalities it is given: a questionnaire for each of the 32.

The questionnaire is the Mini-IPIP (Donnellan, Oswald, Baird & Lucas 2006,
doi:10.1037/1040-3590.18.2.192), twenty public-domain items of the International Personality
Item Pool (ipip.ori.org), four a trait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pydantic

from mesa_llmspread._validation import checked_int
from mesa_llmspread.deciders.llm.asking import Place
from mesa_llmspread.deciders.llm.replies import Reply
from mesa_llmspread.deciders.llm.survey import survey
from mesa_llmspread.exceptions import ArgumentError, DeciderError
from mesa_llmspread.profiles import Trait, all_profiles
from mesa_llmspread.rng import RNGLike, as_generator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mesa_llmspread.deciders.llm.decider import LLMDecider

__all__ = ["ITEMS", "PersonaCheck", "check_personas"]

#: The items: the words, the trait's letter, and 1, or -1 where agreement means less of it.
ITEMS: tuple[tuple[str, str, int], ...] = (
    ("Am the life of the party", "E", 1),
    ("Sympathize with others' feelings", "A", 1),
    ("Get chores done right away", "C", 1),
    ("Have frequent mood swings", "N", 1),
    ("Have a vivid imagination", "O", 1),
    ("Don't talk a lot", "E", -1),
    ("Am not interested in other people's problems", "A", -1),
    ("Often forget to put things back in their proper place", "C", -1),
    ("Am relaxed most of the time", "N", -1),
    ("Am not interested in abstract ideas", "O", -1),
    ("Talk to a lot of different people at parties", "E", 1),
    ("Feel others' emotions", "A", 1),
    ("Like order", "C", 1),
    ("Get upset easily", "N", 1),
    ("Have difficulty understanding abstract ideas", "O", -1),
    ("Keep in the background", "E", -1),
    ("Am not really interested in others", "A", -1),
    ("Make a mess of things", "C", -1),
    ("Seldom feel blue", "N", -1),
    ("Do not have a good imagination", "O", -1),
)
_SCHEMA = "mini-ipip-1"
_SYSTEM = """\
You play one person. This is your personality: {persona}

Answer as this person would."""
_USER = """\
Rate how well each statement describes you, from 1 (very inaccurate) through 3 (neither) to \
5 (very accurate).

{items}

Answer with one JSON object with one field:
"ratings": a list of {number} whole numbers from 1 to 5, in the order of the statements."""

# Common rules of thumb: reliability (Nunnally), and a large difference (Cohen).
_RELIABLE, _LARGE = 0.7, 0.8


class _Ratings(pydantic.BaseModel):
    """One filled-in questionnaire."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    ratings: list[int]

    @pydantic.field_validator("ratings")
    @classmethod
    def _on_the_scale(cls, ratings: list[int]) -> list[int]:
        if len(ratings) != len(ITEMS):
            raise ValueError(f"{len(ratings)} ratings of {len(ITEMS)}")
        if not all(1 <= rating <= 5 for rating in ratings):
            raise ValueError("a rating is not from 1 to 5")
        return ratings


@dataclass(frozen=True)
class PersonaCheck:
    """What the questionnaires say.

    Attributes
    ----------
    scores : DataFrame
        One row a questionnaire and trait: ``profile`` (code), ``repeat``, ``trait``,
        ``intended`` (-1 or 1), ``measured`` (mean of four items, 1 to 5).
    table : DataFrame
        One row a trait: ``low`` and ``high``, the mean scores of the profiles meant so;
        ``cohens_d`` between them (infinite where scores do not vary within them);
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
        """Draw the measured traits by what was meant.

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
    """Give the Mini-IPIP to each of the 32 binary profiles.

    Parameters
    ----------
    decider : LLMDecider
        The model, and the template whose words for the personalities it is told; its store
        keeps the answers like those of a run.
    repeats : int, default 1
        Questionnaires a profile.
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
        If the model cannot be called, or a trait is left with no answers on one side.
    """
    repeats = checked_int("repeats", repeats, least=1)
    template = decider.template
    if template.persona is False:
        raise ArgumentError("template", template.name, "be one that has personalities to check")
    profiles = all_profiles()
    places = [
        Place(repeat, index, profile.code, "mini-ipip")
        for repeat in range(1, repeats + 1)
        for index, profile in enumerate(profiles)
    ]
    statements = "\n".join(f"{i}. {words}." for i, (words, _, _) in enumerate(ITEMS, start=1))
    user = _USER.format(items=statements, number=len(ITEMS))
    systems = [_SYSTEM.format(persona=template.describe(profile)) for profile in profiles]
    prompts = [
        [{"role": "system", "content": systems[p.agent]}, {"role": "user", "content": user}]
        for p in places
    ]
    replies = survey(decider, places, prompts, _Ratings, _SCHEMA, as_generator(rng))
    answered = [
        (place, reply.answer.ratings)
        for place, reply in zip(places, replies, strict=True)
        if isinstance(reply.answer, _Ratings)
    ]
    failed = len(places) - len(answered)
    failures = _failures(replies)
    if failed > len(places) / 2:
        raise DeciderError(
            f"{failed} of {len(places)} questionnaires were not answered ({in_words(failures)})"
        )
    ratings = np.array([given for _, given in answered], dtype=float)
    scores, rows = [], []
    for position, trait in enumerate(Trait):
        keys = [(i, key) for i, (_, letter, key) in enumerate(ITEMS) if letter == trait.letter]
        items = np.stack([ratings[:, i] if key > 0 else 6 - ratings[:, i] for i, key in keys], 1)
        measured = items.mean(axis=1)
        intended = np.array([profiles[place.agent].levels[position] for place, _ in answered])
        scores.append(
            pd.DataFrame(
                {
                    "profile": [place.profile for place, _ in answered],
                    "repeat": [place.step for place, _ in answered],
                    "trait": trait.value,
                    "intended": intended.astype(int),
                    "measured": measured,
                }
            )
        )
        rows.append({"trait": trait.value, **_summary(items, measured, intended)})
    scored = pd.concat(scores, ignore_index=True)
    return PersonaCheck(scored, pd.DataFrame(rows), failed, failures)


def _failures(replies: Sequence[Reply]) -> pd.DataFrame:
    """Count the questionnaires that were not answered, by reason."""
    number, example = Counter[str](), dict[str, str]()
    for reply in replies:
        if reply.kind is not None:
            number[reply.kind] += 1
            example.setdefault(reply.kind, reply.detail)
    rows = [(reason, count, example[reason]) for reason, count in number.most_common()]
    return pd.DataFrame(rows, columns=["reason", "questionnaires", "example"])


def in_words(failures: pd.DataFrame) -> str:
    """List the reasons in one line, each with a number and an example."""
    return "; ".join(
        f"{reason} {number}: {example}" for reason, number, example in failures.to_numpy()
    )


def _summary(
    items: npt.NDArray[np.float64],
    measured: npt.NDArray[np.float64],
    intended: npt.NDArray[np.float64],
) -> dict[str, Any]:
    """Sum one trait up."""
    low, high = measured[intended < 0], measured[intended > 0]
    difference = high.mean() - low.mean()
    spread = np.sqrt((low.var(ddof=1) + high.var(ddof=1)) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        # No spread and no difference: no effect.
        d = float(np.nan_to_num(difference / spread, nan=0.0, posinf=np.inf, neginf=-np.inf))
    total = items.sum(axis=1).var(ddof=1)
    n = items.shape[1]
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
