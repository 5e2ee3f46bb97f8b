"""The compiled ranking, and the whole search in one call: the best documents, with the terms that each matches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray  # type: ignore[attr-defined]  # numba does not list carray
from numpy.typing import NDArray

from pixie_retrievers.index.sqlite.compilation import compiled
from pixie_retrievers.index.sqlite.intrinsics import at
from pixie_retrievers.index.sqlite.scoring import (
    DOCNOS,
    ENDS,
    LITERAL,
    N_DOCUMENTS,
    N_POSTINGS,
    N_TERMS,
    ORDINALS,
    PLACES,
    SCALES,
    STARTS,
    WEIGHTS,
    collect,
    falling,
    first_at_least,
)

__all__ = ["rank", "search"]


@compiled
def rank(
    segments: NDArray[np.int64],
    vocabulary_size: int,
    like: NDArray[Any],
    query_terms: NDArray[np.int32],
    query_weights: NDArray[np.float32],
    positions: NDArray[np.int32],
    ordinals: NDArray[np.uint16],
    nearly: NDArray[np.float32],
    cutoff: float,
    k: int,
) -> tuple[
    NDArray[np.int64],
    NDArray[np.float64],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.float32],
    NDArray[np.bool_],
]:
    """The k best of some documents by exact score, ties by insertion number, and the terms that each matches.

    Scores are summed in float64, terms ascending: they depend on the document's and the query's weights alone.

    Args:
        segments, vocabulary_size, like, query_terms, query_weights: See ``collect``; the postings of the query's
            terms are loaded in every segment that is named.
        positions, ordinals, nearly: int32, uint16 and float32, shape (n,): the documents, each once, and about what
            they score.
        cutoff: Documents that score less are left out.
        k: At most so many come back.

    Returns:
        Insertion numbers, shape (r,); scores, shape (r,); and the matches in compressed rows: indptr, shape (r + 1,),
        places in the query, document weights and literal bits, shape (indptr[-1],).

    Complexity:
        O(n x m x log n_documents).
    """
    kept = np.flatnonzero(nearly >= cutoff)
    n, m = len(kept), len(query_terms)
    docnos = np.empty(n, np.int64)
    scores = np.zeros(n, np.float64)
    matched = np.zeros((n, m), np.float32)
    is_literal = np.zeros((n, m), np.bool_)
    for i in range(n):
        row, ordinal = segments[positions[kept[i]]], ordinals[kept[i]]
        docnos[i] = carray(at(row[DOCNOS]), (row[N_DOCUMENTS],), np.int64)[ordinal]
        places = carray(at(row[PLACES]), (vocabulary_size,), np.int32)
        starts = carray(at(row[STARTS]), (row[N_TERMS],), np.int64)
        ends = carray(at(row[ENDS]), (row[N_TERMS],), np.int64)
        postings = carray(at(row[ORDINALS]), (row[N_POSTINGS],), np.uint16)
        weights = carray(at(row[WEIGHTS]), (row[N_POSTINGS],), like.dtype)
        literal = carray(at(row[LITERAL]), ((row[N_POSTINGS] + 7) >> 3,), np.uint8)
        scale = np.float32(1)
        if row[SCALES]:
            scale = carray(at(row[SCALES]), (row[N_DOCUMENTS],), np.float32)[ordinal]
        for j in range(m):
            place = places[query_terms[j]]
            if place < 0:
                continue
            end = ends[place]
            posting = first_at_least(postings, starts[place], end, ordinal)
            if posting < end and postings[posting] == ordinal:
                weight = np.float32(weights[posting]) * scale
                matched[i, j] = weight
                is_literal[i, j] = (literal[posting >> 3] >> (posting & 7)) & 1
                scores[i] += np.float64(query_weights[j]) * np.float64(weight)
    order = falling(scores, docnos)[:k]
    indptr = np.zeros(len(order) + 1, np.int64)
    for r in range(len(order)):
        indptr[r + 1] = indptr[r] + np.count_nonzero(matched[order[r]])
    query_places = np.empty(indptr[-1], np.int64)
    its_weights = np.empty(indptr[-1], np.float32)
    its_literal = np.empty(indptr[-1], np.bool_)
    entry = 0
    for r in range(len(order)):
        for j in range(m):
            weight = matched[order[r], j]
            if weight > 0:
                query_places[entry] = j
                its_weights[entry] = weight
                its_literal[entry] = is_literal[order[r], j]
                entry += 1
    return docnos[order], scores[order], indptr, query_places, its_weights, its_literal


@compiled
def search(
    segments: NDArray[np.int64],
    claims: int,
    masks: NDArray[np.int64],
    vocabulary_size: int,
    like: NDArray[Any],
    query_terms: NDArray[np.int32],
    query_weights: NDArray[np.float32],
    margin: float,
    k: int,
    scores: NDArray[np.float32],
    found_positions: NDArray[np.int32],
    found_ordinals: NDArray[np.uint16],
    found_scores: NDArray[np.float32],
) -> tuple[
    bool,
    NDArray[np.int64],
    NDArray[np.float64],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.float32],
    NDArray[np.bool_],
]:
    """``collect`` and ``rank`` in one call: the way into compiled code costs as much as a small segment.

    Args:
        segments, claims, masks, vocabulary_size, like, query_terms, query_weights, margin, scores, found_positions,
        found_ordinals, found_scores: See ``collect``.
        k: At most so many documents come back.

    Returns:
        Whether the search came to its end; False where postings must be loaded first, or there was no room for the
        candidates. Then what ``rank`` returns.
    """
    floor = np.zeros(1, np.float32)
    _, n_found, position = collect(
        segments,
        claims,
        -1,
        masks,
        vocabulary_size,
        like,
        query_terms,
        query_weights,
        margin,
        floor,
        scores,
        np.empty(k, np.float32),
        0,
        found_positions,
        found_ordinals,
        found_scores,
    )
    if position >= 0:
        n_found = 0
    docnos, exact, indptr, places, weights, literal = rank(
        segments,
        vocabulary_size,
        like,
        query_terms,
        query_weights,
        found_positions[:n_found],
        found_ordinals[:n_found],
        found_scores[:n_found],
        floor[0] * margin,
        k,
    )
    return position < 0, docnos, exact, indptr, places, weights, literal
