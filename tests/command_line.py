"""Call a command line in this process, and read what it says."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
from unittest import mock


def call(*arguments: object, code: int = 0, module: str = "mesa_llmspread.cli.main") -> str:
    """Run a command line and give what it printed; on the error stream if it should fail."""
    main = importlib.import_module(module).main
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["command", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
    assert status == code, err.getvalue()
    assert "Traceback" not in err.getvalue()
    return err.getvalue() if code else out.getvalue()
