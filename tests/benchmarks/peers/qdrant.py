"""qdrant-client in its local mode: an index in a folder, searched by Python over every vector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpus import Corpus

from peers.base import Answer, Peer
from pixie_retrievers.types import SparseVectors

__all__ = ["Qdrant"]

_NAME, _FIELD = "benchmark", "sparse"


class Qdrant(Peer):
    """QdrantClient(path=...)."""

    name = "qdrant local"
    package = "qdrant-client"
    modules = ("qdrant_client",)
    install = "pip install qdrant-client"
    what = "QdrantClient(path=...).query_points without payload: ids and scores"
    max_documents = 20_000
    too_large = "a query takes seconds; the client itself warns above 20,000 points"
    changes = True

    def __init__(self) -> None:
        self._client: Any = None

    def import_modules(self) -> None:
        import qdrant_client  # noqa: F401

    def build(self, corpus: Corpus, folder: Path) -> None:
        from qdrant_client import models

        self.open(folder)
        self._client.create_collection(
            _NAME, vectors_config={}, sparse_vectors_config={_FIELD: models.SparseVectorParams()}
        )
        for start in range(0, len(corpus), 1000):
            self._upsert(corpus.documents[start : start + 1000], start)

    def open(self, folder: Path) -> None:
        from qdrant_client import QdrantClient

        self._client = QdrantClient(path=str(folder))

    def _upsert(self, vectors: SparseVectors, first: int) -> None:
        from qdrant_client import models

        points = [models.PointStruct(id=first + i, vector={_FIELD: self.prepare(row)}) for i, row in enumerate(vectors)]
        self._client.upsert(_NAME, points)

    def prepare(self, query: SparseVectors) -> Any:
        from qdrant_client import models

        return models.SparseVector(indices=query.term_ids.tolist(), values=query.weights.tolist())

    def search(self, query: Any, k: int) -> Any:
        return self._client.query_points(_NAME, query=query, using=_FIELD, limit=k, with_payload=False)

    def read(self, result: Any) -> Answer:
        return Answer([point.id for point in result.points], [point.score for point in result.points])

    def add(self, corpus: Corpus, first: int, last: int) -> None:
        self._upsert(corpus.added[first:last], len(corpus) + first)

    def delete(self, positions: list[int]) -> None:
        from qdrant_client import models

        self._client.delete(_NAME, points_selector=models.PointIdsList(points=list(positions)))

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
