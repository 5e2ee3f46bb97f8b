"""The compiled search: from a query to candidates.

A call sees all segments of a commit point at once, as a table of numbers and addresses (:data:`N_COLUMNS`), because the
way into compiled code costs as much as scoring a small segment. Like all kernels these are serial, let go of the
interpreter lock, and trust what they are given: the caller keeps every array alive whose address is in the table, and
has checked the postings.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray  # type: ignore[attr-defined]  # numba does not list carray
from numpy.typing import NDArray

from pixie_retrievers.index.sqlite.compilation import compiled
from pixie_retrievers.index.sqlite.intrinsics import at, claim, prefetch

__all__ = [
    "DOCNOS",
    "ENDS",
    "LITERAL",
    "N_COLUMNS",
    "N_DOCUMENTS",
    "N_POSTINGS",
    "N_TERMS",
    "ORDINALS",
    "PLACES",
    "SCALES",
    "STARTS",
    "WEIGHTS",
    "collect",
    "falling",
    "first_at_least",
]

N_DOCUMENTS, N_TERMS, N_POSTINGS = range(3)
DOCNOS, PLACES, STARTS, ENDS, MAX_WEIGHTS, ORDINALS, WEIGHTS, SCALES, LITERAL = range(3, 12)
N_COLUMNS = 12
"""A segment's row: how many documents, terms t and postings it has, and where its arrays lie (0: it has none).

    DOCNOS       int64, shape (n_documents,): insertion numbers, ascending
    PLACES       int32, shape (vocabulary_size,): each term's place among the segment's terms; -1: it has no postings
    STARTS       int64, shape (t,): where each term's postings start
    ENDS         int64, shape (t,): where they end; 0 while they are not in memory
    MAX_WEIGHTS  float32, shape (t,): each term's largest weight
    ORDINALS     uint16, shape (n_postings,), ascending inside a term
    WEIGHTS      float32 or uint8, shape (n_postings,)
    SCALES       float32, shape (n_documents,): what a document's weights are multiplied by; 0: by 1
    LITERAL      uint8, shape (ceil(n_postings / 8),): a bit a posting, lowest first: the document's text has the term
