"""pyseismic-lsr: approximate search over clustered, truncated posting lists, compiled from Rust."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from corpus import Corpus

from peers.base import Answer, Peer
from pixie_retrievers.types import SparseVectors

__all__ = ["Seismic"]


class Seismic(Peer):
    """SeismicIndex with the defaults of its build.

    Args:
        query_cut: How many of the query's heaviest terms are looked up.
        heap_factor: Blocks whose summary scores below this share of the current threshold are skipped.
    """

    package = "pyseismic-lsr"
    modules = ("seismic",)
    install = "pip install pyseismic-lsr"
    exact = False
    max_documents = 2_000_000
    too_large = "its build takes more memory and time than the comparison is worth"

    def __init__(self, query_cut: int = 10, heap_factor: float = 0.8) -> None:
        self.query_cut, self.heap_factor = query_cut, heap_factor
        self.name = f"seismic cut {query_cut}"
        self.what = (
            f"SeismicIndex.search, approximate: query_cut={query_cut}, heap_factor={heap_factor}, default build;"
            " ids and scores"
        )
        self._index: Any = None

    @property
    def files(self) -> str:
        return "seismic"

    def import_modules(self) -> None:
        import seismic

        self._string_type = seismic.get_seismic_string()

    def build(self, corpus: Corpus, folder: Path) -> None:
        import seismic

        self.import_modules()
        vectors = corpus.documents
        data = seismic.SeismicDataset(vectors.vocabulary_size)
        ids = [str(position) for position in range(len(vectors))]
        data.add_documents_by_id(ids, vectors.term_ids.astype(np.int64), vectors.weights, vectors.indptr)
        with _silence():
            self._index = seismic.SeismicIndex.build_from_dataset(data)

    def save(self, folder: Path) -> None:
        with _silence():
            self._index.save(str(folder / "index"))

    def open(self, folder: Path) -> None:
        import seismic

        self.import_modules()
        self._index = seismic.SeismicIndex.load(str(folder / "index.index.seismic"))

    def prepare(self, query: SparseVectors) -> tuple[Any, Any]:
        return np.array([str(term) for term in query.term_ids.tolist()], dtype=self._string_type), query.weights

    def search(self, query: tuple[Any, Any], k: int) -> Any:
        return self._index.search("q", *query, k=k, query_cut=self.query_cut, heap_factor=self.heap_factor)

    def read(self, result: Any) -> Answer:
        ranked = sorted(result, key=lambda hit: -hit[1])
        return Answer([int(hit[2]) for hit in ranked], [hit[1] for hit in ranked])

    def close(self) -> None:
        self._index = None


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep what the compiled code writes to standard output and error away from the report."""
    sys.stdout.flush()
    kept = [os.dup(1), os.dup(2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        for place, descriptor in enumerate(kept, 1):
            os.dup2(descriptor, place)
            os.close(descriptor)
