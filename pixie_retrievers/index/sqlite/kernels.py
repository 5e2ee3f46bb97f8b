"""The compiled loops. They see arrays, nothing else, and trust them: validate before calling.

All are serial and let go of the interpreter lock, so that threads run them side by side; ``parallel=True`` is never
used, because numba's default threading layer ends the process when two Python threads enter it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = [
    "WINDOW",
    "append_postings",
    "count_postings",
    "postings_are_sound",
    "score_documents",
    "search_segment",
    "transpose",
]


WINDOW = 1 << 15
"""Documents scored at a time: their 128 KB of scores stay in a core's nearest cache."""

_REST_SHARE = 0.3
"""Terms are scored until the rest can add less than this share of the k-th best score: from there on the documents that
are close enough are few, and looking them up costs less than scoring the rest would."""

_STRIDE = 64
_TINY = np.float32(1e-45)


@njit(nogil=True, cache=True)
def search_segment(
    term_ids: NDArray[np.int32],
    starts: NDArray[np.int64],
    max_weights: NDArray[np.float32],
    loaded: NDArray[np.uint8],
    ordinals: NDArray[np.uint16],
    weights: NDArray[Any],
    scales: NDArray[np.float32],
    allowed: NDArray[np.uint8],
    query_terms: NDArray[np.int32],
    query_weights: NDArray[np.float32],
    margin: float,
    exactness: float,
    floor: NDArray[np.float32],
    scores: NDArray[np.float32],
    best: NDArray[np.float32],
    n_best: int,
    found: NDArray[np.uint16],
    found_scores: NDArray[np.float32],
) -> tuple[int, int]:
    """Collect the documents of a segment that may belong to the k best of a query.

    Terms are taken by falling bound (query weight times the term's largest weight). Once what the remaining terms can
    add is far too little to lift a new document into the k best, only the documents that are close enough already are
    looked up under them. With full bounds the rule is exact. Documents are scored window by window.
    (The cut is MaxScore's: Turtle and Flood 1995, "Query evaluation: strategies and optimizations". The windows are
    those of bulk scoring in Lucene and Knowhere.)

    Args:
        term_ids: int32, shape (t,): the segment's terms, ascending.
        starts: int64, shape (t + 1,): where each term's postings start.
        max_weights: float32, shape (t,): each term's largest weight.
        loaded: uint8, shape (t,): 1 for each term whose postings are in memory.
        ordinals: uint16, shape (n_postings,), ascending inside a term.
        weights: float32 or uint8, shape (n_postings,).
        scales: float32, shape (n_documents,): what a document's weights are multiplied by; empty means 1.
        allowed: uint8, shape (n_documents,): 0 hides a document; empty hides none.
        query_terms: int32, shape (m,), ascending.
        query_weights: float32, shape (m,).
        margin: Just under 1: how far below the k-th best score a document may still belong to the k best once scores
            are computed exactly.
        exactness: 1 takes what terms can add at its full bound, which is exact; less takes that share of it.
        floor: float32, shape (1,): a score that k documents are known to reach, 0 at first. Threads that search other
            segments for the same query may share it: it is only ever raised, and a raise that gets lost costs time,
            not results.
        scores: float32, shape (WINDOW,): zeros; zeros again on return.
        best: float32, shape (k,): a min-heap of the best scores so far; changed in place.
        n_best: How many of ``best`` are in use.
        found: uint16, shape (n_documents,): filled with the ordinals of the candidates, ascending.
        found_scores: float32, shape (n_documents,): filled with their scores.

    Returns:
        The new ``n_best``, and the number of candidates; -1 when postings must be loaded first, nothing being changed.

    Complexity:
        O(postings of the query's terms + n_documents), less what the cut skips.
    """
    n_terms = 0
    cursors = np.empty(len(query_terms), np.int64)
    ends = np.empty(len(query_terms), np.int64)
    factors = np.empty(len(query_terms), np.float32)
    bounds = np.empty(len(query_terms), np.float64)
    place = 0
    for position in range(len(query_terms)):
        place = _first_at_least(term_ids, place, len(term_ids), query_terms[position])
        if place < len(term_ids) and term_ids[place] == query_terms[position]:
            if loaded[place] == 0:
                return n_best, -1
            cursors[n_terms] = starts[place]
            ends[n_terms] = starts[place + 1]
            factors[n_terms] = query_weights[position]
            bounds[n_terms] = exactness * np.float64(query_weights[position]) * np.float64(max_weights[place])
            n_terms += 1
    if n_terms == 0:
        return n_best, 0
    order = np.argsort(-bounds[:n_terms])
    rests = np.zeros(n_terms + 1, np.float64)  # rests[i]: the most that the terms from i on can add
    for i in range(n_terms - 1, -1, -1):
        rests[i] = rests[i + 1] + bounds[order[i]]

    k = len(best)
    n_documents = len(found)
    n_found = 0
    for base in range(0, n_documents, WINDOW):
        if n_best == k:
            floor[0] = max(floor[0], best[0])
        cutoff = floor[0] * margin
        limit = min(base + WINDOW, n_documents)
        n_scored = 0
        while n_scored < n_terms and rests[n_scored] >= cutoff * _REST_SHARE:
            term = order[n_scored]
            factor = factors[term]
            start = _first_at_least(ordinals, cursors[term], ends[term], base)
            stop = ends[term] if limit == n_documents else _first_at_least(ordinals, start, ends[term], limit)
            # Slices counted from 0 and unsigned places spare every access the check for a negative index.
            run_ordinals, run_weights = ordinals[start:stop], weights[start:stop]
            for posting in range(len(run_ordinals)):
                slot = np.uint64(run_ordinals[posting]) - np.uint64(base)
                scores[slot] += factor * np.float32(run_weights[posting])
            cursors[term] = stop
            n_scored += 1
        if len(scales) > 0:
            for document in range(limit - base):
                scores[document] *= scales[base + document]
        rest = rests[n_scored]
        low = max(np.float32(cutoff - rest), _TINY)
        for block in range(0, limit - base, _STRIDE):
            n_close = 0
            stretch = scores[block : block + _STRIDE]
            for i in range(_STRIDE):  # counting is what a compiler can do 16 at a time
                n_close += stretch[i] >= low
            if n_close == 0:
                continue
            for document in range(block, min(block + _STRIDE, limit - base)):
                score = scores[document]
                ordinal = base + document
                if score < low or (len(allowed) > 0 and allowed[ordinal] == 0):
                    continue
                for i in range(n_scored, n_terms):
                    if score + rests[i] < cutoff:
                        break
                    term = order[i]
                    posting = _first_at_least(ordinals, cursors[term], ends[term], ordinal)
                    if posting < ends[term] and ordinals[posting] == ordinal:
                        added = factors[term] * np.float32(weights[posting])
                        score += added * scales[ordinal] if len(scales) > 0 else added
                if score < cutoff:
                    continue
                found[n_found] = ordinal
                found_scores[n_found] = score
                n_found += 1
                if n_best < k or score > best[0]:
                    n_best = _push(best, n_best, score)
                    if n_best == k and best[0] > floor[0]:
                        floor[0] = best[0]
                        cutoff = best[0] * margin
                        low = max(np.float32(cutoff - rest), _TINY)
        scores[: limit - base] = np.float32(0)
    return n_best, n_found


