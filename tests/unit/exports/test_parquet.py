"""Exports to Parquet: read back by pyarrow, everything as the index has it."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from engines.fixtures import new_index, server_engines
from vectors import documents, random_vectors

from pixie_retrievers import OptionalDependencyError, SparseVectors, SqliteIndex
from pixie_retrievers.exports import parquet as exporting
from pixie_retrievers.exports.exporting import export_index

parquet = pytest.importorskip("pyarrow.parquet")


def vectors_of(table, vocabulary_size):
    columns = {name: table[name].combine_chunks() for name in ("term_ids", "weights", "literal", "cut")}
    lengths = columns["term_ids"].value_lengths().to_numpy()
    return SparseVectors(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        columns["term_ids"].flatten().to_numpy(),
        columns["weights"].flatten().to_numpy(),
        vocabulary_size,
        columns["literal"].flatten().to_numpy(zero_copy_only=False),
        columns["cut"].to_numpy(zero_copy_only=False),
    )


def test_pyarrow_reads_everything(exported, held):
    stored, vectors = held
    path = exported("parquet") / "documents.parquet"
    table = parquet.read_table(path)
    assert {field.name: str(field.type) for field in table.schema} == {
        "id": "string",
        "text": "string",
        "metadata": "string",
        "term_ids": "list<element: int32>",
        "weights": "list<element: float>",
        "literal": "list<element: bool>",
        "cut": "bool",
    }
    assert table["id"].to_pylist() == [document.id for document in stored]
    assert table["text"].to_pylist() == [document.text for document in stored]
    assert [json.loads(row) for row in table["metadata"].to_pylist()] == [document.metadata for document in stored]
    assert vectors_of(table, vectors.vocabulary_size) == vectors
    said = {key.decode(): value.decode() for key, value in parquet.read_schema(path).metadata.items()}
    assert (said["vocabulary_size"], said["fingerprint"]) == ("200", "모델")


@pytest.mark.parametrize(("group_documents", "n_groups"), [(10_000, 1), (2000, 2), (1, 3)])
def test_batches_are_joined_to_row_groups_of_bounded_size(tmp_path, monkeypatch, group_documents, n_groups):
    monkeypatch.setattr(exporting, "_GROUP_DOCUMENTS", group_documents)
    vectors = random_vectors(2500)
    with SqliteIndex(tmp_path / "corpus.db", vocabulary_size=200) as index:
        index.upsert(documents(2500), vectors)
        export_index(index, "parquet", tmp_path / "out")
    path = tmp_path / "out/documents.parquet"
    assert parquet.read_metadata(path).num_row_groups == n_groups
    assert vectors_of(parquet.read_table(path), 200) == vectors


@pytest.fixture(params=server_engines())
def server_index(request, held):
    with new_index(request, vocabulary_size=200, fingerprint="모델") as index:
        index.upsert(*held)
        yield index


def test_a_servers_index_is_exported_as_a_files_is(server_index, held, tmp_path):
    stored, vectors = held
    export_index(server_index, "parquet", tmp_path / "out")
    table = parquet.read_table(tmp_path / "out/documents.parquet")
    assert table["id"].to_pylist() == [document.id for document in stored]
    assert vectors_of(table, vectors.vocabulary_size) == vectors


def test_an_empty_index_is_a_table_without_rows(tmp_path):
    with SqliteIndex(tmp_path / "empty.db", vocabulary_size=9) as index:
        export_index(index, "parquet", tmp_path / "out")
    assert parquet.read_table(tmp_path / "out/documents.parquet").num_rows == 0


def test_without_pyarrow_the_error_says_what_to_install(index, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(OptionalDependencyError, match=r'pip install "pixie-retrievers\[parquet\]"'):
        export_index(index, "parquet", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("corpus.db")] == []
