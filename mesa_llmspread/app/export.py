"""What a visitor can take along: the record, the report, and the lines that make the run again."""

from __future__ import annotations

import contextlib
import functools
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import solara

from mesa_llmspread.app.session import View
from mesa_llmspread.app.settings import Settings
from mesa_llmspread.app.widgets import Section
from mesa_llmspread.events import bundled_events

if TYPE_CHECKING:
    from mesa_llmspread.data import SpreadData

__all__ = ["Export", "python_lines", "report", "zipped"]

#: Where the record's archive keeps what a live model answered.
ANSWERS = "spread/answers.sqlite"


@solara.component
def Export(view: View) -> None:
    """Offer the record, the report, and the lines that build the same run again.

    Parameters
    ----------
    view : View
        What there is to see.
    """
    data: Any = view.data
    # A download starts again whenever it gets another function.
    record = solara.use_memo(lambda: functools.partial(zipped, data, view.answers), [data])
    written = solara.use_memo(lambda: functools.partial(report, data), [data])
    with Section("div"):
        if data is None:
            Section("p", "There is nothing to export yet: press Step or Run.")
        else:
            with Section("div", classes="spread-buttons"):
                for made, file, label in (
                    (record, "spread.zip", "Record (zip)"),
                    (written, "report.html", "Report (HTML; takes some seconds)"),
                ):
                    solara.FileDownload(
                        made, file, children=[Section("button", label, type="button")]
                    )
            Section(
                "p",
                "The record has three Parquet tables, exposures, counts and agents, and "
                "manifest.json: unpack it and read it with SpreadData.load.",
                classes="spread-note",
            )
        steps = view.clock or view.settings.steps
        lines = "These lines build the same run again"
        kept = f", without a call: they read the answers from {ANSWERS} of the record"
        Section("p", f"{lines}{kept if view.answers else ''}:")
        made = python_lines(view.settings, steps)
        Section("pre", made, tabindex="0", role="region", aria_label="Lines of Python")


def python_lines(settings: Settings, steps: int) -> str:
    """Return the lines of Python that build a run again.

    Parameters
    ----------
    settings : Settings
        Of the run.
    steps : int
        How many steps it has taken.

    Returns
    -------
    str
    """
    arguments = {name: repr(value) for name, value in settings.arguments().items()}
    imports = {"SpreadData", "SpreadModel", "compare"}
    if settings.event not in bundled_events():
        imports.add("read_events")
        this = f"if event.event_id == {settings.event.event_id!r}"
        arguments["event"] = f"next(event for event in read_events('your_file.csv') {this})"
    if settings.decider == "llm":
        imports.add("LLMDecider")
        # The answers are there: neither a server, nor a key, nor a limit is needed.
        given = {"api_base": settings.llm.api_base or None, "store": ANSWERS, "mode": "replay"}
        more = "".join(f", {name}={value!r}" for name, value in given.items())
        arguments["decider"] = f"LLMDecider({settings.llm.model!r}{more})"
    return (
        f"from mesa_llmspread import {', '.join(sorted(imports))}\n\n"
        "model = SpreadModel(\n"
        + "".join(f"    {name}={text},\n" for name, text in arguments.items())
        + f").run({steps})\nprint(compare(SpreadData.from_model(model)).verdict)\n"
    )


def zipped(data: SpreadData, answers: Path | None = None) -> bytes:
    """Return a record as :meth:`SpreadData.save` writes it, in a zip archive.

    Parameters
    ----------
    data : SpreadData
    answers : Path, optional
        A store with the answers of a live model, to add to it.

    Returns
    -------
    bytes
        An archive with one folder, ``spread``.
    """
    with tempfile.TemporaryDirectory() as folder:
        data.save(Path(folder) / "spread")
        if answers is not None:
            _copy(answers, Path(folder) / ANSWERS)
        return Path(shutil.make_archive(f"{folder}/zip", "zip", folder, "spread")).read_bytes()


def _copy(store: Path, copy: Path) -> None:
    """Copy a database that may be in use."""
    with (
        contextlib.closing(sqlite3.connect(store)) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)


def report(data: SpreadData) -> bytes:
    """Return the report about a record.

    Parameters
    ----------
    data : SpreadData

    Returns
    -------
    bytes
        One self-contained HTML page.
    """
    from mesa_llmspread.reporting.report import write_report

    with tempfile.TemporaryDirectory() as folder:
        return write_report(data, folder).read_bytes()
