"""Many callers of an index on a server: ours in threads, as the adapters' async methods run, beside the async client.

    python tests/benchmarks/engine_callers.py --engine opensearch --documents 20000 --cache FOLDER --delay-ms 10

The raw async client gives ten hits by the server's own score, for the same clauses; ours gives the ten best exactly,
with their tokens.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from delayed import delayed
from raw_clients import RAW, explained
from rich.console import Console
from rich.table import Table
from vectors import synthetic

sys.path.insert(0, str(Path(__file__).parents[1]))

from engines.servers import running_node  # the folder of the tests

from pixie_retrievers import Document
from pixie_retrievers.asynchronous import in_thread
from pixie_retrievers.index.opening import begin_index

_CALLERS = 50
_ROUNDS = 3
_Ask = Callable[[int], Awaitable[Any]]


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--engine", default="opensearch", choices=("opensearch", "elasticsearch"))
    options.add_argument("--documents", type=int, default=20_000)
    options.add_argument("--searches", type=int, default=600)
    options.add_argument("--cache", type=Path, required=True)
    options.add_argument("--delay-ms", type=float, default=0, help="so long a message takes to the server, and back")
    given = options.parse_args()
    corpus = synthetic(given.documents, 100, given.cache)
    documents = [Document(f"d{i}", corpus.text(i), {"n": i}) for i in range(len(corpus))]
    with ExitStack() as stack:
        node = stack.enter_context(running_node(given.engine))
        if given.delay_ms:
            node = replace(node, port=stack.enter_context(delayed(node.port, given.delay_ms)))
        raw = RAW[given.engine](node)
        raw.add("raw", documents, corpus.documents)
        index = stack.enter_context(
            begin_index(
                node.url("ours", shards=1, replicas=0),
                vocabulary_size=corpus.documents.vocabulary_size,
                fingerprint="benchmark",
            )
        )
        for start in range(0, len(documents), 10_000):
            index.upsert(documents[start : start + 10_000], corpus.documents[start : start + 10_000])
        raw.compact("raw")
        index.compact()
        asyncio.run(measure(given, node, raw, index, corpus.queries))


async def measure(given: Any, node: Any, raw: Any, index: Any, queries: Any) -> None:
    if given.engine == "opensearch":
        from opensearchpy import AsyncOpenSearch

        client: Any = AsyncOpenSearch(f"http://{node.address}", timeout=60, maxsize=_CALLERS)
    else:
        from elasticsearch import AsyncElasticsearch

        client = AsyncElasticsearch(f"http://{node.address}", request_timeout=60, connections_per_node=_CALLERS)

    async def asked(i: int) -> Any:
        should = [raw.clause(term, weight) for term, weight in queries[i].to_dicts()[0].items()]
        body = {
            "size": 10,
            "track_total_hits": False,
            "_source": ["id", "text", "metadata"],
            "query": {"bool": {"should": should, "minimum_should_match": 1}},
        }
        return (await client.search(index="raw", body=body))["hits"]["hits"]

    many = ThreadPoolExecutor(_CALLERS)
    loop = asyncio.get_running_loop()

    def in_many_threads(search: Callable[[Any, Any], Any], where: Any) -> _Ask:
        return lambda i: loop.run_in_executor(many, search, where, queries[i])

    ways: dict[str, _Ask] = {
        "the client's own async": asked,
        "ours, in asyncio's threads": lambda i: asyncio.to_thread(explained, index, queries[i]),
        "ours, as the adapters call it": lambda i: in_thread(explained, index, queries[i]),
        f"the client's synchronous, in {_CALLERS} threads": in_many_threads(raw.search, "raw"),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(_ROUNDS + 1):
        for name, ask in ways.items():
            rate = await at_once(ask, given.searches, len(queries))
            if round_:  # the first warms up
                rates[name].append(rate)
    await client.close()
    many.shutdown()
    table = Table(
        f"{given.engine}, {given.documents:,} documents, {_CALLERS} callers, {given.delay_ms:g} ms away", "searches/s"
    )
    for name, found in rates.items():
        table.add_row(name, f"{statistics.median(found):.0f} ({min(found):.0f}-{max(found):.0f})")
    Console(width=120).print(table)


async def at_once(ask: _Ask, n: int, n_queries: int) -> float:
    """Searches a second of so many callers, each of which asks one after the other."""
    left = iter(range(n))

    async def call() -> None:
        for i in left:
            await ask(i % n_queries)

    began = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(_CALLERS)))
    return n / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
