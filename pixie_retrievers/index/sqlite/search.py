"""Searching one commit point: from a query's vector to hits.

Scores are summed in float32 to choose candidates, with a margin for every rounding that can have happened, and then
again in float64, term by term in ascending order. So results depend neither on how documents lie in segments nor on how
many threads looked: a merge never changes a score or a rank.
"""

from __future__ import annotations

import threading
from functools import partial
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.index.sqlite import ranking, scoring
from pixie_retrievers.index.sqlite.masks import Allowed
from pixie_retrievers.index.sqlite.pool import the_pool
from pixie_retrievers.index.sqlite.segment import MAX_DOCUMENTS
from pixie_retrievers.index.sqlite.snapshot import Snapshot
from pixie_retrievers.index.sqlite.view import address
from pixie_retrievers.types import Hit, SparseVectors, TermMatches

__all__ = ["search_snapshot"]

_SPLIT_FROM = 800_000
"""A query with about so many postings is worth a second thread; below, waking one costs as much as it saves."""

_SHARE_FROM = 200_000
"""Queries of one call, each with about so many postings, are worth a second thread: a search goes into compiled code
and out of it several times, and below so many the threads wait for each other's Python longer than they compute."""


class _Query(NamedTuple):
    """One row of a batch that has been checked."""

    term_ids: NDArray[np.int32]
    weights: NDArray[np.float32]
    literal: NDArray[np.bool_]


class _Candidates(NamedTuple):
    """Documents that may belong to the k best, by segment and ordinal, and their scores to within a rounding."""

    positions: NDArray[np.int32]
    ordinals: NDArray[np.uint16]
    scores: NDArray[np.float32]


class _Call(NamedTuple):
    """What is the same for all segments of one search (see :func:`pixie_retrievers.index.sqlite.scoring.collect`).

    Attributes:
        query: One vector.
        masks: The addresses of the masks that say which documents count.
        k: How many documents are wanted, at most as many as there are.
        margin: As the kernel takes it.
    """

    query: _Query
    masks: NDArray[np.int64]
    k: int
    margin: float


class _Scratch(threading.local):
    """A thread's working memory for the kernel; ``scores`` is all zeros between calls."""

    def __init__(self) -> None:
        self.claims = np.zeros(1, np.int64)
        self.claims_address = address(self.claims)
        self.scores = np.zeros(MAX_DOCUMENTS, np.float32)
        # Twice a segment: with what the segments so far have left over, there is room for the next.
        self.positions = np.empty(2 * MAX_DOCUMENTS, np.int32)
        self.ordinals = np.empty(2 * MAX_DOCUMENTS, np.uint16)
        self.found_scores = np.empty(2 * MAX_DOCUMENTS, np.float32)


_scratch = _Scratch()


def search_snapshot(
    snapshot: Snapshot, queries: SparseVectors, k: int, allowed: Allowed, max_threads: int | None
) -> list[list[Hit]]:
    """The k best documents of each query: score descending, ties by insertion number."""
    vectors = [
        _Query(queries.term_ids[a:b], queries.weights[a:b], queries.literal[a:b])
        for a, b in pairwise(queries.indptr.tolist())
    ]
    search = partial(_search_one, snapshot, allowed.addresses, min(k, max(1, snapshot.manifest.n_live)))
    enough = _SHARE_FROM if len(vectors) > 1 else _SPLIT_FROM
    if (
        max_threads == 1
        or snapshot.manifest.n_postings < enough
        or snapshot.expected_postings(queries.term_ids) < enough * len(vectors)
    ):
        return [search(query, 1) for query in vectors]
    pool = the_pool()
    n_threads = min(pool.n_idle_cores(), max_threads or pool.n_cores)
    if len(vectors) == 1 or n_threads == 1:
        return [search(query, n_threads) for query in vectors]
    left = iter(range(len(vectors)))  # shared: each thread takes the next query that none has begun
    found: list[list[Hit]] = [[] for _ in vectors]

    def some() -> None:
        for i in left:
            found[i] = search(vectors[i], 1)

    pool.run([some] * min(n_threads, len(vectors)))
    return found


