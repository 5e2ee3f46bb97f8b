"""`pixie mcp`, asked by the protocol's official client: over standard input and output, and over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from importlib.util import find_spec

import pytest

from pixie_retrievers import PixieEncoder, SparseRetriever

if find_spec("mcp") is None:
    pytest.skip("mcp is not installed: pip install mcp", allow_module_level=True)

from mcp import StdioServerParameters
from mcp.client.client import Client

pytestmark = pytest.mark.new_process

TEXTS = {
    "orbit": ("인공위성은 지구 궤도를 돌며 사진을 찍는다.", {"year": 2024, "_private": 1}),
    "rocket": ("로켓은 위성을 우주로 쏘아 올린다.", {"year": 2020}),
    "rice": ("벼는 물을 채운 논에서 자란다. " * 50, {"year": 2021}),
}
QUERY = "지구를 도는 위성"


@pytest.fixture(scope="module")
def path(tmp_path_factory, encoder):
    path = tmp_path_factory.mktemp("mcp") / "말뭉치.db"
    with SparseRetriever.open(path, encoder=encoder) as retriever:
        retriever.add_texts([text for text, _ in TEXTS.values()], [metadata for _, metadata in TEXTS.values()], TEXTS)
    return path


@pytest.fixture(scope="module")
def server(path):
    """What a host of agents is told to start."""
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "pixie_retrievers.cli", "mcp", str(path)],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )


def asked(server, *calls):
    """The results of some calls of tools, in one session."""

    async def ask():
        async with Client(server) as client:
            return [await client.call_tool(name, arguments) for name, arguments in calls]

    return asyncio.run(ask())


def told(result):
    return " ".join(item.text for item in result.content)


def test_an_agent_searches_reads_and_explains(server, path):
    found, whole, reason, filtered = asked(
        server,
        ("search", {"query": QUERY, "k": 2}),
        ("get", {"id": "rice"}),
        ("explain", {"query": QUERY, "id": "rocket"}),
        ("search", {"query": QUERY, "filter": {"year": {"$lt": 2024}}}),
    )
    hits = found.structured_content["result"]
    with SparseRetriever.from_index(path) as retriever:
        expected = retriever.search(QUERY, 2)
    assert [(hit["id"], hit["score"]) for hit in hits] == [(one.document.id, round(one.score, 3)) for one in expected]
    assert "위성" in hits[0]["why"]
    assert hits[0]["metadata"] == {"year": 2024}
    assert whole.structured_content["text"] == TEXTS["rice"][0]
    assert reason.structured_content["score"] > 0
    assert filtered.structured_content["result"][0]["id"] == "rocket"
    assert max(len(hit["text"]) for hit in filtered.structured_content["result"]) < 700
    # What a model pays for: five hits with their reasons are a few hundred tokens, not thousands.
    assert len(json.dumps(hits, ensure_ascii=False)) < 1500


def test_what_is_wrong_is_said_to_the_model(server):
    (lower,) = asked(server, ("why_not", {"query": QUERY, "id": "rice", "k": 1}))
    assert "token" in lower.structured_content["why"]
    missing, bad_filter, bad_k, unknown = asked(
        server,
        ("get", {"id": "nothing"}),
        ("search", {"query": QUERY, "filter": {"year": {"$about": 3}}}),
        ("search", {"query": QUERY, "k": 1000}),
        ("explain", {"query": QUERY, "id": "nothing"}),
    )
    assert all(result.is_error for result in (missing, bad_filter, bad_k, unknown))
    assert "'nothing'" in told(missing)
    assert "$gte" in told(bad_filter)
    assert "50" in told(bad_k)
    assert "Traceback" not in told(unknown)


def test_the_tools_say_what_they_take(server):
    async def ask():
        async with Client(server) as client:
            return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in asyncio.run(ask())}
    assert tools.keys() == {"search", "get", "explain", "why_not"}
    for tool in tools.values():
        assert tool.description
        assert all(field["description"] for field in tool.input_schema["properties"].values())


def test_over_http_from_this_machine_alone(path):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "pixie_retrievers.cli", "mcp", str(path), "--http", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    try:
        assert process.stderr.readline().strip() == f"http://127.0.0.1:{port}/mcp"
        url = f"http://127.0.0.1:{port}/mcp"
        for _ in range(100):
            try:
                urllib.request.urlopen(url, timeout=5)
            except urllib.error.HTTPError:
                break
            except OSError:
                asyncio.run(asyncio.sleep(0.1))
        (found,) = asked(url, ("search", {"query": QUERY, "k": 1}))
        assert found.structured_content["result"][0]["id"] == "orbit"
        strange = urllib.request.Request(
            url, data=b"{}", headers={"Host": "evil.example", "content-type": "application/json"}
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(strange, timeout=5)
        assert refused.value.code == 421
        refused.value.close()
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_it_is_the_bundled_model_that_the_index_names(path):
    with SparseRetriever.from_index(path) as retriever:
        assert retriever.encoder.fingerprint == PixieEncoder.bundled().fingerprint
