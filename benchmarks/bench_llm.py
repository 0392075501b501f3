"""Calls to a model: the whole path against the ideal, bare litellm, the openai client and peers.

The server answers after a fixed time, in a process of its own. ``--quick`` makes a fifth of
the calls. The peer packages are run in the Pythons given for them, and left out without.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import multiprocessing
import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _measure import machine, table
from _peer import served

from mesa_llmspread.deciders import LLMDecider
from mesa_llmspread.deciders.base import Exposure, Post
from mesa_llmspread.deciders.llm import event_loop
from mesa_llmspread.deciders.llm.call import Answer
from mesa_llmspread.events import bundled_events
from mesa_llmspread.profiles import all_profiles

ANSWER = json.dumps({"repost": True, "post": "Look at this.", "reason": "It matters."})


class Measured(NamedTuple):
    """What one competitor took."""

    name: str
    decisions: int
    seconds: float
    requests: int
    cpu: float = math.nan

    @property
    def rate(self) -> float:
        """Decisions per second."""
        return self.decisions / self.seconds


class Fixed(asyncio.Protocol):
    """Answer every request with the same completion: a server that takes little processor time."""

    completion = json.dumps(
        {
            "id": "fixed",
            "object": "chat.completion",
            "created": 0,
            "model": "tiny",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": ANSWER},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        }
    )
    answered = 0

    def __init__(self, seconds: float) -> None:
        self.seconds, self.received = seconds, b""

    def connection_made(self, transport: Any) -> None:  # noqa: D102
        self.transport = transport

    def data_received(self, data: bytes) -> None:  # noqa: D102
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        if not end or len(body) < (int(length[1]) if length else 0):
            return
        self.received = b""
        if head.startswith(b"POST"):
            asyncio.get_running_loop().call_later(self.seconds, self._answer)
        else:
            self._send(str(Fixed.answered))

    def _answer(self) -> None:
        Fixed.answered += 1
        self._send(self.completion)

    def _send(self, text: str) -> None:
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:"
        self.transport.write(f"{head} {len(text)}\r\n\r\n{text}".encode())


def serve(listener: socket.socket, seconds: float) -> None:
    """Answer every chat completion after a fixed time."""

    async def forever() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Fixed(seconds), sock=listener)
        await server.serve_forever()

    asyncio.run(forever())


def exposures(n: int, step: int) -> list[Exposure]:
    event = bundled_events()[0]
    posts = tuple(
        Post(10**6 + i, 0, "Have you seen this? It is not far from here.") for i in range(3)
    )
    return [
        Exposure(step, agent, all_profiles()[agent % 32], event, 3, 3, 1, False, posts)
        for agent in range(n)
    ]


async def close_litellm() -> None:
    """Leave nothing of litellm's on the running loop, which is about to end."""
    import litellm
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

    await GLOBAL_LOGGING_WORKER.flush()
    await GLOBAL_LOGGING_WORKER.stop()
    await litellm.close_litellm_async_clients()
    litellm.in_memory_llm_clients_cache.flush_cache()  # else it would hand out closed ones


@contextmanager
def whole_path(
    address: str, n: int, concurrency: int, model: str = "openai/tiny"
) -> Iterator[Callable[[int], Any]]:
    """Prompt, limits, call, parsing and store."""
    step = iter(range(1, 10**6))
    with tempfile.TemporaryDirectory() as folder:
        decider = LLMDecider(
            model, address, max_concurrency=concurrency, store=Path(folder) / "calls.sqlite"
        ).for_run(n, np.random.default_rng(1))
        yield lambda some: decider.decide(exposures(some, next(step)), np.random.default_rng(0))
        if model != "openai/tiny":
            event_loop.run(close_litellm)


def whole_path_by_litellm(address: str, n: int, concurrency: int) -> Any:
    """Make the same calls with a model that litellm knows, and that goes through it."""
    return whole_path(address, n, concurrency, "openai/gpt-4o-mini")


@contextmanager
def own_loop(
    call: Callable[[int], Awaitable[Any]], close: Callable[[], Any], concurrency: int
) -> Iterator[Callable[[int], Any]]:
    """Make numbered calls, some at a time, on a loop that ends after the client is closed."""

    async def calls(n: int) -> None:
        places = asyncio.Semaphore(concurrency)

        async def one(number: int) -> None:
            async with places:
                await call(number)

        await asyncio.gather(*(one(number) for number in range(n)))

    with asyncio.Runner() as runner:
        yield lambda n: runner.run(calls(n))
        runner.run(close())


