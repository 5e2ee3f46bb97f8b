"""Repair, part by part: what is read of a sound file is written anew as it was."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from vectors import documents, random_vectors

from pixie_retrievers import CorruptIndexError, IndexNotFoundError, SqliteIndex, StorageError
from pixie_retrievers.index.sqlite import repair
from pixie_retrievers.index.sqlite.repair import repair_index
from pixie_retrievers.index.sqlite.vectors import STORED_DTYPES


def rows_of(path, table):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f'SELECT key, value FROM "{table}" ORDER BY key').fetchall()


@pytest.fixture
def target(tmp_path):
    (tmp_path / "target").mkdir()
    return tmp_path / "target" / "index.db"


@pytest.mark.parametrize("weights", STORED_DTYPES)
def test_rows_are_written_as_they_were_stored_under_their_numbers(tmp_path, target, weights):
    source = tmp_path / "index.db"
    with SqliteIndex(source, vocabulary_size=200, weights=weights) as index:
        for start in range(0, 40, 10):
            index.upsert(documents(10, start=start), random_vectors(10).with_literal([range(0, 200, 3)] * 10))
        index.delete(["d3", "d30"])
        index.upsert(documents(1, start=12), random_vectors(1))
    repair_index(source, target)
    for table in ("documents", "vectors", "ids"):
        assert rows_of(target, table) == rows_of(source, table)
    with SqliteIndex(source) as old, SqliteIndex(target) as new:
        assert new.ids() == old.ids()
        assert new.check().sound
        new.upsert(documents(1, start=100), random_vectors(1))
        old.upsert(documents(1, start=100), random_vectors(1))
    assert rows_of(target, "ids") == rows_of(source, "ids")  # the next document gets the number it would have got


def test_no_segment_is_longer_than_segments_are(path, target, monkeypatch):
    monkeypatch.setattr(repair, "MAX_DOCUMENTS", 7)
    report = repair_index(path, target)
    assert (report.n_documents, report.lost, report.texts, report.n_texts) == (20, (), None, 0)
    with SqliteIndex(target) as index, SqliteIndex(path) as old:
        assert index.stats().n_segments == 3
        assert index.check().sound
        queries = random_vectors(5, seed=1)
        assert index.search(queries, 5) == old.search(queries, 5)


@pytest.mark.parametrize("identity", [True, False], ids=["identity", "no identity"])
@pytest.mark.parametrize("weights", STORED_DTYPES)
def test_the_format_of_weights_is_worked_out_where_nothing_says_it(tmp_path, target, weights, identity):
    source = tmp_path / "index.db"
    with SqliteIndex(source, vocabulary_size=200, fingerprint="model-1", weights=weights) as index:
        index.upsert(documents(10), random_vectors(10, n_terms=4))  # as long in float16 as in 8 bits
    with closing(sqlite3.connect(source, isolation_level=None)) as connection:
        connection.execute("DELETE FROM meta WHERE key = 'manifest' OR ?", (not identity,))
    if not identity:
        with pytest.raises(CorruptIndexError, match="vocabulary_size"):
            repair_index(source, target)
        assert list(target.parent.iterdir()) == []
    repair_index(source, target, vocabulary_size=200, fingerprint="model-1")
    with SqliteIndex(target) as index:
        assert (index.weights, index.fingerprint, len(index)) == (weights, "model-1", 10)
        assert index.check().sound


def test_a_text_without_its_vector_is_one_json_line(path, target, sql):
    sql("DELETE FROM vectors WHERE key = 4")
    report = repair_index(path, target)
    assert report.texts == target.with_name("index.db.lost.jsonl")
    assert [(loss.what, "vector" in loss.why) for loss in report.lost] == [("d4", True)]
    (line,) = report.texts.read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == {"id": "d4", "text": "문서 4", "metadata": {"n": 4, "even": True}}


def test_what_left_no_name_is_counted(path, target, sql):
    sql("DELETE FROM ids WHERE key IN ('d4', 'd5')")
    sql("DELETE FROM documents WHERE key IN (4, 5)")
    assert [loss.what for loss in repair_index(path, target).lost] == ["2 documents"]


def test_a_repair_writes_new_files_only(path, target):
    for existing in (target, target.with_name("index.db.lost.jsonl")):
        existing.write_bytes(b"mine")
        with pytest.raises(StorageError, match="already exists"):
            repair_index(path, target)
        assert existing.read_bytes() == b"mine"
        existing.unlink()
    with pytest.raises(StorageError, match="not a folder"):
        repair_index(path, target / "deeper" / "index.db")
    with pytest.raises(IndexNotFoundError):
        repair_index(path.with_name("other.db"), target)
