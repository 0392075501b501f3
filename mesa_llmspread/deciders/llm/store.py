"""A store of calls to a language model: one SQLite file.

A call is written before its decision is used. So whatever happens to a run, answers that are
paid for are not lost: the same run finds them in the file. Several processes may share a file
on a local disk.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mesa_llmspread._validation import check_kind
from mesa_llmspread.deciders.llm.call import Call
from mesa_llmspread.exceptions import ArgumentError, InputFileError, OutputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DecisionStore"]

_FORMAT = 1
_APPLICATION = 0x6C737072
_PATIENCE_SECONDS = 60.0

_NAMES = [field.name for field in dataclasses.fields(Call)]
_COLUMNS = ", ".join(_NAMES)
_SELECT = f"SELECT {_COLUMNS}, again FROM calls WHERE key = ?"
# The first answer stays, whoever else asks; only a call marked to be asked again is replaced.
_INSERT = f"""
INSERT INTO calls ({_COLUMNS}, digest) VALUES ({", ".join("?" * (len(_NAMES) + 1))})
ON CONFLICT (key) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _NAMES[1:])},
    digest = excluded.digest, again = 0 WHERE again = 1"""
_ASK_AGAIN = """
UPDATE calls SET again = 1 WHERE key IN (SELECT value FROM json_each(?))
    AND error IN (SELECT value FROM json_each(?))"""
_RESERVE = """
UPDATE spent SET calls = calls + 1, cost = cost + :cost
WHERE (:max_calls IS NULL OR calls < :max_calls)
    AND (:max_cost IS NULL OR cost + :cost <= :max_cost)"""
# A completion came back if there is a reason why it finished.
_TOTALS = """
SELECT count(*), count(DISTINCT run), count(prompt), count(finish_reason),
    count(finish_reason || prompt_tokens), total(prompt_tokens), total(completion_tokens),
    count(finish_reason || cost), total(cost)
