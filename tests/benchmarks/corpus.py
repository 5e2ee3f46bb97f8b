"""What every peer is built from: one set of vectors, its texts, and queries."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.types import SparseVectors

__all__ = ["Columns", "Corpus"]


class Columns(NamedTuple):
    """Postings term by term, in the dtypes that splade-index and bm25s use: int32 and float32."""

    indptr: NDArray[np.int32]
    documents: NDArray[np.int32]
    weights: NDArray[np.float32]


@dataclass
class Corpus:
    """A set of vectors to search.

    Attributes:
        kind: "synthetic" or "real".
        documents: The vectors that are indexed.
        added: More of the same kind, for measuring what adding costs.
        queries: The queries.
        text: The text that belongs to a position, in ``documents`` and then in ``added``.
        description: How the vectors were made, for the report.
        facts: Anything else the report should say of them.
    """

    kind: str
    documents: SparseVectors
    added: SparseVectors
    queries: SparseVectors
    text: Callable[[int], str]
    description: str
    facts: dict[str, Any] = field(default_factory=dict)
    columns_seconds: float = 0.0
    _columns: Columns | None = None

    def __len__(self) -> int:
        return len(self.documents)

    @property
    def n_postings(self) -> int:
        """Postings in all documents."""
        return len(self.documents.term_ids)

    def columns(self) -> Columns:
        """The postings term by term, made once and shared by all peers that read this layout."""
        if self._columns is None:
            start = time.perf_counter()
            matrix = self.documents.to_scipy().tocsc()
            self._columns = Columns(
                matrix.indptr.astype(np.int32, copy=False),
                matrix.indices.astype(np.int32, copy=False),
                matrix.data,
            )
            self.columns_seconds = time.perf_counter() - start
        return self._columns

    def postings_per_query(self) -> float:
        """How many postings the terms of a query have, on average over the queries."""
        frequencies = np.bincount(self.documents.term_ids, minlength=self.documents.vocabulary_size)
        return float(frequencies[self.queries.term_ids].sum() / max(1, len(self.queries)))
