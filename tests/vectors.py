"""Random sparse vectors and documents for tests that need no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pixie_retrievers import Document, SparseVectors

TOLERANCE = 1e-5
"""As far as a weight may lie from what the model gives for the text alone, whatever the batch and the processor."""


def assert_near(found: Sequence[Mapping[int, float]], expected: Sequence[Mapping[int, float]]) -> None:
    """The same vectors, as exactly as is promised: a term that one of them lacks weighs nothing there."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        far = {term for term in one.keys() | other.keys() if abs(one.get(term, 0) - other.get(term, 0)) > TOLERANCE}
        assert not far


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