FROM calls"""


class DecisionStore:
    """A file of calls to language models.

    Parameters
    ----------
    path : path-like
        The file, on a local disk; it is created at the first use. ``":memory:"`` is a store
        without a file, for one process.
    store_prompts : bool, default False
        Keep the prompts' words too. Texts of events may not be yours to pass on.

    Raises
    ------
    ArgumentTypeError
        If ``path`` is not a path.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with DecisionStore(f"{folder}/calls.sqlite") as store:
    ...         store.info()["calls"]
    0
    """

    def __init__(self, path: str | os.PathLike[str], store_prompts: bool = False) -> None:
        check_kind("path", path, str | os.PathLike, "a path such as 'calls.sqlite'")
        self.path = Path(path)
        self.store_prompts = store_prompts
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._process = os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:
        return DecisionStore, (self.path, self.store_prompts)

    def __enter__(self) -> DecisionStore:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; it is opened again when it is next used."""
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    def get(self, key: str) -> tuple[Call, bool] | None:
        """Return a call, and whether it is to be asked again; None if it is missing.

        Parameters
        ----------
        key : str

        Returns
        -------
        tuple of Call and bool, or None
        """
        with self._database() as database:
            row = database.execute(_SELECT, (key,)).fetchone()
        return row and (Call(*row[:-1]), bool(row[-1]))

    def keep(self, call: Call) -> Call:
        """Write a call, unless it is in the file already.

        Parameters
        ----------
        call : Call

        Returns
        -------
        Call
            The call in the file: that of another process, if that was first.
        """
        if not self.store_prompts:
            call = dataclasses.replace(call, prompt=None)
        # Not astuple, which copies every value.
        values = tuple(getattr(call, name) for name in _NAMES)
        with self._database() as database:
            if database.execute(_INSERT, (*values, _digest(values))).rowcount:
                return call
            return Call(*database.execute(_SELECT, (call.key,)).fetchone()[:-1])

    def ask_again(self, keys: Sequence[str], errors: Sequence[str]) -> None:
        """Mark failed calls, whose decisions were never used, for another attempt.

        Parameters
        ----------
        keys : sequence of str
            Keys of calls.
        errors : sequence of str
            The kinds of failure to ask again.
        """
        with self._database() as database:
            database.execute(_ASK_AGAIN, (json.dumps(keys), json.dumps(errors)))

    def reserve(
        self, cost: float, max_calls: int | None = None, max_cost: float | None = None
    ) -> bool:
        """Charge one request to the budget of all processes that share the file.

        Parameters
        ----------
        cost : float
            The most it can cost, in US dollars; :meth:`refund` corrects it.
        max_calls : int or None
            Most requests ever sent for this file.
        max_cost : float or None
            Most US dollars ever spent for it.

        Returns
        -------
        bool
            Whether there was enough left; if not, nothing is charged.
        """
        limits = {"cost": cost, "max_calls": max_calls, "max_cost": max_cost}
        with self._database() as database:
            return bool(database.execute(_RESERVE, limits).rowcount)

    def refund(self, cost: float) -> None:
        """Return a part of a request's charge to the budget.

        Parameters
        ----------
        cost : float
            US dollars; negative if it cost more.
        """
        with self._database() as database:
            database.execute("UPDATE spent SET cost = cost - ?", (cost,))

    def spent(self) -> tuple[int, float]:
        """Return the charges so far.

        Returns
        -------
        tuple of int and float
            Requests, and US dollars at known prices. A request that never came back counts, at
            the most it can have cost.
        """
        with self._database() as database:
            charged: tuple[int, float] = database.execute(
                "SELECT calls, cost FROM spent"
            ).fetchone()
        return charged

    def info(self) -> dict[str, Any]:
        """Return a summary of the file, as plain values.

        Returns
        -------
        dict
            Counts of ``calls``, ``runs``, ``outcomes`` and ``errors``, ``models`` and sums of
            ``tokens`` and ``cost_usd``, None if a part is unknown; ``requests_sent`` and
            ``spent_usd`` as :meth:`spent` returns them.
        """
        counts = {}
        with self._database() as database:
            for column in ("model", "outcome", "error"):
                known = f"FROM calls WHERE {column} IS NOT NULL GROUP BY 1"
                rows = database.execute(f"SELECT {column}, count(*) {known}").fetchall()
                counts[f"{column}s"] = dict(rows)
            totals = database.execute(_TOTALS).fetchone()
            requests, spent = self.spent()
        calls, runs, prompts, came, counted, prompt, completion, priced, cost = totals
        tokens = {"prompt": int(prompt), "completion": int(completion)}
        return {
            "path": str(self.path),
            "calls": calls,
            "runs": runs,
            "prompts_kept": prompts,
            **counts,
            "tokens": tokens if counted == came else None,
            "cost_usd": cost if priced == came else None,
            "requests_sent": requests,
            "spent_usd": spent if priced == came else None,
        }

    def to_frame(self) -> pd.DataFrame:
        """Return all calls as a table, ordered by run, step and agent.

        Returns
        -------
        DataFrame
            One row per call, the columns of :class:`Call`, and ``post`` and ``reason`` from the
            answers of decisions.
        """
        import pandas as pd

        order = "ORDER BY run, step, agent, draw"
        with self._database() as database:
            rows = database.execute(f"SELECT {_COLUMNS} FROM calls {order}").fetchall()
        whole = {"prompt_tokens": "Int64", "completion_tokens": "Int64"}
        frame = pd.DataFrame(rows, columns=_NAMES).astype(whole)
        answers = [json.loads(row[_NAMES.index("answer")] or "{}") for row in rows]
        for column in ("post", "reason"):
            frame[column] = [answer.get(column) for answer in answers]
        return frame

    def export(self, path: str | os.PathLike[str]) -> Path:
        """Write all calls into a file for other programs.

        Parameters
        ----------
        path : path-like
            A file that ends in .csv (see :func:`mesa_llmspread.io.csv_text`), .jsonl or .parquet.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        ArgumentError
            If it ends in anything else.
        OutputError
            If it cannot be written.
        """
        from mesa_llmspread.io import csv_text, write_whole

        out = Path(path)
        if out.suffix not in (".csv", ".jsonl", ".parquet"):
            raise ArgumentError("path", str(path), "end in .csv, .jsonl or .parquet")
        frame = self.to_frame()
        if out.suffix == ".parquet":
            content = frame.to_parquet(index=False)
        elif out.suffix == ".csv":
            content = csv_text(frame).encode()
        else:
            content = frame.to_json(orient="records", lines=True, force_ascii=False).encode()
        write_whole(out, content)
        return out

    def verify(self) -> list[str]:
        """Look for damage.

        Returns
        -------
        list of str
            One line per problem; empty if the file is sound: SQLite finds no damage, every row
            is as it was written, and there is an answer if, and only if, a call did not fail.
        """
        with self._database() as database:
            found = [line for (line,) in database.execute("PRAGMA integrity_check")]
            rows = database.execute(f"SELECT {_COLUMNS}, digest FROM calls").fetchall()
        faults = [f"{self.path}: {line}" for line in found if line != "ok"]
        for *values, digest in rows:
            call, where = Call(*values), f"{self.path}, call {values[0]}"
            if digest != _digest(tuple(values)):
                faults.append(f"{where}: was changed after it was written")
            elif (call.outcome == "failed") is not (call.answer is None):
                faults.append(f"{where}: answer and outcome disagree")
        return faults

    @contextlib.contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """Open the connection of this process, for one thread at a time."""
        if self._process != os.getpid():
            # A connection does not survive a fork: the parent's stays as it is, unclosed.
            _of_parents.append(self._connection)
            self._begin()
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = _open(self.path)
                    weakref.finalize(self, self._connection.close)
                yield self._connection
            except sqlite3.OperationalError as error:
                raise OutputError(self.path, str(error)) from error
            except sqlite3.DatabaseError as error:
                raise InputFileError(self.path, f"is not a sound store: {error}") from error


_of_parents: list[sqlite3.Connection | None] = []


def _open(path: Path) -> sqlite3.Connection:
    """Open a file of calls, or create it."""
    connection = sqlite3.connect(
        path, timeout=_PATIENCE_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        # The tables first: another process may be creating the file just now.
        tables, application, version = connection.execute(
            "SELECT (SELECT count(*) FROM sqlite_master), application_id, user_version "
            "FROM pragma_application_id, pragma_user_version"
        ).fetchone()
        if tables and application != _APPLICATION:
            raise InputFileError(path, "is an SQLite file of something else")
        if tables and version != _FORMAT:
            problem = f"is a store of format {version}; this version reads format {_FORMAT}"
            raise InputFileError(path, problem)
        _write_ahead(connection)
        # Survives a killed process; after a power cut the newest calls may be missing.
        connection.execute("PRAGMA synchronous = NORMAL")
        if not tables:
            schema = Path(__file__).with_name("store.sql").read_text(encoding="utf-8")
            connection.executescript(f"BEGIN IMMEDIATE; {schema}; COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Set the journal mode in which readers and a writer work at the same time.

    Of two processes that switch a new file at the same moment, SQLite refuses one at once,
    without the patience that it has elsewhere, because both would wait for each other.
    """
    last = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > last:
                raise
        time.sleep(0.01)


def _digest(values: tuple[Any, ...]) -> str:
    """Return the fingerprint of a row."""
    return hashlib.blake2b(json.dumps(values).encode(), digest_size=8).hexdigest()
