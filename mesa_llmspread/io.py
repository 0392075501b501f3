"""Atomic writes that replace nothing unasked, text files, and settings read from them."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import os
import secrets
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mesa_llmspread.exceptions import InputFileError, OutputError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "check_new_folder",
    "csv_text",
    "first_free",
    "is_free",
    "make_folder",
    "new_folder",
    "read_settings",
    "read_text",
    "write_whole",
]

# What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SQLITE = b"SQLite format 3\0"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically: all of it, or nothing.

    Parameters
    ----------
    path : Path
        The file; an existing one is replaced.
    content : bytes

    Raises
    ------
    OutputError
        If it cannot be written; an old file stays as it was.
    """
    temporary = _beside(path)
    with _raising_output_errors(path):
        try:
            with temporary.open("xb") as file:
                file.write(content)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def csv_text(frame: pd.DataFrame) -> str:
    """Return a table as CSV, with an apostrophe before text that a spreadsheet would run.

    Parameters
    ----------
    frame : DataFrame

    Returns
    -------
    str
    """

    def inert(value: Any) -> Any:
        return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value

    texts = frame.select_dtypes(exclude="number").map(inert)
    return str(frame.assign(**texts).to_csv(index=False))


def _beside(path: Path) -> Path:
    """Return a new hidden name in the same folder."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


@contextlib.contextmanager
def _raising_output_errors(path: str | Path) -> Iterator[None]:
    """Raise OutputError where the operating system raises OSError."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(path, error.strerror or str(error)) from error


def make_folder(folder: Path) -> Path:
    """Create a folder, and make sure that files can be written into it.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    Path
        The same folder.

    Raises
    ------
    OutputError
        If it cannot be created or written into.
    """
    with _raising_output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _probe(folder)
    return folder


def is_free(folder: Path) -> bool:
    """Return whether a folder is missing or empty.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    bool
    """
    if not folder.is_dir():
        return not os.path.lexists(folder)
    return next(folder.iterdir(), None) is None


def first_free(folder: Path) -> Path:
    """Return the first of ``folder``, ``folder-2``, ``folder-3``, ... that is missing or empty.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    Path
    """
    numbered = (folder.with_name(f"{folder.name}-{i}") for i in itertools.count(2))
    return next(place for place in itertools.chain([folder], numbered) if is_free(place))


def check_new_folder(folder: str | Path, force: bool = False) -> Path:
    """Validate that :func:`new_folder` can write a folder; changes nothing on disk.

    Parameters
    ----------
    folder : path-like
    force : bool, default False
        Whether a record that is there may be replaced.

    Returns
    -------
    Path
        The folder's absolute path, without symbolic links.

    Raises
    ------
    OutputError
        If the folder holds something and ``force`` is not given, or what it holds is not the
        record of a run; if it is, or holds, the current or the home folder; or if it cannot be
        written.
    """
    target = Path(folder).resolve()
    with _raising_output_errors(folder):
        _probe(next(parent for parent in (*target.parents, target) if parent.exists()))
        free = is_free(target)
    if not free and not target.is_dir():
        raise OutputError(folder, "is a file; name a folder")
    for place, name in ((Path.cwd(), "current"), (Path(os.path.expanduser("~")), "home")):
        if place.resolve().is_relative_to(target):
            raise OutputError(folder, f"is, or holds, the {name} folder; name a new one inside it")
    if os.path.ismount(target):
        raise OutputError(folder, "is a mounted disk; name a new folder inside it")
    if not free and not force:
        raise OutputError(
            folder,
            "it is not empty, and nothing is overwritten; name another folder, or replace all "
            "that is in it: --force, in Python force=True",
        )
    if not free and (foreign := _not_a_record(target)):
        raise OutputError(folder, f"force replaces only the record of a run, and {foreign}")
    return target


