"""A template's own words for the five traits, so that a persona can be in any language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from mesa_llmspread.deciders.llm.template_text import check_text
from mesa_llmspread.exceptions import ArgumentError, ArgumentTypeError, UnknownNameError
from mesa_llmspread.profiles import _QUALIFIERS, Profile, Trait

__all__ = ["PersonaWords", "TraitWords"]


@dataclass(frozen=True)
class TraitWords:
    """What is said of one trait.

    Parameters
    ----------
    low, high : str
        Sentences about somebody below and above the mean; ``{qualifier}`` says how far.
    average : str
        The sentence about somebody within a quarter of a standard deviation of it.
    """

    low: str
    average: str
    high: str


@dataclass(frozen=True, kw_only=True)
class PersonaWords:
    """The words for all that :meth:`mesa_llmspread.Profile.describe` can say.

    Parameters
    ----------
    somewhat, very, extremely : str
        Qualifiers: from a quarter, three quarters and one and a half standard deviations on.
    openness, conscientiousness, extraversion, agreeableness, neuroticism : TraitWords
        The sentences about each trait.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If a piece is blank or no text, or has other placeholders than it should.
    """

    somewhat: str
    very: str
    extremely: str
    openness: TraitWords
    conscientiousness: TraitWords
    extraversion: TraitWords
    agreeableness: TraitWords
    neuroticism: TraitWords

    def __post_init__(self) -> None:
        for _, word in _QUALIFIERS:
            check_text(f"persona.{word}", getattr(self, word))
        for trait in Trait:
            words, name = getattr(self, trait.value), f"persona.{trait.value}"
            if not isinstance(words, TraitWords):
                raise ArgumentTypeError(name, words, "TraitWords, or a table in a file")
            check_text(f"{name}.low", words.low, ["qualifier"])
            check_text(f"{name}.average", words.average)
            check_text(f"{name}.high", words.high, ["qualifier"])

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> PersonaWords:
        """Take the words from a file's table.

        Parameters
        ----------
        table : mapping
            The qualifiers as text, and a table ``low, average, high`` for each trait.

        Returns
        -------
        PersonaWords

        Raises
        ------
        ArgumentError, ArgumentTypeError
            If something is missing, unknown, or not as it should be.
        """
        words = dict(_whole(cls, "persona", table))
        for trait in Trait:
            name = f"persona.{trait.value}"
            words[trait.value] = TraitWords(**_whole(TraitWords, name, words[trait.value]))
        return cls(**words)

    def describe(self, profile: Profile) -> str:
        """Put a profile in these words.

        Parameters
        ----------
        profile : Profile

        Returns
        -------
        str
            A sentence for each trait, in the order O C E A N.
        """
        sentences = []
        for trait, level in zip(Trait, profile.levels, strict=True):
            words: TraitWords = getattr(self, trait.value)
            word = next((word for least, word in _QUALIFIERS if abs(level) >= least), None)
            if word is None:
                sentences.append(words.average.format())
            else:
                sentence = words.high if level > 0 else words.low
                sentences.append(sentence.format(qualifier=getattr(self, word).format()))
        return " ".join(sentences)


def _whole(kind: type, name: str, table: Any) -> Mapping[str, Any]:
    """See that a table has all that it should, and nothing else."""
    known = [entry.name for entry in fields(kind)]
    if not isinstance(table, Mapping):
        raise ArgumentTypeError(name, table, f"a table of {', '.join(known)}")
    for key in table:
        if key not in known:
            raise UnknownNameError(name, key, known)
    if missing := [key for key in known if key not in table]:
        raise ArgumentError(name, dict(table), f"have {', '.join(missing)} too")
    return table
