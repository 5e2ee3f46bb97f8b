"""Pages without SQLite: the rows that SQLite shows are the rows that are read."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from vectors import documents, random_vectors

from pixie_retrievers import Document, SparseVectors, SqliteIndex
from pixie_retrievers.index.sqlite.pages import SqlitePages
from pixie_retrievers.index.sqlite.tables import PAGE_SIZE, TABLES


@pytest.fixture
def path(tmp_path):
    """An index of several levels of pages, with rows of all lengths and pages that are free."""
    path = tmp_path / "index.db"
    with SqliteIndex(path, vocabulary_size=200) as index:
        index.upsert(documents(3_000), random_vectors(3_000, n_terms=5))
        long = [Document("긴 글 " * length, "가" * length) for length in (1, 900, 2_000, 2_720, 4_000, 30_000)]
        index.upsert(long, SparseVectors.from_dicts([{}] * len(long), 200))
        index.delete([f"d{i}" for i in range(1_500)])
    return path


def as_bytes(key, value):
    return (key.encode() if isinstance(key, str) else key), (value.encode() if isinstance(value, str) else value)


def shown_by_sqlite(path):
    with closing(sqlite3.connect(path)) as connection:
        return {as_bytes(*row) for table in TABLES for row in connection.execute(f'SELECT key, value FROM "{table}"')}


def read(path):
    with closing(SqlitePages(path, PAGE_SIZE)) as pages:
        rows = list(pages.rows())
        assert all(pages.row(row.place) == row for row in rows[::50])
        return {(row.key, row.value) for row in rows}


def test_the_rows_of_all_tables_are_read_long_ones_too_and_none_that_was_deleted(path):
    expected = shown_by_sqlite(path)
    assert len(expected) > 4_500
    assert read(path) == expected


def test_the_write_ahead_log_is_read_up_to_its_last_whole_commit(tmp_path):
    path = tmp_path / "index.db"
    n_rows = set()
    with SqliteIndex(path, vocabulary_size=200) as index:
        for start in range(0, 50, 10):
            index.upsert(documents(10, start=start), random_vectors(10))
        main, log = path.read_bytes(), path.with_name(path.name + "-wal").read_bytes()
        for number, content in enumerate((log, log[:-1], log[: len(log) // 2], b"")):
            copy = tmp_path / f"{number}.db"
            copy.write_bytes(main)
            copy.with_name(copy.name + "-wal").write_bytes(content)
            found = read(copy)
            assert found == shown_by_sqlite(copy)
            n_rows.add(len(found))
    assert len(n_rows) == 4


def test_frames_that_do_not_verify_are_counted_and_not_read(tmp_path):
    path = tmp_path / "index.db"
    with SqliteIndex(path, vocabulary_size=200) as index:
        index.upsert(documents(10), random_vectors(10))
        log = path.with_name(path.name + "-wal")
        copy = tmp_path / "copy.db"
        copy.write_bytes(path.read_bytes())
        content = bytearray(log.read_bytes())
        content[200] ^= 1  # in the first frame: all that follow hang on it
        copy.with_name("copy.db-wal").write_bytes(content)
    with closing(SqlitePages(copy, PAGE_SIZE)) as pages:
        assert pages.n_frames_lost == (len(content) - 32) // (PAGE_SIZE + 24)
        assert not [row for row in pages.rows() if row.key == 3]


def test_what_is_not_a_database_has_no_rows(path):
    for content in (b"", bytes(100_000), path.read_bytes()[50:]):
        path.write_bytes(content)
        with closing(SqlitePages(path, PAGE_SIZE)) as pages:
            assert list(pages.rows()) == []
