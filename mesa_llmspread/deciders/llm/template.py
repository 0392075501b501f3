"""The words of a prompt, in a text file that anybody can read and replace.

The package ships a standard template and variants of it, which tell how much a result depends
on the words. A template holds every sentence that a model may be told, in pieces with names.
Where each piece stands is in ``templates/system.jinja`` and ``templates/user.jinja``; what is
quoted, and how, is in :mod:`mesa_llmspread.deciders.llm.prompts`.

A piece is plain text with placeholders: ``{name}`` becomes jinja's variable ``name``, ``{{`` and
``}}`` become one brace, and all else is text that jinja never evaluates.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from string import Formatter
from typing import Any, cast

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mesa_llmspread._validation import check_kind, check_name
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    InputFileError,
    UnknownNameError,
)
from mesa_llmspread.io import read_text
from mesa_llmspread.profiles import _QUALIFIERS, Profile, Trait

__all__ = ["PERSONA_PIECES", "PIECES", "SHIPPED", "PromptTemplate", "as_template"]

#: The templates that come with the package.
SHIPPED = ("standard", "paraphrase", "decline_first", "no_persona", "persona_first")
#: Where the personality may stand: beside the occasion and the question, or before all else.
PERSONA_PLACES = ("beside", "first")

_FOLDER = Path(__file__).with_name("templates")
_LAYOUTS = {
    message: (_FOLDER / f"{message}.jinja").read_text(encoding="utf-8")
    for message in ("system", "user")
}
_PIECE = re.compile(r"\[\[(\w+)\]\]")
_PLACEHOLDERS = {
    "role": ("persona",),
    "rules": ("begin", "end", "sign"),
    "begin": ("marker",),
    "end": ("marker",),
    "again": ("times",),
    "contacts": ("people",),
    "cumulative": ("people",),
    "people": ("number",),
    "times": ("number",),
    "newest_posts": ("shown", "number"),
    "post": ("number", "text"),
}
#: Every piece, with the placeholders that must stand in it.
PIECES: dict[str, tuple[str, ...]] = {
    piece: _PLACEHOLDERS.get(piece, ()) for piece in _PIECE.findall("".join(_LAYOUTS.values()))
}
#: The pieces of a table of words for the five traits.
PERSONA_PIECES: dict[str, tuple[str, ...]] = {
    **{f"persona.{word}": () for _, word in reversed(_QUALIFIERS)},
    **{
        f"persona.{trait.value}.{side}": () if side == "average" else ("qualifier",)
        for trait in Trait
        for side in ("low", "average", "high")
    },
}

_LABELS = ("name", "version")
_ONE_LINE = (*_LABELS, "begin", "end", "post", "no_comment")
# What the model has to answer; the form is the same in every language.
_ANSWER_FIELDS = {"answer": ("repost", "post", "reason"), "answer_alone": ("repost",)}
# Two of them stand for markers in prompts.
_CONTROL = {chr(code) for code in range(32)} - set("\n\t")
_JINJA = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)


@dataclass(frozen=True)
class PromptTemplate:
    """Every sentence that a model may be told.

    Parameters
    ----------
    name, version : str
        What a record calls it; change one of them whenever the words change.
    words : mapping
        The pieces by name (:data:`PIECES`); ``persona_place``, one of :data:`PERSONA_PLACES`;
        and ``persona``: True if the model is told a
        personality in the words of :meth:`mesa_llmspread.Profile.describe`, False if it is told
        none, or a table with words for the traits (:data:`PERSONA_PIECES`).

    Raises
    ------
    ArgumentError
        If a piece is missing, unknown or blank, lacks a placeholder or has an unknown one, or
        has several lines where one is allowed.
    ArgumentTypeError
        If a piece is not text.

    Examples
    --------
    >>> standard = as_template("standard")
    >>> short = PromptTemplate("short", "1", {**standard.words, "question": "Repost?"})
    >>> short.hash == standard.hash
    False
    """

    name: str
    version: str
    words: Mapping[str, Any]

    def __post_init__(self) -> None:
        words = dict(self.words)
        check_name("persona_place", words.pop("persona_place", None), PERSONA_PLACES)
        persona = words.get("persona")
        check_kind("persona", persona, bool | Mapping, "true, false or a table of words")
        texts = {"name": self.name, "version": self.version, **_flat(words)}
        wanted = {"name": (), "version": (), **PIECES}
        if isinstance(persona, Mapping):
            wanted |= PERSONA_PIECES
        else:
            del texts["persona"]
        if persona is False:
            wanted["role"] = ()
        for piece in texts:
            if piece not in wanted:
                raise UnknownNameError(
                    "piece", piece, [*wanted, "persona", "persona_place", "base"]
                )
        if missing := [piece for piece in wanted if piece not in texts]:
            raise ArgumentError("pieces", sorted(texts), f"have {', '.join(missing)} too")
        for piece, text in texts.items():
            _check(piece, text, wanted[piece])
        if self.words["begin"] == self.words["end"]:
            raise ArgumentError("end", self.words["end"], "be another line than begin")
        for piece, fields in _ANSWER_FIELDS.items():
            for name in fields:
                if f'"{name}"' not in (answer := self.words[piece]):
                    raise ArgumentError(piece, answer, f'name the field "{name}", in quotes')

    def __hash__(self) -> int:
        return hash(self.hash)

    @cached_property
    def hash(self) -> str:
        """Fingerprint of the words, not of the name: 16 digits of their SHA-256."""
        return hashlib.sha256(json.dumps(self.words, sort_keys=True).encode()).hexdigest()[:16]

    def render(self, message: str, **values: Any) -> str:
        """Return a message of the prompt.

        Parameters
        ----------
        message : str
            ``"system"`` or ``"user"``.
        **values
            What is filled in.

        Returns
        -------
        str
        """
        return _message(self, message).render(beside=self.beside, **values)

    @property
    def beside(self) -> bool:
        """Whether the personality stands beside the question."""
        return bool(self.words["persona_place"] == "beside")

    @lru_cache(maxsize=4096)  # noqa: B019 -- few templates, and as good as eternal
    def describe(self, profile: Profile) -> str:
        """Return a profile in the template's words.

        Parameters
        ----------
        profile : Profile

        Returns
        -------
        str
            A sentence per trait, in the order O C E A N; empty if the template has no
            personalities.
        """
        persona = self.words["persona"]
        if not isinstance(persona, Mapping):
            return profile.describe() if persona else ""
        sentences = []
        for trait, level in zip(Trait, profile.levels, strict=True):
            words = persona[trait.value]
            qualifier = next((word for least, word in _QUALIFIERS if abs(level) >= least), None)
            if qualifier is None:
                sentences.append(_filled(words["average"]))
            else:
                sentence = words["high" if level > 0 else "low"]
                sentences.append(_filled(sentence, qualifier=_filled(persona[qualifier])))
        return " ".join(sentences)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> PromptTemplate:
        """Read a template from a TOML file.

        Parameters
        ----------
        path : path-like
            ``name`` and ``version``, and the pieces by name; with ``base``, the name of a
            shipped template, only those that differ from it. ``persona`` is true, false, or a
            table. White space around a piece does not count.

        Returns
        -------
        PromptTemplate

        Raises
        ------
        InputFileError
            If the file cannot be read, if a piece is missing, unknown or not allowed (``row`` is
            where it stands), or if the name and version are those of a shipped template with
            other words.
        """
        file = Path(path)
        text = read_text(file)
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            line = re.search(r"at line (\d+)", str(error))
            row = int(line[1]) if line else None
            raise InputFileError(file, f"is not TOML: {error}", row=row) from error
        try:
            words = _with_base(_stripped(table))
            template = cls(words.pop("name", None), words.pop("version", None), words)
        except (ArgumentError, ArgumentTypeError) as error:
            piece = str(error.value) if error.argument == "piece" else error.argument
            raise InputFileError(file, str(error), row=_row(text, piece)) from error
        if file.parent != _FOLDER and template.name in SHIPPED:
            twin = _shipped(template.name)
            if twin.version == template.version and twin.hash != template.hash:
                raise InputFileError(
                    file,
                    f"name={template.name!r} and version={template.version!r} are those of a "
                    "template that comes with the package and has other words; change one of them",
                    row=_row(text, "name"),
                )
        return template


def as_template(template: PromptTemplate | str | os.PathLike[str]) -> PromptTemplate:
    """Return the template that a plain value stands for.

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
    check_kind("template", template, str | os.PathLike, "a name, a path or a PromptTemplate")
    if isinstance(template, str) and template in SHIPPED:
        return _shipped(template)
    if not os.fspath(template).endswith(".toml"):
        known = (*SHIPPED, "a file that ends in .toml")
        raise UnknownNameError("template", os.fspath(template), known)
    return PromptTemplate.read(template)


