"""Latency, side by side: an engine and the reference answer the same query in turn, so that noise hits both alike."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import numpy as np
from corpus import Corpus
from numpy.typing import NDArray
from peers import Answer, Peer
from turns import one_round

from pixie_retrievers.types import SparseVectors

__all__ = ["Latency", "batch_throughput", "latencies", "prepared", "throughput", "warm_up"]

_WARM_UP_QUERIES = 5
_SLOW = 10


@dataclass(frozen=True)
class Latency:
    """How long one engine took for a query, in milliseconds.

    Attributes:
        median_ms, p95_ms, p99_ms: Over all queries of all rounds.
        rounds_ms: The median of each round: their spread is the noise of the machine.
        n: How many searches were timed.
        speed: The reference's median divided by this engine's, over the queries that both answered, taken in turns.
        speed_rounds: The same for each round.
    """

    median_ms: float
    p95_ms: float
    p99_ms: float
    rounds_ms: list[float]
    n: int
    speed: float | None = None
    speed_rounds: list[float] | None = None


def prepared(peer: Peer, corpus: Corpus) -> list[Any]:
    """The queries in the engine's own form."""
    return [peer.prepare(query) for query in corpus.queries]


def warm_up(peer: Peer, queries: Sequence[Any], k: int) -> float:
    """Answer all queries once, or as many as fit in 20 seconds; return the median seconds of a query.

    All postings that the rounds will ask for are loaded here, and everything is compiled.
    """
    seconds = []
    begun = time.perf_counter()
    for query in queries:
        seconds.append(peer.timed_search(query, k)[1])
        if len(seconds) >= _WARM_UP_QUERIES and time.perf_counter() - begun > 20:
            break
    return float(np.median(seconds))


def answers(peer: Peer, queries: Sequence[Any], k: int, n: int) -> list[Answer]:
    """What an engine answers to the first n queries."""
    return [peer.read(peer.search(query, k)) for query in queries[:n]]


def latencies(
    peers: Sequence[Peer],
    queries: Mapping[str, Sequence[Any]],
    typical_s: Mapping[str, float],
    *,
    k: int,
    rounds: int,
    budget_s: float,
    reference: str,
) -> dict[str, Latency]:
    """Time all engines on the same queries, each in turns with the reference, query by query.

    In each round the queries come in another order, and for each query the two engines. A third never comes between
    them: what it leaves in the caches would weigh on both. The reference itself, and engines that take more than
    ``_SLOW`` times as long, go alone; those are compared with the reference's own rounds. An engine that would take
    more than ``budget_s`` a round answers only as many of the queries as fit.

    Args:
        peers: Warmed up.
        queries: Prepared, by the engine's name.
        typical_s: Seconds of a query, by the engine's name.
        k: How many documents.
        rounds: How many rounds.
        budget_s: Seconds an engine may take in a round.
        reference: The engine that ``speed`` compares with.
    """
    n_queries = len(next(iter(queries.values())))
    limits = {peer.name: max(3, min(n_queries, int(budget_s / max(typical_s[peer.name], 1e-9)))) for peer in peers}
    longest = _SLOW * typical_s.get(reference, min(typical_s.values()))
    by_name = {peer.name: peer for peer in peers}
    shape = (rounds, n_queries)
    times = {peer.name: np.full(shape, np.nan) for peer in peers}
    beside = {
        peer.name: np.full(shape, np.nan)
        for peer in peers
        if reference in by_name and peer.name != reference and typical_s[peer.name] <= longest
    }
    rng = np.random.default_rng(0)
    for round_, peer in product(range(rounds), peers):
        engines = [peer, by_name[reference]] if peer.name in beside else [peer]
        timers = [_timer(engine, queries[engine.name], k) for engine in engines]
        limit = limits[peer.name]
        taken = one_round(timers, limit, rng)
        times[peer.name][round_, :limit] = taken[0]
        if peer.name in beside:
            beside[peer.name][round_, :limit] = taken[1]
    own = times.get(reference)
    return {name: _latency(values * 1e3, beside.get(name, own)) for name, values in times.items()}


def _timer(peer: Peer, queries: Sequence[Any], k: int) -> Callable[[int], float]:
    return lambda query: peer.timed_search(queries[query], k)[1]


def _latency(ms: NDArray[np.float64], reference_s: NDArray[np.float64] | None) -> Latency:
    answered = ~np.isnan(ms[0])
    mine = ms[:, answered]
    speed, speed_rounds = None, None
    if reference_s is not None:
        both = answered & ~np.isnan(reference_s[0])
        theirs = reference_s[:, both] * 1e3
        speed = float(np.median(theirs) / np.median(ms[:, both]))
        speed_rounds = (np.median(theirs, axis=1) / np.median(ms[:, both], axis=1)).tolist()
    return Latency(
        float(np.median(mine)),
        float(np.percentile(mine, 95)),
        float(np.percentile(mine, 99)),
        np.median(mine, axis=1).tolist(),
        int(mine.size),
        speed,
        speed_rounds,
    )


class Searching(Protocol):
    """An engine, or an index itself."""

    def search(self, query: Any, k: int, /) -> Any:
        """The k best documents."""
        ...


def throughput(engine: Searching, queries: Sequence[Any], k: int, n_threads: int, seconds: float = 3.0) -> float:
    """Queries a second with so many callers at once, each asking for one query after the other."""
    stop = threading.Event()
    counts = [0] * n_threads
    start = threading.Barrier(n_threads + 1)

    def caller(number: int) -> None:
        start.wait()
        position = number
        while not stop.is_set():
            engine.search(queries[position % len(queries)], k)
            counts[number] += 1
            position += n_threads

    threads = [threading.Thread(target=caller, args=(number,)) for number in range(n_threads)]
    for thread in threads:
        thread.start()
    start.wait()
    begun = time.perf_counter()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - begun)


def batch_throughput(peer: Peer, queries: SparseVectors, k: int, rounds: int = 5) -> float:
    """Queries a second when all are asked for in one call: the median of some rounds."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        peer.search_batch(queries, k)
        seconds.append(time.perf_counter() - start)
    return len(queries) / float(np.median(seconds))
