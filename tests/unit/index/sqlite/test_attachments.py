"""What a file keeps beside documents through commits, backups, repairs and damage; the rest is in tests/contract."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from vectors import documents, random_vectors

from pixie_retrievers import CorruptIndexError, SqliteIndex, StorageError, copy_index
from pixie_retrievers.index.sqlite.repair import repair_index

CONTENT = bytes(range(256)) * 300


def test_documents_and_attachments_do_not_touch_each_other(path):
    with SqliteIndex(path) as index:
        found = index.search(random_vectors(3, seed=5), 5)
        index.attach("a", b"1")
        index.attach("b", b"2")
        assert index.search(random_vectors(3, seed=5), 5) == found
        index.upsert(documents(3, start=50), random_vectors(3))
        index.delete(["d1"])
        index.compact()
        assert [index.attachment(name) for name in index.attachments()] == [b"1", b"2"]
        assert index.check().sound


def test_a_new_index_may_begin_with_an_attachment(tmp_path):
    with SqliteIndex(tmp_path / "new.db", vocabulary_size=200) as index:
        index.attach("rules", CONTENT)
        assert (len(index), index.attachment("rules")) == (0, CONTENT)
    with SqliteIndex(tmp_path / "new.db") as index:
        assert index.attachment("rules") == CONTENT


def test_a_reader_attaches_nothing(path):
    with SqliteIndex(path, read_only=True) as index, pytest.raises(StorageError, match="read_only"):
        index.attach("rules", b"")


def test_backups_copies_and_repairs_have_them(path, tmp_path):
    with SqliteIndex(path) as index:
        index.attach("rules", CONTENT)
        index.backup(tmp_path / "backup.db")
        with SqliteIndex(tmp_path / "copy.db", vocabulary_size=200, fingerprint="model-1") as copy:
            copy_index(index, copy)
    report = repair_index(path, tmp_path / "repaired.db")
    assert report.lost == ()
    for name in ("backup.db", "copy.db", "repaired.db"):
        with SqliteIndex(tmp_path / name) as index:
            assert index.attachment("rules") == CONTENT
            assert index.check().sound


def damage(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        (frame,) = connection.execute("SELECT value FROM meta WHERE key = 'attachment:rules'").fetchone()
        broken = frame[:-100] + b"\xff" + frame[-99:]
        connection.execute("UPDATE meta SET value = ? WHERE key = 'attachment:rules'", (broken,))


def test_a_damaged_one_is_said_to_be_and_costs_nothing_else(path, tmp_path):
    with SqliteIndex(path) as index:
        index.attach("rules", CONTENT)
        index.attach("other", b"sound")
    damage(path)
    with SqliteIndex(path) as index:
        with pytest.raises(CorruptIndexError, match="attachment:rules is damaged"):
            index.attachment("rules")
        assert index.attachment("other") == b"sound"
        assert len(index.search(random_vectors(1), 5)[0]) == 5
        (problem,) = index.check().problems
        assert "attachment:rules" in problem
    report = repair_index(path, tmp_path / "repaired.db")
    assert [loss.what for loss in report.lost] == ["attachment 'rules'"]
    with SqliteIndex(tmp_path / "repaired.db") as index:
        assert index.attachments().keys() == {"other"}
        assert index.check().sound


def test_one_that_the_manifest_does_not_know_is_reported(path, sql):
    with SqliteIndex(path) as index:
        index.attach("rules", CONTENT)
    sql("INSERT INTO meta SELECT 'attachment:more', value FROM meta WHERE key = 'attachment:rules'")
    with SqliteIndex(path) as index:
        assert index.attachment("more") is None
        (problem,) = index.check().problems
        assert "meta" in problem
