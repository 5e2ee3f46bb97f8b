"""Searching one commit point: from a query's vector to hits.

Scores are summed in float32 to choose candidates, with a margin for every rounding that can have happened, and then
again in float64, term by term in ascending order. So results depend neither on how documents lie in segments nor on how
many threads looked: a merge never changes a score or a rank.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.filters import Filter
from pixie_retrievers.index.sqlite import kernels
from pixie_retrievers.index.sqlite.segment import MAX_DOCUMENTS
from pixie_retrievers.index.sqlite.snapshot import SegmentView, Snapshot
from pixie_retrievers.types import Hit, SparseVectors, TermMatches

__all__ = ["match_document", "search_snapshot"]

_T = TypeVar("_T")

_SPLIT_FROM = 300_000
"""A query over at least so many documents is worth a second thread; below, handing it over costs more than it saves."""


class _Query(NamedTuple):
    """One row of a batch that has been checked: term ids and weights."""

    term_ids: NDArray[np.int32]
    weights: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Documents of one segment that may belong to the k best, and their scores to within a rounding."""

    view: SegmentView
    ordinals: NDArray[np.uint16]
    scores: NDArray[np.float32]


class _Scratch(threading.local):
    """A thread's working memory for the kernel; ``scores`` is all zeros between calls."""

    def __init__(self) -> None:
        self.scores = np.zeros(kernels.WINDOW, np.float32)
        self.found = np.empty(MAX_DOCUMENTS, np.uint16)
        self.found_scores = np.empty(MAX_DOCUMENTS, np.float32)


_scratch = _Scratch()


class _Crew:
    """The threads that searches share, and how many searches are running: idle cores help, busy ones are left alone."""

    def __init__(self) -> None:
        self.n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._lock = threading.Lock()
        self._n_searching = 0
        self._pool: ThreadPoolExecutor | None = None

    def enter(self) -> int:
        """Begin a search; the number of threads that it may use."""
        with self._lock:
            self._n_searching += 1
            return max(1, self.n_cores // self._n_searching)

    def leave(self) -> None:
        """End a search."""
        with self._lock:
            self._n_searching -= 1

    @property
    def pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.n_cores, thread_name_prefix="pixie-search")
            return self._pool


_crew = _Crew()


def _renew_crew() -> None:
    global _crew  # noqa: PLW0603  # a forked process has neither the threads nor a lock it may trust
    _crew = _Crew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_crew)


def search_snapshot(
    snapshot: Snapshot,
    queries: SparseVectors,
    k: int,
    filter: Filter | None,
    exactness: float,
    max_threads: int | None,
) -> list[list[Hit]]:
    """The k best documents of each query: score descending, ties by insertion number."""
    crew = _crew
    n_threads = min(crew.enter(), max_threads or crew.n_cores)
    try:
        vectors = [_Query(queries.term_ids[a:b], queries.weights[a:b]) for a, b in pairwise(queries.indptr.tolist())]
        if len(vectors) > 1 and n_threads > 1:
            return _all([crew.pool.submit(_search_one, snapshot, query, k, filter, exactness, 1) for query in vectors])
        return [_search_one(snapshot, query, k, filter, exactness, n_threads) for query in vectors]
    finally:
        crew.leave()


def _all(futures: Sequence[Future[_T]]) -> list[_T]:
    """All results; on an error too, not before every thread is done with the snapshot."""
    wait(futures)
    return [future.result() for future in futures]


def match_document(snapshot: Snapshot, query: SparseVectors, docno: int) -> TermMatches:
    """The terms that a query shares with one document."""
    position, ordinal = snapshot.locate(docno)
    view = snapshot.views[position]
    view.load(snapshot.store, query.term_ids)
    vector = _Query(query.term_ids, query.weights)
    return _matches(vector, _scores(view, vector, np.array([ordinal], np.uint16))[1][0])