@njit(nogil=True, cache=True)
def _first_at_least(values: NDArray[Any], low: int, high: int, wanted: int) -> int:
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


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
def score_documents(
    term_ids: NDArray[np.int32],
    starts: NDArray[np.int64],
    ordinals: NDArray[np.uint16],
    weights: NDArray[Any],
    scales: NDArray[np.float32],
    wanted: NDArray[np.uint16],
    query_terms: NDArray[np.int32],
    query_weights: NDArray[np.float32],
    out_weights: NDArray[np.float32],
    out_scores: NDArray[np.float64],
) -> None:
    """Look up what some documents weigh under a query's terms, and sum their scores in float64, terms ascending.

    Args:
        term_ids: int32, shape (t,): the segment's terms, ascending; those of the query have been loaded.
        starts: int64, shape (t + 1,): where each term's postings start.
        ordinals: uint16, shape (n_postings,), ascending inside a term.
        weights: float32 or uint8, shape (n_postings,).
        scales: float32, shape (n_documents,): what a document's weights are multiplied by; empty means 1.
        wanted: uint16, shape (n,): the documents.
        query_terms: int32, shape (m,), ascending.
        query_weights: float32, shape (m,).
        out_weights: float32, shape (n, m): zeros; filled with the weights, 0 where a document lacks a term.
        out_scores: float64, shape (n,): zeros; filled with the scores.

    Complexity:
        O(n x m x log n_documents).
    """
    place = 0
    for position in range(len(query_terms)):
        place = _first_at_least(term_ids, place, len(term_ids), query_terms[position])
        if place == len(term_ids) or term_ids[place] != query_terms[position]:
            continue
        for row in range(len(wanted)):
            posting = _first_at_least(ordinals, starts[place], starts[place + 1], wanted[row])
            if posting < starts[place + 1] and ordinals[posting] == wanted[row]:
                weight = np.float32(weights[posting])
                if len(scales) > 0:
                    weight *= scales[wanted[row]]
                out_weights[row, position] = weight
                out_scores[row] += np.float64(query_weights[position]) * np.float64(weight)


