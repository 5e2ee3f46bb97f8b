"""Exports for scipy: read back by scipy, weight for weight."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from pixie_retrievers import SparseVectors, SqliteIndex
from pixie_retrievers.exports.exporting import export_index


def test_scipy_reads_the_exact_vectors(exported, held, json_lines):
    folder = exported("npz")
    documents, vectors = held
    matrix = sparse.load_npz(folder / "vectors.npz")
    assert (matrix.format, matrix.dtype, matrix.shape) == ("csr", np.float32, (len(vectors), vectors.vocabulary_size))
    assert SparseVectors.from_scipy(matrix).to_dicts() == vectors.to_dicts()
    assert json_lines(folder, "documents.jsonl") == [
        {"id": document.id, "text": document.text, "metadata": document.metadata} for document in documents
    ]


def test_a_product_with_the_matrix_is_the_score(exported, held, index):
    documents, vectors = held
    matrix = sparse.load_npz(exported("npz") / "vectors.npz")
    query = vectors[20]
    scores = matrix @ query.to_scipy().toarray()[0]
    hits = index.search(query, 10)[0]
    number = {document.id: n for n, document in enumerate(documents)}
    assert [hit.score for hit in hits] == pytest.approx([scores[number[hit.document.id]] for hit in hits], rel=1e-6)


def test_numpy_reads_the_arrays_without_unpickling(exported):
    with np.load(exported("npz") / "vectors.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["data", "format", "indices", "indptr", "shape"]
        assert [arrays[name].dtype for name in ("data", "indices", "indptr")] == [np.float32, np.int32, np.int64]


def test_an_empty_index_is_a_matrix_without_rows(tmp_path):
    with SqliteIndex(tmp_path / "empty.db", vocabulary_size=9) as index:
        export_index(index, "npz", tmp_path / "out")
    assert sparse.load_npz(tmp_path / "out/vectors.npz").shape == (0, 9)
    assert (tmp_path / "out/documents.jsonl").read_bytes() == b""
