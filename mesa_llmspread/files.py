"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from mesa_llmspread.exceptions import OutputError

__all__ = ["make_folder", "write_whole"]


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it appears whole or not at all.

    Parameters
    ----------
    path : Path
        The file; one that is there is replaced.
    content : bytes

    Raises
    ------
    OutputError
        If it cannot be written; an old file stays as it was.
    """
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            # mkstemp makes files that only the owner reads; give it what a new file has.
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o666 & ~mask)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise OutputError(path, error.strerror or str(error)) from error


def make_folder(folder: Path) -> Path:
    """Make a folder, and make sure that files can be written into it.

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
        If it cannot be made or written into.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(folder, error.strerror or str(error)) from error
    return folder
