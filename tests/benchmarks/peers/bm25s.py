"""bm25s: its compiled scoring loop and its top-k, on the same postings.

Its loop adds up stored weights and knows no query weights, so its ranking is another one: only its speed compares, as
the floor of what a flat scan of these postings costs without multiplying.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from corpus import Corpus

from peers.base import Peer
from pixie_retrievers.types import SparseVectors

__all__ = ["Bm25s"]


class Bm25s(Peer):
    """The bare numba kernel."""

    name = "bm25s"
    package = "bm25s"
    modules = ("bm25s",)
    install = "pip install bm25s"
    what = "its scoring loop and top-k alone, which ignore query weights: speed compares, ranking does not"
    comparable = False
    uses_columns = True
    saves = False
    concurrent = True

    def build(self, corpus: Corpus, folder: Path) -> None:
        from bm25s.numba.retrieve_utils import _compute_relevance_from_scores_jit_ready
        from bm25s.numba.selection import _numba_sorted_top_k

        self._kernel, self._top_k = _compute_relevance_from_scores_jit_ready, _numba_sorted_top_k
        self._columns, self._n, self._dtype = corpus.columns(), len(corpus), np.dtype("float32")

    def search(self, query: SparseVectors, k: int) -> tuple[Any, Any]:
        columns = self._columns
        scores = self._kernel(columns.weights, columns.indptr, columns.documents, self._n, query.term_ids, self._dtype)
        values, positions = self._top_k(scores, k)
        return positions, values
