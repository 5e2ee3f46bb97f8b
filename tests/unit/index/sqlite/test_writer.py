"""Commits: one writer, segments that stay few, and vectors that are never rounded twice."""

from __future__ import annotations

import sqlite3

import pytest
from vectors import documents, random_vectors

from pixie_retrievers import IndexLockedError, InvalidParameterError, SparseVectors, SqliteIndex, StorageError
from pixie_retrievers.index.sqlite.vectors import STORED_DTYPES
from pixie_retrievers.index.sqlite.write_store import WriteStore


def test_writers_take_turns_and_readers_never_wait(path):
    with (
        SqliteIndex(path) as writer,
        SqliteIndex(path, lock_timeout_s=0) as second,
        SqliteIndex(path, read_only=True) as reader,
    ):
        writer.upsert(documents(1, start=100), random_vectors(1))
        second.upsert(documents(1, start=101), random_vectors(1))
        with writer._writer._committing():
            with pytest.raises(IndexLockedError, match="another handle of this process has been writing"):
                second.upsert(documents(1, start=102), random_vectors(1))
            assert len(second) == len(reader) == 22
        second.delete(["d100"])
        assert len(writer) == 21


@pytest.mark.parametrize("timeout", [-1, float("nan"), "5", True, 10**9])
def test_how_long_to_wait_is_a_number_of_seconds(path, timeout):
    with pytest.raises(InvalidParameterError, match="lock_timeout_s"):
        SqliteIndex(path, lock_timeout_s=timeout)


def test_the_write_ahead_log_starts_over(path):
    with SqliteIndex(path) as index:
        vectors = random_vectors(400, seed=2)
        for n in range(400):
            index.upsert(documents(1, start=n), vectors[n : n + 1])
        log = path.with_name(path.name + "-wal")
        assert log.stat().st_size < 20_000_000
    assert not log.exists()


def test_a_failed_write_leaves_the_handle_usable(path, monkeypatch):
    with SqliteIndex(path) as index:
        index.delete(["d0"])
        real = WriteStore.put
        monkeypatch.setattr(WriteStore, "put", lambda *_: (_ for _ in ()).throw(sqlite3.OperationalError("disk I/O")))
        with pytest.raises(StorageError):
            index.upsert(documents(5, start=30), random_vectors(5))
        monkeypatch.setattr(WriteStore, "put", real)
        assert len(index) == 19
        index.upsert(documents(5, start=30), random_vectors(5))
        assert len(index) == 24
        assert index.check().sound


def test_more_documents_than_a_segment_holds(tmp_path):
    n = 70_000
    vectors = SparseVectors.from_dicts([{i % 150: 1.0, 150 + i % 50: 0.5} for i in range(n)], 200)
    with SqliteIndex(tmp_path / "large.db", vocabulary_size=200) as index:
        index.upsert(documents(n), vectors)
        assert index.stats().n_segments == 2
        (hits,) = index.search(SparseVectors.from_dicts([{3: 1.0}], 200), 1000)
        assert [hit.document.id for hit in hits] == [f"d{i}" for i in range(3, n, 150)][:1000]
        index.delete([f"d{i}" for i in range(0, n, 2)])
        assert len(index) == n // 2
        assert index.get(["d69999"])[0] is not None


def test_a_segment_with_many_tombstones_is_rewritten_without_them(path):
    with SqliteIndex(path) as index:
        index.delete([f"d{i}" for i in range(6)])
        assert index.stats().n_deleted == 6
        index.delete(["d6"])  # more than 30 of 100
        assert (index.stats().n_deleted, index.stats().n_postings) == (0, 13 * 12)
        index.delete([f"d{i}" for i in range(20)])
        assert (index.stats().n_segments, index.stats().n_documents) == (0, 0)


def test_the_rows_of_deleted_and_replaced_documents_go(path, sql):
    with SqliteIndex(path) as index:
        index.delete(["d1"])
        index.upsert(documents(1, start=5), random_vectors(1))
    kept = [(number,) for number in range(21) if number not in (1, 5)]
    for table in ("documents", "vectors"):
        assert sql(f'SELECT key FROM "{table}" ORDER BY key') == kept
    assert sql("SELECT count(*) FROM ids WHERE key IN ('d1', 'd5')") == [(1,)]


@pytest.mark.parametrize("weights", STORED_DTYPES)
def test_a_vector_is_rounded_once_whatever_is_merged_after(tmp_path, weights):
    vectors = random_vectors(60).with_literal([range(0, 200, 3)] * 60)
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=200, weights=weights) as index:
        for start in range(0, 60, 3):
            index.upsert(documents(3, start=start), vectors[start : start + 3])
            if start == 30:
                before = index.vectors([f"d{i}" for i in range(3, 30)])
        index.delete(["d0", "d1", "d2"])
        index.compact()
        assert index.vectors([f"d{i}" for i in range(3, 30)]) == before
        assert index.check().sound  # and so are the postings
