"""The file: made whole, read as one commit point, written as one transaction."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from pixie_retrievers import (
    IncompatibleIndexError,
    PixieError,
    SqliteIndex,
)
from pixie_retrievers.index.sqlite.manifest import MANIFEST_KEY, Manifest
from pixie_retrievers.index.sqlite.read_store import ReadStore
from pixie_retrievers.index.sqlite.tables import DOCUMENTS, IDS, META, TABLES, VECTORS
from pixie_retrievers.index.sqlite.write_store import WriteStore, create_store


@pytest.fixture
def new(tmp_path):
    assert create_store(tmp_path / "new.db", Manifest(200, "test", "float32", identity=77))
    return tmp_path / "new.db"


def run_python(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_new_file_holds_its_first_rows_and_nothing_is_beside_it(new):
    assert sorted(file.name for file in new.parent.iterdir()) == ["new.db"]
    with closing(ReadStore(new)) as store:
        assert Manifest.decode(store.get(META, MANIFEST_KEY)).identity == store._pragma("user_version") == 77
        assert [store.count(table) for table in TABLES] == [2, *[0] * (len(TABLES) - 1)]
        assert store.damage() == []


def test_threads_that_make_one_file_at_once_make_one(tmp_path):
    path = tmp_path / "made.db"
    with ThreadPoolExecutor(8) as threads:
        made = list(
            threads.map(lambda n: create_store(path, Manifest(200, "test", "float32", identity=n)), range(1, 9))
        )
    assert made.count(True) == 1
    with closing(ReadStore(path)) as store:
        assert Manifest.decode(store.get(META, MANIFEST_KEY)).identity == made.index(True) + 1
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


def test_what_is_put_together_is_read_together(new):
    rows = [(number, bytes([number % 256])) for number in range(1_200)]  # more than SQLite binds at once
    with closing(WriteStore(new)) as writing, closing(ReadStore(new)) as store:
        with writing.transaction():
            writing.put(VECTORS, rows)
            writing.put(IDS, [("나", "2"), ("가", "1")])
        with store.transaction():
            assert store.get_many(VECTORS, range(2_000)) == dict(rows)
            assert store.range(VECTORS, 7, 9) == rows[7:10]
            assert store.range(IDS, "가", "나") == [("가", b"1"), ("나", b"2")]
            assert store.get(DOCUMENTS, 5) is None
            with writing.transaction():
                writing.remove(VECTORS, [7, 8])
                writing.put(VECTORS, [(9, b"new")])
            assert store.range(VECTORS, 7, 9) == rows[7:10]  # still the commit point it began with
        assert store.range(VECTORS, 7, 9) == [(9, b"new")]


def test_a_transaction_that_fails_changes_nothing_and_closes_the_store(new):
    writing = WriteStore(new)

    def fail():
        with writing.transaction():
            writing.put(META, [("a", "2")])
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fail()
    assert writing.failed
    with closing(ReadStore(new)) as store:
        assert store.get(META, "a") is None


@pytest.mark.parametrize("table", ["nothing", 'meta"; DROP TABLE meta; --', ""])
def test_only_tables_of_the_format_can_be_named(new, table):
    with closing(ReadStore(new)) as store, pytest.raises(ValueError, match="^" if not table else "meta|nothing"):
        store.get(table, "a")


def test_a_file_that_is_not_sqlite_is_refused_and_left_alone(tmp_path):
    for content in (b"not a database, and long enough to have a header" * 10, b"SQLite format 3\0"):
        path = tmp_path / "other"
        path.write_bytes(content)
        with pytest.raises(PixieError, match="other"):
            SqliteIndex(path, vocabulary_size=200)
        assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE meta (key TEXT, value BLOB)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(IncompatibleIndexError, match="not a pixie index"):
        SqliteIndex(path, vocabulary_size=200)
    assert path.read_bytes() == before


@pytest.mark.skipif(os.name != "posix", reason="needs to give up the right to write")
def test_a_folder_that_cannot_be_written_reads_but_does_not_write(path, tmp_path):
    for name in tmp_path.iterdir():
        name.chmod(0o444)
    tmp_path.chmod(0o555)
    code = """
        import os, sys
        from pixie_retrievers import Document, SparseVectors, SqliteIndex, StorageError
        if os.getuid() == 0:
            os.setuid(65534)
        with SqliteIndex(sys.argv[1]) as index:
            assert len(index) == 20
            assert index.get(["d3"])[0].text == "문서 3"
            for attempt in (
                lambda: index.upsert([Document("x", "")], SparseVectors.from_dicts([{}], 200)),
                lambda: SqliteIndex(sys.argv[2], vocabulary_size=9),
            ):
                try:
                    attempt()
                except StorageError as error:
                    print(error)
        """
    for folder in tmp_path.parents:  # another user must be able to come in at all
        if folder.name.startswith(("pytest-", "popen-")):
            folder.chmod(0o755)
    try:
        done = run_python(code, path, tmp_path / "new.db")
    finally:
        tmp_path.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert "folder" in done.stdout


def test_the_writer_really_runs_with_full_durability(path):
    store = WriteStore(path)
    assert store.settings() == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 5000, "secure_delete": 1}
    store.close()
