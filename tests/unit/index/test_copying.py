"""Copies of indexes: everything in its order, on again where one stopped, and held against the source."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from vectors import documents, random_vectors

from pixie_retrievers import Document, IncompatibleIndexError, SqliteIndex, copy_index

VOCABULARY_SIZE = 200


def new(path, **options):
    return SqliteIndex(path, vocabulary_size=VOCABULARY_SIZE, fingerprint="m", **options)


@pytest.fixture
def source(tmp_path):
    with new(tmp_path / "source.db") as index:
        vectors = random_vectors(3000)
        for start in range(0, 3000, 700):
            part = documents(min(700, 3000 - start), start=start)
            index.upsert(part, vectors[start : start + len(part)])
        index.delete(["d5", "d2999"])
        index.upsert([Document("d7", "새 글")], random_vectors(1, seed=9))
        yield index


def held(index):
    return [(batch, vectors) for batch, vectors in index.scan()]


def test_a_copy_has_everything_in_its_order(source, tmp_path):
    with new(tmp_path / "copy.db") as copy:
        moved = []
        copied = copy_index(source, copy, advance=moved.append)
        assert (copied.copied, copied.unchanged, copied.n_queries, copied.differences) == (2998, 0, 20, ())
        assert sum(moved) == 2998
        assert copy.ids() == source.ids()
        assert copy.ids()[-1] == "d7"
        assert held(copy) == held(source)
        queries = random_vectors(20, seed=3)
        assert copy.search(queries, 50) == source.search(queries, 50)


def test_a_copy_goes_on_where_it_stopped(source, tmp_path):
    with new(tmp_path / "copy.db") as copy:
        for batch, vectors in source.scan():
            copy.upsert(batch[:900], vectors[:900])
            break
        copied = copy_index(source, copy)
        assert copied.differences == ()
        assert copy.ids() == source.ids()
        assert copy_index(source, copy).copied == 0
        assert copy_index(source, copy).unchanged == 2998


def test_what_the_target_has_besides_is_said(source, tmp_path):
    with new(tmp_path / "copy.db") as copy:
        copy.upsert([Document("other", "다른 글")], random_vectors(1, seed=4))
        assert copy_index(source, copy).differences[0] == "the source has 2998 documents, the target 2999"


def test_a_rounded_copy_is_said_to_differ(source, tmp_path):
    with new(tmp_path / "copy.db", weights="uint8") as copy:
        assert copy_index(source, copy).differences


def test_another_model_is_refused(source, tmp_path):
    with (
        SqliteIndex(tmp_path / "other.db", vocabulary_size=VOCABULARY_SIZE, fingerprint="other") as other,
        pytest.raises(IncompatibleIndexError, match="'m' and 'other'"),
    ):
        copy_index(source, other)


def test_an_empty_index_is_copied(tmp_path):
    with new(tmp_path / "a.db") as empty, new(tmp_path / "b.db") as copy:
        assert copy_index(empty, copy).differences == ()


@pytest.mark.new_process
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_copy_that_was_killed_loses_and_doubles_nothing(source, tmp_path):
    command = [
        sys.executable,
        "-m",
        "pixie_retrievers.cli",
        "copy",
        str(source.path),
        str(tmp_path / "copy.db"),
        "--json",
    ]
    for seconds in (0.6, 0.8, 1.0, 1.2):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert '"differences": []' in done.stdout
    with new(tmp_path / "copy.db") as copy:
        assert held(copy) == held(source)
