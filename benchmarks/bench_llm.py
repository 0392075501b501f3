"""Calls to a model: the whole path against the ideal, bare litellm and the openai client.

The server answers after a fixed time, in a process of its own. ``--quick`` makes a fifth of
the calls.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _measure import machine, table

from mesa_llmspread.deciders import LLMDecider
from mesa_llmspread.deciders.base import Exposure, Post
from mesa_llmspread.deciders.replies import Answer
from mesa_llmspread.events import bundled_events
from mesa_llmspread.profiles import all_profiles

ANSWER = json.dumps({"repost": True, "post": "Look at this.", "reason": "It matters."})


def serve(listener: socket.socket, seconds: float) -> None:
    """Answer every chat completion after a fixed time."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    completion = {
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

    async def complete(request: Request) -> Response:
        await request.body()
        await asyncio.sleep(seconds)
        return JSONResponse(completion)

    async def models(request: Request) -> Response:
        return JSONResponse({"object": "list", "data": []})

    app = Starlette(
        routes=[
            Route("/v1/chat/completions", complete, methods=["POST"]),
            Route("/v1/models", models),
        ]
    )
    config = uvicorn.Config(app, log_level="warning", lifespan="off", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


def exposures(n: int, step: int) -> list[Exposure]:
    event = bundled_events()[0]
    posts = tuple(
        Post(10**6 + i, 0, "Have you seen this? It is not far from here.") for i in range(3)
    )
    return [
        Exposure(step, agent, all_profiles()[agent % 32], event, 3, 3, 1, False, posts)
        for agent in range(n)
    ]


def whole_path(address: str, n: int, concurrency: int) -> Callable[[], Any]:
    """Prompt, limits, call, parsing and store."""
    folder = tempfile.mkdtemp()
    decider = LLMDecider(
        "openai/tiny", address, max_concurrency=concurrency, store=Path(folder) / "calls.sqlite"
    ).for_run(n, np.random.default_rng(1))
    step = iter(range(1, 10**6))
    return lambda: decider.decide(exposures(n, next(step)), np.random.default_rng(0))


def at_once(n: int, concurrency: int, call: Callable[[int], Any]) -> None:
    """Make n calls, some at a time, on a loop of their own."""

    async def calls() -> None:
        places = asyncio.Semaphore(concurrency)

        async def one(number: int) -> None:
            async with places:
                await call(number)

        await asyncio.gather(*(one(number) for number in range(n)))

    asyncio.run(calls())


def bare_litellm(address: str, n: int, concurrency: int) -> Callable[[], Any]:
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

    return lambda: at_once(n, concurrency, call)


def openai_client(address: str, n: int, concurrency: int) -> Callable[[], Any]:
    """Use the openai client as it comes."""
    import openai

    decider = LLMDecider("openai/tiny", address)
    prompts = [decider.messages(seen) for seen in exposures(n, 1)]

    def run() -> None:
        client = openai.AsyncOpenAI(base_url=address, api_key="not-needed", max_retries=0)

        async def call(number: int) -> None:
            await client.chat.completions.create(
                model="tiny", messages=prompts[number], temperature=1.0, max_tokens=512, seed=number
            )

        at_once(n, concurrency, call)

    return run


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(quick: bool) -> None:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    print(machine(), f"load {os.getloadavg()[0]:.1f}")
    n = 200 if quick else 1000
    competitors = {
        "whole path": whole_path,
        "bare litellm": bare_litellm,
        "openai client": openai_client,
    }
    for latency, concurrency in ((0.5, 32), (0.2, 64)):
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        server = multiprocessing.Process(target=serve, args=(listener, latency), daemon=True)
        server.start()
        ideal = n * latency / concurrency
        rows = [("ideal", f"{ideal:.2f}", "1.00", "")]
        times = {}
        for name, make in competitors.items():
            work = make(address, n, concurrency)
            seconds(make(address, 2 * concurrency, concurrency))  # imports and connections
            times[name] = seconds(work)
        for name, took in times.items():
            relative = took / times["bare litellm"]
            rows.append((name, f"{took:.2f}", f"{took / ideal:.2f}", f"{relative:.2f}"))
        title = f"{n} calls, {latency * 1000:.0f} ms, {concurrency} at a time"
        table(title, ("", "seconds", "/ ideal", "/ bare litellm"), rows)
        server.terminate()
        server.join()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of the calls")
    main(parser.parse_args().quick)
