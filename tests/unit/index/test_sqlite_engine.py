"""What is particular to the engine in one SQLite file: opening, identity, locks, durability settings."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from vectors import documents, random_vectors

from pixie_retrievers import (
    CorruptIndexError,
    IncompatibleIndexError,
    IndexLockedError,
    IndexNotFoundError,
    InvalidParameterError,
    InvalidVectorError,
    PixieError,
    SparseVectors,
    SqliteIndex,
    StorageError,
    open_index,
)
from pixie_retrievers.index.sqlite import crew, search
from pixie_retrievers.index.sqlite.crew import Crew, the_crew
from pixie_retrievers.index.sqlite.store import WriteStore


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "index.db"
    with SqliteIndex(path, vocabulary_size=200, fingerprint="model-1") as index:
        index.upsert(documents(20), random_vectors(20))
    return path


def run_python(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_reopened_index_gives_the_same_results(path):
    queries = random_vectors(5, seed=1)
    with open_index(path) as index:
        first = index.search(queries, 5)
    with SqliteIndex(path, read_only=True) as index:
        assert index.search(queries, 5) == first
        assert (index.vocabulary_size, index.fingerprint, index.weights) == (200, "model-1", "float32")


def test_a_new_index_makes_no_file_before_its_first_write(tmp_path):
    with SqliteIndex(tmp_path / "new.db", vocabulary_size=200) as index:
        assert len(index) == 0
        assert index.stats().n_documents == 0
        assert index.check().sound
        index.compact()
    assert list(tmp_path.iterdir()) == []


def test_there_must_be_an_index_unless_its_vocabulary_is_known(tmp_path):
    for attempt in (
        lambda: SqliteIndex(tmp_path / "no.db"),
        lambda: SqliteIndex(tmp_path / "no.db", vocabulary_size=200, read_only=True),
        lambda: open_index(tmp_path / "no.db"),
    ):
        with pytest.raises(IndexNotFoundError, match="no index at"):
            attempt()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "other",
    [{"vocabulary_size": 300}, {"fingerprint": "model-2"}, {"weights": "uint8"}],
    ids=lambda other: next(iter(other)),
)
def test_an_index_of_another_model_is_refused_naming_both(path, other):
    (found,) = other.values()
    mine = {"vocabulary_size": "200", "fingerprint": "model-1", "weights": "float32"}[next(iter(other))]
    with pytest.raises(IncompatibleIndexError, match=f"{mine}.*{found}"):
        SqliteIndex(path, **other)


@pytest.mark.parametrize("wrong", [{"weights": "int4"}, {"vocabulary_size": 0}])
def test_parameters_out_of_range_are_refused(tmp_path, wrong):
    with pytest.raises(InvalidParameterError):
        SqliteIndex(tmp_path / "new.db", **{"vocabulary_size": 200, **wrong})


def test_a_file_that_is_not_sqlite_is_refused_and_left_alone(tmp_path):
    for content in (b"not a database, and long enough to have a header" * 10, b"", b"SQLite format 3\0"):
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


def test_a_folder_is_not_an_index(tmp_path):
    with pytest.raises(StorageError, match="not a file"):
        SqliteIndex(tmp_path, vocabulary_size=200)
    with pytest.raises(StorageError, match="not a folder"):
        SqliteIndex(tmp_path / "missing" / "index.db", vocabulary_size=200)
    for name in ("nul\0byte", "not-utf8-\udcff", "x" * 5000):
        with pytest.raises(StorageError, match="path"):
            SqliteIndex(name, vocabulary_size=200)


def test_a_url_of_an_unknown_engine_is_refused():
    with pytest.raises(InvalidParameterError, match="nosuch://"):
        open_index("nosuch://host/index")


def test_a_second_writer_is_refused_at_once_and_readers_never_are(path):
    with SqliteIndex(path) as writer, SqliteIndex(path) as second, SqliteIndex(path, read_only=True) as reader:
        writer.upsert(documents(1, start=100), random_vectors(1))
        with pytest.raises(IndexLockedError, match="another writer"):
            second.upsert(documents(1, start=101), random_vectors(1))
        assert len(second) == len(reader) == 21
    with SqliteIndex(path) as writer:
        writer.delete(["d100"])


def test_a_killed_writer_leaves_no_lock(path):
    killed = run_python(
        """
        import os, signal, sys
        from pixie_retrievers import Document, SparseVectors, SqliteIndex
        index = SqliteIndex(sys.argv[1])
        index.upsert([Document("from the dead", "")], SparseVectors.from_dicts([{1: 1.0}], 200))
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        path,
    )
    assert killed.returncode == -9, killed.stderr
    with SqliteIndex(path) as index:
        assert index.get(["from the dead"])[0] is not None
        assert index.delete(["from the dead"]) == 1
        assert index.check().sound


def test_readers_see_a_commit_at_their_next_search(path):
    query = SparseVectors.from_dicts([{7: 1.0}], 200)
    with SqliteIndex(path) as writer, SqliteIndex(path, read_only=True) as reader:
        n_found = len(reader.search(query, 100)[0])
        writer.upsert(documents(1, start=50), query)
        assert len(reader.search(query, 100)[0]) == n_found + 1
        writer.delete(["d50"])
        assert len(reader.search(query, 100)[0]) == n_found


