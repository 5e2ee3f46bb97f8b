"""Search once, over an index of two documents: the search is compiled then, and later processes find it ready."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from pixie_retrievers import Document, SparseVectors, SqliteIndex

with TemporaryDirectory() as folder, SqliteIndex(Path(folder, "index.db"), vocabulary_size=8) as index:
    vectors = SparseVectors.from_dicts([{1: 1.0, 2: 0.5}, {2: 1.0}], 8)
    index.upsert([Document("a", "one"), Document("b", "two")], vectors)
    assert [hit.document.id for hit in index.search(vectors[0], 2)[0]] == ["a", "b"]
