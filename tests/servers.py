"""Servers that speak the OpenAI protocol on 127.0.0.1, as fixtures.

``scripted_server`` answers what a test tells it to: faults, refusals, latency. ``llama_server``
is a real llama.cpp with a tiny model of random weights made here: a real protocol and real
constrained decoding, no real mind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mesa_llmspread.deciders import LLMDecider

__all__ = [
    "WAYS",
    "Reply",
    "ScriptedServer",
    "answer",
    "both_ways",
    "impatient",
    "llama_server",
    "make_tiny_model",
    "scripted_server",
]


# A model that nobody knows is asked directly, and one that litellm knows through litellm.
WAYS = {"direct": "openai/tiny", "litellm": "openai/gpt-4o-mini"}
both_ways = pytest.mark.parametrize("model", WAYS.values(), ids=WAYS)


@dataclass(frozen=True)
class Reply:
    """One HTTP answer: a chat completion, or an error body where ``status`` is not 200."""

    content: str | None = None
    status: int = 200
    refusal: str | None = None
    finish_reason: str = "stop"
    headers: Mapping[str, str] = field(default_factory=dict)
    error: str = "scripted error"
    code: str | None = None
    delay: float | tuple[float, float] = 0.0
    raw: bytes | None = None
    usage: bool = True
    hang_up: bool = False

    def body(self, model: str) -> dict[str, Any]:
        if self.status != 200:
            return {"error": {"message": self.error, "type": "scripted", "code": self.code}}
        message = {"role": "assistant", "content": self.content, "refusal": self.refusal}
        completion = {
            "id": "scripted",
            "object": "chat.completion",
            "created": 0,
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": self.finish_reason}],
        }
        if self.usage:
            completion["usage"] = {
                "prompt_tokens": 100,
                "completion_tokens": 10,
                "total_tokens": 110,
            }
        return completion


def answer(repost: bool = True, post: str = "Look at this.", reason: str = "It matters.") -> Reply:
    """A reply that follows the schema."""
    return Reply(json.dumps({"repost": repost, "post": post, "reason": reason}))


async def _no_wait(seconds: float) -> None:
    """Stand in for the wait between two attempts."""


def impatient(decider: LLMDecider) -> LLMDecider:
    """Return a decider that does not wait between attempts."""
    decider.caller.client = replace(decider.client, sleep=_no_wait)
    return decider


Script = Reply | Sequence[Reply] | Callable[[dict[str, Any]], Reply]


class _HangUp(Response):
    """The connection is closed before the answer is whole."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"1000"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{", "more_body": False})


class ScriptedServer:
    """An OpenAI-compatible server that follows a script and keeps what it was sent.

    Attributes
    ----------
    script : Reply, sequence of Reply, or callable
        The same reply to all; replies in order, the last one for ever; or a function of the
        request's JSON body.
    requests : list of dict
        The JSON bodies received, in order of arrival.
    keys : list of str
        The Authorization headers received.
    most_in_flight : int
        The largest number of requests that were open at one time.
    hold : callable
        Whether to keep replies back for now.
    """

    def __init__(self) -> None:
        # With its protocol named, asyncio sends what it has at once; else every reply would wait
        # 40 ms for the other side's acknowledgement.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(128)
        port = self._socket.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        app = Starlette(
            routes=[
                Route("/{visit:int}/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/{visit:int}/v1/models", self._models),
            ]
        )
        config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )
        self._visit = 0
        self.reset()

    @property
    def api_base(self) -> str:
        """Where to send requests now; what still comes to an older address does not count."""
        return f"{self.address}/{self._visit}/v1"

    def renew(self) -> None:
        """Begin anew at another address, whatever may still be under way at this one."""
        self._visit += 1
        self.reset()

    def reset(self, script: Script | None = None) -> None:
        """Forget what was sent, and follow another script."""
        self.script: Script = answer() if script is None else script
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.hold: Callable[[], bool] = lambda: False

    def start(self) -> None:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)

    def stop(self) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(10)
        self._socket.close()

    def _next(self, body: dict[str, Any]) -> Reply:
        if callable(self.script):
            return self.script(body)
        if isinstance(self.script, Reply):
            return self.script
        return self.script[min(len(self.requests), len(self.script)) - 1]

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        if request.path_params["visit"] != self._visit:
            return JSONResponse(answer().body(body["model"]))
        self.requests.append(body)
        self.keys.append(request.headers.get("authorization", ""))
        reply = self._next(body)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            delay = reply.delay if isinstance(reply.delay, float) else random.uniform(*reply.delay)
            # Who hangs up meanwhile is no longer in flight.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(request.receive(), delay)
            while self.hold() and not await request.is_disconnected():
                await asyncio.sleep(0.01)
        finally:
            if request.path_params["visit"] == self._visit:
                self.in_flight -= 1
        if reply.hang_up:
            return _HangUp()
        if reply.raw is not None:
            return Response(reply.raw, reply.status, dict(reply.headers), "application/json")
        return JSONResponse(reply.body(body["model"]), reply.status, dict(reply.headers))

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": []})


