"""Many callers, and many queries in one call, beside one caller on one thread who asks one query after the other."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measure import throughput

from pixie_retrievers import SparseVectors, SqliteIndex

__all__ = ["N_CALLERS", "Callers", "measure_callers"]

N_CALLERS = 8


@dataclass(frozen=True)
class Callers:
    """Queries a second, a number a round.

    Attributes:
        one_thread: One caller; the index may use one thread.
        one: One caller; the index may use as many threads as it likes, here and below.
        many: ``N_CALLERS`` threads that ask for one query after the other.
        batch: All queries in one call.
        n_batch: How many those are.
    """

    one_thread: list[float]
    one: list[float]
    many: list[float]
    batch: list[float]
    n_batch: int


def measure_callers(path: Path, queries: SparseVectors, k: int, rounds: int, seconds: float) -> Callers:
    """In each round all four in random order, each for so many seconds."""
    vectors = list(queries)
    rates: dict[str, list[float]] = {name: [] for name in ("one_thread", "one", "many", "batch")}
    rng = np.random.default_rng(0)
    with SqliteIndex(path, max_threads=1) as alone, SqliteIndex(path) as free:
        measures = {
            "one_thread": lambda: throughput(alone, vectors, k, 1, seconds),
            "one": lambda: throughput(free, vectors, k, 1, seconds),
            "many": lambda: throughput(free, vectors, k, N_CALLERS, seconds),
            "batch": lambda: _batches(free, queries, k, seconds),
        }
        for index in (alone, free):
            for vector in vectors:
                index.search(vector, k)
            index.search(queries, k)
        names = list(measures)
        for _ in range(rounds):
            for place in rng.permutation(len(names)).tolist():
                rates[names[place]].append(measures[names[place]]())
    return Callers(**rates, n_batch=len(vectors))


def _batches(index: SqliteIndex, queries: SparseVectors, k: int, seconds: float) -> float:
    calls, begun = 0, time.perf_counter()
    while time.perf_counter() < begun + seconds:
        index.search(queries, k)
        calls += 1
    return calls * len(queries) / (time.perf_counter() - begun)