def _search_one(
    snapshot: Snapshot, query: _Query, k: int, filter: Filter | None, exactness: float, n_threads: int
) -> list[Hit]:
    n_terms = len(query.term_ids)
    if n_terms == 0:
        return []
    # Each of the n products and sums may be off by half an ulp (2**-24), twice: for the k-th and for the candidate.
    margin = 1 - (n_terms + 8) * 2.0**-23
    n_kept = min(k, max(1, snapshot.manifest.n_live))
    floor = np.zeros(1, np.float32)
    positions = list(range(len(snapshot.views)))
    if snapshot.manifest.n_live < _SPLIT_FROM:
        n_threads = 1
    shares = [positions[i::n_threads] for i in range(min(n_threads, len(positions)))]
    futures = [
        _crew.pool.submit(_collect, snapshot, share, query, n_kept, filter, margin, exactness, floor)
        for share in shares[1:]
    ]
    try:
        candidates = _collect(snapshot, shares[0], query, n_kept, filter, margin, exactness, floor) if shares else []
    finally:
        others = _all(futures)
    candidates += [candidate for part in others for candidate in part]
    return _hits(snapshot, query, k, candidates, floor[0] * margin)


def _collect(
    snapshot: Snapshot,
    positions: Sequence[int],
    query: _Query,
    n_kept: int,
    filter: Filter | None,
    margin: float,
    exactness: float,
    floor: NDArray[np.float32],
) -> list[_Candidates]:
    """The candidates of some segments.

    Args:
        snapshot: The commit point.
        positions: Which of its segments.
        query: One vector.
        n_kept: How many best scores to keep.
        filter: Which documents count.
        margin, exactness: See :func:`pixie_retrievers.index.sqlite.kernels.search_segment`.
        floor: float32, shape (1,): a score that n_kept documents are known to reach; threads share and raise it.
    """
    best, n_best = np.empty(n_kept, np.float32), 0
    candidates: list[_Candidates] = []
    for position in positions:
        view = snapshot.views[position]
        head, allowed = view.head, snapshot.allowed(position, filter)
        while True:
            n_best, n_found = kernels.search_segment(
                head.term_ids,
                head.starts,
                head.max_weights,
                view.loaded,
                view.ordinals,
                view.weights,
                head.scales,
                allowed,
                query.term_ids,
                query.weights,
                margin,
                exactness,
                floor,
                _scratch.scores,
                best,
                n_best,
                _scratch.found[: head.n_documents],
                _scratch.found_scores,
            )
            if n_found >= 0:
                break
            view.load(snapshot.store, query.term_ids)
        if n_found:
            found, found_scores = _scratch.found[:n_found].copy(), _scratch.found_scores[:n_found].copy()
            candidates.append(_Candidates(view, found, found_scores))
    return candidates


def _hits(snapshot: Snapshot, query: _Query, k: int, candidates: Sequence[_Candidates], cutoff: float) -> list[Hit]:
    docnos, scores, rows = [], [], []
    for part in candidates:
        ordinals = part.ordinals[part.scores >= cutoff]
        part_scores, part_rows = _scores(part.view, query, ordinals)
        docnos.append(part.view.head.docnos[ordinals])
        scores.append(part_scores)
        rows.append(part_rows)
    if not docnos:
        return []
    all_docnos, all_scores, weights = np.concatenate(docnos), np.concatenate(scores), np.concatenate(rows)
    order = np.lexsort((all_docnos, -all_scores))[:k]
    documents = snapshot.documents(all_docnos[order].tolist())
    return [
        Hit(documents[docno], score, _matches(query, weights[row]))
        for row, docno, score in zip(
            order.tolist(), all_docnos[order].tolist(), all_scores[order].tolist(), strict=True
        )
    ]


def _scores(
    view: SegmentView, query: _Query, wanted: NDArray[np.uint16]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Scores, shape (n,), and the weights that made them, shape (n, n_terms), of a segment's documents."""
    head = view.head
    scores = np.zeros(len(wanted), np.float64)
    weights = np.zeros((len(wanted), len(query.term_ids)), np.float32)
    kernels.score_documents(
        head.term_ids,
        head.starts,
        view.ordinals,
        view.weights,
        head.scales,
        wanted,
        query.term_ids,
        query.weights,
        weights,
        scores,
    )
    return scores, weights


def _matches(query: _Query, document_weights: NDArray[np.float32]) -> TermMatches:
    shared = document_weights.nonzero()[0]
    return TermMatches(query.term_ids[shared], query.weights[shared], document_weights[shared])