"""

_REST_SHARE = 0.3
"""Terms are scored until the rest can add less than this share of the k-th best score: from there on the documents that
are close enough are few, and looking them up costs less than scoring the rest would."""

_AHEAD = 256
"""How many postings ahead of the one being added memory is asked for: about what arrives in the time that they take."""

_STRIDE = 64
_TINY = np.float32(1e-45)


@compiled
def falling(keys: NDArray[np.float64], ties: NDArray[np.int64]) -> NDArray[np.int64]:
    """The positions of keys, the largest first, equal ones by rising tie.

    A shell sort, of which the few entries that a search has need no more, and which compiles in a tenth of the time of
    numpy's sorts: what a new user waits for at the first search.

    Args:
        keys: float64, shape (n,).
        ties: int64, shape (n,), all different.

    Complexity:
        About O(n ** 1.3).
    """
    n = len(keys)
    order = np.arange(n)
    gap = 1
    while gap < n // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, n):
            moved, j = order[i], i
            while j >= gap:
                other = order[j - gap]
                if keys[other] > keys[moved] or (keys[other] == keys[moved] and ties[other] < ties[moved]):
                    break
                order[j] = other
                j -= gap
            order[j] = moved
        gap //= 3
    return order


@compiled
def collect(
    segments: NDArray[np.int64],
    claims: int,
    position: int,
    masks: NDArray[np.int64],
    vocabulary_size: int,
    like: NDArray[Any],
    query_terms: NDArray[np.int32],
    query_weights: NDArray[np.float32],
    margin: float,
    floor: NDArray[np.float32],
    scores: NDArray[np.float32],
    best: NDArray[np.float32],
    n_best: int,
    found_positions: NDArray[np.int32],
    found_ordinals: NDArray[np.uint16],
    found_scores: NDArray[np.float32],
) -> tuple[int, int, int]:
    """Collect the documents that may belong to the k best of a query.

    Terms are taken by falling bound (query weight times the term's largest weight in the segment). Once what the
    remaining terms can add is far too little to lift a new document into the k best, only the documents that are close
    enough already are looked up under them. The rule is exact. A segment's scores stay in a core's
    second cache. (The cut is MaxScore's: Turtle and Flood 1995, "Query evaluation: strategies and optimizations".)

    Args:
        segments: int64, shape (n_segments, N_COLUMNS).
        claims: The address of an int64, 0 at first: the next segment to search. Threads that share the segments of one
            query share it: each claims one after the other, so that none waits for another that began late.
        position: A segment that this caller has claimed already; -1: none.
        masks: int64, shape (n_segments,): the address of uint8, shape (n_documents,), in which 0 hides a document; 0
            hides none.
        vocabulary_size: The number of terms.
        like: Any array of the weights' dtype.
        query_terms: int32, shape (m,), ascending.
        query_weights: float32, shape (m,).
        margin: Just under 1: how far below the k-th best score a document may still belong to the k best once scores
            are computed exactly.
        floor: float32, shape (1,): a score that k documents are known to reach, 0 at first. Threads that search other
            segments for the same query may share it: it is only ever raised, and a raise that gets lost costs time,
            not results.
        scores: float32, as long as the largest segment and a multiple of 64: zeros; zeros again on return.
        best: float32, shape (k,): a min-heap of the best scores so far; changed in place.
        n_best: How many of ``best`` are in use.
        found_positions, found_ordinals, found_scores: int32, uint16 and float32, at least as long as the largest
            segment: filled with the candidates.

    Returns:
        The new ``n_best``; the number of candidates; and the segment to go on with, claimed but not searched, because
        its postings must be loaded first or there was no room for its candidates; -1 when all are done.

    Complexity:
        O(postings of the query's terms + n_documents), less what the cut skips.
    """
    n_query = len(query_terms)
    its_starts = np.empty(n_query, np.int64)
    ends = np.empty(n_query, np.int64)
    factors = np.empty(n_query, np.float32)
    bounds = np.empty(n_query, np.float64)
    rests = np.empty(n_query + 1, np.float64)
    places_in_query = np.arange(n_query)
    k = len(best)
    n_found = 0
    while True:
        if position < 0:
            position = claim(claims)
        if position >= len(segments):
            return n_best, n_found, -1
        row = segments[position]
        n_documents = row[N_DOCUMENTS]
        if n_found + n_documents > len(found_ordinals):
            return n_best, n_found, position
        places = carray(at(row[PLACES]), (vocabulary_size,), np.int32)
        starts = carray(at(row[STARTS]), (row[N_TERMS],), np.int64)
        loaded_ends = carray(at(row[ENDS]), (row[N_TERMS],), np.int64)
        max_weights = carray(at(row[MAX_WEIGHTS]), (row[N_TERMS],), np.float32)
        ordinals = carray(at(row[ORDINALS]), (row[N_POSTINGS],), np.uint16)
        weights = carray(at(row[WEIGHTS]), (row[N_POSTINGS],), like.dtype)
        n_terms = 0
        for i in range(n_query):
            place = places[query_terms[i]]
            if place >= 0:
                if loaded_ends[place] == 0:
                    return n_best, n_found, position
                its_starts[n_terms] = starts[place]
                for ahead in range(0, 96, 32):
                    prefetch(ordinals, starts[place] + ahead)
                    prefetch(weights, starts[place] + ahead)
                    prefetch(weights, starts[place] + ahead + 16)
                ends[n_terms] = loaded_ends[place]
                factors[n_terms] = query_weights[i]
                bounds[n_terms] = np.float64(query_weights[i]) * np.float64(max_weights[place])
                n_terms += 1
        if n_terms == 0:
            position = -1
            continue
        order = falling(bounds[:n_terms], places_in_query[:n_terms])
        rests[n_terms] = 0.0  # rests[i]: the most that the terms from i on can add
        for i in range(n_terms - 1, -1, -1):
            rests[i] = rests[i + 1] + bounds[order[i]]
        n_best, n_found = _collect_segment(
            position,
            n_documents,
            ordinals,
            weights,
            carray(at(row[SCALES]), (n_documents if row[SCALES] else 0,), np.float32),
            carray(at(masks[position]), (n_documents if masks[position] else 0,), np.uint8),
            order,
            its_starts,
            ends,
            factors,
            rests,
            margin,
            floor,
            scores,
            best,
            n_best,
            found_positions,
            found_ordinals,
            found_scores,
            n_found,
        )
        if n_best == k:  # what the segments so far had too little of need not be kept
            cutoff = floor[0] * margin
            kept = 0
            for i in range(n_found):
                if found_scores[i] >= cutoff:
                    found_positions[kept] = found_positions[i]
                    found_ordinals[kept] = found_ordinals[i]
                    found_scores[kept] = found_scores[i]
                    kept += 1
            n_found = kept
        position = -1


@compiled
def _collect_segment(
    position: int,
    n_documents: int,
    ordinals: NDArray[np.uint16],
    weights: NDArray[Any],
    scales: NDArray[np.float32],
    allowed: NDArray[np.uint8],
    order: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    factors: NDArray[np.float32],
    rests: NDArray[np.float64],
    margin: float,
    floor: NDArray[np.float32],
    scores: NDArray[np.float32],
    best: NDArray[np.float32],
    n_best: int,
    found_positions: NDArray[np.int32],
    found_ordinals: NDArray[np.uint16],
    found_scores: NDArray[np.float32],
    n_found: int,
) -> tuple[int, int]:
    """One segment of :func:`collect`; the new ``n_best`` and ``n_found``."""
    k, n_terms = len(best), len(order)
    if n_best == k:
        floor[0] = max(floor[0], best[0])
    cutoff = floor[0] * margin
    n_scored = 0
    while n_scored < n_terms and rests[n_scored] >= cutoff * _REST_SHARE:
        term, after = order[n_scored], order[min(n_scored + 1, n_terms - 1)]
        _add(ordinals, weights, starts[term], ends[term], starts[after], factors[term], scores)
        n_scored += 1
    if len(scales) > 0:
        for document in range(n_documents):
            scores[document] *= scales[document]
    rest = rests[n_scored]
    low = max(np.float32(cutoff - rest), _TINY)
    for block in range(0, n_documents, _STRIDE):
        n_close = 0
        stretch = scores[block : block + _STRIDE]
        for i in range(_STRIDE):  # counting is what a compiler can do 16 at a time
            n_close += stretch[i] >= low
        if n_close > 0:
            for document in range(block, min(block + _STRIDE, n_documents)):
                score = scores[document]
                if score < low or (len(allowed) > 0 and allowed[document] == 0):
                    continue
                for i in range(n_scored, n_terms):
                    if score + rests[i] < cutoff:
                        break
                    term = order[i]
                    posting = first_at_least(ordinals, starts[term], ends[term], document)
                    if posting < ends[term] and ordinals[posting] == document:
                        added = factors[term] * np.float32(weights[posting])
                        score += added * scales[document] if len(scales) > 0 else added
                if score < cutoff:
                    continue
                found_positions[n_found] = position
                found_ordinals[n_found] = document
                found_scores[n_found] = score
                n_found += 1
                if n_best < k or score > best[0]:
                    n_best = _push(best, n_best, score)
                    if n_best == k and best[0] > floor[0]:
                        floor[0] = best[0]
                        cutoff = best[0] * margin
                        low = max(np.float32(cutoff - rest), _TINY)
        stretch[:] = np.float32(0)
    return n_best, n_found


@compiled
def _add(
    ordinals: NDArray[np.uint16],
    weights: NDArray[Any],
    start: int,
    end: int,
    after: int,
    factor: np.float32,
    scores: NDArray[np.float32],
) -> None:
    """Add the weights of a term's postings [start, end) times ``factor`` to their documents' scores.

    Four postings at a time: their documents differ, so that no sum need wait for the one before, which no compiler can
    know. Unsigned places spare every access the check for a negative index. The processor foresees neither the start of
    a list nor the next page of memory: both are asked for ahead, the postings at ``after``, the next term's, last.
    """
    posting = start
    while posting + 32 <= end:
        ahead = posting + _AHEAD
        if ahead >= end:
            ahead += after - end
        prefetch(ordinals, ahead)
        prefetch(weights, ahead)
        prefetch(weights, ahead + 16)
        for i in range(posting, posting + 32, 4):
            a, b, c, d = np.uint64(i), np.uint64(i + 1), np.uint64(i + 2), np.uint64(i + 3)
            slot_a, slot_b, slot_c, slot_d = ordinals[a], ordinals[b], ordinals[c], ordinals[d]
            score_a = scores[slot_a] + factor * np.float32(weights[a])
            score_b = scores[slot_b] + factor * np.float32(weights[b])
            score_c = scores[slot_c] + factor * np.float32(weights[c])
            score_d = scores[slot_d] + factor * np.float32(weights[d])
            scores[slot_a] = score_a
            scores[slot_b] = score_b
            scores[slot_c] = score_c
            scores[slot_d] = score_d
        posting += 32
    for i in range(posting, end):
        scores[ordinals[np.uint64(i)]] += factor * np.float32(weights[np.uint64(i)])


@compiled
def first_at_least(values: NDArray[Any], low: int, high: int, wanted: int) -> int:
    """The first position in [low, high) whose value is at least ``wanted``; values ascend."""
    if low >= high or values[low] >= wanted:
        return low
    while low < high:
        middle = (low + high) >> 1
        if values[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _push(best: NDArray[np.float32], n_best: int, score: np.float32) -> int:
    """Put a score on the min-heap of the k best, pushing out the least when it is full; the new size."""
    k = len(best)
    if n_best < k:
        hole = n_best
        while hole > 0 and best[(hole - 1) >> 1] > score:
            best[hole] = best[(hole - 1) >> 1]
            hole = (hole - 1) >> 1
        best[hole] = score
        return n_best + 1
    hole = 0
    while True:
        child = 2 * hole + 1
        if child >= k:
            break
        if child + 1 < k and best[child + 1] < best[child]:
            child += 1
        if best[child] >= score:
            break
        best[hole] = best[child]
        hole = child
    best[hole] = score
    return n_best
