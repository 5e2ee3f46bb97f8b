"""Random sparse vectors and documents for tests that need no model."""

from __future__ import annotations

import numpy as np

from pixie_retrievers import Document, SparseVectors


def random_vectors(n: int, *, vocabulary_size: int = 200, n_terms: int = 12, seed: int = 0) -> SparseVectors:
    """``n`` vectors of ``n_terms`` terms each; low terms are common, high ones rare, as in a language."""
    rng = np.random.default_rng(seed)
    odds = 1 / np.arange(1, vocabulary_size + 1)
    rows = []
    for _ in range(n):
        terms = rng.choice(vocabulary_size, n_terms, replace=False, p=odds / odds.sum())
        rows.append({int(term): float(weight) for term, weight in zip(terms, rng.gamma(2, 0.5, n_terms), strict=True)})
    return SparseVectors.from_dicts(rows, vocabulary_size)


def documents(n: int, *, start: int = 0) -> list[Document]:
    """Documents d0, d1, ... with a number and a parity in their metadata."""
    return [Document(f"d{i}", f"문서 {i}", {"n": i, "even": i % 2 == 0}) for i in range(start, start + n)]
