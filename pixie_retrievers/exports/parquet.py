"""Everything that an index holds, one row a document, in a Parquet file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pixie_retrievers.errors import OptionalDependencyError
from pixie_retrievers.exports.base import Batches, Settings
from pixie_retrievers.types import Document, SparseVectors

__all__ = ["export_parquet"]

_GROUP_DOCUMENTS = 10_000  # so many in a row group ...
_GROUP_CHARACTERS = 32_000_000  # ... or those of so much text


def export_parquet(batches: Batches, folder: Path, settings: Settings) -> Mapping[str, Any]:
    """Write ``documents.parquet``: id, text, metadata as JSON text, term_ids, weights, literal, cut.

    Raises:
        OptionalDependencyError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise OptionalDependencyError.of("an export to Parquet", "pyarrow", '"pixie-retrievers[parquet]"') from error

    schema = pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("text", pa.string(), nullable=False),
            pa.field("metadata", pa.string(), nullable=False),
            pa.field("term_ids", pa.list_(pa.int32()), nullable=False),
            pa.field("weights", pa.list_(pa.float32()), nullable=False),
            pa.field("literal", pa.list_(pa.bool_()), nullable=False),
            pa.field("cut", pa.bool_(), nullable=False),
        ],
        metadata={"vocabulary_size": str(settings.vocabulary_size), "fingerprint": settings.fingerprint},
    )
    with parquet.ParquetWriter(folder / "documents.parquet", schema) as writer:
        for documents, vectors in _groups(batches, settings.vocabulary_size):
            bounds = pa.array(vectors.indptr, pa.int32())
            columns = [
                pa.array([document.id for document in documents], pa.string()),
                pa.array([document.text for document in documents], pa.string()),
                pa.array([json.dumps(document.metadata, ensure_ascii=False) for document in documents], pa.string()),
                pa.ListArray.from_arrays(bounds, pa.array(vectors.term_ids)),
                pa.ListArray.from_arrays(bounds, pa.array(vectors.weights)),
                pa.ListArray.from_arrays(bounds, pa.array(vectors.literal)),
                pa.array(vectors.cut),
            ]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=len(documents))
    return {}


def _groups(batches: Batches, vocabulary_size: int) -> Iterator[tuple[list[Document], SparseVectors]]:
    """Batches joined to the size of a row group."""
    documents: list[Document] = []
    parts: list[SparseVectors] = []
    n_characters = 0
    for some, vectors in batches:
        documents += some
        parts.append(vectors)
        n_characters += sum(len(document.text) for document in some)
        if len(documents) >= _GROUP_DOCUMENTS or n_characters >= _GROUP_CHARACTERS:
            yield documents, SparseVectors.concatenate(parts, vocabulary_size)
            documents, parts, n_characters = [], [], 0
    if documents:
        yield documents, SparseVectors.concatenate(parts, vocabulary_size)
