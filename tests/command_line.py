"""Call a command line in this process, and read what it prints or raises."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
from unittest import mock

from click.testing import Result
from typer.testing import CliRunner

__all__ = ["call", "invoke"]


def call(*arguments: object, code: int = 0, module: str = "mesa_llmspread.cli.main") -> str:
    """Run a command line and return what it printed; on the error stream if it should fail."""
    main = importlib.import_module(module).main
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["command", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
            status: int | str = 0
        except SystemExit as end:
            status = end.code or 0
    assert status == code, err.getvalue()
    assert "Traceback" not in err.getvalue()
    return err.getvalue() if code else out.getvalue()


def invoke(*arguments: object, module: str = "mesa_llmspread.cli.main") -> Result:
    """Run a command line below its own handling of errors: ``exception`` is what was raised."""
    app = importlib.import_module(module).app
    return CliRunner().invoke(app, list(map(str, arguments)))
