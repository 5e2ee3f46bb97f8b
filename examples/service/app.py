"""A search service for several workers, which may be added to while it answers.

    CORPUS=corpus.db uvicorn --app-dir examples/service app:app --workers 2
    curl -G localhost:8000/search --data-urlencode "q=정찰 위성" -d k=3
    pixie index more.jsonl --output corpus.db          # meanwhile, from anywhere on the machine

With ``QUERIES=inference-free`` it reads questions by the table that ``pixie inference-free corpus.db`` puts into the
index, in a process that needs neither torch nor a model: the Dockerfile beside this file makes a small image of it.

The application is plain ASGI: any server runs it, and any framework can take the place of the lines that speak HTTP.
With several workers uvicorn wants uvloop beside it: asyncio's own loop holds small answers back for 40 ms there.
Each worker opens the file for itself, when it starts; every answer is from one commit.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

from pixie_retrievers import PixieError, SparseRetriever

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Service:
    def __init__(self, path: str, queries: str) -> None:
        self.path = path
        self.queries = queries
        self.retriever: SparseRetriever | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
        elif scope["type"] == "http":
            status, content = await self.answer(scope)
            body = json.dumps(content, ensure_ascii=False).encode()
            headers = [(b"content-type", b"application/json; charset=utf-8"), (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    async def live(self, receive: Receive, send: Send) -> None:
        await receive()
        # As many callers as wait are encoded together; asyncio's own threads are few.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(64))
        open_ = SparseRetriever.open
        self.retriever = await asyncio.to_thread(open_, self.path, encoder="bundled", queries=self.queries)
        await asyncio.to_thread(self.retriever.search, "준비")  # compiles, and reads what every search needs
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.retriever.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def answer(self, scope: dict[str, Any]) -> tuple[int, Any]:
        if scope["path"] != "/search" or self.retriever is None:
            return 404, {"error": "ask /search?q=...&k=..."}
        asked = parse_qs(scope["query_string"].decode())
        try:
            results = await asyncio.to_thread(self.retriever.search, asked["q"][0], int(asked.get("k", ["5"])[0]))
        except (KeyError, ValueError):
            return 400, {"error": "q is the question, k a whole number"}
        except PixieError as error:
            return 400, {"error": str(error)}
        return 200, [result.to_dict() for result in results]


app = Service(os.environ.get("CORPUS", "corpus.db"), os.environ.get("QUERIES", "model"))
