"""Results that also differ from each other: maximal marginal relevance over sparse vectors; pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.types import SparseVectors

__all__ = ["max_marginal_relevance"]


def max_marginal_relevance(
    query: SparseVectors, documents: SparseVectors, k: int, *, lambda_mult: float = 0.5
) -> list[int]:
    """Choose k documents one by one, each close to the query and far from those chosen before it.

    Closeness is the cosine. The next document is the one with the largest ``lambda_mult * closeness to the query -
    (1 - lambda_mult) * closeness to the closest document chosen``; of equals, the first.

    Args:
        query: One vector.
        documents: n vectors over the same vocabulary.
        k: At most so many.
        lambda_mult: From 0, as different as can be, to 1, the closest to the query.

    Returns:
        Positions in ``documents``, in the order of choice; the first is the closest to the query.

    Complexity:
        O(k n m) for m different terms in the documents; a dense float32 matrix of n x m is held.

    Source:
        Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering documents and producing
        summaries", SIGIR 1998.
    """
    terms = np.unique(documents.term_ids)
    rows = _unit_rows(documents, terms)
    relevance = _cosines(rows, _unit_rows(query, terms)[0])
    closest = np.zeros(len(documents), np.float32)
    left = np.ones(len(documents), bool)
    chosen: list[int] = []
    while len(chosen) < min(k, len(documents)):
        gain = lambda_mult * relevance - (1 - lambda_mult) * closest if chosen else relevance
        best = int(np.argmax(np.where(left, gain, -np.inf)))
        chosen.append(best)
        left[best] = False
        closest = np.maximum(closest, _cosines(rows, rows[best]))
    return chosen


def _cosines(rows: NDArray[Any], one: NDArray[Any]) -> NDArray[Any]:
    """Of each row with one of length 1, added up row by row: a matrix product may give equal rows unequal numbers."""
    cosines: NDArray[Any] = (rows * one).sum(axis=1)
    return cosines


def _unit_rows(vectors: SparseVectors, terms: NDArray[np.int32]) -> NDArray[Any]:
    """Dense float32 rows of length 1, shape (n, len(terms)); the length counts terms that are not in ``terms`` too."""
    dense = np.zeros((len(vectors), len(terms)), np.float32)
    row_of = np.repeat(np.arange(len(vectors)), np.diff(vectors.indptr))
    squares = np.bincount(row_of, vectors.weights.astype(np.float64) ** 2, minlength=len(vectors))
    kept = np.isin(vectors.term_ids, terms)
    columns = np.searchsorted(terms, vectors.term_ids[kept])
    dense[row_of[kept], columns] = vectors.weights[kept] / np.sqrt(squares[row_of[kept]])
    return dense
