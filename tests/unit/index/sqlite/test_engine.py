"""The index as a handle: opening, identity, and what it refuses."""

from __future__ import annotations

import copy
import pickle

import pytest
from vectors import documents, random_vectors

from pixie_retrievers import (
    CorruptIndexError,
    IncompatibleIndexError,
    IndexNotFoundError,
    InvalidParameterError,
    SqliteIndex,
    StorageError,
    open_index,
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
    for attempt, advice in (
        (lambda: SqliteIndex(tmp_path / "no.db"), "begin a new one with SparseRetriever.open"),
        (lambda: SqliteIndex(tmp_path / "no.db", vocabulary_size=200, read_only=True), "build one there first"),
        (lambda: open_index(tmp_path / "no.db"), "begin a new one with SparseRetriever.open"),
    ):
        with pytest.raises(IndexNotFoundError, match=f"no index at .*: check the path, or {advice}"):
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


def test_a_folder_is_not_an_index(tmp_path):
    with pytest.raises(StorageError, match="not a file"):
        SqliteIndex(tmp_path, vocabulary_size=200)
    with pytest.raises(StorageError, match="not a folder"):
        SqliteIndex(tmp_path / "missing" / "index.db", vocabulary_size=200)
    for name in ("nul\0byte", "not-utf8-\udcff", "x" * 5000):
        with pytest.raises(StorageError, match="path"):
            SqliteIndex(name, vocabulary_size=200)


def test_read_only_refuses_to_write(path):
    with SqliteIndex(path, read_only=True) as index:
        for attempt in (
            lambda: index.upsert(documents(1), random_vectors(1)),
            lambda: index.delete(["d1"]),
            index.compact,
        ):
            with pytest.raises(StorageError, match="read_only"):
                attempt()


def test_another_process_opens_the_file_for_itself_and_a_copy_is_the_same_handle(path):
    queries = random_vectors(3, seed=1)
    with SqliteIndex(path, read_only=True, max_threads=1) as index:
        assert copy.copy(index) is copy.deepcopy(index) is index
        with pickle.loads(pickle.dumps(index)) as other:
            assert other is not index
            assert other.read_only
            assert other.search(queries, 5) == index.search(queries, 5)
    assert repr(index) == f"SqliteIndex({str(path)!r})"


def test_stats_say_what_the_file_holds(path):
    with SqliteIndex(path) as index:
        index.delete(["d3", "d4"])
        stats = index.stats()
        assert (stats.n_documents, stats.n_deleted, stats.n_segments) == (18, 2, 1)
        assert (stats.n_postings, stats.generation, stats.path) == (20 * 12, 2, str(path))
        assert stats.file_bytes >= path.stat().st_size > 0


def test_an_empty_file_becomes_an_index_at_the_first_write(tmp_path):
    path = tmp_path / "empty.db"
    path.touch()
    with pytest.raises(IndexNotFoundError):
        SqliteIndex(path, read_only=True)
    with pytest.raises(IndexNotFoundError):
        SqliteIndex(path)
    with SqliteIndex(path, vocabulary_size=200) as index:
        assert len(index) == 0
        assert index.delete(["d0"]) == 0
        assert index.check().sound
        index.compact()
        assert path.stat().st_size == 0
        index.upsert(documents(2), random_vectors(2))
        assert index.ids() == ["d0", "d1"]
    assert open_index(path).ids() == ["d0", "d1"]


def test_an_empty_file_beside_a_log_is_what_is_left_of_an_index(tmp_path):
    path = tmp_path / "cut.db"
    path.touch()
    (tmp_path / "cut.db-wal").write_bytes(b"something")
    with pytest.raises((CorruptIndexError, IncompatibleIndexError)):
        SqliteIndex(path, vocabulary_size=200)
    assert path.stat().st_size == 0
