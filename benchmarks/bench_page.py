"""The page: time to the first picture, time of a step, and the load of thirty visitors at once.

The first two use a real Chromium on the same machine as the server, so on few cores the two
take turns: the server's own CPU seconds are shown beside the times by the clock. The visitors are
websockets that send what a browser sends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import websockets
from _measure import machine, table
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[1]
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
CANVAS = ".spread-network canvas"

# Click Step several times, with a pause after each step; return the milliseconds from each click
# until the headline has changed and its frame is drawn.
STEPS = """async ([times, least, most]) => {
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    const headline = () => document.querySelector('.spread-headline').innerText;
    const canvas = () => Number(document.querySelector('.spread-network canvas').dataset.frames);
    const step = () => [...document.querySelectorAll('button')].find(
        (button) => button.innerText.trim() === 'Step');
    const taken = [];
    for (let i = 0; i < times; i++) {
        const rest = least + Math.random() * (most - least);
        await new Promise((done) => setTimeout(done, 1000 * rest));
        while (step().disabled) await frame();
        const before = headline(), drawn = canvas(), start = performance.now();
        step().click();
        while (headline() === before || canvas() === drawn) await frame();
        await frame();
        taken.push(performance.now() - start);
    }
    return taken;
}"""


class Server:
    """A server of the page in its own process."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        command = [sys.executable, "-m", "solara", "run", "app.py", "--host", "127.0.0.1"]
        command += ["--port", str(port), "--no-open", "--production"]
        self.address = f"http://127.0.0.1:{port}"
        self.started = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "SOLARA_TELEMETRY_MIXPANEL_ENABLE": "false"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._known = psutil.Process(self._process.pid)
        while not self._ready():
            time.sleep(0.02)
        self.ready = time.perf_counter() - self.started

    def _ready(self) -> bool:
        if self._process.poll() is not None:
            raise SystemExit("the server does not start: try `solara run app.py`")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.address}/readyz"):
            return True
        return False

    def cpu(self) -> float:
        """Return the CPU seconds so far."""
        times = self._known.cpu_times()
        return float(times.user + times.system)

    def megabytes(self) -> float:
        """Return the resident memory."""
        return float(self._known.memory_info().rss) / 1e6

    def shared_megabytes(self) -> float:
        """Return the resident memory of the process that fits laws for all visitors."""
        family = self._known.children(recursive=True)
        return sum(process.memory_info().rss for process in family) / 1e6

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """Run a server and end it afterwards."""
    server = Server()
    try:
        yield server
    finally:
        server.close()


def visit(browser: Browser, server: Server) -> Page:
    """Open the page as a new visitor and wait for the first picture of the network."""
    page = browser.new_context(viewport={"width": 1280, "height": 720}).new_page()
    page.set_default_timeout(120_000)
    page.goto(server.address)
    page.wait_for_function(f"document.querySelector('{CANVAS}')?.dataset.frames > 0")
    return page


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def stop(page: Page) -> None:
    """Stop the run that the page begins with."""
    press(page, "Stop")
    page.wait_for_function(
        "[...document.querySelectorAll('button')]"
        ".some((b) => b.innerText.trim() === 'Step' && !b.disabled)"
    )


def first_paint(browser: Browser, times: int) -> list[list[str]]:
    """Start a server and open its page, from the command to the first picture."""
    ready, painted, cpu = [], [], []
    for _ in range(times):
        with serving() as server:
            page = visit(browser, server)
            painted.append(time.perf_counter() - server.started)
            cpu.append(server.cpu())
            ready.append(server.ready)
            page.context.close()
    return [
        ["server answers", *spread(ready), ""],
        ["first picture of the network", *spread(painted), f"{statistics.median(cpu):.2f}"],
    ]


def steps(browser: Browser, times: int) -> list[list[str]]:
    """Step a network of 1,000 agents."""
    with serving() as server:
        page = visit(browser, server)
        press(page, "Lesson")
        for _ in range(4):
            press(page, "Next")
        press(page, "Show it")
        page.wait_for_function(
            "document.querySelector('.spread-headline').innerText.startsWith('1000 simulated')"
        )
        stop(page)
        press(page, "Reset")
        page.wait_for_function(
            "document.querySelector('.spread-headline').innerText.endsWith('shared this news.')"
        )
        taken, before = [], server.cpu()
        taken = [ms / 1000 for ms in page.evaluate(STEPS, [times, 0.5, 0.6])]
        return [["Step at n = 1,000", *spread(taken), f"{(server.cpu() - before) / times:.3f}"]]


