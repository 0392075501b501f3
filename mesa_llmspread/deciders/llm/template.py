"""The words of a prompt, one version at a time, in a text file that anybody can read and replace.

The package ships a standard template and variants of it, which tell how much a result owes to
the words. A template holds every sentence that a model may be told, and nothing else: what is
quoted, how it is bracketed and where it stands is the affair of
:mod:`mesa_llmspread.deciders.llm.prompts`, the same for all templates.
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from mesa_llmspread.deciders.llm.template_persona import PersonaWords
from mesa_llmspread.deciders.llm.template_text import check_text
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    InputFileError,
    UnknownNameError,
)
from mesa_llmspread.profiles import Profile

__all__ = ["SHIPPED", "PromptTemplate", "as_template"]

#: The templates that come with the package.
SHIPPED = ("standard", "paraphrase", "decline_first", "no_persona")

_FOLDER = Path(__file__).with_name("templates")
_LABELS = ("name", "version")
# What the model has to answer; the schema is the same in every language.
_ANSWER_FIELDS = ("repost", "post", "reason")


def _piece(*placeholders: str, one_line: bool = False) -> Any:
    """Declare a piece of text with the places that must stand in it."""
    return field(metadata={"placeholders": placeholders, "one_line": one_line})


@dataclass(frozen=True, kw_only=True)
class PromptTemplate:
    """Every sentence that a model may be told.

    Parameters
    ----------
    name, version : str
        What a record calls it; give it another one whenever the words change.
    persona : bool or PersonaWords, default True
        Whether the model is told a personality, and in which words: True for those of
        :meth:`mesa_llmspread.Profile.describe`.
    role : str
        Who the model plays; has ``{persona}``, unless ``persona`` is False.
    task : str
        What there is to decide.
    caution : str
        That quoted text is data.
    answer : str
        What to answer: names the fields ``"repost"``, ``"post"`` and ``"reason"``.
    rules : str
        How quoted text looks; has ``{begin}``, ``{end}`` and ``{sign}``.
    begin, end : str
        The lines around quoted text; have ``{marker}`` and are not the same.
    news : str
        The heading above the event's text.
    first, again : str
        The first time, or not: ``{times}``.
    direct, nobody : str
        The event was seen in the media; nobody in the feed posts it.
    contacts, cumulative : str
        How many post now, and have posted so far: ``{people}``.
    one_person, people : str
        The same ``{number}`` in words, for one and for more.
    once, times : str
        How often: likewise, ``{number}``.
    all_posts, newest_posts : str
        The heading above the posts; where not all are shown, ``{shown}`` of ``{number}``.
    post : str
        The line of a post: ``{number}`` and ``{text}``.
    no_comment : str
        In place of a post without words.
    question : str
        The last words.

    Raises
    ------
    ArgumentError
        If a piece is blank, lacks a placeholder or has an unknown one, or is of several lines
        where it must be one.
    ArgumentTypeError
        If a piece is no text.

    Examples
    --------
    >>> from dataclasses import replace
    >>> standard = as_template("standard")
    >>> replace(standard, name="short", question="Repost?").hash == standard.hash
    False
    """

    name: str
    version: str
    persona: bool | PersonaWords = True
    role: str = _piece("persona")
    task: str = _piece()
    caution: str = _piece()
    answer: str = _piece()
    rules: str = _piece("begin", "end", "sign")
    begin: str = _piece("marker", one_line=True)
    end: str = _piece("marker", one_line=True)
    news: str = _piece()
    first: str = _piece()
    again: str = _piece("times")
    direct: str = _piece()
    nobody: str = _piece()
    contacts: str = _piece("people")
    cumulative: str = _piece("people")
    one_person: str = _piece()
    people: str = _piece("number")
    once: str = _piece()
    times: str = _piece("number")
    all_posts: str = _piece()
    newest_posts: str = _piece("shown", "number")
    post: str = _piece("number", "text", one_line=True)
    no_comment: str = _piece(one_line=True)
    question: str = _piece()

    def __post_init__(self) -> None:
        check_text("name", self.name, one_line=True)
        check_text("version", self.version, one_line=True)
        if not isinstance(self.persona, bool | PersonaWords):
            raise ArgumentTypeError("persona", self.persona, "true, false or a table of words")
        for entry in fields(self):
            if entry.metadata:
                hidden = entry.name == "role" and self.persona is False
                places = () if hidden else entry.metadata["placeholders"]
                text = getattr(self, entry.name)
                check_text(entry.name, text, places, entry.metadata["one_line"])
        if self.begin == self.end:
            raise ArgumentError("end", self.end, "be another line than begin")
        for name in _ANSWER_FIELDS:
            if f'"{name}"' not in self.answer:
                raise ArgumentError("answer", self.answer, f'name the field "{name}", in quotes')

    @property
    def hash(self) -> str:
        """Fingerprint of the words, whatever they are called: 16 digits of their SHA-256."""
        words = {key: value for key, value in asdict(self).items() if key not in _LABELS}
        return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()[:16]

    def say(self, piece: str, **values: object) -> str:
        """Fill a piece's places.

        Parameters
        ----------
        piece : str
            Its name.
        **values
            What stands in each place.

        Returns
        -------
        str
        """
        words: str = getattr(self, piece)
        return words.format(**values)

    def describe(self, profile: Profile) -> str:
        """Put a profile in the template's words.

        Parameters
        ----------
        profile : Profile

        Returns
        -------
        str
            Empty where the template has no personas.
        """
        if isinstance(self.persona, PersonaWords):
            return self.persona.describe(profile)
        return profile.describe() if self.persona else ""

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> PromptTemplate:
        """Read a template from a TOML file.

        Parameters
        ----------
        path : path-like
            ``name`` and ``version``, and the pieces by name; with ``base``, the name of a
            shipped template, only those that differ from its. ``persona`` is true, false, or a
            table (see :class:`PersonaWords`). White space around a piece does not count.

        Returns
        -------
        PromptTemplate

        Raises
        ------
        InputFileError
            If the file cannot be read, a piece is missing, unknown or not as it should be, or
            the name and version are those of a shipped template with other words.
        """
        file = Path(path)
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise InputFileError(file, error.strerror or "cannot be read") from error
        except ValueError as error:
            raise InputFileError(file, f"is not TOML in UTF-8: {error}") from error
        try:
            template = cls(**_completed(_stripped(table)))
        except (ArgumentError, ArgumentTypeError) as error:
            raise InputFileError(file, str(error)) from error
        if file.parent != _FOLDER and template.name in SHIPPED:
            twin = _shipped(template.name)
            if twin.version == template.version and twin.hash != template.hash:
                raise InputFileError(
                    file,
                    f"name={template.name!r} and version={template.version!r} are those of a "
                    "template that comes with the package and has other words; change one of them",
                )
        return template


def as_template(template: PromptTemplate | str | os.PathLike[str]) -> PromptTemplate:
    """Find the template that a plain value stands for.

    Parameters
    ----------
    template : PromptTemplate, str or path-like
        A template itself, the name of a shipped one, or a file that ends in ``.toml``.

    Returns
    -------
    PromptTemplate

    Raises
    ------
    UnknownNameError
        If text is neither.
    InputFileError
        If a file does not hold a template.
    ArgumentTypeError
        If it is anything else.
    """
    if isinstance(template, PromptTemplate):
        return template
    if not isinstance(template, str | os.PathLike):
        raise ArgumentTypeError("template", template, "a name, a path or a PromptTemplate")
    if isinstance(template, str) and template in SHIPPED:
        return _shipped(template)
    if not os.fspath(template).endswith(".toml"):
        known = (*SHIPPED, "a file that ends in .toml")
        raise UnknownNameError("template", os.fspath(template), known)
    return PromptTemplate.read(template)


@cache
def _shipped(name: str) -> PromptTemplate:
    """Read a template that comes with the package, once."""
    return PromptTemplate.read(_FOLDER / f"{name}.toml")


def _stripped(value: Any) -> Any:
    """Take the white space off the ends of all text in a table."""
    if isinstance(value, dict):
        return {key: _stripped(entry) for key, entry in value.items()}
    return value.strip() if isinstance(value, str) else value


def _completed(table: dict[str, Any]) -> dict[str, Any]:
    """Make a file's table all that a template needs, with what its base has."""
    base = table.pop("base", None)
    known = [entry.name for entry in fields(PromptTemplate)]
    for key in table:
        if key not in known:
            raise UnknownNameError("piece", key, [*known, "base"])
    if isinstance(table.get("persona"), dict):
        table["persona"] = PersonaWords.from_table(table["persona"])
    words = {"persona": True}
    if base is not None:
        if base not in SHIPPED:
            raise UnknownNameError("base", base, SHIPPED)
        words = {key: getattr(_shipped(base), key) for key in known if key not in _LABELS}
    if missing := [key for key in known if key not in words and key not in table]:
        advice = "" if set(missing) <= set(_LABELS) else ", or name a base to take them from"
        raise ArgumentError("pieces", sorted(table), f"have {', '.join(missing)} too{advice}")
    return {**words, **table}
