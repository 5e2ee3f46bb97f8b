"""What a metadata filter adds to a search: the first time that it is used, and when it is used again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from corpus import Corpus
from peers.pixie import Pixie

__all__ = ["Filtering", "measure_filtering"]

_INDEXED = {"tenth": 3}  # an equality that one document in ten passes


@dataclass(frozen=True)
class Filtering:
    """Milliseconds that a filter adds to the median search without one.

    Attributes:
        plain_ms: The median search without a filter.
        indexed_first_ms, indexed_again_ms: An equality on an indexed field, at its first use and at later ones.
        other_first_ms, other_again_ms: A comparison on a field that is not indexed: the first use reads every document.
    """

    plain_ms: float
    indexed_first_ms: float
    indexed_again_ms: float
    other_first_ms: float
    other_again_ms: float


def measure_filtering(corpus: Corpus, folder: Path, k: int) -> Filtering:
    """Index a field of the files in ``folder``, and search with filters."""
    writer = Pixie()
    writer.open(folder)
    writer.index_field("tenth")
    writer.close()
    peer = Pixie()
    peer.open(folder)
    queries = [peer.prepare(query) for query in corpus.queries]
    for query in queries:
        peer.search(query, k)
    plain = float(np.median([peer.timed_search(query, k)[1] for query in queries]))
    added = []
    for condition in (_INDEXED, {"n": {"$lt": len(corpus) // 2}}):
        first, *again = [_timed(peer, query, k, condition) for query in queries]
        added += [first - plain, float(np.median(again)) - plain]
    peer.close()
    return Filtering(plain * 1e3, *(seconds * 1e3 for seconds in added))


def _timed(peer: Pixie, query: Any, k: int, condition: dict[str, Any]) -> float:
    start = time.perf_counter()
    peer.search_filtered(query, k, condition)
    return time.perf_counter() - start
