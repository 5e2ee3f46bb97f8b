"""splade-index: its compiled scoring loop and its top-k, called on arrays of the same vectors.

Its ``index`` and ``retrieve`` take a model and texts, not vectors; and they would add Python overhead. What is timed is
the two compiled functions alone: no documents, no matched weights, no Python beyond two calls.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from corpus import Corpus

from peers.base import Answer, Peer
from pixie_retrievers.types import SparseVectors

__all__ = ["SpladeIndex"]


class SpladeIndex(Peer):
    """The bare numba kernel."""

    name = "splade-index"
    package = "splade-index"
    modules = ("splade_index",)
    install = "pip install splade-index"
    what = "_compute_relevance_from_scores_jit_ready and _numba_sorted_top_k alone: positions and scores, no documents"
    uses_columns = True
    concurrent = True

    def __init__(self) -> None:
        self._scores: dict[str, Any] = {}
        self._dtype = np.dtype("float32")

    def import_modules(self) -> None:
        # Its selection module imports torch where it finds it, which these two functions have no use for: the memory
        # of a cold process would count against it.
        torch_absent = "torch" not in sys.modules
        if torch_absent:
            sys.modules["torch"] = None  # type: ignore[assignment]
        try:
            from splade_index.numba.retrieve_utils import _compute_relevance_from_scores_jit_ready
            from splade_index.numba.selection import _numba_sorted_top_k
        finally:
            if torch_absent:
                del sys.modules["torch"]
        self._kernel, self._top_k = _compute_relevance_from_scores_jit_ready, _numba_sorted_top_k

    def build(self, corpus: Corpus, folder: Path) -> None:
        self.import_modules()
        columns = corpus.columns()
        self._scores = {
            "data": columns.weights,
            "indices": columns.documents,
            "indptr": columns.indptr,
            "num_docs": len(corpus),
        }

    def save(self, folder: Path) -> None:
        from splade_index import SPLADE

        index = SPLADE()
        index.scores = self._scores
        index.document_ids = np.arange(self._scores["num_docs"])
        index.vocab_dict, index.corpus = {}, None
        index.save(folder)

    def open(self, folder: Path) -> None:
        self.import_modules()
        from splade_index import SPLADE

        self._scores = SPLADE.load(folder, model=None, load_corpus=False).scores

    def search(self, query: SparseVectors, k: int) -> tuple[Any, Any]:
        arrays = self._scores
        scores = self._kernel(
            arrays["data"],
            arrays["indptr"],
            arrays["indices"],
            arrays["num_docs"],
            query.term_ids,
            query.weights,
            self._dtype,
        )
        values, positions = self._top_k(scores, k)
        return positions, values

    def read(self, result: tuple[Any, Any]) -> Answer:
        positions, values = result
        kept = values > 0
        return Answer(positions[kept], values[kept])