def _search_one(snapshot: Snapshot, masks: NDArray[np.int64], k: int, query: _Query, n_threads: int) -> list[Hit]:
    n_terms = len(query.term_ids)
    if n_terms == 0 or not snapshot.views:
        return []
    # Each of the n products and sums may be off by half an ulp (2**-24), twice: for the k-th and the candidate.
    call = _Call(query, masks, k, 1 - (n_terms + 8) * 2.0**-23)
    found = _search_at_once(snapshot, call) if n_threads == 1 else None
    docnos, scores, indptr, places, weights, literal = found or _search_in_parts(snapshot, call, n_threads)
    documents = snapshot.documents(docnos.tolist())
    term_ids, query_weights, in_query = query.term_ids[places], query.weights[places], query.literal[places]
    return [
        Hit(
            document,
            score,
            TermMatches(term_ids[a:b], query_weights[a:b], weights[a:b], in_query[a:b], literal[a:b]),
        )
        for document, score, (a, b) in zip(documents, scores.tolist(), pairwise(indptr.tolist()), strict=True)
    ]


def _search_at_once(snapshot: Snapshot, call: _Call) -> tuple[Any, ...] | None:
    """The search in one call of compiled code; None where there is no room for the candidates of a very large k."""
    query, scratch = call.query, _scratch
    for attempt in range(2):
        scratch.claims[0] = 0
        ranked = ranking.search(
            snapshot.table,
            scratch.claims_address,
            call.masks,
            snapshot.manifest.vocabulary_size,
            snapshot.views[0].weights[:0],
            query.term_ids,
            query.weights,
            call.margin,
            call.k,
            scratch.scores,
            scratch.positions,
            scratch.ordinals,
            scratch.found_scores,
        )
        if ranked[0]:
            found: tuple[Any, ...] = ranked[1:]
            return found
        if attempt == 0:
            for view in snapshot.views:
                view.load(snapshot.store, query.term_ids)
    return None


def _search_in_parts(snapshot: Snapshot, call: _Call, n_threads: int) -> tuple[Any, ...]:
    """The search segment by segment, shared between threads: any number of candidates has room."""
    floor, claims = np.zeros(1, np.float32), np.zeros(1, np.int64)
    collecting = partial(_collect, snapshot, call, floor, claims)
    parts = list(chain.from_iterable(the_pool().run([collecting] * min(n_threads, len(snapshot.views)))))
    ranked: tuple[Any, ...] = ranking.rank(
        snapshot.table,
        snapshot.manifest.vocabulary_size,
        snapshot.views[0].weights[:0],
        call.query.term_ids,
        call.query.weights,
        np.concatenate([part.positions for part in parts]),
        np.concatenate([part.ordinals for part in parts]),
        np.concatenate([part.scores for part in parts]),
        float(floor[0]) * call.margin,
        call.k,
    )
    return ranked


def _collect(
    snapshot: Snapshot, call: _Call, floor: NDArray[np.float32], claims: NDArray[np.int64]
) -> list[_Candidates]:
    """The candidates of the segments that nobody else claims, in one part or more; ``floor`` is raised."""
    best, n_best = np.empty(call.k, np.float32), 0
    scratch = _scratch
    candidates: list[_Candidates] = []
    position = -1
    while True:
        n_best, n_found, position = scoring.collect(
            snapshot.table,
            address(claims),
            position,
            call.masks,
            snapshot.manifest.vocabulary_size,
            snapshot.views[0].weights[:0],
            call.query.term_ids,
            call.query.weights,
            call.margin,
            floor,
            scratch.scores,
            best,
            n_best,
            scratch.positions,
            scratch.ordinals,
            scratch.found_scores,
        )
        candidates.append(
            _Candidates(
                scratch.positions[:n_found].copy(),
                scratch.ordinals[:n_found].copy(),
                scratch.found_scores[:n_found].copy(),
            )
        )
        if position < 0:
            return candidates
        snapshot.views[position].load(snapshot.store, call.query.term_ids)
