"""An index file that is rebuilt, replaced, restored, moved or removed under handles that have it open."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from vectors import documents, random_vectors

from pixie_retrievers import (
    Document,
    IncompatibleIndexError,
    IndexNotFoundError,
    SqliteIndex,
    StorageError,
)

V = 200


def run(code, path):
    return subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def build(path, tag, n, *, seed, vocabulary_size=V):
    with SqliteIndex(path, vocabulary_size=vocabulary_size, fingerprint="test") as index:
        index.upsert(
            [Document(f"d{i}", f"{tag} {i}") for i in range(n)],
            random_vectors(n, seed=seed, vocabulary_size=vocabulary_size),
        )
    return path


def delete_and_build(path):
    path.unlink()
    build(path, "new", 40, seed=2)


def replace(path):
    build(path.with_name("other.db"), "new", 40, seed=2).replace(path)


def backup_into(path):
    other = build(path.with_name("other.db"), "new", 40, seed=2)
    source, target = sqlite3.connect(other), sqlite3.connect(path, timeout=60)
    source.backup(target)
    source.close()
    target.close()


@pytest.fixture
def path(tmp_path):
    return build(tmp_path / "index.db", "old", 60, seed=1)


@pytest.mark.parametrize("change", [delete_and_build, replace, backup_into])
def test_threads_that_search_get_the_old_index_or_the_new_one_and_never_a_mixture(path, change):
    queries = random_vectors(20, seed=3)
    with SqliteIndex(path) as index:
        old = index.search(queries, 5)
        answers, stop = [], threading.Event()

        def ask():
            while not stop.is_set():
                with contextlib.suppress(IndexNotFoundError):  # between the removal and the rebuilding
                    answers.append(index.search(queries, 5))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        change(path)
        time.sleep(0.1)
        stop.set()
        for thread in threads:
            thread.join(60)
        with SqliteIndex(path, read_only=True) as fresh:
            new = fresh.search(queries, 5)
        assert index.search(queries, 5) == new
        assert new[0][0].document.text.startswith("new")
        assert answers[0] == old
        assert all(answer in (old, new, [[] for _ in queries]) for answer in answers)  # a new index begins empty
        assert len(index) == 40
        assert index.check().sound
        index.upsert(documents(1, start=500), random_vectors(1))
        assert len(index) == 41


def test_an_older_state_that_was_written_to_differently_since_is_told_apart(path):
    """Numbers of segments and commits come again; what was kept under them must not."""
    queries = random_vectors(5, seed=3)
    copy = path.with_name("copy.db")
    shutil.copyfile(path, copy)
    with SqliteIndex(path) as index:
        index.upsert([Document("x", "first")], random_vectors(1, seed=8))
        index.delete(["d1", "d2"])
        index.search(queries, 70, filter={"nothing": {"$exists": False}})
        with SqliteIndex(copy) as other:
            other.upsert([Document("x", "second")], random_vectors(1, seed=9))
            other.delete(["d3", "d4"])
            expected = other.search(queries, 70)
        copy.replace(path)
        assert index.search(queries, 70) == expected
        assert index.search(queries, 70, filter={"nothing": {"$exists": False}}) == expected


def test_another_model_s_file_at_the_path_is_refused_and_nothing_is_read_beyond_its_end(path):
    with SqliteIndex(path) as index:
        index.search(random_vectors(5, seed=3), 5)
        build(path.with_name("small.db"), "small", 40, seed=2, vocabulary_size=50).replace(path)
        for use in (
            lambda: index.search(random_vectors(5, seed=3), 5),
            lambda: index.upsert(documents(1), random_vectors(1)),
            lambda: index.delete(["d1"]),
        ):
            with pytest.raises(IncompatibleIndexError, match="another index than the one that was opened"):
                use()
    with SqliteIndex(path) as index:
        assert len(index) == 40


@pytest.mark.parametrize("how", ["unlink", "rename"])
def test_a_file_that_is_gone_is_neither_read_nor_written(path, how):
    with SqliteIndex(path) as index:
        index.upsert(documents(1, start=100), random_vectors(1))
        path.unlink() if how == "unlink" else path.rename(path.with_name("moved.db"))
        for use in (
            lambda: index.search(random_vectors(1), 5),
            lambda: index.upsert(documents(1), random_vectors(1)),
            lambda: index.delete(["d1"]),
            index.compact,
            lambda: len(index),
        ):
            with pytest.raises(IndexNotFoundError):
                use()
    assert not path.exists()
    if how == "rename":
        with SqliteIndex(path.with_name("moved.db")) as index:
            assert len(index) == 61
            assert index.check().sound


def test_a_write_to_a_file_that_lost_its_name_meanwhile_is_not_reported_as_done(path):
    with (
        SqliteIndex(path) as index,
        pytest.raises(StorageError, match="moved or replaced while it was being written"),
        index._writer._committing(),
    ):
        build(path.with_name("other.db"), "new", 3, seed=2).replace(path)
    with SqliteIndex(path) as index:
        assert len(index) == 3


def test_a_file_with_a_second_name_is_read_and_not_written(path):
    os.link(path, path.with_name("other.db"))
    for name in ("index.db", "other.db"):
        with SqliteIndex(path.with_name(name)) as index:
            assert len(index) == 60
            with pytest.raises(StorageError, match="2 names"):
                index.upsert(documents(1), random_vectors(1))


KILLED = """
import os, sys
from vectors import documents, random_vectors
from pixie_retrievers import SqliteIndex
index = SqliteIndex(sys.argv[1], vocabulary_size=200, fingerprint="test")
index.upsert(documents(60), random_vectors(60))
os._exit(9)  # no goodbye: the log stays
"""


def killed(path):
    done = run(KILLED, path)
    assert done.returncode == 9, done.stderr
    assert path.with_name(path.name + "-wal").stat().st_size > 0


def test_the_log_of_a_removed_file_is_not_the_new_file_s(tmp_path):
    path = tmp_path / "index.db"
    killed(path)
    path.unlink()
    build(path, "new", 5, seed=2)
    with SqliteIndex(path) as index:
        assert index.ids() == [f"d{i}" for i in range(5)]
        assert index.check().sound


def test_the_log_of_a_replaced_file_is_set_aside(tmp_path, caplog):
    path = tmp_path / "index.db"
    killed(path)
    time.sleep(0.05)  # file systems tell times apart by milliseconds
    build(tmp_path / "other.db", "new", 5, seed=2).replace(path)
    with SqliteIndex(path) as index:
        assert len(index) == 5
        assert index.check().sound
        index.upsert(documents(1, start=70), random_vectors(1))
        assert len(index) == 6
    assert "the log of another file" in caplog.text
    assert len(list(tmp_path.glob("*.foreign"))) == 1


def test_a_killed_writer_s_own_log_is_read_and_folded_by_the_next(tmp_path):
    path = tmp_path / "index.db"
    killed(path)
    with SqliteIndex(path) as index:
        assert len(index) == 60
        assert index.check().sound
        index.delete(["d0"])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["index.db"]


UNCLOSED = """
import sys
from vectors import documents, random_vectors
from pixie_retrievers import SqliteIndex
index = SqliteIndex(sys.argv[1], vocabulary_size=200, fingerprint="test")
for n in range(5):
    index.upsert(documents(1, start=n), random_vectors(1))
    index.search(random_vectors(1), 3)
