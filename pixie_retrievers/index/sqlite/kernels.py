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
    "append_postings",
    "count_postings",
    "document_weights",
    "postings_are_sound",
    "search_segment",
    "transpose",
]


@njit(nogil=True, cache=True)
def search_segment(
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    query_weights: NDArray[np.float32],
    ordinals: NDArray[np.uint16],
    weights: NDArray[Any],
    scales: NDArray[np.float32],
    allowed: NDArray[np.uint8],
    scores: NDArray[np.float32],
    best: NDArray[np.float32],
    n_best: int,
    margin: np.float32,
    found: NDArray[np.uint16],
    found_scores: NDArray[np.float32],
) -> tuple[int, int]:
    """Score a segment term by term, and collect the documents that may belong to the k best.

    Args:
        starts: int64, shape (m,): where each query term's postings start.
        ends: int64, shape (m,): where they end.
        query_weights: float32, shape (m,).
        ordinals: uint16, shape (n_postings,).
        weights: float32 or uint8, shape (n_postings,).
        scales: float32, shape (n_documents,): what a document's sums are multiplied by; empty means 1.
        allowed: uint8, shape (n_documents,): 0 hides a document; empty hides none.
        scores: float32, shape (n_documents,): zeros; zeros again on return.
        best: float32, shape (k,): a min-heap of the best scores so far; changed in place.
        n_best: How many of ``best`` are in use.
        margin: How far below the k-th best score (as a factor, just under 1) a document may still belong to the k
            best once scores are computed exactly.
        found: uint16, shape (n_documents,): filled with the ordinals of the candidates, ascending.
        found_scores: float32, shape (n_documents,): filled with their scores.

    Returns:
        The new ``n_best``, and the number of candidates.

    Complexity:
        O(postings of the query's terms + n_documents + candidates x log k).
    """
    for term in range(len(starts)):
        weight = query_weights[term]
        for posting in range(starts[term], ends[term]):
            scores[ordinals[posting]] += weight * np.float32(weights[posting])
    k = len(best)
    if len(scales) > 0:
        for document in range(len(scores)):
            scores[document] *= scales[document]
    if len(allowed) > 0:
        for document in range(len(scores)):
            if allowed[document] == 0:
                scores[document] = np.float32(0)
    for document in range(len(scores)):
        score = scores[document]
        if score > 0 and (n_best < k or score > best[0]):
            if n_best < k:
                hole = n_best
                n_best += 1
                while hole > 0 and best[(hole - 1) >> 1] > score:
                    best[hole] = best[(hole - 1) >> 1]
                    hole = (hole - 1) >> 1
            else:
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
    threshold = best[0] * margin if n_best == k else np.float32(0)
    n_found = 0
    for document in range(len(scores)):
        score = scores[document]
        if score > 0:
            if score >= threshold:
                found[n_found] = document
                found_scores[n_found] = score
                n_found += 1
            scores[document] = np.float32(0)
    return n_best, n_found


@njit(nogil=True, cache=True)
def document_weights(
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    ordinals: NDArray[np.uint16],
    weights: NDArray[Any],
    wanted: NDArray[np.uint16],
    out: NDArray[np.float32],
) -> None:
    """Look up what some documents weigh under some terms, by binary search in the postings.

    Args:
        starts: int64, shape (m,): where each term's postings start.
        ends: int64, shape (m,): where they end.
        ordinals: uint16, shape (n_postings,), ascending inside a term.
        weights: float32 or uint8, shape (n_postings,).
        wanted: uint16, shape (n,): the documents.
        out: float32, shape (n, m): zeros; filled with the weights, 0 where a document lacks a term.

    Complexity:
        O(n x m x log n_documents).
    """
    for term in range(len(starts)):
        for row in range(len(wanted)):
            low, high = starts[term], ends[term]
            while low < high:
                middle = (low + high) >> 1
                if ordinals[middle] < wanted[row]:
                    low = middle + 1
                else:
                    high = middle
            if low < ends[term] and ordinals[low] == wanted[row]:
                out[row, term] = np.float32(weights[low])


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