@contextmanager
def bare_litellm(address: str, n: int, concurrency: int) -> Iterator[Callable[[int], Any]]:
    """Only ``litellm.acompletion``, with the same messages and the same form of answer."""
    import litellm

    litellm.suppress_debug_info = True
    decider = LLMDecider("openai/tiny", address)
    prompts = [decider.messages(seen) for seen in exposures(n, 1)]

    async def call(number: int) -> None:
        await litellm.acompletion(
            model="openai/tiny",
            messages=prompts[number],
            response_format=Answer,
            temperature=1.0,
            max_tokens=512,
            api_base=address,
            api_key="not-needed",
            timeout=60,
            num_retries=0,
            max_retries=0,
            seed=number,
        )

    with own_loop(call, close_litellm, concurrency) as work:
        yield work


@contextmanager
def openai_client(address: str, n: int, concurrency: int) -> Iterator[Callable[[int], Any]]:
    """Use the openai client as it comes."""
    import openai

    decider = LLMDecider("openai/tiny", address)
    prompts = [decider.messages(seen) for seen in exposures(n, 1)]
    client = openai.AsyncOpenAI(base_url=address, api_key="not-needed", max_retries=0)

    async def call(number: int) -> None:
        await client.chat.completions.create(
            model="tiny", messages=prompts[number], temperature=1.0, max_tokens=512, seed=number
        )

    with own_loop(call, client.close, concurrency) as work:
        yield work


COMPETITORS = {
    "whole path": whole_path,
    "whole path by litellm": whole_path_by_litellm,
    "bare litellm": bare_litellm,
    "openai client": openai_client,
}


def measured(name: str, address: str, n: int, concurrency: int) -> Measured:
    """Time a competitor in this process, after calls that bring imports and connections."""
    with COMPETITORS[name](address, n, concurrency) as work:
        work(min(n, 2 * concurrency))
        before = served(address)
        start, cpu = time.perf_counter(), time.process_time()
        work(n)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        return Measured(name, n, seconds, served(address) - before, 1000 * cpu / n)


def peer(
    name: str, python: str, script: str, address: str, n: int, concurrency: int, *flags: str
) -> Measured:
    """Run the decisions of another package, in its own Python."""
    path = str(Path(__file__).with_name(script))
    run = subprocess.run(
        [python, path, address, str(n), str(concurrency), *flags], capture_output=True, text=True
    )
    if run.returncode:
        raise SystemExit(f"{name} failed in {python}:\n{run.stderr}")
    return Measured(name, n, **json.loads(run.stdout.splitlines()[-1]))


def main(quick: bool, mesa_llm: str | None, llm_society: str | None) -> None:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    print(machine(), f"load {os.getloadavg()[0]:.1f}")
    n, few = (200, 8) if quick else (1000, 40)
    for latency, concurrency in ((0.5, 32), (0.2, 64), (0.02, 64)):
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        server = multiprocessing.Process(target=serve, args=(listener, latency), daemon=True)
        server.start()
        results = {name: measured(name, address, n, concurrency) for name in COMPETITORS}
        bare = results["bare litellm"].rate
        rows = list(results.values())
        if mesa_llm:
            at = (mesa_llm, "_peer_mesa_llm.py", address)
            rows.append(peer("mesa-llm", *at, few, concurrency))
            many = (2 if quick else 5) * concurrency
            rows.append(peer("mesa-llm, gathered", *at, many, concurrency, "--gathered"))
        if llm_society:
            at = (llm_society, "_peer_llm_society.py", address)
            rows.append(peer("llm-society", *at, few, concurrency))
        server.terminate()
        server.join()
        # No client can be faster: calls that begin together come back together.
        ideal = Measured("ideal", n, math.ceil(n / concurrency) * latency, n)
        table(
            f"{latency * 1000:.0f} ms per call, {concurrency} at a time",
            (
                "",
                "decisions",
                "seconds",
                "per second",
                "requests each",
                "ms of CPU each",
                "/ ideal",
                "/ bare litellm",
            ),
            [
                (
                    row.name,
                    str(row.decisions),
                    f"{row.seconds:.2f}",
                    f"{row.rate:.1f}",
                    f"{row.requests / row.decisions:.2f}",
                    "" if math.isnan(row.cpu) else f"{row.cpu:.2f}",
                    f"{ideal.rate / row.rate:.2f}",
                    f"{bare / row.rate:.2f}",
                )
                for row in (ideal, *rows)
            ],
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of the calls")
    parser.add_argument("--mesa-llm", metavar="PYTHON", help="a Python that has mesa-llm")
    parser.add_argument("--llm-society", metavar="PYTHON", help="a Python that has llm-society")
    options = parser.parse_args()
    main(options.quick, options.mesa_llm, options.llm_society)