@pytest.fixture(scope="session")
def _running_scripted_server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def scripted_server(_running_scripted_server: ScriptedServer) -> ScriptedServer:
    """A server on 127.0.0.1 that says repost to everything until its script says otherwise."""
    _running_scripted_server.renew()
    return _running_scripted_server


def _byte_names() -> list[str]:
    """Printable stand-ins for the 256 bytes, as byte-level vocabularies write them."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(spare)) for byte in range(256)]


def _weights(rng: np.random.Generator, width: int, tokens: list[str]) -> tuple[Any, Any]:
    """Random embeddings and output rows that lean towards short printable strings.

    Every embedding has the same large first component, which norm and layers keep; so the
    first component of an output row acts as the token's bias. Bytes that would make odd text
    get a low one, and the quotation mark, which ends a string, a high one. "t" and "f" share
    a row with a high one, so that true and false are equally likely, and both are among the
    likeliest tokens of which a server returns the log-probabilities.
    """
    embeddings = rng.normal(size=(len(tokens), width))
    embeddings[:, 0] = 10.0
    rows = rng.normal(scale=0.3, size=(len(tokens), width))
    plain = {*map(chr, range(33, 127)), "\u0120"} - {"\\"}
    rows[:, 0] = [0.0 if token in plain else -4.0 for token in tokens]
    rows[tokens.index('"'), 0] = 0.6
    rows[tokens.index("t"), 0] = 0.5
    rows[tokens.index("f")] = rows[tokens.index("t")]
    return embeddings.astype(np.float32), rows.astype(np.float32)


def make_tiny_model(path: Path, seed: int = 0) -> Path:
    """Write a llama model of random weights in GGUF: one token a byte, two layers, 0.5 MB."""
    import gguf

    width, heads, layers, inner, context = 64, 4, 2, 128, 65536
    control = ["<|end|>", "<|turn|>"]
    tokens = [*control, *_byte_names(), "\u0120t"]
    kinds = [gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * 257
    rng = np.random.default_rng(seed)

    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // heads)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(["\u0120 t"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(
        "{% for message in messages %}<|turn|>{{ message['role'] }}\n{{ message['content'] }}\n"
        "{% endfor %}<|turn|>assistant\n"
    )

    def add(name: str, weights: Any) -> None:
        writer.add_tensor(f"{name}.weight", weights)

    def random_weights(*shape: int) -> Any:
        return rng.normal(scale=0.05, size=shape).astype(np.float32)

    embeddings, rows = _weights(rng, width, tokens)
    add("token_embd", embeddings)
    add("output", rows)
    add("output_norm", np.ones(width, np.float32))
    for layer in range(layers):
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{part}", random_weights(width, width))
        add(f"blk.{layer}.ffn_gate", random_weights(inner, width))
        add(f"blk.{layer}.ffn_up", random_weights(inner, width))
        add(f"blk.{layer}.ffn_down", random_weights(width, inner))
        add(f"blk.{layer}.attn_norm", np.ones(width, np.float32))
        add(f"blk.{layer}.ffn_norm", np.ones(width, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="session")
def llama_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address (``api_base``) of a real llama.cpp server; its model is called ``openai/tiny``."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(make_tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf"))
    parameters.model_alias = {"tiny"}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_ctx = 32768
    parameters.n_parallel = 2
    # Two threads would spin while they wait for each other on a busy machine.
    parameters.cpuparams.n_threads = 1
    parameters.warmup = False
    parameters.offline = True
    parameters.ui = False
    # What is kept of earlier prompts would change the rounding, and so a sampled answer.
    parameters.cache_prompt = False
    parameters.verbosity = 0
    server = xllamacpp.Server(parameters)
    yield f"{server.listening_address}/v1"
    del server
