"""Whatever fails, and however an index ends: no connection and no file stays open."""

from __future__ import annotations

import gc
import multiprocessing
import os
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from failing import Failing
from histories import FINGERPRINT, IDS, VOCABULARY_SIZE, Step, apply, build, opened, queries, shown
from processes import script

from pixie_retrievers import InvalidParameterError, PixieError, SparseRetriever, SqliteIndex
from pixie_retrievers.index.sqlite import read_store, write_store
from pixie_retrievers.index.sqlite.pages import SqlitePages
from pixie_retrievers.index.sqlite.repair import repair_index
from pixie_retrievers.index.sqlite.tables import PAGE_SIZE
from pixie_retrievers.index.sqlite.write_store import WriteStore

UPSERT = Step("upsert", tuple(IDS[:3]), 7)


@pytest.fixture
def path(tmp_path):
    build(tmp_path / "index.db", n_steps=5)
    return tmp_path / "index.db"


@pytest.fixture
def database(monkeypatch):
    """All connections that the index makes, each statement a possible failure."""
    failing = Failing()
    for module in (read_store, write_store):
        monkeypatch.setattr(module, "sqlite3", failing.module)
    return failing


def write(path):
    with opened(path) as index:
        apply(index, UPSERT)


def repaired(path):
    folder = path.with_name("repaired")
    folder.mkdir(exist_ok=True)
    with ExitStack() as files:
        files.callback(lambda: [file.unlink() for file in folder.iterdir()])
        repair_index(path, folder / "saved.db")


# Of closing a file that was written, folding its log may fail: all is on disk. And where it cannot be read whether a
# log is foreign, it counts as the file's own.
@pytest.mark.parametrize(
    ("use", "n_harmless"),
    [
        pytest.param(lambda path: SqliteIndex(path).close(), 0, id="open"),
        pytest.param(lambda path: SqliteIndex(path, read_only=True).close(), 0, id="open-to-read"),
        pytest.param(write, 3, id="write"),
        pytest.param(lambda path: closing(WriteStore(path)).__exit__(), 2, id="open-to-write"),
        pytest.param(repaired, 2, id="repair"),
    ],
)
def test_whichever_statement_fails_every_connection_is_closed(path, database, use, n_harmless):
    n, n_failed = 0, 0
    while True:
        n += 1
        database.n_calls, database.failing = 0, n
        try:
            use(path)
        except PixieError:
            n_failed += 1
        assert database.left_open() == [], n
        if database.n_calls < n:
            break
    assert n_failed == n - 1 - n_harmless > 3


def test_an_index_that_is_refused_is_closed(path, tmp_path, database):
    with pytest.raises(PixieError, match="vocabulary_size"):
        SqliteIndex(path, vocabulary_size=VOCABULARY_SIZE + 1)
    other = tmp_path / "other.db"
    for content in (b"", b"not a database" * 100, path.read_bytes().replace(b"PIXI", b"PIXY")):
        other.write_bytes(content)
        with pytest.raises(PixieError, match=r"other\.db"):
            SqliteIndex(other)
    damaged = bytearray(path.read_bytes())
    damaged[4096:] = b"x" * (len(damaged) - 4096)
    other.write_bytes(damaged)
    with pytest.raises(PixieError):
        SqliteIndex(other)
    assert database.connections
    assert database.left_open() == []


def test_an_index_that_nobody_closes_closes_itself_when_it_goes(path, database):
    index = SqliteIndex(path)
    apply(index, UPSERT)
    shown(index, queries())
    thread = index._writer._store._connection
    assert database.left_open()
    del index
    gc.collect()
    thread.join(60)
    assert database.left_open() == []


UNCLOSED = """
import sys
import histories
from pixie_retrievers import SqliteIndex
index = SqliteIndex(sys.argv[1])
histories.apply(index, histories.Step("upsert", tuple(histories.IDS[:3]), 7))
reader = SqliteIndex(sys.argv[1], read_only=True)
if sys.argv[2] == "circle":
    index.itself = index
if sys.argv[2] == "raises":
    try:
        SqliteIndex(sys.argv[1], vocabulary_size=1)
    except Exception:
        pass
print(len(histories.shown(index, histories.queries())["documents"]), flush=True)
"""


@pytest.mark.parametrize("how", ["plainly", "circle", "raises"])
def test_an_interpreter_ends_without_a_word_about_an_index_that_nobody_closed(path, how):
    assert script(UNCLOSED, str(path), how)
    with opened(path) as index:
        assert index.check().sound


def in_child(index, answers):
    answers.send([len(index), len(index._reader._idle)])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # that forking with threads is a bad idea
def test_no_resting_connection_goes_through_a_fork(path, database):
    with opened(path) as index:
        apply(index, UPSERT)
        expected = shown(index, queries())
        n_documents = len(index)
        before = set(database.left_open())
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=in_child, args=(index, theirs))
        child.start()
        theirs.close()
        assert set(database.left_open()) <= before - {store._connection for store in index._reader._idle}
        assert index._reader._idle == []
        assert ours.poll(120)
        assert ours.recv() == [n_documents, 1]
        child.join(120)
        assert child.exitcode == 0
        child.close()
        ours.close()
        apply(index, UPSERT)
        assert shown(index, queries())["documents"] == expected["documents"]
    assert database.left_open() == []


@pytest.mark.parametrize("call", ["stat", "exists", "_read_log"])
def test_pages_that_cannot_be_read_leave_no_file_open(path, monkeypatch, call):
    path.with_name(path.name + "-wal").write_bytes(b"x" * 100)
    files = []
    real_open = Path.open
    monkeypatch.setattr(Path, "open", lambda *args, **options: files.append(real_open(*args, **options)) or files[-1])
    with monkeypatch.context() as patch:
        patch.setattr(
            SqlitePages if call == "_read_log" else Path, call, lambda *_, **__: (_ for _ in ()).throw(OSError)
        )
        with pytest.raises(OSError):
            SqlitePages(path, PAGE_SIZE)
    assert files
    assert all(file.closed for file in files)
    SqlitePages(path, PAGE_SIZE).close()
    assert all(file.closed for file in files)


def test_a_temporary_index_that_cannot_begin_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    class Broken:
        vocabulary_size, fingerprint = 0, FINGERPRINT

    with pytest.raises(InvalidParameterError):
        SparseRetriever.open(encoder=Broken())
    assert list(tmp_path.iterdir()) == []