@cache
def _shipped(name: str) -> PromptTemplate:
    return PromptTemplate.read(_FOLDER / f"{name}.toml")


@lru_cache(maxsize=64)
def _message(template: PromptTemplate, message: str) -> jinja2.Template:
    """Compile a message: each name in double brackets becomes the piece of that name."""
    return _JINJA.from_string(
        _PIECE.sub(lambda match: _source(template.words[match[1]]), _LAYOUTS[message])
    )


def _source(text: str) -> str:
    """Return a piece as jinja's source, in which its text is string constants."""
    return "".join(
        f"{{{{ {literal!a} }}}}" + ("" if name is None else f"{{{{ {name} }}}}")
        for literal, name, _, _ in Formatter().parse(text)
    )


def _filled(text: str, **values: str) -> str:
    return _JINJA.from_string(_source(text)).render(values)


def _check(piece: str, text: Any, wanted: Iterable[str]) -> None:
    """Check that a piece is text with the placeholders that will be filled, and no others."""
    check_kind(piece, text, str, "text, in quotes")
    if not text.strip():
        raise ArgumentError(piece, text, "not be blank")
    if not set(text).isdisjoint(_CONTROL):
        raise ArgumentError(piece, text, "hold no control characters")
    if piece in _ONE_LINE and len(text.splitlines()) > 1:
        raise ArgumentError(piece, text, "be a single line")
    names = " and ".join(f"{{{name}}}" for name in wanted) or "none"
    rule = f"have these placeholders: {names}"
    twice = "a brace that is part of the text is written twice, {{ or }}"
    try:
        found = {
            name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
            for _, name, form, conversion in Formatter().parse(text)
            if name is not None
        }
    except ValueError as error:
        raise ArgumentError(piece, text, f"{rule}; {twice}") from error
    if unknown := sorted(found.difference(wanted)):
        raise ArgumentError(piece, text, f"{rule}, not {{{unknown[0]}}}; {twice}")
    if missing := [name for name in wanted if name not in found]:
        raise ArgumentError(piece, text, f"{rule}; {{{missing[0]}}} is missing")


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested table with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        inner = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return flat


def _stripped(value: Any) -> Any:
    """Return a table without white space at the ends of its texts."""
    if isinstance(value, dict):
        return {key: _stripped(entry) for key, entry in value.items()}
    return value.strip() if isinstance(value, str) else value


def _with_base(table: dict[str, Any]) -> dict[str, Any]:
    """Return a file's table completed by its base."""
    base = table.pop("base", None)
    if base is None:
        return {"persona": True, "persona_place": "beside", **table}
    if base not in SHIPPED:
        raise UnknownNameError("base", base, SHIPPED)
    return {**cast("dict[str, Any]", _shipped(base).words), **table}


def _row(text: str, piece: str) -> int | None:
    """Return the row of a file in which a piece stands, if it does."""
    last = re.escape(piece.removeprefix("persona."))
    match = re.search(rf'^[ \t]*(?:\[persona\.)?"?(?:persona\.)?{last}\b', text, re.MULTILINE)
    return None if match is None else text.count("\n", 0, match.start()) + 1
