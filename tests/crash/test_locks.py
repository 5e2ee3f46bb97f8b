"""One commit at a time, by a lock that ends with its process, and nobody waits for ever."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading

import pytest
from histories import VOCABULARY_SIZE, Step, apply, build, document, opened, queries
from workers import HANG_S, children, hold_lock

from pixie_retrievers import (
    IncompatibleIndexError,
    IndexClosedError,
    IndexLockedError,
    SqliteIndex,
    StorageError,
)
from pixie_retrievers.index.sqlite import read_store

STEP = Step("upsert", ("문서-1", "문서-2"), 7)


@pytest.fixture
def path(tmp_path):
    build(tmp_path / "index.db", n_steps=5)
    return tmp_path / "index.db"


@pytest.fixture
def holder(path):
    """A child in the middle of a commit."""
    ours, theirs = children().Pipe()
    child = children().Process(target=hold_lock, args=(str(path), theirs))
    child.start()
    assert ours.poll(HANG_S)
    assert ours.recv() is True
    yield child
    child.kill()
    child.join(HANG_S)
    child.close()
    ours.close()
    theirs.close()


def test_a_second_writer_waits_is_told_who_writes_and_may_read(path, holder):
    with opened(path, lock_timeout_s=0.1) as index:
        for change in (lambda: apply(index, STEP), lambda: index.delete(["문서-0"]), index.compact):
            with pytest.raises(IndexLockedError, match=rf"process {holder.pid} .*lock_timeout_s") as refused:
                change()
            assert "0.1 s" in str(refused.value)
        assert index.get(["문서-0"]) == [document("문서-0", 1_000_000)]


def test_the_lock_of_a_killed_writer_is_free(path, holder):
    with opened(path, lock_timeout_s=0) as index:
        with pytest.raises(IndexLockedError):
            apply(index, STEP)
        os.kill(holder.pid, signal.SIGKILL)
        holder.join(HANG_S)
        apply(index, STEP)
        assert index.get(["문서-0", "문서-1"]) == [document("문서-0", 1_000_000), document("문서-1", 7)]


def test_two_handles_of_one_process_write_in_turn_and_not_at_once(path):
    with opened(path) as first, opened(path, lock_timeout_s=0) as second:
        for revision, index in enumerate([first, second, first, second], start=10):
            apply(index, Step("upsert", ("문서-1",), revision))
            assert [other.get(["문서-1"]) for other in (first, second)] == [[document("문서-1", revision)]] * 2
        with first._writer._committing(), pytest.raises(IndexLockedError, match="another handle of this process"):
            apply(second, STEP)
        apply(second, STEP)


def test_whoever_waits_is_let_in_when_the_other_is_done(path, holder):
    with opened(path, lock_timeout_s=HANG_S) as index:
        thread = threading.Thread(target=apply, args=(index, STEP))
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        holder.kill()
        thread.join(HANG_S)
        assert index.get(["문서-1"]) == [document("문서-1", 7)]


@pytest.mark.parametrize("link", ["symlink_to", "relative"])
def test_a_link_to_an_index_has_the_index_s_lock(path, tmp_path, link):
    (tmp_path / "elsewhere").mkdir()
    other = tmp_path / "elsewhere" / "link.db"
    other.symlink_to(path if link == "symlink_to" else "../index.db")
    with opened(path) as first, opened(other, lock_timeout_s=0) as second:
        with first._writer._committing(), pytest.raises(IndexLockedError):
            apply(second, STEP)
        apply(second, STEP)
        assert first.get(["문서-1"]) == [document("문서-1", 7)]
    assert [file.name for file in (tmp_path / "elsewhere").iterdir()] == ["link.db"]


def test_a_new_index_that_another_writer_made_first_for_another_model_is_refused(tmp_path):
    path = tmp_path / "index.db"
    with opened(path) as late, SqliteIndex(path, vocabulary_size=VOCABULARY_SIZE, fingerprint="other") as early:
        apply(early, STEP)
        early.close()
        with pytest.raises(IncompatibleIndexError, match="other"):
            apply(late, STEP)
    with SqliteIndex(path) as index:
        assert index.fingerprint == "other"
        assert index.check().sound


def test_a_foreign_lock_on_the_file_ends_in_an_error_not_in_a_hang(path):
    foreign = sqlite3.connect(path, isolation_level=None)
    try:
        foreign.execute("BEGIN IMMEDIATE")
        with opened(path, lock_timeout_s=0.2) as index:
            for change in (lambda: apply(index, STEP), lambda: index.delete(index.ids(limit=1)), index.compact):
                with pytest.raises(IndexLockedError):
                    change()
            assert len(index.search(queries(), 3)) == 5
            foreign.execute("ROLLBACK")
            apply(index, STEP)
            assert index.get(["문서-1"]) == [document("문서-1", 7)]
    finally:
        foreign.close()


def test_a_file_that_another_program_keeps_to_itself_is_refused_to_readers_too(path, monkeypatch):
    monkeypatch.setattr(read_store, "BUSY_TIMEOUT_S", 0.2)
    foreign = sqlite3.connect(path, isolation_level=None)
    try:
        foreign.execute("PRAGMA locking_mode = EXCLUSIVE")
        foreign.execute("BEGIN EXCLUSIVE")
        foreign.execute("UPDATE meta SET key = key")
        foreign.execute("COMMIT")
        with pytest.raises((IndexLockedError, StorageError)), opened(path) as index:
            index.search(queries(), 3)
    finally:
        foreign.close()
    with opened(path) as index:
        assert index.check().sound


def test_a_reader_does_not_hold_up_a_commit(path):
    with (
        opened(path, lock_timeout_s=0.2) as writer,
        opened(path, read_only=True) as reader,
        reader._snapshot() as snapshot,
    ):
        before = snapshot.manifest.generation
        for _ in range(3):
            apply(writer, STEP)
            writer.compact()
        assert snapshot.manifest.generation == before
        assert snapshot.store.get("meta", "manifest") == snapshot.store.get("meta", "manifest")
        assert reader.stats().generation > before


def test_a_handle_closed_while_another_thread_searches_ends_that_search_well(path):
    with opened(path) as index:
        inside, closed = threading.Event(), threading.Event()
        outcome = []

        def slow(metadata):
            inside.set()
            closed.wait(HANG_S)
            return True

        thread = threading.Thread(target=lambda: outcome.append(index.search(queries(), 3, filter=slow)))
        thread.start()
        assert inside.wait(HANG_S)
        index.close()
        closed.set()
        thread.join(HANG_S)
        assert len(outcome) == 1
        assert index._reader._idle == []
        with pytest.raises(IndexClosedError):
            index.search(queries(), 3)
