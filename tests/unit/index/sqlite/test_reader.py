"""Snapshots: the newest commit point, and nothing read twice."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from vectors import documents, random_vectors

from pixie_retrievers import CorruptIndexError, IndexClosedError, SparseVectors, SqliteIndex
from pixie_retrievers.index.sqlite.reader import Reader


def test_readers_see_a_commit_at_their_next_search(path):
    query = SparseVectors.from_dicts([{7: 1.0}], 200)
    with SqliteIndex(path) as writer, SqliteIndex(path, read_only=True) as reader:
        n_found = len(reader.search(query, 100)[0])
        writer.upsert(documents(1, start=50), query)
        assert len(reader.search(query, 100)[0]) == n_found + 1
        writer.delete(["d50"])
        assert len(reader.search(query, 100)[0]) == n_found


def test_a_damaged_manifest_is_refused(path):
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET value = replace(value, 'generation', 'generatioN')")
    connection.commit()
    connection.close()
    with pytest.raises(CorruptIndexError, match="damaged"):
        SqliteIndex(path)


def test_a_snapshot_stays_as_it_is_while_others_move_on(path, reader):
    with SqliteIndex(path) as writer, reader.snapshot() as before:
        writer.delete(["d1"])
        with reader.snapshot() as after:
            assert (before.manifest.n_live, after.manifest.n_live) == (20, 19)
            assert before.docnos(["d1"]) == {"d1": 1}
            assert after.docnos(["d1"]) == {}


def test_segments_that_stay_are_read_once(path, reader):
    with reader.snapshot() as snapshot:
        (first,) = snapshot.views
    with SqliteIndex(path) as writer:
        writer.upsert(documents(1, start=50), random_vectors(1))
    with reader.snapshot() as snapshot:
        assert snapshot.views[0] is first
        assert len(snapshot.views) == len(snapshot.table) == 2
    with SqliteIndex(path) as writer:
        writer.compact()
    with reader.snapshot() as snapshot:
        assert snapshot.views[0] is not first


def test_a_connection_is_used_again_unless_its_snapshot_met_an_error(reader):
    with reader.snapshot() as snapshot:
        store = snapshot.store
    with reader.snapshot() as snapshot:
        assert snapshot.store is store
    with pytest.raises(ValueError, match="mine"), reader.snapshot():
        raise ValueError("mine")
    with reader.snapshot() as snapshot:
        assert snapshot.store is not store


def test_closing_waits_for_nobody_and_closes_what_comes_back(path):
    with closing(Reader(path)) as reader, reader.snapshot() as snapshot:
        reader.close()
        assert snapshot.documents([3])[0].id == "d3"
    with pytest.raises(IndexClosedError, match="closed"):
        snapshot.store.get("meta", "manifest")
