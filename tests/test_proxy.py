"""A run behind a real LiteLLM proxy, which asks for a key and passes calls on.

The proxy's own dependencies are many and pinned, so it lives in an environment of its own;
``LITELLM_PROXY`` names its ``litellm`` command:

    python -m venv proxy && proxy/bin/pip install 'litellm[proxy]'
    LITELLM_PROXY=proxy/bin/litellm pytest -m slow tests/test_proxy.py
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import Reply, ScriptedServer, answer

from mesa_llmspread import LLMDecider, SpreadModel
from mesa_llmspread.exceptions import DeciderError

pytestmark = pytest.mark.slow

KEY = "sk-a-key-of-the-proxy-0815"


@pytest.fixture
def proxy(scripted_server: ScriptedServer, tmp_path: Path) -> Iterator[str]:
    """Start a proxy in front of the scripted server."""
    command = os.environ.get("LITELLM_PROXY")
    if not command:
        pytest.skip("LITELLM_PROXY names no LiteLLM proxy")
    config = tmp_path / "proxy.yaml"
    model = {"model": "openai/tiny", "api_base": scripted_server.api_base, "api_key": "inner"}
    config.write_text(json.dumps({"model_list": [{"model_name": "tiny", "litellm_params": model}]}))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"LITELLM_MASTER_KEY": KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with (tmp_path / "proxy.log").open("wb") as log:
        process = subprocess.Popen(
            [command, "--config", config, "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, **settings},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/health/liveliness").close()
                break
            except (urllib.error.URLError, ConnectionError):
                assert process.poll() is None, (tmp_path / "proxy.log").read_text()
                time.sleep(0.5)
        yield f"{address}/v1"
    finally:
        process.terminate()
        process.wait()


def test_a_run_behind_a_proxy(
    proxy: str,
    scripted_server: ScriptedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns = iter(range(10**6))

    def script(_: object) -> Reply:
        turn = next(turns)
        return Reply(status=503) if turn % 25 == 24 else answer(turn % 5 == 0)

    scripted_server.script = script
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    store = tmp_path / "calls.sqlite"
    settings = {"n": 60, "k": 4, "rng": 3}
    decider = LLMDecider("openai/tiny", proxy, store=store, max_concurrency=8)
    model = SpreadModel(decider=decider, **settings).run(5)
    table = model.datacollector.get_table_dataframe("exposures")
    assert len(table) >= 100
    assert set(table["outcome"]) == {"repost", "decline"}

    asked = len(scripted_server.requests)
    monkeypatch.delenv("OPENAI_API_KEY")
    replay = LLMDecider("openai/tiny", proxy, store=store, mode="replay")
    again = SpreadModel(decider=replay, **settings).run(5)
    assert again.datacollector.get_table_dataframe("exposures").equals(table)
    assert len(scripted_server.requests) == asked
    assert KEY.encode() not in store.read_bytes()


def test_a_wrong_key_ends_the_run_and_is_not_shown(
    proxy: str, scripted_server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-but-secret")
    model = SpreadModel(n=30, k=4, decider=LLMDecider("openai/tiny", proxy), rng=1)
    with pytest.raises(DeciderError) as caught:
        model.step()
    assert "sk-wrong-but-secret" not in str(caught.value)
    assert model.clock == 0
    assert not scripted_server.requests