@contextlib.contextmanager
def new_folder(folder: str | Path, force: bool = False) -> Iterator[Path]:
    """Write a folder atomically: all of it, or nothing.

    Parameters
    ----------
    folder : path-like
        Missing or empty.
    force : bool, default False
        Replace all of a record that is there.

    Yields
    ------
    Path
        A temporary folder beside it to write into, moved to its place at the end, and removed
        if anything is raised.

    Raises
    ------
    OutputError
        As :func:`check_new_folder`; whatever was there stays as it was.
    """
    target = check_new_folder(folder, force)
    built = _beside(target)
    with _raising_output_errors(folder):
        built.mkdir(parents=True)
    try:
        yield built
        with _raising_output_errors(folder):
            _move(built, target, force)
    except BaseException:
        shutil.rmtree(built, ignore_errors=True)
        raise


def _move(built: Path, target: Path, force: bool) -> None:
    """Move a finished folder to its place; an old one goes when the new one is there."""
    if not force or is_free(target):
        if target.is_dir():
            target.rmdir()
        os.rename(built, target)
        return
    old = _beside(target)
    os.rename(target, old)
    try:
        os.rename(built, target)
    except BaseException:
        os.rename(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _probe(folder: Path) -> None:
    """Raise OSError unless files can be written into a folder."""
    with tempfile.TemporaryFile(dir=folder):
        pass


def _not_a_record(folder: Path) -> str:
    """Return why a folder must not be removed as the record of a run or a table; "" if it may."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        manifest = None
    keys = manifest.keys() if isinstance(manifest, dict) else ()
    table = "events" in keys and (folder / "table.parquet").is_file()
    if not ({"rows", "runs"} <= {*keys} or table):
        return "this folder has no manifest.json of one"
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            return f"{path.name} is a folder: move it first"
        if path.is_file():
            with path.open("rb") as file:
                if file.read(len(_SQLITE)) == _SQLITE:
                    return f"{path.name} holds kept calls: move it first"
    return ""


def read_text(path: str | Path, encodings: Sequence[str] = ("utf-8-sig",)) -> str:
    """Read a text file, plain or gzipped.

    Parameters
    ----------
    path : path-like
    encodings : sequence of str
        Those that are tried, one after the other.

    Returns
    -------
    str

    Raises
    ------
    InputFileError
        If the file cannot be read, or is not text.
    """
    try:
        content = Path(path).read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputFileError(path, f"is a broken gzip file: {error}") from error
    except OSError as error:
        raise InputFileError(path, f"cannot be read: {error.strerror}") from error
    # UTF-16 and old spreadsheets hold zero bytes, newer spreadsheets begin as a zip file does.
    if b"\0" not in content and not content.startswith(b"PK\x03\x04"):
        for encoding in encodings:
            with contextlib.suppress(UnicodeDecodeError):
                return content.decode(encoding)
    raise InputFileError(path, "is not text; save it as text in UTF-8 (a table: as CSV UTF-8)")


def read_settings(path: Path, known: Sequence[str]) -> dict[str, Any]:
    """Read settings by name from a YAML or JSON file.

    Parameters
    ----------
    path : Path
        JSON where its name ends in ``.json``, else YAML.
    known : sequence of str
        The names that are allowed.

    Returns
    -------
    dict

    Raises
    ------
    InputFileError
        If the file cannot be read, is not valid, or holds anything but settings of these names.
    """
    import yaml

    text = read_text(path)
    try:
        settings = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # PyYAML counts lines from 0. Where a colon is missing, it stops one line later.
        stray = getattr(error, "context", None) == "while scanning a simple key"
        mark = getattr(error, "context_mark" if stray else "problem_mark", None)
        row = mark.line + 1 if mark else getattr(error, "lineno", None)
        kind = "JSON" if path.suffix == ".json" else "YAML"
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        if stray:
            problem = "must be a name, a colon and a value"
        # PyYAML's own message quotes the line, which may hold a key.
        raise InputFileError(path, f"is not valid {kind}: {problem}", row=row) from None
    if not isinstance(settings, dict):
        raise InputFileError(path, "must hold settings by name, such as 'n: 500'")
    for name in settings:
        if name not in known:
            raise InputFileError(path, str(UnknownNameError("setting", name, known)))
    return settings
