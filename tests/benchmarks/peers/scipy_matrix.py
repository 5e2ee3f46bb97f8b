"""scipy and numpy: what one writes without an index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from corpus import Columns, Corpus
from numpy.typing import NDArray

from peers.base import Answer, Peer
from pixie_retrievers.types import SparseVectors

__all__ = ["NumpyColumns", "ScipyMatrix"]


class ScipyMatrix(Peer):
    """A row matrix times the query, then a partial sort."""

    name = "scipy"
    package = "scipy"
    modules = ("scipy",)
    install = "pip install scipy"
    what = "csr_array @ dense query, then argpartition: positions and scores"
    concurrent = True

    def __init__(self) -> None:
        self._matrix: Any = None

    def import_modules(self) -> None:
        import scipy.sparse  # noqa: F401

    def build(self, corpus: Corpus, folder: Path) -> None:
        self._matrix = corpus.documents.to_scipy()

    def save(self, folder: Path) -> None:
        from scipy.sparse import save_npz

        save_npz(folder / "matrix.npz", self._matrix, compressed=False)

    def open(self, folder: Path) -> None:
        from scipy.sparse import load_npz

        self._matrix = load_npz(folder / "matrix.npz")

    def prepare(self, query: SparseVectors) -> NDArray[np.float32]:
        dense = np.zeros(query.vocabulary_size, np.float32)
        dense[query.term_ids] = query.weights
        return dense

    def search(self, query: NDArray[np.float32], k: int) -> Answer:
        return _best(self._matrix @ query, k)

    def read(self, result: Answer) -> Answer:
        return result


class NumpyColumns(Peer):
    """Scatter-add over the columns of the query's terms, then a partial sort."""

    name = "numpy"
    package = "numpy"
    modules = ("numpy", "scipy")
    install = "pip install scipy"
    what = "scores[documents] += weight * column for each term, then argpartition: positions and scores"
    uses_columns = True
    saves = False
    concurrent = True

    def build(self, corpus: Corpus, folder: Path) -> None:
        self._columns: Columns = corpus.columns()
        self._n = len(corpus)

    def search(self, query: SparseVectors, k: int) -> Answer:
        indptr, documents, weights = self._columns
        scores = np.zeros(self._n, np.float32)
        for term, weight in zip(query.term_ids, query.weights, strict=True):
            part = slice(indptr[term], indptr[term + 1])
            scores[documents[part]] += weight * weights[part]
        return _best(scores, k)

    def read(self, result: Answer) -> Answer:
        return result


def _best(scores: NDArray[np.float32], k: int) -> Answer:
    k = min(k, len(scores))
    best = np.argpartition(scores, -k)[-k:]
    best = best[np.argsort(-scores[best], kind="stable")]
    best = best[scores[best] > 0]
    return Answer(best, scores[best])