"""


def test_a_script_that_never_closes_its_index_leaves_one_file_that_may_be_copied(tmp_path):
    path = tmp_path / "index.db"
    done = run(UNCLOSED, path)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["index.db"]
    shutil.copyfile(path, tmp_path / "copy.db")
    with SqliteIndex(tmp_path / "copy.db", read_only=True) as index:
        assert len(index) == 5


def test_a_log_that_a_stuck_reader_let_grow_shrinks_again(path):
    log = path.with_name(path.name + "-wal")
    with SqliteIndex(path) as index, SqliteIndex(path, read_only=True) as reader:
        with reader._snapshot():
            for n in range(12):
                index.upsert([Document(f"large {n} {i}", "가" * 20_000) for i in range(50)], random_vectors(50, seed=n))
            assert log.stat().st_size > 24_000_000
        for n in range(3):
            index.upsert(documents(1, start=n), random_vectors(1))
        assert log.stat().st_size <= 17_000_000
    assert not log.exists()


def test_a_backup_beside_a_working_writer_is_one_commit(path):
    stop = threading.Event()
    with SqliteIndex(path) as index:
        index.upsert([Document(f"d{i}", "revision 0") for i in range(60)], random_vectors(60))

        def work():
            n = 0
            while not stop.is_set():
                n += 1
                index.upsert([Document(f"d{i}", f"revision {n}") for i in range(60)], random_vectors(60, seed=n))

        thread = threading.Thread(target=work)
        thread.start()
        try:
            for n in range(5):
                target, seen = path.with_name(f"copy {n}.db"), []
                index.backup(target, progress=lambda done, total, seen=seen: seen.append((done, total)))
                assert seen[-1][0] == seen[-1][1] > 0
                with SqliteIndex(target) as copy:
                    assert copy.check().sound
                    revisions = {document.text for document in copy.get([f"d{i}" for i in range(60)])}
                    assert len(revisions) == 1
                    copy.delete(["d0"])  # an index like any other
        finally:
            stop.set()
            thread.join(60)
        with pytest.raises(StorageError, match="already exists"):
            index.backup(target)
        with pytest.raises(StorageError, match="make it first"):
            index.backup(path.with_name("nothing") / "copy.db")
    with SqliteIndex(path.with_name("unwritten.db"), vocabulary_size=V) as new, pytest.raises(IndexNotFoundError):
        new.backup(path.with_name("copy.db"))
    assert not list(path.parent.glob(".*"))


OTHER_USER = """
import os, sys
from vectors import random_vectors
from pixie_retrievers import SqliteIndex, StorageError
queries = random_vectors(3, seed=3)
with SqliteIndex(sys.argv[1], read_only=True) as index:
    index.search(queries, 1)  # imports and compiles: packages may be out of the other user's sight
os.setuid(65534)
with SqliteIndex(sys.argv[1], read_only=True) as index:
    for line in sys.stdin:
        print(len(index), len(index.search(queries, 100)[0]), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="needs to become another user")
def test_a_reader_of_another_user_sees_commits_that_came_after_it_opened_the_file(path, tmp_path):
    for folder in (tmp_path, *tmp_path.parents):  # another user must be able to come in at all
        if folder.name.startswith(("pytest-", "popen-", "test_")):
            folder.chmod(0o755)
    with subprocess.Popen(
        [sys.executable, "-c", OTHER_USER, str(path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as reader:

        def seen():
            reader.stdin.write("\n")
            return [int(number) for number in reader.stdout.readline().split()]

        assert seen() == [60, 60]  # nobody writes: no log, and no right to make one
        with SqliteIndex(path) as index:
            index.upsert(documents(1, start=100), random_vectors(1))
            assert seen()[0] == 61  # in the log
            index.delete(["d0", "d1"])
            assert seen()[0] == 59
        assert seen()[0] == 59  # folded
        with SqliteIndex(path) as index:
            index.delete(["d2"])
        assert seen()[0] == 58
        reader.stdin.close()
    assert reader.returncode == 0
