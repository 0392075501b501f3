"""The export panel: the record, the report, and the lines that make the run again."""

from __future__ import annotations

import functools
import io
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import solara

from mesa_llmspread.app.session import View

if TYPE_CHECKING:
    from mesa_llmspread.data import SpreadData

__all__ = ["ExportView", "report", "zipped"]


@solara.component
def ExportView(view: View) -> None:
    """Offer what can be taken home.

    Parameters
    ----------
    view : View
        What there is to see.
    """
    if view.data is None:
        solara.Text("There is nothing to export yet: take a step, or run.")
    else:
        Downloads(view.data)
    solara.Text("These lines make the same run again:")
    solara.Preformatted(view.settings.python())


@solara.component
def Downloads(data: SpreadData) -> None:
    """Offer a record and the report about it.

    Parameters
    ----------
    data : SpreadData
        The record.
    """
    # A download begins anew whenever it is handed another function.
    record = solara.use_memo(lambda: functools.partial(zipped, data), [data])
    written = solara.use_memo(lambda: functools.partial(report, data), [data])
    with solara.Row(gap="12px"):
        solara.FileDownload(record, "spread.zip", label="Record (zip)")
        solara.FileDownload(written, "report.html", label="Report (HTML)")
    solara.Text(
        "The record holds three Parquet tables, exposures, counts and agents, and manifest.json: "
        "unpack it and read it with SpreadData.load.",
        classes=["spread-note"],
    )


def zipped(data: SpreadData) -> bytes:
    """Pack a record as :meth:`SpreadData.save` writes it.

    Parameters
    ----------
    data : SpreadData

    Returns
    -------
    bytes
        A zip archive with one folder, ``spread``.
    """
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory() as temporary:
        folder = data.save(Path(temporary) / "spread")
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.iterdir()):
                archive.write(path, f"spread/{path.name}")
    return packed.getvalue()


def report(data: SpreadData) -> bytes:
    """Write the report about a record.

    Parameters
    ----------
    data : SpreadData

    Returns
    -------
    bytes
        One self-contained HTML page.
    """
    from mesa_llmspread.analysis.event_analysis import analyse
    from mesa_llmspread.reporting.report import write_report

    with tempfile.TemporaryDirectory() as temporary:
        return write_report(analyse(data), temporary).read_bytes()