class Visitor:
    """The messages of a browser without the browser: thirty browsers would use both cores."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._widgets: dict[str, dict[str, Any]] = {}
        self._changed = asyncio.Condition()

    async def open(self) -> None:
        """Open the page, wait for the network, and stop the run that the page begins with."""
        # The page's cookie identifies the browser.
        with urllib.request.urlopen(self._address) as page:
            cookie = page.headers["Set-Cookie"].partition(";")[0]
        kernel, self._name = str(uuid.uuid4()), str(uuid.uuid4())
        channels = f"{self._address}/jupyter/api/kernels/{kernel}/channels?session_id={self._name}"
        self._socket = await websockets.connect(
            channels.replace("http", "ws", 1), additional_headers={"Cookie": cookie}, max_size=None
        )
        self._listening = asyncio.create_task(self._listen())
        control = uuid.uuid4().hex
        await self._send("comm_open", control, target_name="solara.control", data={})
        await self._send("comm_msg", control, data={"method": "run", "args": {"path": "/"}})
        async with self._changed:
            await self._changed.wait_for(lambda: self._with("picture"))
        # The browser tells that the picture is painted, and the run begins. It needs some time to
        # paint; what is sent sooner comes before the server listens to the new picture.
        await asyncio.sleep(0.2)
        await self._event("painted", self._with("picture")[0], True)
        async with self._changed:
            await self._changed.wait_for(lambda: self._posted() != [0])
        await self._press("stop")
        await self._ready()

    async def steps(self, times: int, least: float, most: float) -> list[float]:
        """Step several times, with a pause before each; return the seconds of each step."""
        taken = []
        for _ in range(times):
            await asyncio.sleep(random.uniform(least, most))
            await self._ready()
            before, start = self._posted(), time.perf_counter()
            await self._press("step")
            async with self._changed:
                await self._changed.wait_for(lambda: self._posted() != before)  # noqa: B023
            taken.append(time.perf_counter() - start)
        return taken

    async def _ready(self) -> None:
        """Wait until a step can be taken; where the run has ended, start it again."""
        may = self._may_press
        async with self._changed:
            await self._changed.wait_for(lambda: may("step") or not may("stop"))
        if not may("step"):
            await self._press("reset")
            async with self._changed:
                await self._changed.wait_for(lambda: may("step") and self._posted() == [0])

    async def close(self) -> None:
        """Close the tab."""
        await self._socket.close()
        await self._listening

    def _with(self, name: str) -> list[str]:
        return [key for key, state in self._widgets.items() if name in state]

    def _posted(self) -> Any:
        """Return the step that the picture of the network shows."""
        return [self._widgets[key]["clock"] for key in self._with("picture")]

    def _row(self, name: str) -> tuple[str, dict[str, Any]]:
        """Return the row of buttons that has one of a name, and that button."""
        return next(
            (key, item)
            for key, state in self._widgets.items()
            for item in state.get("items", ())
            if item["name"] == name
        )

    def _may_press(self, name: str) -> bool:
        return not self._row(name)[1].get("disabled")

    async def _press(self, name: str) -> None:
        await self._event("press", self._row(name)[0], name)

    async def _event(self, event: str, comm: str, data: Any) -> None:
        content = {"event": event, "data": data}
        await self._send("comm_msg", comm, data={"method": "custom", "content": content})

    async def _send(self, kind: str, comm: str, **content: Any) -> None:
        message = {
            "buffers": [],
            "channel": "shell",
            "content": {"comm_id": comm, **content},
            "header": {"msg_id": uuid.uuid4().hex, "msg_type": kind, "session": self._name},
            "metadata": {},
            "parent_header": {},
        }
        await self._socket.send(json.dumps(message))

    async def _listen(self) -> None:
        """Record the state of every widget, as a browser does."""
        async for text in self._socket:
            if not isinstance(text, str):
                continue
            content = json.loads(text)["content"]
            state = content.get("data", {}).get("state")
            if state is None:
                continue
            async with self._changed:
                self._widgets.setdefault(content["comm_id"], {}).update(state)
                self._changed.notify_all()


async def crowd(visitors: int, times: int) -> list[list[str]]:
    """Step the networks of many visitors, at different times and all at once."""
    rows = []
    with serving() as server:
        everybody = [Visitor(server.address) for _ in range(visitors)]
        await everybody[0].open()
        await asyncio.sleep(10)  # until what all visitors share is loaded
        alone = server.megabytes()
        for visitor in everybody[1:]:
            await visitor.open()
        for name, least, most in (
            ("one click per visitor every 2 to 4 s", 2.0, 4.0),
            ("all click at once, every 3 s", 3.0, 3.0),
        ):
            before = server.cpu()
            taken = await asyncio.gather(*(each.steps(times, least, most) for each in everybody))
            seconds = [second for part in taken for second in part]
            cpu = (server.cpu() - before) / len(seconds)
            rows.append([name, *spread(seconds), f"{cpu:.3f}"])
        more = (server.megabytes() - alone) / max(visitors - 1, 1)
        shared = server.shared_megabytes()
        await asyncio.gather(*(each.close() for each in everybody))
    rows.append(["memory per visitor", f"{more:.1f} MB", "", "", ""])
    rows.append(["memory of the process that fits laws", f"{shared:.0f} MB", "", "", ""])
    return rows


def spread(seconds: list[float]) -> list[str]:
    """Return the median, the 95 % quantile and the maximum."""
    ordered = sorted(seconds)
    most = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return [f"{value:.2f} s" for value in (statistics.median(ordered), most, ordered[-1])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer visitors and steps")
    parser.add_argument("--visitors", type=int, default=None)
    asked = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("Chromium is not installed on this machine")
    visitors = asked.visitors or (5 if asked.quick else 30)
    header = ["", "median", "95 %", "most", "server's CPU s"]
    print(machine())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        table("Start of the server", header, first_paint(browser, 1 if asked.quick else 5))
        table("A step, from the click", header, steps(browser, 5 if asked.quick else 15))
        browser.close()
    rows = asyncio.run(crowd(visitors, 3 if asked.quick else 10))
    table(f"{visitors} visitors, n = 200, from the click to the answer", header, rows)


if __name__ == "__main__":
    main()
