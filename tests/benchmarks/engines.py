"""Indexes on servers beside the servers' own clients, which are asked for the same. See README.md.

    python tests/benchmarks/engines.py --engines opensearch,elasticsearch --sizes 20k --cache FOLDER

A search of ours gives the ten best exactly, with their documents and the tokens that made them match; the raw client's
gives ten hits by the server's own rounded score, for the same clauses, with the same three fields. Each server is
started here, from Maven Central's parts. The embedded engine answers the same queries in the same turns.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from corpus import Corpus
from raw_clients import RAW, K, explained
from rich.console import Console
from rich.table import Table
from turns import one_round
from vectors import synthetic

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from engines import servers  # noqa: E402  # the folder of the tests
from engines.files import milvus_server  # noqa: E402
from engines.servers import running_node  # noqa: E402

from pixie_retrievers import Document, SqliteIndex  # noqa: E402
from pixie_retrievers.index.opening import begin_index  # noqa: E402
from pixie_retrievers.types import SparseVectors  # noqa: E402

ROUNDS = 3
N_QUERIES = 100


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--engines", default="opensearch,elasticsearch")
    options.add_argument("--sizes", default="20k")
    options.add_argument("--cache", type=Path, required=True)
    options.add_argument("--memory", default="2g", help="of a server, as Java writes it")
    given = options.parse_args()
    servers.MEMORY = given.memory
    searches = ("ours ms", "raw ms", "ratio (rounds)", "filtered ms", "embedded ms")
    console = Console(width=200)
    table = Table("", "documents", *searches, "in: ours/s", "raw/s", "ratio", "copy/s", "copy MB")
    for size in given.sizes.split(","):
        n = int(size.replace("k", "000").replace("m", "000000"))
        corpus = synthetic(n, N_QUERIES, given.cache)
        for engine in given.engines.split(","):
            with ExitStack() as stack:
                node = stack.enter_context(milvus_server() if engine == "milvus" else running_node(engine))
                table.add_row(engine, size, *measure(node, RAW[engine](node), corpus, stack))
            console.print(table)  # so far: a large size takes many minutes


def measure(node: Any, raw: Any, corpus: Corpus, stack: ExitStack) -> list[str]:
    documents = [Document(f"doc-{i:07d}", corpus.text(i), {"n": i, "tenant": f"t{i % 20}"}) for i in range(len(corpus))]
    vectors, queries = corpus.documents, corpus.queries
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    embedded = stack.enter_context(
        SqliteIndex(folder / "index.db", vocabulary_size=vectors.vocabulary_size, fingerprint="benchmark")
    )
    began = time.perf_counter()
    raw_rates, our_rates = [], []
    for round_ in range(2):  # in turn, twice
        began = time.perf_counter()
        raw.add(f"raw{round_}", documents, vectors)
        raw_rates.append(len(documents) / (time.perf_counter() - began))
        index = stack.enter_context(
            begin_index(
                node.url(f"ours{round_}", shards=1, replicas=0),
                vocabulary_size=vectors.vocabulary_size,
                fingerprint="benchmark",
            )
        )
        began = time.perf_counter()
        for start in range(0, len(documents), 10_000):
            index.upsert(documents[start : start + 10_000], vectors[start : start + 10_000])
        our_rates.append(len(documents) / (time.perf_counter() - began))
        if round_ == 0:
            index.drop()
            raw.drop("raw0")
    for start in range(0, len(documents), 10_000):
        embedded.upsert(documents[start : start + 10_000], vectors[start : start + 10_000])
    rate, megabytes = copied(folder / "index.db", node.url("copied", shards=1, replicas=0), len(documents))
    index.compact()
    raw.compact("raw1")

    tenant = {"tenant": "t7"}
    timers: list[Callable[[int], float]] = [
        timer(lambda i: explained(index, queries[i])),
        timer(lambda i: raw.search("raw1", queries[i])),
        timer(lambda i: explained(embedded, queries[i])),
        timer(lambda i: explained(index, queries[i], filter=tenant)),
    ]
    wrong = sum(hits(index, queries[i]) != hits(embedded, queries[i]) for i in range(N_QUERIES))
    assert wrong == 0, f"{wrong} of {N_QUERIES} answers differ from the embedded engine's"
    rng = np.random.default_rng(0)
    one_round(timers, N_QUERIES, rng)
    ms = np.stack([one_round(timers, N_QUERIES, rng) for _ in range(ROUNDS)]) * 1000
    ours, theirs, here, filtered = np.median(ms, axis=(0, 2))
    ratios = np.median(ms[:, 0] / ms[:, 1], axis=1)
    return [
        f"{ours:.1f}",
        f"{theirs:.1f}",
        f"{np.median(ms[:, 0] / ms[:, 1]):.2f} ({ratios.min():.2f}-{ratios.max():.2f})",
        f"{filtered:.1f}",
        f"{here:.2f}",
        " ".join(f"{rate:,.0f}" for rate in our_rates),
        " ".join(f"{rate:,.0f}" for rate in raw_rates),
        f"{np.mean(our_rates) / np.mean(raw_rates):.2f}",
        f"{rate:,.0f}",
        f"{megabytes:.0f}",
    ]


def copied(source: Path, target: str, n: int) -> tuple[float, float]:
    """Documents a second of `pixie copy`, its start and its check included, and its memory in MB."""
    code = (
        "import re, sys; from pathlib import Path; from pixie_retrievers.cli.app import app\n"
        "try: app(sys.argv[1:], standalone_mode=False)\n"
        "finally: print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    began = time.perf_counter()
    command = [sys.executable, "-c", code, "copy", str(source), target, "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return n / (time.perf_counter() - began), int(done.stdout.split()[-1]) / 1000


def hits(index: Any, query: SparseVectors) -> list[Any]:
    return [(hit.document.id, round(hit.score, 4)) for hit in index.search(query, K)[0]]


def timer(call: Callable[[int], Any]) -> Callable[[int], float]:
    def timed(i: int) -> float:
        began = time.perf_counter()
        call(i)
        return time.perf_counter() - began

    return timed


if __name__ == "__main__":
    main()