@njit(nogil=True, cache=True)
def transpose(
    indptr: NDArray[np.int64],
    term_ids: NDArray[np.int32],
    weights: NDArray[Any],
    cursors: NDArray[np.int64],
    out_ordinals: NDArray[np.uint16],
    out_weights: NDArray[Any],
) -> None:
    """Turn rows of vectors into postings, term by term, ordinals ascending: a counting sort.

    Args:
        indptr: int64, shape (n + 1,): the rows.
        term_ids: int32, shape (nnz,).
        weights: Any weight dtype, shape (nnz,).
        cursors: int64, shape (vocabulary_size,): where each term's postings start; moved to where they end.
        out_ordinals: uint16, shape (nnz,), filled.
        out_weights: The dtype of ``weights``, shape (nnz,), filled.

    Complexity:
        O(nnz).
    """
    for row in range(len(indptr) - 1):
        for entry in range(indptr[row], indptr[row + 1]):
            place = cursors[term_ids[entry]]
            cursors[term_ids[entry]] = place + 1
            out_ordinals[place] = row
            out_weights[place] = weights[entry]


@njit(nogil=True, cache=True)
def count_postings(
    term_ids: NDArray[np.int32],
    starts: NDArray[np.int64],
    ordinals: NDArray[np.uint16],
    new_ordinals: NDArray[np.int32],
    counts: NDArray[np.int64],
) -> None:
    """Add to ``counts`` (int64, shape (vocabulary_size,)) the postings that a merge will keep.

    Args:
        term_ids: int32, shape (t,): the segment's terms.
        starts: int64, shape (t + 1,): where each term's postings start.
        ordinals: uint16, shape (n_postings,).
        new_ordinals: int32, shape (n_documents,): a document's ordinal after the merge; -1 drops it.
        counts: Raised in place.

    Complexity:
        O(n_postings).
    """
    for term in range(len(term_ids)):
        kept = 0
        for posting in range(starts[term], starts[term + 1]):
            if new_ordinals[ordinals[posting]] >= 0:
                kept += 1
        counts[term_ids[term]] += kept


@njit(nogil=True, cache=True)
def append_postings(
    term_ids: NDArray[np.int32],
    starts: NDArray[np.int64],
    ordinals: NDArray[np.uint16],
    weights: NDArray[Any],
    new_ordinals: NDArray[np.int32],
    cursors: NDArray[np.int64],
    out_ordinals: NDArray[np.uint16],
    out_weights: NDArray[Any],
) -> None:
    """Copy the postings that a merge keeps behind those of the segments before.

    Args:
        term_ids: int32, shape (t,): the segment's terms.
        starts: int64, shape (t + 1,): where each term's postings start.
        ordinals: uint16, shape (n_postings,).
        weights: Any weight dtype, shape (n_postings,).
        new_ordinals: int32, shape (n_documents,): a document's ordinal after the merge; -1 drops it.
        cursors: int64, shape (vocabulary_size,): where each term's next posting goes; moved on.
        out_ordinals: uint16, filled.
        out_weights: The dtype of ``weights``, filled.

    Complexity:
        O(n_postings).
    """
    for term in range(len(term_ids)):
        place = cursors[term_ids[term]]
        for posting in range(starts[term], starts[term + 1]):
            ordinal = new_ordinals[ordinals[posting]]
            if ordinal >= 0:
                out_ordinals[place] = ordinal
                out_weights[place] = weights[posting]
                place += 1
        cursors[term_ids[term]] = place


@njit(nogil=True, cache=True)
def postings_are_sound(
    counts: NDArray[np.int32], ordinals: NDArray[np.uint16], weights: NDArray[Any], n_documents: int
) -> bool:
    """Whether ordinals ascend inside every term and stay below ``n_documents``, and weights are positive and finite.

    Args:
        counts: int32, shape (t,): postings a term, one term behind the other.
        ordinals: uint16, shape (n_postings,).
        weights: float32 or uint8, shape (n_postings,).
        n_documents: The segment's number of documents.

    Complexity:
        O(n_postings).
    """
    posting = 0
    for count in counts:
        last = -1
        for _ in range(count):
            ordinal = np.int64(ordinals[posting])
            weight = np.float32(weights[posting])
            if ordinal <= last or ordinal >= n_documents or not weight > 0 or not weight < np.inf:
                return False
            last = ordinal
            posting += 1
    return posting == len(ordinals)
