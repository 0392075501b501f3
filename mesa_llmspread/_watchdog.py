"""Processes that end with their parent."""

from __future__ import annotations

import os
import threading
import time
from functools import cache

_WATCH_SECONDS = 0.2


@cache
def end_with(parent: int) -> None:
    """End this process when its parent ends; a parent that is killed cannot stop it.

    Otherwise it might go on to call a language model for a run that is done again by then.

    Parameters
    ----------
    parent : int
        Number of the parent process.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
