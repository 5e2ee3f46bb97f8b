"""From a query to hits: the same whoever helps, and however documents lie."""

from __future__ import annotations

import numpy as np
import pytest
from reference import added_up
from vectors import documents, random_vectors

from pixie_retrievers import SparseVectors, SqliteIndex
from pixie_retrievers.index.sqlite import search
from pixie_retrievers.index.sqlite.pool import the_pool
from pixie_retrievers.index.sqlite.search import search_snapshot


def test_threads_and_one_thread_find_the_same(tmp_path, monkeypatch):
    vectors, queries = random_vectors(3000, seed=13), random_vectors(20, seed=14)
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=200) as index:
        for start in range(0, 3000, 500):
            index.upsert(documents(500, start=start), vectors[start : start + 500])
        assert index.stats().n_segments > 1
        together = index.search(queries, 10)
        one_by_one = [index.search(query, 10)[0] for query in queries]
        monkeypatch.setattr(search, "_SPLIT_FROM", 0)
        monkeypatch.setattr(search, "_SHARE_FROM", 0)
        monkeypatch.setattr(the_pool(), "n_idle_cores", lambda: 3)
        split = [index.search(query, 10)[0] for query in queries]
        shared = index.search(queries, 10)
    assert together == one_by_one == split == shared
    with SqliteIndex(index.path) as fresh:  # the threads read the postings as they come to them
        assert [fresh.search(query, 10)[0] for query in queries] == split
    with SqliteIndex(index.path) as fresh:
        assert fresh.search(queries, 10) == shared


def test_a_k_for_whose_candidates_there_is_no_room_finds_the_same_in_parts(tmp_path, monkeypatch):
    query = SparseVectors.from_dicts([{1: 1.0}], 200)
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=200) as index:
        for start in range(0, 300, 50):
            rows = [{1: 1 + i % 7} for i in range(start, start + 50)]
            index.upsert(documents(50, start=start), SparseVectors.from_dicts(rows, 200))
        at_once = index.search(query, 300)
        with index._reader.snapshot() as snapshot:
            largest = max(entry.n_documents for entry in snapshot.manifest.segments)
        assert largest < 300
        for name in ("positions", "ordinals", "found_scores"):
            monkeypatch.setattr(search._scratch, name, getattr(search._scratch, name)[:largest])
        assert index.search(query, 300) == at_once
    assert [hit.document.id for hit in at_once[0]] == [f"d{i}" for i in sorted(range(300), key=lambda i: -(i % 7))]


@pytest.mark.parametrize("k", [1, 3, 50])
def test_near_ties_are_decided_by_exact_scores_and_ties_by_insertion(tmp_path, k):
    ulp = 2.0**-23  # what float32 tells apart, a sum in another order does not
    rows = [{1: 1 + (i % 3) * ulp, 2: 1 + (i % 5) * ulp, 3: 1 - (i % 2) * ulp} for i in range(40)]
    query = SparseVectors.from_dicts([{1: 1.0, 2: 1 + ulp, 3: 1.5}], 200)
    vectors = SparseVectors.from_dicts(rows, 200)
    scores = [
        added_up(q * float(w) for q, w in zip([1.0, 1 + ulp, 1.5], row.weights.tolist(), strict=True))
        for row in vectors
    ]
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=200) as index:
        for start in range(0, 40, 8):
            index.upsert(documents(8, start=start), vectors[start : start + 8])
        found = index.search(query, k)[0]
    wanted = sorted(range(40), key=lambda i: (-scores[i], i))[:k]
    assert [(hit.document.id, hit.score) for hit in found] == [(f"d{i}", scores[i]) for i in wanted]


def test_what_is_not_allowed_is_not_found(reader):
    query = SparseVectors.from_dicts([dict.fromkeys(range(200), 1.0)], 200)
    with reader.snapshot() as snapshot:
        everything = snapshot.allowed(None)
        (hits,) = search_snapshot(snapshot, query, 20, everything, None)
        assert len(hits) == 20
        some = snapshot.only(np.array([3, 8]), everything)
        (hits,) = search_snapshot(snapshot, query, 20, some, 1)
        assert sorted(hit.document.id for hit in hits) == ["d3", "d8"]
