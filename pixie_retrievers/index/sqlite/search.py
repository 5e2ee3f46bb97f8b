"""Searching one commit point: from a query's vector to hits.

Scores are summed in float32 to choose candidates, with a margin for every rounding that can have happened, and then
again in float64, term by term in ascending order. So results depend neither on how documents lie in segments nor on how
many threads looked: a merge never changes a score or a rank.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.index.sqlite import ranking, scoring
from pixie_retrievers.index.sqlite.masks import Allowed
from pixie_retrievers.index.sqlite.pool import the_pool
from pixie_retrievers.index.sqlite.segment import MAX_DOCUMENTS
from pixie_retrievers.index.sqlite.snapshot import Snapshot
from pixie_retrievers.index.sqlite.view import address
from pixie_retrievers.types import Hit, SparseVectors, TermMatches

__all__ = ["match_documents", "search_snapshot"]

_SPLIT_FROM = 800_000
"""A query with about so many postings is worth a second thread; below, waking one costs as much as it saves."""


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
        allowed: Which documents count.
        n_kept: How many best scores to keep.
        margin: As the kernel takes it.
        floor: float32, shape (1,): a score that n_kept documents are known to reach; threads share and raise it.
        claims: int64, shape (1,): the next segment to search; threads share it too.
    """

    query: _Query
    allowed: Allowed
    n_kept: int
    margin: float
    floor: NDArray[np.float32]
    claims: NDArray[np.int64]


class _Scratch(threading.local):
    """A thread's working memory for the kernel; ``scores`` is all zeros between calls."""

    def __init__(self) -> None:
        self.scores = np.zeros(MAX_DOCUMENTS, np.float32)
        # Twice a segment: with what the segments so far have left over, there is room for the next.
        self.positions = np.empty(2 * MAX_DOCUMENTS, np.int32)
        self.ordinals = np.empty(2 * MAX_DOCUMENTS, np.uint16)
        self.found_scores = np.empty(2 * MAX_DOCUMENTS, np.float32)


_scratch = _Scratch()


def search_snapshot(
    snapshot: Snapshot,
    queries: SparseVectors,
    k: int,
    allowed: Allowed,
    max_threads: int | None,
) -> list[list[Hit]]:
    """The k best documents of each query: score descending, ties by insertion number."""
    pool = the_pool()
    vectors = [
        _Query(queries.term_ids[a:b], queries.weights[a:b], queries.literal[a:b])
        for a, b in pairwise(queries.indptr.tolist())
    ]
    with pool.searching() as idle:
        n_threads = min(idle, max_threads or pool.n_cores)
        if len(vectors) > 1 and n_threads > 1:
            left = iter(range(len(vectors)))  # shared: each thread takes the next query that none has begun
            found: list[list[Hit]] = [[] for _ in vectors]

            def some() -> None:
                for i in left:
                    found[i] = _search_one(snapshot, vectors[i], k, allowed, 1)

            pool.run([some] * min(n_threads, len(vectors)))
            return found
        return [_search_one(snapshot, query, k, allowed, n_threads) for query in vectors]


def match_documents(snapshot: Snapshot, query: SparseVectors, docnos: Sequence[int]) -> list[TermMatches]:
    """The terms that one query shares with each of some documents, whose vectors are read whole."""
    vectors = snapshot.vectors(docnos)
    weights = vectors.widened()
    places = np.full(snapshot.manifest.vocabulary_size, -1, np.int64)
    places[query.term_ids] = np.arange(len(query.term_ids))
    its_places = places[vectors.term_ids]
    matches = []
    for start, stop in pairwise(vectors.indptr.tolist()):
        shared = np.flatnonzero(its_places[start:stop] >= 0) + start
        asked = its_places[shared]
        matches.append(
            TermMatches(
                vectors.term_ids[shared],
                query.weights[asked],
                weights[shared],
                query.literal[asked],
                vectors.literal[shared],
            )
        )
    return matches


def _search_one(snapshot: Snapshot, query: _Query, k: int, allowed: Allowed, n_threads: int) -> list[Hit]:
    n_terms, n_segments = len(query.term_ids), len(snapshot.views)
    if n_terms == 0 or n_segments == 0:
        return []
    call = _Call(
        query,
        allowed,
        min(k, max(1, snapshot.manifest.n_live)),
        # Each of the n products and sums may be off by half an ulp (2**-24), twice: for the k-th and the candidate.
        1 - (n_terms + 8) * 2.0**-23,
        np.zeros(1, np.float32),
        np.zeros(1, np.int64),
    )
    if n_threads > 1 and snapshot.expected_postings(query.term_ids) < _SPLIT_FROM:
        n_threads = 1
    collecting = partial(_collect, snapshot, call)
    candidates = list(chain.from_iterable(the_pool().run([collecting] * min(n_threads, n_segments))))
    found = candidates[0] if len(candidates) == 1 else _Candidates(*map(np.concatenate, zip(*candidates, strict=True)))
    ranked = _ranked(snapshot, query, k, found, float(call.floor[0]) * call.margin)
    documents = snapshot.documents([docno for docno, _, _ in ranked])
    return [Hit(documents[docno], score, matches) for docno, score, matches in ranked]


def _collect(snapshot: Snapshot, call: _Call) -> list[_Candidates]:
    """The candidates of the segments that nobody else claims, in one part or more; call.floor is raised."""
    best, n_best = np.empty(call.n_kept, np.float32), 0
    scratch = _scratch
    candidates: list[_Candidates] = []
    position = -1
    while True:
        n_best, n_found, position = scoring.collect(
            snapshot.table,
            address(call.claims),
            position,
            call.allowed.addresses,
            snapshot.manifest.vocabulary_size,
            snapshot.views[0].weights[:0],
            call.query.term_ids,
            call.query.weights,
            call.margin,
            call.floor,
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


def _ranked(
    snapshot: Snapshot, query: _Query, k: int, found: _Candidates, cutoff: float
) -> list[tuple[int, float, TermMatches]]:
    """Insertion number, score and matches of the k best candidates, best first."""
    docnos, scores, indptr, places, weights, literal = ranking.rank(
        snapshot.table,
        snapshot.manifest.vocabulary_size,
        snapshot.views[0].weights[:0],
        query.term_ids,
        query.weights,
        found.positions,
        found.ordinals,
        found.scores,
        cutoff,
        k,
    )
    term_ids, query_weights, in_query = query.term_ids[places], query.weights[places], query.literal[places]
    return [
        (docno, score, TermMatches(term_ids[a:b], query_weights[a:b], weights[a:b], in_query[a:b], literal[a:b]))
        for docno, score, (a, b) in zip(docnos.tolist(), scores.tolist(), pairwise(indptr.tolist()), strict=True)
    ]
