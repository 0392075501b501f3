"""The page in Firefox as it is installed, which Playwright cannot drive: over WebDriver BiDi."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import CANVAS, HEADLINE, is_own
from waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.flaky(reruns=2)]

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
PRESS = "[...document.querySelectorAll('button')].find(b => b.innerText.trim() === {!r}).click()"


class Firefox:
    """One tab of a Firefox: its addresses, its errors, and JavaScript to run in it."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._numbers = itertools.count()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.send("session.new", capabilities={})
        self.send("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
        self.tab = self.send("browsingContext.getTree")["contexts"][0]["context"]

    def send(self, method: str, **params: Any) -> Any:
        """Send a command and return its result; keep what Firefox reports meanwhile."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("id") == number:
                return message["result"]
            if message["method"] == "network.beforeRequestSent":
                self.requests.append(message["params"]["request"]["url"])
            elif message["params"]["level"] == "error":
                self.errors.append(message["params"]["text"])

    def visit(self, address: str) -> None:
        self.send("browsingContext.navigate", context=self.tab, url=address, wait="complete")

    def evaluate(self, script: str) -> Any:
        """Return the plain value of an expression; None where it fails."""
        answer = self.send(
            "script.evaluate", expression=script, target={"context": self.tab}, awaitPromise=True
        )
        return answer.get("result", {}).get("value")


@pytest.fixture
def firefox(tmp_path: Path) -> Iterator[Firefox]:
    websockets = pytest.importorskip("websockets.sync.client")
    if FIREFOX is None:
        pytest.skip("Firefox is not installed on this machine")
    command = [FIREFOX, "--headless", "--remote-debugging-port=0", "--profile", str(tmp_path)]
    output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, **output)
    try:
        lines = iter(process.stderr.readline, "")
        found = next(filter(None, (re.search(r"ws://\S+", line) for line in lines)))
        with websockets.connect(f"{found[0]}/session", max_size=None) as socket:
            yield Firefox(socket)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_the_page_runs_in_firefox(firefox: Firefox, address: str) -> None:
    firefox.visit(address)
    headline = f"document.querySelector('{HEADLINE}').innerText"
    eventually(lambda: re.search("after [2-9] steps", firefox.evaluate(headline) or ""))
    assert int(firefox.evaluate(f"document.querySelector('{CANVAS}').dataset.tree")) > 0
    firefox.evaluate(PRESS.format("Reset"))
    eventually(lambda: firefox.evaluate(headline).endswith("10 have shared this news."))
    firefox.evaluate(PRESS.format("Step"))
    eventually(lambda: "after 1 step." in firefox.evaluate(headline))
    for panel in ("Personalities", "Laws", "Posts", "Export", "Curve"):
        firefox.evaluate(PRESS.format(panel))
        current = f"document.querySelector('button[aria-current]').innerText === '{panel}'"
        eventually(lambda current=current: firefox.evaluate(current))
    assert firefox.evaluate("document.scrollingElement.scrollWidth - innerWidth") <= 0
    assert firefox.errors == []
    assert [url for url in firefox.requests if not is_own(url)] == []