def test_read_only_refuses_to_write(path):
    with SqliteIndex(path, read_only=True) as index:
        for attempt in (
            lambda: index.upsert(documents(1), random_vectors(1)),
            lambda: index.delete(["d1"]),
            index.compact,
        ):
            with pytest.raises(StorageError, match="read_only"):
                attempt()


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
        if folder.name.startswith("pytest-"):
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
    assert store.settings() == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 5000}
    store.close()


def test_the_write_ahead_log_starts_over(path):
    with SqliteIndex(path) as index:
        vectors = random_vectors(400, seed=2)
        for n in range(400):
            index.upsert(documents(1, start=n), vectors[n : n + 1])
        log = path.with_name(path.name + "-wal")
        assert log.stat().st_size < 20_000_000
    assert not log.exists()


def test_a_damaged_manifest_is_refused(path):
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET value = replace(value, 'generation', 'generatioN')")
    connection.commit()
    connection.close()
    with pytest.raises(CorruptIndexError, match="damaged"):
        SqliteIndex(path)


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


def test_weights_too_large_for_half_precision_are_refused(tmp_path):
    with SqliteIndex(tmp_path / "half.db", vocabulary_size=9, weights="float16") as index:
        with pytest.raises(InvalidVectorError, match="float32"):
            index.upsert(documents(1), SparseVectors.from_dicts([{1: 1e6}], 9))
        assert len(index) == 0


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


def test_less_exactness_finds_mostly_the_same_with_exact_scores(tmp_path):
    vectors, queries = random_vectors(2000, seed=11), random_vectors(30, seed=12)
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=200) as index:
        index.upsert(documents(2000), vectors)
        exact = [{hit.document.id: hit.score for hit in hits} for hits in index.search(queries, 10)]
        rough = [{hit.document.id: hit.score for hit in hits} for hits in index.search(queries, 10, exactness=0.3)]
        overlap = [len(a.keys() & b.keys()) / 10 for a, b in zip(exact, rough, strict=True)]
        assert sum(overlap) / len(overlap) > 0.8
        for a, b in zip(exact, rough, strict=True):
            assert all(a[id] == b[id] for id in a.keys() & b.keys())
        for wrong in (0, -1, 1.01, float("nan")):
            with pytest.raises(InvalidParameterError, match="exactness"):
                index.search(queries, 10, exactness=wrong)


def test_threads_and_one_thread_find_the_same(tmp_path, monkeypatch):
    vectors, queries = random_vectors(3000, seed=13), random_vectors(20, seed=14)
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=200) as index:
        for start in range(0, 3000, 500):
            index.upsert(documents(500, start=start), vectors[start : start + 500])
        assert index.stats().n_segments > 1
        together = index.search(queries, 10)
        one_by_one = [index.search(query, 10)[0] for query in queries]
        monkeypatch.setattr(search, "_SPLIT_FROM", 0)
        monkeypatch.setattr(the_crew(), "n_cores", 3)
        split = [index.search(query, 10)[0] for query in queries]
    assert together == one_by_one == split


def test_only_as_many_searches_run_at_once_as_there_are_turns(tmp_path, monkeypatch):
    monkeypatch.setattr(the_crew(), "turns", threading.Semaphore(2))
    monkeypatch.setattr(crew, "_PATIENCE_S", 60.0)
    queries = random_vectors(1, seed=15)
    running, most = set(), 0

    def slowly(_):
        nonlocal most
        running.add(threading.get_ident())
        most = max(most, len(running))
        time.sleep(0.002)
        running.discard(threading.get_ident())
        return True

    def searched(_):
        return index.search(queries, 5, filter=slowly)

    with SqliteIndex(tmp_path / "index.db", vocabulary_size=200) as index, ThreadPoolExecutor(6) as pool:
        index.upsert(documents(20), random_vectors(20, seed=16))
        expected = index.search(queries, 5)
        with the_crew().turn():
            assert list(pool.map(searched, range(2))) == [expected] * 2
        assert most == 1
        assert list(pool.map(searched, range(12))) == [expected] * 12
    assert most == 2


def test_a_crew_does_every_task_once_and_hands_on_an_error_when_all_are_done():
    ours, done = Crew(), []
    assert ours.run([lambda i=i: i for i in range(20)]) == list(range(20))  # more tasks than threads

    def fail():
        raise ValueError("task")

    def slow():
        time.sleep(0.05)
        done.append(True)

    for tasks in ([fail, slow, slow], [slow, fail, slow]):
        done.clear()
        with pytest.raises(ValueError, match="task"):
            ours.run(tasks)
        assert len(done) == 2
    assert ours.run([threading.get_ident] * 2)[0] == threading.get_ident()


def test_a_search_inside_a_search_does_not_wait_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(the_crew(), "turns", threading.Semaphore(1))
    queries = random_vectors(1, seed=15)
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=200) as index:
        index.upsert(documents(5), random_vectors(5, seed=16))
        expected = index.search(queries, 5)
        assert index.search(queries, 5, filter=lambda _: index.search(queries, 5) == expected) == expected
    assert the_crew().turns.acquire(blocking=False)
